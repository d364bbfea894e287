//! Synthetic bars: a reproducible random walk.

use super::bars_file::{Bar, BarsWriter};
use super::import::ImportSummary;
use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::Path;

/// 2020-01-01T00:00:00Z.
const FIRST_TS_NS: i64 = 1_577_836_800_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

/// Writes `bars` one-minute bars from 2020-01-01 UTC.
///
/// The close is a random walk of about 0.03 percent a bar that is drawn back towards 100, so that
/// a series of any length stays a sane price. Only sums and products are used: the same seed gives
/// the same bytes on every machine.
///
/// Errors: no bars are asked for, or more than a bar's number can count; the file cannot be written.
pub fn synth(bars: u64, seed: u64, into: &Path) -> Result<ImportSummary> {
    if bars == 0 || bars > u64::from(u32::MAX) {
        return Err(Error::Usage {
            message: format!("--bars {bars}: from 1 to {} bars were expected", u32::MAX),
        });
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut writer = BarsWriter::create(into)?;
    let mut close = 100.0_f64;
    for bar in 0..bars {
        let open = close;
        let step = (0..4).map(|_| uniform(&mut random) - 0.5).sum::<f64>() * 6e-4;
        let pull = (100.0 - open) * 2e-7;
        close = round(open * (1.0 + step + pull)).max(0.01);
        let high =
            round(open.max(close) * (1.0 + uniform(&mut random) * 2e-4)).max(open.max(close));
        let low = round(open.min(close) * (1.0 - uniform(&mut random) * 2e-4))
            .min(open.min(close))
            .max(0.0001);
        let volume = (uniform(&mut random) * 10_000.0).floor();
        writer.push(&Bar {
            ts_ns: FIRST_TS_NS + bar as i64 * MINUTE_NS,
            ohlcv: [open, high, low, close, volume],
        })?;
    }
    Ok(ImportSummary::of(&writer.finish()?))
}

/// To four decimals.
fn round(price: f64) -> f64 {
    (price * 10_000.0).round() / 10_000.0
}

/// 0 to 1, one exclusive, in steps of 2^-32.
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    f64::from(random.next_u32()) / 4_294_967_296.0
}
