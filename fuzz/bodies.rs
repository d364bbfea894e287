//! What is done with an input of each kind in `corpus`: nothing may panic.
//!
//! Files behind checksums are never reached by random bytes: inputs for pools and archives are
//! patches of a golden file (offset u32, value u8), after which its checksums are made valid again.

use admf::market::{ImportOptions, import};
use admf::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use admf::segment::{Append, Pool, Ring, segments_max};
use admf_formats::archive::{self, ArchiveHeader, CHUNK_HEADER_BYTES, SLOT_BYTES};
use admf_formats::event::{Bar, EventSet, Stamp};
use admf_formats::manifest::Manifest;
use admf_formats::segment::{self, DESCRIPTOR_BYTES, PoolHeader, read_frame};
use admf_tools::decode::{self, What};
use admf_tools::{archive::Archive, line, pool::Pool as PoolFile, verify};
use std::collections::VecDeque;
use std::path::Path;

const POOL: &[u8] = include_bytes!("../formats/golden/v1/worker_1.pool");
const ARCHIVE: &[u8] = include_bytes!("../formats/golden/v1/archive_00000.admf");

fn patched(golden: &[u8], first: usize, patches: &[u8]) -> Vec<u8> {
    let mut file = golden.to_vec();
    for patch in patches.chunks_exact(5) {
        let offset = u32::from_le_bytes([patch[0], patch[1], patch[2], patch[3]]) as usize;
        // The upper half of all offsets falls into what follows the fixed parts.
        let at = if offset >> 31 == 0 {
            offset % golden.len()
        } else {
            first + offset % (golden.len() - first)
        };
        file[at] = patch[4];
    }
    file
}

/// Puts the checksum of the bytes before `end` behind them.
fn repair(bytes: &mut [u8], end: usize, seed: u32) -> u32 {
    let crc = crc32c::crc32c_append(seed, &bytes[..end]);
    bytes[end..end + 4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Any pool is events or an error.
pub(crate) fn pool(input: &[u8]) {
    let _ = segment::PoolHeader::decode(input);
    let mut at = 0;
    while let Some(frame) = input.get(at..).and_then(read_frame) {
        at += frame.bytes;
    }
    let golden = PoolHeader::decode(POOL).expect("the golden header");
    let mut file = patched(POOL, golden.segment_offset(0), input);
    let manifest =
        golden.manifest_offset()..golden.manifest_offset() + golden.manifest_bytes as usize;
    let crc = crc32c::crc32c(&file[manifest]).to_le_bytes();
    file[28..32].copy_from_slice(&crc);
    let seed = repair(&mut file, segment::POOL_HEADER_BYTES - 4, 0);
    for slot in 0..2 * golden.segments as usize {
        let from = segment::POOL_HEADER_BYTES + slot * DESCRIPTOR_BYTES;
        if file[from..from + 4] != [0; 4] {
            repair(&mut file[from..], 20, seed);
        }
    }
    for file in [&file, input] {
        let path = Path::new("fuzz.pool");
        let _ = verify::pool(path, file, &mut |_| ());
        if let Ok(Ok(pool)) = PoolFile::open(file) {
            let _ = decode::pool(&pool, What::Events, &|_, _| Ok(true), &mut |event| {
                let _ = serde_json::to_vec(&line::of(event));
                Ok(())
            });
        }
    }
}

/// Any archive is events or an error.
pub(crate) fn archive(input: &[u8]) {
    let _ = archive::ArchiveHeader::decode(input);
    let golden = ArchiveHeader::decode(ARCHIVE).expect("the golden header");
    let chunks = golden.chunks_offset() as usize;
    let mut file = patched(ARCHIVE, chunks, input);
    let manifest = &file[archive::HEADER_BYTES..][..golden.manifest_bytes as usize];
    let crc = crc32c::crc32c(manifest).to_le_bytes();
    file[24..28].copy_from_slice(&crc);
    let seed = repair(&mut file, archive::HEADER_BYTES - 4, 0);
    for container in 0..8 {
        let from = golden.slot_offset(container) as usize;
        if file[from..from + SLOT_BYTES] != [0; SLOT_BYTES] {
            repair(&mut file[from..], SLOT_BYTES - 4, seed);
        }
    }
    let seal = golden.seal_offset() as usize;
    repair(&mut file[seal..], archive::SEAL_BYTES - 4, seed);
    for at in (chunks..file.len() - CHUNK_HEADER_BYTES).step_by(16) {
        if file[at..].starts_with(b"CHNK") {
            let bytes =
                u32::from_le_bytes([file[at + 32], file[at + 33], file[at + 34], file[at + 35]]);
            if let Some(payload) = file[at + CHUNK_HEADER_BYTES..].get(..bytes as usize) {
                let crc = crc32c::crc32c_append(seed, payload).to_le_bytes();
                file[at + 56..at + 60].copy_from_slice(&crc);
            }
            repair(&mut file[at..], CHUNK_HEADER_BYTES - 4, seed);
        }
    }
    for file in [&file, input] {
        let path = Path::new("fuzz.admf");
        let _ = verify::archive(path, file, &mut |_| ());
        if let Ok(Ok(archive)) = Archive::open(file) {
            let _ = decode::archive(
                path,
                &archive,
                What::Events,
                &|_, _| Ok(true),
                &mut |event| {
                    let _ = serde_json::to_vec(&line::of(event));
                    Ok(())
                },
            );
        }
    }
}

/// Any text is a workflow or an error.
pub(crate) fn workflow(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = admf::workflow::parse(text, Path::new("w.yaml"));
    }
}

/// Any file is bars or an error.
pub(crate) fn csv(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("bars.csv");
    std::fs::write(&source, input).expect("writable");
    let _ = import(
        &source,
        &ImportOptions::default(),
        &folder.path().join("t.bars"),
    );
}

/// A ring with a sliding window keeps what a queue of that length keeps.
pub(crate) fn ring(input: &[u8]) {
    let Some((window, steps)) = input.split_first() else {
        return;
    };
    let window = u64::from(*window) + 1;
    let rules = TraceRules {
        events: EventSet::ALL,
        policy: RetentionPolicy::SlidingWindow { events: window },
        bytes_per_container: 16 << 10,
        on_full: OnFull::Degrade,
        backing: Backing::Disk,
        store_trades: false,
        keep: Keep::NONE,
        compression: Compression::None,
    };
    let golden = PoolHeader::decode(POOL).expect("the golden header");
    let manifest = &POOL[golden.manifest_offset()..][..golden.manifest_bytes as usize];
    let manifest = Manifest::decode(manifest).expect("the golden manifest");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let segments = segments_max(&rules, 512) as u32;
    let path = folder.path().join("t.pool");
    let mut pool = Pool::create(&path, 1, 512, segments, &manifest).expect("a pool");
    let mut ring = Ring::new(rules, 7);
    let mut model = VecDeque::new();
    let mut sequence = 0;
    let check = |ring: &mut Ring, pool: &mut Pool, model: &VecDeque<u64>| {
        let (mut frames, mut at, mut found) = (Vec::new(), 0, VecDeque::new());
        let ledger = ring.finish(pool, &mut frames);
        while at < frames.len() {
            let frame = read_frame(&frames[at..]).expect("a whole frame");
            at += frame.bytes;
            found.push_back(frame.stamp.sequence);
        }
        assert_eq!(found, *model);
        assert!(ledger.balances(), "{ledger:?}");
        assert_eq!(pool.free(), segments as usize);
    };
    for step in steps.iter().take(1 << 12) {
        if *step == 0 {
            check(&mut ring, &mut pool, &model);
            ring = Ring::new(rules, 7);
            model.clear();
            continue;
        }
        // The step's upper bits say how many events follow each other.
        for _ in 0..=*step >> 5 {
            sequence += 1;
            let stamp = Stamp {
                sequence,
                trade: u32::from(*step & 7),
                ..Stamp::default()
            };
            let done = ring.append(&mut pool, &stamp, &Bar { bars: sequence });
            assert_eq!(done, Append::Done);
            model.push_back(sequence);
            if model.len() as u64 > window {
                model.pop_front();
            }
        }
    }
    check(&mut ring, &mut pool, &model);
}
