//! Damaged files: no corrupt record of a committed container is ever accepted, nothing panics, and
//! what is missing is named.
//!
//! The short forms run with every build. The long ones go over every bit and every length of the
//! whole file: `cargo test --release -p admf-tools --test damage -- --ignored`.

mod samples;

use admf::segment::ArchiveReader;
use admf_formats::archive::{ArchiveHeader, ChunkKind, HEADER_BYTES};
use admf_formats::report::container_id;
use admf_tools::archive::Archive;
use admf_tools::fault::{Fault, Findings, Severity};
use admf_tools::verify;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Committed content: slots by container, frames by container, kind and sequence.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    slots: BTreeMap<u64, String>,
    frames: BTreeMap<(u64, ChunkKind, u64), String>,
}

impl Content {
    /// What can be read of a file in memory; a chain ends where it is damaged.
    fn of(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        let Ok(archive) = Archive::open(bytes).expect("memory is readable") else {
            return content;
        };
        let mut payload = Vec::new();
        for index in archive.containers() {
            let Some(slot) = archive.slot(index).expect("memory is readable") else {
                continue;
            };
            content.slots.insert(index, format!("{:?}", slot.record));
            for kind in [ChunkKind::Trace, ChunkKind::Trades] {
                let mut at = slot.last_chunk[kind as usize - 1];
                while let Some(chunk) = archive.link(index, kind, at).expect("readable") {
                    if archive.payload(&chunk, &mut payload).expect("readable") {
                        let mut within = 0;
                        while within < payload.len() {
                            let frame = admf_formats::segment::read_frame(&payload[within..]);
                            let frame = frame.expect("a chunk with its checksum has whole frames");
                            within += frame.bytes;
                            let key = (index, kind, frame.stamp.sequence);
                            content.frames.insert(key, format!("{frame:?}"));
                        }
                    }
                    at = chunk.previous;
                }
            }
        }
        content
    }

    /// Everything in it is in `whole`, as it is there.
    fn is_part_of(&self, whole: &Content) -> bool {
        self.slots
            .iter()
            .all(|(key, value)| whole.slots.get(key) == Some(value))
            && self
                .frames
                .iter()
                .all(|(key, value)| whole.frames.get(key) == Some(value))
    }

    /// What the engine's own reader says of a file, until it refuses.
    fn read(path: &Path) -> Content {
        let mut content = Content::default();
        let Ok(reader) = ArchiveReader::open(path) else {
            return content;
        };
        for index in reader.containers() {
            let Ok(Some(slot)) = reader.slot(index) else {
                continue;
            };
            content.slots.insert(index, format!("{:?}", slot.record));
            for kind in [ChunkKind::Trace, ChunkKind::Trades] {
                let each = |frame: &admf_formats::segment::Frame| {
                    let key = (index, kind, frame.stamp.sequence);
                    content.frames.insert(key, format!("{frame:?}"));
                    Ok(())
                };
                let _ = reader.frames(&slot, kind, each);
            }
        }
        content
    }
}

fn verified(bytes: &[u8]) -> (Vec<Fault>, Findings) {
    let mut faults = Vec::new();
    let findings = verify::archive(Path::new("a.admf"), bytes, &mut |fault| faults.push(fault));
    (faults, findings.expect("memory is readable"))
}

struct Samples {
    /// After the first two containers, sealed.
    stale: Vec<u8>,
    /// The whole file, sealed.
    whole: Vec<u8>,
    /// The same file of another run.
    foreign: Vec<u8>,
    content: Content,
}

fn samples() -> Samples {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("archive_00000.admf");
    let manifest = samples::manifest("first");
    samples::first_half(folder.path(), &manifest, 100.0);
    let stale = std::fs::read(&file).expect("readable");
    samples::second_half(folder.path(), &manifest, 100.0);
    let whole = std::fs::read(&file).expect("readable");
    let other = tempfile::tempdir().expect("a temporary folder");
    let manifest = samples::manifest("other");
    samples::first_half(other.path(), &manifest, 200.0);
    samples::second_half(other.path(), &manifest, 200.0);
    let foreign = std::fs::read(other.path().join("archive_00000.admf")).expect("readable");
    let content = Content::of(&whole);
    assert_eq!((content.slots.len(), content.frames.len()), (4, 34));
    assert_eq!(verified(&whole).1.losses, 0, "{:?}", verified(&whole).0);
    assert_eq!(verified(&stale).1.losses, 0);
    Samples {
        stale,
        whole,
        foreign,
        content,
    }
}

/// Parts of the file that hold something; between them lie zeros.
fn parts(whole: &[u8]) -> Vec<Range<usize>> {
    let header = ArchiveHeader::decode(whole).expect("a header");
    let slots = header.slots_offset() as usize;
    let seal = header.seal_offset() as usize;
    vec![
        0..64,
        HEADER_BYTES - 8..HEADER_BYTES + header.manifest_bytes as usize + 8,
        slots..header.slot_offset(samples::CONTAINERS) as usize + 8,
        seal - 8..seal + 80,
        header.chunks_offset() as usize - 8..whole.len(),
    ]
}

/// What verify says of a damaged file agrees with what can still be read of it.
fn check(damaged: &[u8], samples: &Samples, what: &str) {
    let content = Content::of(damaged);
    assert!(
        content.is_part_of(&samples.content),
        "{what}: a corrupt record is accepted"
    );
    let (faults, findings) = verified(damaged);
    let losses: Vec<&Fault> = faults
        .iter()
        .filter(|fault| fault.severity == Severity::Loss)
        .collect();
    assert_eq!(losses.len() as u64, findings.losses);
    if losses
        .iter()
        .any(|fault| matches!(fault.part, "header" | "manifest"))
    {
        return;
    }
    let named = |container: u64| {
        let id = container_id(container, samples::CONTAINERS);
        losses
            .iter()
            .filter(move |fault| fault.container.as_deref() == Some(&id))
    };
    for container in samples.content.slots.keys() {
        if content.slots.contains_key(container) {
            // A committed container has all of its events, or the missing ones are named.
            for (whose, _, sequence) in samples
                .content
                .frames
                .keys()
                .filter(|key| key.0 == *container && !content.frames.contains_key(key))
            {
                let is_named = named(*whose).any(|fault| {
                    fault
                        .sequences
                        .is_some_and(|[first, last]| (first..=last).contains(sequence))
                });
                assert!(
                    is_named,
                    "{what}: sequence {sequence} of {whose} is not named: {faults:?}"
                );
            }
        } else if findings.sealed {
            assert!(
                named(*container).count() > 0,
                "{what}: container {container} is not named"
            );
        }
    }
}

/// Flips these bits one by one, in memory and on disk.
fn flip(bits: impl Iterator<Item = usize>) {
    let samples = samples();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("archive_00000.admf");
    std::fs::write(&path, &samples.whole).expect("writable");
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("writable");
    let mut damaged = samples.whole.clone();
    let sound = verified(&damaged).0;
    for bit in bits {
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        damaged[byte] ^= mask;
        let what = format!("bit {bit}, byte {byte}");
        check(&damaged, &samples, &what);
        // Notes are for what no slot leads to: container 4 was not committed.
        assert!(verified(&damaged).0 != sound, "{what}: nothing is named");
        file.write_all_at(&damaged[byte..=byte], byte as u64)
            .expect("writable");
        let read = Content::read(&path);
        assert!(
            read.is_part_of(&samples.content),
            "{what}: the reader accepts it"
        );
        damaged[byte] ^= mask;
        file.write_all_at(&damaged[byte..=byte], byte as u64)
            .expect("writable");
    }
}

#[test]
fn a_flipped_bit_is_named_and_never_read() {
    let whole = samples().whole;
    let content = parts(&whole).into_iter().flatten();
    let padding = (0..whole.len()).step_by(4099);
    flip(
        content
            .map(|byte| byte * 8 + byte % 8)
            .chain(padding.map(|byte| byte * 8 + byte % 8)),
    );
}

#[test]
#[ignore = "every bit of the file: half an hour"]
fn every_flipped_bit_is_named_and_never_read() {
    flip(0..samples().whole.len() * 8);
}

fn truncate(lengths: impl Iterator<Item = usize>) {
    let samples = samples();
    for length in lengths {
        let what = format!("cut at {length}");
        check(&samples.whole[..length], &samples, &what);
        let (faults, findings) = verified(&samples.whole[..length]);
        assert!(findings.losses > 0, "{what}: {faults:?}");
    }
}

#[test]
fn a_truncated_file_is_named() {
    let whole = samples().whole;
    let parts = parts(&whole).into_iter().flatten();
    truncate(parts.chain((0..whole.len()).step_by(4099)));
}

#[test]
#[ignore = "every length of the file: minutes"]
fn every_truncated_file_is_named() {
    truncate(0..samples().whole.len());
}

/// What stands in a page after the power was lost.
#[derive(Clone, Copy, Debug)]
enum Page {
    /// What was written.
    Written,
    /// Never reached the disk: zeros.
    Zero,
    /// Never reached the disk: what was there before.
    Stale,
    /// A block that belonged to the same file of another run.
    Foreign,
    /// The content of another page of the file.
    From(usize),
}

fn page() -> impl Strategy<Value = Page> {
    prop_oneof![
        6 => Just(Page::Written),
        1 => Just(Page::Zero),
        1 => Just(Page::Stale),
        1 => Just(Page::Foreign),
        1 => any::<usize>().prop_map(Page::From),
    ]
}

/// The file after each of its pages (of those that hold something) came out as `pages` say.
fn mixed(samples: &Samples, page_bytes: usize, pages: &[Page]) -> Vec<u8> {
    let mut damaged = samples.whole.clone();
    let mut touched: Vec<usize> = parts(&samples.whole)
        .into_iter()
        .flat_map(|part| part.start / page_bytes..=(part.end - 1) / page_bytes)
        .collect();
    touched.dedup();
    for (number, page) in touched.iter().zip(pages.iter().cycle()) {
        let range = number * page_bytes..((number + 1) * page_bytes).min(damaged.len());
        let source = |from: &[u8], at: usize| {
            let mut bytes = vec![0; page_bytes];
            if let Some(there) = from.get(at * page_bytes..) {
                let count = there.len().min(page_bytes);
                bytes[..count].copy_from_slice(&there[..count]);
            }
            bytes
        };
        let bytes = match page {
            Page::Written => continue,
            Page::Zero => vec![0; page_bytes],
            Page::Stale => source(&samples.stale, *number),
            Page::Foreign => source(&samples.foreign, *number),
            Page::From(other) => source(&samples.whole, touched[other % touched.len()]),
        };
        let count = range.len();
        damaged[range].copy_from_slice(&bytes[..count]);
    }
    damaged
}

fn lose_power(cases: u32) {
    let samples = samples();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    // Header and manifest are written once, at creation: a file without them holds nothing, so
    // that most cases keep them.
    let pages = (
        prop_oneof![Just(512_usize), Just(4096)],
        prop::bool::weighted(0.9),
        prop::collection::vec(page(), 40),
    );
    let outcome = runner.run(&pages, |(page_bytes, keeps_head, mut pages)| {
        if keeps_head {
            // The header and the manifest with what lies between them: at most 6 of the pages.
            pages[..6].fill(Page::Written);
        }
        let damaged = mixed(&samples, page_bytes, &pages);
        check(
            &damaged,
            &samples,
            &format!("pages of {page_bytes}: {pages:?}"),
        );
        Ok(())
    });
    outcome.expect("what is read is what was written, and what is missing is named");
}

#[test]
fn any_subset_of_pages_that_reached_the_disk_is_read_rightly() {
    lose_power(400);
}

#[test]
#[ignore = "100,000 subsets: minutes"]
fn many_subsets_of_pages_that_reached_the_disk_are_read_rightly() {
    lose_power(100_000);
}

#[test]
fn any_damage_to_a_pool_is_survived_and_what_guards_its_frames_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("worker_1.pool");
    samples::pool(&path, &samples::manifest("first"));
    let whole = std::fs::read(&path).expect("readable");
    let verified = |bytes: &[u8]| {
        let mut faults = Vec::new();
        let found = verify::pool(Path::new("p.pool"), bytes, &mut |fault| faults.push(fault));
        (faults, found.expect("memory is readable"))
    };
    let (faults, findings) = verified(&whole);
    assert_eq!((findings.losses, findings.notes), (0, 0), "{faults:?}");
    assert_eq!((findings.containers, findings.committed), (2, 0));
    assert!(findings.unsealed_events >= 9);
    let header = admf_formats::segment::PoolHeader::decode(&whole).expect("a header");
    let mut damaged = whole.clone();
    let guarded = 0..header.manifest_offset() + header.manifest_bytes as usize;
    for byte in (0..64).chain(4000..whole.len()) {
        damaged[byte] ^= 1 << (byte % 8);
        let (faults, _) = verified(&damaged);
        assert!(
            !guarded.contains(&byte) || !faults.is_empty(),
            "byte {byte}: nothing is named"
        );
        damaged[byte] = whole[byte];
    }
    for length in (0..whole.len()).step_by(7) {
        assert!(verified(&whole[..length]).1.losses > 0, "cut at {length}");
    }
    // A whole page of frames is gone, and frames behind it are there.
    let hole = header.segment_offset(0);
    let mut damaged = whole.clone();
    damaged[hole..hole + 64].fill(0);
    let (faults, _) = verified(&damaged);
    assert!(
        faults
            .iter()
            .any(|fault| fault.part == "segment" && fault.sequences.is_some())
    );
}

#[test]
fn frames_of_a_stale_generation_are_never_read() {
    use admf_formats::segment::{DESCRIPTOR_BYTES, Descriptor};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("worker_1.pool");
    samples::pool(&path, &samples::manifest("first"));
    let mut bytes = std::fs::read(&path).expect("readable");
    let header = admf_formats::segment::PoolHeader::decode(&bytes).expect("a header");
    let count = |bytes: &[u8]| {
        let found = verify::pool(Path::new("p.pool"), bytes, &mut |_| {});
        found.expect("memory is readable").unsealed_events
    };
    let before = count(&bytes);
    // Every descriptor page comes back as it was one recycling later: all frames are stale.
    for segment in 0..header.segments {
        let at = header.descriptor_offset(segment);
        let slots = &bytes[at..at + 2 * DESCRIPTOR_BYTES];
        if let Some(newest) = Descriptor::newest(slots, header.seed(), segment) {
            let next = Descriptor {
                generation: admf_formats::segment::next_generation(newest.generation),
                ..newest
            };
            let at = at + (next.generation % 2) as usize * DESCRIPTOR_BYTES;
            bytes[at..at + DESCRIPTOR_BYTES].copy_from_slice(&next.encode(header.seed(), segment));
        }
    }
    assert!(before > 0 && count(&bytes) == 0);
}
