//! `run`, `plan` and `replay`: the outline of the program.

use super::{RunArguments, progress, show, success};
use crate::container::Span;
use crate::market::open_or_import;
use crate::results::{Existing, PhaseDir, RunDir, RunPlan};
use crate::segment::retention::RetentionPolicy;
use crate::sequencer::{
    Candidates, Drive, Outcome, Phase, PhaseRun, ResultsStorage, RunSettings, Symbol, WindowBars,
    plan_phase_on, run_phase, windows,
};
use crate::sweep::Shard;
use crate::workflow::{self, Workflow};
use crate::{Error, Result, strategy};
use admf_formats::event::EventSet;
use admf_formats::report::{
    ContainerReport, RunData, RunShard, RunStatus, container_index, to_json_bytes,
};
use admf_formats::result::ResultRecord;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

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

fn open_symbols(workflow: &Workflow, root: &Path) -> Result<Vec<Symbol>> {
    let data = &workflow.data;
    let open = |symbol: &crate::sequencer::SymbolData| {
        let bars = open_or_import(
            &symbol.path,
            &root.join(BARS_CACHE),
            &data.import,
            &mut |text| eprintln!("note: {text}"),
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
    data.symbols.iter().map(open).collect()
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

fn placeholder(parameters: [f64; admf_formats::units::PARAMETERS_MAX]) -> ResultRecord {
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

/// Everything that `run` and `plan` need before a phase.
struct Prepared {
    workflow: Workflow,
    symbols: Vec<Symbol>,
    windows: Vec<WindowBars>,
    threads: u64,
    shard: Option<Shard>,
    stop: Arc<AtomicBool>,
    finished: AtomicU64,
}

impl Prepared {
    fn new(
        workflow: Workflow,
        root: &Path,
        wanted: Option<usize>,
        shard: Option<Shard>,
    ) -> Result<Prepared> {
        let symbols = open_symbols(&workflow, root)?;
        let data = &workflow.data;
        let windows = windows(
            &workflow.sequence,
            &symbols,
            (data.start, data.end),
            &data.import.timezone,
        )?;
        Ok(Prepared {
            symbols,
            windows,
            threads: threads(wanted)?,
            shard,
            stop: stop_flag()?,
            finished: AtomicU64::new(0),
            workflow,
        })
    }

    fn settings(&self, pools: PathBuf) -> Result<RunSettings<'_>> {
        Ok(RunSettings {
            workflow: &self.workflow.name,
            strategy: strategy::by_name(&self.workflow.strategy).ok_or_else(|| Error::Usage {
                message: format!("strategy `{}` is unknown", self.workflow.strategy),
            })?,
            space: &self.workflow.space,
            symbols: &self.symbols,
            settings: &self.workflow.settings,
            budget: self.workflow.memory_budget,
            threads: self.threads,
            pools,
            stop: &self.stop,
            finished: &self.finished,
            shard: self.shard,
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
    let prepared = Prepared::new(
        workflow,
        &arguments.results_root,
        arguments.threads,
        arguments.shard,
    )?;
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
        config: workflow.settings.clone(),
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
        if !is_quiet && has_windows {
            show::window_outcome(label, &outcome);
        } else if !is_quiet {
            show::outcome(&outcome, folder.path());
        }
        if arguments.json && !has_windows {
            let value = serde_json::from_slice(&to_json_bytes(&outcome.aggregate));
            aggregates.insert(plan.phase.clone(), value.expect("our own JSON is valid"));
            seconds.insert(plan.phase.clone(), started.elapsed().as_secs_f64().into());
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

fn remove_pools(pools: &Path) -> Result<()> {
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

/// Runs one container of a finished run again, with everything kept.
pub(super) fn replay(
    results: &Path,
    container: &str,
    phase: Option<&str>,
    window: Option<u64>,
    policy: &str,
    out: Option<PathBuf>,
    json: bool,
) -> Result<ExitCode> {
    let run_file = results.join("run.json");
    let text = std::fs::read_to_string(&run_file).map_err(Error::io("read", &run_file))?;
    let report: admf_formats::report::RunReport =
        serde_json::from_str(&text).map_err(|error| Error::Results {
            path: run_file.clone(),
            message: format!("not a run of admf: {error}"),
        })?;
    let mut workflow = workflow::from_settings(&report.config, &run_file)?;
    for (symbol, data) in workflow.data.symbols.iter_mut().zip(&report.data) {
        symbol.path = PathBuf::from(&data.path);
    }
    let names: Vec<String> = workflow
        .phases
        .iter()
        .map(|phase| phase.name.clone())
        .collect();
    let place = match phase {
        Some(name) => names.iter().position(|known| known == name),
        None if names.len() == 1 => Some(0),
        None => None,
    };
    let place = place.ok_or_else(|| Error::Usage {
        message: format!(
            "name the container's phase with --phase, one of: {}",
            names.join(", ")
        ),
    })?;
    let root = results.parent().unwrap_or(Path::new("."));
    let prepared = Prepared::new(workflow, root, Some(1), None)?;
    for (symbol, data) in prepared.symbols.iter().zip(&report.data) {
        if symbol.bars.digest() != data.digest {
            return Err(Error::Results {
                path: symbol.bars.path().to_path_buf(),
                message: format!(
                    "the bars of {} are not those of the run (another digest)",
                    data.symbol
                ),
            });
        }
    }
    let name = &names[place];
    let at = window_of(&prepared.windows, window)?;
    let folder = &prepared.windows[at].folder;
    let target = out.unwrap_or_else(|| results.join("replay"));
    std::fs::create_dir_all(&target).map_err(Error::io("create", &target))?;
    let settings = prepared.settings(target.join("pools"))?;
    // Phases that choose for this one are run again in memory only where this one needs them.
    let source = &prepared.workflow.phases[place];
    let chosen = match &source.candidates {
        Candidates::Space => Vec::new(),
        Candidates::BestOf { phase, .. } => best_of(&results.join(phase).join(folder), &settings)?,
    };
    let count = match &source.candidates {
        Candidates::Space => settings.space.len() * settings.symbols.len() as u64,
        Candidates::BestOf { .. } => chosen.len() as u64,
    };
    let index = container_index(container, count).ok_or_else(|| Error::Usage {
        message: format!("--container {container}: phase {name} has containers 1 to {count}"),
    })?;
    let record = match &source.candidates {
        Candidates::Space => {
            let symbol = index / settings.space.len();
            let mut record = placeholder(settings.space.values(index % settings.space.len()));
            record.symbol = symbol as u32;
            record
        }
        Candidates::BestOf { .. } => chosen[index as usize],
    };
    let mut single = source.clone();
    single.candidates = Candidates::BestOf {
        phase: name.clone(),
        count: 1,
    };
    single.objective.constraints.clear();
    single.container_traces.clear();
    single.results_storage = ResultsStorage::Disk;
    single.container_results = crate::sequencer::ContainerResults::Archive;
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
    let id = admf_formats::report::container_id(index, count);
    let label = match folder.as_str() {
        "" => name.clone(),
        folder => format!("{name}_{}", folder.replace('/', "_")),
    };
    let directory = RunDir::replay_folder(&target, &format!("{label}_{id}"))?;
    let pieces = prepared.windows[at].pieces(single.window);
    if pieces.len() > 1 {
        return Err(Error::Usage {
            message: format!(
                "phase {name} of {folder} trains on two pieces of the data; such a container cannot be replayed, \
                 decode what its parts kept with admf-tools"
            ),
        });
    }
    let planned = plan_phase_on(&settings, &single, &[record], pieces[0], 0)?;
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
    let context = planned.report_context(name, count);
    let report = ContainerReport::of(&ResultRecord { index, ..replayed }, &context, None);
    if json {
        print!("{}", String::from_utf8_lossy(&to_json_bytes(&report)));
    } else {
        show::outcome(&outcome, directory.path());
    }
    success()
}

/// The place of the window that a user names by its number, from 1.
fn window_of(windows: &[WindowBars], number: Option<u64>) -> Result<usize> {
    let count = windows.len() as u64;
    match number {
        None if count == 1 => Ok(0),
        Some(number) if (1..=count).contains(&number) && !windows[0].folder.is_empty() => {
            Ok(number as usize - 1)
        }
        Some(_) if windows[0].folder.is_empty() => Err(Error::Usage {
            message: "--window: this run has no windows".to_owned(),
        }),
        _ => Err(Error::Usage {
            message: format!("name the container's window with --window, 1 to {count}"),
        }),
    }
}

/// What a finished phase handed over, from its own aggregate.
fn best_of(folder: &Path, settings: &RunSettings<'_>) -> Result<Vec<ResultRecord>> {
    let path = folder.join("aggregate_results.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let wrong = |message: &str| Error::Results {
        path: path.clone(),
        message: message.to_owned(),
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
    let best = value["best"]
        .as_array()
        .ok_or_else(|| wrong("`best` is missing"))?;
    best.iter()
        .filter(|entry| entry["meets_constraints"] == true)
        .map(|entry| {
            let mut parameters = [0.0; admf_formats::units::PARAMETERS_MAX];
            for (value, name) in parameters.iter_mut().zip(settings.strategy.parameters()) {
                *value = entry["parameters"][name]
                    .as_f64()
                    .ok_or_else(|| wrong("a parameter is missing"))?;
            }
            let symbol = settings
                .symbols
                .iter()
                .position(|symbol| entry["symbol"] == symbol.symbol.as_str());
            let mut record = placeholder(parameters);
            record.symbol = symbol.ok_or_else(|| wrong("a symbol is unknown"))? as u32;
            Ok(record)
        })
        .collect()
}
