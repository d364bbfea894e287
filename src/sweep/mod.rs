//! The parameter space: lazy, in one fixed order, cut into tiles.
//!
//! Sets of a grid are numbered lexicographically, the first parameter slowest; samples in the order
//! in which they are drawn. Sets that a constraint excludes have no number. The numbering is part
//! of the results format; it never depends on threads, tiles or the budget.

mod constraint;
mod permutation;
mod range;
mod sampler;
mod shard;
mod sobol;
mod space;
mod tile;
mod values;

pub use constraint::Constraint;
pub(crate) use permutation::Permutation;
pub use range::{Range, between_logs};
pub use sampler::{Method, SAMPLES_MAX, Sampler};
pub use shard::{SHARDS_MAX, Shard};
pub use space::{Dimension, Space};
pub use tile::{Tile, TileGrid};
pub use values::Values;
