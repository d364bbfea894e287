//! What each container of a phase traces: the phase's rules, or those of the most specific pattern
//! that matches its name.

use super::pattern::Pattern;
use super::tile::PLACE_BYTES;
use crate::plan::TracePlan;
use crate::segment::retention::{RetentionPolicy, TraceRules};
use crate::tracer::{self, Tracer};
use admf_formats::report::container_id;

/// Rules of the containers that a pattern matches.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerTrace {
    /// Over the names of containers.
    pub pattern: Pattern,
    /// Trace level that its rules began with.
    pub level: String,
    /// Rules.
    pub rules: TraceRules,
}

/// What the containers of a phase trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Trace level of the phase.
    pub level: String,
    /// Rules where no pattern matches.
    pub rules: TraceRules,
    /// The more specific pattern first.
    containers: Vec<ContainerTrace>,
}

impl Traces {
    /// Rules of a phase, and those of some of its containers.
    pub fn new(level: String, rules: TraceRules, mut containers: Vec<ContainerTrace>) -> Traces {
        containers.sort_by_key(|one| one.pattern.specificity());
        Traces {
            level,
            rules,
            containers,
        }
    }

    /// The rules of container `index` of so many.
    pub fn of(&self, index: u64, containers: u64) -> &TraceRules {
        if self.containers.is_empty() {
            return &self.rules;
        }
        let name = container_id(index, containers);
        self.containers
            .iter()
            .find(|one| one.pattern.matches(&name))
            .map_or(&self.rules, |one| &one.rules)
    }

    /// All rules that a container may have.
    fn all(&self) -> impl Iterator<Item = &TraceRules> {
        let own = self.containers.iter().map(|one| &one.rules);
        std::iter::once(&self.rules).chain(own)
    }

    /// Whether any of them streams to the archive.
    pub(super) fn streams(&self) -> bool {
        self.all()
            .any(|rules| Tracer::segments_on_their_way(rules) > 0)
    }

    /// Size of the segments of a pool that serves all of them.
    pub(super) fn segment_bytes(&self) -> u64 {
        let sizes = self.all().map(tracer::segment_bytes);
        sizes.max().expect("there is at least one rule")
    }

    /// Segments that a tile of so many sets, of a phase of so many containers, may hold at most.
    ///
    /// A pattern may put all that it matches into one tile.
    pub(super) fn segments(&self, sets: u64, containers: u64) -> u64 {
        let size = self.segment_bytes();
        let plain = Tracer::segments_kept(&self.rules, size);
        let more = self.containers.iter().map(|one| {
            let own = Tracer::segments_kept(&one.rules, size);
            own.saturating_sub(plain) * sets.min(one.pattern.matched(containers))
        });
        let on_their_way = self.all().map(Tracer::segments_on_their_way).max();
        // Tracers take their events one after the other.
        let spare = self.all().map(|rules| Tracer::segments_spare(rules, size));
        let shared = on_their_way.unwrap_or(0) + spare.max().unwrap_or(0);
        plain * sets + more.sum::<u64>() + shared
    }

    /// Bytes of one tracer beside itself and its segments, with what its tile keeps of it.
    pub(super) fn tracer_bytes(&self) -> u64 {
        let own = self.all().map(Tracer::bytes).max();
        own.unwrap_or(0) + PLACE_BYTES
    }

    /// Bytes of the list by which a container's kept frames are put in order at its end.
    pub(super) fn order_bytes(&self) -> u64 {
        /// Sequence, segment, place and length of a frame.
        const ENTRY_BYTES: u64 = 32;
        let frames = |rules: &TraceRules| match rules.policy {
            RetentionPolicy::SlidingWindow { events } => events + self.segment_bytes() / 32,
            _ => rules.bytes_per_container / 32,
        };
        // A list that grows holds up to twice what is in it.
        2 * ENTRY_BYTES * self.all().map(frames).max().unwrap_or(0)
    }

    /// Bytes of frames that one container may keep to the end.
    pub(super) fn ring_bytes(&self) -> u64 {
        let size = self.segment_bytes();
        let ring = |rules: &TraceRules| match rules.policy {
            RetentionPolicy::Full => 0,
            _ => Tracer::segments_kept(rules, size) * size,
        };
        self.all().map(ring).max().unwrap_or(0)
    }

    /// What a plan shows: the patterns in order, then the rest.
    pub(super) fn plan(&self, containers: u64) -> Vec<TracePlan> {
        let show = |pattern: Option<&Pattern>, level: &str, rules: &TraceRules| TracePlan {
            pattern: pattern.map(|pattern| pattern.text().to_owned()),
            matched: pattern.map(|pattern| pattern.matched(containers)),
            trace_level: level.to_owned(),
            event_tracing: rules
                .events
                .iter()
                .map(|kind| kind.name().to_owned())
                .collect(),
            retention_policy: rules.policy.name().to_owned(),
            sliding_window_size: match rules.policy {
                RetentionPolicy::SlidingWindow { events } => Some(events),
                _ => None,
            },
            sliding_window: match rules.policy {
                RetentionPolicy::SlidingPast { reach } => Some(reach.to_string()),
                _ => None,
            },
            store_trades: rules.store_trades,
            keep: Tracer::keeps_trades(rules).then(|| rules.keep.to_string()),
        };
        let own = self
            .containers
            .iter()
            .map(|one| show(Some(&one.pattern), &one.level, &one.rules));
        own.chain([show(None, &self.level, &self.rules)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Condition;
    use crate::segment::retention::{Backing, Compression, Keep, OnFull, Reach};
    use admf_formats::event::EventSet;
    use proptest::prelude::*;

    fn any_rules() -> impl Strategy<Value = TraceRules> {
        let policy = prop_oneof![
            Just(RetentionPolicy::TradeComplete),
            Just(RetentionPolicy::Minimal),
            Just(RetentionPolicy::Full),
            (1..5000_u64).prop_map(|events| RetentionPolicy::SlidingWindow { events }),
            (1..5000_u64).prop_map(|bars| RetentionPolicy::SlidingPast {
                reach: Reach::Bars(bars)
            }),
        ];
        let keep = (0..4_u32, 0..4_u32, any::<bool>()).prop_map(|(last, best, is_asked)| Keep {
            last,
            best,
            worst: 0,
            condition: is_asked.then(|| Condition::parse("pnl < 0").expect("a condition")),
        });
        let switches = (any::<bool>(), any::<bool>());
        (policy, keep, switches).prop_map(|(policy, keep, (is_traced, store_trades))| TraceRules {
            events: if is_traced {
                EventSet::ALL
            } else {
                EventSet::NONE
            },
            policy,
            bytes_per_container: 64 << 10,
            on_full: OnFull::Degrade,
            backing: Backing::Disk,
            store_trades,
            keep,
            compression: Compression::None,
        })
    }

    proptest! {
        #[test]
        fn no_tile_needs_more_segments_than_are_counted(
            plain in any_rules(),
            patterns in prop::collection::vec(("portfolio_(0|1|\\*|\\?){3}", any_rules()), 0..4),
            tile in prop::collection::btree_set(0..111_u64, 1..40),
        ) {
            let containers = patterns.into_iter().map(|(text, rules)| ContainerTrace {
                pattern: Pattern::parse(&text).expect("a valid pattern"),
                level: "custom".to_owned(),
                rules,
            });
            let traces = Traces::new("custom".to_owned(), plain, containers.collect());
            let size = traces.segment_bytes();
            let rules = |index: &u64| traces.of(*index, 111);
            let kept = tile.iter().map(|index| Tracer::segments_kept(rules(index), size));
            let spare = tile.iter().map(|index| Tracer::segments_spare(rules(index), size));
            let needed = kept.sum::<u64>() + spare.max().unwrap_or(0);
            prop_assert!(needed <= traces.segments(tile.len() as u64, 111));
        }
    }
}
