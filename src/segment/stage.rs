//! The stage: events of one container in one block, before they go to its ring.
//!
//! Where a policy keeps open trades only, most trades open and close within a block, and their
//! events would be recycled before anybody could read them. They wait here instead, in a buffer
//! that stays in the cache: the end of a trade forgets its frames, the end of the block commits the
//! rest to the ring. What is kept, and every count of the ledger, is what it would be without.

use super::pool::Pool;
use super::ring::{Append, Ring};
use admf_formats::event::{Payload, Stamp};
use admf_formats::segment::{commit_word, frame_bytes, frame_trade, parse_commit, write_frame};

/// Bytes of a stage: an open trade of the engine and the orders of the next one fit in twice.
pub const STAGE_BYTES: usize = 4096;

/// Bytes of the frames of an entry, as far as most rules select them.
const ENTRY_BYTES: usize = 320;

/// What the stage knows of one container's ring from block to block, so that the ring itself is
/// touched only where a trade outlives a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Staged {
    /// Bytes that may wait before the ring's cap would be reached.
    limit: u32,
    /// Bytes that the ring keeps at most.
    cap: u32,
    /// Whether the ring has frames of open trades.
    ring_has_trades: bool,
    /// Where the ring's next frame goes in the pool.
    next_frame: usize,
    recycled: u64,
    without_trade: u64,
}

impl Staged {
    /// What holds for this ring now; nothing is counted yet.
    pub fn of(ring: &Ring) -> Staged {
        Staged {
            limit: ring.room().min(STAGE_BYTES as u64) as u32,
            cap: ring.cap().min(STAGE_BYTES as u64) as u32,
            ring_has_trades: ring.has_trades(),
            next_frame: ring.next_frame(),
            ..Staged::default()
        }
    }

    /// Whether the ring's cap leaves room for so many bytes, at most those of a stage.
    #[inline(always)]
    pub const fn holds(&self, bytes: u64) -> bool {
        self.cap as u64 >= bytes
    }

    /// Asks for where the ring's next frames go.
    #[inline(always)]
    pub fn prefetch(&self, pool: &Pool) {
        pool.prefetch(self.next_frame, ENTRY_BYTES);
    }

    /// Hands what was counted to the ring's ledger.
    pub fn count(&mut self, ring: &mut Ring) {
        ring.count_staged(self.recycled, self.without_trade);
        (self.recycled, self.without_trade) = (0, 0);
    }
}

/// Frames that wait for the end of their block.
#[derive(Debug)]
pub struct Stage {
    used: usize,
    count: u64,
    /// The container at hand.
    now: Staged,
    /// The trade of all frames, unless they are of several.
    trade: u32,
    is_mixed: bool,
    frames: [u8; STAGE_BYTES],
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::new()
    }
}

impl Stage {
    /// An empty stage.
    pub const fn new() -> Stage {
        Stage {
            used: 0,
            count: 0,
            now: Staged {
                limit: 0,
                cap: 0,
                ring_has_trades: false,
                next_frame: 0,
                recycled: 0,
                without_trade: 0,
            },
            trade: 0,
            is_mixed: false,
            frames: [0; STAGE_BYTES],
        }
    }

    /// Opens the empty stage for a container.
    #[inline(always)]
    pub fn open(&mut self, staged: Staged) {
        debug_assert!(
            self.used == 0,
            "a stage is settled before the next one opens"
        );
        self.now = staged;
    }

    /// Takes an event; false where there is no room, and the stage must be settled first.
    #[inline(always)]
    pub fn push<P: Payload>(&mut self, stamp: &Stamp, payload: &P) -> bool {
        if stamp.trade == 0 {
            self.now.without_trade += 1;
            return true;
        }
        let bytes = frame_bytes(P::KIND);
        let end = self.used + bytes;
        if end > self.now.limit as usize {
            return false;
        }
        let frame = &mut self.frames[self.used..end];
        write_frame(frame, stamp, payload);
        *frame.first_chunk_mut().expect("a frame has a commit word") =
            commit_word(0, P::KIND, bytes).to_le_bytes();
        self.is_mixed |= self.used != 0 && self.trade != stamp.trade;
        self.trade = stamp.trade;
        self.used = end;
        self.count += 1;
        true
    }

    /// Counts events of closed trades that never came here.
    #[inline(always)]
    pub const fn recycle(&mut self, events: u64) {
        self.now.recycled += events;
    }

    /// The trade is closed in full, or will never open; true where the ring must be told too.
    #[inline(always)]
    pub fn end_trade(&mut self, trade: u32) -> bool {
        if self.is_mixed {
            self.forget(trade);
        } else if self.trade == trade {
            self.now.recycled += self.count;
            (self.used, self.count) = (0, 0);
        }
        self.now.ring_has_trades
    }

    /// The ring forgot a trade: what holds for the container from now on.
    pub fn ring_changed(&mut self, ring: Staged) {
        self.now = Staged {
            recycled: self.now.recycled,
            without_trade: self.now.without_trade,
            cap: self.now.cap,
            ..ring
        };
    }

    #[cold]
    fn forget(&mut self, trade: u32) {
        let (mut at, mut kept) = (0, 0);
        let mut first = None;
        self.is_mixed = false;
        while at < self.used {
            let bytes = self.frame_bytes(at);
            let own = frame_trade(&self.frames[at..at + bytes]);
            if own == trade {
                self.now.recycled += 1;
                self.count -= 1;
            } else {
                self.frames.copy_within(at..at + bytes, kept);
                kept += bytes;
                self.is_mixed |= *first.get_or_insert(own) != own;
                self.trade = own;
            }
            at += bytes;
        }
        self.used = kept;
    }

    fn frame_bytes(&self, at: usize) -> usize {
        let word = u64::from_le_bytes(self.frames[at..at + 8].try_into().expect("eight bytes"));
        parse_commit(word).expect("the stage wrote this frame").2
    }

    /// Whether anything waits.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// What holds for the container after a block at whose end nothing waits.
    #[inline(always)]
    pub const fn close(&self) -> Staged {
        self.now
    }

    /// Commits what waits to the ring; tells what holds for the container from now on.
    pub fn settle(&mut self, ring: &mut Ring, pool: &mut Pool) -> Staged {
        let waits = &self.frames[..self.used];
        let mut at = if self.is_mixed || waits.is_empty() {
            0
        } else if ring.append_frames(pool, self.trade, waits, self.count) {
            self.used
        } else {
            0
        };
        while at < self.used {
            let bytes = self.frame_bytes(at);
            let appended = ring.append_frame(pool, &self.frames[at..at + bytes]);
            debug_assert_eq!(
                appended,
                Append::Done,
                "the stage is no larger than the ring's room"
            );
            at += bytes;
        }
        (self.used, self.count, self.is_mixed) = (0, 0, false);
        self.now = Staged {
            recycled: self.now.recycled,
            without_trade: self.now.without_trade,
            ..Staged::of(ring)
        };
        self.now
    }
}
