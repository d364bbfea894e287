//! Metrics: ratios made of a result record's folds.
//!
//! A pure function of the record and the bars per year, so a reported figure and one recomputed
//! from a trace cannot differ. Conventions follow empyrical (`empyrical/stats.py`) with a
//! required return and a risk-free rate of zero. Figures that do not exist are `None`, `null` in
//! JSON, never zero: a strategy without a trade has no win rate. Leaves out everything that needs
//! more than one pass.

use crate::result::ResultRecord;
use crate::units::finite;
use serde::Serialize;

/// The metrics of one container.
///
/// Ratios are fractions, not percent. Money is in the currency of the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Mean / sample standard deviation (n - 1) of per-bar returns, times the square root of bars
    /// per year. Null below two returns and where the deviation is zero.
    ///
    /// Source: empyrical `sharpe_ratio`, `ddof=1`.
    pub sharpe_ratio: Option<f64>,
    /// Mean of per-bar returns / square root of the mean square of the negative ones (over all
    /// returns, not only the negative), times the square root of bars per year. Null without a
    /// negative return.
    ///
    /// Source: empyrical `sortino_ratio` and `downside_risk`.
    pub sortino_ratio: Option<f64>,
    /// `annual_return / max_drawdown`. Null without a drawdown.
    ///
    /// Source: empyrical `calmar_ratio`.
    pub calmar_ratio: Option<f64>,
    /// `current_value / initial capital - 1`. Null without initial capital.
    pub total_return: Option<f64>,
    /// `(1 + total_return) ^ (bars per year / returns) - 1`. Null without a return, below a total
    /// return of -1, and where it exceeds the numbers that JSON can hold.
    ///
    /// Source: empyrical `annual_return` (CAGR).
    pub annual_return: Option<f64>,
    /// Largest `1 - equity / peak so far` at a close, as a positive fraction.
    ///
    /// Source: empyrical `max_drawdown`, with the sign turned.
    pub max_drawdown: f64,
    /// `1 - current_value / peak_value`. Null without a peak.
    pub current_drawdown: Option<f64>,
    /// Trades with a profit / trades. Null without a trade.
    pub win_rate: Option<f64>,
    /// `gross_profit / gross_loss`. Null without a loss.
    pub profit_factor: Option<f64>,
    /// Closed trades.
    pub total_trades: u64,
    /// Closed trades with a profit.
    pub winning_trades: u64,
    /// Closed trades with a loss; a trade of exactly zero is neither.
    pub losing_trades: u64,
    /// Sum of profits and losses of closed trades, commissions deducted.
    pub total_pnl: f64,
    /// Sum of profits of closed trades.
    pub gross_profit: f64,
    /// Sum of losses of closed trades, as a positive number.
    pub gross_loss: f64,
    /// Commissions of closed trades.
    pub commission_paid: f64,
    /// Bars at whose close units were held / bars. Null without a bar.
    pub exposure: Option<f64>,
    /// Equity at the last close.
    pub current_value: f64,
    /// Highest equity at a close, the initial capital counted.
    pub peak_value: f64,
    /// Positions open at the end: 0 or 1.
    pub open_positions: u64,
    /// Bars per year that annualised figures are made with.
    pub bars_per_year: f64,
}

impl Metrics {
    /// Names that [`Metrics::get`] knows, in the order of the fields: what an objective, a
    /// constraint on results and the statistics of a phase may name.
    pub const OBJECTIVES: [&str; 21] = [
        "sharpe_ratio",
        "sortino_ratio",
        "calmar_ratio",
        "total_return",
        "annual_return",
        "max_drawdown",
        "current_drawdown",
        "win_rate",
        "profit_factor",
        "total_trades",
        "winning_trades",
        "losing_trades",
        "total_pnl",
        "gross_profit",
        "gross_loss",
        "commission_paid",
        "exposure",
        "current_value",
        "peak_value",
        "open_positions",
        "bars_per_year",
    ];

    /// Metrics of which less is better, or neither: an objective says itself which way it goes.
    pub const NOT_LARGER_IS_BETTER: [&str; 8] = [
        "max_drawdown",
        "current_drawdown",
        "losing_trades",
        "gross_loss",
        "commission_paid",
        "exposure",
        "open_positions",
        "bars_per_year",
    ];

    /// The metrics of a record.
    ///
    /// A window of `bars` closes has `bars - 1` returns.
    pub fn of(record: &ResultRecord, bars_per_year: f64) -> Metrics {
        let (equity, trades) = (&record.equity, &record.trades);
        let returns = equity.bars.saturating_sub(1) as f64;
        let per_year = bars_per_year.sqrt();
        let mean = equity.return_sum / returns;
        let total_return = ratio(equity.last, equity.initial).map(|growth| growth - 1.0);
        let annual_return = total_return.and_then(|total| annual(total, bars_per_year, returns));
        Metrics {
            sharpe_ratio: deviation(returns, mean, equity.return_square_sum)
                .and_then(|deviation| finite(mean / deviation * per_year)),
            sortino_ratio: ratio(equity.downside_square_sum, returns)
                .and_then(|square| ratio(mean, square.sqrt()))
                .and_then(|sortino| finite(sortino * per_year)),
            calmar_ratio: annual_return.and_then(|annual| ratio(annual, equity.drawdown_max)),
            total_return,
            annual_return,
            max_drawdown: equity.drawdown_max,
            current_drawdown: ratio(equity.last, equity.peak).map(|share| 1.0 - share),
            win_rate: ratio(trades.winning as f64, trades.trades as f64),
            profit_factor: ratio(trades.gross_profit, trades.gross_loss),
            total_trades: trades.trades,
            winning_trades: trades.winning,
            losing_trades: trades.losing,
            total_pnl: trades.pnl,
            gross_profit: trades.gross_profit,
            gross_loss: trades.gross_loss,
            commission_paid: trades.commission,
            exposure: ratio(equity.bars_in_market as f64, equity.bars as f64),
            current_value: equity.last,
            peak_value: equity.peak,
            open_positions: u64::from(equity.units != 0.0),
            bars_per_year,
        }
    }

    /// The value of a metric, always finite; `None` where it is null, and for a name that is not
    /// in [`Metrics::OBJECTIVES`].
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "sharpe_ratio" => self.sharpe_ratio,
            "sortino_ratio" => self.sortino_ratio,
            "calmar_ratio" => self.calmar_ratio,
            "total_return" => self.total_return,
            "annual_return" => self.annual_return,
            "max_drawdown" => finite(self.max_drawdown),
            "current_drawdown" => self.current_drawdown,
            "win_rate" => self.win_rate,
            "profit_factor" => self.profit_factor,
            "total_trades" => Some(self.total_trades as f64),
            "winning_trades" => Some(self.winning_trades as f64),
            "losing_trades" => Some(self.losing_trades as f64),
            "total_pnl" => finite(self.total_pnl),
            "gross_profit" => finite(self.gross_profit),
            "gross_loss" => finite(self.gross_loss),
            "commission_paid" => finite(self.commission_paid),
            "exposure" => self.exposure,
            "current_value" => finite(self.current_value),
            "peak_value" => finite(self.peak_value),
            "open_positions" => Some(self.open_positions as f64),
            "bars_per_year" => finite(self.bars_per_year),
            _ => None,
        }
    }
}

/// `part / whole`, or `None` where the whole is zero or the ratio is not finite.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    if whole == 0.0 {
        return None;
    }
    finite(part / whole)
}

/// Sample standard deviation from sums; `None` below two returns and where it is not positive.
fn deviation(returns: f64, mean: f64, square_sum: f64) -> Option<f64> {
    if returns < 2.0 {
        return None;
    }
    let variance = (square_sum - returns * mean * mean) / (returns - 1.0);
    (variance > 0.0).then(|| variance.sqrt())
}

/// Growth per year. The power is libm's in software, so that every machine gives the same bytes.
fn annual(total_return: f64, bars_per_year: f64, returns: f64) -> Option<f64> {
    // A power of a negative number exists only where the exponent happens to be whole.
    if returns < 1.0 || total_return < -1.0 {
        return None;
    }
    finite(libm::pow(1.0 + total_return, bars_per_year / returns) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{EquityTotals, Ledger, TradeTotals};
    use proptest::prelude::*;

    fn record(equity: EquityTotals, trades: TradeTotals) -> ResultRecord {
        ResultRecord {
            index: 0,
            first_bar: 0,
            events: 0,
            status: 1,
            symbol: 0,
            parameters: [0.0; 8],
            equity,
            trades,
            ledger: Ledger::default(),
        }
    }

    /// Folds an equity curve bar by bar.
    fn fold(curve: &[f64]) -> EquityTotals {
        let mut totals = EquityTotals {
            bars: curve.len() as u64,
            initial: curve[0],
            last: curve[curve.len() - 1],
            ..EquityTotals::default()
        };
        for value in curve {
            totals.peak = totals.peak.max(*value);
            totals.drawdown_max = totals.drawdown_max.max(1.0 - value / totals.peak);
        }
        for pair in curve.windows(2) {
            let change = pair[1] / pair[0] - 1.0;
            totals.return_sum += change;
            totals.return_square_sum += change * change;
            totals.downside_square_sum += change.min(0.0) * change.min(0.0);
        }
        totals
    }

    fn check(actual: Option<f64>, expected: f64) {
        let actual = actual.expect("the figure exists");
        let allowed = 1e-9 * expected.abs().max(1.0);
        assert!(
            (actual - expected).abs() <= allowed,
            "{actual} is not {expected}"
        );
    }

    proptest! {
        #[test]
        fn metrics_are_those_of_two_passes_over_the_curve(
            changes in prop::collection::vec(-0.05..0.05_f64, 2..400),
            bars_per_year in 12.0..20_000.0_f64,
        ) {
            let mut curve = vec![1e5];
            for change in &changes {
                curve.push(curve[curve.len() - 1] * (1.0 + change));
            }
            let metrics = Metrics::of(&record(fold(&curve), TradeTotals::default()), bars_per_year);

            let returns: Vec<f64> = curve.windows(2).map(|pair| (pair[1] - pair[0]) / pair[0]).collect();
            let count = returns.len() as f64;
            let mean = returns.iter().sum::<f64>() / count;
            let squares = returns.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
            let deviation = (squares / (count - 1.0)).sqrt();
            // Below this the folded sums have lost the digits that are compared.
            prop_assume!(deviation > 1e-3);
            check(metrics.sharpe_ratio, mean * bars_per_year / (deviation * bars_per_year.sqrt()));
            let below: Vec<f64> = returns.iter().copied().filter(|one| *one < 0.0).collect();
            let downside = (below.iter().map(|one| one * one).sum::<f64>() / count).sqrt();
            if downside > 1e-3 {
                check(metrics.sortino_ratio, mean / downside * bars_per_year.sqrt());
            }
            let growth = curve[curve.len() - 1] / curve[0];
            check(metrics.total_return, growth - 1.0);
            let years = count / bars_per_year;
            let annual = (growth.ln() / years).exp_m1();
            if annual.is_finite() && growth.ln().abs() / years < 20.0 {
                let actual = metrics.annual_return.expect("it exists");
                prop_assert!((actual - annual).abs() <= 1e-9 * (1.0 + annual.abs()));
            }
            let worst = (0..curve.len())
                .flat_map(|end| (0..=end).map(move |start| (start, end)))
                .map(|(start, end)| 1.0 - curve[end] / curve[start])
                .fold(0.0, f64::max);
            check(Some(metrics.max_drawdown), worst);
        }
    }

    #[test]
    fn what_does_not_exist_is_null() {
        let metrics = Metrics::of(
            &record(EquityTotals::default(), TradeTotals::default()),
            252.0,
        );
        for name in [
            "sharpe_ratio",
            "sortino_ratio",
            "calmar_ratio",
            "total_return",
            "annual_return",
            "current_drawdown",
            "win_rate",
            "profit_factor",
            "exposure",
        ] {
            assert_eq!(metrics.get(name), None, "{name}");
        }
        assert_eq!(metrics.get("no_such_metric"), None);
    }

    #[test]
    fn every_metric_can_be_named() {
        let trades = TradeTotals {
            trades: 9,
            winning: 5,
            losing: 3,
            gross_profit: 8.0,
            gross_loss: 2.5,
            pnl: 5.5,
            commission: 0.25,
        };
        let metrics = Metrics::of(&record(fold(&[10.0, 12.0, 9.0, 11.0]), trades), 252.0);
        let written = serde_json::to_value(&metrics).expect("metrics are JSON");
        let written = written.as_object().expect("an object");
        assert_eq!(written.len(), Metrics::OBJECTIVES.len());
        for name in Metrics::OBJECTIVES {
            assert_eq!(metrics.get(name), written[name].as_f64(), "{name}");
        }
        for name in Metrics::NOT_LARGER_IS_BETTER {
            assert!(Metrics::OBJECTIVES.contains(&name), "{name}");
        }
    }

    #[test]
    fn a_flat_curve_has_a_return_of_zero_and_no_ratios() {
        let metrics = Metrics::of(&record(fold(&[1e5; 10]), TradeTotals::default()), 252.0);
        assert_eq!(metrics.total_return, Some(0.0));
        assert_eq!(metrics.annual_return, Some(0.0));
        assert_eq!(metrics.sharpe_ratio, None);
        assert_eq!(metrics.sortino_ratio, None);
        assert_eq!(metrics.calmar_ratio, None);
    }

    #[test]
    fn trades_without_a_loss_have_no_profit_factor() {
        let trades = TradeTotals {
            trades: 4,
            winning: 3,
            gross_profit: 9.0,
            pnl: 9.0,
            ..TradeTotals::default()
        };
        let metrics = Metrics::of(&record(fold(&[1.0, 2.0]), trades), 252.0);
        assert_eq!(metrics.profit_factor, None);
        assert_eq!(metrics.win_rate, Some(0.75));
        let trades = TradeTotals {
            gross_loss: 6.0,
            losing: 1,
            ..trades
        };
        let metrics = Metrics::of(&record(fold(&[1.0, 2.0]), trades), 252.0);
        assert_eq!(metrics.profit_factor, Some(1.5));
    }

    #[test]
    fn a_lost_fortune_has_no_annual_return() {
        let metrics = Metrics::of(&record(fold(&[100.0, -1.0]), TradeTotals::default()), 252.0);
        assert_eq!(metrics.annual_return, None);
        let metrics = Metrics::of(&record(fold(&[100.0, 0.0]), TradeTotals::default()), 252.0);
        assert_eq!(metrics.annual_return, Some(-1.0));
    }
}
