//! Every strategy: its masks equal those of a plain loop over bars with plainly computed
//! indicators, and no change of later bars changes them.

use admf::features::{Feature, FeatureColumns};
use admf::market::{BarBlock, ImportOptions, open_bars};
use admf::portfolio::Direction;
use admf::strategy::{self, Columns, FEATURES_MAX, Mask, Masks, Strategy};
use admf_formats::units::QUANTUM_BARS;
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::path::Path;

/// Open, high, low, close, volume and time of a bar.
#[derive(Clone, Copy, Debug)]
struct Bar {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    ts_ns: i64,
}

/// What a strategy says on one bar: enter long, exit long, enter short, exit short.
type Says = [bool; 4];

fn read(path: &Path) -> Vec<Bar> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = open_bars(path, folder.path(), &ImportOptions::default()).expect("sound data");
    let (mut bars, mut block) = (Vec::new(), BarBlock::new());
    for quantum in 0..file.bars().div_ceil(QUANTUM_BARS as u64) {
        file.read_quantum(quantum, &mut block).expect("sound data");
        bars.extend((0..block.bars).map(|k| Bar {
            open: block.open[k],
            high: block.high[k],
            low: block.low[k],
            close: block.close[k],
            volume: block.volume[k],
            ts_ns: block.ts_ns[k],
        }));
    }
    bars
}

/// What the engine says of the sides of this direction: its features and masks, quantum by quantum.
/// Columns that the strategy does not read are not there.
fn engine(
    strategy: &dyn Strategy,
    parameters: &[f64],
    direction: Direction,
    bars: &[Bar],
) -> Vec<Says> {
    let (mut features, mut indices) = (Vec::<Feature>::new(), [u16::MAX; FEATURES_MAX]);
    for (which, feature) in strategy.features(parameters).into_iter().enumerate() {
        if strategy.reads(which, direction) {
            indices[which] = features.len() as u16;
            features.push(feature);
        }
    }
    let mut columns = FeatureColumns::new(features);
    let (mut block, mut says) = (BarBlock::new(), Vec::new());
    for (quantum, chunk) in bars.chunks(QUANTUM_BARS).enumerate() {
        block.first_bar = (quantum * QUANTUM_BARS) as u64;
        block.bars = chunk.len();
        for (k, bar) in chunk.iter().enumerate() {
            block.open[k] = bar.open;
            block.high[k] = bar.high;
            block.low[k] = bar.low;
            block.close[k] = bar.close;
            block.volume[k] = bar.volume;
            block.ts_ns[k] = bar.ts_ns;
        }
        columns.push(&block, 0);
        let mut masks = Masks::default();
        let own = Columns::new(&columns, indices);
        strategy.masks(parameters, &own, direction, &mut masks);
        let is = |mask: &Mask, k: usize| mask[k / 64] >> (k % 64) & 1 == 1;
        says.extend((0..chunk.len()).map(|k| {
            let says = [
                is(&masks.enter_long, k),
                is(&masks.exit_long, k),
                is(&masks.enter_short, k),
                is(&masks.exit_short, k),
            ];
            on_sides(direction, says)
        }));
    }
    says
}

/// What is said of the sides that a direction allows.
fn on_sides(direction: Direction, says: Says) -> Says {
    let (long, short) = (
        direction != Direction::ShortOnly,
        direction != Direction::LongOnly,
    );
    std::array::from_fn(|at| says[at] && if at < 2 { long } else { short })
}

/// Indicators as their definitions read, each value on its own; NaN where there is none.
mod plain {
    use super::Bar;

    /// Averages that are equal to the last bit decide crosses: the sum must be the exact one,
    /// rounded once (Neumaier's keeps every lost part).
    pub(super) fn mean(bars: &[Bar], i: usize, n: usize) -> f64 {
        if i + 1 < n {
            return f64::NAN;
        }
        let (mut sum, mut lost) = (0.0_f64, 0.0);
        for bar in &bars[i + 1 - n..=i] {
            let next = sum + bar.close;
            lost += if sum.abs() > bar.close.abs() {
                (sum - next) + bar.close
            } else {
                (bar.close - next) + sum
            };
            sum = next;
        }
        (sum + lost) / n as f64
    }

    pub(super) fn deviation(bars: &[Bar], i: usize, n: usize) -> f64 {
        let mean = mean(bars, i, n);
        if mean.is_nan() {
            return f64::NAN;
        }
        let window = bars[i + 1 - n..=i].iter();
        (window.map(|bar| (bar.close - mean).powi(2)).sum::<f64>() / n as f64).sqrt()
    }

    /// EMA of a line, seeded with its first value, from the first bar on.
    pub(super) fn ema(line: &[f64], n: usize) -> Vec<f64> {
        let alpha = 2.0 / (n as f64 + 1.0);
        line.iter()
            .scan(None, |state: &mut Option<f64>, value| {
                *state = Some(state.map_or(*value, |e| alpha * value + (1.0 - alpha) * e));
                *state
            })
            .collect()
    }

    pub(super) fn hidden(mut line: Vec<f64>, first: usize) -> Vec<f64> {
        let end = first.min(line.len());
        line[..end].fill(f64::NAN);
        line
    }

    pub(super) fn closes(bars: &[Bar]) -> Vec<f64> {
        bars.iter().map(|bar| bar.close).collect()
    }

    /// Wilder's average of a line that begins at bar 1.
    fn wilder(line: &[f64], n: usize) -> Vec<f64> {
        let mut out = vec![f64::NAN; line.len()];
        for i in n..line.len() {
            out[i] = if i == n {
                line[1..=n].iter().sum::<f64>() / n as f64
            } else {
                (out[i - 1] * (n as f64 - 1.0) + line[i]) / n as f64
            };
        }
        out
    }

    pub(super) fn rsi(bars: &[Bar], n: usize) -> Vec<f64> {
        let mut moves = vec![0.0];
        moves.extend(bars.windows(2).map(|pair| pair[1].close - pair[0].close));
        let up: Vec<f64> = moves.iter().map(|m| m.max(0.0)).collect();
        let down: Vec<f64> = moves.iter().map(|m| (-m).max(0.0)).collect();
        let both = wilder(&up, n).into_iter().zip(wilder(&down, n));
        both.map(|(up, down)| match (up, down) {
            _ if up.is_nan() => f64::NAN,
            (0.0, 0.0) => 50.0,
            (up, down) => 100.0 * up / (up + down),
        })
        .collect()
    }

    pub(super) fn atr(bars: &[Bar], n: usize) -> Vec<f64> {
        let mut ranges = vec![0.0];
        ranges.extend(bars.windows(2).map(|pair| {
            let (before, bar) = (pair[0].close, pair[1]);
            bar.high.max(before) - bar.low.min(before)
        }));
        wilder(&ranges, n)
    }

    /// Highest high and lowest low of the n bars before bar i.
    pub(super) fn range(bars: &[Bar], i: usize, n: usize) -> Option<(f64, f64)> {
        let window = &bars[i.checked_sub(n)?..i];
        let high = window.iter().map(|bar| bar.high).fold(f64::MIN, f64::max);
        let low = window.iter().map(|bar| bar.low).fold(f64::MAX, f64::min);
        Some((high, low))
    }
}

/// Where a line crosses another, strictly on both bars.
fn crossed(a: &[f64], b: &[f64], i: usize) -> Says {
    if i == 0 {
        return [false; 4];
    }
    let up = a[i - 1] < b[i - 1] && a[i] > b[i];
    let down = a[i - 1] > b[i - 1] && a[i] < b[i];
    [up, down, down, up]
}

/// What the strategy says on every bar, from its documented words.
fn reference(name: &str, p: &[f64], bars: &[Bar]) -> Vec<Says> {
    let n = |which: usize| p[which] as usize;
    let closes = plain::closes(bars);
    let every = |says: &dyn Fn(usize) -> Says| (0..bars.len()).map(says).collect::<Vec<Says>>();
    let means =
        |n: usize| -> Vec<f64> { (0..bars.len()).map(|i| plain::mean(bars, i, n)).collect() };
    match name {
        "sma_crossover" | "ma_crossover" => {
            let (fast, slow) = (means(n(0)), means(n(1)));
            every(&|i| crossed(&fast, &slow, i))
        }
        "ema_crossover" => {
            let [fast, slow] = [n(0), n(1)].map(|n| plain::hidden(plain::ema(&closes, n), n - 1));
            every(&|i| crossed(&fast, &slow, i))
        }
        "macd_crossover" => {
            let (fast, slow) = (plain::ema(&closes, n(0)), plain::ema(&closes, n(1)));
            let line: Vec<f64> = fast.iter().zip(&slow).map(|(a, b)| a - b).collect();
            let signal = plain::hidden(plain::ema(&line, n(2)), n(1) + n(2) - 2);
            every(&|i| crossed(&line, &signal, i))
        }
        "rsi_bands" => {
            let rsi = plain::rsi(bars, n(0));
            every(&|i| {
                let (low, high) = (rsi[i] < p[1], rsi[i] > p[2]);
                [low, high, high, low]
            })
        }
        "bollinger_bands" => every(&|i| {
            let (mean, width) = (
                plain::mean(bars, i, n(0)),
                p[1] * plain::deviation(bars, i, n(0)),
            );
            let close = closes[i];
            [
                close < mean - width,
                close > mean,
                close > mean + width,
                close < mean,
            ]
        }),
        "keltner_bands" => {
            let middle = plain::hidden(plain::ema(&closes, n(0)), n(0) - 1);
            let atr = plain::atr(bars, n(0));
            every(&|i| {
                let (close, middle, width) = (closes[i], middle[i], p[1] * atr[i]);
                [
                    close < middle - width,
                    close > middle,
                    close > middle + width,
                    close < middle,
                ]
            })
        }
        "donchian_breakout" => every(&|i| {
            let outside = |n: usize| {
                let range = plain::range(bars, i, n);
                range.map_or((false, false), |(high, low)| {
                    (closes[i] > high, closes[i] < low)
                })
            };
            let (entry, exit) = (outside(n(0)), outside(n(1)));
            [entry.0, exit.1, entry.1, exit.0]
        }),
        "mean_reversion" => every(&|i| {
            let score = (closes[i] - plain::mean(bars, i, n(0))) / plain::deviation(bars, i, n(0));
            [score < -p[1], score > -p[2], score > p[1], score < p[2]]
        }),
        "momentum" => {
            let rsi = plain::rsi(bars, n(1));
            every(&|i| {
                let mean = plain::mean(bars, i, n(0));
                let (over, under) = (closes[i] > mean, closes[i] < mean);
                [
                    over && rsi[i] < p[3],
                    under || rsi[i] > p[3],
                    under && rsi[i] > p[2],
                    over || rsi[i] < p[2],
                ]
            })
        }
        "vwap_deviation" => every(&|i| {
            let day = |bar: &Bar| bar.ts_ns.div_euclid(86_400_000_000_000);
            let today = bars[..=i]
                .iter()
                .rev()
                .take_while(|bar| day(bar) == day(&bars[i]));
            let (value, volume) = today.fold((0.0, 0.0), |(value, volume), bar| {
                let typical = (bar.high + bar.low + bar.close) / 3.0;
                (value + typical * bar.volume, volume + bar.volume)
            });
            let (close, vwap) = (closes[i], value / volume);
            [
                close < vwap * (1.0 - p[0]),
                close > vwap,
                close > vwap * (1.0 + p[0]),
                close < vwap,
            ]
        }),
        "swing_pivot_bounce" => every(&|i| {
            let Some((top, bottom)) = plain::range(bars, i, n(0)) else {
                return [false; 4];
            };
            let (bar, window, near) = (bars[i], &bars[i - n(0)..i], p[2]);
            let highs = window.iter().filter(|bar| bar.high >= top * (1.0 - near));
            let lows = window.iter().filter(|bar| bar.low <= bottom * (1.0 + near));
            let (is_top, is_bottom) = (highs.count() >= n(1), lows.count() >= n(1));
            let middle = (top + bottom) / 2.0;
            [
                is_bottom && bar.low < bottom * (1.0 + near) && bar.close > bottom,
                bar.close > middle || bar.close < bottom,
                is_top && bar.high > top * (1.0 - near) && bar.close < top,
                bar.close < middle || bar.close > top,
            ]
        }),
        _ => panic!("{name} has no plain reference: write one"),
    }
}

/// Parameter sets of a strategy: the usual one and one more.
fn parameter_sets(strategy: &dyn Strategy) -> [Vec<f64>; 2] {
    let usual = strategy.usual().to_vec();
    assert_eq!(
        usual.len(),
        strategy.parameters().len(),
        "{}",
        strategy.name()
    );
    let thresholds = strategy.thresholds();
    let names = strategy.parameters().iter();
    let other = names.zip(&usual).map(|(name, value)| {
        if thresholds.contains(name) {
            value * 0.75
        } else {
            (value * 0.7).ceil()
        }
    });
    let other = other.collect();
    [usual, other]
}

fn check(data: &Path) {
    let bars = read(data);
    for strategy in strategy::all() {
        for parameters in parameter_sets(strategy) {
            let name = strategy.name();
            let expected = reference(name, &parameters, &bars);
            for direction in [Direction::LongOnly, Direction::ShortOnly] {
                let found = engine(strategy, &parameters, direction, &bars);
                let expected = expected.iter().map(|says| on_sides(direction, *says));
                assert!(found.into_iter().eq(expected), "{name} {direction:?}");
            }
            let found = engine(strategy, &parameters, Direction::LongShort, &bars);
            let first = (0..bars.len()).find(|i| found[*i] != expected[*i]);
            assert!(
                first.is_none(),
                "{name} {parameters:?} at bar {first:?}: {:?}, {:?} expected",
                first.map(|i| found[i]),
                first.map(|i| expected[i])
            );
            let entries = found.iter().filter(|says| says[0]).count();
            let is_daily_vwap = name == "vwap_deviation";
            assert!(
                entries > 10 || is_daily_vwap,
                "{name} {parameters:?}: {entries}"
            );
        }
    }
}

#[test]
fn every_strategy_equals_a_plain_loop_on_daily_bars() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    check(&root.join("examples/data/sp500_daily_2000_2020.csv"));
}

#[test]
fn every_strategy_equals_a_plain_loop_on_intraday_bars() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/SPY_5m.csv");
    if path.is_file() {
        check(&path);
    } else {
        println!("skipped: {} is not there", path.display());
    }
}

/// Random bars that a market could have.
fn random_bars() -> impl proptest::strategy::Strategy<Value = Vec<Bar>> {
    let bar = (
        0..41_i32,
        0..30_i32,
        0..30_i32,
        -20..20_i32,
        0..50_u32,
        1..20_i64,
    );
    prop::collection::vec(bar, 600..700).prop_map(|bars| {
        let (mut price, mut hour) = (2000, 0);
        let next = |(step, up, down, body, volume, hours): (i32, i32, i32, i32, u32, i64)| {
            price = (price + step - 20).max(500);
            hour += hours;
            let (open, close) = (price, price + body);
            let [open, high, low, close] =
                [open, open.max(close) + up, open.min(close) - down, close]
                    .map(|price| f64::from(price) / 16.0);
            let (volume, ts_ns) = (f64::from(volume), hour * 3_600_000_000_000);
            Bar {
                open,
                high,
                low,
                close,
                volume,
                ts_ns,
            }
        };
        bars.into_iter().map(next).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_strategy_sees_the_future(
        bars in random_bars(),
        other in random_bars(),
        at in 0_usize..599,
    ) {
        let mut changed = bars[..=at].to_vec();
        changed.extend_from_slice(&other[at + 1..]);
        for strategy in strategy::all() {
            for parameters in parameter_sets(strategy) {
                let direction = Direction::LongShort;
                let before = engine(strategy, &parameters, direction, &bars);
                let after = engine(strategy, &parameters, direction, &changed);
                prop_assert!(before[..=at] == after[..=at], "{}", strategy.name());
            }
        }
    }
}
