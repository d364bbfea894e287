//! The stage: events of one container in one block, before they go to its ring.
//!
//! Where a policy keeps open trades only, most trades open and close within a block, and their
//! events would be recycled before anybody could read them. They wait here instead, in a buffer
//! that stays in the cache: the end of a trade forgets its frames, the end of the block commits the
//! rest to the ring. What is kept, and every count of the ledger, is what it would be without.

use super::lane::Lane;
use super::pool::Pool;
use super::ring::{Append, Ring};
use admf_formats::event::{Payload, Stamp};
use admf_formats::segment::{commit_word, frame_bytes, frame_trade, parse_commit, write_frame};

/// Bytes of a stage: an open trade of the engine and the orders of the next one fit in twice.
pub const STAGE_BYTES: usize = 4096;

/// Frames that wait for the end of their block.
#[derive(Debug)]
pub struct Stage {
    used: usize,
    count: u32,
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
            trade: 0,
            is_mixed: false,
            frames: [0; STAGE_BYTES],
        }
    }

    /// Takes an event of the container of this lane; false where there is no room, and the stage
    /// must be settled first.
    #[inline(always)]
    pub fn push<P: Payload>(&mut self, lane: &mut Lane, stamp: &Stamp, payload: &P) -> bool {
        if stamp.trade == 0 {
            lane.drop_without_trade();
            return true;
        }
        let bytes = const { frame_bytes(P::KIND) };
        let end = self.used + bytes;
        if end > lane.room().min(STAGE_BYTES) {
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

    /// The trade is closed in full, or will never open; false where the ring must be told too.
    #[inline(always)]
    pub fn end_trade(&mut self, lane: &mut Lane, trade: u32) -> bool {
        if self.is_mixed {
            self.forget(lane, trade);
        } else if self.trade == trade {
            lane.recycle(u64::from(self.count));
            (self.used, self.count) = (0, 0);
        }
        lane.end_trade(trade)
    }

    #[cold]
    fn forget(&mut self, lane: &mut Lane, trade: u32) {
        let (mut at, mut kept) = (0, 0);
        let mut first = None;
        self.is_mixed = false;
        while at < self.used {
            let bytes = self.frame_bytes(at);
            let own = frame_trade(&self.frames[at..at + bytes]);
            if own == trade {
                lane.recycle(1);
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

    /// Commits what waits: by the lane where that has room, by the ring of this owner elsewhere.
    pub fn settle(&mut self, lane: &mut Lane, owner: u64, ring: &mut Ring, pool: &mut Pool) {
        let (trade, waits) = (self.trade, &self.frames[..self.used]);
        let is_done = waits.is_empty()
            || !self.is_mixed && lane.append_frames(pool, owner, trade, waits, self.count);
        if !is_done {
            ring.take_back(pool, lane);
            let mut at = 0;
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
            ring.lend(pool, lane);
        }
        (self.used, self.count, self.is_mixed) = (0, 0, false);
    }
}
