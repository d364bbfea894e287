//! The trace store: pools of mapped segments, rings, retention, archives.

mod archive;
mod map;
mod pool;
mod reader;
pub mod retention;
mod ring;

#[cfg(test)]
mod tests;

pub use archive::{ArchiveHandle, OnCommit, ArchiveOptions, ArchiveWriter, Batch, committed, scan_records};
pub use pool::Pool;
pub use reader::{ArchiveReader, PoolReader, file_kind, FileKind};
pub use ring::{Append, Ring, segments_max};
