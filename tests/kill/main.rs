//! Killed at any step, a run loses nothing that was committed, and goes on to the same bytes.
//!
//! `ADMF_KILLS=1000 cargo test --release --features failpoints --test kill -- --nocapture`
//! is the long form; without `ADMF_KILLS` there are 30 kills of each kind.

mod checkpoints;
mod engine;
mod ring;
mod sequences;

use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// How many kills each of the two tests makes.
fn kills() -> u64 {
    let text = std::env::var("ADMF_KILLS").unwrap_or_else(|_| "60".to_owned());
    let kills: u64 = text.parse().expect("ADMF_KILLS is a number");
    kills.div_ceil(2)
}

/// Reproducible random numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Small numbers as often as large ones, up to 2 to the power of `bits`.
    pub fn any_size(&mut self, bits: u64) -> u64 {
        let size = 1 << self.below(bits + 1);
        1 + self.below(size)
    }
}

/// Where a child is to be killed.
#[derive(Clone, Debug)]
pub enum Kill {
    /// At a named step, the so-many-th time that it is reached.
    Step(String, u64),
    /// After so many microseconds.
    After(u64),
}

impl Kill {
    /// Every named step of `steps` in turn, and a random moment; in the first round of all where
    /// each step is reached for the first time.
    fn choose(steps: &[String], number: u64, microseconds: u64, random: &mut Random) -> Kill {
        let round = steps.len() as u64 + 2;
        let place = (number % round) as usize;
        match steps.get(place) {
            Some(step) if number < round => Kill::Step(step.clone(), 1),
            Some(step) => {
                let often = step.starts_with("append") || step.starts_with("recycle");
                Kill::Step(step.clone(), random.any_size(if often { 14 } else { 5 }))
            }
            None => Kill::After(random.below(microseconds)),
        }
    }

    /// Runs the command to its end or to the kill.
    fn run(&self, command: &mut Command) -> ExitStatus {
        match self {
            Kill::Step(step, at) => {
                command.env("ADMF_FAILPOINT", format!("{step}:{at}=kill"));
                command.status().expect("the child starts")
            }
            Kill::After(microseconds) => {
                let mut child: Child = command.spawn().expect("the child starts");
                std::thread::sleep(Duration::from_micros(*microseconds));
                // It may have ended by itself.
                let _ = child.kill();
                child.wait().expect("the child ends")
            }
        }
    }
}

/// Every step whose name begins like one of these; those of writes with their parts.
fn steps(begin: &[&str]) -> Vec<String> {
    let mut steps = Vec::new();
    for (step, is_write) in admf::failpoint::STEPS {
        if begin.iter().any(|begin| step.starts_with(begin)) {
            steps.push(step.to_owned());
            if is_write {
                steps.extend([format!("{step}.half"), format!("{step}.done")]);
            }
        }
    }
    steps
}

fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

/// Sequences that the witness saw committed, by container; 0 for none.
fn witness(file: &std::path::Path) -> Vec<u64> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let numbers = bytes.as_chunks::<8>().0.iter();
    numbers.map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

/// How often each step was met.
#[derive(Default)]
pub struct Tally(std::collections::BTreeMap<String, u64>);

impl Tally {
    fn add(&mut self, kill: &Kill) {
        let name = match kill {
            Kill::Step(step, _) => step.clone(),
            Kill::After(_) => "a random moment".to_owned(),
        };
        *self.0.entry(name).or_default() += 1;
    }

    /// Prints it. The long form kills at every step, or it is not what it says.
    #[track_caller]
    fn print(&self, steps: &[String]) {
        for (step, kills) in &self.0 {
            println!("  {step:<28} {kills:>5} kills");
        }
        let missed: Vec<&String> = (steps.iter())
            .filter(|step| !self.0.contains_key(*step))
            .collect();
        assert!(
            missed.is_empty() || kills() < 500,
            "nothing was killed at {missed:?}"
        );
    }
}

#[test]
fn every_named_step_is_reached() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let reached = folder.path().join("reached");
    let run = |mut command: Command, failpoint: &str| {
        command.env("ADMF_FAILPOINT", failpoint);
        command.env("ADMF_REACHED", &reached).status()
    };
    for policy in engine::POLICIES {
        let file = engine::workflow(folder.path(), policy);
        let root = folder.path().join(policy);
        let killed = run(engine::admf(&file, &root, 2, "64MiB"), "archive.seal=kill");
        assert!(was_killed(killed.expect("it starts")));
        // The second run goes on with what the first one wrote.
        let done = run(engine::admf(&file, &root, 2, "64MiB"), "");
        assert!(done.expect("it starts").success());
        let root = folder.path().join(format!("{policy}_checkpoints"));
        let mut often = engine::admf(&file, &root, 2, "64MiB");
        often.args(["--checkpoint-seconds", "0"]);
        assert!(run(often, "").expect("it starts").success());
    }
    for policy in [0, 3] {
        let done = run(ring::child_command(folder.path(), policy), "");
        assert!(done.expect("it starts").success());
    }
    let reached = std::fs::read_to_string(&reached).expect("steps were noted");
    let reached: std::collections::BTreeSet<&str> = reached.lines().collect();
    let named = steps(&[""]);
    let never: Vec<&String> = (named.iter())
        .filter(|step| !reached.contains(step.as_str()))
        .collect();
    assert!(never.is_empty(), "no run reaches {never:?}");
}
