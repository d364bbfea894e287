//! CSV files: columns by name, any common delimiter, in the memory of one row.

use super::bars_file::Bar;
use super::columns::{Columns, TimeColumns, VALUE_NAMES};
use super::import::ImportOptions;
use super::time::TimeReader;
use crate::{Error, Result};
use csv::ByteRecord;
use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

/// The longest row, its quoted line breaks included: what a row may cost in memory.
const ROW_BYTES_MAX: u64 = 64 << 10;

/// Size of the buffer between file and parser.
const BUFFER_BYTES: usize = 64 << 10;

/// A file that ends with an error where a row does not end: a file without line breaks, or with a
/// quote that is never closed, would be read into memory whole.
struct BoundedRows {
    file: File,
    /// Bytes that were handed over since a row was complete.
    open_bytes: Rc<Cell<u64>>,
}

impl Read for BoundedRows {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.open_bytes.get() > ROW_BYTES_MAX {
            return Err(std::io::Error::other(RowTooLong));
        }
        let count = self.file.read(buffer)?;
        self.open_bytes.set(self.open_bytes.get() + count as u64);
        Ok(count)
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "a row of more than {ROW_BYTES_MAX} bytes; is this a CSV file, and is every quote in it closed?"
)]
struct RowTooLong;

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
    let open_bytes = Rc::new(Cell::new(0));
    let rows = BoundedRows {
        file: File::open(source).map_err(Error::io("open", source))?,
        open_bytes: Rc::clone(&open_bytes),
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(source)?)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(rows);
    let header = reader
        .byte_headers()
        .map_err(|error| csv_error(source, error))?;
    let names: Vec<String> = header
        .iter()
        .map(|name| {
            String::from_utf8_lossy(name)
                .trim_matches(['\u{feff}', ' ', '\t', '\r'])
                .to_owned()
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let columns = Columns::find(&names).map_err(|message| fail(Some(1), message))?;
    let mut record = ByteRecord::new();
    let mut text = String::new();
    let mut rows = || -> Result<()> {
        loop {
            open_bytes.set(0);
            let is_row = reader
                .read_byte_record(&mut record)
                .map_err(|error| csv_error(source, error))?;
            if !is_row {
                return Ok(());
            }
            // A byte offset until something is wrong; only then are lines counted.
            let line = record.position().map_or(0, csv::Position::byte);
            if reader.position().byte() - line > ROW_BYTES_MAX {
                return Err(fail(Some(line), RowTooLong.to_string()));
            }
            let bar = bar(&record, &columns, &times, &mut text)
                .map_err(|message| fail(Some(line), message))?;
            each(line, bar)?;
        }
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

fn bar(
    record: &ByteRecord,
    columns: &Columns,
    times: &TimeReader,
    text: &mut String,
) -> std::result::Result<Bar, String> {
    let ts_ns = match columns.time {
        TimeColumns::One(column) => times.read(field(record, column)?)?,
        TimeColumns::DateAndTime(date, time) => {
            text.clear();
            text.push_str(field(record, date)?);
            text.push(' ');
            text.push_str(field(record, time)?);
            times.read(text)?
        }
    };
    let mut ohlcv = [0.0; 5];
    for ((value, column), name) in ohlcv.iter_mut().zip(columns.values).zip(VALUE_NAMES) {
        if let Some(column) = column {
            let text = field(record, column)?;
            *value = text
                .parse()
                .map_err(|_| format!("{name} is `{text}`; a number was expected"))?;
        }
    }
    Ok(Bar { ts_ns, ohlcv })
}

/// A field without the spaces around it.
fn field(record: &ByteRecord, column: usize) -> std::result::Result<&str, String> {
    let bytes = record[column].trim_ascii();
    std::str::from_utf8(bytes)
        .map_err(|_| format!("`{}` is not UTF-8", String::from_utf8_lossy(bytes)))
}

/// The line of the row that begins at or after this byte: the parser counts neither blank lines
/// nor the line feed of a CRLF before a row.
fn line_at(path: &Path, byte: u64) -> Option<u64> {
    let mut bytes = BufReader::new(File::open(path).ok()?).bytes();
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
    let file = File::open(source).map_err(Error::io("open", source))?;
    let mut header = Vec::new();
    BufReader::new(file.take(ROW_BYTES_MAX + 1))
        .read_until(b'\n', &mut header)
        .map_err(Error::io("read", source))?;
    if header.len() as u64 > ROW_BYTES_MAX {
        return Err(Error::Data {
            path: source.to_path_buf(),
            line: Some(1),
            message: RowTooLong.to_string(),
        });
    }
    let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    // The first of those that stand there most often.
    let most = b",;\t|"
        .iter()
        .rev()
        .max_by_key(|delimiter| count(**delimiter));
    Ok(most.copied().unwrap_or(b','))
}

fn csv_error(source: &Path, error: csv::Error) -> Error {
    let line = error.position().map(csv::Position::byte);
    let data = |message: String| Error::Data {
        path: source.to_path_buf(),
        line,
        message,
    };
    match error.into_kind() {
        csv::ErrorKind::Io(error)
            if error
                .get_ref()
                .is_some_and(|inner| inner.is::<RowTooLong>()) =>
        {
            data(RowTooLong.to_string())
        }
        csv::ErrorKind::Io(error) => Error::io("read", source)(error),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => data(format!(
            "the row has {len} fields, the header {expected_len}"
        )),
        other => data(format!("not valid CSV: {other:?}")),
    }
}
