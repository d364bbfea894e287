//! A grid: results of many parameter sets, as the engine's own folds give them.

use super::case::rules;
use super::compare::Comparison;
use super::recorder::Nothing;
use super::{Scratch, Verdict, open_dataset, read_json, read_rows};
use crate::Result;
use crate::container::Span;
use crate::execution::{Commission, EntryRules, ExecutionRules, ExitRules, FillAt, PriceCost};
use crate::portfolio::{Direction, PortfolioRules, Sizing};
use crate::strategy;
use crate::topology::{Job, ParameterSet, Worker};
use admf_formats::result::{Ledger, Status};
use admf_formats::units::PARAMETERS_MAX;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Parameter sets that are driven together.
const TILE: usize = 1024;

pub(super) fn run(folder: &Path, data: &Path) -> Result<Verdict> {
    let json = read_json(&folder.join("grid.json"))?;
    let is_fractional = json["size"]
        .as_str()
        .is_some_and(|size| size.starts_with("all_in_fractional"));
    if !is_fractional || json["fill"] != "next_open" || json["finalize"] == true {
        return Ok(Verdict::Unsupported(format!(
            "grid with size {}, fill {}, finalize {}",
            json["size"], json["fill"], json["finalize"]
        )));
    }
    let scratch = Scratch::new()?;
    let bars = open_dataset(data, json["dataset"].as_str().unwrap_or_default(), &scratch)?;
    let portfolio = PortfolioRules {
        initial_capital: json["cash"].as_f64().unwrap_or(f64::NAN),
        direction: Direction::LongOnly,
        sizing: Sizing::FractionOfEquity(1.0),
        max_entries: 1,
        whole_units: false,
        close_at_end: false,
    };
    let execution = ExecutionRules {
        fill: FillAt::NextOpen,
        commission: Commission::Rate(json["commission"].as_f64().unwrap_or(f64::NAN)),
        price_cost: PriceCost::NONE,
        borrow: None,
        entry: EntryRules::MARKET,
    };
    let rules = rules(portfolio, execution, ExitRules::NONE);
    let strategy = strategy::by_name("sma_crossover").expect("a built-in strategy");
    let stop = AtomicBool::new(false);
    let span = Span {
        first: 0,
        end: bars.bars(),
    };
    let job = Job {
        strategy,
        rules: &rules,
        bars: &bars,
        symbol: 0,
        span,
        features_from: 0,
        // No case is sized by volatility.
        bars_per_year: f64::NAN,
        stop: &stop,
    };
    let rows = read_rows(&folder.join("grid.csv"))?;
    let value =
        |row: usize, key: &str| rows[row].get(key).and_then(|text| text.parse::<f64>().ok());
    let mut comparison = Comparison::default();
    let mut skipped = 0;
    let mut worker = Worker::new(TILE);
    for first in (0..rows.len()).step_by(TILE) {
        let sets: Vec<ParameterSet> = (first..rows.len().min(first + TILE))
            .map(|row| {
                let mut values = [0.0; PARAMETERS_MAX];
                values[0] = value(row, "fast").unwrap_or(f64::NAN);
                values[1] = value(row, "slow").unwrap_or(f64::NAN);
                ParameterSet {
                    index: row as u64,
                    values,
                }
            })
            .collect();
        worker.run_tile(job, &sets, &mut Nothing)?;
        for container in &worker.containers {
            let row = container.index as usize;
            if value(row, "robust") == Some(0.0) {
                skipped += 1;
                continue;
            }
            let record = container.result(Status::Completed, Ledger::default());
            let (equity, trades) = (record.equity, record.trades);
            let what = |field: &'static str| {
                let (fast, slow) = (value(row, "fast"), value(row, "slow"));
                move || format!("fast {fast:?} slow {slow:?}, {field}")
            };
            let count = trades.trades as f64;
            let bars = equity.bars as f64 - 1.0;
            let mean = equity.return_sum / bars;
            let variance = (equity.return_square_sum - bars * mean * mean) / (bars - 1.0);
            comparison.exact(
                what("n_closed_trades"),
                Some(count),
                value(row, "n_closed_trades"),
            );
            let total_return = equity.last / equity.initial - 1.0;
            comparison.near(
                what("total_return"),
                Some(total_return),
                value(row, "total_return"),
                1e-8,
            );
            let sharpe = mean / variance.sqrt();
            comparison.near(
                what("sharpe_per_bar"),
                Some(sharpe),
                value(row, "sharpe_per_bar"),
                1e-7,
            );
            comparison.near(
                what("max_drawdown"),
                Some(equity.drawdown_max),
                value(row, "max_drawdown"),
                1e-7,
            );
            let win_rate = trades.winning as f64 / count;
            comparison.near(
                what("win_rate"),
                Some(win_rate),
                value(row, "win_rate"),
                1e-9,
            );
            let profit_factor = trades.gross_profit / trades.gross_loss;
            comparison.near(
                what("profit_factor_cash"),
                Some(profit_factor),
                value(row, "profit_factor_cash"),
                1e-8,
            );
        }
    }
    Ok(match comparison.difference {
        Some(difference) => Verdict::Different(difference),
        None => Verdict::Equal {
            compared: comparison.compared,
            skipped,
        },
    })
}
