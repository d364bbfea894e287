//! An indicator at work: bars in, values out, block by block.

use super::bars::{Bar, Bars};

/// Computes one feature over consecutive bars.
///
/// What it gives for a bar depends on that bar and those before it and never on how the series is
/// cut into blocks: it carries what it needs, allocates when it is made and never again.
pub trait Indicator: Send {
    /// The value at the next bar; NaN where there is none.
    fn next(&mut self, bar: &Bar) -> f64;

    /// The values at the next bars.
    ///
    /// Shape: `into` has as many entries as there are bars.
    fn run(&mut self, bars: Bars<'_>, into: &mut [f64]) {
        for (k, value) in into.iter_mut().enumerate() {
            *value = self.next(&bars.bar(k));
        }
    }
}

/// An indicator from a closure, hidden until its first defined bar.
pub(super) struct PerBar<F> {
    /// Bars until the first defined one.
    pub(super) missing: u64,
    pub(super) value: F,
}

impl<F: FnMut(&Bar) -> f64 + Send> Indicator for PerBar<F> {
    #[inline(always)]
    fn next(&mut self, bar: &Bar) -> f64 {
        let value = (self.value)(bar);
        if self.missing > 0 {
            self.missing -= 1;
            return f64::NAN;
        }
        value
    }
}
