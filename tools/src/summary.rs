//! The JSON of every finished container, made from the archive.
//!
//! Where the whole trace was kept, every metric is computed anew from the events and the bars file
//! that the manifest names, and must come to what the result record says; otherwise it is taken from
//! the record alone. How many there were of each, and why, is told on standard error.

use crate::Output;
use admf::market::BarsFile;
use admf::metrics::{EquityPath, Recomputation};
use admf::segment::{ArchiveReader, FileKind};
use admf::{Error, Result};
use admf_formats::archive::{ChunkKind, Slot};
use admf_formats::report::{ContainerReport, to_json_bytes};
use admf_formats::result::ResultRecord;
use admf_tools::files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) fn write(path: &Path, folder: Option<&Path>, out: &mut Output<'_>) -> Result<()> {
    for (path, kind) in files::list(path)? {
        if kind != FileKind::Archive {
            continue;
        }
        let archive = ArchiveReader::open(&path)?;
        let context = archive.manifest.report_context();
        let bars = open_bars(&archive, &path)?;
        let mut recomputed: u64 = 0;
        let mut from_record: BTreeMap<&'static str, u64> = BTreeMap::new();
        for index in archive.containers() {
            let Some(slot) = archive.slot(index)? else {
                continue;
            };
            let failure = archive.failure(&slot)?;
            let report = ContainerReport::of(&slot.record, &context, failure.as_deref());
            let bytes = to_json_bytes(&report);
            match why_not(&slot, &bars) {
                Some(reason) => *from_record.entry(reason).or_default() += 1,
                None => {
                    let record = recompute(&archive, &slot, &bars)?;
                    let anew = ContainerReport::of(&record, &context, failure.as_deref());
                    if to_json_bytes(&anew) != bytes {
                        return Err(differs(&path, &report, &anew));
                    }
                    recomputed += 1;
                }
            }
            match folder {
                Some(folder) => {
                    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
                    let file = folder.join(format!("{}_results.json", report.container));
                    std::fs::write(&file, bytes).map_err(Error::io("write", &file))?;
                }
                None => out.line(&report)?,
            }
        }
        eprintln!("{}", note(&path, recomputed, &from_record));
    }
    Ok(())
}

/// Where the figures of an archive's containers come from.
fn note(path: &Path, recomputed: u64, from_record: &BTreeMap<&'static str, u64>) -> String {
    let mut text = format!(
        "note: {}: {recomputed} containers recomputed from their events",
        path.display()
    );
    for (reason, count) in from_record {
        text += &format!(", {count} told from their result records ({reason})");
    }
    text
}

/// The error of a container whose events come to something else than its record.
fn differs(path: &Path, report: &ContainerReport, anew: &ContainerReport) -> Error {
    let [record, events] = [report, anew].map(|report| {
        let value = serde_json::to_value(report).expect("our values are JSON");
        match value {
            serde_json::Value::Object(map) => map,
            _ => serde_json::Map::new(),
        }
    });
    let parts: Vec<&str> = record
        .iter()
        .filter(|(key, value)| events.get(*key) != Some(*value))
        .map(|(key, _)| key.as_str())
        .collect();
    Error::Results {
        path: path.to_path_buf(),
        message: format!(
            "{}: its events come to other figures than its result record ({}): the archive is of \
             another version of the program, or damaged in a way that no checksum shows; run it \
             again with --fresh",
            report.container,
            parts.join(", ")
        ),
    }
}

/// Bars by symbol; none where a file is not there or is another one.
fn open_bars(archive: &ArchiveReader, path: &Path) -> Result<Vec<Option<BarsFile>>> {
    let open = |name: &str, digest: &str| {
        let given = PathBuf::from(name);
        // A results tree that was moved has its bars in the same place relative to it.
        let moved = given.file_name().and_then(|file| {
            path.ancestors()
                .map(|folder| folder.join(".bars").join(file))
                .find(|candidate| candidate.is_file())
        });
        let found = if given.is_file() { Some(given) } else { moved }?;
        BarsFile::open(&found)
            .ok()
            .filter(|bars| bars.digest() == digest)
    };
    Ok(archive
        .manifest
        .symbols
        .iter()
        .map(|symbol| open(&symbol.bars_file, &symbol.bars_digest))
        .collect())
}

/// Why the figures of a container cannot be computed anew; none where they can.
fn why_not(slot: &Slot, bars: &[Option<BarsFile>]) -> Option<&'static str> {
    let record = &slot.record;
    let has = |kind: ChunkKind| slot.last_chunk[kind as usize - 1] != 0;
    if !record.is_completed() {
        return Some("they failed");
    }
    if has(ChunkKind::Loss) {
        return Some("a recovery could not save all of their events");
    }
    // Where trades are kept apart, what belongs to no trade is not kept, such as its first event.
    if has(ChunkKind::Kept) {
        return Some("only events of kept trades are there: `trace.keep`");
    }
    if record.ledger.retained != record.events || record.events == 0 {
        return Some("not all of their events were traced and kept");
    }
    if bars[record.symbol as usize].is_none() {
        return Some("the bars file that the archive names is not there, or is another one");
    }
    None
}

/// The record with its totals computed anew from all events of the container.
fn recompute(
    archive: &ArchiveReader,
    slot: &Slot,
    bars: &[Option<BarsFile>],
) -> Result<ResultRecord> {
    let mut record = slot.record;
    let symbol = &archive.manifest.symbols[record.symbol as usize];
    let bars = bars[record.symbol as usize]
        .as_ref()
        .expect("looked for before");
    let path = if archive.manifest.all_in {
        EquityPath::AllIn
    } else {
        EquityPath::PerBar
    };
    let capital = archive.manifest.initial_capital;
    let mut folds = Recomputation::new(bars, path, capital, symbol.first_bar, symbol.end_bar)?;
    archive.frames(slot, ChunkKind::Trace, |frame| {
        folds.event(&frame.stamp, &frame.payload)
    })?;
    folds.finish()?.put_into(&mut record);
    Ok(record)
}
