//! The shape of everything in admf that outlives the process.
//!
//! Bytes in, values out: no I/O, no unsafe, no opinion about when to write. Whatever two programs
//! must agree on (events, segments, archives, bars files, manifests, result JSON) is defined here
//! and nowhere else.
#![forbid(unsafe_code)]

pub mod archive;
pub mod bars;
pub mod checkpoint;
pub mod compression;
pub mod error;
pub mod event;
pub mod live;
pub mod manifest;
pub mod report;
pub mod result;
pub mod segment;
pub mod units;
pub mod vocabulary;

pub use error::Error;
