//! What the strategy wants next, given the position that is held.

use super::{Container, ContainerRules};
use crate::portfolio::Direction;
use crate::strategy::{Mask, Masks, WORDS};

/// What the strategy says on the bars of a block.
#[derive(Clone, Copy)]
pub(super) struct Wishes<'a> {
    /// Its conditions.
    pub(super) all: &'a Masks,
    /// The same, less the entries that are not to be.
    pub(super) allowed: &'a Masks,
    /// First bar of the block.
    pub(super) start: u64,
}

impl Container {
    /// The first bar in `from..end` on which the strategy wants another position than `held` (-1, 0
    /// or 1), or more of it.
    #[inline]
    pub(super) fn next_wanted(
        &self,
        rules: &ContainerRules,
        wishes: Wishes<'_>,
        held: f64,
        from: u64,
        end: u64,
    ) -> Option<(u64, f64)> {
        const NEVER: Mask = [0; WORDS];
        let masks = wishes.allowed;
        let direction = rules.portfolio.direction;
        // What most sweeps are: one mask matters.
        if direction == Direction::LongOnly && rules.portfolio.max_entries <= 1 {
            let (mask, target) = if held > 0.0 {
                (&masks.exit_long, 0.0)
            } else {
                (&masks.enter_long, 1.0)
            };
            return Some((first_bar(mask, mask, from, end, wishes.start)?, target));
        }
        let long = if direction == Direction::ShortOnly {
            &NEVER
        } else {
            &masks.enter_long
        };
        let short = if direction == Direction::LongOnly {
            &NEVER
        } else {
            &masks.enter_short
        };
        // Two masks matter at most: the first one's target wins where both have the bar.
        let (first, target, second, otherwise) = if held > 0.0 {
            (short, -1.0, &masks.exit_long, 0.0)
        } else if held < 0.0 {
            (long, 1.0, &masks.exit_short, 0.0)
        } else {
            (long, 1.0, short, -1.0)
        };
        let start = wishes.start;
        let other = first_bar(first, second, from, end, start).map(|bar| {
            let at = (bar - start) as usize;
            let is_first = first[at / 64] >> (at % 64) & 1 == 1;
            (bar, if is_first { target } else { otherwise })
        });
        if rules.portfolio.max_entries <= 1 {
            return other;
        }
        let more = self.next_addition(rules, wishes, held, from, end);
        // A wish for another position wins on the same bar.
        match (other, more) {
            (Some((bar, _)), Some(addition)) if addition < bar => Some((addition, held)),
            (None, Some(addition)) => Some((addition, held)),
            _ => other,
        }
    }

    /// The first bar on which the condition of the side that is held holds again, where the
    /// position may still grow.
    fn next_addition(
        &self,
        rules: &ContainerRules,
        wishes: Wishes<'_>,
        held: f64,
        from: u64,
        end: u64,
    ) -> Option<u64> {
        let position = self.position.as_ref()?;
        if position.entries >= rules.portfolio.max_entries {
            return None;
        }
        let (all, allowed, before) = if held > 0.0 {
            let (all, allowed) = (&wishes.all.enter_long, &wishes.allowed.enter_long);
            (all, allowed, self.entering[0])
        } else {
            let (all, allowed) = (&wishes.all.enter_short, &wishes.allowed.enter_short);
            (all, allowed, self.entering[1])
        };
        let again = std::array::from_fn(|word| risen(all, word, before) & allowed[word]);
        first_bar(&again, &again, from, end, wishes.start)
    }
}

/// The first bar in `from..end` that either mask has.
#[inline]
fn first_bar(a: &Mask, b: &Mask, from: u64, end: u64, start: u64) -> Option<u64> {
    if from >= end {
        return None;
    }
    let (at, end) = ((from - start) as usize, (end - start) as usize);
    let mut word = at / 64;
    let mut bits = (a[word] | b[word]) & (u64::MAX << (at % 64));
    while bits == 0 {
        word += 1;
        if word * 64 >= end {
            return None;
        }
        bits = a[word] | b[word];
    }
    let bit = word * 64 + bits.trailing_zeros() as usize;
    (bit < end).then_some(start + bit as u64)
}

/// Bits of a word of the mask that are set where the bit before them is not; `before` is the one
/// before the mask.
fn risen(mask: &Mask, word: usize, before: bool) -> u64 {
    let before = if word == 0 {
        before
    } else {
        mask[word - 1] >> 63 == 1
    };
    mask[word] & !(mask[word] << 1 | u64::from(before))
}
