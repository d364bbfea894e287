//! A strategy of one's own, in a program of one's own: `admf` with one more name.
//!
//!     cargo run --release --example own_strategy -- run examples/own_strategy.yaml

use admf::features::Feature;
use admf::portfolio::Direction;
use admf::strategy::{Columns, Masks, Strategy, above, above_level, below_level, both, either};

/// Buys a dip (RSI below `dip`) while the trend is up (close above its mean).
struct DipInTrend;

impl Strategy for DipInTrend {
    fn name(&self) -> &'static str {
        "dip_in_trend"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["trend", "dip"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["dip"] // all others are windows: whole numbers of bars
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        vec![Feature::Sma(p[0] as u32), Feature::Rsi(4)]
    }

    fn masks(&self, p: &[f64], columns: &Columns<'_>, _: Direction, masks: &mut Masks) {
        let close = columns.close().now();
        let [trend, rsi] = [0, 1].map(|which| columns.feature(which).now());
        *masks = Masks {
            enter_long: both(above(close, trend), below_level(rsi, p[1])),
            exit_long: either(above(trend, close), above_level(rsi, 100.0 - p[1])),
            ..Masks::default() // no short side
        };
    }
}

fn main() -> std::process::ExitCode {
    admf::cli::run_with(&[&DipInTrend])
}
