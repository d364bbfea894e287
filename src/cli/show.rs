//! Plans and outcomes as people read them.

use crate::plan::{Plan, show};
use crate::sequencer::Outcome;
use std::path::Path;

pub(super) fn plan(plan: &Plan) {
    println!(
        "phase {}: {} containers in {} tiles of up to {}, {} worker{}",
        plan.phase,
        plan.containers,
        plan.tiles,
        plan.tile_sets,
        plan.workers,
        if plan.workers == 1 { "" } else { "s" }
    );
    for part in &plan.parts {
        println!("  {:<22} {:>12}", part.name, show(part.bytes));
    }
    println!(
        "  {:<22} {:>12} of {}",
        "predicted peak",
        show(plan.peak_bytes),
        show(plan.budget_bytes)
    );
    println!(
        "  {:<22} {:>12}, {} free",
        "disk",
        show(plan.disk_bytes),
        show(plan.disk_free_bytes)
    );
}

pub(super) fn outcome(outcome: &Outcome, folder: &Path) {
    let aggregate = &outcome.aggregate;
    println!(
        "phase {}: {} containers finished, {} failed, {} trades",
        aggregate.phase, aggregate.completed, aggregate.failed, aggregate.total_trades
    );
    if !aggregate.result_constraints.is_empty() {
        let constraints: Vec<String> = aggregate
            .result_constraints
            .iter()
            .map(|one| format!("{} ({} miss it)", one.constraint, one.missed))
            .collect();
        println!(
            "  {} meet the constraints on results: {}",
            aggregate.completed - aggregate.excluded,
            constraints.join(", ")
        );
    }
    if let Some(best) = aggregate.best.first() {
        let number =
            |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.4}"));
        let parameters: Vec<String> = best
            .parameters
            .0
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        println!(
            "  best by {}: {} ({})",
            aggregate.objective,
            best.container,
            parameters.join(", ")
        );
        println!(
            "  total return {}, Sharpe ratio {}, max drawdown {:.4}, {} trades, win rate {}",
            number(best.metrics.total_return),
            number(best.metrics.sharpe_ratio),
            best.metrics.max_drawdown,
            best.metrics.total_trades,
            number(best.metrics.win_rate),
        );
    }
    println!("  results: {}", folder.display());
}
