//! Memory-bounded streaming backtest engine.
#![deny(unsafe_code)]

pub mod cli;
pub mod container;
pub mod error;
pub mod execution;
pub mod failpoint;
pub mod features;
mod heap;
pub mod kernel;
pub mod market;
pub mod metrics;
pub mod oracle;
pub mod plan;
pub mod portfolio;
pub mod results;
pub mod segment;
pub mod sequencer;
mod spread;
pub mod state;
pub mod story;
pub mod strategy;
pub mod sweep;
pub mod topology;
pub mod tracer;
pub mod workflow;
mod zeros;

pub use error::{Error, Result};
