//! Frames and pool files: how events lie in memory-mapped segments.
//!
//! ```text
//! frame    0  commit word u64: generation u32 | kind u8 | length in 16-byte units u8 | 0 u16
//!          8  sequence u64
//!         16  ts_ns i64
//!         24  trade u32
//!         28  bar u32
//!         32  cause_back u32
//!         36  symbol u16
//!         38  code u8
//!         39  detail u8
//!         40  payload, then zeros up to a multiple of 16
//!
//! pool     0  header, 4096 bytes
//!       4096  descriptors, two slots of 64 bytes per segment
//!          -  manifest
//!          -  segments, each segment_bytes long, the first on a multiple of 4096
//! ```
//! A frame is committed by its commit word, which is stored last; one whose generation is not that
//! of its segment's descriptor is stale. A descriptor's newest slot with a valid checksum counts.

use crate::event::{AnyPayload, EventKind, Payload, Stamp};

/// Size of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 40;
/// Frames begin on multiples of this.
pub const FRAME_ALIGN: usize = 16;
/// Size of the largest frame.
pub const FRAME_BYTES_MAX: usize = 128;
/// First bytes of a pool file.
pub const POOL_MAGIC: [u8; 8] = *b"\x89ADP\r\n\x1a\n";
/// Version of the layout.
pub const POOL_VERSION: u32 = 1;
/// Size of a pool's header.
pub const POOL_HEADER_BYTES: usize = 4096;
/// Size of one descriptor slot.
pub const DESCRIPTOR_BYTES: usize = 64;

/// Size of a frame of this kind.
pub const fn frame_bytes(kind: EventKind) -> usize {
    (FRAME_HEADER_BYTES + kind.payload_bytes()).next_multiple_of(FRAME_ALIGN)
}

/// The commit word of a frame.
#[inline(always)]
pub const fn commit_word(generation: u32, kind: EventKind, bytes: usize) -> u64 {
    generation as u64 | (kind as u64) << 32 | ((bytes / FRAME_ALIGN) as u64) << 40
}

/// The commit word of a frame that this process wrote under generation 0, under another one.
#[inline(always)]
pub const fn committed_in(word: u64, generation: u32) -> u64 {
    word | generation as u64
}

/// The size of the frame that a commit word, which this process wrote, names.
#[inline(always)]
pub const fn word_bytes(word: u64) -> usize {
    (word >> 40) as usize * FRAME_ALIGN
}

/// Writes a frame but for its commit word, which is left as it is.
#[inline(always)]
pub fn write_frame<P: Payload>(into: &mut [u8], stamp: &Stamp, payload: &P) {
    let (header, rest) = into
        .split_first_chunk_mut::<FRAME_HEADER_BYTES>()
        .expect("a frame has its header");
    let small = u64::from(stamp.symbol) << 32
        | u64::from(stamp.code) << 48
        | u64::from(stamp.detail) << 56
        | u64::from(stamp.cause_back);
    let place = u64::from(stamp.bar) << 32 | u64::from(stamp.trade);
    let words = [stamp.sequence, stamp.ts_ns as u64, place, small];
    let after_commit = header.as_chunks_mut::<8>().0.iter_mut().skip(1);
    for (into, word) in after_commit.zip(words) {
        *into = word.to_le_bytes();
    }
    let (payload_bytes, padding) = rest.split_at_mut(P::BYTES);
    payload.write(payload_bytes);
    padding.fill(0);
}

/// One committed frame, decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Generation of the segment it was written into; 0 in an archive.
    pub generation: u32,
    /// Its size.
    pub bytes: usize,
    /// What every event has.
    pub stamp: Stamp,
    /// The rest.
    pub payload: AnyPayload,
}

/// Kind, generation and size that a commit word names; `None` where it is no commit word.
pub fn parse_commit(word: u64) -> Option<(EventKind, u32, usize)> {
    let kind = EventKind::from_number((word >> 32) as u8)?;
    let bytes = (word >> 40 & 0xff) as usize * FRAME_ALIGN;
    (bytes == frame_bytes(kind) && word >> 48 == 0).then_some((kind, word as u32, bytes))
}

/// Trade number of a frame, without decoding it.
pub fn frame_trade(frame: &[u8]) -> u32 {
    number_at::<4>(frame, 24) as u32
}

/// Sequence number of a frame, without decoding it.
pub fn frame_sequence(frame: &[u8]) -> u64 {
    number_at::<8>(frame, 8)
}

/// Bar of a frame, without decoding it.
pub fn frame_bar(frame: &[u8]) -> u32 {
    number_at::<4>(frame, 28) as u32
}

/// Simulated time of a frame, without decoding it.
pub fn frame_ts_ns(frame: &[u8]) -> i64 {
    number_at::<8>(frame, 16) as i64
}

/// Decodes the frame at the beginning of `bytes`; `None` where there is none that is whole.
pub fn read_frame(bytes: &[u8]) -> Option<Frame> {
    if bytes.len() < FRAME_HEADER_BYTES {
        return None;
    }
    let (kind, generation, size) = parse_commit(number_at::<8>(bytes, 0))?;
    let payload = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + kind.payload_bytes())?;
    // Records are read in place, which needs their alignment.
    #[repr(align(16))]
    struct Aligned([u8; FRAME_BYTES_MAX]);
    let mut aligned = Aligned([0; FRAME_BYTES_MAX]);
    aligned.0[..payload.len()].copy_from_slice(payload);
    let payload = AnyPayload::read(kind, &aligned.0[..payload.len()]).ok()?;
    let stamp = Stamp {
        sequence: frame_sequence(bytes),
        ts_ns: frame_ts_ns(bytes),
        trade: frame_trade(bytes),
        bar: frame_bar(bytes),
        cause_back: number_at::<4>(bytes, 32) as u32,
        symbol: number_at::<2>(bytes, 36) as u16,
        code: bytes[38],
        detail: bytes[39],
    };
    Some(Frame {
        generation,
        bytes: size,
        stamp,
        payload,
    })
}

/// A little-endian number of `N` bytes.
pub(crate) fn number_at<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(number)
}

/// What a pool's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolHeader {
    /// Number of the pool in its run.
    pub pool: u32,
    /// Size of a segment.
    pub segment_bytes: u32,
    /// Segments.
    pub segments: u32,
    /// Size of the manifest.
    pub manifest_bytes: u32,
    /// CRC-32C of the manifest.
    pub manifest_crc: u32,
}

impl PoolHeader {
    /// Where the descriptors of a segment lie.
    pub const fn descriptor_offset(&self, segment: u32) -> usize {
        POOL_HEADER_BYTES + segment as usize * 2 * DESCRIPTOR_BYTES
    }

    /// Where the manifest lies.
    pub const fn manifest_offset(&self) -> usize {
        self.descriptor_offset(self.segments)
    }

    /// Where a segment lies.
    pub const fn segment_offset(&self, segment: u32) -> usize {
        (self.manifest_offset() + self.manifest_bytes as usize).next_multiple_of(4096)
            + segment as usize * self.segment_bytes as usize
    }

    /// Size of the file.
    pub const fn file_bytes(&self) -> usize {
        self.segment_offset(self.segments)
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; POOL_HEADER_BYTES] {
        let mut bytes = [0; POOL_HEADER_BYTES];
        bytes[..8].copy_from_slice(&POOL_MAGIC);
        bytes[8..12].copy_from_slice(&POOL_VERSION.to_le_bytes());
        for (at, value) in [
            self.pool,
            self.segment_bytes,
            self.segments,
            self.manifest_bytes,
            self.manifest_crc,
        ]
        .into_iter()
        .enumerate()
        {
            bytes[12 + 4 * at..16 + 4 * at].copy_from_slice(&value.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..POOL_HEADER_BYTES - 4]);
        bytes[POOL_HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What the checksums of the descriptors begin from: the header's own.
    pub fn seed(&self) -> u32 {
        number_at::<4>(&self.encode(), POOL_HEADER_BYTES - 4) as u32
    }

    /// Reads a header; the error says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<PoolHeader, String> {
        if bytes.len() < POOL_HEADER_BYTES || bytes[..8] != POOL_MAGIC {
            return Err("this is no pool file (wrong magic)".to_owned());
        }
        let number = |at| number_at::<4>(bytes, at) as u32;
        if number(8) != POOL_VERSION {
            return Err(format!(
                "version {} of the pool format; this program reads {POOL_VERSION}",
                number(8)
            ));
        }
        if number(POOL_HEADER_BYTES - 4) != crc32c::crc32c(&bytes[..POOL_HEADER_BYTES - 4]) {
            return Err("the header's checksum does not match".to_owned());
        }
        Ok(PoolHeader {
            pool: number(12),
            segment_bytes: number(16),
            segments: number(20),
            manifest_bytes: number(24),
            manifest_crc: number(28),
        })
    }
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// Frames of other generations are stale.
    pub generation: u32,
    /// Whether a container owns the segment.
    pub owned: bool,
    /// Index of the owner.
    pub owner: u64,
}

/// Bytes of a descriptor slot that may be other than zero.
pub const DESCRIPTOR_FILLED_BYTES: usize = 24;

/// Where the checksum of a descriptor lies, and what it is of.
const DESCRIPTOR_CRC_AT: usize = 20;

/// What a generation adds to the checksum of its descriptor, by its digits to the base of 16: a
/// CRC of a sum is the sum of the CRCs.
const GENERATION_CRCS: [[u32; 16]; 8] = {
    let mut crcs = [[0; 16]; 8];
    let mut at = 0;
    while at < 8 * 16 {
        // Its bytes come first, and zeros for the others.
        let mut crc = (at as u32 % 16) << (4 * (at / 16));
        let mut bits = 0;
        while bits < 8 * DESCRIPTOR_CRC_AT {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bits += 1;
        }
        crcs[at / 16][at % 16] = crc;
        at += 1;
    }
    crcs
};

impl Descriptor {
    /// A slot's bytes. `seed` is [`PoolHeader::seed`].
    pub fn encode(&self, seed: u32, segment: u32) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let filled = self.encode_filled(segment, self.crc(seed, segment));
        bytes[..filled.len()].copy_from_slice(&filled);
        bytes
    }

    /// The bytes of a slot that may be other than zero, with this checksum.
    #[inline]
    pub fn encode_filled(&self, segment: u32, crc: u32) -> [u8; DESCRIPTOR_FILLED_BYTES] {
        let mut bytes = [0; DESCRIPTOR_FILLED_BYTES];
        bytes[..4].copy_from_slice(&self.generation.to_le_bytes());
        bytes[4] = u8::from(self.owned);
        bytes[8..16].copy_from_slice(&self.owner.to_le_bytes());
        bytes[16..20].copy_from_slice(&segment.to_le_bytes());
        bytes[DESCRIPTOR_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Its checksum.
    pub fn crc(&self, seed: u32, segment: u32) -> u32 {
        crc32c::crc32c_append(seed, &self.encode_filled(segment, 0)[..DESCRIPTOR_CRC_AT])
    }

    /// The checksum of the same descriptor with another generation, where its own is `crc`: without
    /// reading the rest again, for a segment begins anew after every few trades.
    #[inline]
    pub fn crc_in(&self, generation: u32, crc: u32) -> u32 {
        let changed = self.generation ^ generation;
        let digit = |at: usize| (changed >> (4 * at)) as usize % 16;
        (0..8).fold(crc, |crc, at| crc ^ GENERATION_CRCS[at][digit(at)])
    }

    /// The newest valid one of the two slots of this segment.
    pub fn newest(slots: &[u8], seed: u32, segment: u32) -> Option<Descriptor> {
        slots
            .chunks_exact(DESCRIPTOR_BYTES)
            .filter(|slot| {
                number_at::<4>(slot, 16) as u32 == segment
                    && number_at::<4>(slot, 20) as u32 == crc32c::crc32c_append(seed, &slot[..20])
            })
            .map(|slot| Descriptor {
                generation: number_at::<4>(slot, 0) as u32,
                owned: slot[4] != 0,
                owner: number_at::<8>(slot, 8),
            })
            .reduce(|one, other| {
                if is_newer(other.generation, one.generation) {
                    other
                } else {
                    one
                }
            })
    }
}

/// The generation after this one. After the last comes 2: 0 is that of archives and of zeroed
/// bytes, and an even one follows the odd last one, so that the two slots go on taking turns.
pub const fn next_generation(generation: u32) -> u32 {
    match generation {
        u32::MAX => 2,
        _ => generation + 1,
    }
}

/// Whether `one` was written after `other`: serial numbers, of which less than half of all lie
/// between the two.
pub const fn is_newer(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fill;

    #[test]
    fn no_kind_has_a_larger_frame_than_the_largest() {
        let largest = EventKind::ALL.into_iter().map(frame_bytes).max();
        assert_eq!(largest, Some(FRAME_BYTES_MAX));
    }

    #[test]
    fn a_frame_is_read_back_and_a_cut_one_is_none() {
        let stamp = Stamp {
            sequence: 7,
            ts_ns: -5,
            trade: 3,
            bar: 9,
            cause_back: 2,
            symbol: 1,
            code: 1,
            detail: 4,
        };
        let fill = Fill {
            qty: 1.5,
            price: 2.5,
            commission: 0.1,
            reference_price: 2.4,
            units_after: 1.5,
        };
        let mut bytes = [0xff; 80];
        write_frame(&mut bytes, &stamp, &fill);
        bytes[..8].copy_from_slice(&commit_word(5, EventKind::Fill, 80).to_le_bytes());
        let frame = read_frame(&bytes).expect("a whole frame");
        assert_eq!((frame.generation, frame.bytes, frame.stamp), (5, 80, stamp));
        assert_eq!(frame.payload, AnyPayload::Fill(fill));
        assert_eq!(read_frame(&bytes[..48]), None);
        bytes[4] = 99;
        assert_eq!(read_frame(&bytes), None);
    }

    #[test]
    fn a_checksum_follows_its_generation() {
        let mut one = Descriptor {
            generation: 1,
            owned: true,
            owner: 0x0123_4567_89ab_cdef,
        };
        let mut crc = one.crc(0xdead_beef, 77);
        for bits in 0..2000_u32 {
            let generation = bits.wrapping_mul(0x9e37_79b9);
            crc = one.crc_in(generation, crc);
            one.generation = generation;
            assert_eq!(crc, one.crc(0xdead_beef, 77), "{generation:#x}");
        }
    }

    #[test]
    fn generations_go_on_after_the_last() {
        let mut generation = u32::MAX - 5;
        for _ in 0..10 {
            let next = next_generation(generation);
            assert!(next != 0 && is_newer(next, generation) && !is_newer(generation, next));
            assert_ne!(next % 2, generation % 2, "the other slot");
            let descriptor = |generation| Descriptor {
                generation,
                owned: true,
                owner: 1,
            };
            let mut slots = [0; 2 * DESCRIPTOR_BYTES];
            for written in [generation, next] {
                let at = (written % 2) as usize * DESCRIPTOR_BYTES;
                slots[at..at + DESCRIPTOR_BYTES].copy_from_slice(&descriptor(written).encode(9, 3));
            }
            let newest = Descriptor::newest(&slots, 9, 3);
            assert_eq!(newest, Some(descriptor(next)));
            generation = next;
        }
    }

    #[test]
    fn a_damaged_header_or_descriptor_is_refused() {
        let header = PoolHeader {
            pool: 1,
            segment_bytes: 1024,
            segments: 4,
            manifest_bytes: 100,
            manifest_crc: 7,
        };
        let mut bytes = header.encode();
        assert_eq!(PoolHeader::decode(&bytes), Ok(header));
        bytes[17] ^= 1;
        assert!(PoolHeader::decode(&bytes).is_err());
        let old = Descriptor {
            generation: 4,
            owned: true,
            owner: 7,
        };
        let new = Descriptor {
            generation: 5,
            owned: false,
            owner: 8,
        };
        let mut slots = [old.encode(9, 3), new.encode(9, 3)].concat();
        assert_eq!(Descriptor::newest(&slots, 9, 3), Some(new));
        assert_eq!(Descriptor::newest(&slots, 9, 2), None, "of another segment");
        assert_eq!(Descriptor::newest(&slots, 8, 3), None, "of another pool");
        slots[DESCRIPTOR_BYTES] ^= 1;
        assert_eq!(Descriptor::newest(&slots, 9, 3), Some(old));
    }
}
