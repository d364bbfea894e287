//! Deviations and regressions of the last n closes.

use super::indicator::{Carrying, carrying};
use super::window::{RollingVariance, WeightedSum};
use serde::{Deserialize, Serialize};

/// Population standard deviation of the closes.
pub(super) fn standard_deviation(n: u32) -> impl Carrying {
    carrying(RollingVariance::new(n), move |variance, bar| {
        (variance.next(bar.close).1 / f64::from(n)).sqrt()
    })
}

/// Distance of the close from the mean in population standard deviations.
pub(super) fn z_score(n: u32) -> impl Carrying {
    carrying(RollingVariance::new(n), move |variance, bar| {
        let (mean, squares) = variance.next(bar.close);
        // No deviation, no score: 0 / 0 is NaN.
        (bar.close - mean) / (squares / f64::from(n)).sqrt()
    })
}

/// Sample standard deviation of the last n log returns, per bar.
pub(super) fn volatility(n: u32) -> impl Carrying {
    let state = (RollingVariance::new(n), None);
    carrying(state, move |(variance, before), bar| {
        let Some(before) = before.replace(bar.close) else {
            return f64::NAN;
        };
        let (_, squares) = variance.next(libm::log(bar.close / before));
        (squares / (f64::from(n) - 1.0)).sqrt()
    })
}

/// Least squares line through the last n closes: value at the oldest bar, slope per bar.
#[derive(Serialize, Deserialize)]
struct Regression {
    sums: WeightedSum,
    n: f64,
    /// Sum of squared distances of 1..n from their mean.
    spread: f64,
}

impl Regression {
    fn new(n: u32) -> Regression {
        let length = f64::from(n);
        Regression {
            sums: WeightedSum::new(n),
            n: length,
            spread: length * (length * length - 1.0) / 12.0,
        }
    }

    /// Mean of the closes and slope.
    #[inline(always)]
    fn next(&mut self, close: f64) -> (f64, f64) {
        let (sum, weighted) = self.sums.next(close);
        let covariance = weighted.minus(sum.scaled((self.n + 1.0) / 2.0));
        (
            sum.over(self.n).value(),
            covariance.over(self.spread).value(),
        )
    }
}

/// The line at the newest bar (`end` 1) or the oldest (`end` -1).
pub(super) fn linear_regression(n: u32, end: f64) -> impl Carrying {
    carrying(Regression::new(n), move |line, bar| {
        let (mean, slope) = line.next(bar.close);
        mean + end * slope * (line.n - 1.0) / 2.0
    })
}

pub(super) fn linear_regression_slope(n: u32) -> impl Carrying {
    carrying(Regression::new(n), |line, bar| line.next(bar.close).1)
}

/// Share of the closes' variance that the line explains.
pub(super) fn linear_regression_r2(n: u32) -> impl Carrying {
    let state = (Regression::new(n), RollingVariance::new(n));
    carrying(state, |(line, variance), bar| {
        let (_, slope) = line.next(bar.close);
        let (_, squares) = variance.next(bar.close);
        slope * slope * line.spread / squares
    })
}
