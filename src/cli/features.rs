//! `features`: the values of indicators on a data file, as CSV.

use super::success;
use crate::features::{Bars, FEATURES, Feature, FeatureSeries};
use crate::market::{BarBlock, ImportOptions, open_bars};
use crate::{Error, Result};
use admf_formats::units::{QUANTUM_BARS, rfc3339};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The longest block: 48 bytes a bar, and 8 for each feature.
const BLOCK_BARS_MAX: usize = 1 << 20;

/// Bars of the next block, gathered from quanta.
#[derive(Default)]
struct Gathered {
    ts_ns: Vec<i64>,
    columns: [Vec<f64>; 5],
}

impl Gathered {
    fn take(&mut self, block: &BarBlock) {
        self.ts_ns.extend_from_slice(&block.ts_ns[..block.bars]);
        let columns = [
            &block.open,
            &block.high,
            &block.low,
            &block.close,
            &block.volume,
        ];
        for (own, column) in self.columns.iter_mut().zip(columns) {
            own.extend_from_slice(&column[..block.bars]);
        }
    }

    fn bars(&self, bars: usize) -> Bars<'_> {
        let [open, high, low, close, volume] = &self.columns;
        let all = Bars {
            ts_ns: &self.ts_ns,
            open,
            high,
            low,
            close,
            volume,
        };
        all.range(0..bars)
    }

    fn drop_first(&mut self, bars: usize) {
        self.ts_ns.drain(..bars);
        for column in &mut self.columns {
            column.drain(..bars);
        }
    }
}

fn chosen(names: &[String]) -> Result<Vec<Feature>> {
    let wrong = |message: String| Error::Usage {
        message: format!("--of: {message}"),
    };
    if names.is_empty() {
        let usual = FEATURES.iter().map(|known| Feature::named(known.name, &[]));
        return usual.collect::<std::result::Result<_, _>>().map_err(wrong);
    }
    names
        .iter()
        .map(|name| name.parse().map_err(wrong))
        .collect()
}

pub(super) fn features(
    file: &Path,
    of: &[String],
    block_bars: usize,
    out: Option<PathBuf>,
    cache: &Path,
    timezone: String,
) -> Result<ExitCode> {
    if !(1..=BLOCK_BARS_MAX).contains(&block_bars) {
        return Err(Error::Usage {
            message: format!("--block-bars {block_bars}: 1 to {BLOCK_BARS_MAX} was expected"),
        });
    }
    let features = chosen(of)?;
    let options = ImportOptions {
        timezone,
        ..ImportOptions::default()
    };
    let bars = open_bars(file, cache, &options)?;
    let path = out.as_deref().unwrap_or(Path::new("standard output"));
    let failed = |error: csv::Error| Error::io("write", path)(std::io::Error::other(error));
    let to: Box<dyn Write> = match &out {
        Some(path) => Box::new(std::fs::File::create(path).map_err(Error::io("create", path))?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut to = csv::Writer::from_writer(to);
    let names = features.iter().map(Feature::to_string);
    to.write_record(std::iter::once("time".to_owned()).chain(names))
        .map_err(failed)?;
    let mut series: Vec<FeatureSeries> = features
        .iter()
        .map(|feature| FeatureSeries::new(*feature, block_bars))
        .collect();
    let mut values = vec![vec![0.0; block_bars]; features.len()];
    let (mut gathered, mut block) = (Gathered::default(), BarBlock::new());
    let quanta = bars.bars().div_ceil(QUANTUM_BARS as u64);
    for quantum in 0..quanta {
        bars.read_quantum(quantum, &mut block)?;
        gathered.take(&block);
        let is_last = quantum + 1 == quanta;
        while gathered.ts_ns.len() >= block_bars || is_last && !gathered.ts_ns.is_empty() {
            let length = gathered.ts_ns.len().min(block_bars);
            for (one, values) in series.iter_mut().zip(&mut values) {
                one.push(gathered.bars(length), &mut values[..length]);
            }
            for (k, ts_ns) in gathered.ts_ns[..length].iter().enumerate() {
                let cell = |values: &Vec<f64>| match values[k] {
                    value if value.is_nan() => String::new(),
                    value => value.to_string(),
                };
                let time = rfc3339(*ts_ns).unwrap_or_default();
                to.write_record(std::iter::once(time).chain(values.iter().map(cell)))
                    .map_err(failed)?;
            }
            gathered.drop_first(length);
        }
    }
    to.flush().map_err(Error::io("write", path))?;
    success()
}
