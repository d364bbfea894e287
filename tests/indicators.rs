//! Every feature: equal to independent libraries on real data, the same bits for any cut into
//! blocks, blind to the future, within the memory that the plan counts.
//!
//! The reference values come from `tools/oracle/make_indicators.py`.
//!
//! Longer than other files by a little: all that holds of every feature is asked of the same list.

use admf::features::{
    Bar, Bars, DistinctFeatures, FEATURES, Feature, FeatureColumns, FeatureSeries, Indicator, Own,
    OwnFeature,
};
use admf::kernel::WORDS;
use admf::market::{BarBlock, BarsFile, ImportOptions, open_bars};
use admf::state::{StateReader, StateWriter};
use admf_formats::units::QUANTUM_BARS;
use proptest::prelude::*;
use std::path::Path;

/// A whole series in memory; test data is small.
#[derive(Clone, Debug, Default)]
struct Series {
    ts_ns: Vec<i64>,
    columns: [Vec<f64>; 5],
}

impl Series {
    fn read(bars: &BarsFile) -> Series {
        let (mut block, mut series) = (BarBlock::new(), Series::default());
        for quantum in 0..bars.bars().div_ceil(QUANTUM_BARS as u64) {
            bars.read_quantum(quantum, &mut block)
                .expect("a sound file");
            series.ts_ns.extend_from_slice(&block.ts_ns[..block.bars]);
            let columns = [
                &block.open,
                &block.high,
                &block.low,
                &block.close,
                &block.volume,
            ];
            for (all, column) in series.columns.iter_mut().zip(columns) {
                all.extend_from_slice(&column[..block.bars]);
            }
        }
        series
    }

    fn open(path: &Path) -> Series {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bars = open_bars(path, folder.path(), &ImportOptions::default()).expect("sound data");
        Series::read(&bars)
    }

    fn len(&self) -> usize {
        self.ts_ns.len()
    }

    fn bars(&self) -> Bars<'_> {
        let [open, high, low, close, volume] = &self.columns;
        Bars {
            ts_ns: &self.ts_ns,
            open,
            high,
            low,
            close,
            volume,
        }
    }

    /// Values of a feature, in blocks of these lengths, again and again.
    fn values(&self, feature: Feature, lengths: &[usize]) -> Vec<f64> {
        let longest = lengths.iter().copied().max().expect("a length");
        let mut computed = FeatureSeries::new(feature, longest);
        let mut values = vec![0.0; self.len()];
        let (mut at, mut lengths) = (0, lengths.iter().cycle());
        while at < self.len() {
            let end = (at + lengths.next().expect("endless")).min(self.len());
            computed.push(self.bars().range(at..end), &mut values[at..end]);
            at = end;
        }
        values
    }
}

fn sp500() -> Series {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Series::open(&root.join("examples/data/sp500_daily_2000_2020.csv"))
}

/// Shared data, where it is there.
fn shared(name: &str) -> Option<Series> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/data/{name}"));
    if path.is_file() {
        return Some(Series::open(&path));
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// Every feature with its usual values, and the other sides of those that have two.
fn every_feature() -> Vec<Feature> {
    let usual = FEATURES
        .iter()
        .map(|known| Feature::named(known.name, &[]).expect("usual values are possible"));
    let sides = ["bollinger(20, -2)", "keltner(20, -2)", "vwap_band(20, -2)"];
    let levels = [-3, -2, -1, 1, 2, 3].map(|level| format!("pivot({level})"));
    let others = sides.map(str::to_owned).into_iter().chain(levels);
    usual
        .chain(others.map(|text| text.parse().expect("a feature")))
        .collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The reference file.
struct Reference {
    /// Bars of its series.
    bars: usize,
    /// The bars of the values.
    rows: Vec<usize>,
    /// Name and values of each feature.
    columns: Vec<(String, Vec<f64>)>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/indicators/sp500_daily.bin");
    let bytes = std::fs::read(path).expect("the reference values");
    let line = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a head");
    let head: serde_json::Value = serde_json::from_slice(&bytes[..line]).expect("JSON");
    let rows: Vec<usize> = head["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row.as_u64().expect("a row") as usize)
        .collect();
    let values: Vec<f64> = bytes[line + 1..]
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| f64::from_le_bytes(*bytes))
        .collect();
    let names = head["columns"].as_array().expect("columns");
    assert_eq!(values.len(), names.len() * rows.len());
    let columns = names
        .iter()
        .zip(values.chunks(rows.len()))
        .map(|(name, values)| (name.as_str().expect("a name").to_owned(), values.to_vec()))
        .collect();
    Reference {
        bars: head["bars"].as_u64().expect("bars") as usize,
        rows,
        columns,
    }
}

#[test]
fn every_feature_equals_the_independent_library() {
    let series = sp500();
    let Reference {
        bars,
        rows,
        columns,
    } = reference();
    assert_eq!(bars, series.len());
    let mut differences = Vec::new();
    for (name, expected) in &columns {
        let feature: Feature = name.parse().expect("a feature");
        assert_eq!(&feature.to_string(), name);
        let values = series.values(feature, &[QUANTUM_BARS]);
        for (row, expected) in rows.iter().zip(expected) {
            let found = values[*row];
            let distance = (found - expected).abs() / expected.abs().max(1.0);
            if found.is_nan() != expected.is_nan() || distance > 1e-9 {
                differences.push(format!("{name} at {row}: {found}, {expected} expected"));
                break;
            }
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    for feature in every_feature() {
        let name = feature.to_string();
        assert!(columns.iter().any(|(known, _)| *known == name), "{name}");
    }
}

#[test]
fn every_feature_has_the_same_bits_for_any_block_size() {
    let mut all = vec![sp500()];
    all.extend(shared("SPY_5m.csv"));
    for series in all {
        for feature in every_feature() {
            let whole = bits(&series.values(feature, &[series.len()]));
            for length in [64, 4096] {
                let blocks = bits(&series.values(feature, &[length]));
                assert!(blocks == whole, "{feature} in blocks of {length}");
            }
        }
    }
}

#[test]
fn every_feature_begins_where_it_says() {
    let series = sp500();
    for feature in every_feature() {
        let values = series.values(feature, &[series.len()]);
        let first = values.iter().position(|value| !value.is_nan());
        let said = feature.first_defined() as usize;
        let found = first.expect("defined somewhere");
        let is_event = matches!(
            feature,
            Feature::SwingHigh(_)
                | Feature::SwingLow(_)
                | Feature::TrendlineHigh(_)
                | Feature::TrendlineLow(_)
                | Feature::Support(..)
                | Feature::Resistance(..)
        );
        assert!(
            found == said || is_event && found > said,
            "{feature}: {found}, {said} said"
        );
    }
}

/// Random bars that a market could have.
fn random_bars() -> impl Strategy<Value = Series> {
    let bar = (
        0..40_i32,
        0..30_i32,
        0..30_i32,
        -20..20_i32,
        0..50_u32,
        1..20_i64,
    );
    prop::collection::vec(bar, 120..200).prop_map(|bars| {
        let mut series = Series::default();
        let (mut price, mut hour) = (2000, 0);
        for (step, up, down, body, volume, hours) in bars {
            price = (price + step - 20).max(500);
            hour += hours;
            let (open, close) = (price, price + body);
            let (high, low) = (open.max(close) + up, open.min(close) - down);
            series.ts_ns.push(hour * 3_600_000_000_000);
            let values = [open, high, low, close].map(|price| f64::from(price) / 16.0);
            for (column, value) in series.columns.iter_mut().zip(values) {
                column.push(value);
            }
            series.columns[4].push(f64::from(volume));
        }
        series
    })
}

/// Every feature with windows short enough for short series.
fn short_features() -> Vec<Feature> {
    FEATURES
        .iter()
        .map(|known| {
            let values: Vec<f64> = known
                .parameters
                .iter()
                .map(|(_, usual)| {
                    if *usual >= 5.0 {
                        (usual / 3.0).floor()
                    } else {
                        *usual
                    }
                })
                .collect();
            Feature::named(known.name, &values).expect("a feature")
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_feature_sees_the_future(
        series in random_bars(),
        other in random_bars(),
        at in 0_usize..120,
    ) {
        let mut changed = series.clone();
        let end = series.len().min(other.len());
        for (column, other) in changed.columns.iter_mut().zip(&other.columns) {
            column[at + 1..end].copy_from_slice(&other[at + 1..end]);
        }
        for feature in short_features() {
            let (before, after) = (series.values(feature, &[512]), changed.values(feature, &[512]));
            prop_assert!(bits(&before[..=at]) == bits(&after[..=at]), "{}", feature);
        }
    }

    #[test]
    fn any_cut_into_blocks_gives_the_same_bits(
        series in random_bars(),
        lengths in prop::collection::vec(1_usize..70, 1..6),
    ) {
        for feature in short_features() {
            let whole = bits(&series.values(feature, &[series.len()]));
            prop_assert!(bits(&series.values(feature, &lengths)) == whole, "{}", feature);
        }
    }
}

#[test]
fn the_columns_of_a_tile_are_the_series_own_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("examples/data/sp500_daily_2000_2020.csv");
    let file = open_bars(&source, folder.path(), &ImportOptions::default()).expect("sound data");
    let series = Series::read(&file);
    let mut features = every_feature();
    // Windows as long as a quantum, and longer ones.
    let long = [
        "highest(512)",
        "highest(513)",
        "lowest(600)",
        "donchian_low(512)",
        "donchian_high(300)",
        "donchian_middle(511)",
        "donchian_middle(2000)",
        "macd(30, 700)",
        "macd_signal(30, 700, 600)",
        "ema(900)",
        "rsi(700)",
        "rsi(1)",
    ];
    features.extend(long.map(|text| text.parse::<Feature>().expect("a feature")));
    let mut columns = FeatureColumns::new(features.clone());
    let mut found = vec![Vec::new(); features.len()];
    let mut block = BarBlock::new();
    for quantum in 0..file.bars().div_ceil(QUANTUM_BARS as u64) {
        file.read_quantum(quantum, &mut block).expect("sound data");
        columns.push(&block, 0);
        for (index, found) in found.iter_mut().enumerate() {
            let index = index as u16;
            found.extend_from_slice(&columns.column(index).now()[..block.bars]);
            let (column, close) = (columns.column(index), columns.close());
            // The first asks for a comparison, the second for what it gave.
            for _ in 0..2 {
                assert_eq!(columns.above_close(index), column.above(close));
                assert_eq!(columns.below_close(index), close.above(column));
            }
        }
    }
    for (feature, found) in features.into_iter().zip(found) {
        let alone = series.values(feature, &[64]);
        assert!(bits(&found) == bits(&alone), "{feature}");
    }
}

#[test]
fn crosses_are_the_same_bits_whether_columns_are_shared_or_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("examples/data/sp500_daily_2000_2020.csv");
    let file = open_bars(&source, folder.path(), &ImportOptions::default()).expect("sound data");
    let names = [
        "sma(5)",
        "ema(9)",
        "macd(5, 20)",
        "macd_signal(5, 20, 9)",
        "macd_signal(5, 20, 4)",
        "sma(40)",
    ];
    let features: Vec<Feature> = names.map(|text| text.parse().expect("a feature")).into();
    let mut shared = FeatureColumns::new(features.clone());
    let mut own = FeatureColumns::of_sets(features, 1);
    let mut block = BarBlock::new();
    for quantum in 0..file.bars().div_ceil(QUANTUM_BARS as u64) {
        file.read_quantum(quantum, &mut block).expect("sound data");
        shared.push(&block, 0);
        own.push(&block, 0);
        // Most are asked for in every block, the last ones with another column each time.
        let turn = (quantum % 2) as u16;
        for (first, second) in [(0, 5), (2, 3), (2, 4), (5, 0), (turn, 1 - turn)] {
            for _ in 0..2 {
                let [mut one, mut other] = [[[7; WORDS]; 2]; 2];
                own.crosses(first, second, one.each_mut());
                shared.crosses(first, second, other.each_mut());
                assert_eq!(one, other);
            }
        }
    }
}

/// Features that a tile computes together: recursive averages, bands, channels; signals with their
/// lines and without.
fn shared_features() -> impl Strategy<Value = Vec<Feature>> {
    let feature = (0..10, 1..24_u32, 1..24_u32, 1..9_u32).prop_map(|(kind, n, m, k)| match kind {
        0 => Feature::Ema(n),
        1 => Feature::Macd(n, m),
        2 | 3 => Feature::MacdSignal(n, m, k),
        4 => Feature::Rsi(n),
        5 => Feature::DonchianHigh(n * m),
        6 => Feature::DonchianLow(n + m),
        7 => Feature::DonchianMiddle(n),
        8 => match k {
            1..=3 => Feature::Highest(n * m * k),
            4..=6 => Feature::Lowest(n * m * k),
            _ => Feature::Sma(n),
        },
        _ => Feature::Bollinger(n, f64::from(k) / 4.0 - 1.0),
    });
    let features = prop::collection::vec(feature, 1..60);
    (features, any::<bool>()).prop_map(|(features, has_lines)| {
        let mut distinct = DistinctFeatures::default();
        for feature in features {
            distinct.place(feature);
            match feature {
                Feature::MacdSignal(fast, slow, _) if has_lines => {
                    distinct.place(Feature::Macd(fast, slow));
                }
                _ => {}
            }
        }
        distinct.into_features()
    })
}

fn fill(block: &mut BarBlock, bars: Bars<'_>) {
    block.bars = bars.len();
    block.ts_ns[..bars.len()].copy_from_slice(bars.ts_ns);
    for (into, values) in [
        (&mut block.open, bars.open),
        (&mut block.high, bars.high),
        (&mut block.low, bars.low),
        (&mut block.close, bars.close),
        (&mut block.volume, bars.volume),
    ] {
        into[..values.len()].copy_from_slice(values);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn features_that_are_computed_together_have_the_bits_that_each_has_alone(
        series in random_bars(),
        features in shared_features(),
        lengths in prop::collection::vec(1_usize..90, 1..6),
        from in 0_usize..90,
        some in 1_usize..4,
        saved_after in 0_usize..6,
    ) {
        let mut block = BarBlock::new();
        let mut columns = FeatureColumns::new(features.clone());
        let from = from.min(lengths[0]);
        let after = Series {
            ts_ns: series.ts_ns[from..].to_vec(),
            columns: series.columns.each_ref().map(|column| column[from..].to_vec()),
        };
        let alone: Vec<Vec<f64>> = features.iter().map(|f| after.values(*f, &[512])).collect();
        let mut places: Vec<usize> = (0..features.len()).collect();
        let (mut at, mut blocks, mut lengths) = (0, 0, lengths.iter().cycle());
        while at < series.len() {
            let end = (at + lengths.next().expect("endless")).min(series.len());
            fill(&mut block, series.bars().range(at..end));
            let missing = from.saturating_sub(at);
            columns.push(&block, missing);
            for (index, place) in places.iter().enumerate() {
                let found = bits(&columns.column(index as u16).now()[missing..end - at]);
                let expected = bits(&alone[*place][at + missing - from..end - from]);
                prop_assert!(found == expected, "{} from bar {}", features[*place], at);
            }
            (at, blocks) = (end, blocks + 1);
            // Some of the features go on from the state of all.
            if blocks == saved_after {
                let mut state = Vec::new();
                columns.save(&mut StateWriter::new(&mut state)).expect("into memory");
                places = places.into_iter().step_by(some).collect();
                columns = FeatureColumns::new(places.iter().map(|p| features[*p]).collect());
                let late = columns.load(&mut StateReader::new(&mut &state[..])).expect("a state");
                prop_assert!(late.is_empty());
            }
        }
    }
}

/// Bars so far, as a feature of the user's own that saves no state.
struct Count;

impl OwnFeature for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn first_defined(&self, _: &[f64]) -> u64 {
        0
    }

    fn bytes(&self, _: &[f64]) -> usize {
        8
    }

    fn indicator(&self, _: &[f64]) -> Box<dyn Indicator> {
        Box::new(Counter(0.0))
    }
}

struct Counter(f64);

impl Indicator for Counter {
    fn next(&mut self, _: &Bar) -> f64 {
        self.0 += 1.0;
        self.0
    }
}

/// Values of these columns at the block that they took last, and at the bar before it.
fn seen(columns: &FeatureColumns, block: &BarBlock) -> Vec<Vec<u64>> {
    let count = columns.features().len() as u16;
    let own = (0..count).map(|index| columns.column(index));
    own.chain([columns.close()])
        .map(|column| {
            let now = bits(&column.now()[..block.bars]);
            [bits(&column.before()[..1]), now].concat()
        })
        .collect()
}

#[test]
fn a_saved_state_goes_on_with_the_same_bits_also_for_some_of_its_features() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("examples/data/sp500_daily_2000_2020.csv");
    let file = open_bars(&source, folder.path(), &ImportOptions::default()).expect("sound data");
    let mut block = BarBlock::new();
    let (blocks, from) = (file.bars().div_ceil(QUANTUM_BARS as u64), 100);
    let mut features = every_feature();
    features.push(Feature::Own(Own::new(&Count, &[])));
    let mut whole = FeatureColumns::new(features.clone());
    let (mut states, mut expected) = (Vec::new(), Vec::new());
    for quantum in 0..blocks {
        file.read_quantum(quantum, &mut block).expect("sound data");
        let from = if quantum == 0 { from } else { 0 };
        whole.push(&block, from);
        expected.push(seen(&whole, &block));
        let mut state = Vec::new();
        let saved = whole.save(&mut StateWriter::new(&mut state));
        saved.expect("into memory");
        states.push(state);
    }
    let some: Vec<usize> = (0..features.len()).rev().step_by(3).collect();
    for places in [(0..features.len()).collect(), some] {
        for first in 1..blocks as usize {
            let own = places.iter().map(|place| features[*place]).collect();
            let mut columns = FeatureColumns::new(own);
            let mut state = &states[first - 1][..];
            let late = columns.load(&mut StateReader::new(&mut state));
            let late = late.expect("a state of these features");
            let names: Vec<&str> = late
                .iter()
                .filter_map(|place| columns.features().nth(*place))
                .map(|feature| feature.values().0)
                .collect();
            assert_eq!(names, ["count"], "only this one saves no state");
            assert!(state.is_empty());
            for quantum in 0..first as u64 {
                file.read_quantum(quantum, &mut block).expect("sound data");
                columns.catch_up(&late, &block, if quantum == 0 { from } else { 0 });
            }
            for (quantum, expected) in expected.iter().enumerate().skip(first) {
                file.read_quantum(quantum as u64, &mut block)
                    .expect("sound data");
                columns.push(&block, 0);
                let found = seen(&columns, &block);
                for (at, found) in found.iter().enumerate() {
                    let place = places.get(at).copied().unwrap_or(features.len());
                    let name = features.get(place).map(Feature::to_string);
                    let is_same = *found == expected[place];
                    assert!(is_same, "{name:?}, from block {first} at {quantum}");
                }
                assert_eq!(found.len(), places.len() + 1);
            }
        }
    }
    let mut other = FeatureColumns::new(vec![Feature::Sma(7)]);
    let missing = other.load(&mut StateReader::new(&mut &states[0][..]));
    assert!(missing.is_err(), "no state of sma(7) was saved");
}

#[test]
fn bad_features_are_refused_with_what_was_expected() {
    let check = |text: &str, part: &str| {
        let message = text.parse::<Feature>().expect_err(text);
        assert!(message.contains(part), "{text}: {message}");
    };
    check("smaa", "there are open");
    check("sma(0)", "a whole number from 1");
    check("sma(2.5)", "a whole number from 1");
    check("sma(5, 6)", "1 parameters (n), 2 were found");
    check("sma(5", "bracket");
    check("sma(x)", "`x` is no number");
    check("hma(1)", "2 bars or more");
    check("pivot(4)", "-3 to 3");
    check("support(20, 2, 1)", "tolerance");
    assert_eq!("keltner(10)".parse(), Ok(Feature::Keltner(10, 2.0)));
}

/// What `admf features` prints for these arguments.
fn printed(arguments: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::process::Command::new(env!("CARGO_BIN_EXE_admf"))
        .arg("features")
        .arg(root.join("examples/data/sp500_daily_2000_2020.csv"))
        .args(arguments)
        .arg("--results-root")
        .arg(folder.path())
        .output()
        .expect("the program starts")
}

#[test]
fn the_program_prints_the_same_bytes_for_any_block_size() {
    let [usual, small, large] =
        ["512", "64", "4096"].map(|length| printed(&["--block-bars", length]));
    assert!(usual.status.success() && usual.stdout.len() > 1_000_000);
    assert!(usual.stdout == small.stdout && usual.stdout == large.stdout);
    let one = printed(&["--of", "keltner(20, -2)"]);
    let text = String::from_utf8_lossy(&one.stdout).into_owned();
    let values = sp500().values(Feature::Keltner(20, -2.0), &[64]);
    assert!(
        text.starts_with("time,\"keltner(20, -2)\"\n2000-01-03T00:00:00Z,\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), values.len() + 1);
    for (line, value) in text.lines().skip(1).zip(values) {
        let found: f64 = line
            .split_once(',')
            .expect("two cells")
            .1
            .parse()
            .unwrap_or(f64::NAN);
        assert!(
            found.to_bits() == value.to_bits() || found.is_nan() && value.is_nan(),
            "{line}"
        );
    }
    let wrong = printed(&["--of", "smaa(3)"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn every_feature_has_its_definition_in_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/features/README.md");
    let table = std::fs::read_to_string(path).expect("the table");
    for known in FEATURES {
        let usual = Feature::named(known.name, &[])
            .expect("a feature")
            .to_string();
        assert!(table.contains(&format!("`{usual}`")), "{usual}");
    }
}
