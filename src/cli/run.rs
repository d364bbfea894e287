//! `run` and `plan`: the outline of the program.

use super::{RunArguments, progress, show, success};
use crate::container::Span;
use crate::market::{ImportMemory, open_or_import};
use crate::plan::{self, Start};
use crate::results::{Existing, PhaseDir, RunDir, RunPlan};
use crate::sequencer::{
    Candidates, Drive, Outcome, Phase, PhaseRun, ResultsStorage, RunSettings, Symbol, WindowBars,
    run_phase, windows,
};
use crate::sweep::Shard;
use crate::workflow::{self, Workflow};
use crate::{Error, Result, strategy};
use admf_formats::report::{RunData, RunShard, RunStatus, to_json_bytes};
use admf_formats::result::ResultRecord;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// Folder of imported bars, under the results root.
pub(super) use crate::market::BARS_CACHE;
/// A year, for bars per year.
const YEAR_NS: f64 = 365.25 * 86_400e9;

fn load(arguments: &RunArguments) -> Result<Workflow> {
    let mut workflow = workflow::load(&arguments.file)?;
    if let Some(text) = &arguments.memory_budget {
        let size = text
            .parse::<bytesize::ByteSize>()
            .map_err(|_| Error::Usage {
                message: format!("--memory-budget {text}: a size such as 64MiB was expected"),
            })?;
        workflow.memory_budget = size.as_u64();
    }
    if let Some(shard) = arguments.shard {
        check_shard(&workflow)?;
        let name = format!(".shard_{}_of_{}", shard.number(), shard.count());
        workflow.results_dir.push_str(&name);
    }
    Ok(workflow)
}

/// Refuses to split what cannot be merged.
fn check_shard(workflow: &Workflow) -> Result<()> {
    if workflow.sequence.has_windows() {
        return Err(Error::Usage {
            message: format!(
                "--shard: {} has windows, whose training must be whole before it is tested; run it on one machine",
                workflow.name
            ),
        });
    }
    if workflow.sequence.paths().is_some()
        || workflow.phases.iter().any(|phase| !phase.gate.is_empty())
    {
        return Err(Error::Usage {
            message: "--shard: paths and gates need the results of all containers; run it on one machine, or leave `monte_carlo` and `gates` out".to_owned(),
        });
    }
    let own = |phase: &&Phase| phase.candidates == Candidates::Space;
    match workflow
        .phases
        .iter()
        .filter(own)
        .find(|phase| phase.results_storage == ResultsStorage::Memory)
    {
        Some(phase) => Err(Error::Usage {
            message: format!(
                "--shard: phase {} keeps its results in memory, so there is nothing to merge; set results_storage: disk",
                phase.name
            ),
        }),
        None => Ok(()),
    }
}

/// The symbols, and what it took to read the workflow and to import those that had to be.
///
/// Errors: [`Error::Plan`] where an import does not fit, before it begins.
fn open_symbols(workflow: &Workflow, root: &Path) -> Result<(Vec<Symbol>, Start)> {
    let data = &workflow.data;
    let budget = workflow.memory_budget;
    let mut start = read_start(workflow)?;
    let open = |symbol: &crate::sequencer::SymbolData| {
        let bars = open_or_import(
            &symbol.path,
            &root.join(BARS_CACHE),
            &data.import,
            &mut |text| eprintln!("note: {text}"),
            &mut |memory| admit(&mut start, &symbol.path, memory, budget),
        )?;
        let first = data
            .start
            .map_or(Ok(0), |start| bars.bar_at_or_after(start))?;
        let end = data
            .end
            .map_or(Ok(bars.bars()), |end| bars.bar_at_or_after(end))?;
        let bars_per_year = data.bars_per_year.unwrap_or_else(|| {
            let span = (bars.last_ts() - bars.first_ts()) as f64;
            (bars.bars() as f64 - 1.0) * YEAR_NS / span
        });
        Ok(Symbol {
            symbol: symbol.symbol.clone(),
            bars,
            data: Span {
                first,
                end: end.max(first),
            },
            bars_per_year,
        })
    };
    let symbols = data.symbols.iter().map(open).collect::<Result<_>>()?;
    Ok((symbols, start))
}

/// What reading the workflow took.
///
/// Errors: it was more than its memory budget.
fn read_start(workflow: &Workflow) -> Result<Start> {
    let values = count_values(&workflow.settings);
    let start = Start::of_workflow(values);
    if !plan::exceeds(start.peak, workflow.memory_budget) {
        return Ok(start);
    }
    Err(Error::Plan {
        message: format!(
            "reading a workflow of {values} values needs {}, memory_budget is {}; raise memory_budget \
             to at least {}, or write lists as ranges: {{min, max, step}}",
            plan::show(start.peak),
            plan::show(workflow.memory_budget),
            plan::show_at_least(start.peak)
        ),
    })
}

fn count_values(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Array(items) => items.iter().map(count_values).sum(),
        serde_json::Value::Object(map) => map.values().map(count_values).sum(),
        _ => 1,
    }
}

/// Adds an import to what comes before the phases.
///
/// Errors: it is more than the memory budget.
fn admit(start: &mut Start, source: &Path, memory: &ImportMemory, budget: u64) -> Result<()> {
    let peak = start.import(memory.bytes);
    if !plan::exceeds(peak, budget) {
        return Ok(());
    }
    Err(Error::Plan {
        message: format!(
            "{}: importing it needs {} ({} for {}), memory_budget is {}; raise memory_budget to at \
             least {}, or import it before with `admf import` and give the bars file as its path",
            source.display(),
            plan::show(peak),
            plan::show(memory.bytes),
            memory.what,
            plan::show(budget),
            plan::show_at_least(peak)
        ),
    })
}

fn threads(wanted: Option<usize>) -> Result<u64> {
    match wanted {
        Some(0) => Err(Error::Usage {
            message: "--threads 0: 1 or more was expected".to_owned(),
        }),
        Some(threads) => Ok(threads as u64),
        None => Ok(std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)),
    }
}

/// What the phases hand over before they ran: the first sets of the space stand for the best.
fn stand_ins(workflow: &Workflow, phase: &Phase) -> Vec<ResultRecord> {
    let Candidates::BestOf { count, .. } = &phase.candidates else {
        return Vec::new();
    };
    let sets = workflow.space.len() * workflow.data.symbols.len() as u64;
    (0..sets.min(*count))
        .map(|_| placeholder(workflow.space.values(0)))
        .collect()
}

/// A record of a container that did not run: its parameters, and nothing else.
pub(super) fn placeholder(parameters: [f64; admf_formats::units::PARAMETERS_MAX]) -> ResultRecord {
    ResultRecord {
        index: 0,
        first_bar: 0,
        events: 0,
        first_ts_ns: 0,
        last_ts_ns: 0,
        status: 0,
        symbol: 0,
        parameters,
        equity: Default::default(),
        trades: Default::default(),
        execution: Default::default(),
        ledger: Default::default(),
    }
}

/// SIGINT and SIGTERM set the flag; the run ends with what is finished kept.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(Error::io("listen to", Path::new("signals")))?;
    }
    Ok(stop)
}

/// Everything that is needed before a phase.
pub(super) struct Prepared {
    pub(super) workflow: Workflow,
    pub(super) symbols: Vec<Symbol>,
    start: Start,
    pub(super) windows: Vec<WindowBars>,
    threads: u64,
    shard: Option<Shard>,
    pub(super) stop: Arc<AtomicBool>,
    finished: AtomicU64,
    checkpoint_every: Option<Duration>,
}

impl Prepared {
    pub(super) fn new(
        workflow: Workflow,
        root: &Path,
        wanted: Option<usize>,
        shard: Option<Shard>,
    ) -> Result<Prepared> {
        let (symbols, start) = open_symbols(&workflow, root)?;
        let data = &workflow.data;
        let windows = windows(
            &workflow.sequence,
            &symbols,
            (data.start, data.end),
            &data.import.timezone,
        )?;
        Ok(Prepared {
            symbols,
            start,
            windows,
            threads: threads(wanted)?,
            shard,
            stop: stop_flag()?,
            finished: AtomicU64::new(0),
            checkpoint_every: None,
            workflow,
        })
    }

    pub(super) fn settings(&self, pools: PathBuf) -> Result<RunSettings<'_>> {
        Ok(RunSettings {
            workflow: &self.workflow.name,
            strategy: strategy::by_name(&self.workflow.strategy).ok_or_else(|| Error::Usage {
                message: format!("strategy `{}` is unknown", self.workflow.strategy),
            })?,
            space: &self.workflow.space,
            symbols: &self.symbols,
            settings: &self.workflow.settings,
            budget: self.workflow.memory_budget,
            start: self.start,
            threads: self.threads,
            pools,
            stop: &self.stop,
            finished: &self.finished,
            shard: self.shard,
            checkpoint_every: self.checkpoint_every,
            tell: &|text| eprintln!("note: {text}"),
        })
    }

    fn drive<'a>(&'a self, settings: &'a RunSettings<'a>) -> Drive<'a> {
        Drive {
            settings,
            sequence: &self.workflow.sequence,
            phases: &self.workflow.phases,
            windows: &self.windows,
        }
    }
}

pub(super) fn plan(arguments: &RunArguments) -> Result<ExitCode> {
    let workflow = load(arguments)?;
    let directory = arguments.results_root.join(&workflow.results_dir);
    let prepared = Prepared::new(
        workflow,
        &arguments.results_root,
        arguments.threads,
        arguments.shard,
    )?;
    let settings = prepared.settings(directory.join("pools"))?;
    let drive = prepared.drive(&settings);
    let plans = drive.plans(&|phase| stand_ins(&prepared.workflow, phase))?;
    if arguments.json {
        let plans: Vec<_> = plans.iter().map(|run| &run.plan).collect();
        let mut value =
            serde_json::json!({"settings": prepared.workflow.settings, "phases": plans});
        if prepared.workflow.sequence.has_windows() {
            value["windows"] = drive.listing()?;
        }
        print!("{}", String::from_utf8_lossy(&to_json_bytes(&value)));
    } else {
        if prepared.workflow.sequence.has_windows() {
            show::windows(&drive)?;
        }
        plans.iter().for_each(|run| show::plan(&run.plan));
    }
    success()
}

pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let workflow = load(arguments)?;
    std::fs::create_dir_all(&arguments.results_root)
        .map_err(Error::io("create", &arguments.results_root))?;
    let mut prepared = Prepared::new(
        workflow,
        &arguments.results_root,
        arguments.threads,
        arguments.shard,
    )?;
    prepared.checkpoint_every = Some(Duration::from_secs(arguments.checkpoint_seconds));
    // All of the settings are kept once, for run.json: a list of thousands of values has as many
    // parts. Manifests need those of phases.
    let own = serde_json::json!({"phases": prepared.workflow.settings["phases"]});
    let config = std::mem::replace(&mut prepared.workflow.settings, own);
    let workflow = &prepared.workflow;
    let pools = arguments
        .results_root
        .join(&workflow.results_dir)
        .join("pools");
    let settings = prepared.settings(pools)?;
    let drive = prepared.drive(&settings);
    // The whole run is refused where one phase does not fit.
    drive.plans(&|phase| stand_ins(workflow, phase))?;
    let is_quiet = arguments.quiet || arguments.json;
    let identity = RunPlan {
        workflow: workflow.name.clone(),
        config,
        data: run_data(&prepared.symbols),
        phases: workflow
            .phases
            .iter()
            .map(|phase| phase.name.clone())
            .collect(),
        shard: prepared.shard.map(|shard| RunShard {
            number: shard.number(),
            count: shard.count(),
        }),
        threads: prepared.threads,
        memory_budget: workflow.memory_budget,
    };
    let (mut directory, existing) = RunDir::open(
        &arguments.results_root,
        &workflow.results_dir,
        identity,
        arguments.fresh,
    )?;
    if existing == Existing::Finished {
        if !is_quiet {
            println!(
                "{}: this run is finished; nothing to do (--fresh runs it again)",
                directory.path().display()
            );
        }
        return success();
    }
    let mut aggregates = serde_json::Map::new();
    let mut seconds = serde_json::Map::new();
    let has_windows = workflow.sequence.has_windows();
    if has_windows && !is_quiet {
        show::windows(&drive)?;
    }
    let mut run_one = |phase_run: &PhaseRun<'_>,
                       label: &str,
                       folder: &PhaseDir,
                       directory: &mut RunDir|
     -> Result<Outcome> {
        let plan = &phase_run.plan;
        if let Some(reason) = &phase_run.storage_change {
            directory.note_storage_change(&plan.phase, reason)?;
        }
        if !is_quiet && !has_windows {
            show::plan(plan);
        }
        prepared
            .finished
            .store(0, std::sync::atomic::Ordering::Relaxed);
        let started = std::time::Instant::now();
        let outcome = progress::watch(
            label,
            plan.containers,
            plan.budget_bytes,
            is_quiet,
            &prepared.finished,
            || run_phase(phase_run, folder),
        )?;
        let elapsed = started.elapsed().as_secs_f64();
        if !is_quiet && has_windows {
            show::window_outcome(label, &outcome);
        } else if !is_quiet {
            show::outcome(&outcome, folder.path());
        }
        if arguments.json && !has_windows {
            let value = serde_json::from_slice(&to_json_bytes(&outcome.aggregate));
            aggregates.insert(plan.phase.clone(), value.expect("our own JSON is valid"));
            seconds.insert(plan.phase.clone(), elapsed.into());
        }
        Ok(outcome)
    };
    if let Err(error) = drive.run(&mut directory, &mut run_one) {
        if matches!(error, Error::Interrupted { .. }) {
            directory.close(RunStatus::Interrupted)?;
        }
        return Err(error);
    }
    let report = drive.report(directory.path())?;
    if let Some(report) = &report
        && !is_quiet
    {
        show::walk_forward(
            report,
            &directory.path().join(workflow.sequence.results_file()),
        );
    }
    let paths = drive.paths_report(directory.path())?;
    if let Some((file, report)) = &paths
        && !is_quiet
    {
        show::paths(report, file);
    }
    let skipped = directory.run().skipped.clone();
    if !is_quiet {
        skipped.iter().for_each(show::skipped);
    }
    if !arguments.keep_pools {
        remove_pools(&settings.pools)?;
    }
    let path = directory.path().to_path_buf();
    directory.close(RunStatus::Finished)?;
    if arguments.json {
        let value = match report {
            Some(report) => serde_json::json!({"results": path, "walk_forward": report}),
            None => {
                serde_json::json!({"results": path, "phases": aggregates, "seconds": seconds})
            }
        };
        let mut value = value;
        if let Some((_, report)) = paths {
            value["monte_carlo"] = report;
        }
        if !skipped.is_empty() {
            value["skipped"] = serde_json::json!(skipped);
        }
        value["peak_memory_bytes"] = progress::peak_bytes().into();
        println!("{value}");
    }
    success()
}

pub(super) fn remove_pools(pools: &Path) -> Result<()> {
    match std::fs::remove_dir_all(pools) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", pools)(error))
        }
        _ => Ok(()),
    }
}

fn run_data(symbols: &[Symbol]) -> Vec<RunData> {
    symbols
        .iter()
        .map(|symbol| RunData {
            symbol: symbol.symbol.clone(),
            path: symbol.bars.path().to_string_lossy().into_owned(),
            bars: symbol.bars.bars(),
            digest: symbol.bars.digest(),
        })
        .collect()
}
