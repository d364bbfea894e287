//! Power losses: of what was written since the last sync any sectors may be lost, in any order.
//!
//! The engine's own writer runs, and what it asks of the file is recorded: writes, lengths and
//! syncs. A disk that loses its power after any of these requests keeps what was synced; every
//! sector that was written since then holds any of its versions, and the file has any of its
//! lengths. What is read of it must have been written, what was synced must be there, `verify` must
//! name what is missing, and the writer must go on from it or say where the file is damaged.
//!
//! `ADMF_POWER=100 cargo test --release -p admf-tools --features failpoints --test power -- --nocapture`
//! is the long form: so many losses at every request. Without it there is one.

mod content;
mod samples;

use admf::failpoint::journal::{self, Asked};
use admf::segment::{ArchiveOptions, ArchiveWriter, Receipts, committed};
use admf::{Error, Result};
use admf_formats::archive::ChunkKind;
use admf_formats::compression::Compression;
use content::{Content, check, verified};
use samples::{close, every_kind, record, trade};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// There is one journal in the process.
static JOURNAL: Mutex<()> = Mutex::new(());

const NAME: &str = "archive_00000.admf";
/// Sessions compress in turn; what a file decodes to is the same.
const COMPRESSIONS: [Compression; 2] = [Compression::None, Compression::Zstd];

/// Writes every container that is not committed, and seals; the first time only two of them.
fn session(folder: &Path, is_first: bool, compression: Compression) -> Result<()> {
    let known = committed(folder, samples::CONTAINERS)?;
    let known = known.first().copied().unwrap_or(0);
    let is_done = |container: u64| known >> container & 1 == 1;
    let options = ArchiveOptions {
        workers: 1,
        segment_bytes: 1024,
        delay: None,
        compression,
    };
    let manifest = samples::manifest("power");
    let writer = ArchiveWriter::start(folder, &manifest, &options, Box::new(|_, _| Ok(())))?;
    let handle = writer.handle();
    let receipts = Receipts::default();
    // The writer's own error is told by `close`.
    let sent = (|| {
        for batch_of in [&[0, 1][..], &[2, 3], &[4]] {
            if is_first && batch_of[0] > 0 {
                break;
            }
            let mut batch = handle.batch()?;
            for container in batch_of.iter().copied().filter(|one| !is_done(*one)) {
                let flush = |kind, frames: &[u8]| handle.flush(container, kind, frames, &receipts);
                let base = 100.0 * (container + 1) as f64;
                let (kept, failure) = match container {
                    0 => {
                        flush(ChunkKind::Trace, &trade(base, 1, 1))?;
                        flush(ChunkKind::Trace, &trade(base, 4, 2))?;
                        batch.frames.extend(trade(base, 7, 3));
                        batch.frames.extend(every_kind(10));
                        (26, None)
                    }
                    1 => {
                        let log = [close(base, 3, 1), close(base, 6, 2)].concat();
                        flush(ChunkKind::Trades, &log)?;
                        batch.frames.extend(trade(base, 10, 4));
                        (3, None)
                    }
                    2 => {
                        batch.frames.extend(trade(base, 1, 1));
                        (3, Some("equity was exhausted".to_owned()))
                    }
                    3 => (0, None),
                    _ => {
                        // Larger than a sector, so that one chunk can be torn in many ways.
                        for number in 0..30 {
                            flush(ChunkKind::Trace, &trade(base, 1 + 3 * number, 1))?;
                        }
                        (90, None)
                    }
                };
                let trades = if container == 1 { 2 } else { 0 };
                batch.push(record(base, container, kept, trades), failure);
            }
            handle.commit(batch, &receipts)?;
        }
        Ok(())
    })();
    drop(handle);
    writer.close().and(sent)
}

/// What a session asks of the file in this folder.
fn recorded(folder: &Path, is_first: bool, compression: Compression) -> Vec<Asked> {
    journal::start();
    let done = session(folder, is_first, compression);
    let asked = journal::take();
    done.expect("this disk is sound");
    asked
}

fn apply(image: &mut Vec<u8>, asked: &Asked) {
    match asked {
        Asked::Write(offset, bytes) => {
            let (from, to) = (*offset as usize, *offset as usize + bytes.len());
            image.resize(image.len().max(to), 0);
            image[from..to].copy_from_slice(bytes);
        }
        Asked::Length(length) => image.resize(*length as usize, 0),
        Asked::Sync => {}
    }
}

/// Reproducible random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// A disk that lost its power.
struct Disk {
    /// What was synced.
    synced: Vec<u8>,
    /// What there was then.
    now: Vec<u8>,
}

/// The file after its power was lost behind these requests.
fn lose(asked: &[Asked], sector: usize, random: &mut Random) -> Disk {
    let last_sync = asked.iter().rposition(|one| *one == Asked::Sync);
    let (before, since) = asked.split_at(last_sync.map_or(0, |at| at + 1));
    let mut synced = Vec::new();
    for one in before {
        apply(&mut synced, one);
    }
    let mut image = synced.clone();
    let mut lengths = vec![image.len()];
    // Every version of each sector that was written, oldest first.
    let mut versions: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    let content = |image: &[u8], number: usize| {
        let from = (number * sector).min(image.len());
        let to = (from + sector).min(image.len());
        let mut bytes = image[from..to].to_vec();
        bytes.resize(sector, 0);
        bytes
    };
    for one in since {
        let touched = match one {
            Asked::Write(offset, bytes) => {
                let offset = *offset as usize;
                offset / sector..(offset + bytes.len()).div_ceil(sector)
            }
            // What is cut away comes back as zeros.
            Asked::Length(length) => {
                let length = *length as usize;
                length / sector..image.len().max(length).div_ceil(sector)
            }
            Asked::Sync => 0..0,
        };
        for number in touched.clone() {
            let old = || vec![content(&synced, number)];
            versions.entry(number).or_insert_with(old);
        }
        apply(&mut image, one);
        lengths.push(image.len());
        for number in touched {
            let known = versions.get_mut(&number).expect("it was just there");
            known.push(content(&image, number));
        }
    }
    let mut now = synced.clone();
    let length = lengths[random.below(lengths.len())];
    now.resize(length, 0);
    // Few, half or most of the sectors are those that were written last.
    let newest = [10, 50, 90][random.below(3)];
    for (number, versions) in versions {
        let which = if random.below(100) < newest {
            versions.len() - 1
        } else {
            random.below(versions.len())
        };
        let from = number * sector;
        if from < length {
            let count = sector.min(length - from);
            now[from..from + count].copy_from_slice(&versions[which][..count]);
        }
    }
    Disk { synced, now }
}

#[derive(Default, Debug)]
struct Tally {
    losses_of_power: u64,
    containers_kept: u64,
    faults_named: u64,
    gone_on: u64,
    whole_after_that: u64,
    refused: u64,
}

/// Holds one damaged file against what was written.
fn examine(disk: &Disk, whole: &Content, folder: &Path, what: &str, tally: &mut Tally) {
    tally.losses_of_power += 1;
    check(&disk.now, whole, what);
    content::only_written_frames(&disk.now, whole, what);
    let found = Content::of(&disk.now);
    let synced = Content::of(&disk.synced);
    assert!(synced.is_part_of(&found), "{what}: what was synced is gone");
    tally.containers_kept += found.slots.len() as u64;
    let (faults, findings) = verified(&disk.now);
    tally.faults_named += findings.losses;
    if findings.sealed {
        // The seal is synced after everything else: where it is, all is.
        assert_eq!(findings.losses, 0, "{what}: {faults:?}");
    }
    // The writer goes on.
    std::fs::write(folder.join(NAME), &disk.now).expect("writable");
    match session(
        folder,
        false,
        COMPRESSIONS[tally.losses_of_power as usize % 2],
    ) {
        Ok(()) => {
            tally.gone_on += 1;
            let now = std::fs::read(folder.join(NAME)).expect("readable");
            check(&now, whole, what);
            let (faults, findings) = verified(&now);
            assert!(
                findings.sealed,
                "{what}: {faults:?}, before {:?}",
                verified(&disk.now)
            );
            let content = Content::of(&now);
            assert_eq!(content.slots, whole.slots, "{what}: a container is missing");
            if findings.losses == 0 {
                assert_eq!(content, *whole, "{what}: a loss has no name");
                tally.whole_after_that += 1;
            }
        }
        Err(Error::Damaged { path, .. }) if path.ends_with(NAME) => tally.refused += 1,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn whatever_a_loss_of_power_leaves_is_read_rightly_and_gone_on_from() {
    let each = std::env::var("ADMF_POWER").unwrap_or_else(|_| "1".to_owned());
    let each: u64 = each.parse().expect("ADMF_POWER is a number");
    let _alone = JOURNAL.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let path = folder.join(NAME);
    let first = recorded(folder, true, Compression::None);
    let last = recorded(folder, false, Compression::None);
    assert!(first.contains(&Asked::Sync) && last.contains(&Asked::Sync));
    let whole = Content::of(&std::fs::read(&path).expect("readable"));
    assert_eq!(
        (whole.slots.len(), whole.frames.len()),
        (5, 26 + 3 + 2 + 3 + 90)
    );
    let mut tally = Tally::default();
    // The first session is killed after any of its requests, and the second one goes on.
    for killed in 0..=first.len() {
        let mut image = Vec::new();
        for one in &first[..killed] {
            apply(&mut image, one);
        }
        std::fs::write(&path, image).expect("writable");
        let mut asked = first[..killed].to_vec();
        asked.extend(recorded(folder, false, COMPRESSIONS[killed % 2]));
        let from = if killed == first.len() { 0 } else { killed };
        for lost in from..=asked.len() {
            for draw in 0..each {
                let seed = (killed as u64) << 40 | (lost as u64) << 24 | draw;
                let mut random = Random(seed);
                let sector = [512, 4096][random.below(2)];
                let what = format!("killed {killed}, lost {lost}, draw {draw}, {sector}");
                let disk = lose(&asked[..lost], sector, &mut random);
                examine(&disk, &whole, folder, &what, &mut tally);
            }
        }
    }
    println!("{tally:#?}");
    assert!(tally.refused > 0 && tally.whole_after_that > 0 && tally.faults_named > 0);
}

#[test]
fn a_writer_that_does_not_sync_before_it_seals_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let mut asked = {
        let _alone = JOURNAL.lock().unwrap_or_else(PoisonError::into_inner);
        let first = recorded(folder, true, Compression::None);
        [first, recorded(folder, false, Compression::None)].concat()
    };
    let whole = Content::of(&std::fs::read(folder.join(NAME)).expect("readable"));
    // The last sync but one is what everything but the seal waits for.
    let syncs: Vec<usize> = (0..asked.len())
        .filter(|at| asked[*at] == Asked::Sync)
        .collect();
    asked.remove(syncs[syncs.len() - 2]);
    asked.pop();
    let is_found = (0..200).any(|seed| {
        let disk = lose(&asked, 512, &mut Random(seed));
        let (_, findings) = verified(&disk.now);
        findings.sealed && (findings.losses > 0 || Content::of(&disk.now) != whole)
    });
    assert!(is_found, "a seal that lies is never seen");
}

#[test]
fn a_file_that_lost_its_header_and_kept_its_slots_is_begun_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let _alone = JOURNAL.lock().unwrap_or_else(PoisonError::into_inner);
    session(folder, false, Compression::None).expect("this disk is sound");
    let path = folder.join(NAME);
    let whole = std::fs::read(&path).expect("readable");
    // Of the header, and of the manifest.
    for lost in [0..512, 4096..4608] {
        let mut bytes = whole.clone();
        bytes[lost.clone()].fill(0);
        std::fs::write(&path, bytes).expect("writable");
        session(folder, false, Compression::None).expect("this disk is sound");
        let now = std::fs::read(&path).expect("readable");
        assert!(now == whole, "without {lost:?} the file is another one");
    }
}
