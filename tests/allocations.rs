//! The bar loop allocates nothing: a sweep over four times the bars makes as many allocations.

use admf::container::Span;
use admf::market::{BarsFile, synth};
use admf::plan::Start;
use admf::results::RunDir;
use admf::sequencer::{RunSettings, Symbol, plan_phase, run_phase};
use admf::workflow;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of one worker that runs 200 containers over the first `blocks` blocks.
fn allocations(folder: &Path, bars: &Path, blocks: u64, lines: &str) -> usize {
    let text = format!(
        "workflow: parameter_sweep\ncontainer_results: archive\n\
         data: {{path: {bars:?}, symbols: [S]}}\n\
         strategy: {{name: sma_crossover, parameters: {{fast: {{min: 2, max: 11, step: 1}}, \
         slow: {{min: 20, max: 39, step: 1}}}}}}\n{lines}\n"
    );
    let workflow = workflow::parse(&text, Path::new("test.yaml")).expect("a valid workflow");
    let symbol = Symbol {
        symbol: "S".to_owned(),
        bars: BarsFile::open(bars).expect("a bars file"),
        data: Span {
            first: 0,
            end: blocks * 512,
        },
        bars_per_year: 252.0,
    };
    let symbols = [symbol];
    let (stop, finished) = (AtomicBool::new(false), AtomicU64::new(0));
    let settings = RunSettings {
        workflow: &workflow.name,
        strategy: admf::strategy::by_name("sma_crossover").expect("a built-in strategy"),
        space: &workflow.space,
        symbols: &symbols,
        settings: &workflow.settings,
        budget: workflow.memory_budget,
        start: Start::default(),
        threads: 1,
        pools: folder.join("pools"),
        stop: &stop,
        finished: &finished,
        shard: None,
        checkpoint_every: None,
        tell: &|_| {},
    };
    let phase = plan_phase(&settings, &workflow.phases[0], &[]).expect("a plan that fits");
    let target = RunDir::replay_folder(folder, "sweep").expect("an empty folder");
    let region = Region::new(COUNTED);
    run_phase(&phase, &target).expect("a run that finishes");
    region.change().allocations
}

/// One test, so that no other thread allocates while it counts.
#[test]
fn more_blocks_make_no_more_allocations() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bars = folder.path().join("s.bars");
    synth(80 * 512, 1, &bars).expect("a synthetic series");
    for lines in [
        "event_tracing: []\nportfolio: {close_at_end: true}",
        // Closed at the end, for what an open trade leaves is collected in a list.
        "event_tracing: [ORDER, FILL, POSITION_OPEN, POSITION_CLOSE]\nportfolio: {close_at_end: true}",
        "event_tracing: all\nportfolio: {close_at_end: true, sizing: {quantity: 1}}",
        "event_tracing: []\nportfolio: {direction: long_short, close_at_end: true, \
         sizing: {volatility: {annual: 0.1, period: 20}}, pyramiding: {max_entries: 3}}\n\
         execution: {borrow: {annual_rate: 0.03}}\n\
         risk: {max_drawdown: 0.9, max_daily_loss: 0.02, max_exposure: 0.8}",
        "event_tracing: all\nportfolio: {direction: long_short, close_at_end: true, sizing: {cash: 500}}\n\
         exits: {stop_loss: {atr: 2, period: 14}, trailing_stop: {percent: 3}, end_of_day: \"20:00\", \
         reentry: after_reset}\n\
         execution: {entry: {stop_limit: {stop: {percent: 0.1}, limit: {percent: 0.2}}, \
         time_in_force: day}}",
        "event_tracing: all\nretention_policy: sliding_window\nsliding_window_size: 100",
    ] {
        // The first run warms up what the process keeps for good.
        allocations(folder.path(), &bars, 20, lines);
        let few = allocations(folder.path(), &bars, 20, lines);
        let many = allocations(folder.path(), &bars, 80, lines);
        // The writer of archives may park a thread once more or less; a block that allocated would
        // show 60 times, one of a container 12,000 times.
        assert!(
            many.abs_diff(few) < 30,
            "{lines}: {few} and {many} allocations"
        );
    }
}
