//! The calendar of `data.timezone`: local days and times of day, once per block.
//!
//! Only rules that look at days need it (borrow fees, daily losses, the end of the day); without
//! them no block is looked up. Nothing is allocated per block, and the time zone database is asked
//! once per change of the clock, not once per bar.

use crate::kernel::Mask;
use admf_formats::units::QUANTUM_BARS;
use jiff::Timestamp;
use jiff::tz::TimeZone;

const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A time zone's days.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    zone: TimeZone,
}

/// A stretch of time in which the clock is not changed.
#[derive(Clone, Copy)]
struct Offset {
    from_ns: i64,
    /// Exclusive.
    until_ns: i64,
    /// Local time minus UTC.
    seconds: i64,
}

impl Calendar {
    /// Days of this zone.
    ///
    /// Errors: the zone is unknown.
    pub fn new(timezone: &str) -> Result<Calendar, String> {
        TimeZone::get(timezone)
            .map(|zone| Calendar { zone })
            .map_err(|_| {
                format!(
                    "`{timezone}` is no time zone; expected a name such as UTC or America/New_York"
                )
            })
    }

    /// Days of UTC.
    pub const fn utc() -> Calendar {
        Calendar {
            zone: TimeZone::UTC,
        }
    }

    fn offset_at(&self, ts_ns: i64) -> Offset {
        let at = Timestamp::from_nanosecond(i128::from(ts_ns))
            .expect("nanoseconds in 64 bits lie within the years that are supported");
        let next = self.zone.following(at).next();
        Offset {
            from_ns: ts_ns,
            until_ns: next.map_or(i64::MAX, |next| {
                i64::try_from(next.timestamp().as_nanosecond()).unwrap_or(i64::MAX)
            }),
            seconds: i64::from(self.zone.to_offset(at).seconds()),
        }
    }
}

/// Local days and times of day of one block; reused for every block.
///
/// Shape: as many valid entries in each column as the block has bars.
#[derive(Clone, Debug)]
pub struct LocalTimes {
    /// Local days since 1970-01-01.
    pub day: Box<[i32; QUANTUM_BARS]>,
    /// Seconds since local midnight, on the clock: also where it was put forward or back.
    pub second: Box<[u32; QUANTUM_BARS]>,
    /// Bars of another day than the bar before them in the block. Bar 0 is never one of them: it
    /// is compared with what its reader saw last.
    pub new_day: Mask,
    /// Bars that begin at a time of day or later, where rules ask for one.
    pub late: Mask,
}

impl LocalTimes {
    /// Bytes on the heap.
    pub const BYTES: usize = 8 * QUANTUM_BARS;

    /// Times of no block yet.
    pub fn new() -> LocalTimes {
        LocalTimes {
            day: Box::new([0; QUANTUM_BARS]),
            second: Box::new([0; QUANTUM_BARS]),
            new_day: Mask::default(),
            late: Mask::default(),
        }
    }

    /// The times of these bars, at most [`QUANTUM_BARS`], in rising order.
    pub fn build(&mut self, calendar: &Calendar, ts_ns: &[i64]) {
        self.new_day = Mask::default();
        let mut offset: Option<Offset> = None;
        for (bar, &ts) in ts_ns.iter().enumerate() {
            let known = offset.filter(|known| known.from_ns <= ts && ts < known.until_ns);
            let known = known.unwrap_or_else(|| calendar.offset_at(ts));
            offset = Some(known);
            let local = ts.div_euclid(NS_PER_SECOND) + known.seconds;
            let day = local.div_euclid(SECONDS_PER_DAY) as i32;
            self.day[bar] = day;
            self.second[bar] = local.rem_euclid(SECONDS_PER_DAY) as u32;
            if bar > 0 && self.day[bar - 1] != day {
                self.new_day[bar / 64] |= 1 << (bar % 64);
            }
        }
    }

    /// Marks which of the first so many bars begin at this second of their day or later.
    pub fn mark_late(&mut self, second: u32, bars: usize) {
        self.late = Mask::default();
        for (bar, at) in self.second[..bars].iter().enumerate() {
            self.late[bar / 64] |= u64::from(*at >= second) << (bar % 64);
        }
    }
}

impl Default for LocalTimes {
    fn default() -> LocalTimes {
        LocalTimes::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Days and clock times are those that the time zone's own conversion gives, bar by bar.
    fn check(zone: &str, ts_ns: &[i64]) {
        let Ok(calendar) = Calendar::new(zone) else {
            println!("skipped: no time zone database here");
            return;
        };
        let mut times = LocalTimes::new();
        // What another block left does not matter.
        times.build(&calendar, &[0; QUANTUM_BARS]);
        times.build(&calendar, ts_ns);
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut before = None;
        for (bar, &ts) in ts_ns.iter().enumerate() {
            let at = Timestamp::from_nanosecond(i128::from(ts)).expect("a time");
            let local = calendar.zone.to_datetime(at);
            let day = (local.date() - epoch).get_days();
            let second = i64::from(local.hour()) * 3600
                + i64::from(local.minute()) * 60
                + i64::from(local.second());
            assert_eq!(times.day[bar], day, "{zone}: {local}");
            assert_eq!(i64::from(times.second[bar]), second, "{zone}: {local}");
            let is_new = times.new_day[bar / 64] >> (bar % 64) & 1 == 1;
            assert_eq!(
                is_new,
                before.is_some_and(|before| before != day),
                "{local}"
            );
            before = Some(day);
        }
    }

    proptest! {
        #[test]
        fn a_block_has_the_days_and_times_of_its_zone(
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
            first in -1_000_000_000_i64..4_000_000_000,
            steps in prop::collection::vec(1..400_000_i64, 1..QUANTUM_BARS),
        ) {
            let mut at = first;
            let ts_ns: Vec<i64> = steps.iter().map(|step| { at += step; at * NS_PER_SECOND }).collect();
            check(zone, &ts_ns);
        }
    }

    #[test]
    fn the_day_follows_the_clock_when_it_is_changed() {
        // Half hours around the end of summer time: the clock shows 01:30 twice.
        let start: Timestamp = "2024-11-03T03:00:00Z".parse().expect("a time");
        let start = start.as_nanosecond() as i64;
        let ts_ns: Vec<i64> = (0..100).map(|k| start + k * 1800 * NS_PER_SECOND).collect();
        check("America/New_York", &ts_ns);
        check("UTC", &ts_ns);
    }

    #[test]
    fn a_zone_that_does_not_exist_is_refused() {
        assert!(Calendar::new("Mars/Olympus").is_err());
    }
}
