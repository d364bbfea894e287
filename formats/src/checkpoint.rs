//! A checkpoint: the state of a tile between two blocks, so that a kill does not cost the whole
//! tile.
//!
//! ```text
//! 0    header, 128 bytes: whose state, and where it goes on
//! 128  payload: the state, in the encoding of the program that wrote it
//! ```
//! A tile has two files, written in turn; the newest valid one counts. It is scratch: only the
//! very program that wrote it reads it, and it is gone when the tile's containers are committed.

/// First bytes of a checkpoint; the line ends show text-mode damage, as in PNG.
pub const MAGIC: [u8; 8] = *b"\x89ADC\r\n\x1a\n";
/// Version of the header.
pub const VERSION: u32 = 1;
/// Size of the header.
pub const HEADER_BYTES: usize = 128;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// Counts the checkpoints of the tile, from 1; its parity says which of the two files it is.
    pub generation: u64,
    /// The block (quantum) that comes next, counted from the begin of the bars file.
    pub next_block: u64,
    /// Containers of the tile.
    pub containers: u64,
    /// Size of the payload.
    pub payload_bytes: u64,
    /// CRC of the payload.
    pub payload_crc: u32,
    /// SHA-256 of what makes the phase, its window and its data the ones they are.
    pub phase: [u8; 32],
    /// SHA-256 of the program.
    pub program: [u8; 32],
}

impl CheckpointHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.next_block.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.containers.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.phase);
        bytes[80..112].copy_from_slice(&self.program);
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` where these bytes are no whole one of this version.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<CheckpointHeader> {
        let word = |at: usize| u64::from_le_bytes(chunk(bytes, at));
        let half = |at: usize| u32::from_le_bytes(chunk(bytes, at));
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        let is_whole = bytes[..8] == MAGIC && half(8) == VERSION && half(HEADER_BYTES - 4) == crc;
        is_whole.then(|| CheckpointHeader {
            payload_crc: half(12),
            generation: word(16),
            next_block: word(24),
            containers: word(32),
            payload_bytes: word(40),
            phase: chunk(bytes, 48),
            program: chunk(bytes, 80),
        })
    }
}

/// Says of a payload that comes in pieces whether it is the one that a header tells of.
#[derive(Clone, Copy, Debug)]
pub struct PayloadCheck {
    expected: u32,
    crc: u32,
    /// Bytes that are still to come; none where there were too many.
    left: Option<u64>,
}

impl PayloadCheck {
    /// Before the first piece.
    pub const fn new(header: &CheckpointHeader) -> PayloadCheck {
        PayloadCheck {
            expected: header.payload_crc,
            crc: 0,
            left: Some(header.payload_bytes),
        }
    }

    /// The next bytes of the file.
    pub fn take(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.left = (self.left).and_then(|left| left.checked_sub(bytes.len() as u64));
    }

    /// Whether these were all of its bytes and no others.
    pub fn is_whole(&self) -> bool {
        self.left == Some(0) && self.crc == self.expected
    }
}

/// So many bytes from an offset inside the header on.
fn chunk<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut chunk = [0; N];
    chunk.copy_from_slice(&bytes[at..at + N]);
    chunk
}
