//! Which columns of a data file hold a bar, by name, in CSV and Parquet alike.

/// Names of the values of a bar; a file without volume has bars of volume 0.
pub(super) const VALUE_NAMES: [&str; 5] = ["open", "high", "low", "close", "volume"];

/// Names of a column that holds the whole time of a bar, in order of preference.
const TIME_NAMES: [&str; 2] = ["timestamp", "datetime"];

/// Where the time of a bar stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeColumns {
    /// In one column.
    One(usize),
    /// The date in one, the time of day in another.
    DateAndTime(usize, usize),
}

/// Columns of a bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// The time.
    pub(super) time: TimeColumns,
    /// By [`VALUE_NAMES`]; only the volume may be missing.
    pub(super) values: [Option<usize>; 5],
}

impl Columns {
    /// Finds the columns of a bar among the names of a file's columns; case does not matter.
    ///
    /// Errors: a column is missing, or a name that is needed stands there twice.
    pub(super) fn find(names: &[&str]) -> Result<Columns, String> {
        let find = |wanted: &str| -> Result<Option<usize>, String> {
            let mut places = (0..names.len()).filter(|at| names[*at].eq_ignore_ascii_case(wanted));
            let place = places.next();
            match (place, places.next()) {
                (Some(first), Some(second)) => Err(format!(
                    "columns {} and {} are both called `{wanted}`; rename or remove one",
                    first + 1,
                    second + 1
                )),
                _ => Ok(place),
            }
        };
        let missing =
            |wanted: &str| format!("no column `{wanted}`; the file has: {}", names.join(", "));
        let mut whole = None;
        // The last is what pandas calls an index that it stores without a name.
        for name in TIME_NAMES.into_iter().chain(["__index_level_0__"]) {
            whole = whole.or(find(name)?);
        }
        let time = match (whole, find("date")?, find("time")?) {
            (Some(column), ..) => TimeColumns::One(column),
            (None, Some(date), Some(time)) => TimeColumns::DateAndTime(date, time),
            (None, Some(column), None) | (None, None, Some(column)) => TimeColumns::One(column),
            (None, None, None) => return Err(missing("timestamp")),
        };
        let mut values = [None; 5];
        for (column, name) in values.iter_mut().zip(VALUE_NAMES) {
            *column = find(name)?;
            if column.is_none() && name != "volume" {
                return Err(missing(name));
            }
        }
        Ok(Columns { time, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Result<TimeColumns, &str>) {
        let names: Vec<&str> = header.split(',').collect();
        match (Columns::find(&names), expected) {
            (Ok(columns), Ok(time)) => assert_eq!(columns.time, time, "{header}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{header}: {message}"),
            (found, expected) => panic!("{header}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn the_time_of_a_bar_is_never_guessed() {
        check("Timestamp,Open,High,Low,Close", Ok(TimeColumns::One(0)));
        check("open,high,low,close,date,volume", Ok(TimeColumns::One(4)));
        check("time,open,high,low,close", Ok(TimeColumns::One(0)));
        check(
            "time,date,open,high,low,close",
            Ok(TimeColumns::DateAndTime(1, 0)),
        );
        check(
            "date,time,datetime,open,high,low,close",
            Ok(TimeColumns::One(2)),
        );
        check("open,high,low,close", Err("no column `timestamp`"));
        check("date,open,high,low", Err("no column `close`"));
        check(
            "date,open,high,low,close,Close",
            Err("5 and 6 are both called `close`"),
        );
        check(
            "date,Date,open,high,low,close",
            Err("1 and 2 are both called `date`"),
        );
    }
}
