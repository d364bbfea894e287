//! A container whose code panics fails alone: its result says why, the others are unharmed.

use admf::features::Feature;
use admf::market::{ImportOptions, open_bars};
use admf::plan::Start;
use admf::portfolio::Direction;
use admf::results::{RunDir, RunPlan};
use admf::sequencer::{RunSettings, Symbol, plan_phase, run_phase};
use admf::strategy::{Columns, Masks, Strategy, by_name};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// The SMA crossover, but for one window that it cannot bear.
struct Fragile;

impl Strategy for Fragile {
    fn name(&self) -> &'static str {
        "sma_crossover"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["fast", "slow"]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        vec![Feature::Sma(p[0] as u32), Feature::Sma(p[1] as u32)]
    }

    fn masks(&self, p: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
        assert!(p[0] != 7.0, "seven is too much");
        by_name("sma_crossover")
            .expect("built in")
            .masks(p, columns, direction, masks);
    }
}

#[test]
fn a_panic_fails_one_container_and_no_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    let text = format!(
        "workflow: parameter_sweep\ndata: {{path: {}}}\nstore_trades: true\nretention_policy: full\n\
         strategy: {{name: sma_crossover, parameters: {{fast: [5, 6, 7, 8], slow: [20, 30]}}}}\n",
        data.display()
    );
    let workflow = admf::workflow::parse(&text, Path::new("w.yaml")).expect("a valid workflow");
    let mut reports = Vec::new();
    let fragile: &dyn Strategy = &Fragile;
    for strategy in [fragile, by_name("sma_crossover").expect("built in")] {
        let root = folder.path().join(format!("{}", reports.len()));
        let bars = open_bars(&data, &root, &ImportOptions::default()).expect("the bundled data");
        let span = admf::container::Span {
            first: 0,
            end: bars.bars(),
        };
        let symbols = [Symbol {
            symbol: "SP500".to_owned(),
            bars,
            data: span,
            bars_per_year: 252.0,
        }];
        let (stop, finished) = (AtomicBool::new(false), AtomicU64::new(0));
        let settings = RunSettings {
            workflow: &workflow.name,
            strategy,
            space: &workflow.space,
            symbols: &symbols,
            settings: &workflow.settings,
            budget: 64 << 20,
            start: Start::default(),
            shard: None,
            checkpoint_every: None,
            tell: &|_| {},
            threads: 2,
            pools: root.join("pools"),
            stop: &stop,
            finished: &finished,
        };
        let planned = plan_phase(&settings, &workflow.phases[0], &[]).expect("it fits");
        let plan = RunPlan {
            workflow: workflow.name.clone(),
            config: workflow.settings.clone(),
            data: Vec::new(),
            phases: vec!["sweep".to_owned()],
            shard: None,
            threads: 2,
            memory_budget: 64 << 20,
        };
        let (directory, _) = RunDir::open(&root, "run", plan, false).expect("a results directory");
        let phase = directory.phase("sweep", None);
        run_phase(&planned, &phase).expect("the sweep goes on");
        let read = |n: u32| {
            std::fs::read_to_string(phase.container(&format!("portfolio_{n:03}")))
                .expect("a result")
        };
        reports.push((1..=8).map(read).collect::<Vec<String>>());
    }
    for (container, (fragile, sound)) in reports[0].iter().zip(&reports[1]).enumerate() {
        // fast 7 is the third of four values, each with two of slow.
        if container / 2 == 2 {
            assert!(
                fragile.contains("\"failed\"") && fragile.contains("seven is too much"),
                "{fragile}"
            );
        } else {
            assert_eq!(fragile, sound);
        }
    }
}
