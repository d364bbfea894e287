//! The stage: events of one container in one block, before they go to its ring.
//!
//! Where a policy keeps open trades only, most trades open and close within a block, and their
//! events would be recycled before anybody could read them. They wait here instead, in a buffer
//! that stays in the cache: the end of a trade forgets its frames, the end of the block commits the
//! rest to the ring. What is kept, and every count of the ledger, is what it would be without.

use super::pool::Pool;
use super::ring::{Append, Ring};
use admf_formats::event::{Payload, Stamp};
use admf_formats::segment::{
    FRAME_BYTES_MAX, commit_word, frame_bytes, frame_trade, parse_commit, write_frame,
};

/// Bytes of a stage: an open trade of the engine and the orders of the next one fit in twice.
pub const STAGE_BYTES: usize = 4096;

/// Frames that wait for the end of their block.
#[derive(Debug)]
pub struct Stage {
    frames: Box<[u8; STAGE_BYTES]>,
    used: usize,
    /// Bytes that may be used before the ring's cap would be reached.
    limit: usize,
    count: u64,
    /// The trade of all frames, unless they are of several.
    trade: u32,
    is_mixed: bool,
    /// Whether the ring has frames of open trades.
    ring_has_trades: bool,
    recycled: u64,
    without_trade: u64,
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::new()
    }
}

impl Stage {
    /// An empty stage.
    pub fn new() -> Stage {
        Stage {
            frames: Box::new([0; STAGE_BYTES]),
            used: 0,
            limit: 0,
            count: 0,
            trade: 0,
            is_mixed: false,
            ring_has_trades: false,
            recycled: 0,
            without_trade: 0,
        }
    }

    /// Forgets everything: the containers of a tile are given up.
    pub fn clear(&mut self) {
        (self.used, self.count, self.is_mixed) = (0, 0, false);
        (self.recycled, self.without_trade) = (0, 0);
    }

    /// Opens the empty stage for a container.
    #[inline]
    pub fn open(&mut self, ring: &Ring) {
        debug_assert!(
            self.used == 0,
            "a stage is settled before the next one opens"
        );
        self.limit = (ring.room() as usize).min(STAGE_BYTES);
        self.ring_has_trades = ring.has_trades();
    }

    /// Takes an event; false where there is no room, and the stage must be settled first.
    #[inline(always)]
    pub fn push<P: Payload>(&mut self, stamp: &Stamp, payload: &P) -> bool {
        if stamp.trade == 0 {
            self.without_trade += 1;
            return true;
        }
        let bytes = frame_bytes(P::KIND);
        let end = self.used + bytes;
        if end > self.limit {
            return false;
        }
        let frame = &mut self.frames[self.used..end];
        frame[..8].copy_from_slice(&commit_word(0, P::KIND, bytes).to_le_bytes());
        write_frame(frame, stamp, payload);
        self.is_mixed |= self.used != 0 && self.trade != stamp.trade;
        self.trade = stamp.trade;
        self.used = end;
        self.count += 1;
        true
    }

    /// The trade is closed in full, or will never open; true where the ring must be told too.
    #[inline(always)]
    pub fn end_trade(&mut self, trade: u32) -> bool {
        if self.is_mixed {
            self.forget(trade);
        } else if self.trade == trade {
            self.recycled += self.count;
            (self.used, self.count) = (0, 0);
        }
        self.ring_has_trades
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
                self.recycled += 1;
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

    /// Commits what is left to the ring.
    #[inline]
    pub fn settle(&mut self, ring: &mut Ring, pool: &mut Pool) {
        if self.recycled + self.without_trade > 0 {
            ring.count_staged(self.recycled, self.without_trade);
            (self.recycled, self.without_trade) = (0, 0);
        }
        let mut at = 0;
        while at < self.used {
            let bytes = self.frame_bytes(at);
            debug_assert!(bytes <= FRAME_BYTES_MAX);
            let appended = ring.append_frame(pool, &self.frames[at..at + bytes]);
            debug_assert_eq!(
                appended,
                Append::Done,
                "the stage is no larger than the ring's room"
            );
            at += bytes;
        }
        (self.used, self.count, self.is_mixed) = (0, 0, false);
    }
}
