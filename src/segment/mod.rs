//! The trace store: pools of mapped segments, rings, retention, archives.

mod archive;
mod condition;
mod kept;
mod lane;
#[cfg_attr(feature = "model", path = "model/map.rs")]
mod map;
mod merge;
mod order;
mod pool;
mod reader;
mod receipt;
pub mod retention;
mod ring;
mod seal;
mod slots;
mod stage;

#[cfg(all(test, not(feature = "model")))]
mod limits;
#[cfg(all(test, feature = "model"))]
mod model;
#[cfg(all(test, not(feature = "model")))]
mod tests;

pub(crate) use archive::BUFFERS_PER_WORKER;
pub use archive::{ArchiveHandle, ArchiveOptions, ArchiveWriter, Batch, KeptChain, OnCommit};
pub use condition::{COMPARISONS_MAX, Condition};
pub use kept::KeptTrades;
pub use lane::Lane;
pub use merge::{ShardArchives, merge_archives};
pub use pool::Pool;
pub use reader::{ArchiveReader, FileKind, PoolReader, file_kind};
pub use receipt::{Receipt, Receipts};
pub use ring::{Append, Ring, ring_bytes, segments_kept, segments_max};
pub use slots::{ArchiveRecords, committed, scan_records};
pub use stage::{STAGE_BYTES, Stage};
