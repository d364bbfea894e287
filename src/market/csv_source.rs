//! CSV files: columns by name, any common delimiter.

use super::bars_file::Bar;
use super::import::ImportOptions;
use super::time::TimeReader;
use crate::{Error, Result};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Names of the time column, in order of preference.
pub(super) const TIME_NAMES: [&str; 4] = ["timestamp", "datetime", "date", "time"];
/// Names of the value columns.
pub(super) const VALUE_NAMES: [&str; 5] = ["open", "high", "low", "close", "volume"];

/// Hands every row to `each` with its line.
pub(super) fn read(
    source: &Path,
    options: &ImportOptions,
    each: &mut dyn FnMut(u64, Bar) -> Result<()>,
) -> Result<()> {
    let fail = |line: Option<u64>, message: String| Error::Data {
        path: source.to_path_buf(),
        line,
        message,
    };
    let times = TimeReader::new(&options.timezone).map_err(|message| fail(None, message))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(source)?)
        .trim(csv::Trim::All)
        .from_path(source)
        .map_err(|error| csv_error(source, error))?;
    let header = reader
        .headers()
        .map_err(|error| csv_error(source, error))?
        .clone();
    let find = |name: &str| {
        header.iter().position(|column| {
            column
                .trim_start_matches('\u{feff}')
                .eq_ignore_ascii_case(name)
        })
    };
    let missing = |wanted: &str| {
        let found: Vec<&str> = header.iter().collect();
        fail(
            Some(1),
            format!("no column `{wanted}`; the header has: {}", found.join(", ")),
        )
    };
    let time = TIME_NAMES
        .iter()
        .find_map(|name| find(name))
        .ok_or_else(|| missing("timestamp"))?;
    let mut columns = [None; 5];
    for (column, name) in columns.iter_mut().zip(VALUE_NAMES) {
        *column = find(name);
        if column.is_none() && name != "volume" {
            return Err(missing(name));
        }
    }
    let mut record = csv::StringRecord::new();
    let mut rows = || -> Result<()> {
        while reader
            .read_record(&mut record)
            .map_err(|error| csv_error(source, error))?
        {
            // A byte offset until something is wrong; only then are lines counted.
            let line = record.position().map_or(0, csv::Position::byte);
            let ts_ns = times
                .read(&record[time])
                .map_err(|message| fail(Some(line), message))?;
            let mut ohlcv = [0.0; 5];
            for ((value, column), name) in ohlcv.iter_mut().zip(columns).zip(VALUE_NAMES) {
                if let Some(column) = column {
                    *value = record[column].parse().map_err(|_| {
                        fail(
                            Some(line),
                            format!("{name} is `{}`; a number was expected", &record[column]),
                        )
                    })?;
                }
            }
            each(line, Bar { ts_ns, ohlcv })?;
        }
        Ok(())
    };
    rows().map_err(|error| match error {
        Error::Data {
            path,
            line: Some(byte),
            message,
        } => {
            let line = line_at(&path, byte);
            Error::Data {
                path,
                line,
                message,
            }
        }
        other => other,
    })
}

/// The line of the row that begins at or after this byte: the parser counts neither blank lines
/// nor the line feed of a CRLF before a row.
fn line_at(path: &Path, byte: u64) -> Option<u64> {
    let mut bytes = BufReader::new(std::fs::File::open(path).ok()?).bytes();
    let mut line = 1;
    for at in 0.. {
        let next = bytes.next()?.ok()?;
        if at >= byte && next != b'\r' && next != b'\n' {
            break;
        }
        line += u64::from(next == b'\n');
    }
    Some(line)
}

/// The delimiter that the header uses most.
fn delimiter(source: &Path) -> Result<u8> {
    let file = std::fs::File::open(source).map_err(Error::io("open", source))?;
    let mut header = String::new();
    BufReader::new(file)
        .read_line(&mut header)
        .map_err(Error::io("read", source))?;
    let count = |delimiter: u8| header.bytes().filter(|byte| *byte == delimiter).count();
    Ok([b',', b';', b'\t', b'|']
        .into_iter()
        .max_by_key(|delimiter| (count(*delimiter), *delimiter == b','))
        .unwrap_or(b','))
}

fn csv_error(source: &Path, error: csv::Error) -> Error {
    let line = error.position().map(csv::Position::byte);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::io("read", source)(error),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => Error::Data {
            path: source.to_path_buf(),
            line,
            message: format!("the row has {len} fields, the header {expected_len}"),
        },
        other => Error::Data {
            path: source.to_path_buf(),
            line,
            message: format!("not valid CSV: {other:?}"),
        },
    }
}
