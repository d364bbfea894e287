//! What computes a feature: alone, or from what those of a tile share.

use super::bars::Bars;
use super::channels::is_looked_up;
use super::feature::Feature;
use super::history::{History, Lookback};
use super::indicator::Indicator;
use super::shared::{Carry, Deviations, compute};
use crate::state::{StateReader, StateWriter};
use std::io;

/// What computes one feature.
pub(super) enum Computation {
    /// From the shared history.
    Shared(Carry),
    /// From what it carries itself.
    Own(Box<dyn Indicator>),
}

impl Computation {
    pub(super) fn of(feature: Feature) -> Computation {
        feature
            .indicator()
            .map_or_else(|| Computation::Shared(Carry::default()), Computation::Own)
    }

    /// As one of many, which may share more than a feature alone.
    pub(super) fn among(feature: Feature) -> Computation {
        if is_looked_up(feature) {
            Computation::Shared(Carry::default())
        } else {
            Computation::of(feature)
        }
    }

    /// What a lane carries.
    pub(super) fn carry(&mut self) -> &mut Carry {
        match self {
            Computation::Shared(carry) => carry,
            Computation::Own(_) => unreachable!("an indicator of its own is no lane"),
        }
    }

    /// Writes all that it carries; false, and nothing written, where it cannot.
    pub(super) fn save(&self, into: &mut StateWriter<'_>) -> io::Result<bool> {
        match self {
            Computation::Shared(carry) => into.put(carry).map(|()| true),
            Computation::Own(indicator) => indicator.save(into),
        }
    }

    pub(super) fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<()> {
        match self {
            Computation::Shared(carry) => *carry = from.get()?,
            Computation::Own(indicator) => indicator.load(from)?,
        }
        Ok(())
    }

    /// The bars from offset `from` on of the block that the history took last.
    pub(super) fn run(
        &mut self,
        feature: Feature,
        shared: (&History, &mut Deviations),
        bars: Bars<'_>,
        from: usize,
        into: &mut [f64],
    ) {
        match self {
            Computation::Shared(carry) => compute(feature, carry, shared, from, into),
            Computation::Own(indicator) => {
                into[..from].fill(f64::NAN);
                indicator.run(bars.range(from..bars.len()), &mut into[from..]);
            }
        }
    }
}

/// How far these features look back on the shared history.
pub(super) fn lookback(features: &[Feature]) -> Lookback {
    let mut most = Lookback { closes: 0, sums: 0 };
    for own in features.iter().filter_map(|feature| feature.lookback()) {
        most.closes = most.closes.max(own.closes);
        most.sums = most.sums.max(own.sums);
    }
    most
}
