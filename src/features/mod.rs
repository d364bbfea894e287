//! Features: indicator columns, computed once per distinct parameter set and block, shared by all
//! containers of a tile.
//!
//! Each is incremental over blocks of any length: it carries what it needs and sees only bars up
//! to the one it is computed for.

mod column;
mod history;
mod indicator;

pub use column::{Column, FeatureColumns};
pub use indicator::Feature;
