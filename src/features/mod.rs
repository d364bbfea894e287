//! Features: indicator columns, computed once per distinct parameter set and block, shared by all
//! containers of a tile.
//!
//! Each is incremental over blocks of any length: it carries what it needs and sees only bars up
//! to the one it is computed for. `README.md` beside this file has the table of definitions.

mod against_close;
mod averages;
mod bars;
mod channels;
mod column;
mod columns;
mod computation;
mod crossings;
mod distinct;
mod double;
mod feature;
mod history;
mod indicator;
mod lanes;
mod levels;
mod oscillators;
mod own;
mod series;
mod shared;
mod statistics;
mod trend;
mod volume;
mod window;

pub use bars::{Bar, Bars};
pub use column::Column;
pub use columns::FeatureColumns;
pub use distinct::DistinctFeatures;
pub use feature::{FEATURES, Feature, FeatureName, WINDOW_BARS_MAX};
pub use indicator::Indicator;
pub use own::{OWN_PARAMETERS_MAX, Own, OwnFeature};
pub use series::FeatureSeries;
