//! Closed trades whose events stay: the last ones, the best and the worst.
//!
//! Each set is bounded, so the trades in it stay in the ring as if they were open, and what leaves
//! every set is recycled. Ties go to the trade that closed earlier. Nothing here touches a frame.

use super::condition::Condition;
use crate::state::{StateReader, StateWriter};
use serde::{Deserialize, Serialize};
use std::io;

/// Which closed trades keep all their events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Keep {
    /// The trades that closed last.
    pub last: u32,
    /// Those with the highest profit.
    pub best: u32,
    /// Those with the lowest.
    pub worst: u32,
    /// All of which this holds; they are streamed to the archive as they close.
    pub condition: Option<Condition>,
}

impl Keep {
    /// Nothing of closed trades is kept.
    pub const NONE: Keep = Keep {
        last: 0,
        best: 0,
        worst: 0,
        condition: None,
    };

    /// Whether no closed trade is kept.
    pub const fn is_none(&self) -> bool {
        self.trades_max() == 0 && self.condition.is_none()
    }

    /// Trades that the sets may hold at once.
    pub const fn trades_max(&self) -> u64 {
        self.last as u64 + self.best as u64 + self.worst as u64
    }

    /// Bytes of the sets of one container.
    pub const fn bytes(&self) -> u64 {
        if self.is_none() {
            return 0;
        }
        size_of::<KeptTrades>() as u64 + (self.trades_max() + 1) * size_of::<Kept>() as u64
    }
}

/// As it is written in a workflow, but for the text of the condition.
impl std::fmt::Display for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        for (name, count) in [
            ("last", self.last),
            ("best", self.best),
            ("worst", self.worst),
        ] {
            if count > 0 {
                parts.push(format!("{name} {count}"));
            }
        }
        if let Some(condition) = &self.condition {
            parts.push(format!("where {condition}"));
        }
        write!(f, "{}", parts.join(", "))
    }
}

/// A trade that is in a set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Kept {
    trade: u32,
    pnl: f64,
    /// Which sets, see [`LAST`].
    sets: u8,
}

const LAST: u8 = 1;
const BEST: u8 = 2;
const WORST: u8 = 4;

/// The kept trades of one container.
#[derive(Debug)]
pub struct KeptTrades {
    /// What is kept.
    pub keep: Keep,
    /// In order of closing.
    kept: Vec<Kept>,
    /// Trades in each set: last, best, worst.
    counts: [u32; 3],
    /// The profit that a trade must exceed to be among the best, once they are complete.
    best_floor: f64,
    /// Likewise the one that it must fall below to be among the worst.
    worst_ceiling: f64,
}

/// Trades whose events are kept no longer: of each set one may leave, and the new one.
#[derive(Debug, Default)]
pub struct Left {
    trades: [u32; 4],
    count: usize,
}

impl Left {
    fn push(&mut self, trade: u32) {
        self.trades[self.count] = trade;
        self.count += 1;
    }

    /// Their numbers.
    pub fn trades(&self) -> &[u32] {
        &self.trades[..self.count]
    }
}

impl KeptTrades {
    /// Empty sets; they never grow beyond what is reserved here.
    pub fn new(keep: Keep) -> KeptTrades {
        KeptTrades {
            keep,
            kept: Vec::with_capacity(keep.trades_max() as usize + 1),
            counts: [0; 3],
            best_floor: f64::NEG_INFINITY,
            worst_ceiling: f64::INFINITY,
        }
    }

    /// Writes the sets, for [`KeptTrades::load`].
    ///
    /// Errors: those of the writer.
    pub fn save(&self, into: &mut StateWriter<'_>) -> io::Result<()> {
        let KeptTrades {
            keep: _,
            kept,
            counts,
            best_floor,
            worst_ceiling,
        } = self;
        into.put(&(kept, counts, best_floor, worst_ceiling))
    }

    /// Makes these sets, which are new, the ones that were saved.
    ///
    /// Errors: those of the reader.
    pub fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<()> {
        let kept: Vec<Kept>;
        (kept, self.counts, self.best_floor, self.worst_ceiling) = from.get()?;
        self.kept.extend(kept);
        Ok(())
    }

    /// A trade closed with this profit; tells whose events are kept no longer.
    pub fn close(&mut self, trade: u32, pnl: f64) -> Left {
        let mut sets = 0;
        if self.keep.last > 0 {
            sets |= LAST;
            if self.counts[0] == self.keep.last {
                // In order of closing, so the first one closed earliest.
                self.leave(LAST, |kept| {
                    kept.iter().position(|one| one.sets & LAST != 0)
                });
            }
            self.counts[0] += 1;
        }
        // A profit that is no number is neither high nor low.
        if self.keep.best > 0 && self.counts[1] < self.keep.best && !pnl.is_nan() {
            sets |= BEST;
            self.counts[1] += 1;
        } else if self.keep.best > 0 && pnl > self.best_floor {
            self.leave(BEST, |kept| extreme(kept, BEST, |pnl, other| pnl < other));
            sets |= BEST;
            self.counts[1] += 1;
        }
        if self.keep.worst > 0 && self.counts[2] < self.keep.worst && !pnl.is_nan() {
            sets |= WORST;
            self.counts[2] += 1;
        } else if self.keep.worst > 0 && pnl < self.worst_ceiling {
            self.leave(WORST, |kept| extreme(kept, WORST, |pnl, other| pnl > other));
            sets |= WORST;
            self.counts[2] += 1;
        }
        let mut left = Left::default();
        self.kept.retain(|one| {
            if one.sets == 0 {
                left.push(one.trade);
            }
            one.sets != 0
        });
        if sets == 0 {
            left.push(trade);
        } else {
            self.kept.push(Kept { trade, pnl, sets });
        }
        if sets & BEST != 0 && self.counts[1] == self.keep.best {
            self.best_floor = self.bound(BEST, |pnl, other| pnl < other);
        }
        if sets & WORST != 0 && self.counts[2] == self.keep.worst {
            self.worst_ceiling = self.bound(WORST, |pnl, other| pnl > other);
        }
        left
    }

    /// Takes the trade that `find` finds out of a set.
    fn leave(&mut self, set: u8, find: impl Fn(&[Kept]) -> Option<usize>) {
        let at = find(&self.kept).expect("a set that is complete has a trade");
        self.kept[at].sets &= !set;
        self.counts[set.trailing_zeros() as usize] -= 1;
    }

    /// Profit of the trade that would leave the set next.
    fn bound(&self, set: u8, beats: impl Fn(f64, f64) -> bool) -> f64 {
        let at = extreme(&self.kept, set, beats).expect("a set that is complete has a trade");
        self.kept[at].pnl
    }
}

/// The trade of the set whose profit beats all others; of equal ones the one that closed last.
fn extreme(kept: &[Kept], set: u8, beats: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let of_set = (0..kept.len()).filter(|at| kept[*at].sets & set != 0);
    of_set.reduce(|one, other| {
        if beats(kept[one].pnl, kept[other].pnl) {
            one
        } else {
            other
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The trades that a sort over all of history gives.
    fn model(closed: &[(u32, f64)], keep: Keep) -> Vec<u32> {
        let mut expected: Vec<u32> = closed
            .iter()
            .rev()
            .take(keep.last as usize)
            .map(|(trade, _)| *trade)
            .collect();
        let mut numbers: Vec<(usize, (u32, f64))> = closed.iter().copied().enumerate().collect();
        numbers.retain(|(_, (_, pnl))| !pnl.is_nan());
        for (count, sign) in [(keep.best, -1.0), (keep.worst, 1.0)] {
            // A stable sort: of equal profits the earlier closed trade comes first.
            numbers.sort_by_key(|(order, _)| *order);
            numbers.sort_by(|(_, (_, one)), (_, (_, other))| {
                (sign * one).partial_cmp(&(sign * other)).expect("no NaN")
            });
            expected.extend(
                numbers
                    .iter()
                    .take(count as usize)
                    .map(|(_, (trade, _))| trade),
            );
        }
        expected.sort_unstable();
        expected.dedup();
        expected
    }

    proptest! {
        #[test]
        fn the_sets_are_those_of_a_sort_over_all_trades(
            pnls in prop::collection::vec(-6..7_i32, 1..120),
            last in 0..6_u32,
            best in 0..6_u32,
            worst in 0..6_u32,
        ) {
            let keep = Keep { last, best, worst, condition: None };
            let mut sets = KeptTrades::new(keep);
            let mut held: Vec<u32> = Vec::new();
            let mut closed = Vec::new();
            for (trade, pnl) in (1..).zip(pnls) {
                // Few values, so that there are ties; zeros of both signs and no number among them.
                let pnl = match pnl {
                    6 => f64::NAN,
                    0 if trade % 2 == 0 => -0.0,
                    _ => f64::from(pnl),
                };
                closed.push((trade, pnl));
                held.push(trade);
                let left = sets.close(trade, pnl);
                held.retain(|one| !left.trades().contains(one));
                prop_assert_eq!(&held, &model(&closed, keep));
                prop_assert!(sets.kept.len() as u64 <= keep.trades_max());
                prop_assert!(sets.kept.capacity() as u64 == keep.trades_max() + 1);
            }
        }
    }
}
