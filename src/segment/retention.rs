//! Retention: which events a container keeps.

pub use super::kept::Keep;
pub use admf_formats::compression::Compression;
use admf_formats::event::EventSet;

/// Which events stay in a container's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionPolicy {
    /// Events of trades that are still open.
    TradeComplete,
    /// The last `events` events.
    SlidingWindow {
        /// Length of the window, at least 1.
        events: u64,
    },
    /// The events of the last bars, or of a stretch of simulated time, as far as the cap has room
    /// for them.
    SlidingPast {
        /// How far the window reaches back.
        reach: Reach,
    },
    /// Events of open positions only.
    Minimal,
    /// Everything, streamed to the archive.
    Full,
}

impl RetentionPolicy {
    /// The word of the workflow.
    pub const fn name(self) -> &'static str {
        match self {
            RetentionPolicy::TradeComplete => "trade_complete",
            RetentionPolicy::SlidingWindow { .. } | RetentionPolicy::SlidingPast { .. } => {
                "sliding_window"
            }
            RetentionPolicy::Minimal => "minimal",
            RetentionPolicy::Full => "full",
        }
    }
}

/// How far a window reaches back from the latest event.
///
/// An event counts where it was told: at the latest bar (or time) of it and all events before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// So many bars, that of the latest event included; at least 1.
    Bars(u64),
    /// Events less than so many nanoseconds older than the latest one; at least 1.
    Nanoseconds(u64),
}

impl Reach {
    /// Units of a duration, in nanoseconds, the largest first.
    const UNITS: [(&'static str, u64); 5] = [
        ("week", 7 * 86_400_000_000_000),
        ("day", 86_400_000_000_000),
        ("hour", 3_600_000_000_000),
        ("minute", 60_000_000_000),
        ("second", 1_000_000_000),
    ];

    /// A stretch of time such as `5 days`; `None` where the text is none, is zero or is too long.
    pub fn of_duration(text: &str) -> Option<Reach> {
        let (count, unit) = text.trim().split_once(' ')?;
        let unit = unit.trim();
        let is_named = |name: &str| unit == name || unit.strip_suffix('s') == Some(name);
        let (_, ns) = Reach::UNITS.into_iter().find(|(name, _)| is_named(name))?;
        let ns = count.parse::<u64>().ok()?.checked_mul(ns)?;
        (ns > 0).then_some(Reach::Nanoseconds(ns))
    }

    /// Where an event of this bar and time stands.
    pub(super) const fn position(self, bar: u32, ts_ns: i64) -> i64 {
        match self {
            Reach::Bars(_) => bar as i64,
            Reach::Nanoseconds(_) => ts_ns,
        }
    }

    /// Whether this position is out of the window that ends with `latest`, which is not before it.
    pub(super) const fn is_past(self, position: i64, latest: i64) -> bool {
        let (Reach::Bars(length) | Reach::Nanoseconds(length)) = self;
        latest.abs_diff(position) >= length
    }
}

/// As it is written in a workflow.
impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, unit) = match *self {
            Reach::Bars(bars) => (bars, "bar"),
            Reach::Nanoseconds(ns) => Reach::UNITS
                .into_iter()
                .find(|(_, unit)| ns % unit == 0)
                .map_or((ns, "nanosecond"), |(name, unit)| (ns / unit, name)),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

/// What to do when a ring is at its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The ring keeps what it has and drops the event that finds no room, counted in
    /// `dropped_at_cap`; events have room again when a trade ends. A window by bars or time drops
    /// its oldest event instead.
    Degrade,
    /// Fail the container.
    Strict,
}

/// Where pools lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// In the results directory.
    Disk,
    /// In memory (`/dev/shm`).
    Tmpfs,
}

/// What a container traces and keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceRules {
    /// Selected event kinds.
    pub events: EventSet,
    /// Which of them stay.
    pub policy: RetentionPolicy,
    /// Cap of a ring under `TradeComplete` and `Minimal`: the workflow's, or the most that open and
    /// kept trades of its rules can need where that is less; under `SlidingPast` the workflow's.
    pub bytes_per_container: u64,
    /// What happens at the cap.
    pub on_full: OnFull,
    /// Where pools lie.
    pub backing: Backing,
    /// Whether every POSITION_CLOSE is streamed to the archive, whatever the policy keeps.
    pub store_trades: bool,
    /// Closed trades that keep their events under `TradeComplete`.
    pub keep: Keep,
    /// Whether the archive's chunks are compressed.
    pub compression: Compression,
}
