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
    /// Commissions of all fills.
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
    /// `(1 + total_return) ^ (1 / years) - 1`, by the calendar. Null as `annual_return`.
    ///
    /// Source: backtesting.py `CAGR [%]`.
    pub cagr: Option<f64>,
    /// Years of 365.25 days from the first to the last bar.
    pub years: f64,
    /// Sample standard deviation (n - 1) of per-bar returns, times the square root of bars per
    /// year. Null below two returns and where it is not positive.
    ///
    /// Source: empyrical `annual_volatility`.
    pub volatility: Option<f64>,
    /// Square root of the number of trades, times mean / sample standard deviation (n - 1) of
    /// their profit or loss. Null below two trades and where the deviation is not positive.
    ///
    /// Source: Van Tharp's System Quality Number, without his cap at 100 trades.
    pub sqn: Option<f64>,
    /// `total_pnl / total_trades`, in money. Null without a trade.
    pub expectancy: Option<f64>,
    /// Mean of the deepest points of all runs of closes below the peak before them; the last run
    /// is counted where it has not ended. Null without one.
    ///
    /// Source: backtesting.py `Avg. Drawdown [%]`, with the sign turned.
    pub avg_drawdown: Option<f64>,
    /// Closes of the longest run below the peak.
    pub longest_drawdown_bars: u64,
    /// Mean of `exit bar - entry bar`. Null without a trade.
    pub avg_bars_held: Option<f64>,
    /// Sum over all fills of value / equity, per year: times bars per year / bars. Null without a
    /// bar.
    ///
    /// Source: pyfolio `get_turnover`, of the portfolio's value.
    pub turnover: Option<f64>,
    /// Commissions, slippage, spread and borrow fees of all fills.
    pub costs_paid: f64,
    /// Slippage and spread of all fills: what prices were worse than their reference.
    pub slippage_paid: f64,
    /// Borrow fees.
    pub borrow_paid: f64,
    /// Mean of the maximum adverse excursions of closed trades, as fractions of their entry
    /// prices. Null without a trade.
    ///
    /// Source: Sweeney, Maximum Adverse Excursion.
    pub avg_mae: Option<f64>,
    /// Mean of the maximum favourable excursions, likewise.
    pub avg_mfe: Option<f64>,
    /// Largest maximum adverse excursion.
    pub max_mae: f64,
    /// Rejected orders.
    pub rejected_orders: u64,
    /// Orders that expired or were cancelled.
    pub unfilled_orders: u64,
    /// Breaches of risk limits.
    pub risk_breaches: u64,
}

/// Nanoseconds of a year of 365.25 days.
const YEAR_NS: f64 = 365.25 * 86_400e9;

impl Metrics {
    /// Names that [`Metrics::get`] knows, in the order of the fields: what an objective, a
    /// constraint on results and the statistics of a phase may name.
    pub const OBJECTIVES: [&str; 39] = [
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
        "cagr",
        "years",
        "volatility",
        "sqn",
        "expectancy",
        "avg_drawdown",
        "longest_drawdown_bars",
        "avg_bars_held",
        "turnover",
        "costs_paid",
        "slippage_paid",
        "borrow_paid",
        "avg_mae",
        "avg_mfe",
        "max_mae",
        "rejected_orders",
        "unfilled_orders",
        "risk_breaches",
    ];

    /// Metrics of which less is better, or neither: an objective says itself which way it goes.
    pub const NOT_LARGER_IS_BETTER: [&str; 22] = [
        "max_drawdown",
        "current_drawdown",
        "losing_trades",
        "gross_loss",
        "commission_paid",
        "exposure",
        "open_positions",
        "bars_per_year",
        "years",
        "volatility",
        "avg_drawdown",
        "longest_drawdown_bars",
        "avg_bars_held",
        "turnover",
        "costs_paid",
        "slippage_paid",
        "borrow_paid",
        "avg_mae",
        "max_mae",
        "rejected_orders",
        "unfilled_orders",
        "risk_breaches",
    ];

    /// The metrics of a record.
    ///
    /// A window of `bars` closes has `bars - 1` returns.
    pub fn of(record: &ResultRecord, bars_per_year: f64) -> Metrics {
        let (equity, trades, execution) = (&record.equity, &record.trades, &record.execution);
        let returns = equity.bars.saturating_sub(1) as f64;
        let per_year = bars_per_year.sqrt();
        let mean = equity.return_sum / returns;
        let total_return = ratio(equity.last, equity.initial).map(|growth| growth - 1.0);
        let log_growth = total_return.and_then(log_growth);
        let annual_return = log_growth
            .filter(|_| returns >= 1.0)
            .and_then(|log| annual(log, bars_per_year / returns));
        let years = (record.last_ts_ns - record.first_ts_ns) as f64 / YEAR_NS;
        let count = trades.trades as f64;
        let pnl = trades.pnl / count;
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
            commission_paid: execution.commission,
            exposure: ratio(equity.bars_in_market as f64, equity.bars as f64),
            current_value: equity.last,
            peak_value: equity.peak,
            open_positions: u64::from(equity.units != 0.0),
            bars_per_year,
            cagr: log_growth
                .filter(|_| years > 0.0)
                .and_then(|log| annual(log, 1.0 / years)),
            years,
            volatility: deviation(returns, mean, equity.return_square_sum)
                .and_then(|deviation| finite(deviation * per_year)),
            sqn: deviation(count, pnl, trades.pnl_square_sum)
                .and_then(|deviation| finite(pnl / deviation * count.sqrt())),
            expectancy: ratio(trades.pnl, count),
            avg_drawdown: ratio(equity.drawdown_sum, equity.drawdowns as f64),
            longest_drawdown_bars: equity.drawdown_bars_max,
            avg_bars_held: ratio(trades.bars_held as f64, count),
            turnover: ratio(execution.turnover * bars_per_year, equity.bars as f64),
            costs_paid: execution.commission + execution.slippage + execution.borrow,
            slippage_paid: execution.slippage,
            borrow_paid: execution.borrow,
            avg_mae: ratio(trades.mae_sum, count),
            avg_mfe: ratio(trades.mfe_sum, count),
            max_mae: trades.mae_max,
            rejected_orders: execution.rejected,
            unfilled_orders: execution.unfilled,
            risk_breaches: execution.breaches,
        }
    }

    /// Every value in the order of [`Metrics::OBJECTIVES`]; NaN where it is null.
    pub fn values(&self) -> [f64; Metrics::OBJECTIVES.len()] {
        let or_nan = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let mut values = [
            or_nan(self.sharpe_ratio),
            or_nan(self.sortino_ratio),
            or_nan(self.calmar_ratio),
            or_nan(self.total_return),
            or_nan(self.annual_return),
            self.max_drawdown,
            or_nan(self.current_drawdown),
            or_nan(self.win_rate),
            or_nan(self.profit_factor),
            self.total_trades as f64,
            self.winning_trades as f64,
            self.losing_trades as f64,
            self.total_pnl,
            self.gross_profit,
            self.gross_loss,
            self.commission_paid,
            or_nan(self.exposure),
            self.current_value,
            self.peak_value,
            self.open_positions as f64,
            self.bars_per_year,
            or_nan(self.cagr),
            self.years,
            or_nan(self.volatility),
            or_nan(self.sqn),
            or_nan(self.expectancy),
            or_nan(self.avg_drawdown),
            self.longest_drawdown_bars as f64,
            or_nan(self.avg_bars_held),
            or_nan(self.turnover),
            self.costs_paid,
            self.slippage_paid,
            self.borrow_paid,
            or_nan(self.avg_mae),
            or_nan(self.avg_mfe),
            self.max_mae,
            self.rejected_orders as f64,
            self.unfilled_orders as f64,
            self.risk_breaches as f64,
        ];
        // In place: several at a time.
        for value in &mut values {
            *value = if value.is_finite() { *value } else { f64::NAN };
        }
        values
    }

    /// The value of a metric, always finite; `None` where it is null, and for a name that is not
    /// in [`Metrics::OBJECTIVES`].
    pub fn get(&self, name: &str) -> Option<f64> {
        let at = Metrics::OBJECTIVES
            .iter()
            .position(|known| *known == name)?;
        finite(self.values()[at])
    }
}

/// `part / whole`, or `None` where the whole is zero or the ratio is not finite.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    if whole == 0.0 {
        return None;
    }
    finite(part / whole)
}

/// Sample standard deviation from sums; `None` below two values and where it is not positive.
fn deviation(count: f64, mean: f64, square_sum: f64) -> Option<f64> {
    if count < 2.0 {
        return None;
    }
    let variance = (square_sum - count * mean * mean) / (count - 1.0);
    (variance > 0.0).then(|| variance.sqrt())
}

/// The logarithm of what one unit grew to. It and the exponential are libm's in software, so that every
/// machine gives the same bytes.
fn log_growth(total_return: f64) -> Option<f64> {
    // A power of a negative number exists only where the exponent happens to be whole.
    (total_return >= -1.0).then(|| libm::log1p(total_return))
}

/// Growth per year, `(1 + total return) ^ exponent - 1`.
fn annual(log_growth: f64, exponent: f64) -> Option<f64> {
    finite(libm::expm1(log_growth * exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{EquityTotals, ExecutionTotals, Ledger, TradeTotals};
    use proptest::prelude::*;

    fn record(equity: EquityTotals, trades: TradeTotals) -> ResultRecord {
        ResultRecord {
            index: 0,
            first_bar: 0,
            events: 0,
            first_ts_ns: 0,
            last_ts_ns: 2 * YEAR_NS as i64,
            status: 1,
            symbol: 0,
            parameters: [0.0; 8],
            equity,
            trades,
            execution: ExecutionTotals::default(),
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
            check(metrics.volatility, deviation * bars_per_year.sqrt());
            check(metrics.cagr, (curve[curve.len() - 1] / curve[0]).sqrt() - 1.0);
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
            pnl_square_sum: 90.5,
            bars_held: 45,
            mae_sum: 0.75,
            mfe_sum: 0.875,
            mae_max: 0.5,
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
    fn trades_have_their_expectancy_and_quality() {
        let pnl = [8.0, -2.5, 3.0, -1.0];
        let trades = TradeTotals {
            trades: 4,
            pnl: pnl.iter().sum(),
            pnl_square_sum: pnl.iter().map(|one| one * one).sum(),
            bars_held: 10,
            ..TradeTotals::default()
        };
        let metrics = Metrics::of(&record(fold(&[1.0, 2.0]), trades), 252.0);
        let mean = pnl.iter().sum::<f64>() / 4.0;
        let squares: f64 = pnl.iter().map(|one| (one - mean).powi(2)).sum();
        check(metrics.sqn, 2.0 * mean / (squares / 3.0).sqrt());
        check(metrics.expectancy, 1.875);
        check(metrics.avg_bars_held, 2.5);
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
