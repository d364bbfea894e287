//! The JSON of one container: `containers/<id>_results.json`.
//!
//! Derived from the container's record and what the phase has in common, so that tools make the
//! same bytes from the archive.

use super::{Metrics, Objective, Parameters, container_id};
use crate::result::{Ledger, ResultRecord};
use serde::Serialize;

/// A symbol of a phase, in the manifest's order.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportSymbol {
    /// Symbol.
    pub symbol: String,
    /// Bars per year of its data.
    pub bars_per_year: f64,
}

/// What the reports of a phase's containers have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportContext {
    /// Name of the phase.
    pub phase: String,
    /// Name of the strategy.
    pub strategy: String,
    /// Names of the parameters, in the order of [`ResultRecord::parameters`].
    pub parameter_names: Vec<String>,
    /// Symbols, by [`ResultRecord::symbol`].
    pub symbols: Vec<ReportSymbol>,
    /// The text form of an [`Objective`].
    pub objective: String,
    /// Containers of the whole phase, all shards counted.
    pub containers: u64,
}

impl ReportContext {
    /// The name of the record's container.
    pub fn container_id(&self, record: &ResultRecord) -> String {
        container_id(record.index, self.containers)
    }

    /// The record's parameters with their names.
    pub fn parameters(&self, record: &ResultRecord) -> Parameters {
        Parameters(
            self.parameter_names
                .iter()
                .cloned()
                .zip(record.parameters)
                .collect(),
        )
    }

    /// The record's symbol; empty where the manifest has none of that number.
    pub fn symbol(&self, record: &ResultRecord) -> &str {
        self.symbols
            .get(record.symbol as usize)
            .map_or("", |symbol| &symbol.symbol)
    }

    /// What ranks the containers.
    ///
    /// A manifest is refused when it is read if its objective is none, so a text that is none here
    /// is our own mistake.
    pub fn objective(&self) -> Objective {
        Objective::parse(&self.objective).expect("the objective was checked where it was read")
    }

    /// The record's metrics, annualised with its symbol's bars per year.
    pub fn metrics(&self, record: &ResultRecord) -> Metrics {
        let symbol = self.symbols.get(record.symbol as usize);
        Metrics::of(
            record,
            symbol.map_or(f64::NAN, |symbol| symbol.bars_per_year),
        )
    }
}

/// Everything about one container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContainerReport {
    /// Name, see [`container_id`].
    pub container: String,
    /// `completed` or `failed`.
    pub status: &'static str,
    /// Why it failed; null for a completed one.
    pub failure: Option<String>,
    /// Name of the phase.
    pub phase: String,
    /// Symbol.
    pub symbol: String,
    /// Name of the strategy.
    pub strategy: String,
    /// Parameters.
    pub parameters: Parameters,
    /// Bars it traded on.
    pub window: WindowReport,
    /// Metrics; those of a failed container cover the bars until it failed.
    pub metrics: MetricsReport,
    /// The metrics that are looked at first, again.
    pub summary: SummaryReport,
    /// The tracer's ledger.
    pub events: EventsReport,
}

/// The window of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WindowReport {
    /// First bar, absolute in the bars file, from 0.
    pub first_bar: u64,
    /// Bars.
    pub bars: u64,
}

/// All metrics of a container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricsReport {
    /// Metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The objective without its constraints.
    pub objective_function: String,
    /// Its value; null where one of its metrics is null, and for a failed container.
    pub objective_value: Option<f64>,
    /// Events kept at the end.
    pub events_retained: u64,
}

/// The metrics that are looked at first, each as in [`Metrics`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryReport {
    /// Equity before the first bar, in money.
    pub initial_capital: f64,
    /// Equity at the last close, in money.
    pub final_value: f64,
    /// See [`Metrics::total_return`].
    pub total_return: Option<f64>,
    /// See [`Metrics::sharpe_ratio`].
    pub sharpe_ratio: Option<f64>,
    /// See [`Metrics::max_drawdown`].
    pub max_drawdown: f64,
    /// See [`Metrics::total_trades`].
    pub total_trades: u64,
    /// See [`Metrics::win_rate`].
    pub win_rate: Option<f64>,
}

/// The ledger: attempted = retained + recycled + dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EventsReport {
    /// Events of the container, traced or not.
    pub total: u64,
    /// Events of selected kinds.
    pub attempted: u64,
    /// Kept at the end.
    pub retained: u64,
    /// Kept once, then recycled.
    pub recycled: RecycledReport,
    /// Never kept.
    pub dropped: DroppedReport,
}

/// Recycled events by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RecycledReport {
    /// Their trade was closed.
    pub trade_closed: u64,
    /// They left the sliding window.
    pub window: u64,
}

/// Events that were never kept, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedReport {
    /// They belong to no trade, and the policy keeps trades.
    pub without_trade: u64,
    /// The container's ring was at its cap.
    pub at_cap: u64,
}

impl EventsReport {
    /// The ledger of a container that had `total` events.
    pub const fn of(total: u64, ledger: &Ledger) -> EventsReport {
        EventsReport {
            total,
            attempted: ledger.attempted,
            retained: ledger.retained,
            recycled: RecycledReport {
                trade_closed: ledger.recycled_trade_closed,
                window: ledger.recycled_window,
            },
            dropped: DroppedReport {
                without_trade: ledger.dropped_without_trade,
                at_cap: ledger.dropped_at_cap,
            },
        }
    }
}

impl ContainerReport {
    /// The report of a record. `failure` says why a failed container failed; it is left out of the
    /// report of a completed one.
    pub fn of(
        record: &ResultRecord,
        context: &ReportContext,
        failure: Option<&str>,
    ) -> ContainerReport {
        let completed = record.is_completed();
        let metrics = context.metrics(record);
        let objective = context.objective();
        ContainerReport {
            container: context.container_id(record),
            status: if completed { "completed" } else { "failed" },
            failure: failure.filter(|_| !completed).map(str::to_owned),
            phase: context.phase.clone(),
            symbol: context.symbol(record).to_owned(),
            strategy: context.strategy.clone(),
            parameters: context.parameters(record),
            window: WindowReport {
                first_bar: record.first_bar,
                bars: record.equity.bars,
            },
            summary: SummaryReport {
                initial_capital: record.equity.initial,
                final_value: record.equity.last,
                total_return: metrics.total_return,
                sharpe_ratio: metrics.sharpe_ratio,
                max_drawdown: metrics.max_drawdown,
                total_trades: metrics.total_trades,
                win_rate: metrics.win_rate,
            },
            metrics: MetricsReport {
                objective_value: objective.value(&metrics).filter(|_| completed),
                objective_function: objective.function(),
                events_retained: record.ledger.retained,
                metrics,
            },
            events: EventsReport::of(record.events, &record.ledger),
        }
    }
}
