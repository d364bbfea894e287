//! Strategies of a value against bands: levels, not crosses.

use super::{Columns, Masks, Strategy};
use crate::features::Feature;
use crate::portfolio::Direction;

/// Whether a direction reads this one of a lower band, a middle and an upper band: below the lower
/// one longs begin, above the upper one shorts, and both end at the middle.
pub(super) fn reads_band(which: usize, direction: Direction) -> bool {
    match which {
        0 => direction != Direction::ShortOnly,
        2 => direction != Direction::LongOnly,
        _ => true,
    }
}

/// Buys oversold, sells overbought.
pub(super) struct Rsi;

impl Strategy for Rsi {
    fn name(&self) -> &'static str {
        "rsi_bands"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["period", "oversold", "overbought"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["oversold", "overbought"]
    }

    fn usual(&self) -> &'static [f64] {
        &[14.0, 30.0, 70.0]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        vec![Feature::Rsi(p[0] as u32)]
    }

    fn masks(&self, p: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
        let oversold = columns.feature(0).below_level(p[1]);
        let overbought = columns.feature(0).above_level(p[2]);
        let (long, short) = ([oversold, overbought], [overbought, oversold]);
        masks.set_sides(direction, || long, || short);
    }
}

/// Buys below the lower Bollinger band, leaves above the middle; short mirrored.
pub(super) struct Bollinger;

impl Strategy for Bollinger {
    fn name(&self) -> &'static str {
        "bollinger_bands"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["period", "std_dev"]
    }

    fn thresholds(&self) -> &'static [&'static str] {
        &["std_dev"]
    }

    fn usual(&self) -> &'static [f64] {
        &[20.0, 2.0]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        let period = p[0] as u32;
        vec![
            Feature::Bollinger(period, -p[1]),
            Feature::Sma(period),
            Feature::Bollinger(period, p[1]),
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

/// Buys a close above the highest high of `entry` bars, leaves below the lowest low of `exit`
/// bars; short mirrored. The current bar is not part of either.
pub(super) struct Donchian;

impl Strategy for Donchian {
    fn name(&self) -> &'static str {
        "donchian_breakout"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["entry", "exit"]
    }

    fn usual(&self) -> &'static [f64] {
        &[20.0, 10.0]
    }

    fn features(&self, p: &[f64]) -> Vec<Feature> {
        let (entry, exit) = (p[0] as u32, p[1] as u32);
        vec![
            Feature::DonchianHigh(entry),
            Feature::DonchianLow(exit),
            Feature::DonchianLow(entry),
            Feature::DonchianHigh(exit),
        ]
    }

    fn reads(&self, which: usize, direction: Direction) -> bool {
        match which {
            0 | 1 => direction != Direction::ShortOnly,
            _ => direction != Direction::LongOnly,
        }
    }

    fn masks(&self, _: &[f64], columns: &Columns<'_>, direction: Direction, masks: &mut Masks) {
        masks.set_sides(
            direction,
            || [columns.below_close(0), columns.above_close(1)],
            || [columns.above_close(2), columns.below_close(3)],
        );
    }
}
