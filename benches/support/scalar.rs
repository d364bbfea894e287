//! The baseline: the loop over bars that an expert writes by hand, one set at a time, over averages
//! that were computed before. It keeps no trade.

use super::grids::{Case, Rule, Size};

/// The series.
pub(crate) struct Series {
    /// Opens.
    pub(crate) open: Vec<f64>,
    /// Closes.
    pub(crate) close: Vec<f64>,
}

/// What one set came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Total return.
    pub(crate) total_return: f64,
    /// Mean over sample deviation of the returns per bar.
    pub(crate) sharpe: f64,
    /// Mean over downside deviation of the returns per bar.
    pub(crate) sortino: f64,
    /// Largest drawdown.
    pub(crate) drawdown: f64,
    /// Closed trades.
    pub(crate) trades: u64,
    /// Share of trades with a profit; 0 without trades.
    pub(crate) win_rate: f64,
    /// Profits over losses; 0 without losses.
    pub(crate) profit_factor: f64,
}

/// Commission per side, as a share of the value.
pub(crate) const COMMISSION: f64 = 0.001;
/// Capital.
pub(crate) const CAPITAL: f64 = 100_000.0;

/// Every indicator column that a case needs.
pub(crate) struct Columns {
    periods: Vec<u32>,
    values: Vec<Vec<f64>>,
}

impl Columns {
    /// Computes them, which is not timed.
    pub(crate) fn new(case: &Case, series: &Series) -> Columns {
        let lists = if case.rule == Rule::Rsi { 1 } else { 2 };
        let mut periods: Vec<u32> = case.lists[..lists]
            .iter()
            .flatten()
            .map(|p| *p as u32)
            .collect();
        periods.sort_unstable();
        periods.dedup();
        let column = |period: &u32| match case.rule {
            Rule::Sma => sma(&series.close, *period as usize),
            Rule::Ema => ema(&series.close, *period),
            Rule::Rsi => rsi(&series.close, *period as usize),
        };
        Columns {
            values: periods.iter().map(column).collect(),
            periods,
        }
    }

    fn of(&self, period: f64) -> &[f64] {
        let at = self.periods.binary_search(&(period as u32));
        &self.values[at.expect("every period of the case has a column")]
    }
}

/// Sums with Neumaier's correction, so that a tie of two averages is one here as well.
fn sma(close: &[f64], period: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; close.len()];
    for at in period - 1..close.len() {
        let (mut sum, mut error) = (0.0_f64, 0.0);
        for value in &close[at + 1 - period..=at] {
            let next = sum + value;
            error += if sum.abs() >= value.abs() {
                (sum - next) + value
            } else {
                (value - next) + sum
            };
            sum = next;
        }
        values[at] = (sum + error) / period as f64;
    }
    values
}

fn ema(close: &[f64], period: u32) -> Vec<f64> {
    let alpha = 2.0 / (f64::from(period) + 1.0);
    let mut value = close[0];
    let mut values: Vec<f64> = close
        .iter()
        .map(|close| {
            value += alpha * (close - value);
            value
        })
        .collect();
    values[..period as usize - 1].fill(f64::NAN);
    values
}

fn rsi(close: &[f64], period: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; close.len()];
    let (mut gains, mut losses) = (0.0, 0.0);
    for at in 1..close.len() {
        let change = close[at] - close[at - 1];
        let (gain, loss) = (change.max(0.0), (-change).max(0.0));
        let n = period as f64;
        if at <= period {
            gains += gain;
            losses += loss;
            if at < period {
                continue;
            }
            gains /= n;
            losses /= n;
        } else {
            gains = (gains * (n - 1.0) + gain) / n;
            losses = (losses * (n - 1.0) + loss) / n;
        }
        values[at] = if losses == 0.0 {
            if gains == 0.0 { 50.0 } else { 100.0 }
        } else {
            100.0 - 100.0 / (1.0 + gains / losses)
        };
    }
    values
}

/// Every set of the case.
pub(crate) fn run(case: &Case, series: &Series, columns: &Columns) -> Vec<Outcome> {
    case.sets
        .iter()
        .map(|set| match case.rule {
            Rule::Sma | Rule::Ema => {
                let (fast, slow) = (columns.of(set[0]), columns.of(set[1]));
                let up = |i: usize| fast[i - 1] < slow[i - 1] && fast[i] > slow[i];
                let down = |i: usize| fast[i - 1] > slow[i - 1] && fast[i] < slow[i];
                one(series, case.size, set[1] as usize, up, down)
            }
            Rule::Rsi => {
                let column = columns.of(set[0]);
                let (low, high) = (set[1], set[2]);
                one(
                    series,
                    case.size,
                    set[0] as usize + 1,
                    |i| column[i] < low,
                    |i| column[i] > high,
                )
            }
        })
        .collect()
}

#[inline(always)]
fn one(
    series: &Series,
    size: Size,
    first: usize,
    enter: impl Fn(usize) -> bool,
    leave: impl Fn(usize) -> bool,
) -> Outcome {
    let (open, close) = (&series.open[..], &series.close[..]);
    let bars = close.len().min(open.len());
    let (mut cash, mut units, mut cost) = (CAPITAL, 0.0, 0.0);
    let (mut previous, mut peak, mut drawdown) = (CAPITAL, CAPITAL, 0.0_f64);
    let (mut sum, mut squares, mut downside) = (0.0, 0.0, 0.0);
    let (mut trades, mut wins, mut profit, mut loss) = (0_u64, 0_u64, 0.0, 0.0);
    let mut pending = 0;
    for i in 0..bars {
        if pending == 1 {
            let price = open[i];
            match size {
                Size::AllIn => {
                    units = cash / (price * (1.0 + COMMISSION));
                    cost = cash;
                    cash = 0.0;
                }
                Size::Quantity(quantity) => {
                    units = quantity;
                    cost = units * price * (1.0 + COMMISSION);
                    cash -= cost;
                }
            }
        } else if pending == 2 {
            let value = units * open[i] * (1.0 - COMMISSION);
            cash += value;
            units = 0.0;
            let pnl = value - cost;
            trades += 1;
            if pnl > 0.0 {
                wins += 1;
                profit += pnl;
            } else {
                loss -= pnl;
            }
        }
        pending = 0;
        if i >= first {
            if units == 0.0 {
                if enter(i) {
                    pending = 1;
                }
            } else if leave(i) {
                pending = 2;
            }
        }
        let equity = cash + units * close[i];
        let change = equity / previous - 1.0;
        sum += change;
        squares += change * change;
        let down = change.min(0.0);
        downside += down * down;
        previous = equity;
        if equity > peak {
            peak = equity;
        } else {
            drawdown = drawdown.max(1.0 - equity / peak);
        }
    }
    let count = bars as f64;
    let mean = sum / count;
    let variance = (squares - count * mean * mean) / (count - 1.0);
    Outcome {
        total_return: previous / CAPITAL - 1.0,
        sharpe: if variance > 0.0 {
            mean / variance.sqrt()
        } else {
            0.0
        },
        sortino: if downside > 0.0 {
            mean / (downside / count).sqrt()
        } else {
            0.0
        },
        drawdown,
        trades,
        win_rate: if trades > 0 {
            wins as f64 / trades as f64
        } else {
            0.0
        },
        profit_factor: if loss > 0.0 { profit / loss } else { 0.0 },
    }
}
