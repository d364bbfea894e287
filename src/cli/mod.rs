//! The command line: the only place that prints and picks exit codes.

mod earlier;
mod explain;
mod features;
mod merge;
mod progress;
mod replay;
mod run;
mod show;
mod verbs;

use crate::market::BarLabel;
use crate::sweep::Shard;
use crate::{Error, Result};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit codes, as the README lists them.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const BAD_INPUT: u8 = 2;
    pub(super) const DOES_NOT_FIT: u8 = 3;
    pub(super) const RESULTS_CONFLICT: u8 = 4;
    pub(super) const DIFFERENT: u8 = 5;
    pub(super) const UNSUPPORTED: u8 = 6;
    pub(super) const INTERRUPTED: u8 = 130;
}

#[derive(Parser)]
#[command(
    name = "admf",
    version,
    about = "Memory-bounded backtest sweeps, every trade decodable",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a workflow; a killed run continues where it stood.
    Run(RunArguments),
    /// Put the shards of a run together: the same results as of a run that was never split.
    Merge {
        /// Results directories of all shards, in any order.
        #[arg(required = true)]
        shards: Vec<PathBuf>,
        /// Results directory to write.
        #[arg(long)]
        out: PathBuf,
        /// Discard what an earlier run or merge of this workflow left there.
        #[arg(long)]
        fresh: bool,
        /// Print nothing but errors.
        #[arg(long, short)]
        quiet: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a workflow file and say what it would do.
    Validate {
        /// Workflow file.
        file: PathBuf,
    },
    /// Show containers, tiles, workers and bytes before anything runs.
    Plan(RunArguments),
    /// Turn a CSV or Parquet file into a bars file.
    Import {
        /// CSV or Parquet file.
        file: PathBuf,
        /// Bars file to write; by default beside the source, ending in `.bars`.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Time zone of timestamps that carry none.
        #[arg(long, default_value = "UTC")]
        timezone: String,
        /// Which end of a bar its timestamp names: start or end.
        #[arg(long, default_value = "start", value_parser = bar_label)]
        bar_label: BarLabel,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a reproducible synthetic series as a bars file.
    Synth {
        /// How many one-minute bars.
        #[arg(long)]
        bars: u64,
        /// Seed of the random numbers.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Bars file to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Print indicators of a data file as CSV, a row per bar; no value is an empty cell.
    Features {
        /// CSV, Parquet or bars file.
        file: PathBuf,
        /// Feature, as in 'keltner(20, -2)'; may be repeated. By default every one, with its
        /// usual parameters.
        #[arg(long)]
        of: Vec<String>,
        /// Bars that are computed at once; the values do not depend on it.
        #[arg(long, default_value_t = admf_formats::units::QUANTUM_BARS)]
        block_bars: usize,
        /// CSV file to write; by default standard output.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Folder that holds results directories; imported bars are kept in it.
        #[arg(long, default_value = "results")]
        results_root: PathBuf,
        /// Time zone of timestamps that carry none.
        #[arg(long, default_value = "UTC")]
        timezone: String,
    },
    /// Re-run one container of a finished run with everything kept.
    Replay {
        /// Results directory of the run.
        results: PathBuf,
        /// Container: its number (from 1) or its id.
        #[arg(long)]
        container: String,
        /// Phase of the container; needed where the run has several.
        #[arg(long)]
        phase: Option<String>,
        /// Window of the container, from 1; needed where the run has several.
        #[arg(long)]
        window: Option<u64>,
        /// What is kept: full, trade_complete, sliding_window or minimal.
        #[arg(long, default_value = "full")]
        policy: String,
        /// Folder for the replay's results; by default `<results>/replay/<phase>_<container>`.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell one trade: what the strategy saw, orders, fills, costs, exit and its reason.
    ///
    /// From the archive where it has the whole trade, else by running the container again.
    Explain {
        /// Results directory of the run.
        results: PathBuf,
        /// Container: its number (from 1) or its id.
        #[arg(long)]
        container: String,
        /// Number of the trade in its container, from 1.
        #[arg(long)]
        trade: u32,
        /// Phase of the container; needed where the run has several.
        #[arg(long)]
        phase: Option<String>,
        /// Window of the container, from 1; needed where the run has several.
        #[arg(long)]
        window: Option<u64>,
        /// Part of the window's training, 1 or 2; needed where a fold lies between two parts.
        #[arg(long)]
        part: Option<u64>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare with trades and statistics made by an independent program.
    Oracle {
        /// Folder with case.json or grid.json.
        case: PathBuf,
        /// Folder of the data files; by default `../../data` beside the case.
        #[arg(long)]
        data: Option<PathBuf>,
    },
}

#[derive(Args, Clone)]
struct RunArguments {
    /// Workflow file.
    file: PathBuf,
    /// Memory for everything, as in 64MiB; overrides the file.
    #[arg(long)]
    memory_budget: Option<String>,
    /// Worker threads; by default one per core.
    #[arg(long)]
    threads: Option<usize>,
    /// Run one of n equal parts, as in 2/7, into `<results_dir>.shard_2_of_7`; see `merge`.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder that holds results directories.
    #[arg(long, default_value = "results")]
    results_root: PathBuf,
    /// Discard what an earlier run left in the results directory.
    #[arg(long)]
    fresh: bool,
    /// How often the state of a tile that takes long is kept, at most; 0 for every block.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    checkpoint_seconds: u64,
    /// Keep the pools after the run is finished.
    #[arg(long)]
    keep_pools: bool,
    /// Print nothing but errors.
    #[arg(long, short)]
    quiet: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the program with strategies of one's own beside the built-in ones: workflows name them
/// like any other.
pub fn run_with(strategies: &[&'static dyn crate::strategy::Strategy]) -> ExitCode {
    for strategy in strategies {
        if let Err(error) = crate::strategy::register(*strategy) {
            eprintln!("error: {error}");
            return ExitCode::from(code_of(&error));
        }
    }
    main()
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.verb {
        Verb::Run(run) => run::run(&run),
        Verb::Merge {
            shards,
            out,
            fresh,
            quiet,
            json,
        } => merge::merge(&shards, &out, fresh, quiet, json),
        Verb::Validate { file } => verbs::validate(&file),
        Verb::Plan(run) => run::plan(&run),
        Verb::Import {
            file,
            out,
            timezone,
            bar_label,
            json,
        } => verbs::import(&file, out, timezone, bar_label, json),
        Verb::Synth { bars, seed, out } => verbs::synth(bars, seed, &out),
        Verb::Features {
            file,
            of,
            block_bars,
            out,
            results_root,
            timezone,
        } => {
            let cache = results_root.join(run::BARS_CACHE);
            features::features(&file, &of, block_bars, out, &cache, timezone)
        }
        Verb::Replay {
            results,
            container,
            phase,
            window,
            policy,
            out,
            json,
        } => replay::replay(
            &results,
            &container,
            phase.as_deref(),
            window,
            &policy,
            out,
            json,
        ),
        Verb::Explain {
            results,
            container,
            trade,
            phase,
            window,
            part,
            json,
        } => {
            let wanted = explain::Wanted {
                container: &container,
                trade,
                phase: phase.as_deref(),
                window,
                part,
            };
            explain::explain(&results, &wanted, json)
        }
        Verb::Oracle { case, data } => verbs::oracle(&case, data.as_deref()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &Error) -> u8 {
    match error {
        Error::Config { .. } | Error::Data { .. } | Error::Usage { .. } | Error::Unmet { .. } => {
            exit::BAD_INPUT
        }
        Error::Plan { .. } => exit::DOES_NOT_FIT,
        Error::Results { .. } => exit::RESULTS_CONFLICT,
        Error::Interrupted { .. } => exit::INTERRUPTED,
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            exit::BAD_INPUT
        }
        _ => exit::FAILED,
    }
}

fn bar_label(text: &str) -> std::result::Result<BarLabel, String> {
    match text {
        "start" => Ok(BarLabel::Start),
        "end" => Ok(BarLabel::End),
        _ => Err("start or end was expected".to_owned()),
    }
}

/// What a verb that succeeded ends with.
fn success() -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
