//! Retention: which events a container keeps.

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
            RetentionPolicy::SlidingWindow { .. } => "sliding_window",
            RetentionPolicy::Minimal => "minimal",
            RetentionPolicy::Full => "full",
        }
    }
}

/// What to do when a ring is at its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The ring keeps what it has and drops the event that finds no room, counted in
    /// `dropped_at_cap`; events have room again when a trade ends.
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
    /// Cap of a ring under `TradeComplete` and `Minimal`: the workflow's, or the most that open
    /// trades of its rules can need where that is less.
    pub bytes_per_container: u64,
    /// What happens at the cap.
    pub on_full: OnFull,
    /// Where pools lie.
    pub backing: Backing,
    /// Whether every POSITION_CLOSE is streamed to the archive, whatever the policy keeps.
    pub store_trades: bool,
}
