//! Crossovers of two lines: up is long (or cover), down is out (or short).

use super::{Columns, Masks, Strategy};
use crate::features::Feature;
use crate::portfolio::Direction;

fn cross_masks(columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
    if direction == Direction::ShortOnly {
        columns.crosses(0, 1, [&mut masks.exit_short, &mut masks.enter_short]);
        return;
    }
    columns.crosses(0, 1, [&mut masks.enter_long, &mut masks.exit_long]);
    if direction == Direction::LongShort {
        (masks.enter_short, masks.exit_short) = (masks.exit_long, masks.enter_long);
    }
}

macro_rules! crossover {
    ($(#[$doc:meta])* $type:ident, $name:literal, $parameters:expr, $usual:expr, |$p:ident| $features:expr) => {
        $(#[$doc])*
        pub(super) struct $type;

        impl Strategy for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn parameters(&self) -> &'static [&'static str] {
                &$parameters
            }

            fn usual(&self) -> &'static [f64] {
                &$usual
            }

            fn features(&self, $p: &[f64]) -> Vec<Feature> {
                $features.to_vec()
            }

            fn masks(&self, _: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
                cross_masks(columns, direction, masks);
            }
        }
    };
}

crossover!(
    /// Simple moving averages of the close.
    Sma, "sma_crossover", ["fast", "slow"], [10.0, 20.0], |p| [Feature::Sma(p[0] as u32), Feature::Sma(p[1] as u32)]
);
crossover!(
    /// Exponential moving averages of the close.
    Ema, "ema_crossover", ["fast", "slow"], [12.0, 26.0], |p| [Feature::Ema(p[0] as u32), Feature::Ema(p[1] as u32)]
);
crossover!(
    /// The MACD line and its signal line.
    Macd, "macd_crossover", ["fast", "slow", "signal"], [12.0, 26.0, 9.0], |p| [
        Feature::Macd(p[0] as u32, p[1] as u32),
        Feature::MacdSignal(p[0] as u32, p[1] as u32, p[2] as u32),
    ]
);
crossover!(
    /// Simple moving averages, under the name and with the usual lengths of ADMF-PC.
    Ma, "ma_crossover", ["fast", "slow"], [5.0, 20.0], |p| [
        Feature::Sma(p[0] as u32),
        Feature::Sma(p[1] as u32),
    ]
);
