//! One case: a trade list, an equity curve and plain statistics.

use super::compare::Comparison;
use super::finalize::finalize;
use super::recorder::Recorder;
use super::{Scratch, Verdict, open_dataset, read_json, read_rows};
use crate::container::{ContainerRules, RuleFeatures, Span};
use crate::execution::{
    Amount, Commission, Distance, EntryRules, ExecutionRules, ExitRules, FillAt, PriceCost, Unit,
};
use crate::market::{BarBlock, BarsFile, Calendar};
use crate::portfolio::{Direction, PortfolioRules, RiskRules, Sizing};
use crate::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use crate::strategy::{self, Strategy};
use crate::topology::{Job, ParameterSet, Worker};
use crate::{Error, Result};
use admf_formats::event::EventSet;
use admf_formats::units::{PARAMETERS_MAX, QUANTUM_BARS};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Names of a strategy and its parameters in a case, and ours, in our order.
const STRATEGIES: [(&str, &str, &[&str]); 6] = [
    ("sma_cross", "sma_crossover", &["fast", "slow"]),
    ("ema_cross", "ema_crossover", &["fast", "slow"]),
    ("macd_cross", "macd_crossover", &["fast", "slow", "signal"]),
    ("rsi_revert", "rsi_bands", &["n", "lo", "hi"]),
    ("boll_revert", "bollinger_bands", &["n", "k"]),
    ("donchian", "donchian_breakout", &["enter", "exit"]),
];

/// Rules of a container that keeps no trace of its own.
pub(super) fn rules(
    portfolio: PortfolioRules,
    execution: ExecutionRules,
    exits: ExitRules,
) -> ContainerRules {
    let trace = TraceRules {
        events: EventSet::NONE,
        policy: RetentionPolicy::TradeComplete,
        bytes_per_container: 0,
        on_full: OnFull::Degrade,
        backing: Backing::Tmpfs,
        store_trades: false,
        keep: Keep::NONE,
        compression: Compression::None,
    };
    ContainerRules {
        portfolio,
        execution,
        exits,
        features: RuleFeatures::default(),
        risk: RiskRules::NONE,
        trace,
        calendar: Calendar::utc(),
    }
}

fn number(path: &Path, case: &Value, key: &str) -> Result<f64> {
    case[key].as_f64().ok_or_else(|| Error::Data {
        path: path.to_path_buf(),
        line: None,
        message: format!("`{key}` is {}, a number was expected", case[key]),
    })
}

struct Case {
    strategy: &'static dyn Strategy,
    parameters: [f64; PARAMETERS_MAX],
    rules: ContainerRules,
    finalize: bool,
}

/// The case as rules of ours, or what of it we do not do.
fn understand(path: &Path, case: &Value) -> Result<std::result::Result<Case, String>> {
    let name = case["strategy"].as_str().unwrap_or_default();
    let Some((_, ours, names)) = STRATEGIES.iter().find(|(theirs, ..)| *theirs == name) else {
        return Ok(Err(format!("strategy `{name}`")));
    };
    let Some(strategy) = strategy::by_name(ours) else {
        return Ok(Err(format!("strategy `{name}`")));
    };
    let mut parameters = [0.0; PARAMETERS_MAX];
    for (value, key) in parameters.iter_mut().zip(*names) {
        *value = number(path, &case["params"], key)?;
    }
    let direction = match case["side"].as_str() {
        Some("long") => Direction::LongOnly,
        Some("short") => Direction::ShortOnly,
        Some("flip") => Direction::LongShort,
        _ => return Ok(Err(format!("side {}", case["side"]))),
    };
    let fill = match case["fill"].as_str() {
        Some("next_open") => FillAt::NextOpen,
        Some("same_close") => FillAt::SameClose,
        _ => return Ok(Err(format!("fill {}", case["fill"]))),
    };
    let (sizing, whole_units) = match (case["size"].as_str(), case["size"].as_f64()) {
        // The oracle's program spends all cash but its last bit.
        (Some("all_in"), _) => (Sizing::FractionOfEquity(1.0 - f64::EPSILON), true),
        (None, Some(units)) => (Sizing::Quantity(units), false),
        _ => return Ok(Err(format!("size {}", case["size"]))),
    };
    let portfolio = PortfolioRules {
        initial_capital: number(path, case, "cash")?,
        direction,
        sizing,
        max_entries: 1,
        whole_units,
        close_at_end: false,
    };
    let execution = ExecutionRules {
        fill,
        commission: Commission::Rate(number(path, case, "commission")?),
        price_cost: PriceCost::NONE,
        borrow: None,
        entry: EntryRules::MARKET,
    };
    let part = |key: &str| {
        case[key].as_f64().map(|part| Distance {
            amount: Amount::Value(part),
            unit: Unit::Fraction,
        })
    };
    let exits = ExitRules {
        stop_loss: part("sl_pct"),
        take_profit: part("tp_pct"),
        ..ExitRules::NONE
    };
    let finalize = case["finalize"].as_bool().unwrap_or(false);
    Ok(Ok(Case {
        strategy,
        parameters,
        rules: rules(portfolio, execution, exits),
        finalize,
    }))
}

/// The whole series; cases are small.
#[derive(Default)]
pub(super) struct Prices {
    pub(super) open: Vec<f64>,
    pub(super) high: Vec<f64>,
    pub(super) low: Vec<f64>,
    pub(super) close: Vec<f64>,
}

impl Prices {
    fn read(bars: &BarsFile) -> Result<Prices> {
        let (mut block, mut prices) = (BarBlock::new(), Prices::default());
        for quantum in 0..bars.bars().div_ceil(QUANTUM_BARS as u64) {
            bars.read_quantum(quantum, &mut block)?;
            prices.open.extend_from_slice(&block.open[..block.bars]);
            prices.high.extend_from_slice(&block.high[..block.bars]);
            prices.low.extend_from_slice(&block.low[..block.bars]);
            prices.close.extend_from_slice(&block.close[..block.bars]);
        }
        Ok(prices)
    }
}

pub(super) fn run(folder: &Path, data: &Path) -> Result<Verdict> {
    let path = folder.join("case.json");
    let json = read_json(&path)?;
    let case = match understand(&path, &json)? {
        Ok(case) => case,
        Err(what) => return Ok(Verdict::Unsupported(what)),
    };
    let scratch = Scratch::new()?;
    let dataset = json["data_file"]
        .as_str()
        .or(json["dataset"].as_str())
        .unwrap_or_default();
    let bars = open_dataset(data, dataset, &scratch)?;
    let job = Job {
        strategy: case.strategy,
        rules: &case.rules,
        bars: &bars,
        symbol: 0,
        span: Span {
            first: 0,
            end: bars.bars(),
        },
        features_from: 0,
        // No case is sized by volatility.
        bars_per_year: f64::NAN,
        stop: &AtomicBool::new(false),
    };
    let mut worker = Worker::new(1);
    let mut recorder = Recorder::default();
    worker.run_tile(
        job,
        &[ParameterSet {
            index: 0,
            values: case.parameters,
        }],
        &mut recorder,
    )?;
    let prices = Prices::read(&bars)?;
    let mut equity = recorder.equity(&prices.close);
    if case.finalize {
        finalize(&case.rules, &mut recorder, &prices, &mut equity);
    }
    let mut comparison = Comparison::default();
    comparison.exact(
        || "bars of the data".into(),
        Some(prices.close.len() as u64),
        json["n_bars"].as_u64(),
    );
    compare_trades(&mut comparison, &recorder, &folder.join("trades.csv"))?;
    compare_equity(&mut comparison, &equity, &folder.join("equity.csv"))?;
    compare_open_position(
        &mut comparison,
        &recorder,
        &json["open_position_at_end"],
        case.finalize,
    );
    compare_statistics(
        &mut comparison,
        &recorder,
        &equity,
        &read_json(&folder.join("stats.json"))?["simple"],
    );
    Ok(match comparison.difference {
        Some(difference) => Verdict::Different(difference),
        None => Verdict::Equal {
            compared: comparison.compared,
            skipped: 0,
        },
    })
}

fn compare_trades(comparison: &mut Comparison, recorder: &Recorder, path: &Path) -> Result<()> {
    let rows = read_rows(path)?;
    for (n, ((stamp, trade), row)) in recorder.trades.iter().zip(&rows).enumerate() {
        let text = |key: &str| row.get(key).cloned().unwrap_or_default();
        let value = |key: &str| row.get(key).and_then(|text| text.parse::<f64>().ok());
        let what = |field: &'static str| move || format!("trade {n}, {field}");
        let direction = if trade.qty > 0.0 { "long" } else { "short" };
        comparison.exact(what("direction"), direction.to_owned(), text("direction"));
        comparison.exact(
            what("entry_bar"),
            Some(f64::from(trade.entry_bar)),
            value("entry_bar"),
        );
        comparison.exact(
            what("exit_bar"),
            Some(f64::from(stamp.bar)),
            value("exit_bar"),
        );
        comparison.exact(what("size"), Some(trade.qty.abs()), value("size"));
        comparison.exact(
            what("exit_reason"),
            Recorder::reason(stamp).to_owned(),
            text("exit_reason"),
        );
        comparison.near(
            what("entry_price"),
            Some(trade.entry_price),
            value("entry_price"),
            1e-9,
        );
        comparison.near(
            what("exit_price"),
            Some(trade.exit_price),
            value("exit_price"),
            1e-9,
        );
        comparison.money(what("pnl"), trade.pnl, value("pnl"), 1e-8);
        comparison.money(
            what("commission"),
            trade.commission,
            value("commission"),
            1e-8,
        );
        let gain = trade.qty.signum() * (trade.exit_price / trade.entry_price - 1.0);
        let gain = gain - trade.commission / (trade.qty.abs() * trade.entry_price);
        comparison.near(what("return"), Some(gain), value("return"), 1e-8);
    }
    comparison.exact(
        || "number of trades".into(),
        recorder.trades.len(),
        rows.len(),
    );
    Ok(())
}

fn compare_equity(comparison: &mut Comparison, equity: &[f64], path: &Path) -> Result<()> {
    let rows = read_rows(path)?;
    comparison.exact(
        || "bars of the equity curve".into(),
        equity.len(),
        rows.len(),
    );
    for (bar, (ours, row)) in equity.iter().zip(&rows).enumerate() {
        let theirs = row.get("equity").and_then(|text| text.parse().ok());
        comparison.near(|| format!("equity of bar {bar}"), Some(*ours), theirs, 1e-9);
    }
    Ok(())
}

fn compare_open_position(
    comparison: &mut Comparison,
    recorder: &Recorder,
    theirs: &Value,
    finalize: bool,
) {
    if finalize {
        return;
    }
    let ours = recorder
        .open
        .map(|(stamp, open)| (u64::from(stamp.bar), open.qty.abs()));
    let theirs = theirs["entry_bar"].as_u64().zip(theirs["size"].as_f64());
    comparison.exact(
        || "open position at the end (bar, units)".into(),
        ours,
        theirs,
    );
}

/// Plain statistics, from the trades and the curve; the folds are compared with the same numbers
/// in the grids.
fn compare_statistics(
    comparison: &mut Comparison,
    recorder: &Recorder,
    equity: &[f64],
    theirs: &Value,
) {
    let returns: Vec<f64> = equity
        .windows(2)
        .map(|pair| pair[1] / pair[0] - 1.0)
        .collect();
    let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let std_of = |values: &[f64]| {
        let mean = mean_of(values);
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0))
            .sqrt()
    };
    let pnl: Vec<f64> = recorder.trades.iter().map(|(_, trade)| trade.pnl).collect();
    let downside: Vec<f64> = returns.iter().map(|r| r.min(0.0).powi(2)).collect();
    let mut peak = f64::MIN;
    let drawdown = equity.iter().fold(0.0_f64, |worst, value| {
        peak = peak.max(*value);
        worst.max(1.0 - value / peak)
    });
    let profit: f64 = pnl.iter().filter(|pnl| **pnl > 0.0).sum();
    let loss: f64 = -pnl.iter().filter(|pnl| **pnl < 0.0).sum::<f64>();
    let wins = pnl.iter().filter(|pnl| **pnl > 0.0).count() as f64;
    let count = pnl.len() as f64;
    let held: Vec<f64> = recorder
        .trades
        .iter()
        .map(|(stamp, trade)| f64::from(stamp.bar) - f64::from(trade.entry_bar))
        .collect();
    let first = equity.first().copied().unwrap_or(f64::NAN);
    let last = equity.last().copied().unwrap_or(f64::NAN);
    let figures = [
        ("total_return", last / first - 1.0, 1e-9),
        ("final_equity", last, 1e-9),
        ("sharpe_per_bar", mean_of(&returns) / std_of(&returns), 1e-7),
        (
            "sortino_per_bar",
            mean_of(&returns) / mean_of(&downside).sqrt(),
            1e-7,
        ),
        ("max_drawdown", drawdown, 1e-7),
        ("win_rate", wins / count, 1e-9),
        ("profit_factor_cash", profit / loss, 1e-8),
        ("gross_profit", profit, 1e-8),
        ("gross_loss", loss, 1e-8),
        ("sqn", count.sqrt() * mean_of(&pnl) / std_of(&pnl), 1e-7),
        ("avg_bars_held", mean_of(&held), 1e-9),
    ];
    for (name, ours, relative) in figures {
        comparison.near(
            || name.to_owned(),
            Some(ours),
            theirs[name].as_f64(),
            relative,
        );
    }
    comparison.exact(
        || "n_trades".into(),
        Some(pnl.len() as u64),
        theirs["n_trades"].as_u64(),
    );
}
