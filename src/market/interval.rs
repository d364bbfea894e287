//! The interval of a series, for bars that are labelled by their end.

use std::collections::BTreeMap;

/// Different distances between neighbouring bars that are counted; a regular series has few.
const DISTANCES_MAX: usize = 1024;

/// Counts the distances between neighbouring bars.
#[derive(Debug, Default)]
pub(super) struct IntervalCounter {
    counts: BTreeMap<i64, u64>,
    last: Option<i64>,
    pairs: u64,
}

impl IntervalCounter {
    /// The next bar's timestamp.
    pub(super) fn push(&mut self, ts_ns: i64) {
        if let Some(last) = self.last {
            let distance = ts_ns - last;
            self.pairs += 1;
            if let Some(count) = self.counts.get_mut(&distance) {
                *count += 1;
            } else if self.counts.len() < DISTANCES_MAX {
                self.counts.insert(distance, 1);
            }
        }
        self.last = Some(ts_ns);
    }

    /// The distance that more than half of all neighbours have.
    ///
    /// Errors: there is none, so that nothing says when a bar began.
    pub(super) fn interval_ns(&self) -> Result<i64, String> {
        let majority = self
            .counts
            .iter()
            .find(|(_, count)| **count * 2 > self.pairs);
        match majority {
            Some((distance, _)) => Ok(*distance),
            None => Err(format!(
                "bar_label: end needs bars of one interval, but no distance between neighbouring \
                 bars is that of more than half of them ({} distances); label the bars by their \
                 start",
                self.counts.len()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[i64], expected: Option<i64>) {
        let mut counter = IntervalCounter::default();
        times.iter().for_each(|time| counter.push(*time));
        assert_eq!(counter.interval_ns().ok(), expected, "{times:?}");
    }

    #[test]
    fn the_interval_is_that_of_most_bars() {
        check(&[10, 15, 20, 25, 90, 95, 100], Some(5));
        // A session end one hour early or late is not the interval.
        check(&[24, 48, 72, 95, 119, 143, 168, 192], Some(24));
        check(&[1, 2, 4], None);
        check(&[1, 2, 4, 5], Some(1));
        check(&[1], None);
        check(&[], None);
    }
}
