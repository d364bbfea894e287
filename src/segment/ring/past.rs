//! The window by bars or by time: how many events it has is known only as they come.
//!
//! What bounds it is the ring's cap. The oldest frame has a cursor, which moves on as frames leave
//! the window or have to make room, so that every count is exact at every moment and what is kept
//! does not depend on where segments end.

use super::{Append, OnFull, Pool, Reach, Ring, Stamp};
use admf_formats::segment::{frame_bar, frame_ts_ns, parse_commit};
use serde::{Deserialize, Serialize};

/// Where the window begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Past {
    /// The latest bar or time of all events.
    latest: i64,
    /// That of the events that left: what was told after them counts no earlier.
    left: i64,
    /// Where the oldest frame lies in the oldest segment.
    tail: usize,
    /// Frames in the window.
    frames: u64,
}

impl Default for Past {
    fn default() -> Past {
        Past {
            latest: i64::MIN,
            left: i64::MIN,
            tail: 0,
            frames: 0,
        }
    }
}

impl Past {
    /// Where kept frames begin in the oldest segment.
    pub(super) const fn tail(&self) -> usize {
        self.tail
    }
}

impl Ring {
    /// Moves the window on to an event and makes room for it below the cap; says where there is
    /// none.
    pub(super) fn slide(
        &mut self,
        pool: &mut Pool,
        reach: Reach,
        stamp: &Stamp,
        bytes: usize,
    ) -> Option<Append> {
        let position = reach.position(stamp.bar, stamp.ts_ns);
        self.past.latest = self.past.latest.max(position);
        while let Some((oldest, oldest_bytes)) = self.oldest(pool, reach)
            && reach.is_past(oldest, self.past.latest)
        {
            self.drop_oldest(pool, oldest, oldest_bytes);
            self.ledger.recycled_window += 1;
        }
        while self.live_bytes + bytes as u64 > self.rules.bytes_per_container {
            if self.rules.on_full == OnFull::Strict {
                return Some(Append::Full);
            }
            self.ledger.dropped_at_cap += 1;
            let Some((oldest, oldest_bytes)) = self.oldest(pool, reach) else {
                // Not even this one event has room.
                self.ledger.attempted += 1;
                self.past.left = self.past.latest;
                return Some(Append::Done);
            };
            self.drop_oldest(pool, oldest, oldest_bytes);
        }
        self.live_bytes += bytes as u64;
        self.past.frames += 1;
        None
    }

    /// Position and size of the oldest frame in the window.
    fn oldest(&self, pool: &Pool, reach: Reach) -> Option<(i64, usize)> {
        if self.past.frames == 0 {
            return None;
        }
        let held = self.held.front()?;
        let frame = &pool.frames(held.segment, held.used as usize)[self.past.tail..];
        let word = u64::from_le_bytes(frame[..8].try_into().expect("eight bytes"));
        let (_, _, bytes) = parse_commit(word).expect("the ring wrote this frame");
        let position = reach.position(frame_bar(frame), frame_ts_ns(frame));
        Some((position.max(self.past.left), bytes))
    }

    fn drop_oldest(&mut self, pool: &mut Pool, position: i64, bytes: usize) {
        self.past.left = position;
        self.live_bytes -= bytes as u64;
        self.past.frames -= 1;
        self.past.tail += bytes;
        let count = self.held.len();
        let Some(oldest) = self.held.front_mut() else {
            return;
        };
        if self.past.tail < oldest.used as usize {
            return;
        }
        self.past.tail = 0;
        if count > 1 {
            self.release_oldest(pool);
        } else {
            // Nothing is kept: the segment begins anew.
            self.frames -= u64::from(oldest.frames);
            pool.restart(oldest.segment, self.owner);
            oldest.generation = pool.generation(oldest.segment);
            (oldest.used, oldest.frames) = (0, 0);
        }
    }
}

#[cfg(all(test, not(feature = "model")))]
mod tests {
    use super::super::super::tests::{FILL, OPEN, pool, rules, sequences};
    use super::super::{RetentionPolicy, segments_max};
    use super::*;
    use proptest::prelude::*;

    /// One event that a window may hold, as (bar, time, size, sequence).
    type Told = (u32, i64, u64, u64);

    /// Events in the order of telling: mostly later bars, sometimes one that looks back a bar.
    fn told() -> impl Strategy<Value = Vec<(u32, i64, bool)>> {
        let step = (0..8_u32, -1_i64..40, any::<bool>());
        prop::collection::vec(step, 1..500).prop_map(|steps| {
            let (mut bar, mut ts_ns) = (1_u32, 0_i64);
            steps
                .into_iter()
                .map(|(bars, ns, is_open)| {
                    bar = if bars == 0 {
                        bar.saturating_sub(1)
                    } else {
                        bar + bars / 3
                    };
                    ts_ns += ns;
                    (bar.max(1), ts_ns, is_open)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_window_holds_exactly_what_it_reaches_or_what_has_room(
            told in told(),
            length in 1_u64..200,
            by_bars in any::<bool>(),
            cap in 30_u64..6000,
        ) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let reach = if by_bars { Reach::Bars(length) } else { Reach::Nanoseconds(length) };
            let rules = crate::segment::retention::TraceRules {
                bytes_per_container: cap,
                ..rules(RetentionPolicy::SlidingPast { reach })
            };
            let mut pool = pool(folder.path(), &rules);
            let all = pool.free();
            let mut ring = Ring::new(rules, 3);
            let mut model: Vec<Told> = Vec::new();
            let (mut left, mut dropped) = (0, 0);
            for (sequence, (bar, ts_ns, is_open)) in (1..).zip(&told) {
                let stamp = Stamp { sequence, bar: *bar, ts_ns: *ts_ns, trade: 1, ..Stamp::default() };
                let (done, bytes) = if *is_open {
                    (ring.append(&mut pool, &stamp, &OPEN), 64)
                } else {
                    (ring.append(&mut pool, &stamp, &FILL), 80)
                };
                prop_assert_eq!(done, Append::Done);
                prop_assert!(ring.segments() as u64 <= segments_max(&rules, 1024));
                // The naive way: whoever is told late counts as late as those before it.
                let place = if by_bars { i64::from(*bar) } else { *ts_ns };
                let before = told[..sequence as usize].iter().map(|(bar, ts_ns, _)| {
                    if by_bars { i64::from(*bar) } else { *ts_ns }
                });
                let latest = before.fold(place, i64::max);
                model.push((0, latest, bytes, sequence));
                let held = model.len();
                model.retain(|(_, position, ..)| latest - position < length as i64);
                left += (held - model.len()) as u64;
                while model.iter().map(|(_, _, bytes, _)| bytes).sum::<u64>() > cap {
                    model.remove(0);
                    dropped += 1;
                }
            }
            let mut frames = Vec::new();
            let ledger = ring.finish(&mut pool, &mut frames);
            let expected: Vec<u64> = model.iter().map(|(.., sequence)| *sequence).collect();
            prop_assert_eq!(sequences(&frames), expected);
            prop_assert_eq!((ledger.recycled_window, ledger.dropped_at_cap), (left, dropped));
            prop_assert!(ledger.balances(), "{:?}", ledger);
            prop_assert_eq!(ledger.attempted, told.len() as u64);
            prop_assert_eq!(pool.free(), all);
        }
    }

    #[test]
    fn a_strict_window_refuses_what_has_no_room_in_its_reach() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut rules = rules(RetentionPolicy::SlidingPast {
            reach: Reach::Bars(3),
        });
        rules.bytes_per_container = 5 * 80;
        rules.on_full = OnFull::Strict;
        let mut pool = pool(folder.path(), &rules);
        let mut ring = Ring::new(rules, 3);
        let mut tell = |sequence: u64, bar: u32| {
            let stamp = Stamp {
                sequence,
                bar,
                ..Stamp::default()
            };
            ring.append(&mut pool, &stamp, &FILL)
        };
        // One a bar: three are in the window. Then four at once: two of before stay.
        let once = (1..=10).map(|bar| tell(u64::from(bar), bar));
        assert!(once.into_iter().all(|done| done == Append::Done));
        assert_eq!([11, 12, 13].map(|at| tell(at, 11)), [Append::Done; 3]);
        assert_eq!(tell(14, 11), Append::Full);
    }

    #[test]
    fn durations_are_read_and_written_as_people_do() {
        for (text, expected) in [
            ("5 days", Some("5 days")),
            ("1 day", Some("1 day")),
            ("36 hours", Some("36 hours")),
            ("48 hours", Some("2 days")),
            ("90 minutes", Some("90 minutes")),
            ("14 days", Some("2 weeks")),
            ("7 second", Some("7 seconds")),
            ("0 days", None),
            ("-1 days", None),
            ("1.5 days", None),
            ("5days", None),
            ("5 months", None),
            ("99999999999 weeks", None),
        ] {
            let read = Reach::of_duration(text).map(|reach| reach.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        assert_eq!(Reach::Bars(1).to_string(), "1 bar");
    }
}
