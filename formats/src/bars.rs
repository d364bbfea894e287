//! The bars file: one series as columns in chunks of one quantum.
//!
//! ```text
//! 0     header, 4096 bytes
//! 4096  chunk 0, CHUNK_BYTES: header of 64 bytes, then six columns of 512 values of 8 bytes
//! ...   chunk n
//! ```
//! A chunk is read in one piece, and a series of any length is written in one pass.

use crate::units::QUANTUM_BARS;

/// First bytes of a bars file; the line ends show text-mode damage, as in PNG.
pub const MAGIC: [u8; 8] = *b"\x89ADB\r\n\x1a\n";
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Size of the header.
pub const HEADER_BYTES: usize = 4096;
/// Size of a chunk's own header.
pub const CHUNK_HEADER_BYTES: usize = 64;
/// Columns of a chunk, in this order.
pub const COLUMNS: [&str; 6] = ["ts_ns", "open", "high", "low", "close", "volume"];
/// Size of one column of a chunk.
pub const COLUMN_BYTES: usize = 8 * QUANTUM_BARS;
/// Size of a chunk.
pub const CHUNK_BYTES: usize = CHUNK_HEADER_BYTES + COLUMNS.len() * COLUMN_BYTES;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarsHeader {
    /// Bars in the file.
    pub bars: u64,
    /// Timestamp of the first bar.
    pub first_ts_ns: i64,
    /// Timestamp of the last bar.
    pub last_ts_ns: i64,
    /// SHA-256 over all chunks.
    pub digest: [u8; 32],
}

impl BarsHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(QUANTUM_BARS as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.bars.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_ts_ns.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_ts_ns.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.digest);
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; the error says what is wrong with it.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<BarsHeader, String> {
        if bytes[..8] != MAGIC {
            return Err("this is no bars file (wrong magic)".to_owned());
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(format!(
                "version {version} of the bars format; this program reads {VERSION}"
            ));
        }
        if u32_at(bytes, HEADER_BYTES - 4) != crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) {
            return Err("the header's checksum does not match".to_owned());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[40..72]);
        Ok(BarsHeader {
            bars: u64_at(bytes, 16),
            first_ts_ns: u64_at(bytes, 24) as i64,
            last_ts_ns: u64_at(bytes, 32) as i64,
            digest,
        })
    }
}

/// Completes the header of a chunk whose columns are in place.
pub fn seal_chunk(chunk: &mut [u8], first_bar: u64, bars: usize) {
    chunk[..CHUNK_HEADER_BYTES].fill(0);
    chunk[..8].copy_from_slice(&first_bar.to_le_bytes());
    chunk[8..12].copy_from_slice(&(bars as u32).to_le_bytes());
    let crc = chunk_crc(chunk);
    chunk[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// First bar and bars of a chunk, checked.
pub fn open_chunk(chunk: &[u8]) -> Result<(u64, usize), String> {
    if u32_at(chunk, 12) != chunk_crc(chunk) {
        return Err("the chunk's checksum does not match".to_owned());
    }
    let bars = u32_at(chunk, 8) as usize;
    if bars > QUANTUM_BARS {
        return Err(format!("a chunk of {bars} bars; {QUANTUM_BARS} at most"));
    }
    Ok((u64_at(chunk, 0), bars))
}

/// Over the chunk but for the checksum itself.
fn chunk_crc(chunk: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&chunk[..12]), &chunk[16..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
