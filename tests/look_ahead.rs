//! Nothing sees the future: whatever happens after bar i changes nothing that is known, decided or
//! told at or before it.

mod random;

use admf::features::{Bars, FEATURES, Feature, FeatureSeries};
use admf::market::Bar;
use admf::portfolio::Direction;
use admf::strategy::{Columns, Mask, Masks, Strategy, WORDS};
use random::{Case, Event, Random, bars, seeds, write};

/// Bars of a series; longer than two quanta.
const BARS: usize = 1400;

/// The same bars up to and with `last`, others after it: other prices, other volumes, other times.
fn changed_after(bars: &[Bar], last: usize, random: &mut Random) -> Vec<Bar> {
    let mut changed = bars[..=last].to_vec();
    let mut others = random::bars(random, bars.len() - last - 1);
    let (mut time, mut before) = (bars[last].ts_ns, others.first().map_or(0, |bar| bar.ts_ns));
    for bar in &mut others {
        // Their distances are kept; a day may end earlier or later.
        time += (bar.ts_ns - before).max(3_600_000_000_000 * i64::from(random.once_in(2)) + 1);
        before = bar.ts_ns;
        bar.ts_ns = time;
    }
    changed.extend(others);
    changed
}

/// An event as bytes, since a null price equals no other.
fn bytes((stamp, payload): &Event) -> (String, [u8; 128]) {
    let mut bytes = [0; 128];
    payload.write(&mut bytes);
    (format!("{stamp:?} {}", payload.kind().name()), bytes)
}

/// The first event at or before `last` that differs.
fn first_difference(a: &[Event], b: &[Event], last: usize) -> Option<(String, String)> {
    let known = |events: &[Event]| -> Vec<(String, [u8; 128])> {
        events
            .iter()
            .filter(|(stamp, _)| stamp.bar as usize <= last)
            .map(bytes)
            .collect()
    };
    let (a, b) = (known(a), known(b));
    let none = || "nothing".to_owned();
    let text = |events: &[(String, [u8; 128])], at: usize| {
        events
            .get(at)
            .map_or_else(none, |(text, bytes)| format!("{text} {bytes:?}"))
    };
    (0..a.len().max(b.len()))
        .find(|at| a.get(*at) != b.get(*at))
        .map(|at| (text(&a, at), text(&b, at)))
}

/// Runs the case on bars that differ after a random bar; events told by then, and the difference.
fn looks_ahead(case: &Case, random: &mut Random) -> (usize, Option<(String, String)>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = bars(random, BARS);
    let last = random.within(case.first, BARS as u64 - 1) as usize;
    let other = changed_after(&own, last, random);
    let run = |name: &str, bars: &[Bar]| case.run(&write(bars, &folder.path().join(name))).0;
    let (a, b) = (run("a.bars", &own), run("b.bars", &other));
    let told = a.iter().filter(|(stamp, _)| stamp.bar as usize <= last);
    (told.count(), first_difference(&a, &b, last))
}

#[test]
fn no_workflow_tells_anything_of_what_comes_later() {
    let mut told = 0;
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let case = Case::new(&mut random);
        let (events, difference) = looks_ahead(&case, &mut random);
        told += events;
        assert!(
            difference.is_none(),
            "seed {seed}\n{}\n{difference:?}",
            case.text
        );
    }
    assert!(told > 10_000, "{told} events are no test");
}

fn columns(bars: &[Bar]) -> (Vec<i64>, [Vec<f64>; 5]) {
    let column = |which: usize| bars.iter().map(|bar| bar.ohlcv[which]).collect();
    let times = bars.iter().map(|bar| bar.ts_ns).collect();
    (times, [0, 1, 2, 3, 4].map(column))
}

fn values(feature: Feature, bars: &[Bar]) -> Vec<u64> {
    let (ts_ns, [open, high, low, close, volume]) = columns(bars);
    let all = Bars {
        ts_ns: &ts_ns,
        open: &open,
        high: &high,
        low: &low,
        close: &close,
        volume: &volume,
    };
    let mut values = vec![0.0; bars.len()];
    FeatureSeries::new(feature, bars.len()).push(all, &mut values);
    values.into_iter().map(f64::to_bits).collect()
}

#[test]
fn no_feature_knows_a_bar_before_it_is_there() {
    for seed in seeds(12) {
        let mut random = Random::new(seed);
        let own = bars(&mut random, 400);
        let last = random.within(0, 399) as usize;
        let other = changed_after(&own, last, &mut random);
        for known in FEATURES {
            let feature = Feature::named(known.name, &[]).expect("usual parameters");
            let (a, b) = (values(feature, &own), values(feature, &other));
            let first = (0..=last).find(|at| a[*at] != b[*at]);
            assert!(
                first.is_none(),
                "seed {seed}: {feature} at bar {first:?} of {last}"
            );
        }
    }
}

/// Buys where the close of the next bar is higher: what this file is there to find.
struct Prophet;

impl Strategy for Prophet {
    fn name(&self) -> &'static str {
        "prophet"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["n"]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        vec![Feature::Sma(p[0] as u32)]
    }

    fn masks(&self, _: &[f64], columns: &Columns<'_>, _: Direction, masks: &mut Masks) {
        let close = columns.close().now();
        let mut rises: Mask = [0; WORDS];
        for (k, pair) in close.windows(2).enumerate() {
            rises[k / 64] |= u64::from(pair[1] > pair[0]) << (k % 64);
        }
        *masks = Masks {
            enter_long: rises,
            exit_long: rises.map(|word| !word),
            ..Masks::default()
        };
    }
}

#[test]
fn a_strategy_that_knows_tomorrow_is_found_out() {
    admf::strategy::register(&Prophet).expect("a new name");
    let text = "workflow: single_backtest\ndata: {path: none.bars}\n\
                strategy: {name: prophet, parameters: {n: 2}}\n";
    let found = (0..20).filter(|seed| {
        let mut random = Random::new(*seed);
        let case = Case::of(text.to_owned(), &mut random);
        looks_ahead(&case, &mut random).1.is_some()
    });
    // Where the changed bar moves the same way nobody can tell.
    assert!(found.count() > 3);
}
