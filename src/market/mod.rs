//! Market data: bars in, blocks of bars out.

mod bars_file;
mod cache;
mod calendar;
mod columns;
mod csv_source;
mod import;
mod interval;
mod noise;
#[cfg(feature = "parquet")]
mod parquet_source;
mod synth;
#[cfg(test)]
mod tests;
mod time;

pub use bars_file::{Bar, BarsFile, BarsWriter};
pub use cache::{BARS_CACHE, open_bars, open_or_import};
pub use calendar::{Calendar, LocalTimes};
pub use import::{BarLabel, ImportMemory, ImportOptions, ImportSummary, import};
pub use noise::{Noise, volatility};
pub use synth::synth;
pub use time::TimeReader;

use admf_formats::bars::CHUNK_BYTES;
use admf_formats::units::QUANTUM_BARS;

/// One quantum of bars as columns; reused for every block.
///
/// Shape: `bars` valid entries in each column; bar k of the block is absolute bar `first_bar + k`,
/// and `first_bar` is a multiple of [`QUANTUM_BARS`].
#[derive(Clone, Debug)]
pub struct BarBlock {
    /// Absolute index of the first bar.
    pub first_bar: u64,
    /// Valid bars.
    pub bars: usize,
    /// Timestamps, nanoseconds since 1970 UTC.
    pub ts_ns: Box<[i64; QUANTUM_BARS]>,
    /// Opens.
    pub open: Box<[f64; QUANTUM_BARS]>,
    /// Highs.
    pub high: Box<[f64; QUANTUM_BARS]>,
    /// Lows.
    pub low: Box<[f64; QUANTUM_BARS]>,
    /// Closes.
    pub close: Box<[f64; QUANTUM_BARS]>,
    /// Volumes.
    pub volume: Box<[f64; QUANTUM_BARS]>,
    /// The chunk as it lies in the file.
    scratch: Box<[u8; CHUNK_BYTES]>,
}

impl BarBlock {
    /// An empty block.
    pub fn new() -> BarBlock {
        let column = || Box::new([0.0; QUANTUM_BARS]);
        BarBlock {
            first_bar: 0,
            bars: 0,
            ts_ns: Box::new([0; QUANTUM_BARS]),
            open: column(),
            high: column(),
            low: column(),
            close: column(),
            volume: column(),
            scratch: Box::new([0; CHUNK_BYTES]),
        }
    }
}

impl Default for BarBlock {
    fn default() -> BarBlock {
        BarBlock::new()
    }
}
