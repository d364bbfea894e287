//! A pool of which nothing is trusted. In memory at once: the manifest, the descriptors and one
//! segment.

use crate::archive::{Unreadable, manifest};
use crate::bytes::Bytes;
use admf::Result;
use admf_formats::live::{self, Listing, LivePool};
use admf_formats::manifest::Manifest;
use admf_formats::segment::{
    DESCRIPTOR_BYTES, Descriptor, FRAME_ALIGN, Frame, POOL_HEADER_BYTES, PoolHeader, read_frame,
};
use std::sync::atomic::{Ordering, fence};

/// The largest segment that is read.
pub const SEGMENT_BYTES_MAX: u32 = 64 << 20;

/// A pool whose header and manifest are whole.
pub struct Pool<B> {
    pub(crate) bytes: B,
    /// Its header.
    pub header: PoolHeader,
    /// What the checksums of its descriptors begin from.
    pub seed: u32,
    /// What the file says of itself.
    pub manifest: Manifest,
}

/// What is said of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    /// It was never used.
    Unused,
    /// The newest valid descriptor.
    By(Descriptor),
    /// Nothing that is valid.
    Damaged,
}

impl<B: Bytes> Pool<B> {
    /// Reads header and manifest.
    ///
    /// Errors: the system refuses to read. The inner error says what is damaged.
    pub fn open(bytes: B) -> Result<Result<Pool<B>, Unreadable>> {
        let unreadable = |problem: String| Unreadable {
            part: "header",
            offset: 0,
            problem,
        };
        let mut page = [0; POOL_HEADER_BYTES];
        let count = bytes.read(0, &mut page)?;
        let header = match PoolHeader::decode(&page[..count]) {
            Ok(header) => header,
            Err(problem) => return Ok(Err(unreadable(problem))),
        };
        if header.segment_bytes > SEGMENT_BYTES_MAX
            || !(header.segment_bytes as usize).is_multiple_of(FRAME_ALIGN)
        {
            let problem = format!("segments of {} bytes", header.segment_bytes);
            return Ok(Err(unreadable(problem)));
        }
        let (offset, size) = (header.manifest_offset() as u64, header.manifest_bytes);
        Ok(
            manifest(&bytes, offset, size, header.manifest_crc)?.map(|manifest| Pool {
                bytes,
                header,
                seed: header.seed(),
                manifest,
            }),
        )
    }

    /// What is said of a segment, and whether one of its two descriptors is damaged.
    pub fn described(&self, segment: u32) -> Result<(Described, bool)> {
        let mut slots = [0; 2 * DESCRIPTOR_BYTES];
        let offset = self.header.descriptor_offset(segment) as u64;
        let is_whole = self.bytes.read_whole(offset, &mut slots)?;
        let newest = Descriptor::newest(&slots, self.seed, segment);
        let is_damaged = |slot: &[u8]| {
            let is_valid = Descriptor::newest(slot, self.seed, segment)
                .is_some_and(|descriptor| slot == descriptor.encode(self.seed, segment));
            !is_valid && slot.iter().any(|byte| *byte != 0)
        };
        let damaged = !is_whole || slots.chunks_exact(DESCRIPTOR_BYTES).any(is_damaged);
        Ok(match newest {
            Some(descriptor) => (Described::By(descriptor), damaged),
            None if damaged => (Described::Damaged, true),
            None => (Described::Unused, false),
        })
    }

    /// All descriptors.
    ///
    /// Errors: the system refuses to read.
    pub fn list(&self) -> Result<Listing> {
        Listing::of(self)
    }

    /// Reads a segment of this generation, as far as the file goes, and tells where its committed
    /// frames end; `None` where it was recycled while it was read.
    ///
    /// Errors: the system refuses to read.
    pub fn take(&self, segment: u32, generation: u32, into: &mut Vec<u8>) -> Result<Option<usize>> {
        live::take(self, segment, generation, into)
    }
}

impl<B: Bytes> LivePool for Pool<B> {
    type Error = admf::Error;

    /// A number of segments that is a lie ends where the file does.
    fn segments(&self) -> u32 {
        let descriptors = self.bytes.size().saturating_sub(POOL_HEADER_BYTES as u64);
        let whole = descriptors.div_ceil(2 * DESCRIPTOR_BYTES as u64);
        whole.min(u64::from(self.header.segments)) as u32
    }

    fn segment_bytes(&self, segment: u32) -> usize {
        let offset = self.header.segment_offset(segment) as u64;
        let left = self.bytes.size().saturating_sub(offset);
        left.min(u64::from(self.header.segment_bytes)) as usize
    }

    fn descriptor(&self, segment: u32) -> Result<Option<Descriptor>> {
        Ok(match self.described(segment)?.0 {
            Described::By(descriptor) => Some(descriptor),
            Described::Unused | Described::Damaged => None,
        })
    }

    fn copy(&self, segment: u32, into: &mut [u8]) -> Result<usize> {
        self.bytes
            .read(self.header.segment_offset(segment) as u64, into)
    }

    fn order(&self) {
        fence(Ordering::Acquire);
    }
}

/// Frames of this generation at the beginning of a segment.
pub fn frames(segment: &[u8], generation: u32) -> impl Iterator<Item = (usize, Frame)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let frame = read_frame(segment.get(at..)?).filter(|f| f.generation == generation)?;
        let begin = at;
        at += frame.bytes;
        // A frame that claims more than the segment has is none.
        (at <= segment.len()).then_some((begin, frame))
    })
}
