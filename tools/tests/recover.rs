//! Recovery: a new file with everything that is intact, verified, the same bytes when repeated; the
//! file that was read stays as it is.

mod samples;

use admf::segment::FileKind;
use admf_tools::decode::What;
use admf_tools::fault::Severity;
use admf_tools::{decode, line, recover, verify};
use std::path::{Path, PathBuf};

fn lines(path: &Path, kind: FileKind) -> Vec<String> {
    let mut lines = Vec::new();
    decode::file(path, kind, What::Events, &|_, _| Ok(true), &mut |event| {
        lines.push(line::of(event).to_string());
        Ok(())
    })
    .expect("a recovered file is intact");
    lines
}

fn losses(path: &Path, kind: FileKind) -> u64 {
    verify::file(path, kind, &mut |_| {})
        .expect("readable")
        .losses
}

/// Recovers `bytes`, and what was recovered again; the recovered file.
fn recovered(folder: &Path, name: &str, kind: FileKind, bytes: &[u8]) -> PathBuf {
    let [damaged, first, second] =
        ["damaged", "first", "second"].map(|which| folder.join(format!("{name}_{which}")));
    for file in [&damaged, &first, &second] {
        let _ = std::fs::remove_file(file);
    }
    std::fs::write(&damaged, bytes).expect("writable");
    let changed = damaged
        .metadata()
        .and_then(|data| data.modified())
        .expect("a time");
    recover::file(&damaged, kind, &first).expect("header and manifest are whole");
    assert!(
        std::fs::read(&damaged).expect("readable") == bytes,
        "the damaged file was changed"
    );
    assert_eq!(
        damaged
            .metadata()
            .and_then(|data| data.modified())
            .expect("a time"),
        changed
    );
    assert_eq!(losses(&first, kind), 0);
    recover::file(&first, kind, &second).expect("a recovered file is whole");
    let [a, b] = [&first, &second].map(|file| std::fs::read(file).expect("readable"));
    assert!(a == b, "{name}: recovering again gives other bytes");
    assert!(
        recover::file(&damaged, kind, &first).is_err(),
        "an existing file was overwritten"
    );
    first
}

#[test]
fn a_damaged_archive_gives_everything_that_is_intact() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = samples::manifest("first");
    samples::first_half(folder.path(), &manifest, 100.0);
    samples::second_half(folder.path(), &manifest, 100.0);
    let path = folder.path().join("archive_00000.admf");
    let whole = std::fs::read(&path).expect("readable");
    let all = lines(&path, FileKind::Archive);
    let sound = recovered(folder.path(), "sound", FileKind::Archive, &whole);
    assert_eq!(lines(&sound, FileKind::Archive), all);

    // Wherever 16 bytes are gone, what is recovered is part of what was there, and what verify
    // found intact before is all of it.
    let header = admf_formats::archive::ArchiveHeader::decode(&whole).expect("a header");
    let slots = header.slots_offset() as usize..header.slot_offset(5) as usize;
    let chunks = header.chunks_offset() as usize..whole.len();
    let mut fewer = 0;
    for at in slots.step_by(400).chain(chunks.step_by(272)) {
        let mut damaged = whole.clone();
        let end = (at + 16).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        let file = recovered(folder.path(), "cut", FileKind::Archive, &damaged);
        let kept = lines(&file, FileKind::Archive);
        let is_part = |line: &String| {
            let sealed = line.replace(",\"unsealed\":true", "");
            all.iter().any(|other| *line == *other || sealed == *other)
        };
        assert!(kept.iter().all(is_part), "byte {at}");
        let mut lost = Vec::new();
        let findings = verify::archive(&path, damaged.as_slice(), &mut |fault| lost.push(fault))
            .expect("memory is readable");
        assert!(
            kept.len() as u64 >= findings.events + findings.unsealed_events,
            "byte {at}"
        );
        lost.retain(|fault| fault.severity == Severity::Loss);
        fewer += usize::from(kept.len() < all.len());
    }
    assert!(fewer > 3);
}

#[test]
fn links_behind_a_broken_one_are_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = samples::manifest("first");
    samples::first_half(folder.path(), &manifest, 100.0);
    let path = folder.path().join("archive_00000.admf");
    let mut bytes = std::fs::read(&path).expect("readable");
    let header = admf_formats::archive::ArchiveHeader::decode(&bytes).expect("a header");
    let all = lines(&path, FileKind::Archive);
    // The second chunk of container 0 holds sequences 4 to 6; its header is destroyed.
    let first = header.chunks_offset() as usize;
    let size = u32::from_le_bytes(
        bytes[first + 32..first + 36]
            .try_into()
            .expect("four bytes"),
    );
    bytes[first + 64 + size as usize] ^= 1;
    let file = recovered(folder.path(), "broken", FileKind::Archive, &bytes);
    let expected: Vec<&String> = all
        .iter()
        .filter(|line| {
            let is_lost = (4..=6).any(|id| line.contains(&format!("\"event_id\":{id},")));
            !(is_lost && line.contains("portfolio_001"))
        })
        .collect();
    assert_eq!(
        lines(&file, FileKind::Archive).iter().collect::<Vec<_>>(),
        expected
    );
    let told = std::fs::read(&file).expect("readable");
    let text = b"events within sequences 4 to 6\n";
    assert!(
        told.windows(text.len()).any(|window| window == text),
        "the loss is written down"
    );
}

#[test]
fn a_pool_keeps_what_can_be_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("worker_1.pool");
    samples::pool(&path, &samples::manifest("first"));
    let bytes = std::fs::read(&path).expect("readable");
    let file = recovered(folder.path(), "pool", FileKind::Pool, &bytes);
    assert_eq!(lines(&file, FileKind::Pool), lines(&path, FileKind::Pool));
    let header = admf_formats::segment::PoolHeader::decode(&bytes).expect("a header");
    let mut damaged = bytes.clone();
    damaged[header.segment_offset(0) + 4] ^= 0x7f;
    let file = recovered(folder.path(), "torn", FileKind::Pool, &damaged);
    assert!(lines(&file, FileKind::Pool).len() < lines(&path, FileKind::Pool).len());
}
