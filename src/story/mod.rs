//! The story of one trade: its events from a trace or a replay, what the strategy saw when it
//! signalled, and the bars around it.
//!
//! Bounded memory: a trade of any length is told by its first and last events, with the rest
//! counted; its figures are folds over all of them.

mod gather;
mod report;
mod scene;
mod source;
mod words;

pub use gather::{EVENTS_MAX, Event, Gatherer, Told};
pub use report::Story;
pub use source::{Kept, kept, replayed};
pub use words::{number, sentence};
