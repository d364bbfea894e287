//! A ring in a checkpoint: what it counts, and its segments with all their frames.

use super::past::Past;
use super::{OpenTrade, Ring};
use crate::segment::Pool;
use crate::state::{StateReader, StateWriter};
use admf_formats::result::Ledger;
use admf_formats::segment::{FRAME_BYTES_MAX, parse_commit};
use std::io;

/// Ordinal, bytes of live frames, frames, streamed frames.
type Counts = (u64, u64, u64, u64);

/// Bytes, frames and ordinal of a segment.
type Segment = (u32, u32, u64);

impl Ring {
    /// Writes the ring as it is, for [`Ring::load`].
    ///
    /// Errors: those of the writer.
    pub fn save(&self, pool: &Pool, into: &mut StateWriter<'_>) -> io::Result<()> {
        let Ring {
            rules: _,
            owner: _,
            held,
            open,
            ordinal,
            live_bytes,
            frames,
            streamed,
            past,
            ledger,
        } = self;
        let counts: Counts = (*ordinal, *live_bytes, *frames, *streamed);
        into.put(&counts)?;
        into.put(&(past, ledger))?;
        into.put(open)?;
        into.put(&held.len())?;
        for one in held {
            let segment: Segment = (one.used, one.frames, one.ordinal);
            into.put(&segment)?;
            into.bytes(pool.frames(one.segment, one.used as usize))?;
        }
        Ok(())
    }

    /// Makes this ring, which is new, the one that was saved.
    ///
    /// Errors: those of the reader; bytes that are no frames.
    pub fn load(&mut self, pool: &mut Pool, from: &mut StateReader<'_>) -> io::Result<()> {
        let (ordinal, live_bytes, frames, streamed): Counts = from.get()?;
        let (past, ledger): (Past, Ledger) = from.get()?;
        self.open.extend(from.get::<Vec<OpenTrade>>()?);
        for _ in 0..from.get::<usize>()? {
            let (used, own, ordinal): Segment = from.get()?;
            self.ordinal = ordinal - 1;
            self.take_segment(pool);
            let (mut at, mut copied) = (0, 0);
            while at < used as usize {
                let mut frame = [0; FRAME_BYTES_MAX];
                from.bytes(&mut frame[..8])?;
                let word = u64::from_le_bytes(frame[..8].try_into().expect("eight bytes"));
                let wrong = || io::Error::other("no frame where one was saved");
                let (_, _, bytes) = parse_commit(word).ok_or_else(wrong)?;
                from.bytes(&mut frame[8..bytes])?;
                self.copy(pool, &frame[..bytes]);
                (at, copied) = (at + bytes, copied + 1);
            }
            debug_assert_eq!(copied, own);
        }
        self.ordinal = ordinal;
        self.live_bytes = live_bytes;
        self.frames = frames;
        self.streamed = streamed;
        self.past = past;
        self.ledger = ledger;
        Ok(())
    }

    /// Passes over a saved ring.
    ///
    /// Errors: those of the reader.
    pub fn skip(from: &mut StateReader<'_>) -> io::Result<()> {
        from.get::<Counts>()?;
        from.get::<(Past, Ledger)>()?;
        from.get::<Vec<OpenTrade>>()?;
        for _ in 0..from.get::<usize>()? {
            let (used, ..): Segment = from.get()?;
            from.skip(u64::from(used))?;
        }
        Ok(())
    }
}
