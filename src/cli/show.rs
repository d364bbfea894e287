//! Plans and outcomes as people read them.

use crate::Result;
use crate::plan::{Plan, show};
use crate::sequencer::{Drive, Outcome};
use std::path::Path;

pub(super) fn plan(plan: &Plan) {
    println!(
        "phase {}: {} containers in {} tiles of up to {}, {} worker{}",
        plan.phase,
        plan.containers,
        plan.tiles,
        plan.tile_sets,
        plan.workers,
        if plan.workers == 1 { "" } else { "s" }
    );
    for trace in &plan.traces {
        let of = match (&trace.pattern, trace.matched) {
            (Some(pattern), Some(matched)) => format!("{pattern} ({matched} containers)"),
            _ if plan.traces.len() > 1 => "all others".to_owned(),
            _ => "all".to_owned(),
        };
        println!(
            "  traced by {of}: {}; {}{}{}{}",
            if trace.event_tracing.is_empty() {
                "nothing".to_owned()
            } else {
                trace.event_tracing.join(", ")
            },
            trace.retention_policy,
            trace
                .sliding_window_size
                .map(|events| events.to_string())
                .or_else(|| trace.sliding_window.clone())
                .map_or(String::new(), |length| format!(" {length}")),
            if trace.store_trades {
                ", trades stored"
            } else {
                ""
            },
            trace.keep.as_ref().map_or(String::new(), |keep| format!(
                ", kept of closed trades: {keep}"
            )),
        );
    }
    for part in &plan.parts {
        println!("  {:<22} {:>12}", part.name, show(part.bytes));
    }
    println!(
        "  {:<22} {:>12} of {}",
        "predicted peak",
        show(plan.peak_bytes),
        show(plan.budget_bytes)
    );
    println!(
        "  {:<22} {:>12}, of it checkpoints {} at most; {} free",
        "disk",
        show(plan.disk_bytes),
        show(plan.checkpoint_bytes),
        show(plan.disk_free_bytes)
    );
}

pub(super) fn outcome(outcome: &Outcome, folder: &Path) {
    let aggregate = &outcome.aggregate;
    println!(
        "phase {}: {} containers finished, {} failed, {} trades",
        aggregate.phase, aggregate.completed, aggregate.failed, aggregate.total_trades
    );
    if !aggregate.result_constraints.is_empty() {
        let constraints: Vec<String> = aggregate
            .result_constraints
            .iter()
            .map(|one| format!("{} ({} miss it)", one.constraint, one.missed))
            .collect();
        println!(
            "  {} meet the constraints on results: {}",
            aggregate.completed - aggregate.excluded,
            constraints.join(", ")
        );
    }
    if let Some(best) = aggregate.best.first() {
        let number =
            |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.4}"));
        let parameters: Vec<String> = best
            .parameters
            .0
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        println!(
            "  best by {}: {} ({})",
            aggregate.objective,
            best.container,
            parameters.join(", ")
        );
        println!(
            "  total return {}, Sharpe ratio {}, max drawdown {:.4}, {} trades, win rate {}",
            number(best.metrics.total_return),
            number(best.metrics.sharpe_ratio),
            best.metrics.max_drawdown,
            best.metrics.total_trades,
            number(best.metrics.win_rate),
        );
    }
    println!("  results: {}", folder.display());
}

/// A figure that may not exist.
fn figure(value: Option<f64>) -> String {
    value.map_or("none".to_owned(), |value| format!("{value:.4}"))
}

/// The windows of a sequence: how many, and the first and the last.
pub(super) fn windows(drive: &Drive<'_>) -> Result<()> {
    let count = drive.windows.len();
    println!("{}: {count} windows", drive.sequence.name());
    let mut shown = vec![0, count - 1];
    shown.dedup();
    for at in shown {
        let window = &drive.windows[at];
        for (what, pieces) in window
            .train
            .iter()
            .map(|piece| ("training", piece))
            .chain([("testing", &window.test)])
        {
            for (symbol, piece) in drive.settings.symbols.iter().zip(pieces) {
                let span = piece.span;
                let time = |bar: u64| -> Result<String> {
                    Ok(admf_formats::units::rfc3339(symbol.bars.ts_of(bar)?).unwrap_or_default())
                };
                println!(
                    "  {} {what} {}: {} bars, {} to {}",
                    window.folder,
                    symbol.symbol,
                    span.end - span.first,
                    time(span.first)?,
                    time(span.end - 1)?
                );
            }
        }
    }
    Ok(())
}

/// One phase of one window, in a line.
pub(super) fn window_outcome(label: &str, outcome: &Outcome) {
    let aggregate = &outcome.aggregate;
    match aggregate.best.first() {
        Some(best) => {
            let parameters: Vec<String> = best
                .parameters
                .0
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            println!(
                "{label}: {} containers, {} failed; best {} ({}), {} {}",
                aggregate.completed,
                aggregate.failed,
                best.container,
                parameters.join(", "),
                aggregate.objective,
                figure(best.objective_value)
            );
        }
        None => println!(
            "{label}: no container finished, {} failed",
            aggregate.failed
        ),
    }
}

/// A phase that did not run.
pub(super) fn skipped(skipped: &admf_formats::report::SkippedPhase) {
    let window = skipped.window.as_deref();
    println!(
        "{}{} did not run: {}",
        skipped.phase,
        window.map_or(String::new(), |window| format!(" {window}")),
        skipped.reason
    );
}

/// What paths come to.
pub(super) fn paths(report: &serde_json::Value, file: &Path) {
    println!(
        "{} paths by {}, seed {}: probability of loss {}",
        report["paths"],
        report["method"].as_str().unwrap_or_default(),
        report["seed"],
        figure(report["probability_of_loss"].as_f64())
    );
    let statistics = report["statistics"].as_object();
    for (metric, values) in statistics.into_iter().flatten() {
        let number = |key: &str| figure(values[key].as_f64());
        let percentiles = values["percentiles"].as_object();
        let mut percentiles: Vec<_> = percentiles.into_iter().flatten().collect();
        let percent = |text: &str| text.parse().unwrap_or(f64::NAN);
        percentiles.sort_by(|a, b| percent(a.0).total_cmp(&percent(b.0)));
        let percentiles: Vec<String> = percentiles
            .into_iter()
            .map(|(percent, value)| format!("{percent}%: {}", figure(value.as_f64())))
            .collect();
        println!(
            "  {metric:<14} original {}, mean {}, {} to {}; {}",
            number("original"),
            number("mean"),
            number("min"),
            number("max"),
            percentiles.join(", ")
        );
    }
    println!("  results: {}", file.display());
}

/// What the windows come to.
pub(super) fn walk_forward(report: &serde_json::Value, file: &Path) {
    let number = |path: &str| figure(report.pointer(path).and_then(serde_json::Value::as_f64));
    println!(
        "{} of {} windows tested; bars out of sample: {}",
        report["tested"], report["windows"], report["out_of_sample"]["bars"]
    );
    for (name, key) in [
        ("out of sample", "out_of_sample"),
        ("buy and hold", "buy_and_hold"),
    ] {
        println!(
            "  {name:<14} total return {}, Sharpe ratio {}, max drawdown {}",
            number(&format!("/{key}/metrics/total_return")),
            number(&format!("/{key}/metrics/sharpe_ratio")),
            number(&format!("/{key}/metrics/max_drawdown")),
        );
    }
    println!(
        "  {} in sample {}, out of sample {}: efficiency {}, decay {}",
        report["objective"].as_str().unwrap_or_default(),
        number("/efficiency/in_sample_objective"),
        number("/efficiency/out_of_sample_objective"),
        number("/efficiency/objective_efficiency"),
        number("/efficiency/objective_decay"),
    );
    println!("  results: {}", file.display());
}
