//! The trace store: pools of mapped segments, rings, retention, archives.

pub mod retention;
