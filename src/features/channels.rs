//! Extremes of highs and of lows over windows, looked up in tables that all channels of a tile share.
//!
//! Level k of a table has the extreme of the 2^k prices that end with each bar; a window of n is
//! covered by two runs of the largest power of two in it. So a level costs one comparison per bar,
//! and a channel another, whatever its window. Windows longer than a quantum keep their queue
//! ([`Extreme`](super::window::Extreme)): tables over all bars that they look back on would not fit.

use super::bars::Bars;
use super::feature::Feature;
use super::shared::{Carry, first_defined_offset};
use crate::kernel;
use crate::state::{StateReader, StateWriter};
use admf_formats::units::QUANTUM_BARS;
use std::io;

/// The longest window that is looked up.
const WINDOW_MAX: u32 = QUANTUM_BARS as u32;

/// What a channel looks up: the bars of its window, those between its last one and the bar itself,
/// whether it has an upper and a lower line.
#[derive(Clone, Copy)]
struct Channel {
    window: u32,
    ago: usize,
    sides: [bool; 2],
}

impl Channel {
    /// Of any window; none where the feature is no channel.
    const fn of(feature: Feature) -> Option<Channel> {
        let (window, ago, sides) = match feature {
            Feature::DonchianHigh(n) => (n, 1, [true, false]),
            Feature::DonchianLow(n) => (n, 1, [false, true]),
            Feature::DonchianMiddle(n) => (n, 1, [true, true]),
            Feature::Highest(n) => (n, 0, [true, false]),
            Feature::Lowest(n) => (n, 0, [false, true]),
            _ => return None,
        };
        Some(Channel { window, ago, sides })
    }
}

/// Whether the feature is looked up.
pub(super) fn is_looked_up(feature: Feature) -> bool {
    Channel::of(feature).is_some_and(|channel| channel.window <= WINDOW_MAX)
}

/// Bars before the block that the highs and the lows of these features need, 0 where they need none.
/// Features of longer windows count as of the longest one, so that more is never less.
fn lookbacks(features: &[Feature]) -> [usize; 2] {
    let mut longest = [0; 2];
    for channel in features.iter().filter_map(|feature| Channel::of(*feature)) {
        for (longest, is_used) in longest.iter_mut().zip(channel.sides) {
            if is_used {
                *longest = channel.window.min(WINDOW_MAX).max(*longest);
            }
        }
    }
    longest.map(|window| window as usize)
}

/// The tables of highs and of lows; empty where no feature looks at them.
pub(super) struct Channels {
    bars: usize,
    tables: [Table; 2],
    /// Room for one more line of the middle between two.
    other: Box<[f64]>,
}

impl Channels {
    /// Tables for these features, in blocks of at most so many bars.
    pub(super) fn new(features: &[Feature], block_bars_max: usize) -> Channels {
        let looked_up = features.iter().copied().filter(|f| is_looked_up(*f));
        let looked_up: Vec<Feature> = looked_up.collect();
        let [high, low] = lookbacks(&looked_up);
        let has_any = !looked_up.is_empty();
        Channels {
            bars: 0,
            tables: [
                Table::new(
                    high,
                    block_bars_max,
                    kernel::greater_ones,
                    f64::NEG_INFINITY,
                ),
                Table::new(low, block_bars_max, kernel::lesser_ones, f64::INFINITY),
            ],
            other: vec![0.0; if has_any { block_bars_max } else { 0 }].into(),
        }
    }

    /// Bytes on the heap for these features at most.
    pub(super) fn bytes(features: &[Feature], block_bars_max: usize) -> usize {
        let tables = lookbacks(features).map(|keep| Table::bytes(keep, block_bars_max));
        let is_used = tables != [0; 2];
        tables.iter().sum::<usize>() + usize::from(is_used) * block_bars_max * size_of::<f64>()
    }

    /// Takes the next block; bars before offset `from` do not exist for the features.
    pub(super) fn push(&mut self, bars: Bars<'_>, from: usize) {
        let before = std::mem::replace(&mut self.bars, bars.len());
        let [high, low] = &mut self.tables;
        high.push(bars.high, from, before);
        low.push(bars.low, from, before);
    }

    /// Computes bars `from..` of the block that was taken last for a feature that is looked up.
    pub(super) fn compute(
        &mut self,
        feature: Feature,
        carry: &mut Carry,
        from: usize,
        into: &mut [f64],
    ) {
        let channel = Channel::of(feature).expect("only channels are looked up");
        let start = first_defined_offset(carry.seen, feature.first_defined(), from, into.len());
        carry.seen += (into.len() - from) as u64;
        into[..start].fill(f64::NAN);
        let into = &mut into[start..];
        match (channel.sides, &self.tables) {
            ([true, false], [high, _]) => high.look_up(channel, start, into),
            ([false, true], [_, low]) => low.look_up(channel, start, into),
            (_, [high, low]) => {
                let other = &mut self.other[..into.len()];
                high.look_up(channel, start, into);
                low.look_up(channel, start, other);
                for (high, low) in into.iter_mut().zip(other) {
                    *high = (*high + *low) / 2.0;
                }
            }
        }
    }

    /// Writes what the next block needs of those before it.
    pub(super) fn save(&self, into: &mut StateWriter<'_>) -> io::Result<()> {
        for table in &self.tables {
            into.put(&table.keep)?;
            let kept = self.bars..self.bars + table.keep;
            for price in table.level(0).get(kept).unwrap_or_default() {
                into.put(price)?;
            }
        }
        Ok(())
    }

    /// Goes on from tables that looked back as far or further.
    pub(super) fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<()> {
        // The next push takes them from the end of the block before.
        for table in &mut self.tables {
            let saved: usize = from.get()?;
            let Some(more) = saved.checked_sub(table.keep) else {
                return Err(io::Error::other("channels that look back less far"));
            };
            let block_bars_max = table.length - table.keep;
            self.bars = self.bars.max(block_bars_max);
            for k in 0..saved {
                let price: f64 = from.get()?;
                if k >= more {
                    table.levels[block_bars_max + k - more] = price;
                }
            }
            table.raise(block_bars_max);
        }
        Ok(())
    }
}

/// The extremes of one kind.
struct Table {
    /// Bars of the blocks before that are kept.
    keep: usize,
    /// Places of a level: index `keep + k` is bar k of the block.
    length: usize,
    /// The levels, one after the other.
    levels: Box<[f64]>,
    /// The extreme ones of pairs.
    extremes: fn(&[f64], &[f64], &mut [f64]),
    /// What is beyond no price.
    none: f64,
}

impl Table {
    fn new(
        keep: usize,
        block_bars_max: usize,
        extremes: fn(&[f64], &[f64], &mut [f64]),
        none: f64,
    ) -> Table {
        let places = Table::bytes(keep, block_bars_max) / size_of::<f64>();
        Table {
            keep,
            length: keep + block_bars_max,
            levels: vec![none; places].into(),
            extremes,
            none,
        }
    }

    const fn bytes(keep: usize, block_bars_max: usize) -> usize {
        match keep.checked_ilog2() {
            None => 0,
            Some(highest) => (highest as usize + 1) * (keep + block_bars_max) * size_of::<f64>(),
        }
    }

    fn level(&self, level: usize) -> &[f64] {
        // Of a table without levels there is an empty one.
        let length = self.length.min(self.levels.len());
        &self.levels[level * length..][..length]
    }

    fn push(&mut self, prices: &[f64], from: usize, bars_before: usize) {
        if self.levels.is_empty() {
            return;
        }
        for level in self.levels.chunks_exact_mut(self.length) {
            level.copy_within(bars_before..bars_before + self.keep, 0);
        }
        let block = &mut self.levels[self.keep..][..prices.len()];
        block[..from].fill(self.none);
        block[from..].copy_from_slice(&prices[from..]);
        self.raise(self.keep);
    }

    /// Makes the levels above the first, from place `first` on.
    fn raise(&mut self, first: usize) {
        let mut rest = &mut self.levels[..];
        let mut run = 1;
        while rest.len() > self.length && self.length > 0 {
            let (level, above) = rest.split_at_mut(self.length);
            let into = &mut above[..self.length];
            // Runs that begin before the first place are as long as there are prices.
            let whole = first.max(run);
            into[first..whole].copy_from_slice(&level[first..whole]);
            (self.extremes)(&level[whole..], &level[whole - run..], &mut into[whole..]);
            (rest, run) = (above, 2 * run);
        }
    }

    /// The extremes of the windows of a channel, from bar `start` on.
    fn look_up(&self, channel: Channel, start: usize, into: &mut [f64]) {
        let level = channel.window.ilog2();
        let values = self.level(level as usize);
        let last = self.keep + start - channel.ago;
        let older = last + (1 << level) - channel.window as usize;
        let bars = into.len();
        (self.extremes)(&values[last..][..bars], &values[older..][..bars], into);
    }
}
