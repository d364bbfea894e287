//! Whole sweeps, killed and started again until they are finished.

use crate::{Kill, Random, Tally, kills, steps, was_killed, witness};
use admf::segment::{ArchiveReader, PoolReader};
use admf_formats::archive::ChunkKind;
use admf_formats::event::{EventKind, OrderStatus};
use admf_formats::segment::Frame;
use admf_formats::units::QUANTUM_BARS;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const WINDOW: usize = 40;
/// Retention policies, one workflow each.
pub(crate) const POLICIES: [&str; 3] = ["full", "trade_complete", "sliding_window"];
/// Only open trades of positions of one side, what most sweeps keep: events go to the pool as they
/// happen, or only the trades that outlive a block have any.
const ONE_SIDED: &str = "one_sided";
/// All events of the same containers.
const ONE_SIDED_FULL: &str = "one_sided_full";

/// A container as its archive has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Committed {
    record: String,
    trace: Vec<String>,
    trades: Vec<String>,
    kept: Vec<String>,
}

/// Frames by sequence, without what depends on the pool.
type Events = BTreeMap<u64, (Frame, String)>;

fn text(frame: &Frame) -> String {
    let mut frame = *frame;
    frame.generation = 0;
    format!("{frame:?}")
}

/// What a results directory holds.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) json: BTreeMap<PathBuf, Vec<u8>>,
    pub(crate) committed: BTreeMap<u64, Committed>,
    /// Of containers that are not committed.
    events: BTreeMap<u64, Events>,
    closes: BTreeMap<u64, HashSet<u64>>,
}

pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Reads everything; what cannot be read is empty, and the check for losses tells.
pub(crate) fn read(root: &Path) -> Content {
    let mut content = Content::default();
    for path in files(root) {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") if !path.ends_with("run.json") => {
                let name = path.strip_prefix(root).expect("below the root");
                let bytes = std::fs::read(&path).expect("a readable file");
                serde_json::from_slice::<serde_json::Value>(&bytes).expect("JSON is whole");
                content.json.insert(name.to_path_buf(), bytes);
            }
            Some("admf") => {
                let archive = ArchiveReader::open(&path);
                let archive = archive.expect("an archive has its name when it has its header");
                read_archive(&archive, &mut content);
            }
            Some("pool") => {
                if let Ok(pool) = PoolReader::open(&path) {
                    let each = |container: u64, frame: &Frame| {
                        keep(&mut content, container, frame);
                        Ok(())
                    };
                    pool.frames(each).expect("a pool decodes");
                }
            }
            _ => {}
        }
    }
    content
}

fn keep(content: &mut Content, container: u64, frame: &Frame) {
    if frame.payload.kind() == EventKind::PositionClose {
        let closes = content.closes.entry(container).or_default();
        closes.insert(frame.stamp.sequence);
    }
    let events = content.events.entry(container).or_default();
    let known = events.insert(frame.stamp.sequence, (*frame, text(frame)));
    assert!(known.is_none_or(|known| known.1 == text(frame)));
}

fn read_archive(archive: &ArchiveReader, content: &mut Content) {
    for index in archive.containers() {
        let Some(slot) = archive.slot(index).expect("a readable slot") else {
            continue;
        };
        assert!(slot.record.ledger.balances(), "{:?}", slot.record);
        let frames = |kind| {
            let mut texts = Vec::new();
            let read = archive.frames(&slot, kind, |frame| {
                texts.push(text(frame));
                Ok(())
            });
            read.unwrap_or_else(|error| panic!("container {index}: {error}"));
            texts
        };
        let committed = Committed {
            record: format!("{:?}", slot.record),
            trace: frames(ChunkKind::Trace),
            trades: frames(ChunkKind::Trades),
            kept: frames(ChunkKind::Kept),
        };
        content.committed.insert(index, committed);
    }
    for kind in [ChunkKind::Trace, ChunkKind::Trades] {
        let each = |container: u64, frame: &Frame| {
            keep(content, container, frame);
            Ok(())
        };
        archive
            .unfinished_frames(kind, each)
            .expect("chunks decode");
    }
}

/// Sequences that the policy keeps when `seen` is the last event.
fn unexpired(events: &Events, policy: &str, seen: u64) -> Vec<u64> {
    let known = events.range(..=seen);
    match policy {
        "full" => known.map(|(sequence, _)| *sequence).collect(),
        "sliding_window" => {
            let all: Vec<u64> = known.map(|(sequence, _)| *sequence).collect();
            all[all.len().saturating_sub(WINDOW)..].to_vec()
        }
        _ => {
            let ended: HashSet<u32> = known
                .clone()
                .filter(|(_, (frame, _))| ends_trade(frame))
                .map(|(_, (frame, _))| frame.stamp.trade)
                .collect();
            known
                .filter(|(_, (frame, _))| {
                    frame.stamp.trade != 0 && !ended.contains(&frame.stamp.trade)
                })
                .map(|(sequence, _)| *sequence)
                .collect()
        }
    }
}

fn ends_trade(frame: &Frame) -> bool {
    let status = frame.stamp.code;
    let is_dead = status == OrderStatus::Rejected as u8 || status == OrderStatus::Expired as u8;
    match frame.payload.kind() {
        EventKind::PositionClose => true,
        EventKind::Order => is_dead,
        _ => false,
    }
}

/// The first event after this one that the pool is told; of positions of one side those of trades
/// that end within the block are counted alone, and so is every end.
fn next_told(events: &Events, policy: &str, seen: u64) -> u64 {
    let block = |frame: &Frame| frame.stamp.bar as usize / QUANTUM_BARS;
    let ends_later = |frame: &Frame| {
        let trade = frame.stamp.trade;
        let mut ends = events.values().filter(|(end, _)| ends_trade(end));
        let end = ends.find(|(end, _)| end.stamp.trade == trade);
        trade != 0 && end.is_none_or(|(end, _)| block(end) > block(frame))
    };
    events
        .range(seen + 1..)
        .find(|(_, (frame, _))| policy != ONE_SIDED || ends_later(frame))
        .map_or(u64::MAX, |(sequence, _)| *sequence)
}

/// Holds what a killed run left against the events of every container. Gives the events checked.
fn check(
    content: &Content,
    whole: &Content,
    all: &BTreeMap<u64, Events>,
    policy: &str,
    seen: &[u64],
    kill: &Kill,
) -> u64 {
    let mut checked = 0;
    for (container, committed) in &content.committed {
        assert_eq!(Some(committed), whole.committed.get(container), "{kill:?}");
    }
    let none = Events::new();
    for (container, events) in all {
        if content.committed.contains_key(container) {
            continue;
        }
        let found = content.events.get(container).unwrap_or(&none);
        for (sequence, (_, text)) in found {
            assert_eq!(text, &events[sequence].1, "{kill:?}, container {container}");
        }
        let seen = seen.get(*container as usize).copied().unwrap_or(0);
        // The event after the last one that the witness knows of may be committed too.
        let next = next_told(events, policy, seen);
        let lost = |seen: u64| -> Option<u64> {
            let kept = unexpired(events, policy, seen);
            kept.into_iter()
                .find(|sequence| !found.contains_key(sequence))
        };
        let later = events.range(seen + 1..).map(|(sequence, _)| *sequence);
        let mut later = later.take_while(|sequence| *sequence <= next);
        if let Some(sequence) = lost(seen)
            && later.all(|seen| lost(seen).is_some())
        {
            panic!("{kill:?}, {policy}, container {container}: event {sequence} of {seen} is lost");
        }
        checked += unexpired(events, policy, seen).len() as u64;
        if policy == ONE_SIDED {
            continue;
        }
        // The log of closed trades has every close but the one that was being appended.
        let closes = content.closes.get(container);
        for (sequence, (frame, _)) in events.range(..seen) {
            if frame.payload.kind() == EventKind::PositionClose {
                let is_kept = closes.is_some_and(|closes| closes.contains(sequence));
                assert!(
                    is_kept,
                    "{kill:?}, container {container}: trade {sequence} is lost"
                );
                checked += 1;
            }
        }
    }
    checked
}

/// Writes bars and the workflow of this policy.
pub(crate) fn workflow(folder: &Path, policy: &str) -> PathBuf {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    for symbol in ["A", "B", "C", "D"] {
        // Other bars for each, so that a mix-up would show.
        let text = std::fs::read_to_string(&data).expect("the bundled data");
        let skip = 1 + 37 * (symbol.as_bytes()[0] - b'A') as usize;
        let lines: Vec<&str> = text.lines().collect();
        let own = [&lines[..1], &lines[skip..]].concat().join("\n");
        std::fs::write(folder.join(format!("{symbol}.csv")), own).expect("writable");
    }
    let window = if policy == "sliding_window" {
        format!("sliding_window_size: {WINDOW}\n")
    } else {
        String::new()
    };
    let (direction, retention, stores) = match policy {
        ONE_SIDED => ("long_only", "trade_complete", false),
        ONE_SIDED_FULL => ("long_only", "full", false),
        _ => ("long_short", policy, true),
    };
    let file = folder.join(format!("{policy}.yaml"));
    let text = format!(
        "workflow: parameter_sweep
data: {{path: '{{symbol}}.csv', symbols: [A, B, C, D]}}
strategy:
  name: sma_crossover
  parameters: {{fast: [3, 8], slow: [20, 35, 50]}}
portfolio: {{direction: {direction}}}
event_tracing: all
retention_policy: {retention}
{window}store_trades: {stores}
"
    );
    std::fs::write(&file, text).expect("writable");
    file
}

/// A run of the workflow.
pub(crate) fn admf(file: &Path, root: &Path, threads: u64, budget: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_admf"));
    command
        .arg("run")
        .arg(file)
        .arg("--results-root")
        .arg(root)
        .args(["-q", "--threads", &threads.to_string()])
        .args(["--memory-budget", budget]);
    command
}

/// Every event of every container, which the archives of a run under `full` have.
fn all_events(root: &Path) -> BTreeMap<u64, Events> {
    let mut all: BTreeMap<u64, Events> = BTreeMap::new();
    for path in files(root)
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "admf"))
    {
        let archive = ArchiveReader::open(path).expect("an archive");
        for index in archive.containers() {
            let slot = archive.slot(index).expect("readable").expect("committed");
            let events = all.entry(index).or_default();
            let each = |frame: &Frame| {
                events.insert(frame.stamp.sequence, (*frame, text(frame)));
                Ok(())
            };
            archive
                .frames(&slot, ChunkKind::Trace, each)
                .expect("frames");
        }
    }
    all
}

#[test]
fn killed_runs_lose_nothing_and_go_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Trades of the engine do not overlap, so that nothing is ever evacuated: rings do that.
    let mut steps = steps(&[""]);
    steps.retain(|step| !step.starts_with("evacuate"));
    let mut wholes = Vec::new();
    for policy in POLICIES.into_iter().chain([ONE_SIDED, ONE_SIDED_FULL]) {
        let root = folder.path().join(format!("whole_{policy}"));
        let file = workflow(folder.path(), policy);
        let status = admf(&file, &root, 2, "64MiB").status().expect("it starts");
        assert!(status.success());
        wholes.push((policy, file, read(&root)));
    }
    wholes.truncate(POLICIES.len() + 1);
    let all = all_events(&folder.path().join("whole_full"));
    let one_sided = all_events(&folder.path().join("whole_one_sided_full"));
    assert_eq!((all.len(), one_sided.len()), (24, 24));
    let (mut random, mut tally) = (Random(2), Tally::default());
    let (mut number, mut killed, mut checked, mut finished) = (0, 0, 0, 0);
    let seen_by = folder.path().join("witness");
    while killed < kills() {
        let (policy, file, whole) = &wholes[number as usize % wholes.len()];
        let all = if *policy == ONE_SIDED {
            &one_sided
        } else {
            &all
        };
        let root = folder.path().join("killed");
        let _ = std::fs::remove_dir_all(&root);
        let mut committed: BTreeMap<u64, Committed> = BTreeMap::new();
        // Until it is finished; the last attempts are left in peace.
        for attempt in 0.. {
            let _ = std::fs::remove_file(&seen_by);
            let threads = 1 + random.below(2);
            let budget = ["24MiB", "64MiB"][random.below(2) as usize];
            let mut command = admf(file, &root, threads, budget);
            command.env("ADMF_WITNESS", &seen_by);
            // Every other run keeps its state at every block.
            let seconds = ["0", "5"][random.below(2) as usize];
            command.args(["--checkpoint-seconds", seconds]);
            let kill = if attempt < 12 {
                Kill::choose(&steps, number, 150_000, &mut random)
            } else {
                Kill::After(60_000_000)
            };
            number += 1;
            let status = match kill {
                Kill::After(60_000_000) => command.status().expect("it starts"),
                _ => kill.run(&mut command),
            };
            let content = read(&root);
            for (container, earlier) in &committed {
                let now = content.committed.get(container);
                assert_eq!(now, Some(earlier), "{kill:?}: container {container}");
            }
            if !was_killed(status) {
                assert!(status.success(), "{kill:?}: {status}");
                assert!(content.json == whole.json, "{kill:?}: other JSON");
                assert_eq!(content.committed, whole.committed, "{kill:?}");
                finished += 1;
                break;
            }
            killed += 1;
            tally.add(&kill);
            let seen = witness(&seen_by);
            checked += check(&content, whole, all, policy, &seen, &kill);
            committed = content.committed;
        }
    }
    println!(
        "runs: {killed} kills, {finished} runs finished after them with the same bytes, \
         {checked} events had to be there and were"
    );
    tally.print(&steps);
}
