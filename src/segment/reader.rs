//! Reading pools and archives, also those of a killed run: `pread` only, nothing trusted.

use crate::{Error, Result};
use admf_formats::archive::{
    self, ArchiveHeader, CHUNK_HEADER_BYTES, CONTAINERS_PER_ARCHIVE, ChunkHeader, ChunkKind,
    SLOT_BYTES, Slot,
};
use admf_formats::live::{self, Listing, LivePool};
use admf_formats::manifest::Manifest;
use admf_formats::segment::{
    DESCRIPTOR_BYTES, Descriptor, Frame, POOL_HEADER_BYTES, POOL_MAGIC, PoolHeader, read_frame,
};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};

/// The largest manifest or chunk that is read.
const PART_BYTES_MAX: u64 = 64 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A worker's pool.
    Pool,
    /// An archive.
    Archive,
}

/// What kind of file this is; `None` where it is neither.
pub fn file_kind(path: &Path) -> Result<Option<FileKind>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut magic = [0; 8];
    if file.read_exact_at(&mut magic, 0).is_err() {
        return Ok(None);
    }
    Ok(match magic {
        POOL_MAGIC => Some(FileKind::Pool),
        archive::MAGIC => Some(FileKind::Archive),
        _ => None,
    })
}

struct Source {
    file: File,
    path: PathBuf,
}

impl Source {
    fn open(path: &Path) -> Result<Source> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        Ok(Source {
            file,
            path: path.to_path_buf(),
        })
    }

    fn damaged(&self, offset: u64, message: impl Into<String>) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            offset,
            message: message.into(),
        }
    }

    fn read(&self, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        if bytes > PART_BYTES_MAX {
            return Err(self.damaged(
                offset,
                format!("a part of {bytes} bytes; {PART_BYTES_MAX} at most"),
            ));
        }
        let mut buffer = vec![0; bytes as usize];
        self.read_into(offset, &mut buffer)?;
        Ok(buffer)
    }

    fn read_into(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(into, offset).map_err(|error| {
            self.damaged(offset, format!("cannot read {} bytes: {error}", into.len()))
        })
    }

    fn manifest(&self, offset: u64, bytes: u32, crc: u32) -> Result<Manifest> {
        let bytes = self.read(offset, u64::from(bytes))?;
        if crc32c::crc32c(&bytes) != crc {
            return Err(self.damaged(offset, "the manifest's checksum does not match"));
        }
        Manifest::decode(&bytes).map_err(|message| self.damaged(offset, message))
    }
}

/// Reads an archive.
pub struct ArchiveReader {
    source: Source,
    header: ArchiveHeader,
    seed: u32,
    /// What the file says of itself.
    pub manifest: Manifest,
}

impl ArchiveReader {
    /// Opens an archive and reads its manifest.
    pub fn open(path: &Path) -> Result<ArchiveReader> {
        let source = Source::open(path)?;
        let bytes = source.read(0, archive::HEADER_BYTES as u64)?;
        let header = ArchiveHeader::decode(&bytes).map_err(|message| source.damaged(0, message))?;
        let offset = archive::HEADER_BYTES as u64;
        let manifest = source.manifest(offset, header.manifest_bytes, header.manifest_crc)?;
        Ok(ArchiveReader {
            source,
            header,
            seed: header.seed(),
            manifest,
        })
    }

    /// Containers that the file has slots for.
    pub fn containers(&self) -> std::ops::Range<u64> {
        let first = self.header.range * CONTAINERS_PER_ARCHIVE;
        first..(first + CONTAINERS_PER_ARCHIVE).min(self.manifest.containers)
    }

    /// The committed container of this index.
    pub fn slot(&self, index: u64) -> Result<Option<Slot>> {
        if !self.containers().contains(&index) {
            return Ok(None);
        }
        let offset = self.header.slot_offset(index);
        let bytes = self.source.read(offset, SLOT_BYTES as u64)?;
        Ok(Slot::decode(&bytes, self.seed).filter(|slot| slot.record.index == index))
    }

    /// Reads the chunk at `offset`, checked, as it lies there.
    pub(super) fn chunk(&self, offset: u64) -> Result<(ChunkHeader, Vec<u8>)> {
        let head = self.source.read(offset, CHUNK_HEADER_BYTES as u64)?;
        let header = ChunkHeader::decode(&head, self.seed, offset)
            .ok_or_else(|| self.source.damaged(offset, "no chunk begins here"))?;
        let payload = self
            .source
            .read(offset + CHUNK_HEADER_BYTES as u64, u64::from(header.bytes))?;
        if !header.is_intact(self.seed, &payload) {
            return Err(self
                .source
                .damaged(offset, "the chunk's checksum does not match"));
        }
        Ok((header, payload))
    }

    /// Offsets of a committed container's chunks of one kind, in order.
    pub(super) fn chain(&self, slot: &Slot, kind: ChunkKind) -> Result<Vec<u64>> {
        let mut offsets = Vec::new();
        let mut at = slot.last_chunk[kind as usize - 1];
        while at != 0 {
            let head = self.source.read(at, CHUNK_HEADER_BYTES as u64)?;
            let header = ChunkHeader::decode(&head, self.seed, at)
                .filter(|header| {
                    header.kind == kind
                        && header.container == slot.record.index
                        && header.previous < at
                })
                .ok_or_else(|| {
                    self.source
                        .damaged(at, "no chunk of this container begins here")
                })?;
            offsets.push(at);
            at = header.previous;
        }
        offsets.reverse();
        Ok(offsets)
    }

    /// Calls `each` with every frame of a committed container, in order, a chunk in memory at once.
    pub fn frames(
        &self,
        slot: &Slot,
        kind: ChunkKind,
        mut each: impl FnMut(&Frame) -> Result<()>,
    ) -> Result<()> {
        for offset in self.chain(slot, kind)? {
            let (header, payload) = self.chunk(offset)?;
            self.each_frame(&header, payload, &mut each)?;
        }
        Ok(())
    }

    fn each_frame(
        &self,
        header: &ChunkHeader,
        mut payload: Vec<u8>,
        each: &mut dyn FnMut(&Frame) -> Result<()>,
    ) -> Result<()> {
        let offset = header.offset;
        if !header.unpack(&mut payload) {
            let message = "the chunk does not decompress to what its header says";
            return Err(self.source.damaged(offset, message));
        }
        let mut at = 0;
        while at < payload.len() {
            let frame = read_frame(&payload[at..]).ok_or_else(|| {
                self.source.damaged(
                    offset + (CHUNK_HEADER_BYTES + at) as u64,
                    "no frame begins here",
                )
            })?;
            at += frame.bytes;
            each(&frame)?;
        }
        Ok(())
    }

    /// Why a committed container failed.
    pub fn failure(&self, slot: &Slot) -> Result<Option<String>> {
        let mut text = None;
        for offset in self.chain(slot, ChunkKind::Failure)? {
            text = Some(String::from_utf8_lossy(&self.chunk(offset)?.1).into_owned());
        }
        Ok(text)
    }

    /// Calls `each` with the frames of containers that were not finished, in the order in which
    /// they were written; a torn chunk at the end of the file ends it.
    pub fn unfinished_frames(
        &self,
        kind: ChunkKind,
        mut each: impl FnMut(u64, &Frame) -> Result<()>,
    ) -> Result<()> {
        let mut at = self.header.chunks_offset();
        while let Ok((header, payload)) = self.chunk(at) {
            if header.kind == kind && self.slot(header.container)?.is_none() {
                self.each_frame(&header, payload, &mut |frame| each(header.container, frame))?;
            }
            at += header.stride();
        }
        Ok(())
    }
}

/// Reads a pool.
pub struct PoolReader {
    source: Source,
    /// The file's header.
    pub header: PoolHeader,
    seed: u32,
    /// What the file says of itself.
    pub manifest: Manifest,
}

impl PoolReader {
    /// Opens a pool and reads its manifest.
    pub fn open(path: &Path) -> Result<PoolReader> {
        let source = Source::open(path)?;
        let bytes = source.read(0, POOL_HEADER_BYTES as u64)?;
        let header = PoolHeader::decode(&bytes).map_err(|message| source.damaged(0, message))?;
        let length = (source.file.metadata())
            .map_err(Error::io("inspect", path))?
            .len();
        // A size that is a lie is found before anything of that size is allocated.
        if u64::from(header.segment_bytes) > PART_BYTES_MAX.min(length) {
            let message = format!(
                "segments of {} bytes in a file of {length}",
                header.segment_bytes
            );
            return Err(source.damaged(16, message));
        }
        let offset = header.manifest_offset() as u64;
        let manifest = source.manifest(offset, header.manifest_bytes, header.manifest_crc)?;
        Ok(PoolReader {
            source,
            header,
            seed: header.seed(),
            manifest,
        })
    }

    /// Segments that a container owned, with their owner, in order of owner.
    pub fn owned(&self) -> Result<Vec<(u64, u32, u32)>> {
        Ok(Listing::of(self)?.owned())
    }

    /// Calls `each` with every committed frame that was not recycled, container by container, in
    /// order of sequence; the segments of one container are in memory at once.
    ///
    /// Gives the segments that changed hands while they were read: 0 where nobody writes the pool,
    /// else what was told is no picture of one moment. No frame is told that was written over.
    pub fn frames(&self, each: impl FnMut(u64, &Frame) -> Result<()>) -> Result<u64> {
        self.frames_of(&Listing::of(self)?, each)
    }

    /// As [`PoolReader::frames`], of segments that were listed some time ago.
    pub fn frames_of(
        &self,
        listing: &Listing,
        mut each: impl FnMut(u64, &Frame) -> Result<()>,
    ) -> Result<u64> {
        let mut bytes = Vec::new();
        for ring in listing.owned().chunk_by(|a, b| a.0 == b.0) {
            let mut frames = Vec::new();
            for (_, segment, generation) in ring {
                let end = live::take(self, *segment, *generation, &mut bytes)?.unwrap_or(0);
                let mut at = 0;
                while let Some(frame) = read_frame(&bytes[at..end]) {
                    at += frame.bytes;
                    frames.push(frame);
                }
            }
            frames.sort_by_key(|frame| frame.stamp.sequence);
            // An evacuated frame may stand in two segments for a moment.
            frames.dedup_by_key(|frame| frame.stamp.sequence);
            for frame in &frames {
                each(ring[0].0, frame)?;
            }
        }
        listing.changed(self)
    }
}

impl LivePool for PoolReader {
    type Error = Error;

    fn segments(&self) -> u32 {
        self.header.segments
    }

    fn segment_bytes(&self, _: u32) -> usize {
        self.header.segment_bytes as usize
    }

    fn descriptor(&self, segment: u32) -> Result<Option<Descriptor>> {
        let offset = self.header.descriptor_offset(segment) as u64;
        let mut slots = [0; 2 * DESCRIPTOR_BYTES];
        self.source.read_into(offset, &mut slots)?;
        Ok(Descriptor::newest(&slots, self.seed, segment))
    }

    fn copy(&self, segment: u32, into: &mut [u8]) -> Result<usize> {
        let offset = self.header.segment_offset(segment) as u64;
        self.source.read_into(offset, into)?;
        Ok(into.len())
    }

    fn order(&self) {
        fence(Ordering::Acquire);
    }
}
