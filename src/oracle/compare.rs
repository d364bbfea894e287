//! Comparing figures within the stated tolerances.

/// Counts what was compared and keeps the first difference.
#[derive(Default)]
pub(super) struct Comparison {
    pub(super) compared: u64,
    pub(super) difference: Option<String>,
}

/// An amount of money below which a difference is rounding: trades of 100,000 carry 1e-11.
const MONEY_FLOOR: f64 = 1e-9;

impl Comparison {
    /// Equal exactly.
    pub(super) fn exact<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: impl Fn() -> String,
        ours: T,
        theirs: T,
    ) {
        self.compared += 1;
        if ours != theirs && self.difference.is_none() {
            self.difference = Some(format!(
                "{}: admf has {ours:?}, the oracle {theirs:?}",
                what()
            ));
        }
    }

    /// Equal within a relative tolerance; two missing values are equal.
    pub(super) fn near(
        &mut self,
        what: impl Fn() -> String,
        ours: Option<f64>,
        theirs: Option<f64>,
        relative: f64,
    ) {
        self.within(what, ours, theirs, relative, 1e-12);
    }

    /// Money, equal within a relative tolerance or a billionth of a unit.
    pub(super) fn money(
        &mut self,
        what: impl Fn() -> String,
        ours: f64,
        theirs: Option<f64>,
        relative: f64,
    ) {
        self.within(what, Some(ours), theirs, relative, MONEY_FLOOR);
    }

    fn within(
        &mut self,
        what: impl Fn() -> String,
        ours: Option<f64>,
        theirs: Option<f64>,
        relative: f64,
        floor: f64,
    ) {
        self.compared += 1;
        let (ours, theirs) = (
            ours.filter(|v| v.is_finite()),
            theirs.filter(|v| v.is_finite()),
        );
        let equal = match (ours, theirs) {
            (Some(a), Some(b)) => (a - b).abs() <= (relative * b.abs()).max(floor),
            (None, None) => true,
            _ => false,
        };
        if !equal && self.difference.is_none() {
            let show =
                |value: Option<f64>| value.map_or("none".to_owned(), |value| value.to_string());
            self.difference = Some(format!(
                "{}: admf has {}, the oracle {}",
                what(),
                show(ours),
                show(theirs)
            ));
        }
    }
}
