//! `replay`: one container of a finished run again, with everything kept.

use super::earlier::EarlierRun;
use super::run::remove_pools;
use super::{show, success};
use crate::results::RunDir;
use crate::segment::retention::RetentionPolicy;
use crate::sequencer::{Candidates, ContainerResults, ResultsStorage, plan_phase_on, run_phase};
use crate::{Error, Result};
use admf_formats::event::EventSet;
use admf_formats::report::{ContainerReport, to_json_bytes};
use admf_formats::result::ResultRecord;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the container into a folder of its own and prints its result.
pub(super) fn replay(
    results: &Path,
    container: &str,
    phase: Option<&str>,
    window: Option<u64>,
    policy: &str,
    out: Option<PathBuf>,
    json: bool,
) -> Result<ExitCode> {
    let run = EarlierRun::open(results)?;
    let target = out.unwrap_or_else(|| results.join("replay"));
    std::fs::create_dir_all(&target).map_err(Error::io("create", &target))?;
    let settings = run.prepared.settings(target.join("pools"))?;
    let place = run.place(&settings, phase, window, container)?;
    let (source, folder) = (run.phase(&place), run.window(&place));
    let name = &source.name;
    let mut single = source.clone();
    single.candidates = Candidates::BestOf {
        phase: name.clone(),
        count: 1,
    };
    single.objective.constraints.clear();
    single.container_traces.clear();
    single.results_storage = ResultsStorage::Disk;
    single.container_results = ContainerResults::Archive;
    single.container.trace.policy = match policy {
        "full" | "all" => RetentionPolicy::Full,
        "trade_complete" => RetentionPolicy::TradeComplete,
        "minimal" => RetentionPolicy::Minimal,
        "sliding_window" => RetentionPolicy::SlidingWindow { events: 1000 },
        _ => {
            return Err(Error::Usage {
                message: format!(
                    "--policy {policy}: full, trade_complete, sliding_window or minimal was expected"
                ),
            });
        }
    };
    single.container.trace.events = EventSet::ALL;
    single.container.trace.store_trades = true;
    let label = match folder {
        "" => name.clone(),
        folder => format!("{name}_{}", folder.replace('/', "_")),
    };
    let id = run.container(&place);
    let directory = RunDir::replay_folder(&target, &format!("{label}_{id}"))?;
    let pieces = run.pieces(&place);
    if pieces.len() > 1 {
        return Err(Error::Usage {
            message: format!(
                "phase {name} of {folder} trains on two pieces of the data; such a container cannot be replayed, \
                 decode what its parts kept with admf-tools"
            ),
        });
    }
    let planned = plan_phase_on(&settings, &single, &[place.record], pieces[0], 0)?;
    let outcome = run_phase(&planned, &directory)?;
    remove_pools(&settings.pools)?;
    let replayed = outcome
        .best
        .first()
        .copied()
        .ok_or_else(|| Error::Results {
            path: directory.path().to_path_buf(),
            message: "the container failed again; its result says why".to_owned(),
        })?;
    let context = planned.report_context(name, place.count);
    let index = place.index;
    let report = ContainerReport::of(&ResultRecord { index, ..replayed }, &context, None);
    if json {
        print!("{}", String::from_utf8_lossy(&to_json_bytes(&report)));
    } else {
        show::outcome(&outcome, directory.path());
    }
    success()
}
