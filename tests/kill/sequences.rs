//! Sequences that are killed inside of a phase, or behind all of them, go on to the same bytes.

use crate::checkpoints::{Place, checkpoints, resumed, told};
use crate::{Random, kills, was_killed};
use std::path::Path;
use std::time::{Duration, Instant};

/// Windows of 2,880 one-minute bars, tested on the next 1,440.
const WALK_FORWARD: &str = "workflow: walk_forward_optimization
data: {path: '{symbol}.bars', symbols: [A]}
strategy: {name: sma_crossover, parameters: {fast: [3, 8], slow: [20, 35, 50]}}
container_results: json
walk_forward: {train: 2, test: 1, step: 1, unit: days, anchored: false}
event_tracing: all
results_storage: disk
phase_overrides:
  training: {retention_policy: full, store_trades: true}
  testing: {retention_policy: sliding_window, sliding_window_size: 50}
";

#[test]
fn a_window_that_is_killed_inside_of_a_tile_goes_on_from_its_checkpoint() {
    let place = Place::of(WALK_FORWARD);
    let windows = |name: &str| {
        let list = std::fs::read_dir(place.root(name).join("walk_forward_optimization/windows"));
        list.into_iter().flatten().count()
    };
    assert!(windows("whole") >= 2, "{} windows", windows("whole"));
    let (mut inside, mut phases) = (0, [0, 0]);
    // Every checkpoint of the run is the last one before a kill; every tenth in the short form.
    let step = (300 / kills()).max(1);
    for checkpoint in (1..).step_by(step as usize) {
        let _ = std::fs::remove_dir_all(place.root("killed"));
        let failpoint = format!("checkpoint.written:{checkpoint}=kill");
        let out = place.run("killed", 1 + checkpoint % 2, "64MiB", Some(&failpoint));
        if !was_killed(out.status) {
            assert!(out.status.success(), "{}", told(&out));
            place.is_whole("killed");
            break;
        }
        let finished = windows("killed");
        let left = checkpoints(&place.root("killed"));
        let (header, path) = &left[0];
        let name = path.file_name().expect("a name").to_string_lossy();
        let is_testing = name.starts_with("testing");
        let bars = place.finish("killed", 1 + checkpoint / 2 % 2, "64MiB");
        // It was in the middle of a window's tile, and went on there.
        assert_eq!(bars, [header.next_block * 512], "{checkpoint}: {name}");
        inside += usize::from(finished > 0);
        phases[usize::from(is_testing)] += 1;
    }
    println!("walk-forward: killed after {phases:?} checkpoints of training and testing");
    assert!(inside > 2 && phases[0] > 1 && phases[1] > 1, "{phases:?}");
}

const MONTE_CARLO: &str = "workflow: monte_carlo
data: {path: '{symbol}.bars', symbols: [A, B]}
strategy: {name: sma_crossover, parameters: {fast: [3, 8], slow: [20, 35]}}
monte_carlo: {METHOD}
event_tracing: all
retention_policy: full
";

#[test]
fn a_simulation_that_is_killed_draws_the_same_paths() {
    let mut random = Random(11);
    for method in [
        "method: block_bootstrap, paths: 4000, seed: 5, block: 20",
        "method: trade_reshuffle, paths: 20000, seed: 5",
        "method: price_noise, paths: 80, seed: 5, noise: 0.3",
    ] {
        let place = Place::of(&MONTE_CARLO.replace("METHOD", method));
        let report = Path::new("monte_carlo/monte_carlo_results.json");
        let whole = place.root("whole").join(report);
        assert!(whole.is_file(), "{}", whole.display());
        // Inside of a tile.
        place.kill("killed", 1, 5);
        assert!(!place.root("killed").join(report).is_file());
        let (header, _) = &checkpoints(&place.root("killed"))[0];
        let header = *header;
        assert!(header.next_block > 0);
        let bars = place.finish("killed", 2, "64MiB");
        assert_eq!(bars, [header.next_block * 512]);
        // While paths are drawn: all phases are finished, the report is not.
        let (mut drawing, mut killed) = (0, 0);
        for _ in 0..kills().div_ceil(10) {
            let _ = std::fs::remove_dir_all(place.root("killed"));
            let phase = place.root("killed/monte_carlo/backtest");
            let summary = phase.join("phase_summary.json");
            let mut child = place.command("killed").spawn().expect("it starts");
            let started = Instant::now();
            while !summary.is_file() {
                let waited = started.elapsed();
                assert!(
                    waited < Duration::from_secs(120),
                    "no {}",
                    summary.display()
                );
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(random.below(15_000)));
            let _ = child.kill();
            if !was_killed(child.wait().expect("it ends")) {
                continue;
            }
            killed += 1;
            drawing += usize::from(!place.root("killed").join(report).is_file());
            let out = place.run("killed", 1 + random.below(2), "64MiB", None);
            assert!(
                out.status.success() && resumed(&out).is_empty(),
                "{}",
                told(&out)
            );
            place.is_whole("killed");
        }
        println!("{method}: {killed} kills after the phases, {drawing} while paths were drawn");
        assert!(drawing > 0, "{method}: no kill met the drawing");
    }
}
