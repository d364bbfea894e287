//! Any bytes are frames, headers and slots, or nothing, never a panic.
#![no_main]

use admf_formats::{archive, segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut at = 0;
    while let Some(frame) = bytes.get(at..).and_then(segment::read_frame) {
        at += frame.bytes;
    }
    let _ = segment::PoolHeader::decode(bytes);
    let _ = archive::ArchiveHeader::decode(bytes);
    let _ = archive::ChunkHeader::decode(bytes, 0, 0);
    let _ = archive::Slot::decode(bytes, 0);
});
