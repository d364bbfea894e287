//! Strategies that expect a price to come back to its mean or to turn at a level.

use super::bands::reads_band;
use super::logic::{both, either, scaled};

use super::{Columns, Masks, Strategy};
use crate::features::Feature;
use crate::kernel::above;
use crate::portfolio::Direction;

/// Buys below the lower Keltner band, leaves above the middle (the EMA); short mirrored.
pub(super) struct Keltner;

impl Strategy for Keltner {
    fn name(&self) -> &'static str {
        "keltner_bands"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["period", "multiplier"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["multiplier"]
    }

    fn usual(&self) -> &'static [f64] {
        &[20.0, 2.0]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        let period = p[0] as u32;
        vec![
            Feature::Keltner(period, -p[1]),
            Feature::Ema(period),
            Feature::Keltner(period, p[1]),
        ]
    }

    fn reads(&self, which: usize, direction: Direction) -> bool {
        reads_band(which, direction)
    }

    fn masks(&self, _: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
        masks.set_sides(
            direction,
            || [columns.above_close(0), columns.below_close(1)],
            || [columns.below_close(2), columns.above_close(1)],
        );
    }
}

/// Buys where the z-score of the close is below -`entry`, leaves where it is above -`exit`; short
/// mirrored.
pub(super) struct MeanReversion;

impl Strategy for MeanReversion {
    fn name(&self) -> &'static str {
        "mean_reversion"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["period", "entry", "exit"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["entry", "exit"]
    }

    fn usual(&self) -> &'static [f64] {
        &[20.0, 2.0, 0.5]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        vec![Feature::ZScore(p[0] as u32)]
    }

    fn masks(&self, p: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
        let score = columns.feature(0);
        masks.set_sides(
            direction,
            || [score.below_level(-p[1]), score.above_level(-p[2])],
            || [score.above_level(p[1]), score.below_level(p[2])],
        );
    }
}

/// Buys more than the fraction `band` below the day's VWAP, leaves above it; short mirrored.
pub(super) struct VwapDeviation;

impl Strategy for VwapDeviation {
    fn name(&self) -> &'static str {
        "vwap_deviation"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["band"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["band"]
    }

    fn usual(&self) -> &'static [f64] {
        &[0.005]
    }

    fn features(&self, _: &[f64]) -> Vec<Feature> {
        vec![Feature::Vwap]
    }

    fn masks(&self, p: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
        let (close, vwap) = (columns.close(), columns.feature(0));
        let band = |factor: f64| scaled(vwap.now(), factor);
        masks.set_sides(
            direction,
            || [above(&band(1.0 - p[0]), close.now()), close.above(vwap)],
            || [above(close.now(), &band(1.0 + p[0])), vwap.above(close)],
        );
    }
}

/// Buys a turn at support: a low within the fraction `bounce_threshold` of the lowest low of the
/// `sr_period` bars before, which at least `min_touches` of them came as near to, and a close
/// above it. Leaves above the middle of those bars' range, or below the support, which is then
/// broken. Short mirrored, at resistance.
pub(super) struct SwingPivotBounce;

impl Strategy for SwingPivotBounce {
    fn name(&self) -> &'static str {
        "swing_pivot_bounce"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["sr_period", "min_touches", "bounce_threshold"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["bounce_threshold"]
    }

    fn check_threshold(&self, _: &str, value: f64) -> Result<(), String> {
        if (0.0..1.0).contains(&value) {
            Ok(())
        } else {
            Err(format!(
                "{value} was found; a fraction from 0 to below 1 was expected"
            ))
        }
    }

    fn usual(&self) -> &'static [f64] {
        &[20.0, 2.0, 0.002]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        let (period, touches) = (p[0] as u32, p[1] as u32);
        vec![
            Feature::Support(period, touches, p[2]),
            Feature::Resistance(period, touches, p[2]),
            Feature::DonchianLow(period),
            Feature::DonchianMiddle(period),
            Feature::DonchianHigh(period),
            Feature::Low,
            Feature::High,
        ]
    }

    fn masks(&self, p: &[f64], columns: &Columns<'_>, _: Direction, masks: &mut Masks) {
        let close = columns.close().now();
        let [support, resistance, bottom, middle, top, low, high] =
            [0, 1, 2, 3, 4, 5, 6].map(|which| columns.feature(which).now());
        let at_support = above(&scaled(support, 1.0 + p[2]), low);
        let at_resistance = above(high, &scaled(resistance, 1.0 - p[2]));
        *masks = Masks {
            enter_long: both(at_support, above(close, support)),
            exit_long: either(above(close, middle), above(bottom, close)),
            enter_short: both(at_resistance, above(resistance, close)),
            exit_short: either(above(middle, close), above(close, top)),
        };
    }
}
