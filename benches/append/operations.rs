//! What is measured: one call each.

use admf::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use admf::segment::{Append, Pool, Ring, segments_max};
use admf_formats::event::{EventKind, EventSet, Fill, PositionClose, PositionOpen, Stamp};
use admf_formats::manifest::Manifest;
use admf_formats::segment::frame_bytes;
use std::hint::black_box;
use std::path::{Path, PathBuf};

/// A folder of each backing.
#[derive(Clone, Copy)]
pub(crate) struct Folder {
    pub(crate) name: &'static str,
    path: &'static str,
}

pub(crate) const TMPFS: Folder = Folder {
    name: "tmpfs",
    path: "/dev/shm",
};
pub(crate) const DISK: Folder = Folder {
    name: "disk",
    path: env!("CARGO_TARGET_TMPDIR"),
};

/// Size of a FILL's frame.
pub(crate) const FILL_BYTES: usize = frame_bytes(EventKind::Fill);
/// Size of a segment.
const SEGMENT_BYTES: u32 = 4096;
/// Events that the recycled ring keeps.
const WINDOW: u64 = 1000;

const FILL: Fill = Fill {
    qty: 1.0,
    price: 2.0,
    commission: 0.1,
    reference_price: 2.0,
    units_after: 1.0,
};
const OPEN: PositionOpen = PositionOpen {
    qty: 1.0,
    price: 2.0,
    commission: 0.1,
};
const CLOSE: PositionClose = PositionClose {
    entry_ts_ns: 1,
    entry_bar: 2,
    fills: 2,
    qty: 1.0,
    entry_price: 2.0,
    exit_price: 3.0,
    pnl: 0.8,
    commission: 0.2,
    slippage: 0.0,
    borrow: 0.0,
    mae: -1.0,
    mfe: 1.0,
};

/// A pool file that is removed in the end.
struct OwnPool {
    pool: Pool,
    path: PathBuf,
}

impl OwnPool {
    fn create(folder: Folder, rules: &TraceRules, is_touched: bool) -> OwnPool {
        let name = format!("admf-bench-{}-{is_touched}.pool", std::process::id());
        let path = Path::new(folder.path).join(name);
        let segments = segments_max(rules, u64::from(SEGMENT_BYTES)) as u32;
        let create = if is_touched {
            Pool::create
        } else {
            Pool::create_untouched
        };
        let pool = create(&path, 0, SEGMENT_BYTES, segments, &manifest());
        OwnPool {
            pool: pool.expect("the bench needs a folder with room for its pools"),
            path,
        }
    }
}

impl Drop for OwnPool {
    fn drop(&mut self) {
        // What cannot be removed is left in a temporary folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn manifest() -> Manifest {
    Manifest {
        workflow: String::new(),
        phase: String::new(),
        strategy: String::new(),
        parameter_names: Vec::new(),
        objective: String::new(),
        symbols: Vec::new(),
        containers: 1,
        initial_capital: 1.0,
        all_in: true,
        settings: String::new(),
        events: Vec::new(),
    }
}

fn rules(policy: RetentionPolicy) -> TraceRules {
    TraceRules {
        events: EventSet::ALL,
        policy,
        bytes_per_container: 1 << 16,
        on_full: OnFull::Degrade,
        backing: Backing::Disk,
        store_trades: false,
        keep: Keep::NONE,
        compression: Compression::None,
    }
}

/// Appends to a ring.
pub(crate) struct Appender {
    own: OwnPool,
    ring: Ring,
    sequence: u64,
    trade: u32,
    checksum: u32,
}

impl Appender {
    fn new(folder: Folder, policy: RetentionPolicy, is_touched: bool) -> Appender {
        let rules = rules(policy);
        Appender {
            own: OwnPool::create(folder, &rules, is_touched),
            ring: Ring::new(rules, 0),
            sequence: 0,
            trade: 1,
            checksum: 0,
        }
    }

    /// A ring that recycles its segments, every one of which has been used before.
    pub(crate) fn recycled(folder: Folder) -> Appender {
        let policy = RetentionPolicy::SlidingWindow { events: WINDOW };
        let mut appender = Appender::new(folder, policy, true);
        (0..10 * WINDOW).for_each(|_| appender.fill());
        appender
    }

    /// A ring that never recycles, over a map that nobody has touched, with room for so many.
    pub(crate) fn fresh(folder: Folder, events: u64) -> Appender {
        Appender::new(folder, RetentionPolicy::SlidingWindow { events }, false)
    }

    /// A ring that keeps trades until they close.
    pub(crate) fn trades(folder: Folder) -> Appender {
        let mut appender = Appender::new(folder, RetentionPolicy::TradeComplete, true);
        (0..10 * WINDOW).for_each(|_| appender.trade_event());
        appender
    }

    fn stamp(&mut self) -> Stamp {
        self.sequence += 1;
        Stamp {
            sequence: self.sequence,
            ts_ns: self.sequence as i64,
            trade: self.trade,
            bar: self.sequence as u32,
            cause_back: 1,
            ..Stamp::default()
        }
    }

    /// Appends one FILL.
    #[inline(always)]
    pub(crate) fn fill(&mut self) {
        let stamp = self.stamp();
        let (stamp, fill) = (black_box(&stamp), black_box(&FILL));
        let done = self.ring.append(&mut self.own.pool, stamp, fill);
        assert!(done == Append::Done);
    }

    /// One FILL, and CRC-32C of as many bytes: what a checksum per frame would cost.
    #[inline(always)]
    pub(crate) fn fill_and_checksum(&mut self) {
        self.fill();
        let frame = black_box(&[7; FILL_BYTES]);
        self.checksum = black_box(crc32c::crc32c_append(self.checksum, frame));
    }

    /// The next event of trades of four: opened, filled twice, closed.
    #[inline(always)]
    pub(crate) fn trade_event(&mut self) {
        let stamp = self.stamp();
        let (pool, stamp) = (&mut self.own.pool, black_box(&stamp));
        let done = match self.sequence % 4 {
            1 => self.ring.append(pool, stamp, black_box(&OPEN)),
            0 => self.ring.append(pool, stamp, black_box(&CLOSE)),
            _ => self.ring.append(pool, stamp, black_box(&FILL)),
        };
        assert!(done == Append::Done);
        if self.sequence.is_multiple_of(4) {
            self.ring.end_trade(pool, self.trade);
            self.trade += 1;
        }
    }
}

/// Copies a FILL's frame, bytes and all, over a map as large as the ring's.
pub(crate) struct Copier {
    own: OwnPool,
    frame: [u8; FILL_BYTES],
    segment: usize,
    at: usize,
}

impl Copier {
    pub(crate) fn new(folder: Folder) -> Copier {
        let rules = rules(RetentionPolicy::SlidingWindow { events: WINDOW });
        let mut copier = Copier {
            own: OwnPool::create(folder, &rules, true),
            frame: [7; FILL_BYTES],
            segment: 0,
            at: 0,
        };
        (0..10 * WINDOW).for_each(|_| copier.copy());
        copier
    }

    /// Copies one frame behind the one before, from segment to segment as a ring does.
    #[inline(always)]
    pub(crate) fn copy(&mut self) {
        let bytes = self.own.pool.raw_segments();
        if self.at + FILL_BYTES > SEGMENT_BYTES as usize {
            self.at = 0;
            self.segment += SEGMENT_BYTES as usize;
            if self.segment == bytes.len() {
                self.segment = 0;
            }
        }
        let from = self.segment + self.at;
        bytes[from..from + FILL_BYTES].copy_from_slice(black_box(&self.frame));
        self.at += FILL_BYTES;
    }
}
