//! Damaged files: no corrupt record of a committed container is ever accepted, nothing panics, and
//! what is missing is named.
//!
//! The short forms run with every build. `ADMF_DAMAGE=long cargo test --release -p admf-tools --test
//! damage -- --nocapture` goes over every bit and every length of what the file holds, and over
//! every 61st of its two megabytes of empty slots; `ADMF_DAMAGE=every` over all of them, for hours.

mod content;
mod samples;

use admf::segment::retention::Compression;
use admf_formats::archive::{ArchiveHeader, HEADER_BYTES};
use admf_formats::manifest::Manifest;
use admf_tools::archive::Archive;
use admf_tools::bytes::{Bytes, FileBytes};
use admf_tools::decode::{self, What};
use admf_tools::pool::Pool;
use admf_tools::verify;
use content::{Content, check, verified};
use proptest::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A sealed archive as it is damaged.
struct Samples {
    /// What the disk had before: the same file when less of it was written.
    stale: Vec<u8>,
    /// The whole file, sealed.
    whole: Vec<u8>,
    /// The same file of another run.
    foreign: Vec<u8>,
    content: Content,
}

/// What an archive is like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// With traces, trades, a failure and a container that began.
    Plain,
    /// With trades that a condition kept, their chunks compressed or not.
    Kept(Compression),
}

const KINDS: [Kind; 3] = [
    Kind::Plain,
    Kind::Kept(Compression::None),
    Kind::Kept(Compression::Zstd),
];

/// Writes it in two runs; the bytes after each.
fn written(kind: Kind, workflow: &str, base: f64) -> [Vec<u8>; 2] {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (folder, manifest) = (folder.path(), samples::manifest(workflow));
    let read = || std::fs::read(folder.join("archive_00000.admf")).expect("readable");
    match kind {
        Kind::Plain => samples::first_half(folder, &manifest, base),
        Kind::Kept(compression) => samples::kept_first_half(folder, &manifest, base, compression),
    }
    let stale = read();
    match kind {
        Kind::Plain => samples::second_half(folder, &manifest, base),
        Kind::Kept(compression) => samples::kept_second_half(folder, &manifest, base, compression),
    }
    [stale, read()]
}

fn samples(kind: Kind) -> Samples {
    let [stale, whole] = written(kind, "first", 100.0);
    let [_, foreign] = written(kind, "other", 200.0);
    let content = Content::of(&whole);
    let expected = match kind {
        Kind::Plain => (4, 34),
        Kind::Kept(_) => (2, 9 + 42),
    };
    assert_eq!((content.slots.len(), content.frames.len()), expected);
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

/// How much is damaged.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Short,
    Long,
    Every,
}

impl Extent {
    fn wanted() -> Extent {
        match std::env::var("ADMF_DAMAGE").as_deref() {
            Err(_) => Extent::Short,
            Ok("long") => Extent::Long,
            Ok("every") => Extent::Every,
            Ok(other) => panic!("ADMF_DAMAGE={other}: long or every was expected"),
        }
    }

    /// Of the numbers below `end`, those inside of `parts`, and every so-many-th of the others.
    fn of(self, parts: Vec<Range<usize>>, end: usize) -> Vec<usize> {
        let (inside, outside) = match self {
            Extent::Short => (9, 4099 * 8),
            // Every bit of what holds something; zeros lie between.
            Extent::Long => (1, 997 * 8),
            Extent::Every => (1, 1),
        };
        let is_inside = |number: usize| parts.iter().any(|part| part.contains(&number));
        (0..end)
            .filter(|number| number % if is_inside(*number) { inside } else { outside } == 0)
            .collect()
    }
}

/// Flips these bits one by one, in memory and on disk.
fn flip(samples: &Samples, bits: impl Iterator<Item = usize>) -> u64 {
    let mut count = 0;
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
        let (faults, _) = check(&damaged, &samples.content, &what);
        // Notes are for what no slot leads to: container 4 was not committed.
        assert!(faults != sound, "{what}: nothing is named");
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
        count += 1;
    }
    count
}

#[test]
fn a_flipped_bit_is_named_and_never_read() {
    for kind in KINDS {
        let samples = samples(kind);
        let whole = &samples.whole;
        let parts = parts(whole).into_iter();
        let bits = parts.map(|part| part.start * 8..part.end * 8).collect();
        let bits = Extent::wanted().of(bits, whole.len() * 8);
        let flipped = flip(&samples, bits.into_iter());
        println!("{kind:?}: {flipped} bits of {} flipped", whole.len() * 8);
    }
}

#[test]
fn a_truncated_file_is_named() {
    for kind in KINDS {
        let samples = samples(kind);
        let end = samples.whole.len();
        let lengths = match Extent::wanted() {
            // Lengths are not numbered by bits.
            Extent::Short => Extent::Long
                .of(parts(&samples.whole), end)
                .into_iter()
                .step_by(29),
            wanted => wanted.of(parts(&samples.whole), end).into_iter().step_by(1),
        };
        let mut cut = 0;
        for length in lengths {
            let what = format!("{kind:?} cut at {length}");
            let (faults, findings) = check(&samples.whole[..length], &samples.content, &what);
            assert!(findings.losses > 0, "{what}: {faults:?}");
            cut += 1;
        }
        println!("{kind:?}: cut at {cut} lengths of {end}");
    }
}

/// A file that another program cuts after so many reads.
#[derive(Clone, Copy)]
struct Cut<'a> {
    file: &'a FileBytes,
    path: &'a Path,
    reads: &'a Cell<u32>,
    length: usize,
}

impl Bytes for Cut<'_> {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> admf::Result<usize> {
        if self.reads.get() == 1 {
            let file = std::fs::File::options().write(true).open(self.path);
            let cut = file.and_then(|file| file.set_len(self.length as u64));
            cut.expect("writable");
        }
        self.reads.set(self.reads.get().saturating_sub(1));
        self.file.read(offset, into)
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_an_error_and_nothing_of_it_is_taken_for_unwritten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("archive_00000.admf");
    for kind in KINDS {
        let Samples { whole, content, .. } = samples(kind);
        let sound = verified(&whole).1;
        let (mut refused, mut tried) = (0, 0);
        for length in parts(&whole).iter().map(|part| part.start + 50) {
            for left in (1..40).step_by(3).chain((40..9000).step_by(331)) {
                let reads = Cell::new(left);
                std::fs::write(&path, &whole).expect("writable");
                let file = FileBytes::open(&path).expect("readable");
                let (file, path) = (&file, &*path);
                let bytes = Cut {
                    file,
                    path,
                    reads: &reads,
                    length,
                };
                match verify::archive(path, bytes, &mut |_| {}) {
                    Err(admf::Error::Damaged { message, .. }) => {
                        assert!(message.contains("while it was read"), "{message}");
                        refused += 1;
                    }
                    // It was read before it was cut.
                    Ok(found) => assert_eq!(
                        (found.losses, found.committed, found.events),
                        (0, sound.committed, sound.events),
                        "{kind:?}, cut to {length} after {left} reads"
                    ),
                    Err(other) => panic!("{other}"),
                }
                tried += 1;
                std::fs::write(path, &whole).expect("writable");
                reads.set(left);
                let Ok(Ok(archive)) = Archive::open(bytes) else {
                    continue;
                };
                let mut written = |event: &decode::Event<'_>| {
                    let told = format!("{:?}", event.frame);
                    let is_written = content.frames.values().any(|frame| *frame == told);
                    assert!(!event.sealed || is_written, "{told} was never written");
                    Ok(())
                };
                let all = |_: &Manifest, _| Ok(true);
                let _ = decode::archive(path, &archive, What::Events, &all, &mut written);
            }
        }
        println!("{kind:?}: {refused} of {tried} files that were cut while they were read");
        assert!(refused > 20, "{kind:?}: {refused} of {tried}");
    }
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

fn lose_power(kind: Kind, cases: u32) {
    let samples = samples(kind);
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
        } else if matches!(pages[0], Page::Foreign) {
            // A file with the head of another archive is that archive, and what belongs to it is
            // sound there.
            pages[0] = Page::Zero;
        }
        let damaged = mixed(&samples, page_bytes, &pages);
        check(
            &damaged,
            &samples.content,
            &format!("{kind:?}, pages of {page_bytes}: {pages:?}"),
        );
        Ok(())
    });
    outcome.expect("what is read is what was written, and what is missing is named");
}

#[test]
fn any_subset_of_pages_that_reached_the_disk_is_read_rightly() {
    let cases = match Extent::wanted() {
        Extent::Short => 400,
        Extent::Long => 20_000,
        Extent::Every => 100_000,
    };
    for kind in KINDS {
        lose_power(kind, cases);
        println!("{kind:?}: {cases} subsets of pages");
    }
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
    for bit in 0..8 * whole.len() {
        let byte = bit / 8;
        damaged[byte] ^= 1 << (bit % 8);
        let (faults, _) = verified(&damaged);
        assert!(
            !guarded.contains(&byte) || !faults.is_empty(),
            "bit {bit}: nothing is named"
        );
        damaged[byte] = whole[byte];
    }
    for length in 0..whole.len() {
        assert!(verified(&whole[..length]).1.losses > 0, "cut at {length}");
    }
    // Any sector in the place of any other, or zeros: whatever is still read is flagged.
    for (from, to) in (0..24 * 25).map(|pair| (pair / 24, pair % 24)) {
        let mut damaged = whole.clone();
        let place = to * 512..(to + 1) * 512;
        match from {
            24 => damaged[place].fill(0),
            _ => damaged.copy_within(from * 512..(from + 1) * 512, place.start),
        }
        verified(&damaged);
        if let Ok(pool) = Pool::open(&damaged[..]).expect("memory is readable") {
            let mut unsealed = |event: &decode::Event<'_>| {
                assert!(!event.sealed, "sector {from} in the place of {to}");
                Ok(())
            };
            let read = decode::pool(&pool, What::Events, &|_, _| Ok(true), &mut unsealed);
            read.expect("memory is readable");
        }
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
