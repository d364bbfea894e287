//! An indicator at work: bars in, values out, block by block.

use super::bars::{Bar, Bars};
use crate::state::{StateReader, StateWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;

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

    /// Writes all that it carries from bar to bar, for [`Indicator::load`], and says true; or
    /// writes nothing and says false. Then a run that goes on after a kill shows it all bars again,
    /// which is as exact and takes longer.
    ///
    /// Errors: those of the writer.
    fn save(&self, _into: &mut StateWriter<'_>) -> io::Result<bool> {
        Ok(false)
    }

    /// Goes on from what [`Indicator::save`] wrote of one that was made alike.
    ///
    /// Errors: those of the reader.
    fn load(&mut self, _from: &mut StateReader<'_>) -> io::Result<()> {
        Err(io::Error::other("this indicator saves nothing"))
    }
}

/// What an indicator carries from bar to bar.
pub(super) trait State: Serialize + DeserializeOwned + Send {}
impl<S: Serialize + DeserializeOwned + Send> State for S {}

/// An indicator whose state is plain values.
pub(super) struct PerBar<S, F> {
    /// Bars until the first defined one.
    missing: u64,
    state: S,
    value: F,
}

/// An indicator that carries this state, and has this value at a bar. What the closure holds is
/// fixed: all that changes is in the state.
pub(super) fn carrying<S: State, F: Fn(&mut S, &Bar) -> f64 + Send>(
    state: S,
    value: F,
) -> PerBar<S, F> {
    PerBar {
        missing: 0,
        state,
        value,
    }
}

/// A [`PerBar`], whatever it is made of.
pub(super) trait Carrying: Indicator + 'static {
    /// The same, hidden for so many bars.
    fn hidden(self, missing: u64) -> Self;
}

impl<S: State + 'static, F: Fn(&mut S, &Bar) -> f64 + Send + 'static> Carrying for PerBar<S, F> {
    fn hidden(self, missing: u64) -> Self {
        PerBar { missing, ..self }
    }
}

impl<S: State, F: Fn(&mut S, &Bar) -> f64 + Send> Indicator for PerBar<S, F> {
    #[inline(always)]
    fn next(&mut self, bar: &Bar) -> f64 {
        let value = (self.value)(&mut self.state, bar);
        if self.missing > 0 {
            self.missing -= 1;
            return f64::NAN;
        }
        value
    }

    fn save(&self, into: &mut StateWriter<'_>) -> io::Result<bool> {
        into.put(&self.missing)?;
        into.put(&self.state)?;
        Ok(true)
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<()> {
        (self.missing, self.state) = (from.get()?, from.get()?);
        Ok(())
    }
}
