//! The aggregate of a phase, streamed: result records in, one report out.
//!
//! Bounded by `top_n` records, however many containers there are. Sums are taken in order of
//! container index, so the caller reads the archives in that order.

use super::statistics::Statistics;
use admf_formats::report::{
    AggregateMetrics, AggregateReport, BestContainer, ConstraintReport, Metrics, Objective,
    ReportContext, StatisticsReport,
};
use admf_formats::result::ResultRecord;
use admf_formats::units::finite;
use std::cmp::Ordering;

/// A running mean over the values that are not null.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn push(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        finite(self.sum / self.count as f64)
    }
}

/// A completed container that may be among the best.
#[derive(Clone, Debug)]
struct Ranked {
    /// Whether it misses a constraint on results: then it ranks behind all that miss none.
    is_excluded: bool,
    objective: Option<f64>,
    record: ResultRecord,
}

/// Folds the result records of a phase into its aggregate.
#[derive(Clone, Debug)]
pub struct Aggregator {
    context: ReportContext,
    objective: Objective,
    top_n: usize,
    /// Best first, at most `top_n`.
    best: Vec<Ranked>,
    /// The lowest index that may come next.
    next_index: u64,
    completed: u64,
    failed: u64,
    excluded: u64,
    /// Completed containers that miss each constraint on results.
    missed: Vec<u64>,
    total_trades: u64,
    best_objective: Option<f64>,
    best_sharpe_ratio: Option<f64>,
    sharpe_ratio: Mean,
    total_return: Mean,
    max_drawdown: Mean,
    win_rate: Mean,
    statistics: Statistics,
}

impl Aggregator {
    /// Memory per container that can be among the best, in bytes: what a plan counts `top_n` times.
    pub const BYTES_PER_BEST: usize = size_of::<Ranked>();

    /// An aggregator that has seen nothing. Memory for `top_n` records (no more than there are
    /// containers) is taken here, and none later.
    pub fn new(context: ReportContext, top_n: u64) -> Aggregator {
        let top_n = usize::try_from(top_n.min(context.containers)).unwrap_or(usize::MAX);
        let objective = context.objective();
        let statistics = Statistics::new(&objective, &[]);
        Aggregator {
            context,
            top_n,
            best: Vec::with_capacity(top_n),
            next_index: 0,
            completed: 0,
            failed: 0,
            excluded: 0,
            missed: vec![0; objective.constraints.len()],
            objective,
            total_trades: 0,
            best_objective: None,
            best_sharpe_ratio: None,
            sharpe_ratio: Mean::default(),
            total_return: Mean::default(),
            max_drawdown: Mean::default(),
            win_rate: Mean::default(),
            statistics,
        }
    }

    /// The same, which also finds these percentiles: see [`Aggregator::settle`].
    pub fn with_percentiles(mut self, percentiles: &[f64]) -> Aggregator {
        self.statistics = Statistics::new(&self.objective, percentiles);
        self
    }

    /// Bytes of the statistics with so many percentiles.
    pub const fn statistics_bytes(percentiles: usize) -> usize {
        Statistics::bytes(percentiles)
    }

    /// Finds the percentiles once every record was pushed: `scan` hands over every record again,
    /// in any order, and is called until all are found, at most eight times.
    ///
    /// Errors: those of `scan`.
    pub fn settle<E>(
        &mut self,
        mut scan: impl FnMut(&mut dyn FnMut(&ResultRecord)) -> Result<(), E>,
    ) -> Result<(), E> {
        self.statistics.start();
        while self.statistics.is_open() {
            let (context, statistics) = (&self.context, &mut self.statistics);
            scan(&mut |record| {
                if record.is_completed() {
                    statistics.count(&context.metrics(record));
                }
            })?;
            statistics.narrow();
        }
        Ok(())
    }

    /// Adds the next record, in order of index. A failed container is counted and nothing else: it
    /// never ranks, and no mean holds it. One that misses a constraint on results is in the means,
    /// and ranks behind all that miss none.
    pub fn push(&mut self, record: &ResultRecord) {
        assert!(
            record.index >= self.next_index,
            "result records come in order of their index"
        );
        self.next_index = record.index + 1;
        if !record.is_completed() {
            self.failed += 1;
            return;
        }
        let metrics = self.context.metrics(record);
        self.completed += 1;
        self.statistics.push(&metrics);
        self.total_trades += metrics.total_trades;
        self.sharpe_ratio.push(metrics.sharpe_ratio);
        self.total_return.push(metrics.total_return);
        self.max_drawdown.push(finite(metrics.max_drawdown));
        self.win_rate.push(metrics.win_rate);
        let mut is_excluded = false;
        for (constraint, missed) in self.objective.constraints.iter().zip(&mut self.missed) {
            let is_missed = !constraint.is_met(&metrics);
            *missed += u64::from(is_missed);
            is_excluded |= is_missed;
        }
        let value = self.objective.value(&metrics);
        if is_excluded {
            self.excluded += 1;
        } else {
            if self.objective.compare(self.best_objective, value) == Ordering::Greater {
                self.best_objective = value;
            }
            self.best_sharpe_ratio = larger(self.best_sharpe_ratio, metrics.sharpe_ratio);
        }
        self.rank(Ranked {
            is_excluded,
            objective: value,
            record: *record,
        });
    }

    /// Why nothing is handed over though containers completed: none meets the constraints.
    pub fn unmet(&self) -> Option<String> {
        if self.completed == 0 || self.excluded < self.completed {
            return None;
        }
        let constraints: Vec<String> = self
            .objective
            .constraints
            .iter()
            .zip(&self.missed)
            .map(|(constraint, missed)| format!("{constraint} is missed by {missed}"))
            .collect();
        Some(format!(
            "phase {}: none of {} completed containers meets the result_constraints ({}); loosen \
             them or widen the parameter ranges",
            self.context.phase,
            self.completed,
            constraints.join(", ")
        ))
    }

    /// The best containers so far that meet every constraint, best first: what the next phase runs.
    pub fn best(&self) -> impl ExactSizeIterator<Item = &ResultRecord> {
        let met = self.best.partition_point(|ranked| !ranked.is_excluded);
        self.best[..met].iter().map(|ranked| &ranked.record)
    }

    /// Means and extremes so far.
    pub fn metrics(&self) -> AggregateMetrics {
        AggregateMetrics {
            objective: self.objective.short_name().to_owned(),
            best_objective: self.best_objective,
            best_sharpe_ratio: self.best_sharpe_ratio,
            avg_sharpe_ratio: self.sharpe_ratio.value(),
            avg_total_return: self.total_return.value(),
            avg_max_drawdown: self.max_drawdown.value(),
            avg_win_rate: self.win_rate.value(),
            portfolio_count: self.completed,
        }
    }

    /// The report over everything so far.
    pub fn report(&self) -> AggregateReport {
        AggregateReport {
            phase: self.context.phase.clone(),
            objective: self.objective.function(),
            containers: self.completed + self.failed,
            completed: self.completed,
            failed: self.failed,
            excluded: self.excluded,
            result_constraints: self
                .objective
                .constraints
                .iter()
                .zip(&self.missed)
                .map(|(constraint, missed)| ConstraintReport {
                    constraint: constraint.to_string(),
                    missed: *missed,
                })
                .collect(),
            total_trades: self.total_trades,
            best: self
                .best
                .iter()
                .map(|ranked| self.best_container(ranked))
                .collect(),
            aggregate_metrics: self.metrics(),
            statistics: StatisticsReport(self.statistics.report()),
        }
    }

    fn best_container(&self, ranked: &Ranked) -> BestContainer {
        let metrics: Metrics = self.context.metrics(&ranked.record);
        BestContainer {
            container: self.context.container_id(&ranked.record),
            symbol: self.context.symbol(&ranked.record).to_owned(),
            parameters: self.context.parameters(&ranked.record),
            objective_value: ranked.objective,
            meets_constraints: !ranked.is_excluded,
            metrics,
        }
    }

    /// Keeps the record if it is among the best. Records come in order of index, so one that ties
    /// goes behind those that are kept.
    fn rank(&mut self, ranked: Ranked) {
        let place = self.best.partition_point(|kept| {
            let met_first = kept.is_excluded.cmp(&ranked.is_excluded);
            let order = met_first.then(self.objective.compare(kept.objective, ranked.objective));
            order != Ordering::Greater
        });
        if place == self.top_n {
            return;
        }
        if self.best.len() == self.top_n {
            self.best.pop();
        }
        self.best.insert(place, ranked);
    }
}

/// The larger of two figures, null last.
fn larger(left: Option<f64>, right: Option<f64>) -> Option<f64> {
    match (left, right) {
        (Some(left), Some(right)) if right <= left => Some(left),
        (left, None) => left,
        (_, right) => right,
    }
}
