//! Gates: what the best container of a phase must meet, or nothing that follows runs.

use super::Phase;
use super::phase::Outcome;

/// Why the gate after a phase is shut; `None` where it is open, or there is none.
pub(super) fn shut(phase: &Phase, outcome: &Outcome) -> Option<String> {
    if phase.gate.is_empty() {
        return None;
    }
    let name = &phase.name;
    let Some(best) = outcome.aggregate.best.first() else {
        return Some(format!(
            "the gate of phase {name} is shut: no container finished"
        ));
    };
    let missed: Vec<String> = phase
        .gate
        .iter()
        .filter(|constraint| !constraint.is_met(&best.metrics))
        .map(|constraint| match best.metrics.get(&constraint.metric) {
            Some(value) => format!("{constraint} is missed with {value}"),
            None => format!("{constraint} is missed, the metric does not exist"),
        })
        .collect();
    (!missed.is_empty()).then(|| {
        format!(
            "the gate of phase {name} is shut: its best container {} does not meet it ({})",
            best.container,
            missed.join(", ")
        )
    })
}
