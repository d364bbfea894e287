//! What people see while a phase runs.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the display is refreshed on a terminal, and a line is printed elsewhere.
const TICK: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(5);

/// Runs `work` while a bar (or plain lines, where there is no terminal) shows how far it is.
pub(super) fn watch<T>(
    phase: &str,
    containers: u64,
    budget: u64,
    quiet: bool,
    finished: &AtomicU64,
    work: impl FnOnce() -> T,
) -> T {
    if quiet {
        return work();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let display = || show(phase, containers, budget, finished, &over);
        let shown = std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn_scoped(scope, display);
        let outcome = work();
        over.store(true, Ordering::Release);
        if let Ok(shown) = shown {
            shown.thread().unpark();
        }
        outcome
    })
}

fn show(phase: &str, containers: u64, budget: u64, finished: &AtomicU64, over: &AtomicBool) {
    let started = Instant::now();
    let is_terminal = std::io::stderr().is_terminal();
    let bar = ProgressBar::new(containers);
    let style =
        ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {per_sec} ETA {eta} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(phase.to_owned());
    let mut last_line = started;
    while !over.load(Ordering::Acquire) {
        let done = finished.load(Ordering::Relaxed);
        let memory = format!(
            "memory {} of {}",
            crate::plan::show(resident_bytes()),
            crate::plan::show(budget)
        );
        if is_terminal {
            bar.set_position(done);
            bar.set_message(memory);
        } else if last_line.elapsed() >= LINE {
            last_line = Instant::now();
            let rate = done as f64 / started.elapsed().as_secs_f64();
            let eta = if done > 0 {
                format!("{:.0} s", (containers - done) as f64 / rate)
            } else {
                "not known yet".to_owned()
            };
            eprintln!("{phase}: {done}/{containers} containers, {rate:.0}/s, ETA {eta}, {memory}");
        }
        std::thread::park_timeout(TICK);
    }
    bar.finish_and_clear();
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The most memory that was resident so far; 0 where the system does not say.
pub(super) fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

fn status_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}
