//! Memory-bounded streaming backtest engine.
#![deny(unsafe_code)]

pub mod container;
pub mod error;
pub mod execution;
pub mod market;
pub mod portfolio;
pub mod results;
pub mod segment;
pub mod sequencer;

pub use error::{Error, Result};
