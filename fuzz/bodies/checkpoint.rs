//! A checkpoint is the one that was written, or none.

use super::edit::get;
use admf_formats::checkpoint::{CheckpointHeader, HEADER_BYTES, PayloadCheck};

/// Bytes of an input that are a header's numbers; the payload follows.
const FIELDS_BYTES: usize = 32;
/// Bytes at the end of an input that say what happens to the file.
const DAMAGE_BYTES: usize = 8;

/// The header of a whole file, as the engine finds out: read in pieces.
fn accepted(file: &[u8], piece: usize) -> Option<CheckpointHeader> {
    let (header, payload) = file.split_first_chunk::<HEADER_BYTES>()?;
    let header = CheckpointHeader::decode(header)?;
    let mut check = PayloadCheck::new(&header);
    payload.chunks(piece).for_each(|piece| check.take(piece));
    check.is_whole().then_some(header)
}

fn written(fields: &[u8], payload: &[u8]) -> (CheckpointHeader, Vec<u8>) {
    let digest = |at: usize| {
        let mut digest = [0; 32];
        let bytes = digest.iter_mut().zip(fields.iter().cycle().skip(at));
        bytes.for_each(|(into, byte)| *into = *byte);
        digest
    };
    let header = CheckpointHeader {
        generation: get(fields, 0, 8),
        next_block: get(fields, 8, 8),
        containers: get(fields, 16, 8),
        payload_bytes: payload.len() as u64,
        payload_crc: crc32c::crc32c(payload),
        phase: digest(1),
        program: digest(7),
    };
    let mut file = header.encode().to_vec();
    file.extend_from_slice(payload);
    (header, file)
}

/// The target.
pub(crate) fn run(input: &[u8]) {
    // Whatever it is, as a file.
    if let Some(header) = accepted(input, 512) {
        assert_eq!(header.encode(), input[..HEADER_BYTES], "another header");
    }
    let Some((fields, rest)) = input.split_at_checked(FIELDS_BYTES) else {
        return;
    };
    let Some((payload, damage)) = rest.split_last_chunk::<DAMAGE_BYTES>() else {
        return;
    };
    let (header, mut file) = written(fields, payload);
    let piece = 1 + usize::from(damage[0]);
    assert_eq!(accepted(&file, piece), Some(header), "its own bytes");
    let whole = file.clone();
    let [place, mask] = [1, 4].map(|at| get(damage, at, if at == 1 { 3 } else { 4 }));
    match damage[0] % 4 {
        // A burst of up to 32 bits, from any bit on: the checksum owes us every one of them.
        0 | 1 => {
            let bit = place as usize % (8 * file.len());
            let burst = (mask << (bit % 8)).to_le_bytes();
            let bytes = file[bit / 8..].iter_mut().zip(burst);
            bytes.for_each(|(byte, flipped)| *byte ^= flipped);
        }
        2 => file.truncate(place as usize % file.len()),
        _ => file.extend_from_slice(&mask.to_le_bytes()[..1 + place as usize % 4]),
    }
    let found = accepted(&file, piece);
    assert_eq!(found.is_some(), file == whole, "it is another file");
}
