//! A pool: one mapped file per worker, cut into equal segments.
//!
//! Memory is the size of the file, by construction. A container's ring takes segments and hands
//! them back; a segment that is handed back gets a new generation, by which its frames die without
//! being zeroed.

use super::map::Map;
use super::order::wait;
use super::receipt::{Receipts, Ticket, Way};
use crate::Result;
use crate::{failpoint, kernel};
use admf_formats::manifest::Manifest;
use admf_formats::segment::{DESCRIPTOR_BYTES, Descriptor, PoolHeader, next_generation};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// What a segment's newest descriptor says.
#[derive(Clone, Copy, Default)]
struct Described {
    generation: u32,
    /// Its checksum.
    crc: u32,
}

/// A worker's pool.
pub struct Pool {
    map: Map,
    path: PathBuf,
    header: PoolHeader,
    /// Where the first segment lies; appends are too many to work it out each time.
    segments_at: usize,
    /// [`PoolHeader::file_bytes`].
    file_bytes: usize,
    /// [`PoolHeader::seed`].
    seed: u32,
    /// The newest descriptor of each segment, as far as the next one needs it.
    described: Vec<Described>,
    free: Vec<u32>,
    /// Segments whose frames are on their way to the archive, with their owner: each is in the
    /// pool once, so there are no more than segments.
    retired: VecDeque<(Ticket, u32, u64)>,
    receipts: Receipts,
}

impl Pool {
    /// Creates a pool file.
    ///
    /// Errors: the file cannot be created, locked or allocated in full.
    pub fn create(
        path: &Path,
        pool: u32,
        segment_bytes: u32,
        segments: u32,
        manifest: &Manifest,
    ) -> Result<Pool> {
        Pool::create_with(path, pool, segment_bytes, segments, manifest, Map::create)
    }

    /// A pool whose pages fault when they are first written: what a bench compares with.
    #[doc(hidden)]
    pub fn create_untouched(
        path: &Path,
        pool: u32,
        segment_bytes: u32,
        segments: u32,
        manifest: &Manifest,
    ) -> Result<Pool> {
        let create = Map::create_untouched;
        Pool::create_with(path, pool, segment_bytes, segments, manifest, create)
    }

    fn create_with(
        path: &Path,
        pool: u32,
        segment_bytes: u32,
        segments: u32,
        manifest: &Manifest,
        create: fn(&Path, usize) -> Result<Map>,
    ) -> Result<Pool> {
        let manifest = manifest.encode();
        let header = PoolHeader {
            pool,
            segment_bytes,
            segments,
            manifest_bytes: manifest.len() as u32,
            manifest_crc: crc32c::crc32c(&manifest),
        };
        let mut map = create(path, header.file_bytes())?;
        failpoint::reach("pool.open");
        map.bytes_mut(header.manifest_offset(), manifest.len())
            .copy_from_slice(&manifest);
        let encoded = header.encode();
        map.bytes_mut(0, encoded.len()).copy_from_slice(&encoded);
        Ok(Pool {
            map,
            path: path.to_path_buf(),
            header,
            segments_at: header.segment_offset(0),
            file_bytes: header.file_bytes(),
            seed: header.seed(),
            described: vec![Described::default(); segments as usize],
            free: (0..segments).rev().collect(),
            retired: VecDeque::with_capacity(segments as usize),
            receipts: Receipts::default(),
        })
    }

    /// Bytes of a pool: the file and what is kept beside it.
    pub const fn bytes(segment_bytes: u64, segments: u64, manifest_bytes: u64) -> u64 {
        let free = size_of::<u32>();
        let beside = (free + size_of::<Described>() + size_of::<(Ticket, u32, u64)>()) as u64;
        segments * (segment_bytes + 2 * DESCRIPTOR_BYTES as u64 + beside)
            + manifest_bytes
            + 3 * 4096
    }

    /// Size of a segment.
    pub const fn segment_bytes(&self) -> usize {
        self.header.segment_bytes as usize
    }

    /// Segments that nobody owns.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of all segments of a pool that nobody uses: what a bench copies into.
    #[doc(hidden)]
    pub fn raw_segments(&mut self) -> &mut [u8] {
        assert_eq!(
            self.free.len(),
            self.described.len(),
            "no container may own a segment whose bytes are written over"
        );
        let from = self.segments_at;
        self.map.bytes_mut(from, self.file_bytes - from)
    }

    /// Takes a segment for a container; `None` where all are taken, which the plan rules out.
    pub(super) fn acquire(&mut self, owner: u64) -> Option<u32> {
        while self.free.is_empty() {
            self.reclaim()?;
        }
        let segment = self.free.pop()?;
        self.describe(segment, true, owner, None);
        Some(segment)
    }

    /// Hands a segment back.
    pub(super) fn release(&mut self, segment: u32, owner: u64) {
        self.describe(segment, false, owner, None);
        self.free.push(segment);
    }

    /// The segment's frames were handed to the archive: it is free when they are written there.
    pub(super) fn retire(&mut self, segment: u32, owner: u64, way: Way) {
        let ticket = match way {
            Way::Chunk => self.receipts.last(way),
            Way::Batch => self.receipts.next(way),
        };
        self.retired.push_back((ticket, segment, owner));
        while let Some((ticket, segment, owner)) = self.retired.front().copied()
            && self.receipts.is_written(ticket)
        {
            self.retired.pop_front();
            self.release(segment, owner);
        }
    }

    /// Waits until a retired segment is free; `None` where no segment is on its way.
    #[cold]
    fn reclaim(&mut self) -> Option<()> {
        while self.free.is_empty() {
            let receipts = self.receipts.clone();
            let at = |done: &dyn Fn(Ticket) -> bool| {
                self.retired.iter().position(|(ticket, ..)| done(*ticket))
            };
            if let Some(at) = at(&|ticket| receipts.is_written(ticket)) {
                let (_, segment, owner) = self.retired.remove(at)?;
                self.release(segment, owner);
            } else {
                at(&|ticket| receipts.is_sent(ticket))?;
                wait();
            }
        }
        Some(())
    }

    /// As if every segment had been recycled that often, and none were in use.
    #[cfg(all(test, not(feature = "model")))]
    pub(super) fn age(&mut self, generation: u32) {
        self.described.fill(Described { generation, crc: 0 });
        let slots = self.header.descriptor_offset(0)..self.header.manifest_offset();
        self.map.bytes_mut(slots.start, slots.len()).fill(0);
    }

    /// The receipts of what goes to the archive from this pool.
    pub const fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// A new generation for a segment that stays with its owner: its frames are dead.
    pub(super) fn restart(&mut self, segment: u32, owner: u64) {
        self.describe(segment, true, owner, Some(self.described[segment as usize]));
    }

    /// Writes the older of the segment's two descriptor slots, so that one is always whole. `same`
    /// is the other one where all but the generation is as in that.
    fn describe(&mut self, segment: u32, owned: bool, owner: u64, same: Option<Described>) {
        let of = |generation| Descriptor {
            generation,
            owned,
            owner,
        };
        let last = self.generation(segment);
        let generation = next_generation(last);
        if generation < last {
            self.clear(segment);
        }
        let crc = match same {
            Some(same) => of(same.generation).crc_in(generation, same.crc),
            None => of(generation).crc(self.seed, segment),
        };
        self.described[segment as usize] = Described { generation, crc };
        let bytes = of(generation).encode_filled(segment, crc);
        let slot =
            self.header.descriptor_offset(segment) + (generation % 2) as usize * DESCRIPTOR_BYTES;
        failpoint::reach("recycle.descriptor");
        // Who finds the segment recycled must find what was moved out of it.
        self.map.order();
        // The rest of a slot is zero, and stays so.
        let into = self.map.bytes_mut(slot, bytes.len());
        let (half, rest) = into.split_at_mut(DESCRIPTOR_BYTES / 8);
        half.copy_from_slice(&bytes[..DESCRIPTOR_BYTES / 8]);
        failpoint::reach("recycle.descriptor_half");
        rest.copy_from_slice(&bytes[DESCRIPTOR_BYTES / 8..]);
        // Who finds a new frame must find the segment recycled.
        self.map.order();
        failpoint::reach("recycle.descriptor_done");
    }

    /// The generations begin again: every frame of the segment is dead, and none may come to life
    /// when its generation comes again; no reader may take half of one for whole, so that the last
    /// descriptor goes first.
    #[cold]
    fn clear(&mut self, segment: u32) {
        let slots = self.header.descriptor_offset(segment);
        self.map.bytes_mut(slots, 2 * DESCRIPTOR_BYTES).fill(0);
        self.map.order();
        let offset = self.header.segment_offset(segment);
        self.map.bytes_mut(offset, self.segment_bytes()).fill(0);
    }

    /// Where a segment lies.
    #[inline(always)]
    pub(super) const fn offset(&self, segment: u32) -> usize {
        self.segments_at + segment as usize * self.header.segment_bytes as usize
    }

    /// The segment that begins at this place.
    pub(super) const fn segment_at(&self, offset: usize) -> u32 {
        ((offset - self.segments_at) / self.header.segment_bytes as usize) as u32
    }

    #[inline(always)]
    pub(super) fn generation(&self, segment: u32) -> u32 {
        self.described[segment as usize].generation
    }

    /// The place of a frame; `offset` counts from the beginning of the file.
    #[inline(always)]
    pub(super) fn frame_mut(&mut self, offset: usize, bytes: usize) -> &mut [u8] {
        self.map.bytes_mut(offset, bytes)
    }

    /// Asks for bytes that are written soon, as far as they are in the file.
    #[inline(always)]
    pub(super) fn prefetch(&self, offset: usize, bytes: usize) {
        if offset + bytes <= self.file_bytes {
            kernel::prefetch_bytes(self.map.bytes(offset, bytes));
        }
    }

    #[inline(always)]
    pub(super) fn commit(&mut self, offset: usize, word: u64) {
        self.map.commit(offset, word);
    }

    #[inline(always)]
    pub(super) fn frames(&self, segment: u32, bytes: usize) -> &[u8] {
        self.map.bytes(self.offset(segment), bytes)
    }
}
