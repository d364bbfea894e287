//! What a damaged archive still says, held against what was written.
#![allow(dead_code, reason = "every test uses what it needs")]

use crate::samples;
use admf::segment::ArchiveReader;
use admf_formats::archive::ChunkKind;
use admf_formats::report::container_id;
use admf_tools::archive::{Archive, SealPlace};
use admf_tools::decode::{self, What};
use admf_tools::fault::{Fault, Findings, Severity};
use admf_tools::verify;
use std::collections::BTreeMap;
use std::path::Path;

/// Committed content: slots by container, frames by container, kind and sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) slots: BTreeMap<u64, String>,
    pub(crate) frames: BTreeMap<(u64, ChunkKind, u64), String>,
}

impl Content {
    /// What can be read of a file in memory; a chain ends where it is damaged.
    pub(crate) fn of(bytes: &[u8]) -> Content {
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
            for kind in [ChunkKind::Trace, ChunkKind::Trades, ChunkKind::Kept] {
                let mut at = slot.last_chunk[kind as usize - 1];
                while let Some(chunk) = archive.link(index, kind, at).expect("readable") {
                    if archive.payload(&chunk, &mut payload).expect("readable")
                        && chunk.unpack(&mut payload)
                    {
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
    pub(crate) fn is_part_of(&self, whole: &Content) -> bool {
        self.slots
            .iter()
            .all(|(key, value)| whole.slots.get(key) == Some(value))
            && self
                .frames
                .iter()
                .all(|(key, value)| whole.frames.get(key) == Some(value))
    }

    /// What the engine's own reader says of a file, until it refuses.
    pub(crate) fn read(path: &Path) -> Content {
        let mut content = Content::default();
        let Ok(reader) = ArchiveReader::open(path) else {
            return content;
        };
        for index in reader.containers() {
            let Ok(Some(slot)) = reader.slot(index) else {
                continue;
            };
            content.slots.insert(index, format!("{:?}", slot.record));
            for kind in [ChunkKind::Trace, ChunkKind::Trades, ChunkKind::Kept] {
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

pub(crate) fn verified(bytes: &[u8]) -> (Vec<Fault>, Findings) {
    let mut faults = Vec::new();
    let findings = verify::archive(Path::new("a.admf"), bytes, &mut |fault| faults.push(fault));
    (faults, findings.expect("memory is readable"))
}

/// Whether the seal says that the container was committed.
fn is_sealed(bytes: &[u8], container: u64) -> bool {
    let archive = Archive::open(bytes).expect("memory is readable");
    let seal = archive.map(|archive| archive.seal().expect("memory is readable"));
    matches!(seal, Ok(SealPlace::Sealed(seal)) if seal.has(container))
}

/// What verify says of a damaged file agrees with what can still be read of it. Gives what it says.
pub(crate) fn check(damaged: &[u8], whole: &Content, what: &str) -> (Vec<Fault>, Findings) {
    let content = Content::of(damaged);
    assert!(
        content.is_part_of(whole),
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
        return (faults, findings);
    }
    let named = |container: u64| {
        let id = container_id(container, samples::CONTAINERS);
        losses
            .iter()
            .filter(move |fault| fault.container.as_deref() == Some(&id))
    };
    for container in whole.slots.keys() {
        if content.slots.contains_key(container) {
            // A committed container has all of its events, or the missing ones are named.
            for (whose, _, sequence) in whole
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
        } else if findings.sealed && is_sealed(damaged, *container) {
            assert!(
                named(*container).count() > 0,
                "{what}: container {container} is not named"
            );
        }
    }
    (faults, findings)
}

/// Every frame that is decoded, sealed or not, was written like that.
pub(crate) fn only_written_frames(damaged: &[u8], whole: &Content, what: &str) {
    let Ok(archive) = Archive::open(damaged).expect("memory is readable") else {
        return;
    };
    let mut check = |event: &decode::Event<'_>| {
        let key = (
            event.container,
            ChunkKind::Trace,
            event.frame.stamp.sequence,
        );
        let (told, written) = (format!("{:?}", event.frame), whole.frames.get(&key));
        assert!(written == Some(&told), "{what}: {told} was never written");
        Ok(())
    };
    // It stops at the first damage, or goes on to the end.
    let _ = decode::archive(
        Path::new("a.admf"),
        &archive,
        What::Events,
        &|_, _| Ok(true),
        &mut check,
    );
}
