//! Events of trades that are closed before their block ends may be counted instead of told: nothing
//! else is different, to the bit, nor with fewer instructions of the processor.

mod random;

use admf::container::{PerStep, Sink, Untold};
use admf::kernel::{Vectors, use_at_most};
use admf::topology::{TileSink, Worker};
use admf_formats::event::{AnyPayload, EventKind, EventSet, Payload, Stamp};
use admf_formats::result::{Ledger, ResultRecord, Status};
use admf_formats::units::QUANTUM_BARS;
use random::{Case, Event, Random, bars, exits, seeds, write};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

/// Is told what outlives a block.
#[derive(Default)]
struct Counting {
    told: Vec<Event>,
    counted: u64,
}

impl Sink for Counting {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        #[repr(align(16))]
        struct Bytes([u8; 128]);
        let mut bytes = Bytes([0; 128]);
        payload.write(&mut bytes.0[..P::BYTES]);
        let read = AnyPayload::read(P::KIND, &bytes.0[..P::BYTES]);
        self.told.push((*stamp, read.expect("a payload")));
    }

    fn end_trade(&mut self, _: u32) {}

    fn only_counts_closed(&self) -> bool {
        true
    }

    fn count_closed(&mut self, untold: Untold) {
        self.counted += untold.events(PerStep::of(EventSet::ALL));
    }
}

impl TileSink for Counting {
    fn select(&mut self, _: usize) {}

    fn failure(&mut self) -> Option<admf::Error> {
        None
    }
}

/// A workflow whose positions are of one side, with random costs, sizes and prices; in every second
/// one the masks alone decide, the others have exits of their own too.
fn one_sided(random: &mut Random) -> String {
    let exits = if random.once_in(2) {
        exits(random, 5)
    } else {
        String::new()
    };
    let risked = if exits.contains("stop_loss") {
        "{risk_per_trade: {percent: 1}}"
    } else {
        "{quantity: 10}"
    };
    let sizing = [
        risked,
        "{percent_of_equity: 100}",
        "{percent_of_equity: 60}",
        "{quantity: 10}",
        "{cash: 500}",
        "{cash: 90000}",
    ];
    let commission = [
        "{rate: 0.001}",
        "{per_share: 0.01}",
        "{fixed: 3}",
        "{rate: 0.0}",
    ];
    let strategy = [
        "sma_crossover, parameters: {fast: 2, slow: 5}",
        "sma_crossover, parameters: {fast: 3, slow: 60}",
        "rsi_bands, parameters: {period: 5, oversold: 40, overbought: 60}",
        "donchian_breakout, parameters: {entry: 6, exit: 3}",
    ];
    format!(
        "workflow: single_backtest\ndata: {{path: none.bars}}\nstrategy: {{name: {}}}\n\
         portfolio: {{initial_capital: {}, direction: {}, sizing: {}, whole_units: {}, close_at_end: {}}}\n\
         execution: {{fill: {}, commission: {}, slippage: {{rate: {}}}}}\n{exits}",
        random.one_of(&strategy),
        random.one_of(&["100000", "700"]),
        random.one_of(&["long_only", "long_only", "short_only"]),
        random.one_of(&sizing),
        random.once_in(2),
        random.once_in(2),
        random.one_of(&["next_open", "same_close"]),
        random.one_of(&commission),
        if random.once_in(2) { 0.0 } else { 0.0005 },
    )
}

/// Everything that is added up, in one text.
fn totals(record: &ResultRecord) -> String {
    let ResultRecord {
        events,
        equity,
        trades,
        execution,
        ..
    } = record;
    format!("{events} {equity:?} {trades:?} {execution:?}")
}

#[test]
fn closed_trades_that_are_only_counted_change_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut counted, mut told) = (0, 0);
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let case = if seed % 4 == 0 {
            Case::new(&mut random)
        } else {
            let text = one_sided(&mut random);
            Case::of(text, &mut random)
        };
        let path = folder.path().join(format!("{seed}.bars"));
        let file = write(&bars(&mut random, 1300), &path);
        let (events, listened) = case.run(&file);
        let stop = AtomicBool::new(false);
        let (job, set) = case.job(&file, &stop);
        let (mut worker, mut sink) = (Worker::new(1), Counting::default());
        use_at_most(Vectors::ALL[seed as usize / 4 % Vectors::ALL.len()]);
        worker.run_tile(job, &[set], &mut sink).expect("sound bars");
        use_at_most(Vectors::Avx512);
        let mut record = worker.containers[0].result(Status::Completed, Ledger::default());
        // Whoever drives a worker tells the ERROR of a container that failed.
        record.events += u64::from(listened.failure.is_some());
        let what = format!("seed {seed}\n{}", case.text);
        assert_eq!(totals(&record), totals(&listened.record), "{what}");
        if listened.failure.is_some() {
            continue;
        }
        assert_eq!(
            sink.told.len() as u64 + sink.counted,
            events.len() as u64,
            "{what}"
        );
        // Event ids count from 1.
        for event in &sink.told {
            let all = &events[event.0.sequence as usize - 1];
            // As text, where a null equals a null.
            assert_eq!(format!("{event:?}"), format!("{all:?}"), "{what}");
        }
        let block = |stamp: &Stamp| stamp.bar as usize / QUANTUM_BARS;
        let closed: HashMap<u32, usize> = (events.iter())
            .filter(|(_, payload)| matches!(payload, AnyPayload::PositionClose(_)))
            .map(|(stamp, _)| (stamp.trade, block(stamp)))
            .collect();
        let told_ids: Vec<u64> = sink.told.iter().map(|(stamp, _)| stamp.sequence).collect();
        assert!(told_ids.is_sorted(), "{what}");
        for (stamp, _) in &events {
            let ends = closed.get(&stamp.trade).copied();
            if ends.is_none_or(|ends| ends > block(stamp)) {
                let is_told = told_ids.binary_search(&stamp.sequence).is_ok();
                assert!(is_told, "{what}\n{stamp:?}");
            }
        }
        counted += sink.counted;
        told += told_ids.len();
        std::fs::remove_file(&path).expect("it is there");
    }
    assert!(
        counted > 10_000 && told > 10_000,
        "{counted} and {told} are no test"
    );
}
