//! Timestamps of data files.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Reads timestamps as data files write them.
#[derive(Clone, Debug)]
pub struct TimeReader {
    zone: TimeZone,
    is_utc: bool,
}

const EXPECTED: &str = "expected RFC 3339, a date, `YYYY-MM-DD HH:MM:SS` or an epoch number";

impl TimeReader {
    /// Timestamps without an offset are in this zone.
    ///
    /// Errors: the zone is unknown.
    pub fn new(timezone: &str) -> Result<TimeReader, String> {
        let zone = TimeZone::get(timezone).map_err(|_| {
            format!("`{timezone}` is no time zone; expected a name such as UTC or America/New_York")
        })?;
        Ok(TimeReader {
            zone,
            is_utc: timezone == "UTC",
        })
    }

    /// Nanoseconds since 1970 UTC.
    ///
    /// Errors: the text is no time, or names a local time that does not exist or exists twice.
    pub fn read(&self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() != 8 {
            return text
                .parse()
                .map_err(|_| format!("`{text}` is no timestamp; {EXPECTED}"))
                .and_then(TimeReader::read_epoch);
        }
        let wrong = || format!("`{text}` is no timestamp; {EXPECTED}");
        if text.len() == 10
            && let Ok(date) = text.parse::<Date>()
        {
            return self.local(date.to_datetime(jiff::civil::Time::midnight()), text);
        }
        let has_offset = text.ends_with('Z')
            || text
                .get(11..)
                .is_some_and(|time| time.contains('+') || time.contains('-'));
        if has_offset {
            let at: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
            return nanoseconds(at, text);
        }
        let local: DateTime = text.parse().map_err(|_| wrong())?;
        self.local(local, text)
    }

    /// A plain number: seconds, milliseconds, microseconds or nanoseconds since 1970 UTC, by
    /// magnitude.
    ///
    /// Errors: the number is negative.
    pub fn read_epoch(number: i64) -> Result<i64, String> {
        let unit = match number {
            ..0 => return Err(format!("{number} is no timestamp; {EXPECTED}")),
            0..100_000_000_000 => 1_000_000_000,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        number
            .checked_mul(unit)
            .ok_or_else(|| format!("{number} is outside the years 1678 to 2262"))
    }

    /// A time on the clock of the time zone, as nanoseconds since 1970 on that clock.
    ///
    /// Errors: the time does not exist on it, or exists twice.
    pub fn read_local(&self, clock_ns: i64) -> Result<i64, String> {
        if self.is_utc {
            return Ok(clock_ns);
        }
        let at = jiff::Timestamp::from_nanosecond(i128::from(clock_ns))
            .map_err(|error| error.to_string())?;
        let at = TimeZone::UTC.to_datetime(at);
        self.local(at, &at.to_string())
    }

    fn local(&self, at: DateTime, text: &str) -> Result<i64, String> {
        if self.is_utc {
            let at = TimeZone::UTC
                .to_timestamp(at)
                .map_err(|error| format!("`{text}`: {error}"))?;
            return nanoseconds(at, text);
        }
        let at = self.zone.to_ambiguous_timestamp(at).unambiguous().map_err(|_| {
            format!("`{text}` does not exist or exists twice in the time zone; write it with its offset")
        })?;
        nanoseconds(at, text)
    }
}

fn nanoseconds(at: jiff::Timestamp, text: &str) -> Result<i64, String> {
    i64::try_from(at.as_nanosecond())
        .map_err(|_| format!("`{text}` is outside the years 1678 to 2262"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let read = TimeReader::new("UTC").and_then(|reader| reader.read(text));
        let expected = expected.map(|at| {
            at.parse::<jiff::Timestamp>()
                .map(|at| at.as_nanosecond() as i64)
        });
        match expected {
            Some(at) => assert_eq!(read.ok(), at.ok(), "{text}"),
            None => assert!(read.is_err(), "{text}"),
        }
    }

    #[test]
    fn the_forms_that_data_files_use_are_read() {
        check("2024-03-26 13:30:00+00:00", Some("2024-03-26T13:30:00Z"));
        check("2024-03-26T13:30:00Z", Some("2024-03-26T13:30:00Z"));
        check("2024-03-26T09:30:00-04:00", Some("2024-03-26T13:30:00Z"));
        check("2024-03-26 13:30", Some("2024-03-26T13:30:00Z"));
        check("20240326 13:30", Some("2024-03-26T13:30:00Z"));
        check("20240326 133000", Some("2024-03-26T13:30:00Z"));
        check("20240326", Some("2024-03-26T00:00:00Z"));
        check("2024-03-26 13:30:00.5", Some("2024-03-26T13:30:00.5Z"));
        check("2004-08-19", Some("2004-08-19T00:00:00Z"));
        check("1711459800", Some("2024-03-26T13:30:00Z"));
        check("1711459800000", Some("2024-03-26T13:30:00Z"));
        check("1711459800000000", Some("2024-03-26T13:30:00Z"));
        check("1711459800000000000", Some("2024-03-26T13:30:00Z"));
        check("yesterday", None);
        check("", None);
        check("2024-13-01", None);
    }

    #[test]
    fn a_local_time_that_exists_twice_is_refused() {
        let Ok(reader) = TimeReader::new("America/New_York") else {
            println!("skipped: no time zone database here");
            return;
        };
        assert!(reader.read("2024-11-03 01:30:00").is_err());
        assert!(reader.read("2024-03-10 02:30:00").is_err());
        assert_eq!(
            reader.read("2024-03-26 09:30:00"),
            reader.read("2024-03-26T13:30:00Z")
        );
        assert!(TimeReader::new("Mars/Olympus").is_err());
    }
}
