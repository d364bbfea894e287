//! The baseline: the loop over bars that an expert writes by hand, one set at a time, over averages
//! that were computed before. It keeps no trade.

use super::grids::{Case, Rule, Size};

/// The series.
pub(crate) struct Series {
    /// Opens.
    pub(crate) open: Vec<f64>,
    /// Highs.
    pub(crate) high: Vec<f64>,
    /// Lows.
    pub(crate) low: Vec<f64>,
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

/// Which indicator column, with its parameters.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Sma(usize),
    Ema(u32),
    Rsi(usize),
    Macd(u32, u32),
    MacdSignal(u32, u32, u32),
    Lower(usize, f64),
    Highest(usize),
    Lowest(usize),
}

impl Line {
    fn compute(self, series: &Series) -> Vec<f64> {
        let close = &series.close;
        match self {
            Line::Sma(period) => sma(close, period),
            Line::Ema(period) => hidden(ema(close, period), period as usize - 1),
            Line::Rsi(period) => rsi(close, period),
            Line::Macd(fast, slow) => macd(close, fast, slow),
            Line::MacdSignal(fast, slow, signal) => {
                let line = ema(&macd(close, fast, slow), signal);
                hidden(line, (slow + signal) as usize - 2)
            }
            Line::Lower(period, width) => lower_band(close, period, width),
            Line::Highest(period) => channel(&series.high, period, f64::max),
            Line::Lowest(period) => channel(&series.low, period, f64::min),
        }
    }

    /// The lines that a set looks at.
    fn of(rule: Rule, set: &[f64]) -> Vec<Line> {
        let whole = |at: usize| set[at] as u32;
        let long = |at: usize| set[at] as usize;
        match rule {
            Rule::Sma => vec![Line::Sma(long(0)), Line::Sma(long(1))],
            Rule::Ema => vec![Line::Ema(whole(0)), Line::Ema(whole(1))],
            Rule::Rsi => vec![Line::Rsi(long(0))],
            Rule::Macd => vec![
                Line::Macd(whole(0), whole(1)),
                Line::MacdSignal(whole(0), whole(1), whole(2)),
            ],
            Rule::Bollinger => vec![Line::Lower(long(0), set[1]), Line::Sma(long(0))],
            Rule::Donchian => vec![Line::Highest(long(0)), Line::Lowest(long(1))],
        }
    }
}

/// Every indicator column that a case needs.
pub(crate) struct Columns {
    lines: Vec<Line>,
    values: Vec<Vec<f64>>,
    /// For each set, where its lines are.
    places: Vec<Vec<usize>>,
}

impl Columns {
    /// Computes them, which is not timed.
    pub(crate) fn new(case: &Case, series: &Series) -> Columns {
        let mut columns = Columns {
            lines: Vec::new(),
            values: Vec::new(),
            places: Vec::new(),
        };
        for set in &case.sets {
            let lines = Line::of(case.rule, set);
            let places = lines.into_iter().map(|line| columns.place(line, series));
            let places = places.collect();
            columns.places.push(places);
        }
        columns
    }

    fn place(&mut self, line: Line, series: &Series) -> usize {
        if let Some(known) = self.lines.iter().position(|known| *known == line) {
            return known;
        }
        self.lines.push(line);
        self.values.push(line.compute(series));
        self.lines.len() - 1
    }
}

fn hidden(mut values: Vec<f64>, first: usize) -> Vec<f64> {
    values[..first].fill(f64::NAN);
    values
}

fn macd(close: &[f64], fast: u32, slow: u32) -> Vec<f64> {
    let lines = ema(close, fast).into_iter().zip(ema(close, slow));
    lines.map(|(fast, slow)| fast - slow).collect()
}

fn lower_band(close: &[f64], period: usize, width: f64) -> Vec<f64> {
    let mut values = sma(close, period);
    for at in period - 1..close.len() {
        let window = &close[at + 1 - period..=at];
        let mean = values[at];
        let squares: f64 = window.iter().map(|value| (value - mean).powi(2)).sum();
        values[at] = mean - width * (squares / period as f64).sqrt();
    }
    values
}

/// Extremes of the `period` bars before.
fn channel(values: &[f64], period: usize, extreme: fn(f64, f64) -> f64) -> Vec<f64> {
    let of = |at: usize| {
        let before = values[..at].iter().rev().take(period);
        before.copied().reduce(extreme).filter(|_| at >= period)
    };
    (0..values.len())
        .map(|at| of(at).unwrap_or(f64::NAN))
        .collect()
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
    let step = |close: &f64| {
        value += alpha * (close - value);
        value
    };
    close.iter().map(step).collect()
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
    let close = &series.close;
    let sets = case.sets.iter().zip(&columns.places);
    sets.map(|(set, places)| {
        let line = |which: usize| &columns.values[places[which]][..];
        // First bar that may decide: one after the first on which every line is defined.
        let last = |period: f64| period as usize;
        match case.rule {
            Rule::Sma | Rule::Ema | Rule::Macd => {
                let (a, b) = (line(0), line(1));
                let first = match case.rule {
                    Rule::Macd => last(set[1] + set[2]) - 1,
                    _ => last(set[0].max(set[1])),
                };
                let up = |i: usize| a[i - 1] < b[i - 1] && a[i] > b[i];
                let down = |i: usize| a[i - 1] > b[i - 1] && a[i] < b[i];
                one(series, case, first, up, down)
            }
            Rule::Rsi => {
                let (rsi, low, high) = (line(0), set[1], set[2]);
                let first = last(set[0]) + 1;
                one(series, case, first, |i| rsi[i] < low, |i| rsi[i] > high)
            }
            Rule::Bollinger => {
                let (lower, middle) = (line(0), line(1));
                let enter = |i: usize| close[i] < lower[i];
                one(series, case, last(set[0]), enter, |i| close[i] > middle[i])
            }
            Rule::Donchian => {
                let (upper, lower) = (line(0), line(1));
                let first = last(set[0].max(set[1])) + 1;
                let enter = |i: usize| close[i] > upper[i];
                one(series, case, first, enter, |i| close[i] < lower[i])
            }
        }
    })
    .collect()
}

#[inline(always)]
fn one(
    series: &Series,
    case: &Case,
    first: usize,
    enter: impl Fn(usize) -> bool,
    leave: impl Fn(usize) -> bool,
) -> Outcome {
    match case.stops {
        None => with_stops::<false>(series, case.size, [0.0; 2], first, enter, leave),
        Some(stops) => with_stops::<true>(series, case.size, stops, first, enter, leave),
    }
}

#[inline(always)]
fn with_stops<const STOPS: bool>(
    series: &Series,
    size: Size,
    stops: [f64; 2],
    first: usize,
    enter: impl Fn(usize) -> bool,
    leave: impl Fn(usize) -> bool,
) -> Outcome {
    let (high, low) = (&series.high[..], &series.low[..]);
    let (open, close) = (&series.open[..], &series.close[..]);
    let bars = close.len().min(open.len()).min(high.len()).min(low.len());
    let (mut cash, mut units, mut cost) = (CAPITAL, 0.0, 0.0);
    let (mut previous, mut peak, mut drawdown) = (CAPITAL, CAPITAL, 0.0_f64);
    let (mut sum, mut squares, mut downside) = (0.0, 0.0, 0.0);
    let (mut trades, mut wins, mut profit, mut loss) = (0_u64, 0_u64, 0.0, 0.0);
    let (mut stop, mut target) = (0.0, 0.0);
    let mut pending = 0;
    for i in 0..bars {
        let mut sold = 0.0;
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
            if STOPS {
                stop = close[i - 1] * (1.0 - stops[0] / 100.0);
                target = close[i - 1] * (1.0 + stops[1] / 100.0);
            }
        } else if pending == 2 {
            sold = open[i];
        }
        if STOPS && units > 0.0 && sold == 0.0 {
            if low[i] <= stop {
                sold = open[i].min(stop);
            } else if high[i] >= target {
                sold = open[i].max(target);
            }
        }
        if sold > 0.0 {
            let value = units * sold * (1.0 - COMMISSION);
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
