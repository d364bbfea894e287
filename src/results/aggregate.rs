//! The aggregate of a phase, streamed: result records in, one report out.
//!
//! Bounded by `top_n` records and the room of a fold, however many containers there are. Metrics are
//! made of records by several threads; sums are taken in order of container index.

use super::percentiles::{Search, Table};
use super::scan::{PIECE, Records, buffers, scan};
use super::statistics::{COLUMNS, OBJECTIVE, Row, Statistics};
use crate::Result;
use admf_formats::report::{
    AggregateMetrics, AggregateReport, BestContainer, ConstraintReport, Metrics, Objective,
    ReportContext, StatisticsReport,
};
use admf_formats::result::ResultRecord;
use admf_formats::units::finite;
use std::cmp::Ordering;
use std::ops::Range;

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

/// What turns a record into its row: nothing here changes while records are folded.
#[derive(Clone, Debug)]
struct Rules {
    context: ReportContext,
    objective: Objective,
    /// The objective's terms as columns of a row and weights.
    terms: Vec<(usize, f64)>,
    /// The column of each constraint on results.
    constrained: Vec<usize>,
}

impl Rules {
    fn new(context: ReportContext) -> Rules {
        let objective = context.objective();
        let column = |metric: &String| {
            let mut names = Metrics::OBJECTIVES.iter();
            names
                .position(|name| name == metric)
                .expect("an objective and its constraints name metrics")
        };
        let terms = objective.terms.iter();
        Rules {
            terms: terms
                .map(|term| (column(&term.metric), term.weight))
                .collect(),
            constrained: objective
                .constraints
                .iter()
                .map(|constraint| column(&constraint.metric))
                .collect(),
            objective,
            context,
        }
    }

    /// The metrics of a container and the value of its objective; all NaN where it failed.
    fn row(&self, record: &ResultRecord) -> Row {
        let mut row = [f64::NAN; COLUMNS];
        if record.is_completed() {
            row[..OBJECTIVE].copy_from_slice(&self.context.metrics(record).values());
            row[OBJECTIVE] = self.value(&row);
        }
        row
    }

    /// As [`Objective::value`]; NaN, which every sum hands on, for null.
    fn value(&self, row: &Row) -> f64 {
        if let [(column, 1.0)] = self.terms[..] {
            return row[column];
        }
        let terms = self.terms.iter();
        let sum = terms.fold(0.0, |sum, (column, weight)| sum + weight * row[*column]);
        finite(sum).unwrap_or(f64::NAN)
    }
}

/// Column of a metric that the means are of.
const fn column(name: &str) -> usize {
    let (mut at, names) = (0, Metrics::OBJECTIVES);
    while !is_same(names[at].as_bytes(), name.as_bytes()) {
        at += 1;
    }
    at
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

const SHARPE_RATIO: usize = column("sharpe_ratio");
const TOTAL_RETURN: usize = column("total_return");
const MAX_DRAWDOWN: usize = column("max_drawdown");
const WIN_RATE: usize = column("win_rate");

/// What is folded of the records besides their statistics.
#[derive(Clone, Debug)]
struct Totals {
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
}

/// Folds the result records of a phase into its aggregate.
#[derive(Clone, Debug)]
pub struct Aggregator {
    rules: Rules,
    totals: Totals,
    statistics: Statistics,
}

/// What a fold may take while it lasts.
#[derive(Clone, Copy, Debug)]
pub struct FoldRoom {
    /// Threads at most.
    pub threads: usize,
    /// Rows of the table that percentiles are found with.
    pub rows: u64,
}

impl FoldRoom {
    /// Rows of a sample that is worth its name: a phase that has no more is never read twice.
    pub const ROWS_MIN: u64 = 512;

    /// The most rows that leave a fold of so many containers within `bytes`.
    pub fn within(bytes: u64, threads: usize, containers: u64, percentiles: u64) -> FoldRoom {
        let row = Table::bytes(1024) / 1024;
        let is_within = |rows| FoldRoom { threads, rows }.bytes(containers, percentiles) <= bytes;
        let rows = if is_within(containers) {
            containers
        } else {
            let least = FoldRoom {
                threads,
                rows: FoldRoom::ROWS_MIN,
            };
            let more = bytes.saturating_sub(least.bytes(containers, percentiles)) / row;
            FoldRoom::ROWS_MIN + more
        };
        FoldRoom { threads, rows }
    }

    /// Bytes of a fold of so many containers.
    pub fn bytes(&self, containers: u64, percentiles: u64) -> u64 {
        let piece = containers.min(PIECE as u64);
        let buffer = piece * (size_of::<Row>() + size_of::<ResultRecord>()) as u64;
        let buffers = buffers(self.threads) as u64 * buffer;
        match (percentiles, containers <= self.rows) {
            (0, _) => buffers,
            (_, true) => buffers + Table::bytes(containers),
            (_, false) => {
                let sample = Table::bytes(self.sample(containers));
                buffers + sample + Search::bytes(percentiles)
            }
        }
    }

    /// Rows of a sample of so many containers: its intervals then hold some of their square root.
    fn sample(&self, containers: u64) -> u64 {
        self.rows.min(4 * containers.isqrt())
    }
}

impl Aggregator {
    /// Memory per container that can be among the best, in bytes: what a plan counts `top_n` times.
    pub const BYTES_PER_BEST: usize = size_of::<Ranked>();

    /// An aggregator that has seen nothing. Memory for `top_n` records (no more than there are
    /// containers) is taken here.
    pub fn new(context: ReportContext, top_n: u64) -> Aggregator {
        let top_n = usize::try_from(top_n.min(context.containers)).unwrap_or(usize::MAX);
        let rules = Rules::new(context);
        let totals = Totals {
            top_n,
            best: Vec::with_capacity(top_n),
            next_index: 0,
            completed: 0,
            failed: 0,
            excluded: 0,
            missed: vec![0; rules.objective.constraints.len()],
            total_trades: 0,
            best_objective: None,
            best_sharpe_ratio: None,
            sharpe_ratio: Mean::default(),
            total_return: Mean::default(),
            max_drawdown: Mean::default(),
            win_rate: Mean::default(),
        };
        Aggregator {
            rules,
            totals,
            statistics: Statistics::new(false, &[]),
        }
        .with_percentiles(&[])
    }

    /// The same, which also finds these percentiles, which rise.
    pub fn with_percentiles(mut self, percentiles: &[f64]) -> Aggregator {
        let has_objective = self.rules.objective.short_name() == "objective";
        self.statistics = Statistics::new(has_objective, percentiles);
        self
    }

    /// Folds every record of the containers of these indices, in order of index, and finds the
    /// percentiles. Records are read once where the room has a row for each container, and two or
    /// three times where it has not.
    ///
    /// A failed container is counted and nothing else: it never ranks, and no mean holds it. One
    /// that misses a constraint on results is in the means, and ranks behind all that miss none.
    ///
    /// Errors: those of the records.
    pub fn fold(
        &mut self,
        records: &(impl Records + ?Sized),
        indices: Range<u64>,
        room: FoldRoom,
    ) -> Result<()> {
        let count = indices.end - indices.start;
        let columns = self.statistics.columns.clone();
        let percents = self.statistics.percentiles.clone();
        let counts = |statistics: &Statistics| -> Vec<u64> {
            let of = |column: &usize| statistics.moments.count(*column);
            columns.iter().map(of).collect()
        };
        if percents.is_empty() {
            return self.fold_once(records, indices, room.threads, None, None);
        }
        if count <= room.rows {
            let mut table = Table::new(&columns, count);
            self.fold_once(records, indices, room.threads, Some(&mut table), None)?;
            let counts = counts(&self.statistics);
            self.statistics.found = table.percentiles(&percents, &counts, room.threads);
            return Ok(());
        }
        let sample = self.sample(records, &indices, room.sample(count))?;
        let mut search = Search::new(sample, &percents, room.threads);
        self.fold_once(records, indices.clone(), room.threads, None, Some(&search))?;
        let counts = counts(&self.statistics);
        while !search.narrow(&counts) {
            self.count(records, indices.clone(), room.threads, &search)?;
        }
        self.statistics.found = search.found();
        Ok(())
    }

    /// Rows of so many containers, one out of each of as many parts of the indices.
    fn sample(
        &self,
        records: &(impl Records + ?Sized),
        indices: &Range<u64>,
        rows: u64,
    ) -> Result<Table> {
        let mut table = Table::new(&self.statistics.columns, rows);
        let mut reader = records.reader();
        let count = indices.end - indices.start;
        let part = |at: u64| {
            indices.start + (u128::from(at) * u128::from(count) / u128::from(rows)) as u64
        };
        for at in 0..rows {
            let (first, end) = (part(at), part(at + 1));
            // Anywhere in its part, so that no period of the parameter space is met; always at the
            // same place, so that a run takes the same passes every time.
            let place = first + scattered(at) % (end - first);
            reader.read(place..place + 1, &mut |record| {
                table.push(&[self.rules.row(record)]);
            })?;
        }
        Ok(table)
    }

    /// The pass that every record takes: in order of index, beside what percentiles need.
    fn fold_once(
        &mut self,
        records: &(impl Records + ?Sized),
        indices: Range<u64>,
        threads: usize,
        mut table: Option<&mut Table>,
        search: Option<&Search>,
    ) -> Result<()> {
        let Aggregator {
            rules,
            totals,
            statistics,
        } = self;
        let (rules, moments) = (&*rules, &mut *statistics.moments);
        let room = (indices.end - indices.start).min(PIECE as u64) as usize;
        type Buffer = (Vec<ResultRecord>, Vec<Row>);
        scan(
            records,
            indices,
            threads,
            || (Vec::with_capacity(room), Vec::with_capacity(room)),
            |reader, indices, (read, rows): &mut Buffer| {
                read.clear();
                rows.clear();
                reader.read(indices, &mut |record| {
                    read.push(*record);
                    rows.push(rules.row(record));
                })?;
                if let Some(search) = search {
                    search.count(rows);
                }
                Ok(())
            },
            |(read, rows)| {
                for (record, row) in read.iter().zip(rows.iter()) {
                    totals.push(rules, record, row);
                }
                moments.push(rows);
                if let Some(table) = &mut table {
                    table.push(rows);
                }
            },
        )
    }

    /// A further pass, in which order does not matter.
    fn count(
        &self,
        records: &(impl Records + ?Sized),
        indices: Range<u64>,
        threads: usize,
        search: &Search,
    ) -> Result<()> {
        scan(
            records,
            indices,
            threads,
            || Vec::with_capacity(PIECE),
            |reader, indices, rows: &mut Vec<Row>| {
                rows.clear();
                reader.read(indices, &mut |record| {
                    rows.push(self.rules.row(record));
                })?;
                search.count(rows);
                Ok(())
            },
            |_| {},
        )
    }

    /// Why nothing is handed over though containers completed: none meets the constraints.
    pub fn unmet(&self) -> Option<String> {
        if self.totals.completed == 0 || self.totals.excluded < self.totals.completed {
            return None;
        }
        let constraints: Vec<String> = self
            .rules
            .objective
            .constraints
            .iter()
            .zip(&self.totals.missed)
            .map(|(constraint, missed)| format!("{constraint} is missed by {missed}"))
            .collect();
        Some(format!(
            "phase {}: none of {} completed containers meets the result_constraints ({}); loosen \
             them or widen the parameter ranges",
            self.rules.context.phase,
            self.totals.completed,
            constraints.join(", ")
        ))
    }

    /// The best containers so far that meet every constraint, best first: what the next phase runs.
    pub fn best(&self) -> impl ExactSizeIterator<Item = &ResultRecord> {
        let met = self
            .totals
            .best
            .partition_point(|ranked| !ranked.is_excluded);
        self.totals.best[..met].iter().map(|ranked| &ranked.record)
    }

    /// Means and extremes so far.
    pub fn metrics(&self) -> AggregateMetrics {
        AggregateMetrics {
            objective: self.rules.objective.short_name().to_owned(),
            best_objective: self.totals.best_objective,
            best_sharpe_ratio: self.totals.best_sharpe_ratio,
            avg_sharpe_ratio: self.totals.sharpe_ratio.value(),
            avg_total_return: self.totals.total_return.value(),
            avg_max_drawdown: self.totals.max_drawdown.value(),
            avg_win_rate: self.totals.win_rate.value(),
            portfolio_count: self.totals.completed,
        }
    }

    /// The report over everything so far.
    pub fn report(&self) -> AggregateReport {
        AggregateReport {
            phase: self.rules.context.phase.clone(),
            objective: self.rules.objective.function(),
            containers: self.totals.completed + self.totals.failed,
            completed: self.totals.completed,
            failed: self.totals.failed,
            excluded: self.totals.excluded,
            result_constraints: self
                .rules
                .objective
                .constraints
                .iter()
                .zip(&self.totals.missed)
                .map(|(constraint, missed)| ConstraintReport {
                    constraint: constraint.to_string(),
                    missed: *missed,
                })
                .collect(),
            total_trades: self.totals.total_trades,
            best: self
                .totals
                .best
                .iter()
                .map(|ranked| self.best_container(ranked))
                .collect(),
            aggregate_metrics: self.metrics(),
            statistics: StatisticsReport(self.statistics.report()),
        }
    }

    fn best_container(&self, ranked: &Ranked) -> BestContainer {
        let metrics: Metrics = self.rules.context.metrics(&ranked.record);
        BestContainer {
            container: self.rules.context.container_id(&ranked.record),
            symbol: self.rules.context.symbol(&ranked.record).to_owned(),
            parameters: self.rules.context.parameters(&ranked.record),
            objective_value: ranked.objective,
            meets_constraints: !ranked.is_excluded,
            metrics,
        }
    }
}

impl Totals {
    /// Adds the next container, in order of index.
    fn push(&mut self, rules: &Rules, record: &ResultRecord, row: &Row) {
        assert!(
            record.index >= self.next_index,
            "result records come in order of their index"
        );
        self.next_index = record.index + 1;
        if !record.is_completed() {
            self.failed += 1;
            return;
        }
        self.completed += 1;
        self.total_trades += record.trades.trades;
        let sharpe_ratio = finite(row[SHARPE_RATIO]);
        self.sharpe_ratio.push(sharpe_ratio);
        self.total_return.push(finite(row[TOTAL_RETURN]));
        self.max_drawdown.push(finite(row[MAX_DRAWDOWN]));
        self.win_rate.push(finite(row[WIN_RATE]));
        let mut is_excluded = false;
        let constraints = rules.objective.constraints.iter().zip(&rules.constrained);
        for ((constraint, column), missed) in constraints.zip(&mut self.missed) {
            let is_missed = !constraint.is_met_by(finite(row[*column]));
            *missed += u64::from(is_missed);
            is_excluded |= is_missed;
        }
        let value = finite(row[OBJECTIVE]);
        if is_excluded {
            self.excluded += 1;
        } else {
            let order = rules.objective.compare(self.best_objective, value);
            if order == Ordering::Greater {
                self.best_objective = value;
            }
            self.best_sharpe_ratio = larger(self.best_sharpe_ratio, sharpe_ratio);
        }
        self.rank(&rules.objective, is_excluded, value, record);
    }

    /// Keeps the record if it is among the best. Records come in order of index, so one that ties
    /// goes behind those that are kept.
    fn rank(
        &mut self,
        rule: &Objective,
        is_excluded: bool,
        objective: Option<f64>,
        record: &ResultRecord,
    ) {
        let place = self.best.partition_point(|kept| {
            let met_first = kept.is_excluded.cmp(&is_excluded);
            let order = met_first.then(rule.compare(kept.objective, objective));
            order != Ordering::Greater
        });
        if place == self.top_n {
            return;
        }
        if self.best.len() == self.top_n {
            self.best.pop();
        }
        self.best.insert(
            place,
            Ranked {
                is_excluded,
                objective,
                record: *record,
            },
        );
    }
}

/// A number that looks like chance, the same for the same `number` (S. Vigna, splitmix64).
const fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The larger of two figures, null last.
fn larger(left: Option<f64>, right: Option<f64>) -> Option<f64> {
    match (left, right) {
        (Some(left), Some(right)) if right <= left => Some(left),
        (left, None) => left,
        (_, right) => right,
    }
}
