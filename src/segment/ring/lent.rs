//! What a ring lends to a lane, and takes back.

use super::super::lane::{Lane, Lent, SEGMENT_BYTES_MAX};
use super::{OpenTrade, Pool, Ring};

impl Ring {
    /// Lends the lane what it may have: a single segment of a ring that keeps open trades only, with
    /// at most one of them. It must be taken back before anything else is asked of the ring.
    pub fn lend(&mut self, pool: &Pool, lane: &mut Lane) {
        let is_simple = self.keeps_open_trades() && self.held.len() == 1 && self.open.len() <= 1;
        let mut lent = None;
        if is_simple
            && pool.segment_bytes() <= SEGMENT_BYTES_MAX
            && let Some(head) = self.held.back()
        {
            let open = self.open.first();
            lent = Some(Lent {
                generation: head.generation,
                used: head.used as usize,
                frames: head.frames,
                trade: open.map_or(0, |open| open.trade),
                trade_bytes: open.map_or(0, |open| open.bytes),
                trade_frames: open.map_or(0, |open| open.frames),
            });
        }
        // The lane counts the events of its trade when that ends.
        self.ledger.attempted -= lent.map_or(0, |lent| lent.trade_frames);
        *lane = Lane::of(pool, lent, self.next_frame(), self.room());
    }

    /// Makes everything here as if nothing had been lent. The lane has nothing until it is lent to
    /// again.
    pub fn take_back(&mut self, pool: &Pool, lane: &mut Lane) {
        let (lent, counted) = lane.give_back(pool);
        self.ledger.attempted += counted.attempted;
        self.ledger.recycled_trade_closed += counted.recycled;
        self.ledger.dropped_without_trade += counted.without_trade;
        let (Some(lent), Some(head)) = (lent, self.held.back_mut()) else {
            return;
        };
        self.frames = self.frames - u64::from(head.frames) + u64::from(lent.frames);
        (head.generation, head.frames) = (lent.generation, lent.frames);
        head.used = lent.used as u32;
        self.live_bytes = lent.trade_bytes;
        self.open.clear();
        if lent.trade != 0 {
            self.open.push(OpenTrade {
                trade: lent.trade,
                frames: lent.trade_frames,
                bytes: lent.trade_bytes,
                first_ordinal: head.ordinal,
            });
        }
    }
}
