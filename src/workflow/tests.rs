use super::*;
use crate::execution::{Commission, PerShare, PriceCost};
use crate::portfolio::Sizing;
use crate::segment::retention::RetentionPolicy;
use crate::sequencer::{Iterations, ResultsStorage, Split, Unit, Window, WindowRule};
use admf_formats::event::EventKind;

const DATA: &str =
    "data: {path: d.csv}\nstrategy: {name: sma_crossover, parameters: {fast: 5, slow: [10, 20]}}\n";

fn read(text: &str) -> Result<Workflow> {
    parse(text, Path::new("w.yaml"))
}

/// The error of a parameter sweep with these lines contains all of `parts`.
fn check(lines: &str, parts: &[&str]) {
    let error = read(&format!("workflow: parameter_sweep\n{DATA}{lines}"))
        .expect_err(lines)
        .to_string();
    for part in parts {
        assert!(error.contains(part), "{lines}: {error} has no {part}");
    }
}

#[test]
fn the_seed_example_runs_once_data_and_strategy_are_added() {
    let seed = "workflow: train_test_optimization
results_dir: my_experiment_2024_01

# Optional overrides
results_storage: memory  # Global override

phase_overrides:
  training:
    results_storage: memory
    event_tracing: ['POSITION_OPEN', 'POSITION_CLOSE', 'FILL', 'PORTFOLIO_UPDATE']
    retention_policy: sliding_window
";
    let workflow = read(&format!("{seed}{DATA}")).expect("the seed's example is valid");
    assert_eq!(workflow.results_dir, "my_experiment_2024_01");
    let training = &workflow.phases[0];
    assert_eq!(training.results_storage, ResultsStorage::Memory);
    assert_eq!(
        training.container.trace.policy,
        RetentionPolicy::SlidingWindow { events: 1000 }
    );
    assert!(
        training
            .container
            .trace
            .events
            .contains(EventKind::PortfolioUpdate)
    );
    assert_eq!(workflow.space.len(), 2);
}

#[test]
fn an_override_beats_the_top_level_which_beats_the_default() {
    let lines = "retention_policy: full
trace: {on_full: strict}
portfolio: {sizing: {quantity: 3}}
phase_overrides: {testing: {retention_policy: minimal, trace: {backing: tmpfs}}}
";
    let workflow =
        read(&format!("workflow: train_test_optimization\n{DATA}{lines}")).expect("valid");
    let [training, testing] = &workflow.phases[..] else {
        panic!("two phases")
    };
    assert_eq!(training.container.trace.policy, RetentionPolicy::Full);
    assert_eq!(testing.container.trace.policy, RetentionPolicy::Minimal);
    assert_eq!(
        testing.container.trace.on_full,
        training.container.trace.on_full
    );
    assert_ne!(
        testing.container.trace.backing,
        training.container.trace.backing
    );
    assert_eq!(testing.results_storage, ResultsStorage::Memory);
    assert_eq!(training.results_storage, ResultsStorage::Disk);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_the_nearest_word() {
    check(
        "retention_polcy: full",
        &[
            "w.yaml:4:",
            "retention_polcy",
            "did you mean `retention_policy`",
        ],
    );
    check(
        "retention_policy: ful",
        &["w.yaml:4:", "did you mean `full`"],
    );
    check(
        "event_tracing: [FILL, POSITION_CLOSSE]",
        &["w.yaml:4:", "did you mean `POSITION_CLOSE`"],
    );
    check("objective: sharp_ratio", &["did you mean `sharpe_ratio`"]);
    check(
        "phase_overrides: {swep: {top_n: 2}}",
        &["did you mean `sweep`"],
    );
    check(
        "phase_overrides: {sweep: {data: 2}}",
        &["belongs to the whole workflow"],
    );
    check(
        "portfolio: {initial_capital: 0}",
        &["w.yaml:4:", "portfolio.initial_capital", "above 0"],
    );
    check(
        "portfolio: {sizing: {quantity: 1, cash: 5}}",
        &["exactly one of"],
    );
    check(
        "portfolio: {sizing: {percent_of_equity: 150}}",
        &["100 at most"],
    );
    check(
        "execution: {commission: {rate: -0.1}}",
        &["execution.commission.rate"],
    );
    check("split: {ratio: 0.5}", &["no split"]);
    check("train_ratio: 0.5", &["no split"]);
    check(
        "walk_forward: {train: 5}",
        &["w.yaml:4:", "no walk_forward"],
    );
    check("sequence: walk_forward", &["workflow: sequence"]);
    check("trace: {on_full: spill}", &["not supported yet"]);
    check("store_trades: yes", &["true or false"]);
    check("top_n: 0", &["1 or more"]);
    check("memory_budget: lots", &["64MiB"]);
    check("results_dir: ../up", &["plain name"]);
    check("top_n: 1\ntop_n: 2", &["not valid YAML"]);
    check("portfolio: [", &["not valid YAML"]);
}

#[test]
fn objectives_are_read_and_kept_as_text() {
    let check = |lines: &str, expected: &str| {
        let workflow = read(&format!("workflow: parameter_sweep\n{DATA}{lines}")).expect(lines);
        assert_eq!(workflow.phases[0].objective.to_string(), expected);
    };
    check("", "sharpe_ratio");
    check("objective: total_trades", "total_trades");
    check("objective: {maximize: win_rate}", "win_rate");
    check(
        "objective: {minimize: max_drawdown}",
        "minimize max_drawdown",
    );
    check(
        "objective: {maximize: {win_rate: 0.5, sharpe_ratio: 1}}",
        "1*sharpe_ratio + 0.5*win_rate",
    );
    check(
        "result_constraints: {min_trades: 30, max_drawdown: 0.2, max_total_trades: 90}",
        "sharpe_ratio where total_trades <= 90 and total_trades >= 30 and max_drawdown <= 0.2",
    );
    check(
        "result_constraints: {min_trades: 30}
phase_overrides: {sweep: {objective: {maximize: total_pnl}, result_constraints: {min_trades: 5}}}",
        "total_pnl where total_trades >= 5",
    );
}

#[test]
fn wrong_objectives_are_named() {
    check("objective: max_drawdown", &["{minimize: max_drawdown}"]);
    check(
        "objective: {maximise: win_rate}",
        &["w.yaml:4:", "did you mean `maximize`"],
    );
    check(
        "objective: {minimize: max_drawdwn}",
        &["did you mean `max_drawdown`"],
    );
    check(
        "objective: {maximize: {sharp_ratio: 1}}",
        &["did you mean `sharpe_ratio`"],
    );
    check(
        "objective: {maximize: {sharpe_ratio: 0}}",
        &["other than 0"],
    );
    check("objective: {maximize: {}}", &["at least one metric"]);
    check("objective: [sharpe_ratio]", &["text was expected"]);
    check(
        "result_constraints: {min_trade: 30}",
        &["w.yaml:4:", "did you mean `min_trades`"],
    );
    check("result_constraints: {trades: 30}", &["min_ or max_"]);
    check("result_constraints: {min_trades: lots}", &["a number"]);
    check(
        "result_constraints: {min_trades: 3, min_total_trades: 4}",
        &["bounded twice"],
    );
    check(
        "result_constraints: {min_trades: 30, max_trades: 20}",
        &["nothing meets both"],
    );
    check("result_constraints: [min_trades]", &["a map such as"]);
}

#[test]
fn wrong_percentiles_are_named() {
    check("percentiles: [0]", &["w.yaml:4:", "above 0, 100 at most"]);
    check("percentiles: [50, 101]", &["above 0, 100 at most"]);
    check("percentiles: [50, 50]", &["listed twice"]);
    check("percentiles: 50", &["a list"]);
    let many: Vec<String> = (1..=101).map(|k| format!("{}", k as f64 / 2.0)).collect();
    check(
        &format!("percentiles: [{}]", many.join(", ")),
        &["100 at most"],
    );
}

#[test]
fn ranges_and_parameters_are_checked() {
    let strategy = |strategy: &str| {
        read(&format!(
            "workflow: parameter_sweep\ndata: {{path: d.csv}}\nstrategy: {strategy}"
        ))
    };
    let error = |text: &str| strategy(text).expect_err(text).to_string();
    assert!(error("{name: sma_crosover, parameters: {}}").contains("did you mean `sma_crossover`"));
    assert!(
        error("{name: sma_crossover, parameters: {fats: 1, slow: 2}}")
            .contains("did you mean `fast`")
    );
    assert!(error("{name: sma_crossover, parameters: {fast: 1}}").contains("needs `slow`"));
    assert!(
        error("{name: sma_crossover, parameters: {fast: {min: 9, max: 5, step: 1}, slow: 2}}")
            .contains("empty")
    );
    assert!(
        error("{name: sma_crossover, parameters: {fast: {min: 1, max: 5, step: 0}, slow: 2}}")
            .contains("above 0")
    );
    assert!(
        error("{name: sma_crossover, parameters: {fast: [], slow: 2}}").contains("at least one")
    );
    assert!(
        error("{name: sma_crossover, parameters: {fast: 2.5, slow: 5}}").contains("whole number")
    );
    assert!(
        error(
            "{name: sma_crossover, parameters: {fast: 5, slow: 2}, constraints: ['fast < slow']}"
        )
        .contains("no parameter set")
    );
    assert!(
        error(
            "{name: sma_crossover, parameters: {fast: 5, slow: 2}, constraints: ['fast < slwo']}"
        )
        .contains("slwo")
    );
    let workflow = strategy(
        "{name: rsi_bands, parameters: {period: 14, oversold: {min: 0.1, max: 0.3, step: 0.1}, overbought: 70}}",
    );
    assert_eq!(workflow.expect("valid").space.len(), 3);
}

/// The error of a sequence with these lines contains all of `parts`.
fn check_sequence(lines: &str, parts: &[&str]) {
    let error = read(&format!("workflow: sequence\n{DATA}{lines}"))
        .expect_err(lines)
        .to_string();
    for part in parts {
        assert!(error.contains(part), "{lines}: {error} has no {part}");
    }
}

#[test]
fn a_sequence_is_its_patterns_from_the_outside_in() {
    let nested = "sequence: outer
sequences:
  outer: {iterations: windows, settings: {train: 200, unit: bars}, inside: train_test}
walk_forward: {test: 50}
train_ratio: 0.6
";
    let workflow = read(&format!("workflow: sequence\n{DATA}{nested}")).expect("valid");
    let levels = &workflow.sequence.levels;
    assert_eq!(levels.len(), 2);
    let rule = WindowRule {
        train: 200,
        test: 50,
        step: 21,
        unit: Unit::Bars,
        anchored: false,
    };
    assert_eq!(levels[0].iterations, Iterations::Windows(rule));
    assert_eq!(levels[1].iterations, Iterations::Split(Split::Ratio(0.6)));
    let names: Vec<&str> = workflow
        .phases
        .iter()
        .map(|phase| phase.name.as_str())
        .collect();
    assert_eq!(names, ["training", "testing"]);
    assert_eq!(workflow.phases[1].window, Window::Test);
    // What a run keeps gives the same workflow again.
    let again = from_settings(&workflow.settings, Path::new("run.json")).expect("valid");
    assert_eq!(again.settings, workflow.settings);
    assert_eq!(again.phases, workflow.phases);
    assert_eq!(again.sequence.levels, workflow.sequence.levels);
}

#[test]
fn the_defaults_of_walk_forward_are_those_of_its_pattern() {
    let workflow = read(&format!("workflow: walk_forward_optimization\n{DATA}")).expect("valid");
    let rule = WindowRule {
        train: 252,
        test: 63,
        step: 21,
        unit: Unit::Days,
        anchored: false,
    };
    assert_eq!(
        workflow.sequence.levels[0].iterations,
        Iterations::Windows(rule)
    );
    assert_eq!(workflow.phases[0].results_storage, ResultsStorage::Disk);
    assert_eq!(workflow.phases[1].results_storage, ResultsStorage::Memory);
    let error = |lines: &str| {
        read(&format!(
            "workflow: walk_forward_optimization\n{DATA}{lines}"
        ))
        .expect_err(lines)
        .to_string()
    };
    assert!(error("walk_forward: {step: 0}").contains("w.yaml:4: `walk_forward.step`: 0"));
    assert!(error("walk_forward: {train: -5}").contains("1 or more"));
    assert!(error("walk_forward: {unit: weeks}").contains("days, bars"));
    assert!(error("walk_forward: {trian: 5}").contains("did you mean `train`"));
    assert!(error("walk_forward: 5").contains("a map with keys"));
}

#[test]
fn a_wrong_sequence_is_named() {
    let phases = "phases: [{name: a, on: all}]";
    check_sequence("", &["`sequence` is missing"]);
    check_sequence("sequence: walk_forwrd", &["did you mean `walk_forward`"]);
    check_sequence(
        "sequence: a\nsequences: {a: {iterations: windows, inside: b}, b: {iterations: split, inside: a}}",
        &["w.yaml:", "a cycle: a > b > a"],
    );
    check_sequence(
        "sequence: a\nsequences: {a: {iterations: once, inside: a}}",
        &["a cycle: a > a"],
    );
    check_sequence(
        "sequence: a\nsequences: {a: {iterations: windows, inside: walk_forward}}",
        &["each kind can stand in a sequence once"],
    );
    check_sequence(
        &format!("sequence: {{iterations: windws, {phases}}}"),
        &["did you mean `windows`"],
    );
    check_sequence(
        "sequence: {iterations: once}",
        &["exactly one of `phases` and `inside`"],
    );
    check_sequence(
        "sequence: {iterations: once, phases: [{name: a, on: test}]}",
        &["phase `a` runs on a part", "on: all"],
    );
    check_sequence(
        "sequence: {iterations: once, phases: [{name: a, on: all, best_of: b}]}",
        &["`b` is unknown"],
    );
    check_sequence(
        "sequence: {iterations: once, phases: [{name: ../up, on: all}]}",
        &["cannot be a phase's name"],
    );
    check_sequence(
        "sequence: {iterations: once, phases: [{name: a, on: all}, {name: a, on: all}]}",
        &["two phases"],
    );
    check_sequence(
        "sequence: parameter_sweep\nwalk_forward: {train: 5}",
        &["no walk_forward"],
    );
}

#[test]
fn sizes_costs_and_limits_are_read_and_what_is_wrong_with_them_is_named() {
    let lines = "portfolio: {direction: long_short, sizing: {volatility: {annual: 0.2, period: 20}}, pyramiding: {max_entries: 3}}
execution: {commission: {per_share: {rate: 0.005, minimum: 1, maximum: 10, maximum_rate: 0.01}}, slippage: {rate: 0.001}, spread: {fixed: 0.02}, borrow: {annual_rate: 0.03}}
risk: {max_drawdown: 0.2}
";
    let workflow = read(&format!("workflow: parameter_sweep\n{DATA}{lines}")).expect("valid");
    let rules = &workflow.phases[0].container;
    let sizing = Sizing::Volatility {
        annual: 0.2,
        period: 20,
    };
    assert_eq!(rules.portfolio.sizing, sizing);
    assert_eq!(rules.portfolio.max_entries, 3);
    let per_share = PerShare {
        money: 0.005,
        minimum: 1.0,
        maximum: 10.0,
        maximum_rate: 0.01,
    };
    assert_eq!(rules.execution.commission, Commission::PerShare(per_share));
    let price_cost = PriceCost {
        rate: 0.001,
        fixed: 0.01,
    };
    assert_eq!(rules.execution.price_cost, price_cost);
    let borrow = rules.execution.borrow.map(|borrow| borrow.days_per_year);
    assert_eq!(borrow, Some(365.0));
    assert_eq!(rules.risk.max_drawdown, 0.2);
    assert_eq!(rules.risk.max_daily_loss, f64::INFINITY);
    for (lines, parts) in [
        (
            "portfolio: {sizing: {risk_per_trade: {percent: 1}}}",
            ["needs the distance to a stop loss", "atr"],
        ),
        (
            "portfolio: {sizing: {atr: {percent: 1, multiple: 2}}}",
            ["`period` is missing", "14"],
        ),
        (
            "portfolio: {sizing: {volatility: {annual: 0.2, period: 1}}}",
            ["period", "from 2 to"],
        ),
        (
            "portfolio: {pyramiding: {max_entries: 0}}",
            ["max_entries", "1 or more"],
        ),
        (
            "execution: {commission: {per_share: {rate: 0.005, minimum: 5, maximum: 2}}}",
            ["commission.per_share", "above `maximum` 2"],
        ),
        (
            "execution: {slippage: {rate: 0.1, fixed: 1}}",
            ["slippage", "exactly one of"],
        ),
        (
            "execution: {slippage: {rate: 0.8}, spread: {rate: 0.4}}",
            ["execution", "below 1 was expected"],
        ),
        (
            "risk: {max_drawdown: 20}",
            ["risk.max_drawdown", "`none` or a fraction"],
        ),
        (
            "risk: {max_draw_down: 0.2}",
            ["w.yaml:4:", "did you mean `max_drawdown`"],
        ),
    ] {
        check(lines, &parts);
    }
}

#[test]
fn levels_of_parts_are_read_and_what_is_wrong_with_them_is_named() {
    let lines = "exits: {scale_out: [{percent: 2, part: 0.5}, {percent: 4, part: 0.25}]}";
    let workflow = read(&format!("workflow: parameter_sweep\n{DATA}{lines}")).expect("valid");
    let rules = &workflow.phases[0].container;
    let second = rules.exits.scale_out.get(1);
    assert_eq!(second.map(|level| level.distance), Some(0.04));
    assert!(!rules.is_all_in(), "a part that was closed is cash");
    for (lines, parts) in [
        (
            "exits: {scale_out: [{percent: 2}]}",
            ["`part` is missing", "0.5"],
        ),
        (
            "exits: {scale_out: [{percent: 2, part: 1}]}",
            ["part", "below 1"],
        ),
        (
            "exits: {scale_out: [{percent: 2, part: 0.5}, {percent: 1, part: 0.5}]}",
            ["exits.scale_out", "must rise"],
        ),
    ] {
        check(lines, &parts);
    }
}

#[test]
fn a_cap_is_no_larger_than_what_open_trades_can_need() {
    let cap = |lines: &str| {
        let workflow = read(&format!("workflow: parameter_sweep\n{DATA}{lines}")).expect("valid");
        workflow.phases[0].container.trace.bytes_per_container
    };
    let all = |lines: &str| cap(&format!("event_tracing: all\n{lines}"));
    assert_eq!(all(""), 1280);
    assert_eq!(all("risk: {max_drawdown: 0.2}"), 1280 + 512);
    assert_eq!(all("trace: {bytes_per_container: 1KiB}"), 1024);
    assert_eq!(
        all("exits: {scale_out: [{percent: 1, part: 0.5}]}"),
        1280 + 288
    );
    let kinds = "event_tracing: [ORDER, FILL, POSITION_OPEN, POSITION_CLOSE]\n";
    assert_eq!(cap(kinds), 832);
    assert_eq!(
        cap(&format!(
            "{kinds}exits: {{scale_out: [{{percent: 1, part: 0.5}}]}}"
        )),
        832 + 160
    );
    // As many events as a position lives long.
    assert_eq!(cap("portfolio: {pyramiding: {max_entries: 2}}"), 64 << 10);
    let short = "portfolio: {direction: short_only}\nexecution: {borrow: {annual_rate: 0.03}}";
    assert_eq!(cap(short), 64 << 10);
}

#[test]
fn a_number_of_exits_may_be_a_parameter_that_is_swept() {
    let text = "workflow: parameter_sweep
data: {path: d.csv}
strategy:
  name: sma_crossover
  parameters: {fast: 5, slow: [10, 20], stop: [1, 2, 5], hold: 9}
  constraints: [\"stop < fast\"]
exits: {stop_loss: {percent: stop}, trailing_stop: {atr: stop, period: slow}, max_bars: hold}
";
    let workflow = read(text).expect("valid");
    let names: Vec<&str> = workflow.space.names().collect();
    assert_eq!(names, ["fast", "slow", "hold", "stop"]);
    assert_eq!(workflow.space.len(), 4);
    let rules = &workflow.phases[0].container;
    let values = [5.0, 20.0, 9.0, 2.0, 0.0, 0.0, 0.0, 0.0];
    let stop = rules.exits.stop_loss.expect("a stop").amount;
    assert_eq!(stop.of(&values), 0.02);
    assert_eq!(rules.exits.max_bars.expect("a number").of(&values), 9.0);
    let features: Vec<_> = rules.features.of(&values).collect();
    assert_eq!(features, [crate::features::Feature::Atr(20)]);
    // A run reads its settings back.
    let again = from_settings(&workflow.settings, Path::new("run.json")).expect("valid");
    assert_eq!(again.phases, workflow.phases);
    assert_eq!(again.space, workflow.space);
}

#[test]
fn wrong_exits_and_entries_are_named() {
    check(
        "exits: {stop_los: {percent: 5}}",
        &["w.yaml:4:", "did you mean `stop_loss`"],
    );
    check(
        "exits: {stop_loss: 5}",
        &["exits.stop_loss", "a map with keys percent, absolute, atr"],
    );
    check(
        "exits: {stop_loss: {percent: 5, absolute: 1}}",
        &["exactly one of percent, absolute, atr", "2 are given"],
    );
    check("exits: {stop_loss: {percent: 100}}", &["below 100"]);
    check("exits: {take_profit: {percent: 0}}", &["above 0"]);
    check("exits: {stop_loss: {atr: 2}}", &["`period` is missing"]);
    check(
        "exits: {stop_loss: {percent: 2, period: 3}}",
        &["only an atr has a period"],
    );
    check(
        "exits: {trailing_stop: {atr: 2, period: 1.5}}",
        &["exits.trailing_stop.period", "a whole number"],
    );
    check("exits: {max_bars: 0}", &["exits.max_bars", "from 1"]);
    check("exits: {anchor: close}", &["signal_close, fill"]);
    check(
        "exits: {stop_loss: {percent: slo}}",
        &["exits.stop_loss.percent", "did you mean `slow`"],
    );
    check(
        "phase_overrides: {sweep: {exits: {stop_loss: {percent: stop}}}}",
        &["`stop` is no parameter", "strategy.parameters"],
    );
    // A window of the strategy that serves as a percentage is held to both.
    let text = DATA.replace("[10, 20]", "[10, 200]");
    let lines = "exits: {stop_loss: {percent: slow}}";
    let error =
        read(&format!("workflow: parameter_sweep\n{text}{lines}")).expect_err("200 percent");
    assert!(error.to_string().contains("below 100"), "{error}");
    check("execution: {entry: limt}", &["execution.entry", "market"]);
    check(
        "execution: {entry: {limit: {percent: 1}, stop: {percent: 1}}}",
        &["exactly one of limit, stop, stop_limit"],
    );
    check(
        "execution: {entry: {stop_limit: {stop: {percent: 1}}}}",
        &["`limit` is missing"],
    );
    check(
        "execution: {entry: {limit: {percent: 1}, time_in_force: {bars: 0}}}",
        &["execution.entry.time_in_force.bars"],
    );
}
