//! What the benches of the engine share: the job, the hand-written loop, the table.

#![allow(dead_code, reason = "every bench uses a part")]

pub(crate) mod engine;
pub(crate) mod grids;
pub(crate) mod report;
pub(crate) mod scalar;
