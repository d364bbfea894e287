//! The plan: every byte of a phase before its first bar, or a refusal with figures.
//!
//! The budget chooses the size of tiles and the number of workers and nothing else; what a
//! container keeps, trades or reports never depends on it.

use crate::{Error, Result};
use bytesize::ByteSize;
use serde::Serialize;

/// The program itself: code and libraries as far as they are touched, the workflow, buffers of
/// import and reports, what the allocator rounds up. Measured; `tests/memory.rs` holds it. A build
/// that is not optimised has more code.
pub const BASE_BYTES: u64 = (127 << 16) + if cfg!(debug_assertions) { 16 << 16 } else { 0 };

/// Code of the library that reads Parquet, which is there once it was called. Measured.
const PARQUET_BYTES: u64 = 11 << 16;

/// What of the program is not touched yet while its workflow file is read. Measured.
const AFTER_READING_BYTES: u64 = 2 << 20;

/// What of it is not touched yet while data is imported. Measured.
const AFTER_IMPORT_BYTES: u64 = 4 << 16;

/// What a value of a workflow takes while its file is read, and in the settings that are left of it.
/// Measured.
const VALUE_READING_BYTES: u64 = 448;
/// See [`VALUE_READING_BYTES`].
const VALUE_BYTES: u64 = 40;

/// The least that a phase takes beside the program.
const PHASE_BYTES_MIN: u64 = 14 << 16;

/// Stack of a worker or writer thread.
pub const STACK_BYTES: u64 = 512 << 10;

/// The largest tile that is worth its cache, and whole tiles of a thousand containers.
pub const TILE_SETS_MAX: u64 = 500;

/// Tiles are made smaller down to this before a worker is given up.
const TILE_SETS_WORTH: u64 = 64;

/// Bytes of one use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What for.
    pub name: &'static str,
    /// How many, over all workers.
    pub bytes: u64,
}

/// What containers of a phase trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracePlan {
    /// Pattern over the names of containers; null for those that no pattern matches. The first of
    /// the list that matches a name holds.
    pub pattern: Option<String>,
    /// Containers that the pattern matches; null without a pattern.
    pub matched: Option<u64>,
    /// Trace level that the rules began with.
    pub trace_level: String,
    /// Names of the traced kinds of events, in order of their numbers.
    pub event_tracing: Vec<String>,
    /// Retention policy.
    pub retention_policy: String,
    /// Events of the sliding window; null under other policies.
    pub sliding_window_size: Option<u64>,
    /// Bars or time of the sliding window, such as `500 bars`, where it has no number of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<String>,
    /// Whether every trade is kept.
    pub store_trades: bool,
    /// Closed trades that keep their events, as the workflow says it; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
}

/// What one phase needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Phase.
    pub phase: String,
    /// Containers.
    pub containers: u64,
    /// Tiles.
    pub tiles: u64,
    /// Parameter sets of the largest tile.
    pub tile_sets: u64,
    /// Workers.
    pub workers: u64,
    /// What its containers trace, the more specific pattern first.
    pub traces: Vec<TracePlan>,
    /// Bytes per use; their sum is the predicted peak.
    pub parts: Vec<Part>,
    /// Predicted peak of resident memory.
    pub peak_bytes: u64,
    /// The budget.
    pub budget_bytes: u64,
    /// Bytes on disk: records of the results, pools, and checkpoints at their largest. Events that
    /// are archived come on top, for how many there are nobody knows before.
    pub disk_bytes: u64,
    /// Those of them that checkpoints take, while tiles run that take long.
    pub checkpoint_bytes: u64,
    /// Free bytes there.
    pub disk_free_bytes: u64,
}

/// What a tile of so many sets on one worker costs, by use.
pub type WorkerParts<'a> = &'a dyn Fn(u64) -> Result<Vec<Part>>;

/// The largest tile and the most workers that fit.
///
/// `shared` are parts that exist once. Gives tile size, workers and all parts.
///
/// Errors: [`Error::Plan`] with figures where not even one worker with tiles of one set fits.
pub fn fit(
    phase: &str,
    budget: u64,
    workers_max: u64,
    shared: &[Part],
    worker: WorkerParts<'_>,
) -> Result<(u64, u64, Vec<Part>)> {
    let largest = TILE_SETS_MAX;
    let mut smallest = None;
    for workers in (1..=workers_max).rev() {
        let worth = if workers == 1 {
            1
        } else {
            TILE_SETS_WORTH.min(largest)
        };
        let mut tile = largest;
        loop {
            let mut parts = vec![Part {
                name: "program",
                bytes: BASE_BYTES,
            }];
            parts.extend_from_slice(shared);
            parts.extend(worker(tile)?.into_iter().map(|part| Part {
                bytes: part.bytes * workers,
                ..part
            }));
            let peak: u64 = parts.iter().map(|part| part.bytes).sum();
            if peak <= budget {
                return Ok((tile, workers, parts));
            }
            if tile <= worth {
                smallest = Some((peak, parts));
                break;
            }
            tile = (tile / 2).max(worth);
        }
    }
    let (peak, parts) = smallest.expect("at least one worker is tried");
    let list: Vec<String> = parts
        .iter()
        .map(|part| format!("{} {}", part.name, show(part.bytes)))
        .collect();
    Err(Error::Plan {
        message: format!(
            "phase {phase} needs {} with one worker and tiles of one set, memory_budget is {} ({}); \
             raise memory_budget to at least {}, or keep less per container (retention_policy, \
             sliding_window, trace.bytes_per_container)",
            show(peak),
            show(budget),
            list.join(", "),
            show_at_least(peak)
        ),
    })
}

/// What a process takes before its phases: to read its workflow, and to import data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The predicted peak while it lasts.
    pub peak: u64,
    settings: u64,
    parquet: u64,
}

impl Start {
    /// Of a workflow whose settings have so many values.
    pub const fn of_workflow(values: u64) -> Start {
        Start {
            peak: BASE_BYTES - AFTER_READING_BYTES + values * VALUE_READING_BYTES,
            settings: values * VALUE_BYTES,
            parquet: 0,
        }
    }

    /// Then a data file is imported whose reading takes so many bytes beside what every import takes:
    /// nothing for CSV. Gives the peak of that.
    pub fn import(&mut self, reading: u64) -> u64 {
        if reading > 0 {
            self.parquet = PARQUET_BYTES;
        }
        let peak = BASE_BYTES - AFTER_IMPORT_BYTES + self.kept() + reading;
        self.peak = self.peak.max(peak);
        peak
    }

    /// What is left of it for the phases.
    pub const fn kept(self) -> u64 {
        self.settings + self.parquet
    }
}

/// Whether this peak, of what comes before the phases, is to be refused. What any phase takes is left
/// to the plan of the phase, which knows how much is enough.
pub const fn exceeds(peak: u64, budget: u64) -> bool {
    peak > budget && peak > BASE_BYTES + PHASE_BYTES_MIN
}

/// Bytes as people read them, for what must not be less.
pub fn show_at_least(bytes: u64) -> String {
    const TENTH: f64 = (1 << 20) as f64 / 10.0;
    format!("{:.1} MiB", (bytes as f64 / TENTH).ceil() / 10.0)
}

/// Bytes as people read them.
pub fn show(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(budget: u64, expected: Option<(u64, u64)>) {
        let worker = |tile: u64| {
            Ok(vec![Part {
                name: "containers",
                bytes: tile << 10,
            }])
        };
        let fitted = fit("sweep", budget, 2, &[], &worker);
        assert_eq!(
            fitted.ok().map(|(tile, workers, _)| (tile, workers)),
            expected
        );
    }

    #[test]
    fn tiles_shrink_before_workers_are_given_up() {
        check(64 << 20, Some((500, 2)));
        check(BASE_BYTES + (512 << 10), Some((250, 2)));
        check(BASE_BYTES + (96 << 10), Some((62, 1)));
        check(BASE_BYTES + (1 << 10), Some((1, 1)));
        check(BASE_BYTES, None);
    }
}
