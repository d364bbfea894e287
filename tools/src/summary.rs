//! The JSON of every finished container, made from the archive.
//!
//! Where the whole trace was kept, every metric is computed anew from the events and the bars file
//! that the manifest names; otherwise it is taken from the result record.

use crate::Output;
use admf::market::BarsFile;
use admf::metrics::{EquityPath, Recomputation};
use admf::segment::{ArchiveReader, FileKind};
use admf::{Error, Result};
use admf_formats::archive::{ChunkKind, Slot};
use admf_formats::report::{ContainerReport, to_json_bytes};
use admf_formats::result::ResultRecord;
use admf_tools::files;
use std::path::{Path, PathBuf};

pub(crate) fn write(path: &Path, folder: Option<&Path>, out: &mut Output<'_>) -> Result<()> {
    for (path, kind) in files::list(path)? {
        if kind != FileKind::Archive {
            continue;
        }
        let archive = ArchiveReader::open(&path)?;
        let context = archive.manifest.report_context();
        let bars = open_bars(&archive, &path)?;
        for index in archive.containers() {
            let Some(slot) = archive.slot(index)? else {
                continue;
            };
            let record = recomputed(&archive, &slot, &bars)?;
            let report = ContainerReport::of(&record, &context, archive.failure(&slot)?.as_deref());
            match folder {
                Some(folder) => {
                    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
                    let file = folder.join(format!("{}_results.json", report.container));
                    std::fs::write(&file, to_json_bytes(&report))
                        .map_err(Error::io("write", &file))?;
                }
                None => out.line(&report)?,
            }
        }
    }
    Ok(())
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

/// The record with its totals computed anew where every event of the container was kept.
fn recomputed(
    archive: &ArchiveReader,
    slot: &Slot,
    bars: &[Option<BarsFile>],
) -> Result<ResultRecord> {
    let mut record = slot.record;
    let is_whole = record.is_completed() && record.ledger.retained == record.events && record.events > 0
            // A recovery may have lost some of them.
            && slot.last_chunk[ChunkKind::Loss as usize - 1] == 0
            // Trades that a condition kept stand before the rest, not in order of telling.
            && slot.last_chunk[ChunkKind::Kept as usize - 1] == 0;
    let symbol = &archive.manifest.symbols[record.symbol as usize];
    let (true, Some(bars)) = (is_whole, &bars[record.symbol as usize]) else {
        return Ok(record);
    };
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
