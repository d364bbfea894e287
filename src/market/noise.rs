//! Noise on prices: bars that are read as if every price of a bar were a little off.
//!
//! All four prices of a bar are multiplied by one factor, so that they keep their order. A bar's
//! factor depends on the seed, the path, the symbol and the bar's number alone: any block can be
//! read at any time, and nothing is stored.

use super::{BarBlock, BarsFile};
use crate::Result;
use admf_formats::units::QUANTUM_BARS;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::ops::Range;

/// Words of the random stream that a bar takes: two numbers of 64 bits.
const BAR_WORDS: u128 = 4;
/// Bits of a stream's number that the symbol takes.
const SYMBOL_BITS: u32 = 16;

/// Noise of one path on one symbol.
#[derive(Clone, Debug)]
pub struct Noise {
    random: ChaCha8Rng,
    deviation: f64,
}

impl Noise {
    /// Noise whose logarithm is normal with this standard deviation.
    pub fn new(seed: u64, path: u64, symbol: u16, deviation: f64) -> Noise {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(path << SYMBOL_BITS | u64::from(symbol));
        Noise { random, deviation }
    }

    /// Perturbs a block that was just read.
    pub(super) fn apply(&self, block: &mut BarBlock) {
        let mut random = self.random.clone();
        random.set_word_pos(u128::from(block.first_bar) * BAR_WORDS);
        for bar in 0..block.bars {
            let factor = libm::exp(self.deviation * normal(&mut random));
            for price in [
                &mut block.open,
                &mut block.high,
                &mut block.low,
                &mut block.close,
            ] {
                price[bar] *= factor;
            }
        }
    }
}

/// A number of the standard normal distribution; libm's functions are the same on every machine.
///
/// Source: G. E. P. Box and M. E. Muller, A Note on the Generation of Random Normal Deviates (1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    // 53 bits; above 0 for the logarithm.
    let share = |bits: u64| ((bits >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0;
    let (radius, angle) = (share(random.next_u64()), share(random.next_u64()));
    (-2.0 * libm::log(radius)).sqrt() * libm::cos(std::f64::consts::TAU * angle)
}

/// Sample standard deviation of the returns from close to close over a span; 0 below two returns.
///
/// Errors: bars cannot be read.
pub fn volatility(bars: &BarsFile, span: Range<u64>) -> Result<f64> {
    let mut block = BarBlock::new();
    let (mut count, mut sum, mut squares) = (0_u64, 0.0, 0.0);
    let mut previous = None;
    let quantum = QUANTUM_BARS as u64;
    for at in span.start / quantum..span.end.div_ceil(quantum) {
        bars.read_quantum(at, &mut block)?;
        let first = span.start.saturating_sub(block.first_bar) as usize;
        let end = (span.end - block.first_bar).min(block.bars as u64) as usize;
        for close in &block.close[first..end] {
            if let Some(before) = previous.replace(*close) {
                let change = close / before - 1.0;
                count += 1;
                sum += change;
                squares += change * change;
            }
        }
    }
    if count < 2 {
        return Ok(0.0);
    }
    let returns = count as f64;
    let variance = (squares - sum * sum / returns) / (returns - 1.0);
    Ok(variance.max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::synth;

    #[test]
    fn noise_keeps_bars_valid_and_does_not_depend_on_the_order_of_reading() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("bars");
        synth(2000, 1, &path).expect("writable");
        let bars = BarsFile::open(&path).expect("readable");
        let noisy = bars.perturbed(Noise::new(3, 5, 0, 0.01)).expect("readable");
        let (mut plain, mut block, mut again) = (BarBlock::new(), BarBlock::new(), BarBlock::new());
        let mut logs = Vec::new();
        for quantum in [3, 0, 2, 1] {
            noisy.read_quantum(quantum, &mut block).expect("readable");
            bars.read_quantum(quantum, &mut plain).expect("readable");
            for bar in 0..block.bars {
                let (high, low) = (block.high[bar], block.low[bar]);
                let ends = [block.open[bar], block.close[bar]];
                assert!(
                    ends.iter()
                        .all(|end| 0.0 < low && low <= *end && *end <= high)
                );
                logs.push(libm::log(block.close[bar] / plain.close[bar]));
            }
        }
        noisy.read_quantum(1, &mut again).expect("readable");
        assert_eq!(block.close, again.close);
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let deviation = (logs.iter().map(|log| log * log).sum::<f64>() / count).sqrt();
        assert!(mean.abs() < 0.001 && (0.0095..0.0105).contains(&deviation));
        let other = bars.perturbed(Noise::new(3, 6, 0, 0.01)).expect("readable");
        other.read_quantum(1, &mut again).expect("readable");
        assert_ne!(block.close, again.close);
    }
}
