//! A lane: what is touched of a container's ring where events of its open trade are all that comes.
//!
//! Most rings have one segment and the frames of one open trade. Both are lent to the lane then:
//! it writes frames, ends trades and begins its segment anew, and the ring, whose lists lie
//! elsewhere, is not looked at. Where there is more, or where an event finds no room, the ring takes
//! back what it lent and goes on by itself. What is kept and every count is what it would be
//! without.

use super::pool::Pool;
use crate::failpoint;
use admf_formats::event::{Payload, Stamp};
use admf_formats::segment::{
    FRAME_ALIGN, commit_word, committed_in, frame_bytes, word_bytes, write_frame,
};

/// Bytes of the frames of an entry, as far as most rules select them: a trade begins where these
/// have room.
const ENTRY_BYTES: usize = 320;

/// The largest segment that is lent, so that what is in it is counted in few bytes.
pub(super) const SEGMENT_BYTES_MAX: usize = FRAME_ALIGN * u16::MAX as usize;

/// What a ring lends, and what its container counted. Bytes are in units of 16, so that all of it is
/// in one line of the cache with what the tile's sink has beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lane {
    /// Where the next frame goes in the pool, whether lent or not.
    next: usize,
    /// Events that were offered, but for those of the open trade, and of these the recycled ones and
    /// those of no trade; as far as the ring's ledger does not have them.
    attempted: u64,
    recycled: u64,
    without_trade: u64,
    /// The segment's generation; 0 where none is lent.
    generation: u32,
    /// The open trade; 0 for none.
    trade: u32,
    /// What is left for the trade in the segment; 0 where none is lent. A word of its own, as the
    /// frames: what was just stored is loaded with no more than that, or waits for the cache.
    left: u32,
    /// Frames in the segment.
    frames: u32,
    /// What the cap leaves out of what is left, while a trade is open.
    spare: u16,
    /// What the open trade may have, as far as it can be counted here.
    cap: u16,
    /// What was left, and the frames, when the trade began; as they are while there is none.
    left_before: u16,
    frames_before: u16,
}

const fn units(bytes: usize) -> u32 {
    (bytes / FRAME_ALIGN) as u32
}

const fn bytes(units: u32) -> usize {
    units as usize * FRAME_ALIGN
}

/// What a ring lends: its only segment, and its open trade if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lent {
    pub(super) generation: u32,
    /// Bytes and frames in the segment.
    pub(super) used: usize,
    pub(super) frames: u32,
    /// Number, bytes and frames of the trade; 0 for none.
    pub(super) trade: u32,
    pub(super) trade_bytes: u64,
    pub(super) trade_frames: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) attempted: u64,
    pub(super) recycled: u64,
    pub(super) without_trade: u64,
}

impl Lane {
    /// Has what a ring lends that has so much room below its cap.
    pub(super) fn of(pool: &Pool, lent: Option<Lent>, next: usize, room: u64) -> Lane {
        let room = u16::try_from(room / FRAME_ALIGN as u64).unwrap_or(u16::MAX);
        let mut lane = Lane {
            next,
            cap: room,
            ..Lane::default()
        };
        if let Some(lent) = lent {
            lane.generation = lent.generation;
            lane.trade = lent.trade;
            let open = units(lent.trade_bytes as usize);
            lane.cap = room.saturating_add(open as u16);
            lane.left = units(pool.segment_bytes() - lent.used);
            if lent.trade != 0 {
                lane.cut_to(room);
            }
            lane.left_before = (lane.left + open) as u16;
            lane.frames = lent.frames;
            lane.frames_before = (lent.frames - lent.trade_frames as u32) as u16;
        }
        lane
    }

    /// What goes back to the ring, and what was counted meanwhile; nothing of it stays here.
    pub(super) fn give_back(&mut self, pool: &Pool) -> (Option<Lent>, Counted) {
        let lane = std::mem::take(self);
        let lent = lane.is_lent().then(|| Lent {
            generation: lane.generation,
            used: pool.segment_bytes() - bytes(lane.left + u32::from(lane.spare)),
            frames: lane.frames,
            trade: lane.trade,
            trade_bytes: bytes(u32::from(lane.left_before) - lane.left) as u64,
            trade_frames: lane.trade_frames(),
        });
        let counted = Counted {
            attempted: lane.attempted + lane.trade_frames(),
            recycled: lane.recycled,
            without_trade: lane.without_trade,
        };
        (lent, counted)
    }

    /// Whether it has what the ring has.
    #[inline(always)]
    const fn is_lent(&self) -> bool {
        self.generation != 0
    }

    #[inline(always)]
    const fn trade_frames(&self) -> u64 {
        (self.frames - self.frames_before as u32) as u64
    }

    /// Bytes of frames that may come before the cap, as far as they can be counted here.
    #[inline(always)]
    pub(super) const fn room(&self) -> usize {
        bytes(self.cap as u32 - (self.left_before as u32 - self.left))
    }

    /// Asks for where the next frames go.
    #[inline(always)]
    pub fn prefetch(&self, pool: &Pool) {
        pool.prefetch(self.next, ENTRY_BYTES);
    }

    /// Counts an event of no trade.
    #[inline(always)]
    pub const fn drop_without_trade(&mut self) {
        self.attempted += 1;
        self.without_trade += 1;
    }

    /// Counts events of closed trades that nobody could have read.
    #[inline(always)]
    pub const fn recycle(&mut self, events: u64) {
        self.attempted += events;
        self.recycled += events;
    }

    /// Appends an event of a trade; false, and nothing is done, where the ring must.
    #[inline(always)]
    pub fn append<P: Payload>(
        &mut self,
        pool: &mut Pool,
        owner: u64,
        stamp: &Stamp,
        payload: &P,
    ) -> bool {
        let bytes = const { frame_bytes(P::KIND) };
        if !self.admits(pool, owner, stamp.trade, bytes) {
            return false;
        }
        let at = self.next;
        write_frame(pool.frame_mut(at, bytes), stamp, payload);
        failpoint::reach("append.frame");
        pool.commit(at, commit_word(self.generation, P::KIND, bytes));
        failpoint::witness(owner, stamp.sequence);
        failpoint::reach("append.committed");
        self.advance(bytes, 1);
        true
    }

    /// Appends frames of one trade that lie one after another in a stage, `count` of them; false,
    /// and nothing is done, where the ring must.
    pub(super) fn append_frames(
        &mut self,
        pool: &mut Pool,
        owner: u64,
        trade: u32,
        frames: &[u8],
        count: u32,
    ) -> bool {
        if !self.admits(pool, owner, trade, frames.len()) {
            return false;
        }
        let at = self.next;
        // The stage's own commit words are of no generation: readers end before them, until each
        // frame is committed.
        pool.frame_mut(at, frames.len())[8..].copy_from_slice(&frames[8..]);
        let mut next = 0;
        while next < frames.len() {
            let word = frames[next..next + 8].try_into().expect("eight bytes");
            let word = committed_in(u64::from_le_bytes(word), self.generation);
            pool.commit(at + next, word);
            next += word_bytes(word);
        }
        self.advance(frames.len(), count);
        true
    }

    /// Whether so many bytes of this trade go where the next frame goes; the trade begins where none
    /// is open, and the segment anew where that makes room for it.
    #[inline(always)]
    fn admits(&mut self, pool: &mut Pool, owner: u64, trade: u32, bytes: usize) -> bool {
        if self.trade == trade {
            return units(bytes) <= self.left;
        }
        if self.trade != 0 {
            return false;
        }
        if self.left < units(ENTRY_BYTES.max(bytes)) {
            self.begin_anew(pool, owner);
        }
        if units(bytes) > self.left.min(self.cap.into()) {
            return false;
        }
        self.trade = trade;
        self.cut_to(self.cap);
        self.mark();
        true
    }

    /// Leaves out of what is left what the cap does not allow.
    #[inline(always)]
    fn cut_to(&mut self, room: u16) {
        self.spare = self.left.saturating_sub(room.into()) as u16;
        self.left -= u32::from(self.spare);
    }

    /// A trade begins or ends.
    #[inline(always)]
    const fn mark(&mut self) {
        (self.left_before, self.frames_before) = (self.left as u16, self.frames as u16);
    }

    /// Nothing is kept: what lies in the segment is dead.
    #[cold]
    #[inline(never)]
    fn begin_anew(&mut self, pool: &mut Pool, owner: u64) {
        if self.is_lent() && self.frames > 0 {
            self.next -= pool.segment_bytes() - bytes(self.left);
            let segment = pool.segment_at(self.next);
            pool.restart(segment, owner);
            self.generation = pool.generation(segment);
            self.left = units(pool.segment_bytes());
            self.frames = 0;
            self.mark();
        }
    }

    #[inline(always)]
    const fn advance(&mut self, bytes: usize, frames: u32) {
        self.next += bytes;
        self.left -= units(bytes);
        self.frames += frames;
    }

    /// The trade is closed in full, or will never open; false where the ring must be told.
    #[inline(always)]
    pub const fn end_trade(&mut self, trade: u32) -> bool {
        if self.trade != trade {
            // The ring has no trade beside the one that it lent.
            return self.is_lent();
        }
        self.recycle(self.trade_frames());
        self.left += self.spare as u32;
        (self.trade, self.spare) = (0, 0);
        self.mark();
        true
    }
}
