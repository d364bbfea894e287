//! Parquet files: the same columns as CSV, read row group by row group in small batches.

use super::bars_file::Bar;
use super::csv_source::{TIME_NAMES, VALUE_NAMES};
use super::import::ImportOptions;
use super::time::TimeReader;
use crate::{Error, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use std::path::Path;
use std::sync::Arc;

/// Hands every row to `each` with its number, from 1.
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
    let file = std::fs::File::open(source).map_err(Error::io("open", source))?;
    let reader = SerializedFileReader::new(file)
        .map_err(|error| fail(None, format!("not a Parquet file: {error}")))?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<&str> = schema
        .get_fields()
        .iter()
        .map(|field| field.name())
        .collect();
    let find = |wanted: &str| {
        names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(wanted))
    };
    let missing = |wanted: &str| {
        fail(
            None,
            format!("no column `{wanted}`; the file has: {}", names.join(", ")),
        )
    };
    let time = TIME_NAMES
        .iter()
        .chain(&["__index_level_0__"])
        .find_map(|name| find(name))
        .ok_or_else(|| missing("timestamp"))?;
    let mut wanted = vec![("timestamp", time)];
    for name in VALUE_NAMES {
        match find(name) {
            Some(column) => wanted.push((name, column)),
            None if name == "volume" => {}
            None => return Err(missing(name)),
        }
    }
    // Only the columns of a bar are decoded; rows come in the order of the file's columns.
    wanted.sort_by_key(|(_, column)| *column);
    let fields: Vec<Arc<Type>> = wanted
        .iter()
        .map(|(_, column)| schema.get_fields()[*column].clone())
        .collect();
    let projection = Type::group_type_builder(schema.name())
        .with_fields(fields)
        .build()
        .map_err(|error| fail(None, format!("cannot select columns: {error}")))?;
    let rows = reader
        .get_row_iter(Some(projection))
        .map_err(|error| fail(None, format!("cannot read rows: {error}")))?;
    for (number, row) in rows.enumerate() {
        let line = number as u64 + 1;
        let row = row.map_err(|error| fail(Some(line), format!("cannot read the row: {error}")))?;
        let mut bar = Bar {
            ts_ns: 0,
            ohlcv: [0.0; 5],
        };
        for ((name, _), (_, field)) in wanted.iter().zip(row.get_column_iter()) {
            let wrong = || {
                fail(
                    Some(line),
                    format!("{name} is {field}; another type was expected"),
                )
            };
            match VALUE_NAMES.iter().position(|value| value == name) {
                Some(place) => bar.ohlcv[place] = number_of(field).ok_or_else(wrong)?,
                None => bar.ts_ns = time_of(field, &times).ok_or_else(wrong)?,
            }
        }
        each(line, bar)?;
    }
    Ok(())
}

fn number_of(field: &Field) -> Option<f64> {
    match field {
        Field::Double(value) => Some(*value),
        Field::Float(value) => Some(f64::from(*value)),
        Field::Int(value) => Some(f64::from(*value)),
        Field::UInt(value) => Some(f64::from(*value)),
        Field::Long(value) => Some(*value as f64),
        Field::ULong(value) => Some(*value as f64),
        _ => None,
    }
}

fn time_of(field: &Field, times: &TimeReader) -> Option<i64> {
    match field {
        Field::TimestampMillis(value) => value.checked_mul(1_000_000),
        Field::TimestampMicros(value) => value.checked_mul(1_000),
        Field::Date(days) => i64::from(*days).checked_mul(86_400_000_000_000),
        Field::Long(value) => times.read(&value.to_string()).ok(),
        Field::Str(text) => times.read(text).ok(),
        _ => None,
    }
}
