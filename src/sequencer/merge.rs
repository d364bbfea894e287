//! One phase of a run that was split into shards, put together again.
//!
//! The data is not needed: what the aggregate and the summary say comes from the shards' records
//! and from what their own summaries say of the window and the settings.

use super::ContainerResults;
use crate::results::{Aggregator, FoldRoom, PhaseDir};
use crate::segment::{ArchiveReader, ArchiveRecords, ShardArchives, merge_archives};
use crate::sweep::Shard;
use crate::{Error, Result};
use admf_formats::manifest::Manifest;
use admf_formats::report::{
    AggregateReport, ContainerReport, PhaseConfig, PhaseSummary, SymbolWindow,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Rows of the table that percentiles are found with; beyond it records are read twice.
const TABLE_ROWS: u64 = 8192;

/// What every shard's summary says alike.
#[derive(Deserialize)]
struct SharedSummary {
    window: Vec<SymbolWindow>,
    config: PhaseConfig,
}

/// Merges the phase folders of all shards, in order of shard, into `out`.
///
/// Errors: [`Error::Results`] where a container is missing, belongs to another shard, or a folder
/// is not that of a finished phase.
pub fn merge_phase(shards: &[(Shard, PhaseDir)], out: &PhaseDir) -> Result<AggregateReport> {
    let manifest = first_manifest(shards)?;
    let shared = shared_summary(&shards[0].1.summary())?;
    let archives: Vec<ShardArchives> = shards
        .iter()
        .map(|(shard, folder)| ShardArchives {
            folder: folder.traces(),
            containers: shard.range(manifest.containers),
        })
        .collect();
    out.create()?;
    let context = manifest.report_context();
    let mut aggregator = Aggregator::new(context.clone(), shared.config.top_n)
        .with_percentiles(&shared.config.percentiles);
    let has_json = ContainerResults::by_name(&shared.config.container_results)
        .is_some_and(|results| results.writes_json(manifest.containers));
    merge_archives(&archives, &manifest, &out.traces(), |slot, failure| {
        if has_json {
            out.write_container(&ContainerReport::of(&slot.record, &context, failure))?;
        }
        Ok(())
    })?;
    let room = FoldRoom {
        threads: 1,
        rows: TABLE_ROWS,
    };
    aggregator.fold(&ArchiveRecords(&out.traces()), 0..manifest.containers, room)?;
    let aggregate = aggregator.report();
    let summary = PhaseSummary {
        not_run: None,
        phase: manifest.phase,
        containers: manifest.containers,
        failed: aggregate.failed,
        window: shared.window,
        metrics_summary: aggregator.metrics(),
        config: shared.config,
    };
    out.write_reports(&aggregate, &summary)?.publish()?;
    Ok(aggregate)
}

/// The manifest of the first archive there is: a shard may be empty, all of them cannot.
fn first_manifest(shards: &[(Shard, PhaseDir)]) -> Result<Manifest> {
    for (_, folder) in shards {
        if let Some(path) = first_archive(&folder.traces())? {
            return Ok(ArchiveReader::open(&path)?.manifest);
        }
    }
    let path = shards.first().map(|(_, folder)| folder.traces());
    Err(Error::Results {
        path: path.unwrap_or_default(),
        message: "there is no archive in any shard; run the shards with results_storage: disk"
            .to_owned(),
    })
}

fn first_archive(traces: &Path) -> Result<Option<PathBuf>> {
    let listed = match std::fs::read_dir(traces) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("list", traces)(error)),
    };
    let mut first: Option<PathBuf> = None;
    for entry in listed {
        let path = entry.map_err(Error::io("list", traces))?.path();
        let is_archive = path.extension().is_some_and(|ending| ending == "admf");
        if is_archive && first.as_ref().is_none_or(|known| path < *known) {
            first = Some(path);
        }
    }
    Ok(first)
}

fn shared_summary(path: &Path) -> Result<SharedSummary> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Results {
        path: path.to_path_buf(),
        message: format!("this is no summary of a phase of this version of admf: {error}"),
    })
}
