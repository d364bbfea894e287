//! A tile that goes on from a saved state does what it would have done: every strategy, all-in and
//! sized, whole tiles and some of their containers, features that save no state among them.

use admf::container::{ContainerRules, Sink, Span};
use admf::features::{Bar, Feature, Indicator, Own, OwnFeature};
use admf::market::{BarsFile, synth};
use admf::portfolio::Direction;
use admf::state::{StateReader, StateWriter};
use admf::strategy::{self, Columns, Masks, Strategy, above};
use admf::topology::{Checkpoints, Job, NoCheckpoints, ParameterSet, Resume, TileSink, Worker};
use admf::{Result, workflow};
use admf_formats::event::{EventKind, Payload, Stamp};
use admf_formats::result::{Ledger, Status};
use admf_formats::units::PARAMETERS_MAX;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Keeps every state in memory.
#[derive(Default)]
struct Memory {
    states: Vec<(u64, Vec<u8>)>,
    from: Option<(u64, Vec<u8>)>,
    rest: std::io::Cursor<Vec<u8>>,
}

impl Checkpoints for Memory {
    fn resume(&mut self) -> Result<Option<Resume<'_>>> {
        let Some((block, state)) = self.from.take() else {
            return Ok(None);
        };
        self.rest = std::io::Cursor::new(state);
        Ok(Some(Resume {
            block,
            state: StateReader::new(&mut self.rest),
            path: Path::new("memory"),
        }))
    }

    fn is_due(&mut self, _: bool) -> bool {
        true
    }

    fn keep(
        &mut self,
        block: u64,
        save: &mut dyn FnMut(&mut StateWriter<'_>) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut state = Vec::new();
        save(&mut StateWriter::new(&mut state)).expect("into memory");
        self.states.push((block, state));
        Ok(())
    }
}

/// Bar, place of the container, kind and checksum of an event.
type Event = (u32, usize, u8, u32);

/// Everything that the containers tell.
#[derive(Default)]
struct Told {
    place: usize,
    events: Vec<Event>,
}

impl Sink for Told {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        let mut bytes = [0; 256];
        admf_formats::segment::write_frame(&mut bytes, stamp, payload);
        let crc = crc32c::crc32c(&bytes);
        self.events
            .push((stamp.bar, self.place, P::KIND as u8, crc));
    }

    fn end_trade(&mut self, _: u32) {}
}

impl TileSink for Told {
    fn select(&mut self, place: usize) {
        self.place = place;
    }

    fn failure(&mut self) -> Option<admf::Error> {
        None
    }
}

/// A tile to its end: its events, and what its containers come to.
fn run(
    job: Job<'_>,
    sets: &[ParameterSet],
    checkpoints: &mut dyn Checkpoints,
) -> (Told, Vec<String>) {
    let (mut worker, mut told) = (Worker::new(sets.len()), Told::default());
    worker
        .run_tile_from(job, sets, &mut told, checkpoints)
        .expect("it runs");
    let results = worker.containers.iter().map(|container| {
        let record = container.result(Status::Completed, Ledger::default());
        format!("{record:?}")
    });
    (told, results.collect())
}

fn rules(lines: &str) -> ContainerRules {
    let text = format!(
        "workflow: parameter_sweep\ndata: {{path: none.bars, symbols: [S]}}\n\
         strategy: {{name: sma_crossover, parameters: {{fast: 2, slow: 5}}}}\n{lines}\n"
    );
    let workflow = workflow::parse(&text, Path::new("test.yaml")).expect("a valid workflow");
    workflow.phases[0].container.clone()
}

/// Runs a strategy whole, and again from each of its states. Gives the trades of the whole.
fn check(bars: &BarsFile, strategy: &dyn Strategy, rules: &ContainerRules) -> usize {
    let sets: Vec<ParameterSet> = [0.0, 1.0, 3.0]
        .into_iter()
        .zip(10..)
        .map(|(more, index)| {
            let mut values = [0.0; PARAMETERS_MAX];
            let names = strategy.parameters().iter().zip(strategy.usual());
            for (value, (name, usual)) in values.iter_mut().zip(names) {
                let is_window = !strategy.thresholds().contains(name);
                *value = if is_window { usual + more } else { *usual };
            }
            ParameterSet { index, values }
        })
        .collect();
    let stop = AtomicBool::new(false);
    let job = Job {
        strategy,
        rules,
        bars,
        bars_per_year: 252.0,
        symbol: 0,
        span: Span {
            first: 700,
            end: bars.bars() - 5,
        },
        features_from: 100,
        stop: &stop,
    };
    let name = strategy.name();
    let mut memory = Memory::default();
    let (whole, results) = run(job, &sets, &mut memory);
    let (plain, plain_results) = run(job, &sets, &mut NoCheckpoints);
    assert!(
        plain.events == whole.events,
        "{name}: saving changes nothing"
    );
    assert_eq!(plain_results, results, "{name}");
    assert_eq!(memory.states.len(), 8, "a state at every block");
    for places in [&[0, 1, 2][..], &[1], &[0, 2]] {
        let own: Vec<ParameterSet> = places.iter().map(|place| sets[*place]).collect();
        for (block, state) in &memory.states {
            let mut memory = Memory {
                from: Some((*block, state.clone())),
                ..Memory::default()
            };
            let (told, found) = run(job, &own, &mut memory);
            let expected: Vec<String> = places.iter().map(|at| results[*at].clone()).collect();
            assert_eq!(found, expected, "{name} from block {block}");
            let events = whole.events.iter().filter_map(|(bar, place, kind, crc)| {
                let place = places.iter().position(|own| own == place)?;
                Some((*bar, place, *kind, *crc))
            });
            // What was told before the state is not told again.
            let mut events: Vec<_> = events.collect();
            assert!(told.events.len() <= events.len());
            events.drain(..events.len() - told.events.len());
            assert!(told.events == events, "{name} from block {block}");
            let first = told.events.iter().map(|(bar, ..)| u64::from(*bar)).min();
            assert!(
                first >= Some((block * 512).max(job.span.first)),
                "{first:?}"
            );
        }
    }
    let is_close = |event: &&Event| event.2 == EventKind::PositionClose as u8;
    whole.events.iter().filter(is_close).count()
}

/// Alternates every few bars, by a feature that saves no state.
struct Alternating;

impl Strategy for Alternating {
    fn name(&self) -> &'static str {
        "alternating"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["every"]
    }

    fn usual(&self) -> &'static [f64] {
        &[7.0]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        vec![Feature::Own(Own::new(&Wave, p)), Feature::Sma(3)]
    }

    fn masks(&self, _: &[f64], columns: &Columns<'_>, _: Direction, masks: &mut Masks) {
        let [wave, mean] = [0, 1].map(|which| columns.feature(which).now());
        *masks = Masks {
            enter_long: above(wave, mean),
            exit_long: above(mean, wave),
            enter_short: above(mean, wave),
            exit_short: above(wave, mean),
        };
    }
}

/// Far above any price and far below it in turn, changing every so many bars.
struct Wave;

impl OwnFeature for Wave {
    fn name(&self) -> &'static str {
        "wave"
    }

    fn first_defined(&self, _: &[f64]) -> u64 {
        0
    }

    fn bytes(&self, _: &[f64]) -> usize {
        16
    }

    fn indicator(&self, parameters: &[f64]) -> Box<dyn Indicator> {
        Box::new(Turning(parameters[0] as u64, 0))
    }
}

struct Turning(u64, u64);

impl Indicator for Turning {
    fn next(&mut self, _: &Bar) -> f64 {
        self.1 += 1;
        let is_high = (self.1 / self.0).is_multiple_of(2);
        if is_high { 1e9 } else { -1e9 }
    }
}

/// Rules that carry more from bar to bar than the others.
const WATCHED: &str = "portfolio: {direction: long_short, sizing: {atr: {percent: 1, multiple: 2, period: 14}}, \
                       pyramiding: {max_entries: 3}}\n\
                       execution: {borrow: {annual_rate: 0.05}}\n\
                       risk: {max_drawdown: 0.5, max_daily_loss: 0.02}";

/// Likewise, with levels and orders that wait.
const MANAGED: &str = "portfolio: {direction: long_short, sizing: {quantity: 5}}\n\
                       exits: {trailing_stop: {atr: 3, period: 14}, take_profit: {percent: 1}, \
                       max_bars: 90, reentry: after_reset, end_of_day: '15:45'}\n\
                       execution: {entry: {limit: {percent: 0.01}, time_in_force: {bars: 30}}}";

#[test]
fn every_strategy_goes_on_from_every_block_as_if_it_had_not_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("s.bars");
    synth(4000, 1, &path).expect("a synthetic series");
    let bars = BarsFile::open(&path).expect("a bars file");
    for lines in [
        "execution: {commission: {rate: 0.0001}}",
        "portfolio: {direction: long_short, sizing: {cash: 5000}, close_at_end: true}",
        WATCHED,
        MANAGED,
    ] {
        let rules = rules(lines);
        let mut trades = 0;
        for strategy in strategy::all() {
            assert!(!strategy.usual().is_empty(), "{}", strategy.name());
            trades += check(&bars, strategy, &rules);
        }
        assert!(trades > 100, "{trades} trades show little");
        assert!(check(&bars, &Alternating, &rules) > 100);
    }
}
