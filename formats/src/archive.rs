//! Archives: what containers leave behind.
//!
//! ```text
//! 0       header, 4096 bytes
//! 4096    manifest, padded to a multiple of 4096
//! -       slots, SLOT_BYTES each, one per container of the file's fixed range
//! -       chunks: header of 64 bytes, then frames (or the text of a failure)
//! ```
//! A slot with a valid checksum is the commit of its container: chunks that no slot leads to belong
//! to a container that was not finished.

use crate::result::ResultRecord;
use crate::segment::number_at;

/// First bytes of an archive.
pub const MAGIC: [u8; 8] = *b"\x89ADA\r\n\x1a\n";
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Size of the header.
pub const HEADER_BYTES: usize = 4096;
/// Containers per archive file: a constant of the format.
pub const CONTAINERS_PER_ARCHIVE: u64 = 4096;
/// Size of a slot.
pub const SLOT_BYTES: usize = ResultRecord::BYTES + 56;
/// Size of a chunk's header.
pub const CHUNK_HEADER_BYTES: usize = 64;

/// Name of the archive file of this range.
pub fn file_name(range: u64) -> String {
    format!("archive_{range:05}.admf")
}

/// What an archive's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveHeader {
    /// Number of its range of containers.
    pub range: u64,
    /// Size of the manifest.
    pub manifest_bytes: u32,
}

impl ArchiveHeader {
    /// Where the first slot lies.
    pub const fn slots_offset(&self) -> u64 {
        HEADER_BYTES as u64 + (self.manifest_bytes as u64).next_multiple_of(4096)
    }

    /// Where the first chunk lies.
    pub const fn chunks_offset(&self) -> u64 {
        self.slots_offset() + CONTAINERS_PER_ARCHIVE * SLOT_BYTES as u64
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.manifest_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.range.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; the error says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<ArchiveHeader, String> {
        if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
            return Err("this is no archive (wrong magic)".to_owned());
        }
        let version = number_at::<4>(bytes, 8) as u32;
        if version != VERSION {
            return Err(format!(
                "version {version} of the archive format; this program reads {VERSION}"
            ));
        }
        if number_at::<4>(bytes, 24) as u32 != crc32c::crc32c(&bytes[..24]) {
            return Err("the header's checksum does not match".to_owned());
        }
        Ok(ArchiveHeader {
            range: number_at::<8>(bytes, 16),
            manifest_bytes: number_at::<4>(bytes, 12) as u32,
        })
    }
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChunkKind {
    /// Frames that retention kept.
    Trace = 1,
    /// POSITION_CLOSE frames of `store_trades`.
    Trades = 2,
    /// Why the container failed, as UTF-8.
    Failure = 3,
}

impl ChunkKind {
    /// Every kind.
    pub const ALL: [ChunkKind; 3] = [ChunkKind::Trace, ChunkKind::Trades, ChunkKind::Failure];
}

/// A chunk's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// What it holds.
    pub kind: ChunkKind,
    /// Index of the container.
    pub container: u64,
    /// Size of what follows the header.
    pub bytes: u32,
    /// Where the chunk before it of the same container and kind lies; 0 for none.
    pub previous: u64,
}

impl ChunkHeader {
    /// The header's bytes, checksum over itself and the payload included.
    pub fn encode(&self, payload: &[u8]) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[..4].copy_from_slice(b"CHNK");
        bytes[4] = self.kind as u8;
        bytes[8..16].copy_from_slice(&self.container.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.previous.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..32]), payload);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header and its checksum, which is to be compared by [`ChunkHeader::is_intact`].
    pub fn decode(bytes: &[u8]) -> Option<ChunkHeader> {
        if bytes.len() < CHUNK_HEADER_BYTES || &bytes[..4] != b"CHNK" {
            return None;
        }
        let kind = ChunkKind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == bytes[4])?;
        Some(ChunkHeader {
            kind,
            container: number_at::<8>(bytes, 8),
            bytes: number_at::<4>(bytes, 16) as u32,
            previous: number_at::<8>(bytes, 24),
        })
    }

    /// Whether header and payload are as they were written.
    pub fn is_intact(header: &[u8], payload: &[u8]) -> bool {
        number_at::<4>(header, 32) as u32
            == crc32c::crc32c_append(crc32c::crc32c(&header[..32]), payload)
    }

    /// Bytes from this chunk to the next.
    pub const fn stride(&self) -> u64 {
        CHUNK_HEADER_BYTES as u64 + (self.bytes as u64).next_multiple_of(16)
    }
}

/// A committed container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Its result.
    pub record: ResultRecord,
    /// Where the last chunk of each kind lies, by [`ChunkKind::ALL`]; 0 for none.
    pub last_chunk: [u64; 3],
}

impl Slot {
    /// The slot's bytes.
    pub fn encode(&self) -> [u8; SLOT_BYTES] {
        #[repr(align(16))]
        struct Aligned([u8; SLOT_BYTES]);
        let mut bytes = Aligned([0; SLOT_BYTES]);
        self.record.write(&mut bytes.0[..ResultRecord::BYTES]);
        for (at, offset) in self.last_chunk.into_iter().enumerate() {
            let at = ResultRecord::BYTES + 8 * at;
            bytes.0[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        }
        bytes.0[SLOT_BYTES - 8..SLOT_BYTES - 4].copy_from_slice(b"SLOT");
        let crc = crc32c::crc32c(&bytes.0[..SLOT_BYTES - 4]);
        bytes.0[SLOT_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes.0
    }

    /// The committed container, or `None` where the slot is empty or torn.
    pub fn decode(bytes: &[u8]) -> Option<Slot> {
        #[repr(align(16))]
        struct Aligned([u8; SLOT_BYTES]);
        let mut aligned = Aligned([0; SLOT_BYTES]);
        aligned.0.copy_from_slice(bytes.get(..SLOT_BYTES)?);
        let bytes = &aligned.0;
        if &bytes[SLOT_BYTES - 8..SLOT_BYTES - 4] != b"SLOT"
            || number_at::<4>(bytes, SLOT_BYTES - 4) as u32
                != crc32c::crc32c(&bytes[..SLOT_BYTES - 4])
        {
            return None;
        }
        let record = ResultRecord::read(&bytes[..ResultRecord::BYTES]).ok()?;
        let last_chunk = [0, 1, 2].map(|at| number_at::<8>(bytes, ResultRecord::BYTES + 8 * at));
        Some(Slot { record, last_chunk })
    }
}
