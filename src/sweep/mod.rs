//! The parameter space: lazy, in one fixed order, cut into tiles.
//!
//! Sets are numbered lexicographically, the first parameter slowest; sets that a constraint
//! excludes have no number. The numbering is part of the results format.

mod constraint;
mod shard;
mod space;
mod tile;

pub use constraint::Constraint;
pub use shard::{SHARDS_MAX, Shard};
pub use space::{Dimension, Space};
pub use tile::{Tile, TileGrid};
