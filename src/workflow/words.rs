//! Every word a workflow file may contain.

/// Workflows.
pub(super) const WORKFLOWS: [&str; 7] = [
    "train_test_optimization",
    "parameter_sweep",
    "single_backtest",
    "walk_forward_optimization",
    "k_fold_optimization",
    "monte_carlo",
    "sequence",
];

/// Keys of the whole workflow.
pub(super) const WORKFLOW_KEYS: [&str; 14] = [
    "workflow",
    "results_dir",
    "memory_budget",
    "data",
    "strategy",
    "split",
    "train_ratio",
    "walk_forward",
    "k_fold",
    "monte_carlo",
    "gates",
    "sequence",
    "sequences",
    "phase_overrides",
];

/// Keys that every phase has, and that `phase_overrides` may name.
pub(super) const PHASE_KEYS: [&str; 19] = [
    "portfolio",
    "execution",
    "exits",
    "risk",
    "objective",
    "result_constraints",
    "top_n",
    "percentiles",
    "warmup",
    "trace_level",
    "container_settings",
    "event_tracing",
    "retention_policy",
    "sliding_window_size",
    "sliding_window",
    "store_trades",
    "trace",
    "results_storage",
    "container_results",
];

/// Keys of nested maps.
pub(super) const DATA: [&str; 7] = [
    "path",
    "symbols",
    "start",
    "end",
    "timezone",
    "bar_label",
    "bars_per_year",
];
pub(super) const STRATEGY: [&str; 4] = ["name", "parameters", "constraints", "sampling"];
pub(super) const SAMPLING: [&str; 3] = ["method", "samples", "seed"];
pub(super) const PORTFOLIO: [&str; 6] = [
    "initial_capital",
    "direction",
    "sizing",
    "pyramiding",
    "whole_units",
    "close_at_end",
];
pub(super) const SIZING: [&str; 6] = [
    "percent_of_equity",
    "quantity",
    "cash",
    "risk_per_trade",
    "atr",
    "volatility",
];
pub(super) const RISK_PER_TRADE: [&str; 1] = ["percent"];
pub(super) const ATR_SIZING: [&str; 3] = ["percent", "multiple", "period"];
pub(super) const VOLATILITY_SIZING: [&str; 2] = ["annual", "period"];
pub(super) const PYRAMIDING: [&str; 1] = ["max_entries"];
pub(super) const RISK: [&str; 4] = [
    "max_position",
    "max_exposure",
    "max_drawdown",
    "max_daily_loss",
];
pub(super) const EXECUTION: [&str; 6] = [
    "fill",
    "commission",
    "slippage",
    "spread",
    "borrow",
    "entry",
];
/// Of an entry that is no market order; the first three exclude each other.
pub(super) const ENTRY: [&str; 4] = ["limit", "stop", "stop_limit", "time_in_force"];
pub(super) const EXITS: [&str; 9] = [
    "stop_loss",
    "take_profit",
    "trailing_stop",
    "scale_out",
    "anchor",
    "both_touched",
    "max_bars",
    "end_of_day",
    "reentry",
];
pub(super) const SCALE_OUT: [&str; 2] = ["percent", "part"];
pub(super) const COMMISSION: [&str; 3] = ["rate", "per_share", "fixed"];
pub(super) const PER_SHARE: [&str; 4] = ["rate", "minimum", "maximum", "maximum_rate"];
pub(super) const PRICE_COST: [&str; 2] = ["rate", "fixed"];
pub(super) const BORROW: [&str; 2] = ["annual_rate", "days_per_year"];
pub(super) const TRACE: [&str; 5] = [
    "bytes_per_container",
    "on_full",
    "backing",
    "keep",
    "compression",
];
pub(super) const KEEP: [&str; 4] = ["last", "best", "worst", "where"];
pub(super) const SLIDING_WINDOW: [&str; 3] = ["events", "bars", "duration"];
pub(super) const SPLIT: [&str; 2] = ["ratio", "train_end"];
pub(super) const RANGE: [&str; 7] = ["min", "max", "step", "count", "scale", "integer", "choice"];
pub(super) const WALK_FORWARD: [&str; 5] = ["train", "test", "step", "unit", "anchored"];
pub(super) const K_FOLD: [&str; 4] = ["folds", "purge", "embargo", "unit"];
pub(super) const MONTE_CARLO: [&str; 7] = [
    "method",
    "paths",
    "seed",
    "block",
    "noise",
    "percentiles",
    "inside",
];
pub(super) const METHODS: [&str; 3] = ["block_bootstrap", "trade_reshuffle", "price_noise"];
pub(super) const PATTERN: [&str; 5] = ["pattern", "iterations", "settings", "phases", "inside"];
pub(super) const PATTERN_PHASE: [&str; 4] = ["name", "on", "best_of", "defaults"];

/// Trace levels; `custom` fills in nothing.
pub(super) const TRACE_LEVELS: [&str; 5] = ["custom", "none", "minimal", "normal", "debug"];

/// Keys that `container_settings` has for a pattern; `max_events` is `sliding_window_size`, and
/// `enabled: false` traces nothing.
pub(super) const CONTAINER_SETTINGS: [&str; 8] = [
    "trace_level",
    "enabled",
    "event_tracing",
    "retention_policy",
    "sliding_window_size",
    "sliding_window",
    "max_events",
    "store_trades",
];

/// Events of trades.
pub(super) const TRADE_EVENTS: [&str; 3] = ["POSITION_OPEN", "POSITION_CLOSE", "FILL"];

/// Retention policies; `all` is `full`.
pub(super) const POLICIES: [&str; 5] =
    ["trade_complete", "sliding_window", "minimal", "full", "all"];

/// `, did you mean ...` where a word is near, and the list of all words.
pub(super) fn suggestion(word: &str, words: &[&str]) -> String {
    let near = words
        .iter()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase()),
                known,
            )
        })
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3);
    let hint = near
        .map(|(_, known)| format!(", did you mean `{known}`?"))
        .unwrap_or_default();
    format!("{hint} (one of: {})", words.join(", "))
}
