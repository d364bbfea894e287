//! Units and null values shared by every format.
//!
//! Prices and money are `f64` in the currency of the data, quantities are signed units of the
//! instrument (positive is long or bought), times are nanoseconds since 1970-01-01T00:00:00Z.

/// A price, quantity or amount that does not exist (for example the limit of a market order).
///
/// Shape: the quiet NaN with all payload bits zero, so that equal records are equal bytes. JSON
/// writes it as `null`.
pub const F64_NULL: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// A trade number that does not exist: the event belongs to no trade. Real trades count from 1.
pub const TRADE_NONE: u32 = 0;

/// `cause_back` of an event that no other event of its container caused.
pub const CAUSE_NONE: u32 = 0;

/// A simulated time that does not exist.
pub const TS_NULL: i64 = i64::MIN;

/// Bars per quantum: every sum that ends in a metric is taken per quantum, anchored at the
/// absolute bar index, so that results do not depend on how a run was tiled.
pub const QUANTUM_BARS: usize = 512;

/// The most parameters that one container can have.
pub const PARAMETERS_MAX: usize = 8;

/// The value, or `None` for [`F64_NULL`] and every other value that JSON cannot hold.
pub fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// A simulated time as RFC 3339 in UTC, the way every JSON of the project writes it.
///
/// Shape: seconds always present, fraction only where it is not zero. [`TS_NULL`] gives `None`.
pub fn rfc3339(ts_ns: i64) -> Option<String> {
    if ts_ns == TS_NULL {
        return None;
    }
    jiff::Timestamp::from_nanosecond(i128::from(ts_ns))
        .ok()
        .map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_and_null_is_no_time() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(
            rfc3339(1_500_000_000).as_deref(),
            Some("1970-01-01T00:00:01.5Z")
        );
        assert_eq!(rfc3339(TS_NULL), None);
    }

    #[test]
    fn the_null_price_is_not_finite() {
        assert!(F64_NULL.is_nan());
        assert_eq!(finite(F64_NULL), None);
        assert_eq!(finite(1.5), Some(1.5));
    }
}
