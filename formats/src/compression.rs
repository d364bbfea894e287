//! Compressed chunks: one Zstandard frame (RFC 8878) in the place of the frames of events.
//!
//! The frame names its content size and has neither dictionary nor checksum; the chunk's header
//! says how large the content is, which bounds what a reader allocates, whatever the bytes say.

use zstd::zstd_safe::get_frame_content_size;
use zstd::zstd_safe::{CParameter, compress_bound, find_frame_compressed_size};

/// How much effort goes into it: a constant, so that the same frames become the same bytes.
const LEVEL: i32 = 3;

/// How the chunks of an archive are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Those with frames are compressed, where that makes them smaller.
    Zstd,
}

/// Compresses payloads, one after the other, in memory that is used again.
pub struct Compressor {
    context: zstd::bulk::Compressor<'static>,
    out: Vec<u8>,
}

impl Compressor {
    /// The most bytes that one takes for payloads of a chunk's size, its output included; a test
    /// holds it.
    pub const BYTES: u64 = 5 << 19;

    /// Its memory comes with the first payload.
    ///
    /// Errors: none is left for the context itself.
    pub fn new() -> std::io::Result<Compressor> {
        let mut context = zstd::bulk::Compressor::new(LEVEL)?;
        context.set_parameter(CParameter::ContentSizeFlag(true))?;
        context.set_parameter(CParameter::ChecksumFlag(false))?;
        Ok(Compressor {
            context,
            out: Vec::new(),
        })
    }

    /// The payload as a frame; `None` where that is not smaller.
    ///
    /// Errors: no memory is left.
    pub fn compress(&mut self, payload: &[u8]) -> std::io::Result<Option<&[u8]>> {
        self.out.clear();
        self.out.reserve(compress_bound(payload.len()));
        self.context.compress_to_buffer(payload, &mut self.out)?;
        Ok((self.out.len() < payload.len()).then_some(&self.out))
    }

    /// Bytes that it holds now.
    pub fn bytes(&mut self) -> u64 {
        (self.context.context_mut().sizeof() + self.out.capacity()) as u64
    }
}

/// The content of a frame that is all of `packed` and has exactly `bytes` bytes; `None` where it is
/// no such frame. Nothing larger is ever allocated.
pub(crate) fn decompress(packed: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let is_one = find_frame_compressed_size(packed).ok() == Some(packed.len());
    let content = get_frame_content_size(packed).ok().flatten();
    if !is_one || content != Some(bytes as u64) {
        return None;
    }
    let content = zstd::bulk::decompress(packed, bytes).ok()?;
    (content.len() == bytes).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::CHUNK_FRAMES_BYTES_MAX;

    /// Bytes that repeat only here and there.
    fn payload(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        (0..bytes)
            .map(|at| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                if at % 64 < 40 {
                    (at / 64) as u8
                } else {
                    (state >> 56) as u8
                }
            })
            .collect()
    }

    #[test]
    fn payloads_come_back_and_other_sizes_are_refused() {
        let mut compressor = Compressor::new().expect("memory");
        for bytes in [1 << 10, 16 << 10, CHUNK_FRAMES_BYTES_MAX] {
            let payload = payload(bytes);
            let packed = compressor.compress(&payload).expect("memory");
            let packed = packed.expect("it gets smaller").to_vec();
            assert_eq!(decompress(&packed, bytes), Some(payload.clone()));
            assert_eq!(decompress(&packed, bytes - 1), None);
            assert_eq!(decompress(&packed, bytes + 16), None);
            assert_eq!(decompress(&packed[..packed.len() - 1], bytes), None);
            assert_eq!(decompress(&[&packed[..], &packed].concat(), bytes), None);
            let again = compressor.compress(&payload).expect("memory");
            assert_eq!(again, Some(&packed[..]), "the same bytes");
        }
        let held = compressor.bytes();
        assert!(held <= Compressor::BYTES, "{held} bytes");
        assert!(held * 2 > Compressor::BYTES, "{held} bytes are far fewer");
    }

    #[test]
    fn what_does_not_get_smaller_is_left_alone() {
        let mut compressor = Compressor::new().expect("memory");
        let noise: Vec<u8> = payload(64 << 6)
            .chunks(64)
            .flat_map(|row| row[40..].to_vec())
            .collect();
        assert_eq!(compressor.compress(&noise).expect("memory"), None);
    }
}
