//! Strategies that follow a trend while it is not exhausted.

use super::logic::{both, either};

use super::{Columns, Masks, Strategy};
use crate::features::Feature;
use crate::portfolio::Direction;

/// Long while the close is above its mean and RSI below `overbought`; short while it is below its
/// mean and RSI above `oversold`. Leaves where either condition turns round.
pub(super) struct Momentum;

impl Strategy for Momentum {
    fn name(&self) -> &'static str {
        "momentum"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["sma_period", "rsi_period", "oversold", "overbought"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["oversold", "overbought"]
    }

    fn usual(&self) -> &'static [f64] {
        &[20.0, 14.0, 30.0, 70.0]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        vec![Feature::Sma(p[0] as u32), Feature::Rsi(p[1] as u32)]
    }

    fn masks(&self, p: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
        let rsi = columns.feature(1);
        let (over, under) = (columns.below_close(0), columns.above_close(0));
        masks.set_sides(
            direction,
            || {
                let overbought = rsi.above_level(p[3]);
                [both(over, rsi.below_level(p[3])), either(under, overbought)]
            },
            || {
                let oversold = rsi.below_level(p[2]);
                [both(under, rsi.above_level(p[2])), either(over, oversold)]
            },
        );
    }
}
