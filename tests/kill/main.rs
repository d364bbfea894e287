//! Killed at any step, a run loses nothing that was committed, and goes on to the same bytes.
//!
//! `ADMF_KILLS=1000 cargo test --release --features failpoints --test kill -- --nocapture`
//! is the long form; without `ADMF_KILLS` there are 30 kills of each kind.

mod checkpoints;
mod engine;
mod ring;

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
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
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
    /// Every named step of `steps` in turn, and a random moment.
    fn choose(steps: &[String], number: u64, microseconds: u64, random: &mut Random) -> Kill {
        let place = (number % (steps.len() as u64 + 2)) as usize;
        match steps.get(place) {
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

    fn print(&self) {
        for (step, kills) in &self.0 {
            println!("  {step:<28} {kills:>5} kills");
        }
    }
}
