//! Archives: what containers leave behind.
//!
//! ```text
//! 0       header, 4096 bytes
//! 4096    manifest, padded to a multiple of 4096
//! -       slots, SLOT_BYTES each, one per container of the file's fixed range
//! -       seal, 4096 bytes
//! -       chunks: header of 64 bytes, then frames (or the text of a failure)
//! ```
//! A slot with a valid checksum is the commit of its container: chunks that no slot leads to belong
//! to a container that was not finished. A valid seal says that nothing was written after it, and
//! names every committed container. Every checksum but the header's own begins from the header's
//! ([`ArchiveHeader::seed`]), and a chunk names its own offset: a part of another file, or one that
//! was put in another place, is not taken for this one.

use crate::compression::decompress;
use crate::result::ResultRecord;
use crate::segment::{FRAME_ALIGN, frame_sequence, number_at, parse_commit};

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
/// Size of the seal.
pub const SEAL_BYTES: usize = 4096;
/// Size of a chunk's header.
pub const CHUNK_HEADER_BYTES: usize = 64;
/// The most bytes that follow a chunk's header.
pub const CHUNK_PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The most bytes of frames in a chunk: what its header can say of them when they are compressed.
pub const CHUNK_FRAMES_BYTES_MAX: usize = FRAME_ALIGN * u16::MAX as usize;
/// Kinds of chunk that a slot can lead to.
pub const CHUNK_KINDS: usize = 5;

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
    /// CRC-32C of the manifest.
    pub manifest_crc: u32,
}

impl ArchiveHeader {
    /// The header of the archive of this range.
    pub fn new(range: u64, manifest: &[u8]) -> ArchiveHeader {
        ArchiveHeader {
            range,
            manifest_bytes: manifest.len() as u32,
            manifest_crc: crc32c::crc32c(manifest),
        }
    }

    /// Where the first slot lies.
    pub const fn slots_offset(&self) -> u64 {
        HEADER_BYTES as u64 + (self.manifest_bytes as u64).next_multiple_of(4096)
    }

    /// Where the slot of a container of this range lies.
    pub const fn slot_offset(&self, container: u64) -> u64 {
        self.slots_offset() + container % CONTAINERS_PER_ARCHIVE * SLOT_BYTES as u64
    }

    /// Where the seal lies.
    pub const fn seal_offset(&self) -> u64 {
        self.slots_offset() + CONTAINERS_PER_ARCHIVE * SLOT_BYTES as u64
    }

    /// Where the first chunk lies.
    pub const fn chunks_offset(&self) -> u64 {
        self.seal_offset() + SEAL_BYTES as u64
    }

    /// What every other checksum of the file begins from: the header's own.
    pub fn seed(&self) -> u32 {
        number_at::<4>(&self.encode(), HEADER_BYTES - 4) as u32
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.manifest_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.range.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.manifest_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
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
        if number_at::<4>(bytes, HEADER_BYTES - 4) as u32
            != crc32c::crc32c(&bytes[..HEADER_BYTES - 4])
        {
            return Err("the header's checksum does not match".to_owned());
        }
        Ok(ArchiveHeader {
            range: number_at::<8>(bytes, 16),
            manifest_bytes: number_at::<4>(bytes, 12) as u32,
            manifest_crc: number_at::<4>(bytes, 24) as u32,
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
    /// What a recovery could not save, as UTF-8: the file that it was made from had lost it.
    Loss = 4,
    /// Frames of closed trades that a condition kept, one trade after the other in order of closing.
    Kept = 5,
}

impl ChunkKind {
    /// Every kind.
    pub const ALL: [ChunkKind; CHUNK_KINDS] = [
        ChunkKind::Trace,
        ChunkKind::Trades,
        ChunkKind::Failure,
        ChunkKind::Loss,
        ChunkKind::Kept,
    ];

    /// Whether it holds frames.
    pub const fn has_frames(self) -> bool {
        matches!(self, ChunkKind::Trace | ChunkKind::Trades | ChunkKind::Kept)
    }

    /// Whether sequences ascend from frame to frame; of [`ChunkKind::Kept`] they ascend within a
    /// trade, and trades may overlap.
    pub const fn is_in_order(self) -> bool {
        matches!(self, ChunkKind::Trace | ChunkKind::Trades)
    }

    /// Whether its frames are what the ledger counts as retained.
    pub const fn is_retained(self) -> bool {
        matches!(self, ChunkKind::Trace | ChunkKind::Kept)
    }
}

/// How a chunk's payload lies behind its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// Frames as one Zstandard frame.
    Zstd {
        /// Their size, a multiple of 16.
        frames_bytes: u32,
    },
}

/// A chunk's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// What it holds.
    pub kind: ChunkKind,
    /// How.
    pub packing: Packing,
    /// Index of the container.
    pub container: u64,
    /// Where the chunk lies in the file.
    pub offset: u64,
    /// Where the chunk before it of the same container and kind lies; 0 for none.
    pub previous: u64,
    /// Size of what follows the header.
    pub bytes: u32,
    /// Frames in it; 0 for text.
    pub frames: u32,
    /// The lowest sequence of its frames; 0 for text.
    pub first_sequence: u64,
    /// The highest one; 0 for text.
    pub last_sequence: u64,
    /// Checksum of what follows the header.
    pub payload_crc: u32,
}

impl ChunkHeader {
    /// The header of a chunk with this payload, which the writer puts at `offset`.
    pub fn new(
        seed: u32,
        kind: ChunkKind,
        container: u64,
        offset: u64,
        previous: u64,
        payload: &[u8],
    ) -> ChunkHeader {
        let (mut frames, mut first, mut last, mut at) = (0, 0, 0, 0);
        while kind.has_frames() && at < payload.len() {
            let (_, _, bytes) = parse_commit(number_at::<8>(payload, at))
                .expect("a chunk is made of frames that a ring wrote");
            let sequence = frame_sequence(&payload[at..]);
            // Kept trades that overlap are not in order.
            first = if frames == 0 {
                sequence
            } else {
                sequence.min(first)
            };
            last = sequence.max(last);
            frames += 1;
            at += bytes;
        }
        ChunkHeader {
            kind,
            packing: Packing::Plain,
            container,
            offset,
            previous,
            bytes: payload.len() as u32,
            frames,
            first_sequence: first,
            last_sequence: last,
            payload_crc: crc32c::crc32c_append(seed, payload),
        }
    }

    /// The header of the chunk where `packed` stands for its payload.
    pub fn packed(self, seed: u32, packed: &[u8]) -> ChunkHeader {
        ChunkHeader {
            packing: Packing::Zstd {
                frames_bytes: self.bytes,
            },
            bytes: packed.len() as u32,
            payload_crc: crc32c::crc32c_append(seed, packed),
            ..self
        }
    }

    /// The header of the chunk in another file, whose checksums begin from `seed`.
    pub fn reseeded(self, seed: u32, payload: &[u8]) -> ChunkHeader {
        ChunkHeader {
            payload_crc: crc32c::crc32c_append(seed, payload),
            ..self
        }
    }

    /// Decompresses a payload that is intact, where it is compressed; false where it is not the
    /// frames that it should be.
    pub fn unpack(&self, payload: &mut Vec<u8>) -> bool {
        let Packing::Zstd { frames_bytes } = self.packing else {
            return true;
        };
        match decompress(payload, frames_bytes as usize) {
            Some(frames) => {
                *payload = frames;
                true
            }
            None => false,
        }
    }

    /// The header's bytes.
    pub fn encode(&self, seed: u32) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[..4].copy_from_slice(b"CHNK");
        bytes[4] = self.kind as u8;
        if let Packing::Zstd { frames_bytes } = self.packing {
            bytes[5] = 1;
            let units = (frames_bytes as usize / FRAME_ALIGN) as u16;
            bytes[6..8].copy_from_slice(&units.to_le_bytes());
        }
        bytes[8..16].copy_from_slice(&self.container.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.previous.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.frames.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.last_sequence.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the chunk at `offset`; `None` where no whole one of this file and place
    /// is there. What follows it is to be compared by [`ChunkHeader::is_intact`].
    pub fn decode(bytes: &[u8], seed: u32, offset: u64) -> Option<ChunkHeader> {
        if bytes.len() < CHUNK_HEADER_BYTES
            || &bytes[..4] != b"CHNK"
            || number_at::<4>(bytes, 60) as u32 != crc32c::crc32c_append(seed, &bytes[..60])
        {
            return None;
        }
        let kind = ChunkKind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == bytes[4])?;
        let packing = match (bytes[5], number_at::<2>(bytes, 6) as u32) {
            (0, 0) => Packing::Plain,
            (1, units) if units > 0 && kind.has_frames() => Packing::Zstd {
                frames_bytes: units * FRAME_ALIGN as u32,
            },
            _ => return None,
        };
        let header = ChunkHeader {
            kind,
            packing,
            container: number_at::<8>(bytes, 8),
            offset: number_at::<8>(bytes, 16),
            previous: number_at::<8>(bytes, 24),
            bytes: number_at::<4>(bytes, 32) as u32,
            frames: number_at::<4>(bytes, 36) as u32,
            first_sequence: number_at::<8>(bytes, 40),
            last_sequence: number_at::<8>(bytes, 48),
            payload_crc: number_at::<4>(bytes, 56) as u32,
        };
        (header.offset == offset && header.bytes as usize <= CHUNK_PAYLOAD_BYTES_MAX)
            .then_some(header)
    }

    /// Whether the payload is as it was written.
    pub fn is_intact(&self, seed: u32, payload: &[u8]) -> bool {
        payload.len() == self.bytes as usize
            && self.payload_crc == crc32c::crc32c_append(seed, payload)
    }

    /// Bytes from this chunk to the next.
    pub const fn stride(&self) -> u64 {
        CHUNK_HEADER_BYTES as u64 + (self.bytes as u64).next_multiple_of(16)
    }
}

/// Frames cut where a chunk has room for no more.
///
/// Shape: whole frames each; their sum is `frames`.
pub fn chunk_payloads(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if frames.is_empty() {
            return None;
        }
        let mut at = 0;
        while at < frames.len() {
            let (_, _, bytes) = parse_commit(number_at::<8>(frames, at))
                .expect("a chunk is made of frames that a ring wrote");
            if at + bytes > CHUNK_FRAMES_BYTES_MAX {
                break;
            }
            at += bytes;
        }
        let (payload, rest) = frames.split_at(at);
        frames = rest;
        Some(payload)
    })
}

/// A committed container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Its result.
    pub record: ResultRecord,
    /// Where the last chunk of each kind lies, by [`ChunkKind::ALL`]; 0 for none.
    pub last_chunk: [u64; CHUNK_KINDS],
}

impl Slot {
    /// The slot's bytes.
    pub fn encode(&self, seed: u32) -> [u8; SLOT_BYTES] {
        #[repr(align(16))]
        struct Aligned([u8; SLOT_BYTES]);
        let mut bytes = Aligned([0; SLOT_BYTES]);
        self.record.write(&mut bytes.0[..ResultRecord::BYTES]);
        for (at, offset) in self.last_chunk.into_iter().enumerate() {
            let at = ResultRecord::BYTES + 8 * at;
            bytes.0[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        }
        bytes.0[SLOT_BYTES - 8..SLOT_BYTES - 4].copy_from_slice(b"SLOT");
        let crc = crc32c::crc32c_append(seed, &bytes.0[..SLOT_BYTES - 4]);
        bytes.0[SLOT_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes.0
    }

    /// The committed container, or `None` where the slot is empty, torn or of another file. Whose
    /// slot it is must be compared with its place.
    pub fn decode(bytes: &[u8], seed: u32) -> Option<Slot> {
        #[repr(align(16))]
        struct Aligned([u8; SLOT_BYTES]);
        let mut aligned = Aligned([0; SLOT_BYTES]);
        let mut bytes: &[u8; SLOT_BYTES] = bytes.first_chunk()?;
        // A reader of many keeps them aligned.
        if !bytes.as_ptr().cast::<u64>().is_aligned() {
            aligned.0 = *bytes;
            bytes = &aligned.0;
        }
        if &bytes[SLOT_BYTES - 8..SLOT_BYTES - 4] != b"SLOT"
            || number_at::<4>(bytes, SLOT_BYTES - 4) as u32
                != crc32c::crc32c_append(seed, &bytes[..SLOT_BYTES - 4])
        {
            return None;
        }
        let record = ResultRecord::read(&bytes[..ResultRecord::BYTES]).ok()?;
        let mut last_chunk = [0; CHUNK_KINDS];
        for (at, offset) in last_chunk.iter_mut().enumerate() {
            *offset = number_at::<8>(bytes, ResultRecord::BYTES + 8 * at);
        }
        Some(Slot { record, last_chunk })
    }
}

/// What a file says when nothing more will be written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Size of the file.
    pub file_bytes: u64,
    /// One bit per container of the range, the first one lowest: whether it is committed.
    pub committed: [u64; CONTAINERS_PER_ARCHIVE as usize / 64],
}

impl Seal {
    /// Whether the container of this index (in the phase or in the range) is committed.
    pub const fn has(&self, container: u64) -> bool {
        let within = container % CONTAINERS_PER_ARCHIVE;
        self.committed[(within / 64) as usize] >> (within % 64) & 1 == 1
    }

    /// Notes that the container is committed.
    pub const fn add(&mut self, container: u64) {
        let within = container % CONTAINERS_PER_ARCHIVE;
        self.committed[(within / 64) as usize] |= 1 << (within % 64);
    }

    /// The seal's bytes.
    pub fn encode(&self, seed: u32) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        bytes[..4].copy_from_slice(b"SEAL");
        bytes[8..16].copy_from_slice(&self.file_bytes.to_le_bytes());
        for (at, word) in self.committed.iter().enumerate() {
            bytes[64 + 8 * at..72 + 8 * at].copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(seed, &bytes[..SEAL_BYTES - 4]);
        bytes[SEAL_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The seal, or `None` where there is no whole one of this file.
    pub fn decode(bytes: &[u8], seed: u32) -> Option<Seal> {
        if bytes.len() < SEAL_BYTES
            || &bytes[..4] != b"SEAL"
            || number_at::<4>(bytes, SEAL_BYTES - 4) as u32
                != crc32c::crc32c_append(seed, &bytes[..SEAL_BYTES - 4])
        {
            return None;
        }
        let mut committed = [0; CONTAINERS_PER_ARCHIVE as usize / 64];
        for (at, word) in committed.iter_mut().enumerate() {
            *word = number_at::<8>(bytes, 64 + 8 * at);
        }
        Some(Seal {
            file_bytes: number_at::<8>(bytes, 8),
            committed,
        })
    }
}
