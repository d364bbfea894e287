//! Any pool is events or a fault that has a name, and both readers say the same.

use super::edit::{copy, edits, put, repair};
use admf::segment::PoolReader;
use admf_formats::segment::{DESCRIPTOR_BYTES, POOL_HEADER_BYTES, PoolHeader, read_frame};
use admf_tools::decode::{self, What};
use admf_tools::{line, pool::Pool, verify};
use std::path::Path;

const GOLDEN: &[u8] = include_bytes!("../../formats/golden/v1/worker_1.pool");

fn edited(input: &[u8], header: &PoolHeader) -> Vec<u8> {
    let mut file = GOLDEN.to_vec();
    let mut size = file.len();
    let slots = 2 * header.segments as usize;
    let slot = |which: usize| POOL_HEADER_BYTES + which % slots * DESCRIPTOR_BYTES;
    let segment = |which: usize| header.segment_offset(which as u32 % header.segments);
    let places = [
        0,
        16,
        512,
        1024,
        u64::from(header.segments),
        file.len() as u64,
    ];
    for edit in edits(input) {
        let number = edit.number(&places);
        match edit.what % 8 {
            0 => {
                let at = edit.value as usize % file.len();
                file[at] = edit.a as u8;
            }
            1 => {
                let (begin, bytes) = [(0, 4), (4, 1), (8, 8), (16, 4)][edit.b % 4];
                put(&mut file, slot(edit.a) + begin, bytes, number);
            }
            2 => copy(
                &mut file,
                segment(edit.a),
                segment(edit.b),
                header.segment_bytes as usize,
            ),
            3 => {
                let frame = segment(edit.a) + 16 * (edit.b % 32);
                put(&mut file, frame, 4, number);
                put(&mut file, frame + 4, 1, u64::from(edit.value & 31));
                put(&mut file, frame + 5, 1, u64::from(edit.value >> 5 & 15));
            }
            4 => put(&mut file, 12 + 4 * (edit.a % 4), 4, number),
            5 => copy(&mut file, slot(edit.a), slot(edit.b), DESCRIPTOR_BYTES),
            6 => {
                let frame = segment(edit.a) + 16 * (edit.b % 32);
                put(
                    &mut file,
                    frame + [8, 16, 32, 36][edit.value as usize % 4],
                    4,
                    number,
                );
            }
            _ if edit.a > 250 => size = size.min(edit.value as usize % file.len()),
            _ => {}
        }
    }
    let manifest = header.manifest_offset()..;
    let crc = crc32c::crc32c(&file[manifest][..header.manifest_bytes as usize]);
    put(&mut file, 28, 4, u64::from(crc));
    let seed = repair(&mut file, POOL_HEADER_BYTES - 4, 0);
    for slot in (0..slots).map(slot) {
        if file[slot..slot + 20] != [0; 20] {
            repair(&mut file[slot..], 20, seed);
        }
    }
    file.truncate(size);
    file
}

/// The target.
pub(crate) fn run(input: &[u8]) {
    let _ = PoolHeader::decode(input);
    let mut at = 0;
    while let Some(frame) = input.get(at..).and_then(read_frame) {
        at += frame.bytes;
    }
    let header = PoolHeader::decode(GOLDEN).expect("the golden header");
    let file = edited(input, &header);
    let path = Path::new("fuzz.pool");
    let findings = verify::pool(path, &file[..], &mut |_| ()).expect("memory is readable");
    let Ok(pool) = Pool::open(&file[..]).expect("memory is readable") else {
        assert!(findings.losses > 0, "an unreadable file is a loss");
        return;
    };
    let mut events = Vec::new();
    let changed = decode::pool(&pool, What::Events, &|_, _| Ok(true), &mut |event| {
        assert!(!event.sealed, "nothing in a pool is sealed");
        let line = serde_json::to_vec(&line::of(event)).expect("an event is a line");
        assert!(!line.is_empty());
        events.push((event.container, format!("{:?}", event.frame)));
        Ok(())
    });
    assert_eq!(changed.expect("memory is readable"), 0, "nobody writes it");

    // The engine's own reader, which refuses what is cut.
    let on_disk = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(on_disk.path(), &file).expect("writable");
    let Ok(reader) = PoolReader::open(on_disk.path()) else {
        return;
    };
    let mut read = Vec::new();
    let whole = reader.frames(|container, frame| {
        read.push((container, format!("{frame:?}")));
        Ok(())
    });
    if whole.is_ok() {
        assert_eq!(read, events, "the two readers differ");
    }
}
