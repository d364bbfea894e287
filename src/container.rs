//! A container: one parameter set, isolated, with a result when it is destroyed.

use crate::execution::ExecutionRules;
use crate::portfolio::PortfolioRules;
use crate::segment::retention::TraceRules;

/// What all containers of a phase have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerRules {
    /// Portfolio rules.
    pub portfolio: PortfolioRules,
    /// Execution rules.
    pub execution: ExecutionRules,
    /// What is traced and kept.
    pub trace: TraceRules,
}
