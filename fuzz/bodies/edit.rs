//! Edits of a file that is known, as an input spells them.

/// Eight bytes of an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    pub(super) what: u8,
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) c: usize,
    pub(super) value: u32,
}

/// Edits of an input; no more than a file can sensibly take.
pub(super) fn edits(input: &[u8]) -> impl Iterator<Item = Edit> {
    input.as_chunks::<8>().0.iter().take(64).map(|edit| Edit {
        what: edit[0],
        a: usize::from(edit[1]),
        b: usize::from(edit[2]),
        c: usize::from(edit[3]),
        value: u32::from_le_bytes([edit[4], edit[5], edit[6], edit[7]]),
    })
}

impl Edit {
    /// A number that may hurt: `places` are offsets that mean something in this file.
    pub(super) fn number(&self, places: &[u64]) -> u64 {
        let value = u64::from(self.value);
        match self.c % 8 {
            0 => 0,
            1 => u64::MAX - value % 3,
            2 => u64::from(u32::MAX) - value % 3,
            3 | 4 => places[self.value as usize % places.len()],
            5 => value,
            6 => value << 32,
            _ => 1 + value % 5,
        }
    }
}

/// Stores a number of so many bytes; nothing where they are not there.
pub(super) fn put(bytes: &mut [u8], at: usize, size: usize, number: u64) {
    if let Some(into) = bytes.get_mut(at..at + size) {
        into.copy_from_slice(&number.to_le_bytes()[..size]);
    }
}

/// A number of so many bytes; 0 where they are not there.
pub(super) fn get(bytes: &[u8], at: usize, size: usize) -> u64 {
    let mut number = [0; 8];
    if let Some(from) = bytes.get(at..at + size) {
        number[..size].copy_from_slice(from);
    }
    u64::from_le_bytes(number)
}

/// Puts the checksum of the bytes before `end` behind them, and gives it.
pub(super) fn repair(bytes: &mut [u8], end: usize, seed: u32) -> u32 {
    let crc = crc32c::crc32c_append(seed, &bytes[..end]);
    bytes[end..end + 4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Copies within a file, as far as both places are there.
pub(super) fn copy(bytes: &mut [u8], from: usize, to: usize, count: usize) {
    let count = count
        .min(bytes.len().saturating_sub(from))
        .min(bytes.len().saturating_sub(to));
    if count > 0 {
        bytes.copy_within(from..from + count, to);
    }
}
