//! `merge`: the shards of a run become the results tree of the whole run.

use super::success;
use crate::results::{Existing, PhaseDir, RunDir, RunPlan};
use crate::sequencer::{Candidates, merge_phase};
use crate::sweep::{SHARDS_MAX, Shard};
use crate::{Error, Result, workflow};
use admf_formats::report::{RunReport, RunStatus};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A finished shard.
struct Part {
    folder: PathBuf,
    run: RunReport,
    shard: Shard,
}

/// Merges the shards into `out`, which becomes the directory of the whole run.
pub(super) fn merge(
    folders: &[PathBuf],
    out: &Path,
    fresh: bool,
    quiet: bool,
    json: bool,
) -> Result<ExitCode> {
    let mut parts = folders
        .iter()
        .map(|folder| part(folder))
        .collect::<Result<Vec<Part>>>()?;
    parts.sort_by_key(|part| part.shard.number());
    check_parts(&parts)?;
    let first = &parts[0].run;
    let phases = workflow::from_settings(&first.config, &parts[0].folder.join("run.json"))?.phases;
    let (own, rest): (Vec<_>, Vec<_>) = phases
        .iter()
        .partition(|phase| phase.candidates == Candidates::Space);
    let results_dir = first.config["results_dir"].as_str().unwrap_or_default();
    if let Some(next) = rest.first()
        && !out.ends_with(results_dir)
    {
        return Err(Error::Usage {
            message: format!(
                "--out {}: phase {} is still to be run from the merged results, and `admf run` \
                 looks for them in results_dir; give a folder that ends in {results_dir}",
                out.display(),
                next.name
            ),
        });
    }
    let (root, name) = root_and_name(out)?;
    std::fs::create_dir_all(&root).map_err(Error::io("create", &root))?;
    let plan = RunPlan {
        workflow: first.workflow.clone(),
        config: first.config.clone(),
        data: first.data.clone(),
        phases: first.phases.clone(),
        shard: None,
        threads: first.threads,
        memory_budget: first.memory_budget,
    };
    let (directory, existing) = RunDir::open(&root, &name, plan, fresh)?;
    match existing {
        Existing::None => {}
        Existing::Finished => {
            if !quiet && !json {
                println!(
                    "{}: this run is finished; nothing to do (--fresh merges it again)",
                    out.display()
                );
            }
            return success();
        }
        Existing::Resume => {
            return Err(Error::Results {
                path: out.to_path_buf(),
                message: "the directory holds an unfinished run; choose another --out, or --fresh \
                          to remove it and merge anew"
                    .to_owned(),
            });
        }
    }
    for phase in own {
        let folders: Vec<(Shard, PhaseDir)> = parts
            .iter()
            .map(|part| (part.shard, PhaseDir::new(part.folder.join(&phase.name))))
            .collect();
        let aggregate = merge_phase(&folders, &directory.phase(&phase.name, None))?;
        if !quiet && !json {
            println!(
                "phase {}: {} containers of {} shards, {} failed, {} trades",
                phase.name,
                aggregate.containers,
                parts.len(),
                aggregate.failed,
                aggregate.total_trades
            );
        }
    }
    let status = if rest.is_empty() {
        RunStatus::Finished
    } else {
        RunStatus::Interrupted
    };
    directory.close(status)?;
    let waiting: Vec<&str> = rest.iter().map(|phase| phase.name.as_str()).collect();
    if json {
        let value = serde_json::json!({
            "results": out, "shards": parts.len(), "phases_to_run": waiting,
        });
        println!("{value}");
    } else if !quiet {
        println!("results: {}", out.display());
        if !waiting.is_empty() {
            println!(
                "still to be run: {}; `admf run FILE` goes on from here",
                waiting.join(", ")
            );
        }
    }
    success()
}

fn part(folder: &Path) -> Result<Part> {
    let file = folder.join("run.json");
    let wrong = |message: String| Error::Results {
        path: file.clone(),
        message,
    };
    let bytes = std::fs::read(&file).map_err(Error::io("read", &file))?;
    let run: RunReport = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("not a run of this version of admf: {error}")))?;
    let shard = run.shard.ok_or_else(|| {
        wrong("this is no shard; shards are made by `admf run FILE --shard i/n`".to_owned())
    })?;
    if run.status != RunStatus::Finished {
        return Err(wrong(format!(
            "shard {}/{} is not finished; run it again, it goes on where it stood",
            shard.number, shard.count
        )));
    }
    let shard = Shard::new(shard.number, shard.count).map_err(wrong)?;
    Ok(Part {
        folder: folder.to_path_buf(),
        run,
        shard,
    })
}

/// Whether these are all shards of one run, each once; `parts` is in order of their number.
fn check_parts(parts: &[Part]) -> Result<()> {
    let Some(first) = parts.first() else {
        return Err(Error::Usage {
            message: "no shard is given".to_owned(),
        });
    };
    let refuse = |part: &Part, message: String| {
        Err(Error::Results {
            path: part.folder.clone(),
            message,
        })
    };
    for part in parts {
        let (run, known) = (&part.run, &first.run);
        let name = first.folder.display();
        if run.admf != known.admf {
            let message = format!(
                "made by admf {}, but {name} by {}; run all shards with one version",
                run.admf, known.admf
            );
            return refuse(part, message);
        }
        if run.config_digest != known.config_digest {
            let message = format!("a shard of another configuration than {name}");
            return refuse(part, message);
        }
        let digests = |run: &RunReport| -> Vec<(String, String)> {
            let each = run.data.iter();
            each.map(|data| (data.symbol.clone(), data.digest.clone()))
                .collect()
        };
        if digests(run) != digests(known) {
            return refuse(part, format!("a shard over other data than {name}"));
        }
        if part.shard.count() != first.shard.count() {
            let message = format!(
                "shard {}, but {name} is shard {}; all must be of one split",
                part.shard, first.shard
            );
            return refuse(part, message);
        }
    }
    if let Some([one, other]) = parts
        .array_windows::<2>()
        .find(|[one, other]| one.shard == other.shard)
    {
        let message = format!(
            "shard {} again; {} is it too",
            other.shard,
            one.folder.display()
        );
        return refuse(other, message);
    }
    let is_there = |number: u64| {
        parts
            .binary_search_by_key(&number, |part| part.shard.number())
            .is_ok()
    };
    let count = first.shard.count().min(SHARDS_MAX);
    let missing: Vec<String> = (1..=count)
        .filter(|number| !is_there(*number))
        .map(|number| format!("{number}/{count}"))
        .collect();
    if !missing.is_empty() {
        return Err(Error::Usage {
            message: format!("shards are missing: {}", missing.join(", ")),
        });
    }
    Ok(())
}

/// A results directory as root and name below it.
fn root_and_name(out: &Path) -> Result<(PathBuf, String)> {
    let name = out.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::Usage {
        message: format!("--out {}: the path of a folder was expected", out.display()),
    })?;
    let root = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok((root, name.to_owned()))
}
