//! An archive of which nothing is trusted: every part is read by itself and judged.
//!
//! In memory at once: the manifest, one chunk, and where chains of chunks are followed in their own
//! order a bounded list of offsets.

use crate::bytes::Bytes;
use admf::Result;
use admf_formats::archive::{
    ArchiveHeader, CHUNK_HEADER_BYTES, CHUNK_PAYLOAD_BYTES_MAX, CONTAINERS_PER_ARCHIVE,
    ChunkHeader, ChunkKind, HEADER_BYTES, SEAL_BYTES, SLOT_BYTES, Seal, Slot,
};
use admf_formats::manifest::Manifest;

/// The largest manifest that is read.
pub const MANIFEST_BYTES_MAX: u32 = 16 << 20;
/// Offsets of a chain that are kept in memory at once.
const LINKS_MAX: usize = 1 << 16;
/// Bytes that are read at once while a chunk is searched for.
const WINDOW_BYTES: usize = 64 << 10;

/// An archive whose header and manifest are whole.
pub struct Archive<B> {
    pub(crate) bytes: B,
    /// Its header.
    pub header: ArchiveHeader,
    /// What its checksums begin from.
    pub seed: u32,
    /// What the file says of itself.
    pub manifest: Manifest,
}

/// Why a file cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Part of the format.
    pub part: &'static str,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// What stands in the place of a container's slot.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Zeros: the container was never committed.
    Empty,
    /// The commit of the container.
    Committed(Box<Slot>),
    /// Neither: damage.
    Damaged,
    /// The file ends before.
    Missing,
}

/// What stands in the seal's place.
#[derive(Clone, Debug, PartialEq)]
pub enum SealPlace {
    /// Zeros: more may be written.
    Open,
    /// A valid seal.
    Sealed(Box<Seal>),
    /// Neither: damage.
    Damaged,
}

/// Reads a manifest and compares its checksum and its events with what this program knows.
pub(crate) fn manifest<B: Bytes>(
    source: &B,
    offset: u64,
    bytes: u32,
    crc: u32,
) -> Result<Result<Manifest, Unreadable>> {
    let unreadable = |problem: String| Unreadable {
        part: "manifest",
        offset,
        problem,
    };
    if bytes > MANIFEST_BYTES_MAX {
        let problem = format!("it has {bytes} bytes, {MANIFEST_BYTES_MAX} at most were expected");
        return Ok(Err(unreadable(problem)));
    }
    // A size that is a lie is found before anything of that size is allocated.
    if offset.saturating_add(u64::from(bytes)) > source.size() {
        return Ok(Err(unreadable("the file ends before it does".to_owned())));
    }
    let mut buffer = vec![0; bytes as usize];
    if !source.read_whole(offset, &mut buffer)? {
        return Ok(Err(unreadable("the file ends before it does".to_owned())));
    }
    if crc32c::crc32c(&buffer) != crc {
        return Ok(Err(unreadable("its checksum does not match".to_owned())));
    }
    Ok(Manifest::decode(&buffer)
        .and_then(|manifest| {
            if manifest.events == Manifest::event_schema() {
                Ok(manifest)
            } else {
                Err("its events are not those of this version of the format".to_owned())
            }
        })
        .map_err(unreadable))
}

impl<B: Bytes> Archive<B> {
    /// Reads header and manifest.
    ///
    /// Errors: the system refuses to read. The inner error says what is damaged.
    pub fn open(bytes: B) -> Result<Result<Archive<B>, Unreadable>> {
        let mut page = [0; HEADER_BYTES];
        let count = bytes.read(0, &mut page)?;
        let header = match ArchiveHeader::decode(&page[..count]) {
            Ok(header) => header,
            Err(problem) => {
                return Ok(Err(Unreadable {
                    part: "header",
                    offset: 0,
                    problem,
                }));
            }
        };
        if header.range > u64::MAX / CONTAINERS_PER_ARCHIVE / 2 {
            return Ok(Err(Unreadable {
                part: "header",
                offset: 16,
                problem: format!("there is no range {}", header.range),
            }));
        }
        let (size, crc) = (header.manifest_bytes, header.manifest_crc);
        Ok(
            manifest(&bytes, HEADER_BYTES as u64, size, crc)?.map(|manifest| Archive {
                bytes,
                header,
                seed: header.seed(),
                manifest,
            }),
        )
    }

    /// Size of the file.
    pub fn size(&self) -> u64 {
        self.bytes.size()
    }

    /// Containers that the file has slots for.
    pub fn containers(&self) -> std::ops::Range<u64> {
        let first = self.header.range * CONTAINERS_PER_ARCHIVE;
        first..(first + CONTAINERS_PER_ARCHIVE).min(self.manifest.containers.max(first))
    }

    /// What stands in the place of a container's slot.
    pub fn place(&self, container: u64) -> Result<Place> {
        let mut bytes = [0; SLOT_BYTES];
        if !self
            .bytes
            .read_whole(self.header.slot_offset(container), &mut bytes)?
        {
            return Ok(Place::Missing);
        }
        Ok(match Slot::decode(&bytes, self.seed) {
            Some(slot) if slot.record.index == container => Place::Committed(Box::new(slot)),
            None if bytes == [0; SLOT_BYTES] => Place::Empty,
            _ => Place::Damaged,
        })
    }

    /// The container's slot, where it is committed.
    pub fn slot(&self, container: u64) -> Result<Option<Slot>> {
        Ok(match self.place(container)? {
            Place::Committed(slot) if self.containers().contains(&container) => Some(*slot),
            _ => None,
        })
    }

    /// What stands in the seal's place.
    pub fn seal(&self) -> Result<SealPlace> {
        let mut bytes = [0; SEAL_BYTES];
        let is_whole = self
            .bytes
            .read_whole(self.header.seal_offset(), &mut bytes)?;
        Ok(match Seal::decode(&bytes, self.seed) {
            Some(seal) => SealPlace::Sealed(Box::new(seal)),
            None if is_whole && bytes == [0; SEAL_BYTES] => SealPlace::Open,
            None => SealPlace::Damaged,
        })
    }

    /// The header of the chunk at `offset`, if one is there.
    pub fn chunk(&self, offset: u64) -> Result<Option<ChunkHeader>> {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        if offset < self.header.chunks_offset() || !self.bytes.read_whole(offset, &mut bytes)? {
            return Ok(None);
        }
        Ok(ChunkHeader::decode(&bytes, self.seed, offset).filter(|chunk| chunk.previous < offset))
    }

    /// The chunk before `offset` in a container's chain; `None` where there is no such chunk.
    pub fn link(
        &self,
        container: u64,
        kind: ChunkKind,
        offset: u64,
    ) -> Result<Option<ChunkHeader>> {
        Ok(self
            .chunk(offset)?
            .filter(|chunk| chunk.container == container && chunk.kind == kind))
    }

    /// Reads a chunk's payload; false where it is not what was written.
    pub fn payload(&self, chunk: &ChunkHeader, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        into.resize((chunk.bytes as usize).min(CHUNK_PAYLOAD_BYTES_MAX), 0);
        let offset = chunk.offset + CHUNK_HEADER_BYTES as u64;
        Ok(self.bytes.read_whole(offset, into)? && chunk.is_intact(self.seed, into))
    }

    /// Calls `each` with every chunk of a chain, in its order. False where the chain is broken; then
    /// `each` was called with none.
    pub fn each_link(
        &self,
        container: u64,
        kind: ChunkKind,
        last: u64,
        mut each: impl FnMut(&ChunkHeader) -> Result<()>,
    ) -> Result<bool> {
        let mut done = 0;
        // A chain that is longer than the list is walked again for each part of it.
        while done != last {
            let mut links = std::collections::VecDeque::new();
            let mut at = last;
            while at > done {
                let Some(chunk) = self.link(container, kind, at)? else {
                    return Ok(false);
                };
                links.push_front(chunk);
                if links.len() > LINKS_MAX {
                    links.pop_back();
                }
                at = chunk.previous;
            }
            for chunk in &links {
                each(chunk)?;
                done = chunk.offset;
            }
        }
        Ok(true)
    }

    /// The first chunk at or after `from`; where none begins there, the next one is searched for.
    pub fn next_chunk(&self, from: u64) -> Result<Option<ChunkHeader>> {
        let mut at = from.max(self.header.chunks_offset()).next_multiple_of(16);
        if let Some(chunk) = self.chunk(at)? {
            return Ok(Some(chunk));
        }
        let mut window = vec![0; WINDOW_BYTES];
        while at < self.size() {
            let count = self.bytes.read(at, &mut window)?;
            for within in (0..count).step_by(16) {
                if window[within..].starts_with(b"CHNK")
                    && let Some(chunk) = self.chunk(at + within as u64)?
                {
                    return Ok(Some(chunk));
                }
            }
            if count < window.len() {
                break;
            }
            at += count as u64;
        }
        Ok(None)
    }

    /// Calls `each` with every chunk that is found, in the order of the file.
    pub fn each_chunk(&self, mut each: impl FnMut(&ChunkHeader) -> Result<()>) -> Result<()> {
        let mut at = self.header.chunks_offset();
        while let Some(chunk) = self.next_chunk(at)? {
            each(&chunk)?;
            at = chunk.offset + self.stride(&chunk)?;
        }
        Ok(())
    }

    /// Bytes from this chunk to where the next may begin: the whole chunk where it is intact, else
    /// as little as it can be, so that nothing behind a torn chunk is missed.
    fn stride(&self, chunk: &ChunkHeader) -> Result<u64> {
        let next = chunk.offset + chunk.stride();
        if next == self.size() || self.chunk(next)?.is_some() {
            return Ok(chunk.stride());
        }
        let mut payload = Vec::new();
        Ok(if self.payload(chunk, &mut payload)? {
            chunk.stride()
        } else {
            CHUNK_HEADER_BYTES as u64
        })
    }
}
