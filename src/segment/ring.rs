//! A container's ring: the segments it has, and which of its events it keeps.
//!
//! Retention is logical: what is kept follows from the events and the rules alone, never from how
//! frames happen to lie in segments. Segments are recycled as soon as nothing kept lies in them.
//!
//! Longer than other files by a few lines: admitting, moving and forgetting frames keep one ledger.

mod lent;
mod past;
mod saved;

use super::pool::Pool;
use super::receipt::Way;
use super::retention::{OnFull, Reach, RetentionPolicy, TraceRules};
use crate::{failpoint, kernel};
use admf_formats::event::{Payload, Stamp};
use admf_formats::result::Ledger;
use admf_formats::segment::{
    FRAME_BYTES_MAX, commit_word, frame_bytes, frame_sequence, frame_trade, parse_commit,
    word_bytes, write_frame,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Trades that may be open at once in one container.
pub(super) const OPEN_TRADES_MAX: usize = 1 << 17;

/// Whether an event found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It did, or was accounted for.
    Done,
    /// The ring streams, and its segment must be flushed first.
    Flush,
    /// The ring is at its cap and the rules are strict.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    segment: u32,
    generation: u32,
    /// Where it lies in the file.
    at: usize,
    used: u32,
    frames: u32,
    /// Counts the segments of this ring.
    ordinal: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct OpenTrade {
    trade: u32,
    frames: u64,
    bytes: u64,
    first_ordinal: u64,
}

/// What a ring must know of the rules.
#[derive(Clone, Copy, Debug)]
struct RingRules {
    policy: RetentionPolicy,
    bytes_per_container: u64,
    on_full: OnFull,
}

/// The ring of one container.
#[derive(Debug)]
pub struct Ring {
    rules: RingRules,
    owner: u64,
    held: VecDeque<Held>,
    /// Ascending by trade: an evacuation looks up every frame.
    open: Vec<OpenTrade>,
    ordinal: u64,
    live_bytes: u64,
    /// Frames in the ring, for the sliding window.
    frames: u64,
    /// Frames that were streamed.
    streamed: u64,
    /// The window by bars or time.
    past: past::Past,
    ledger: Ledger,
}

/// Segments that a ring may hold under these rules.
pub const fn segments_max(rules: &TraceRules, segment_bytes: u64) -> u64 {
    if rules.events.is_empty() {
        return 0;
    }
    segments_of(rules.policy, rules.bytes_per_container, segment_bytes)
}

/// Segments that a ring may hold between two events. Beyond those [`segments_max`] counts one that
/// an evacuation needs, which gives the other one back: rings that take turns share it.
pub const fn segments_kept(rules: &TraceRules, segment_bytes: u64) -> u64 {
    let segments = segments_max(rules, segment_bytes);
    let fits = fits_a_segment(rules.policy, rules.bytes_per_container, segment_bytes);
    if fits && segments > 0 { 1 } else { segments }
}

/// Whether the frames of open trades, as many as the cap allows, leave room in a segment: they go
/// from one to the next.
const fn fits_a_segment(policy: RetentionPolicy, cap_bytes: u64, segment_bytes: u64) -> bool {
    let is_open_trades = matches!(
        policy,
        RetentionPolicy::TradeComplete | RetentionPolicy::Minimal
    );
    is_open_trades && cap_bytes + FRAME_BYTES_MAX as u64 <= segment_bytes
}

const fn segments_of(policy: RetentionPolicy, cap_bytes: u64, segment_bytes: u64) -> u64 {
    let usable = segment_bytes - FRAME_BYTES_MAX as u64;
    match policy {
        RetentionPolicy::Full => 1,
        RetentionPolicy::SlidingWindow { events } => {
            (events * FRAME_BYTES_MAX as u64).div_ceil(usable) + 2
        }
        // A part of the oldest segment, and one of the newest.
        RetentionPolicy::SlidingPast { .. } => cap_bytes.div_ceil(usable) + 2,
        _ if fits_a_segment(policy, cap_bytes, segment_bytes) => 2,
        // Twice the cap, so that evacuating dead frames always frees half of what it visits.
        RetentionPolicy::TradeComplete | RetentionPolicy::Minimal => {
            2 * cap_bytes.div_ceil(usable) + 2
        }
    }
}

/// Trades of the engine that are in a ring at once: the open one, the next one, and those that the
/// rules keep.
const fn open_trades(rules: &TraceRules) -> usize {
    2 + rules.keep.trades_max() as usize
}

/// Bytes that a ring keeps beside its segments, for trades of the engine.
pub const fn ring_bytes(rules: &TraceRules) -> u64 {
    (open_trades(rules) * size_of::<OpenTrade>()) as u64
}

impl Ring {
    /// An empty ring of this container.
    pub fn new(rules: TraceRules, owner: u64) -> Ring {
        Ring {
            rules: RingRules {
                policy: rules.policy,
                bytes_per_container: rules.bytes_per_container,
                on_full: rules.on_full,
            },
            owner,
            held: VecDeque::with_capacity(4),
            open: Vec::with_capacity(open_trades(&rules)),
            ordinal: 0,
            live_bytes: 0,
            frames: 0,
            streamed: 0,
            past: past::Past::default(),
            ledger: Ledger::default(),
        }
    }

    /// Appends an event.
    #[inline]
    pub fn append<P: Payload>(&mut self, pool: &mut Pool, stamp: &Stamp, payload: &P) -> Append {
        let bytes = const { frame_bytes(P::KIND) };
        if let RetentionPolicy::SlidingPast { reach } = self.rules.policy
            && let Some(refused) = self.slide(pool, reach, stamp, bytes)
        {
            return refused;
        }
        match self.admit(pool, stamp.trade, bytes) {
            Ok(()) => {}
            Err(refused) => return refused,
        }
        self.write(pool, bytes, stamp, payload);
        if let RetentionPolicy::SlidingWindow { events } = self.rules.policy
            && self.ledger.attempted > events
        {
            self.ledger.recycled_window = self.ledger.attempted - events;
        }
        Append::Done
    }

    /// Appends an event that lies framed in a stage.
    pub fn append_frame(&mut self, pool: &mut Pool, frame: &[u8]) -> Append {
        match self.admit(pool, frame_trade(frame), frame.len()) {
            Ok(()) => {}
            Err(refused) => return refused,
        }
        self.copy(pool, frame);
        Append::Done
    }

    /// Whether only events of open trades are kept, so that a stage may hold them back.
    pub const fn keeps_open_trades(&self) -> bool {
        matches!(
            self.rules.policy,
            RetentionPolicy::TradeComplete | RetentionPolicy::Minimal
        )
    }

    /// Bytes of frames that may still come before the cap.
    pub(super) const fn room(&self) -> u64 {
        self.rules
            .bytes_per_container
            .saturating_sub(self.live_bytes)
    }

    /// Bytes of frames that are kept at most.
    pub(crate) const fn cap(&self) -> u64 {
        self.rules.bytes_per_container
    }

    /// Where the next frame goes in the pool; 0 without a segment.
    pub(super) fn next_frame(&self) -> usize {
        (self.held.back()).map_or(0, |head| head.at + head.used as usize)
    }

    /// Asks for what an append looks at besides the ring itself.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        if let Some(head) = self.held.back() {
            kernel::prefetch(head);
        }
        if let Some(open) = self.open.last() {
            kernel::prefetch(open);
        }
    }

    /// Counts an event and makes room for its frame; the error says why there is none.
    #[inline(always)]
    fn admit(&mut self, pool: &mut Pool, trade: u32, bytes: usize) -> Result<(), Append> {
        match self.rules.policy {
            RetentionPolicy::TradeComplete | RetentionPolicy::Minimal => {
                if trade == 0 {
                    self.ledger.attempted += 1;
                    self.ledger.dropped_without_trade += 1;
                    return Err(Append::Done);
                }
                let over_cap = self.live_bytes + bytes as u64 > self.rules.bytes_per_container;
                if over_cap || !self.count_trade(trade, bytes as u64, 1) {
                    if self.rules.on_full == OnFull::Strict {
                        return Err(Append::Full);
                    }
                    self.ledger.attempted += 1;
                    self.ledger.dropped_at_cap += 1;
                    return Err(Append::Done);
                }
                self.live_bytes += bytes as u64;
                self.make_room(pool, bytes);
            }
            RetentionPolicy::SlidingWindow { .. } | RetentionPolicy::SlidingPast { .. } => {
                self.make_room(pool, bytes);
            }
            RetentionPolicy::Full => {
                if self.held.is_empty() {
                    self.take_segment(pool);
                } else if self.held[0].used as usize + bytes > pool.segment_bytes() {
                    return Err(Append::Flush);
                }
            }
        }
        self.ledger.attempted += 1;
        Ok(())
    }

    /// Copies a frame to the head, which has room for it.
    fn copy(&mut self, pool: &mut Pool, frame: &[u8]) {
        let head = self.held.back_mut().expect("room was made in a segment");
        let (at, word) = (head.at + head.used as usize, frame[..8].try_into());
        let word = u64::from_le_bytes(word.expect("eight bytes"));
        let (kind, _, bytes) = parse_commit(word).expect("this process wrote the frame");
        pool.frame_mut(at, bytes)[8..].copy_from_slice(&frame[8..bytes]);
        pool.commit(at, commit_word(head.generation, kind, bytes));
        head.used += bytes as u32;
        head.frames += 1;
        self.frames += 1;
    }

    #[inline(always)]
    fn write<P: Payload>(&mut self, pool: &mut Pool, bytes: usize, stamp: &Stamp, payload: &P) {
        let head = self.held.back_mut().expect("room was made in a segment");
        let at = head.at + head.used as usize;
        write_frame(pool.frame_mut(at, bytes), stamp, payload);
        failpoint::reach("append.frame");
        pool.commit(at, commit_word(head.generation, P::KIND, bytes));
        failpoint::witness(self.owner, stamp.sequence);
        failpoint::reach("append.committed");
        head.used += bytes as u32;
        head.frames += 1;
        self.frames += 1;
    }

    /// Counts frames for their trade; false where too many trades are open.
    #[inline]
    fn count_trade(&mut self, trade: u32, bytes: u64, frames: u64) -> bool {
        let ordinal = self.ordinal;
        // Events are mostly of the newest trade.
        let at = match self.open.last() {
            None => Err(0),
            Some(last) if last.trade < trade => Err(self.open.len()),
            Some(last) if last.trade == trade => Ok(self.open.len() - 1),
            Some(_) => self.find(trade),
        };
        let at = match at {
            Ok(at) => {
                self.open[at].frames += frames;
                self.open[at].bytes += bytes;
                return true;
            }
            Err(at) => at,
        };
        if self.open.len() >= OPEN_TRADES_MAX {
            return false;
        }
        // The frame may still go into the segment that is the head now.
        let first = OpenTrade {
            trade,
            frames,
            bytes,
            first_ordinal: ordinal,
        };
        self.open.insert(at, first);
        true
    }

    /// Place of an open trade, or where it would be.
    #[inline]
    fn find(&self, trade: u32) -> Result<usize, usize> {
        self.open.binary_search_by_key(&trade, |open| open.trade)
    }

    fn take_segment(&mut self, pool: &mut Pool) {
        let segment = pool
            .acquire(self.owner)
            .expect("the plan counts the segments of every ring");
        self.ordinal += 1;
        self.held.push_back(Held {
            segment,
            generation: pool.generation(segment),
            at: pool.offset(segment),
            used: 0,
            frames: 0,
            ordinal: self.ordinal,
        });
    }

    /// Makes sure that the head has room for a frame.
    #[inline]
    fn make_room(&mut self, pool: &mut Pool, bytes: usize) {
        if self
            .held
            .back()
            .is_some_and(|head| head.used as usize + bytes <= pool.segment_bytes())
        {
            return;
        }
        self.grow(pool);
    }

    #[cold]
    fn grow(&mut self, pool: &mut Pool) {
        let (policy, cap_bytes) = (self.rules.policy, self.rules.bytes_per_container);
        let max = segments_of(policy, cap_bytes, pool.segment_bytes() as u64) as usize;
        let is_window = matches!(
            self.rules.policy,
            RetentionPolicy::SlidingWindow { .. } | RetentionPolicy::SlidingPast { .. }
        );
        if let RetentionPolicy::SlidingWindow { events } = self.rules.policy {
            while self.held.len() > 1 && self.frames - u64::from(self.held[0].frames) >= events {
                self.release_oldest(pool);
            }
        }
        // One segment is spare for the evacuation itself.
        while !is_window && self.held.len() + 1 >= max {
            self.evacuate(pool);
            if self
                .held
                .back()
                .is_some_and(|head| head.used as usize + FRAME_BYTES_MAX <= pool.segment_bytes())
            {
                return;
            }
        }
        self.take_segment(pool);
    }

    /// Copies what is kept of the oldest segment to the head and hands the segment back.
    fn evacuate(&mut self, pool: &mut Pool) {
        let Some(oldest) = self.held.pop_front() else {
            return;
        };
        failpoint::reach("evacuate.begin");
        let mut at = 0;
        while at < oldest.used as usize {
            let mut frame = [0; FRAME_BYTES_MAX];
            let rest = pool.frames(oldest.segment, oldest.used as usize);
            let word = u64::from_le_bytes(rest[at..at + 8].try_into().expect("eight bytes"));
            let (_, _, bytes) = parse_commit(word).expect("the ring wrote this frame");
            frame[..bytes].copy_from_slice(&rest[at..at + bytes]);
            at += bytes;
            self.frames -= 1;
            if self.find(frame_trade(&frame)).is_err() {
                continue;
            }
            if self
                .held
                .back()
                .is_none_or(|head| head.used as usize + bytes > pool.segment_bytes())
            {
                self.take_segment(pool);
            }
            self.copy(pool, &frame[..bytes]);
            failpoint::reach("evacuate.frame");
        }
        failpoint::reach("evacuate.release");
        // Only now: until here every kept frame is in one of the two places.
        pool.release(oldest.segment, self.owner);
        failpoint::reach("evacuate.done");
        let oldest_ordinal = self.held.front().map_or(self.ordinal, |held| held.ordinal);
        for open in &mut self.open {
            open.first_ordinal = open.first_ordinal.max(oldest_ordinal);
        }
    }

    /// The trade is closed in full, or will never open: its events are kept no longer.
    #[inline]
    pub fn end_trade(&mut self, pool: &mut Pool, trade: u32) {
        let Ok(at) = self.find(trade) else {
            return;
        };
        let ended = self.open.remove(at);
        self.ledger.recycled_trade_closed += ended.frames;
        self.live_bytes -= ended.bytes;
        // Only a trade that began in the oldest segment can have held it.
        if !self.open.is_empty()
            && (self.held.front()).is_some_and(|oldest| ended.first_ordinal > oldest.ordinal)
        {
            return;
        }
        let oldest_kept = self.open.iter().map(|open| open.first_ordinal).min();
        match oldest_kept {
            Some(ordinal) => {
                while self.held.len() > 1 && self.held[0].ordinal < ordinal {
                    self.release_oldest(pool);
                }
            }
            None => {
                while self.held.len() > 1 {
                    self.release_oldest(pool);
                }
                // Nothing is kept: the head begins anew before it would have to grow.
                if let Some(head) = self.held.back_mut()
                    && head.used as usize * 2 > pool.segment_bytes()
                {
                    pool.restart(head.segment, self.owner);
                    self.frames -= u64::from(head.frames);
                    head.generation = pool.generation(head.segment);
                    (head.used, head.frames) = (0, 0);
                }
            }
        }
    }

    /// The trade's first frame whose sequence is above `after`, copied, and its size.
    ///
    /// Evacuated frames lie behind later ones, so each is looked for; trades have few.
    pub fn next_frame_of(
        &self,
        pool: &Pool,
        trade: u32,
        after: u64,
    ) -> Option<([u8; FRAME_BYTES_MAX], usize)> {
        let first_ordinal = self.open[self.find(trade).ok()?].first_ordinal;
        let mut next: Option<(u64, u32, usize, usize)> = None;
        for held in self
            .held
            .iter()
            .filter(|held| held.ordinal >= first_ordinal)
        {
            let frames = pool.frames(held.segment, held.used as usize);
            let mut at = 0;
            while at < frames.len() {
                let word = u64::from_le_bytes(frames[at..at + 8].try_into().expect("eight bytes"));
                let (_, _, bytes) = parse_commit(word).expect("the ring wrote this frame");
                let sequence = frame_sequence(&frames[at..]);
                let is_next = frame_trade(&frames[at..]) == trade
                    && sequence > after
                    && next.is_none_or(|(best, ..)| sequence < best);
                if is_next {
                    next = Some((sequence, held.segment, at, bytes));
                }
                at += bytes;
            }
        }
        let (_, segment, at, bytes) = next?;
        let mut frame = [0; FRAME_BYTES_MAX];
        frame[..bytes].copy_from_slice(&pool.frames(segment, at + bytes)[at..]);
        Some((frame, bytes))
    }

    /// The trade's frames were copied to where the archive gets them: they are retained there.
    pub fn move_trade(&mut self, pool: &mut Pool, trade: u32) {
        let recycled = self.ledger.recycled_trade_closed;
        self.end_trade(pool, trade);
        self.streamed += self.ledger.recycled_trade_closed - recycled;
        self.ledger.recycled_trade_closed = recycled;
    }

    fn release_oldest(&mut self, pool: &mut Pool) {
        if let Some(oldest) = self.held.pop_front() {
            self.frames -= u64::from(oldest.frames);
            pool.release(oldest.segment, self.owner);
        }
    }

    /// The streamed segment's frames, to be flushed; the segment begins anew with
    /// [`Ring::flushed`].
    pub fn streaming<'a>(&self, pool: &'a Pool) -> &'a [u8] {
        self.held
            .back()
            .map_or(&[], |head| pool.frames(head.segment, head.used as usize))
    }

    /// The frames of [`Ring::streaming`] are in the archive's hands.
    pub fn flushed(&mut self, pool: &mut Pool) {
        if let Some(head) = self.held.back_mut() {
            pool.restart(head.segment, self.owner);
            head.generation = pool.generation(head.segment);
            self.streamed += u64::from(head.frames);
            (head.used, head.frames) = (0, 0);
        }
    }

    /// The frames of [`Ring::streaming`] were handed to the archive: the segment stays as it is
    /// until they are written there, and the ring goes on in another one.
    pub fn handed_over(&mut self, pool: &mut Pool) {
        if let Some(head) = self.held.pop_back() {
            self.streamed += u64::from(head.frames);
            self.frames -= u64::from(head.frames);
            pool.retire(head.segment, self.owner, Way::Chunk);
        }
    }

    /// Like [`Ring::finish`], for frames that go into the next batch for the archive: segments go
    /// back when that is written.
    pub fn finish_into_batch(&mut self, pool: &mut Pool, into: &mut Vec<u8>) -> Ledger {
        let ledger = self.collect(pool, into);
        for held in self.held.drain(..) {
            pool.retire(held.segment, self.owner, Way::Batch);
        }
        self.open.clear();
        ledger
    }

    /// Writes what is kept into `into`, in order of sequence, and hands every segment back.
    ///
    /// Commit words are written with generation 0, so that the bytes do not depend on the pool.
    pub fn finish(&mut self, pool: &mut Pool, into: &mut Vec<u8>) -> Ledger {
        let ledger = self.collect(pool, into);
        self.abandon(pool);
        ledger
    }

    fn collect(&mut self, pool: &mut Pool, into: &mut Vec<u8>) -> Ledger {
        let is_plain = self.keeps_open_trades() && self.held.len() <= 1 && self.open.len() <= 1;
        if is_plain && let Some(frames) = self.collect_trade(pool, into) {
            self.ledger.retained = self.streamed + frames;
            failpoint::reach("seal.finish");
            return self.ledger;
        }
        let mut kept: Vec<(u64, u32, usize, usize)> = Vec::new();
        for (place, held) in self.held.iter().enumerate() {
            let frames = pool.frames(held.segment, held.used as usize);
            let mut at = if place == 0 { self.past.tail() } else { 0 };
            while at < frames.len() {
                let word = u64::from_le_bytes(frames[at..at + 8].try_into().expect("eight bytes"));
                let (_, _, bytes) = parse_commit(word).expect("the ring wrote this frame");
                let frame = &frames[at..at + bytes];
                let is_kept = match self.rules.policy {
                    RetentionPolicy::TradeComplete | RetentionPolicy::Minimal => {
                        self.find(frame_trade(frame)).is_ok()
                    }
                    _ => true,
                };
                if is_kept {
                    kept.push((frame_sequence(frame), held.segment, at, bytes));
                }
                at += bytes;
            }
        }
        kept.sort_unstable();
        if let RetentionPolicy::SlidingWindow { events } = self.rules.policy {
            let excess = kept.len().saturating_sub(events as usize);
            kept.drain(..excess);
        }
        self.ledger.retained = self.streamed + kept.len() as u64;
        for (_, segment, at, bytes) in kept {
            let from = into.len();
            into.extend_from_slice(&pool.frames(segment, at + bytes)[at..]);
            into[from..from + 4].fill(0);
        }
        failpoint::reach("seal.finish");
        self.ledger
    }

    /// Of a ring that has one segment and one open trade at most, as most have at their end: writes
    /// the trade's frames and gives how many they are. `None`, and nothing is written, where they
    /// do not lie in order, for some were moved.
    fn collect_trade(&self, pool: &Pool, into: &mut Vec<u8>) -> Option<u64> {
        let (Some(held), Some(open)) = (self.held.front(), self.open.first()) else {
            return Some(0);
        };
        let mut rest = pool.frames(held.segment, held.used as usize);
        let (begin, mut last, mut count) = (into.len(), 0, 0);
        while let Some(word) = rest.first_chunk() {
            let bytes = word_bytes(u64::from_le_bytes(*word));
            assert!(bytes > 0, "the ring wrote this frame");
            let (frame, behind) = rest.split_at(bytes);
            rest = behind;
            if frame_trade(frame) != open.trade {
                continue;
            }
            if frame_sequence(frame) < last {
                into.truncate(begin);
                return None;
            }
            (last, count) = (frame_sequence(frame), count + 1);
            let from = into.len();
            into.extend_from_slice(frame);
            into[from..from + 4].fill(0);
        }
        Some(count)
    }

    /// Hands every segment back; nothing is kept.
    pub fn abandon(&mut self, pool: &mut Pool) {
        while !self.held.is_empty() {
            self.release_oldest(pool);
        }
        self.open.clear();
    }

    /// Segments in use.
    pub fn segments(&self) -> usize {
        self.held.len()
    }
}
