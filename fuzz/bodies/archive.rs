//! Any archive is events or a fault that has a name.

use super::edit::{copy, edits, get, put, repair};
use admf_formats::archive::{
    self, ArchiveHeader, CHUNK_HEADER_BYTES, ChunkHeader, SEAL_BYTES, SLOT_BYTES, Slot,
};
use admf_tools::archive::Archive;
use admf_tools::bytes::Bytes;
use admf_tools::decode::{self, What};
use admf_tools::fault::Severity;
use admf_tools::{line, verify};
use std::path::Path;

/// As it is, and with compressed chunks.
const GOLDEN: [&[u8]; 2] = [
    include_bytes!("../../formats/golden/v1/archive_00000.admf"),
    include_bytes!("../../formats/golden/v1/zstd/archive_00000.admf"),
];
/// Slots that are kept as bytes; behind them lie two megabytes of empty ones.
const SLOTS: usize = 8;

/// The golden file without its empty slots, which read as zeros: a copy of all of it for every
/// input would take longer than what is tried.
struct Compact {
    bytes: Vec<u8>,
    /// Where the empty slots lie, in the file.
    gap: std::ops::Range<u64>,
    size: u64,
}

impl Compact {
    fn golden(golden: &[u8], header: &ArchiveHeader) -> Compact {
        let gap = header.slot_offset(SLOTS as u64)..header.seal_offset();
        let (head, tail) = (&golden[..gap.start as usize], &golden[gap.end as usize..]);
        Compact {
            bytes: [head, tail].concat(),
            gap,
            size: golden.len() as u64,
        }
    }

    /// Where this offset of the file lies in `bytes`.
    fn at(&self, offset: u64) -> usize {
        let skipped = if offset < self.gap.end {
            0
        } else {
            self.gap.end - self.gap.start
        };
        (offset - skipped) as usize
    }
}

impl Bytes for &Compact {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> admf::Result<usize> {
        let count = (into.len() as u64).min(self.size.saturating_sub(offset)) as usize;
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let until = match at {
                at if at < self.gap.start => self.gap.start,
                at if at < self.gap.end => self.gap.end,
                _ => u64::MAX,
            };
            let part = (until - at).min((count - done) as u64) as usize;
            let into = &mut into[done..done + part];
            if self.gap.contains(&at) {
                into.fill(0);
            } else {
                let from = self.at(at);
                into.copy_from_slice(&self.bytes[from..from + part]);
            }
            done += part;
        }
        Ok(count)
    }
}

/// Offsets in `bytes` where the word of a chunk stands.
fn chunks(file: &Compact, from: u64) -> Vec<usize> {
    let first = file.at(from);
    let last = file.bytes.len().saturating_sub(CHUNK_HEADER_BYTES);
    let places = (first..=last.max(first)).step_by(16);
    places
        .filter(|at| {
            file.bytes
                .get(*at..)
                .is_some_and(|rest| rest.starts_with(b"CHNK"))
        })
        .collect()
}

/// Begins and sizes of the numbers of a chunk's header and of a slot.
const CHUNK_FIELDS: [(usize, usize); 10] = [
    (4, 1),
    (5, 1),
    (6, 2),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 4),
    (36, 4),
    (40, 8),
    (48, 8),
];
const SLOT_FIELDS: [usize; 13] = [0, 8, 16, 40, 44, 376, 384, 216, 424, 432, 440, 448, 456];

fn edited(input: &[u8], golden: &[u8], header: &ArchiveHeader) -> Compact {
    let mut file = Compact::golden(golden, header);
    let skipped = header.seal_offset() - header.slot_offset(SLOTS as u64);
    for edit in edits(input) {
        let found = chunks(&file, header.chunks_offset());
        let in_file: Vec<u64> = (found.iter().map(|at| *at as u64 + skipped))
            .chain([header.seal_offset(), header.chunks_offset(), file.size])
            .collect();
        let number = edit.number(&in_file);
        let chunk = |which: usize| found.get(which % found.len().max(1)).copied();
        let bytes = &mut file.bytes;
        match (edit.what % 9, chunk(edit.a), chunk(edit.b)) {
            (0, ..) => {
                let at = edit.value as usize % bytes.len();
                bytes[at] = edit.a as u8;
            }
            (1, Some(at), _) => {
                let (begin, size) = CHUNK_FIELDS[edit.b % CHUNK_FIELDS.len()];
                put(bytes, at + begin, size, number);
            }
            (2, ..) => {
                let slot = header.slot_offset((edit.a % SLOTS) as u64) as usize;
                let field = SLOT_FIELDS[edit.b % SLOT_FIELDS.len()];
                let size = if field == 40 || field == 44 { 4 } else { 8 };
                put(bytes, slot + field, size, number);
            }
            (3, Some(from), Some(to)) => {
                let count = CHUNK_HEADER_BYTES + get(bytes, from + 32, 4) as usize;
                copy(bytes, from, to, count.min(1 << 16));
                if edit.c & 1 == 1 {
                    put(bytes, to + 16, 8, to as u64 + skipped);
                }
            }
            (4, Some(from), _) if bytes.len() < 1 << 18 => {
                let count = CHUNK_HEADER_BYTES + get(bytes, from + 32, 4) as usize;
                let end = (from + count.min(1 << 16)).min(bytes.len());
                let (to, before) = (bytes.len(), file.size);
                bytes.extend_from_within(from..end);
                bytes.resize(bytes.len().next_multiple_of(16), 0);
                file.size += (bytes.len() - to) as u64;
                put(bytes, to + 16, 8, before);
                put(bytes, to + 24, 8, number);
            }
            (5, Some(at), _) => {
                // The commit word of a frame.
                let frame = at + CHUNK_HEADER_BYTES + 16 * edit.b;
                put(bytes, frame, 4, number);
                put(bytes, frame + 4, 1, u64::from(edit.value & 31));
            }
            (6, Some(at), _) => {
                // A sequence, a symbol or a code of a frame.
                let frame = at + CHUNK_HEADER_BYTES + 16 * edit.b;
                put(bytes, frame + [8, 16, 32, 36][edit.c % 4], 4, number);
            }
            (7, ..) => {
                let slots = header.slots_offset() as usize;
                let slot = |which: usize| slots + which % SLOTS * SLOT_BYTES;
                copy(bytes, slot(edit.a), slot(edit.b), SLOT_BYTES);
            }
            (8, ..) if edit.a > 250 => file.size = number.min(file.size),
            _ => {}
        }
    }
    // A cut file has its bytes up to there.
    let kept = file.size.max(file.gap.end);
    let length = file.at(kept);
    file.bytes.truncate(length);
    repaired(&mut file, header);
    file
}

fn repaired(file: &mut Compact, header: &ArchiveHeader) {
    let manifest = archive::HEADER_BYTES..archive::HEADER_BYTES + header.manifest_bytes as usize;
    let crc = crc32c::crc32c(&file.bytes[manifest]);
    put(&mut file.bytes, 24, 4, u64::from(crc));
    let seed = repair(&mut file.bytes, archive::HEADER_BYTES - 4, 0);
    for slot in 0..SLOTS {
        let from = header.slots_offset() as usize + slot * SLOT_BYTES;
        if file.bytes[from..from + SLOT_BYTES] != [0; SLOT_BYTES] {
            repair(&mut file.bytes[from..], SLOT_BYTES - 4, seed);
        }
    }
    let seal = file.at(header.seal_offset());
    if file.bytes.len() >= seal + SEAL_BYTES {
        repair(&mut file.bytes[seal..], SEAL_BYTES - 4, seed);
    }
    for at in chunks(file, header.chunks_offset()) {
        if at + CHUNK_HEADER_BYTES > file.bytes.len() {
            break;
        }
        let size = get(&file.bytes, at + 32, 4) as usize;
        if let Some(payload) = file.bytes[at + CHUNK_HEADER_BYTES..].get(..size) {
            let crc = crc32c::crc32c_append(seed, payload);
            put(&mut file.bytes, at + 56, 4, u64::from(crc));
        }
        repair(&mut file.bytes[at..], CHUNK_HEADER_BYTES - 4, seed);
    }
}

fn read<B: Bytes + Copy>(file: B) {
    let path = Path::new("fuzz.admf");
    let mut is_named = false;
    let findings = verify::archive(path, file, &mut |fault| {
        // Notes of a chunk are of one that was not committed.
        is_named |= fault.severity == Severity::Loss || fault.part == "chunk";
    });
    let findings = findings.expect("memory is readable");
    let Ok(archive) = Archive::open(file).expect("memory is readable") else {
        assert!(findings.losses > 0, "an unreadable file is a loss");
        return;
    };
    let (mut sealed, mut unsealed) = (0_u64, 0_u64);
    let whole = decode::archive(
        path,
        &archive,
        What::Events,
        &|_, _| Ok(true),
        &mut |event| {
            let of = if event.sealed {
                &mut sealed
            } else {
                &mut unsealed
            };
            *of += 1;
            // Lines take longer than all else: the first ones, and some of the others.
            if *of <= 16 || of.is_multiple_of(16) {
                let line = serde_json::to_vec(&line::of(event)).expect("an event is a line");
                assert!(!line.is_empty());
            }
            Ok(())
        },
    );
    if !is_named {
        let told = (findings.events, findings.unsealed_events);
        assert!(whole.is_ok(), "{whole:?}, but verify finds nothing");
        assert_eq!((sealed, unsealed), told, "verify counts other events");
    }
}

/// The target.
pub(crate) fn run(input: &[u8]) {
    let _ = ArchiveHeader::decode(input);
    let _ = ChunkHeader::decode(input, 0, 0);
    let _ = Slot::decode(input, 0);
    let golden = GOLDEN[usize::from(input.first().is_some_and(|first| *first >= 128))];
    let header = ArchiveHeader::decode(golden).expect("the golden header");
    read(&edited(input, golden, &header));
    read(input);
}
