//! Indicators of price and volume.

use super::bars::Bar;
use super::double::Double;
use super::indicator::{Carrying, carrying};
use super::window::RollingSum;

/// Value-weighted mean price since the first bar of the UTC day.
pub(super) fn vwap() -> impl Carrying {
    let state = (None, Double::ZERO, Double::ZERO);
    carrying(state, |(day, value, volume), bar| {
        if *day != Some(bar.day()) {
            (*day, *value, *volume) = (Some(bar.day()), Double::ZERO, Double::ZERO);
        }
        *value = value.plus(Double::product(bar.typical(), bar.volume));
        *volume = volume.plus(Double::of(bar.volume));
        if volume.value() > 0.0 {
            value.value() / volume.value()
        } else {
            f64::NAN
        }
    })
}

pub(super) fn rolling_vwap(n: u32) -> impl Carrying {
    let sums = [RollingSum::new(n), RollingSum::new(n)];
    carrying(sums, |[value, volume], bar| {
        value.next(bar.typical() * bar.volume) / volume.next(bar.volume)
    })
}

/// The rolling average price and so many deviations of the typical price from it, both weighted
/// by volume.
pub(super) fn vwap_band(n: u32, width: f64) -> impl Carrying {
    let sums = [0; 3].map(|_| RollingSum::new(n));
    // Prices are taken from the first one, so that their squares are small and lose nothing.
    let state = (sums, None::<f64>);
    carrying(state, move |([values, squares, volumes], origin), bar| {
        let origin = *origin.get_or_insert(bar.typical());
        let price = bar.typical() - origin;
        let volume = volumes.next(bar.volume);
        let mean = values.next(price * bar.volume) / volume;
        let square = squares.next(price * price * bar.volume) / volume;
        origin + mean + width * (square - mean * mean).max(0.0).sqrt()
    })
}

/// Running total of volume, with the sign of the close's move; begins with the first volume.
pub(super) fn obv() -> impl Carrying {
    let state = (f64::NEG_INFINITY, Double::ZERO);
    carrying(state, |(before, total), bar| {
        if bar.close > *before {
            *total = total.plus(Double::of(bar.volume));
        } else if bar.close < *before {
            *total = total.minus(Double::of(bar.volume));
        }
        *before = bar.close;
        total.value()
    })
}

/// Volume times the place of the close in its bar, -1 to 1; 0 for a bar without range.
fn money_flow(bar: &Bar) -> f64 {
    let range = bar.high - bar.low;
    if range > 0.0 {
        ((bar.close - bar.low) - (bar.high - bar.close)) / range * bar.volume
    } else {
        0.0
    }
}

pub(super) fn accumulation_distribution() -> impl Carrying {
    carrying(Double::ZERO, |total, bar| {
        *total = total.plus(Double::of(money_flow(bar)));
        total.value()
    })
}

pub(super) fn cmf(n: u32) -> impl Carrying {
    let sums = [RollingSum::new(n), RollingSum::new(n)];
    carrying(sums, |[flow, volume], bar| {
        flow.next(money_flow(bar)) / volume.next(bar.volume)
    })
}

pub(super) fn mfi(n: u32) -> impl Carrying {
    let state = (RollingSum::new(n), RollingSum::new(n), None);
    carrying(state, |(inward, outward, before), bar| {
        let price = bar.typical();
        let Some(before) = before.replace(price) else {
            return f64::NAN;
        };
        let flow = price * bar.volume;
        // The same three prices in another order differ by rounding; that is no move.
        let moved = price - before;
        let is_move = moved.abs() > 1e-12 * price;
        let inward = inward.next(if is_move && moved > 0.0 { flow } else { 0.0 });
        let outward = outward.next(if is_move && moved < 0.0 { flow } else { 0.0 });
        if inward + outward > 0.0 {
            100.0 * (inward / (inward + outward))
        } else {
            50.0
        }
    })
}
