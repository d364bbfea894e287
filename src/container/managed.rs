//! The life of a container that has exits or waiting orders.
//!
//! Order within bar i: orders decided on the close of bar i - 1 fill; levels and waiting orders
//! are tested; equity is marked at the close; on the close orders expire, the strategy decides,
//! and where it leaves the position alone the clock may close it.

use super::entries::Working;
use super::exits::Plan;
use super::rule_features::RuleFeatures;
use super::watch::next_bit;
use super::{BlockView, Container, ContainerRules, Sink, Wishes};
use crate::execution::Levels;
use crate::kernel;
use crate::strategy::{Mask, Masks, WORDS};
use admf_formats::event::{ExitReason, OrderStatus, Reason};
use serde::{Deserialize, Serialize};
use std::ops::{Deref, DerefMut, Range};

/// What a container carries where something but the masks opens or closes its positions.
///
/// It lies in memory of its own: most containers have none, and what every block touches of them
/// stays smaller by a quarter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Besides(Option<Box<Managed>>);

impl Besides {
    /// For a container under these rules.
    pub(super) fn new(rules: &ContainerRules) -> Besides {
        let managed = || Box::new(Managed::NONE);
        Besides(rules.is_managed().then(managed))
    }

    /// Whether there is any; looked up at every order.
    #[inline(always)]
    pub(super) const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Bytes of it, with what the allocator keeps beside it.
    pub(super) const BYTES: usize = size_of::<Managed>() + size_of::<[usize; 2]>();

    /// Asks for what is needed soon.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        if let Some(managed) = &self.0 {
            kernel::prefetch(&**managed);
        }
    }
}

impl Deref for Besides {
    type Target = Managed;

    #[inline(always)]
    fn deref(&self) -> &Managed {
        self.0.as_deref().unwrap_or(&Managed::NONE)
    }
}

impl DerefMut for Besides {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Managed {
        let managed = self.0.as_deref_mut();
        managed.expect("it was made for rules that have it changed")
    }
}

/// See [`Besides`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Managed {
    /// Exits of the entry that is on its way.
    pub(super) plan: Plan,
    /// Levels of the open position.
    pub(super) levels: Levels,
    /// The first bar that the position is held on.
    pub(super) booked: u64,
    /// The bar on whose close it was held long enough.
    pub(super) last_close: u64,
    /// What the levels of parts are measured from, and how many of them are behind.
    pub(super) anchor: f64,
    pub(super) scaled: usize,
    /// The order that waits.
    pub(super) working: Option<Working>,
    /// Long and short: the entry's condition held at every close since an exit that no signal
    /// asked for.
    pub(super) blocked: [bool; 2],
    /// Local day of the last bar, where rules look at days.
    day: i32,
}

impl Managed {
    pub(super) const NONE: Managed = Managed {
        plan: Plan::NONE,
        levels: Levels::NONE,
        booked: 0,
        last_close: u64::MAX,
        anchor: 0.0,
        scaled: 0,
        working: None,
        blocked: [false; 2],
        day: 0,
    };
}

/// Clears the bits `from..end`.
fn clear(mask: &mut Mask, from: usize, end: usize) {
    for (word, bits) in mask.iter_mut().enumerate() {
        let (first, after) = (word * 64, word * 64 + 64);
        if first >= end || after <= from {
            continue;
        }
        let below = u64::MAX.checked_shl((from.max(first) - first) as u32);
        let above = u64::MAX.checked_shr((after - end.min(after)) as u32);
        *bits &= !(below.unwrap_or(0) & above.unwrap_or(0));
    }
}

/// The first bit in `from..end` that is not set.
pub(super) fn first_unset(mask: &Mask, from: usize, end: usize) -> Option<usize> {
    (from / 64..WORDS)
        .map(|word| {
            let unset = !mask[word];
            let skipped = if word == from / 64 { from % 64 } else { 0 };
            (word, unset >> skipped << skipped)
        })
        .find(|(_, unset)| *unset != 0)
        .map(|(word, unset)| word * 64 + unset.trailing_zeros() as usize)
        .filter(|at| *at < end)
}

impl Container {
    /// Value of a feature of the rules at offset `at`.
    #[inline]
    pub(super) fn rule_feature(&self, block: BlockView<'_>, at: usize, number: u8) -> f64 {
        let column = self.columns[RuleFeatures::place(number)];
        block.features.column(column).now()[at]
    }

    /// The position that is held, or that a working order would open: -1, 0 or 1.
    fn stance(&self) -> f64 {
        match (&self.position, &self.managed.working) {
            (Some(position), _) => position.units.signum(),
            (None, Some(working)) => working.pending.target,
            (None, None) => 0.0,
        }
    }

    /// Decisions, fills and exits of these bars, all in this block. Trades that begin and end within
    /// it are only counted where they may be: see [`ContainerRules::is_guarded`].
    #[inline(never)]
    pub(super) fn run_managed<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        all: &Masks,
        block: BlockView<'_>,
        Range { start: first, end }: Range<u64>,
        counts_closed: bool,
        sink: &mut S,
    ) {
        let start = block.bars.first_bar;
        let at = |bar: u64| (bar - start) as usize;
        let mut masks = *all;
        if rules.exits.end_of_day.is_some() {
            for (word, late) in block.times.late.iter().enumerate() {
                masks.enter_long[word] &= !late;
                masks.enter_short[word] &= !late;
            }
        }
        if first == self.span.first {
            self.managed.day = block.times.day[at(first)];
        }
        self.fill(rules, block, first, sink);
        self.reset_reentry(all, &mut masks, at(first), at(end));
        let mut from = first;
        while from < end {
            if counts_closed && self.position.is_none() {
                let wishes = Wishes {
                    all,
                    allowed: &masks,
                    start,
                };
                from = self.live_guarded(rules, wishes, block, from..end, sink);
                if from >= end {
                    break;
                }
            }
            let close = self.next_close(
                rules,
                Wishes {
                    all,
                    allowed: &masks,
                    start,
                },
                block,
                from,
                end,
            );
            let until = close.map_or(end, |bar| bar + 1);
            let changed = if self.position.is_some() {
                self.test_levels(rules, block, from, until, sink)
            } else {
                self.work(rules, block, from, until, sink)
            };
            let Some(bar) = changed.or(close) else {
                break;
            };
            if changed.is_some() {
                self.reset_reentry(all, &mut masks, at(bar), at(end));
            }
            self.close_bar(
                rules,
                Wishes {
                    all,
                    allowed: &masks,
                    start,
                },
                block,
                bar,
                sink,
            );
            from = bar + 1;
            if from < end && self.pending.is_some() {
                self.fill(rules, block, from, sink);
                self.reset_reentry(all, &mut masks, at(from), at(end));
            }
        }
        self.managed.day = block.times.day[at(end - 1)];
    }

    /// The first bar in `from..until` of another day than the bar before it.
    pub(super) fn next_day(&self, block: BlockView<'_>, from: u64, until: u64) -> Option<u64> {
        if from >= until {
            return None;
        }
        let start = block.bars.first_bar;
        // The first bar of a block is compared with the last of the one before.
        if from == start && block.times.day[0] != self.managed.day {
            return Some(from);
        }
        let (from, end) = ((from - start) as usize, (until - start) as usize);
        let at = next_bit(&block.times.new_day, from, end);
        (at < end).then_some(start + at as u64)
    }

    /// The first bar in `from..until` on whose close the day is over for what is held or waits.
    fn day_end(
        &self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        from: u64,
        until: u64,
    ) -> Option<u64> {
        rules.exits.end_of_day?;
        let start = block.bars.first_bar;
        let end = (until - start) as usize;
        let late = next_bit(&block.times.late, (from - start) as usize, end);
        let late = (late < end).then_some(start + late as u64);
        // What is held on the first bar of a day but not since is held over night.
        let over = self
            .position
            .as_ref()
            .and_then(|_| self.next_day(block, from.max(self.managed.booked + 1), until));
        match (late, over) {
            (Some(late), Some(over)) => Some(late.min(over)),
            (late, over) => late.or(over),
        }
    }

    /// The first bar in `from..end` on whose close something may be decided, as things stand.
    fn next_close(
        &self,
        rules: &ContainerRules,
        wishes: Wishes<'_>,
        block: BlockView<'_>,
        from: u64,
        end: u64,
    ) -> Option<u64> {
        let first = from.max(self.first_decision);
        let wanted = self.next_wanted(rules, wishes, self.stance(), first, end);
        let last = match (&self.position, &self.managed.working) {
            (Some(_), _) => self.managed.last_close,
            (None, Some(working)) => working.last,
            (None, None) => return wanted.map(|(bar, _)| bar),
        };
        let bars = [
            wanted.map(|(bar, _)| bar),
            (last < end).then_some(last.max(from)),
            self.day_end(rules, block, from, end),
        ];
        bars.into_iter().flatten().min()
    }

    /// What is decided on the close of `bar`.
    fn close_bar<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        wishes: Wishes<'_>,
        block: BlockView<'_>,
        bar: u64,
        sink: &mut S,
    ) {
        let day_is_over = self.day_end(rules, block, bar, bar + 1).is_some();
        let waited = self.managed.working.as_ref();
        if waited.is_some_and(|working| day_is_over || working.last <= bar) {
            let at = (bar - block.bars.first_bar) as usize;
            let at = (block.bars.ts_ns[at], bar as u32);
            let why = (OrderStatus::Expired, Reason::TimeInForce);
            self.end_working(rules, at, why, sink);
        }
        let first = bar.max(self.first_decision);
        let wanted = self.next_wanted(rules, wishes, self.stance(), first, bar + 1);
        // What adds to a position that the clock closes is not wanted.
        let leaves = self.managed.last_close <= bar || day_is_over;
        let adds = |target: f64| {
            self.position
                .as_ref()
                .is_some_and(|held| held.units * target > 0.0)
        };
        match wanted {
            Some((_, target)) if !(leaves && adds(target)) => {
                self.place(rules, block, bar, target, sink);
            }
            _ if self.position.is_some() && self.managed.last_close <= bar => {
                self.place_exit(block, bar, ExitReason::TimeStop, sink);
            }
            _ if self.position.is_some() && day_is_over => {
                self.place_exit(block, bar, ExitReason::EndOfDay, sink);
            }
            _ => {}
        }
    }

    /// Takes the closes from offset `from` on at which a blocked direction's condition never failed
    /// to hold out of `masks`; a direction whose condition fails is free from there on.
    fn reset_reentry(&mut self, all: &Masks, masks: &mut Masks, from: usize, end: usize) {
        let [long, short] = self.managed.blocked;
        if !long && !short {
            return;
        }
        let sides = [
            (&all.enter_long, &mut masks.enter_long),
            (&all.enter_short, &mut masks.enter_short),
        ];
        for (blocked, (condition, mask)) in self.managed.blocked.iter_mut().zip(sides) {
            if *blocked {
                let reset = first_unset(condition, from, end);
                clear(mask, from, reset.unwrap_or(end));
                *blocked = reset.is_none();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_are_found_and_cleared_as_one_by_one(
            words in prop::array::uniform8(prop_oneof![any::<u64>(), Just(u64::MAX), Just(0)]),
            (from, end) in (0..=512_usize, 0..=512_usize),
        ) {
            let is_set = |mask: &Mask, at: usize| mask[at / 64] >> (at % 64) & 1 == 1;
            let mut mask = words;
            clear(&mut mask, from, end);
            for at in 0..512 {
                let kept = is_set(&words, at) && !(from..end).contains(&at);
                prop_assert_eq!(is_set(&mask, at), kept, "bit {}", at);
            }
            let by_hand = (from..end).find(|at| !is_set(&words, *at));
            prop_assert_eq!(first_unset(&words, from, end), by_hand);
        }
    }
}
