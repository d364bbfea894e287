//! What the benches of the engine share: the job, the hand-written loop, the table.

pub(crate) mod engine;
pub(crate) mod grids;
pub(crate) mod report;
pub(crate) mod scalar;
