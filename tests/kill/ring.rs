//! Rings with trades that overlap, killed: a child appends, the parent decodes its pool.

use crate::{Kill, Random, Tally, kills, steps, was_killed, witness};
use admf::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use admf::segment::{Append, Pool, PoolReader, Ring, segments_max};
use admf_formats::event::{EventSet, Fill, Stamp};
use admf_formats::manifest::Manifest;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;

const CONTAINERS: u64 = 4;
const EVENTS: u64 = 3000;
const WINDOW: u64 = 50;

#[derive(Clone, Copy)]
enum Step {
    Event { sequence: u64, trade: u32 },
    End { trade: u32 },
}

/// What a container does: one trade of eight lives long, so that dead frames pile up around it.
fn script(container: u64) -> Vec<Step> {
    let mut random = Random(container);
    let (mut steps, mut open, mut trades) = (Vec::new(), Vec::new(), 0);
    for sequence in 1..=EVENTS {
        if open.len() < 4 && (open.is_empty() || random.below(3) == 0) {
            trades += 1;
            let frames = if trades % 8 == 1 {
                12
            } else {
                1 + random.below(6)
            };
            open.push((trades, frames));
        }
        let long = open.len() > 1 && random.below(40) != 0;
        let at = if long { open.len() - 1 } else { 0 };
        let (trade, left) = &mut open[at];
        steps.push(Step::Event {
            sequence,
            trade: *trade,
        });
        *left -= 1;
        if *left == 0 {
            let (trade, _) = open.remove(at);
            steps.push(Step::End { trade });
        }
    }
    steps
}

fn rules(policy: RetentionPolicy) -> TraceRules {
    let mut rules = *shared_rules();
    rules.policy = policy;
    rules
}

fn shared_rules() -> &'static TraceRules {
    static RULES: TraceRules = TraceRules {
        events: EventSet::ALL,
        policy: RetentionPolicy::TradeComplete,
        bytes_per_container: 4096,
        on_full: OnFull::Strict,
        backing: Backing::Disk,
        store_trades: false,
        keep: Keep::NONE,
        compression: Compression::None,
    };
    &RULES
}

fn policy(number: u64) -> RetentionPolicy {
    if number % 4 == 3 {
        RetentionPolicy::SlidingWindow { events: WINDOW }
    } else {
        RetentionPolicy::TradeComplete
    }
}

fn payload(sequence: u64) -> Fill {
    Fill {
        qty: sequence as f64,
        price: 2.0,
        commission: 0.0,
        reference_price: 2.0,
        units_after: 1.0,
    }
}

/// Not a test: what the parent starts and kills.
#[test]
#[ignore = "started by killed_rings_lose_no_committed_event"]
fn child() {
    let Ok(folder) = std::env::var("ADMF_RING_CHILD") else {
        return;
    };
    let number = std::env::var("ADMF_RING_POLICY").expect("set by the parent");
    let rules = rules(policy(number.parse().expect("a number")));
    let segments = segments_max(&rules, 1024) as u32 * CONTAINERS as u32;
    let manifest = Manifest {
        workflow: "w".into(),
        phase: "p".into(),
        strategy: "s".into(),
        parameter_names: Vec::new(),
        objective: "sharpe_ratio".into(),
        symbols: Vec::new(),
        containers: CONTAINERS,
        initial_capital: 1.0,
        all_in: true,
        settings: "{}".into(),
        events: Manifest::event_schema(),
    };
    let path = Path::new(&folder).join("ring.pool");
    let mut pool = Pool::create(&path, 1, 1024, segments, &manifest).expect("a pool");
    let mut rings: Vec<Ring> = (0..CONTAINERS).map(|c| Ring::new(rules, c)).collect();
    let scripts: Vec<Vec<Step>> = (0..CONTAINERS).map(script).collect();
    let longest = scripts.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..longest {
        for (ring, script) in rings.iter_mut().zip(&scripts) {
            match script.get(at) {
                Some(Step::Event { sequence, trade }) => {
                    let stamp = Stamp {
                        sequence: *sequence,
                        trade: *trade,
                        ..Stamp::default()
                    };
                    let done = ring.append(&mut pool, &stamp, &payload(*sequence));
                    assert_eq!(done, Append::Done);
                }
                Some(Step::End { trade }) => ring.end_trade(&mut pool, *trade),
                None => {}
            }
        }
    }
}

/// The child, with the pool in this folder.
pub(crate) fn child_command(folder: &Path, policy_number: u64) -> Command {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child
        .args(["--exact", "ring::child", "--ignored", "-q"])
        .stdout(std::process::Stdio::null())
        .env("ADMF_RING_CHILD", folder)
        .env("ADMF_RING_POLICY", policy_number.to_string());
    child
}

/// Events that must be there when `seen` was the last that the witness knew of.
fn unexpired(script: &[Step], policy: RetentionPolicy, seen: u64) -> Vec<u64> {
    let mut events: Vec<(u64, u32)> = Vec::new();
    let mut ended = HashSet::new();
    for step in script {
        match *step {
            // What ends before the next event may have ended already.
            Step::Event { sequence, .. } if sequence > seen => break,
            Step::Event { sequence, trade } => events.push((sequence, trade)),
            Step::End { trade } => {
                ended.insert(trade);
            }
        }
    }
    match policy {
        RetentionPolicy::SlidingWindow { events: window } => {
            // The next event may be there already, and have pushed one out.
            let kept = events.len().min(window as usize - 1);
            events.drain(..events.len() - kept);
        }
        _ => events.retain(|(_, trade)| !ended.contains(trade)),
    }
    events.into_iter().map(|(sequence, _)| sequence).collect()
}

#[test]
fn killed_rings_lose_no_committed_event() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let steps = steps(&["append", "recycle", "evacuate", "pool"]);
    let scripts: Vec<Vec<Step>> = (0..CONTAINERS).map(script).collect();
    let seen_by = folder.path().join("witness");
    let pool = folder.path().join("ring.pool");
    let (mut random, mut tally, mut checked) = (Random(1), Tally::default(), 0);
    let (mut number, mut killed) = (0, 0);
    while killed < kills() {
        let kill = Kill::choose(&steps, number, 60_000, &mut random);
        let policy_number = random.below(4);
        number += 1;
        assert!(
            number < 100 * kills() + 1000,
            "the child is hardly ever killed"
        );
        let _ = std::fs::remove_file(&seen_by);
        let _ = std::fs::remove_file(&pool);
        let mut child = child_command(folder.path(), policy_number);
        child.env("ADMF_WITNESS", &seen_by);
        let status = kill.run(&mut child);
        assert!(was_killed(status) || status.success(), "{kill:?}: {status}");
        if was_killed(status) {
            killed += 1;
            tally.add(&kill);
        }
        let mut found: Vec<BTreeMap<u64, u32>> = vec![BTreeMap::new(); CONTAINERS as usize];
        if let Ok(reader) = PoolReader::open(&pool) {
            let read = reader.frames(|container, frame| {
                let (sequence, trade) = (frame.stamp.sequence, frame.stamp.trade);
                let expected = format!("Fill({:?})", payload(sequence));
                assert_eq!(format!("{:?}", frame.payload), expected, "{kill:?}");
                found[container as usize].insert(sequence, trade);
                Ok(())
            });
            read.unwrap_or_else(|error| panic!("{kill:?}: {error}"));
        }
        let seen = witness(&seen_by);
        for (container, found) in found.iter().enumerate() {
            let seen = seen.get(container).copied().unwrap_or(0);
            let script = &scripts[container];
            for sequence in unexpired(script, policy(policy_number), seen) {
                assert!(
                    found.contains_key(&sequence),
                    "{kill:?}, container {container}: event {sequence} of {seen} is lost"
                );
                checked += 1;
            }
            for step in script {
                if let Step::Event { sequence, trade } = step
                    && let Some(found) = found.get(sequence)
                {
                    assert_eq!(found, trade, "{kill:?}");
                }
            }
            let last = found.keys().last().copied().unwrap_or(0);
            assert!(
                last <= seen + 1,
                "{kill:?}: event {last} was never appended"
            );
        }
    }
    println!(
        "rings: {killed} kills of {number} children, {checked} events had to be there and were"
    );
    tally.print(&steps);
}
