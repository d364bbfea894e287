//! The engine itself, driven as `admf run` drives it: planned, traced, results into archives.

use super::grids::{Case, Rule, Size};
use super::scalar::{self, Outcome, Series};
use admf::container::Span;
use admf::market::{BarBlock, BarsFile, ImportOptions, open_bars, synth};
use admf::plan::Start;
use admf::results::RunDir;
use admf::segment::scan_records;
use admf::sequencer::{RunSettings, Symbol, plan_phase, run_phase};
use admf::workflow::{self, Workflow};
use admf_formats::report::Metrics;
use admf_formats::result::ResultRecord;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

/// Bars of the synthetic series, where no other is there: as many as SPY's five-minute bars.
const SYNTHETIC_BARS: u64 = 20_769;

/// The bars that are traded on.
pub(crate) struct Data {
    /// What they are.
    pub(crate) name: String,
    /// The columns the hand-written loop reads.
    pub(crate) series: Series,
    source: PathBuf,
    folder: tempfile::TempDir,
}

impl Data {
    /// Opens what there is.
    pub(crate) fn open() -> Data {
        let named = std::env::var_os("ADMF_BENCH_BARS").map(PathBuf::from);
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/SPY_5m.csv");
        match named.or_else(|| shared.is_file().then_some(shared)) {
            Some(source) => Data::of(source, folder()),
            None => Data::synthetic(SYNTHETIC_BARS),
        }
    }

    /// A synthetic series.
    pub(crate) fn synthetic(bars: u64) -> Data {
        let folder = folder();
        let source = folder.path().join("synthetic.bars");
        synth(bars, 1, &source).expect("a synthetic series");
        Data::of(source, folder)
    }

    fn of(source: PathBuf, folder: tempfile::TempDir) -> Data {
        let bars = open(&source, folder.path());
        let mut series = Series {
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
        };
        let mut block = BarBlock::new();
        for quantum in 0..bars.bars().div_ceil(512) {
            bars.read_quantum(quantum, &mut block)
                .expect("readable bars");
            series.open.extend(&block.open[..block.bars]);
            series.high.extend(&block.high[..block.bars]);
            series.low.extend(&block.low[..block.bars]);
            series.close.extend(&block.close[..block.bars]);
        }
        Data {
            name: source
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            series,
            source,
            folder,
        }
    }

    /// Bars.
    pub(crate) fn bars(&self) -> usize {
        self.series.close.len()
    }
}

/// What is measured is the engine: its files lie in memory where the machine has such a folder.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    folder.expect("a temporary folder")
}

fn open(source: &Path, cache: &Path) -> BarsFile {
    open_bars(source, cache, &ImportOptions::default()).expect("readable bars")
}

/// What is traced.
#[derive(Clone, Copy)]
pub(crate) enum Trace {
    /// Nothing.
    Nothing,
    /// ORDER, FILL, POSITION_OPEN and POSITION_CLOSE under `trade_complete`.
    Trades,
    /// The same, and every closed trade kept in the archive.
    AllTrades,
}

impl Trace {
    /// Every one.
    pub(crate) const ALL: [Trace; 3] = [Trace::Nothing, Trace::Trades, Trace::AllTrades];

    fn yaml(self) -> &'static str {
        match self {
            Trace::Nothing => "event_tracing: []",
            Trace::Trades => "event_tracing: [ORDER, FILL, POSITION_OPEN, POSITION_CLOSE]",
            Trace::AllTrades => {
                "event_tracing: [ORDER, FILL, POSITION_OPEN, POSITION_CLOSE]\nstore_trades: true"
            }
        }
    }
}

/// A case over the data with so many workers.
pub(crate) struct Sweep<'a> {
    case: &'a Case,
    workflows: [Workflow; 3],
    symbols: Vec<Symbol>,
    threads: u64,
    folder: PathBuf,
}

impl<'a> Sweep<'a> {
    /// Checks the workflow and opens the bars, which is not timed.
    pub(crate) fn new(case: &'a Case, data: &Data, threads: u64) -> Sweep<'a> {
        let bars = open(&data.source, data.folder.path());
        let symbol = Symbol {
            symbol: "BENCH".to_owned(),
            data: Span {
                first: 0,
                end: bars.bars(),
            },
            bars,
            bars_per_year: 252.0,
        };
        let parse = |trace: Trace| {
            let text = yaml(case, &data.source, trace);
            workflow::parse(&text, Path::new("bench.yaml"))
                .unwrap_or_else(|error| panic!("{error}\n{text}"))
        };
        Sweep {
            case,
            workflows: Trace::ALL.map(parse),
            symbols: vec![symbol],
            threads,
            folder: data.folder.path().join("run"),
        }
    }

    /// Seconds of one run: from the plan of the phase to its aggregate on disk.
    pub(crate) fn time(&self, trace: Trace) -> f64 {
        let workflow = &self.workflows[trace as usize];
        let (stop, finished) = (AtomicBool::new(false), AtomicU64::new(0));
        let strategy = admf::strategy::by_name(&workflow.strategy).expect("a built-in strategy");
        let settings = RunSettings {
            workflow: &workflow.name,
            strategy,
            space: &workflow.space,
            symbols: &self.symbols,
            settings: &workflow.settings,
            budget: workflow.memory_budget,
            start: Start::default(),
            threads: self.threads,
            pools: self.folder.join("pools"),
            stop: &stop,
            finished: &finished,
            shard: None,
            checkpoint_every: None,
            tell: &|_| {},
        };
        let folder = RunDir::replay_folder(&self.folder, "sweep").expect("an empty folder");
        let started = Instant::now();
        let phase = plan_phase(&settings, &workflow.phases[0], &[]).expect("a plan that fits");
        run_phase(&phase, &folder).expect("a run that finishes");
        started.elapsed().as_secs_f64()
    }

    fn records(&self) -> Vec<ResultRecord> {
        let mut records = Vec::new();
        let traces = self.folder.join("sweep/traces");
        scan_records(&traces, self.case.sets.len() as u64, |slot| {
            records.push(slot.record);
            Ok(())
        })
        .expect("readable archives");
        records
    }

    /// Events that a traced run offers to its tracers.
    pub(crate) fn traced_events(&self) -> u64 {
        self.time(Trace::Trades);
        self.records()
            .iter()
            .map(|record| record.ledger.attempted)
            .sum()
    }

    /// How the engine differs from the hand-written loop: nowhere beyond rounding, but where two
    /// averages are equal to the last bit and the order of summation decides.
    pub(crate) fn compare(&self, expected: &[Outcome]) -> Vec<String> {
        self.time(Trace::Trades);
        let records = self.records();
        assert_eq!(records.len(), expected.len(), "containers");
        let outcomes = records.iter().map(|record| outcome(record, 252.0));
        let differ = |a: f64, b: f64| (a - b).abs() > 1e-7 * (1.0 + a.abs().max(b.abs()));
        outcomes
            .zip(expected)
            .zip(&self.case.sets)
            .filter(|((a, b), _)| {
                a.trades != b.trades
                    || differ(a.total_return, b.total_return)
                    || differ(a.sharpe, b.sharpe)
                    || differ(a.sortino, b.sortino)
                    || differ(a.drawdown, b.drawdown)
                    || differ(a.win_rate, b.win_rate)
                    || differ(a.profit_factor, b.profit_factor)
            })
            .map(|((a, b), set)| format!("{set:?}: {a:?} where the loop has {b:?}"))
            .collect()
    }
}

fn outcome(record: &ResultRecord, bars_per_year: f64) -> Outcome {
    let metrics = Metrics::of(record, bars_per_year);
    let or_zero = |value: Option<f64>| value.unwrap_or(0.0);
    // The loop takes the first bar's return, which is zero, as one more.
    let count = record.equity.bars as f64;
    let mean = record.equity.return_sum / count;
    let variance = (record.equity.return_square_sum - count * mean * mean) / (count - 1.0);
    let downside = record.equity.downside_square_sum;
    Outcome {
        total_return: or_zero(metrics.total_return),
        sharpe: if variance > 0.0 {
            mean / variance.sqrt()
        } else {
            0.0
        },
        sortino: if downside > 0.0 {
            mean / (downside / count).sqrt()
        } else {
            0.0
        },
        drawdown: metrics.max_drawdown,
        trades: metrics.total_trades,
        win_rate: or_zero(metrics.win_rate),
        profit_factor: or_zero(metrics.profit_factor),
    }
}

fn yaml(case: &Case, source: &Path, trace: Trace) -> String {
    let (strategy, names): (&str, &[&str]) = match case.rule {
        Rule::Sma => ("sma_crossover", &["fast", "slow"]),
        Rule::Ema => ("ema_crossover", &["fast", "slow"]),
        Rule::Rsi => ("rsi_bands", &["period", "oversold", "overbought"]),
        Rule::Macd => ("macd_crossover", &["fast", "slow", "signal"]),
        Rule::Bollinger => ("bollinger_bands", &["period", "std_dev"]),
        Rule::Donchian => ("donchian_breakout", &["entry", "exit"]),
    };
    let exits = case.stops.map_or_else(String::new, |[loss, profit]| {
        format!("exits: {{stop_loss: {{percent: {loss}}}, take_profit: {{percent: {profit}}}}}\n")
    });
    let parameters: Vec<String> = names
        .iter()
        .zip(&case.lists)
        .map(|(name, values)| format!("{name}: {values:?}"))
        .collect();
    let sizing = match case.size {
        Size::AllIn => "percent_of_equity: 100".to_owned(),
        Size::Quantity(quantity) => format!("quantity: {quantity}"),
    };
    format!(
        "workflow: parameter_sweep\nmemory_budget: 64MiB\ncontainer_results: archive\n\
         data: {{path: {:?}, symbols: [BENCH]}}\n\
         strategy: {{name: {strategy}, parameters: {{{}}}}}\n\
         portfolio: {{initial_capital: {}, sizing: {{{sizing}}}}}\n\
         execution: {{commission: {{rate: {}}}}}\n{exits}{}\n",
        source.to_string_lossy(),
        parameters.join(", "),
        scalar::CAPITAL,
        scalar::COMMISSION,
        trace.yaml(),
    )
}
