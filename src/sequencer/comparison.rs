//! Phases beside each other: what was chosen in one, and what it came to in the next.
//!
//! Holds what is handed over and nothing else. A sequence of windows has its own report, of all
//! windows together.

use super::phase::{Outcome, PhaseRun};
use super::{Candidates, Phase};
use admf_formats::report::{
    ComparisonReport, MetricComparison, Metrics, Objective, ReportContext, SetComparison,
};
use admf_formats::result::ResultRecord;
use admf_formats::units::finite;

/// The report's name.
pub(super) const RESULTS_FILE: &str = "comparison_results.json";

/// A phase that ran, with what it hands over.
struct Ran {
    phase: String,
    objective: Objective,
    context: ReportContext,
    best: Vec<ResultRecord>,
}

/// Compares each phase that runs another one's best with that one.
#[derive(Default)]
pub(super) struct Comparison {
    ran: Vec<Ran>,
    reports: Vec<ComparisonReport>,
}

impl Comparison {
    /// Takes the next phase.
    pub(super) fn add(&mut self, phase: &Phase, planned: &PhaseRun<'_>, outcome: &Outcome) {
        let context = planned.report_context(&phase.name, planned.plan.containers);
        if let Candidates::BestOf { phase: source, .. } = &phase.candidates
            && let Some(source) = self.ran.iter().find(|ran| ran.phase == *source)
        {
            let report = compare(source, &phase.name, &context, &outcome.handed_over);
            self.reports.push(report);
        }
        self.ran.push(Ran {
            phase: phase.name.clone(),
            objective: phase.objective.clone(),
            context,
            best: outcome.best.clone(),
        });
    }

    /// A report for each phase that ran another one's best.
    pub(super) fn reports(&self) -> &[ComparisonReport] {
        &self.reports
    }
}

fn compare(
    source: &Ran,
    to: &str,
    context: &ReportContext,
    handed_over: &[ResultRecord],
) -> ComparisonReport {
    let objective = &source.objective;
    let figures = |context: &ReportContext, record: &ResultRecord| {
        record.is_completed().then(|| context.metrics(record))
    };
    // Container n ran the nth best.
    let pairs: Vec<(Option<Metrics>, Option<Metrics>)> = source
        .best
        .iter()
        .enumerate()
        .map(|(place, record)| {
            let other = handed_over.iter().find(|one| one.index == place as u64);
            (
                figures(&source.context, record),
                other.and_then(|other| figures(context, other)),
            )
        })
        .collect();
    let value = |name: &str, metrics: &Metrics| match name {
        "objective" => objective.value(metrics),
        _ => metrics.get(name),
    };
    let names = (objective.short_name() == "objective").then_some("objective");
    let metrics = names.into_iter().chain(Metrics::OBJECTIVES).map(|name| {
        let values = pairs.iter().filter_map(|(from, to)| {
            Some((value(name, from.as_ref()?)?, value(name, to.as_ref()?)?))
        });
        let (mut count, mut from, mut to) = (0_u64, 0.0, 0.0);
        for (in_from, in_to) in values {
            count += 1;
            from += in_from;
            to += in_to;
        }
        let mean = |sum: f64| (count > 0).then_some(sum / count as f64).and_then(finite);
        let (from, to) = (mean(from), mean(to));
        let both = from.zip(to);
        MetricComparison {
            metric: name.to_owned(),
            count,
            from,
            to,
            change: both.and_then(|(from, to)| finite(to - from)),
            ratio: both
                .filter(|(from, _)| *from > 0.0)
                .and_then(|(from, to)| finite(to / from)),
        }
    });
    let sets = source.best.iter().zip(&pairs).map(|(record, (from, to))| {
        let value = |metrics: &Option<Metrics>| objective.value(metrics.as_ref()?);
        SetComparison {
            container: source.context.container_id(record),
            symbol: source.context.symbol(record).to_owned(),
            parameters: source.context.parameters(record),
            from: value(from),
            to: value(to),
        }
    });
    ComparisonReport {
        from: source.phase.clone(),
        to: to.to_owned(),
        objective: objective.function(),
        containers: pairs.len() as u64,
        completed: pairs
            .iter()
            .filter(|(from, to)| from.is_some() && to.is_some())
            .count() as u64,
        metrics: metrics.collect(),
        sets: sets.collect(),
    }
}
