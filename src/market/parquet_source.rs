//! Parquet files: the same columns as CSV, one column after the other, in batches.
//!
//! Memory: the pages of one column, and one batch. A page is what the format lets read at the
//! least, and it may be as large as its writer liked: so the columns of a row group are not read
//! side by side but put on disk one by one, and how large the pages are is told beforehand
//! ([`ask`]).
//!
//! What a time means is told by its logical type and never by its magnitude: its unit, and whether
//! it is adjusted to UTC. Times that are not (and dates) are in the workflow's time zone, like times
//! without an offset in CSV.

mod group_columns;
mod pages;

use self::group_columns::GroupColumns;
use super::bars_file::Bar;
use super::columns::{Columns, TimeColumns, VALUE_NAMES};
use super::import::{ImportMemory, ImportOptions};
use super::time::TimeReader;
use crate::{Error, Result};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, Int96};
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::FooterTail;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Rows that are read at once.
const BATCH_ROWS: usize = 1024;

/// Hands every row to `each` with its number, from 1. Columns are put on disk beside `beside`.
pub(super) fn read(
    source: &Path,
    options: &ImportOptions,
    beside: &Path,
    each: &mut dyn FnMut(u64, Bar) -> Result<()>,
) -> Result<()> {
    let fail = |line: Option<u64>, message: String| Error::Data {
        path: source.to_path_buf(),
        line,
        message,
    };
    let times = TimeReader::new(&options.timezone).map_err(|message| fail(None, message))?;
    let (_, reader, wanted) = open(source)?;
    let mut first_row = 1;
    let places: Vec<usize> = wanted.iter().map(Wanted::place).collect();
    let mut batch = Batch::default();
    let mut group_columns = GroupColumns::create(beside)?;
    for group in 0..reader.num_row_groups() {
        let group = reader
            .get_row_group(group)
            .map_err(|error| fail(Some(first_row), format!("cannot read: {error}")))?;
        let rows = group.metadata().num_rows().max(0) as u64;
        for wanted in &wanted {
            let mut column = group
                .get_column_reader(wanted.leaf)
                .map_err(|error| fail(Some(first_row), unreadable(&wanted.name, &error)))?;
            for (from, count) in batches(rows) {
                batch
                    .fill(wanted, &mut column, count, &times)
                    .map_err(|(row, message)| fail(Some(first_row + from + row), message))?;
                group_columns.write(wanted.place(), rows, from, &batch.words)?;
            }
        }
        for (from, count) in batches(rows) {
            let bars = group_columns.read(&places, rows, from, count)?;
            for (row, bar) in bars.iter().enumerate() {
                each(first_row + from + row as u64, *bar)?;
            }
        }
        first_row += rows;
    }
    Ok(())
}

/// Asks for what reading the file takes: first for what it says of itself, by the length of that,
/// then, when that is read, for all.
///
/// Errors: those of `admit`, and of [`read`] what its metadata or a page's header shows.
pub(super) fn ask(source: &Path, admit: &mut dyn FnMut(&ImportMemory) -> Result<()>) -> Result<()> {
    let footer = footer_bytes(source)?;
    admit(&ImportMemory {
        bytes: 2 * footer,
        what: "what the file says of itself".to_owned(),
    })?;
    let (file, reader, wanted) = open(source)?;
    let memory = pages::memory(file, reader.metadata(), footer, &wanted);
    admit(&memory.map_err(|message| Error::Data {
        path: source.to_path_buf(),
        line: None,
        message,
    })?)
}

/// Length of the metadata, before its end mark; 0 of a file that is too short for one.
fn footer_bytes(source: &Path) -> Result<u64> {
    let mut file = File::open(source).map_err(Error::io("open", source))?;
    let mut end = [0; FOOTER_SIZE];
    let read = file
        .seek(SeekFrom::End(-(FOOTER_SIZE as i64)))
        .and_then(|_| file.read_exact(&mut end));
    // What is no Parquet file is told by its reader.
    let tail = read.ok().and_then(|()| FooterTail::try_from(end).ok());
    Ok(tail.map_or(0, |tail| tail.metadata_length() as u64))
}

type Opened = (File, SerializedFileReader<File>, Vec<Wanted>);

fn open(source: &Path) -> Result<Opened> {
    let fail = |message: String| Error::Data {
        path: source.to_path_buf(),
        line: None,
        message,
    };
    let file = File::open(source).map_err(Error::io("open", source))?;
    let again = file.try_clone().map_err(Error::io("open", source))?;
    let reader = SerializedFileReader::new(again)
        .map_err(|error| fail(format!("not a Parquet file: {error}")))?;
    let wanted = wanted(&reader).map_err(fail)?;
    Ok((file, reader, wanted))
}

/// First row and number of rows of each batch.
fn batches(rows: u64) -> impl Iterator<Item = (u64, usize)> {
    let batch = BATCH_ROWS as u64;
    (0..rows.div_ceil(batch)).map(move |number| {
        let from = number * batch;
        (from, batch.min(rows - from) as usize)
    })
}

/// A column of a bar.
struct Wanted {
    name: String,
    /// Its place among the leaves of the file's schema.
    leaf: usize,
    /// Which value by [`VALUE_NAMES`]; `None` for the time.
    value: Option<usize>,
    meaning: Meaning,
    is_optional: bool,
}

impl Wanted {
    /// Its place among the columns of a bar: the time is the first.
    fn place(&self) -> usize {
        self.value.map_or(0, |value| value + 1)
    }
}

/// What a stored value means.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// A number, divided by this (decimals); integers may have no sign.
    Number { divisor: f64, is_unsigned: bool },
    /// So many nanoseconds each since 1970, UTC or in the time zone.
    Time { unit_ns: i64, is_utc: bool },
    /// Days since 1970 in the time zone.
    Date,
    /// Nanoseconds since noon and Julian day, in the time zone: the deprecated timestamp, which
    /// does not say whether it is adjusted.
    JulianTime,
    /// Seconds to nanoseconds since 1970 UTC: plain integers, as in CSV.
    Epoch,
    /// Text, as in CSV.
    Text,
}

fn wanted(reader: &SerializedFileReader<File>) -> Result<Vec<Wanted>, String> {
    let schema = reader.metadata().file_metadata().schema_descr();
    // A column inside a group or list is none of a bar's.
    let names: Vec<&str> = schema
        .columns()
        .iter()
        .map(|column| match column.path().parts() {
            [name] => name.as_str(),
            _ => "",
        })
        .collect();
    let columns = Columns::find(&names)?;
    let TimeColumns::One(time) = columns.time else {
        return Err(
            "the time is in two columns, `date` and `time`; store it as one timestamp".to_owned(),
        );
    };
    let mut wanted = Vec::with_capacity(6);
    let values = columns.values.iter().enumerate();
    let values = values.filter_map(|(value, leaf)| leaf.map(|leaf| (leaf, Some(value))));
    for (leaf, value) in std::iter::once((time, None)).chain(values) {
        let column = schema.column(leaf);
        let meaning = if value.is_some() {
            number(&column)
        } else {
            time_of(&column)
        };
        if column.max_rep_level() > 0 {
            return Err(format!(
                "{} is a list; one value was expected",
                column.name()
            ));
        }
        wanted.push(Wanted {
            name: value
                .map_or("timestamp", |value| VALUE_NAMES[value])
                .to_owned(),
            leaf,
            value,
            meaning: meaning.ok_or_else(|| {
                let stored = match column.logical_type_ref() {
                    Some(logical) => format!("{logical:?}"),
                    None => format!("{} ({})", column.physical_type(), column.converted_type()),
                };
                let expected = if value.is_some() {
                    "a number"
                } else {
                    "a timestamp, date, epoch number or text"
                };
                format!(
                    "column `{}` is {stored}; {expected} was expected",
                    column.name()
                )
            })?,
            is_optional: column.max_def_level() > 0,
        });
    }
    Ok(wanted)
}

fn number(column: &ColumnDescriptor) -> Option<Meaning> {
    let plain = |is_unsigned| {
        Some(Meaning::Number {
            divisor: 1.0,
            is_unsigned,
        })
    };
    match (column.physical_type(), column.logical_type_ref()) {
        (Physical::FLOAT | Physical::DOUBLE, None) => plain(false),
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(kind))) => {
            plain(!kind.is_signed)
        }
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Decimal(kind))) => {
            Some(Meaning::Number {
                divisor: decimal_divisor(kind.scale)?,
                is_unsigned: false,
            })
        }
        (Physical::INT32 | Physical::INT64, None) => match column.converted_type() {
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64 => plain(false),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => plain(true),
            ConvertedType::DECIMAL => Some(Meaning::Number {
                divisor: decimal_divisor(column.type_scale())?,
                is_unsigned: false,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// Ten to this power, which is exact up to 22.
fn decimal_divisor(scale: i32) -> Option<f64> {
    (0..=18)
        .contains(&scale)
        .then(|| 10_u64.pow(scale as u32) as f64)
}

fn time_of(column: &ColumnDescriptor) -> Option<Meaning> {
    let utc = |unit_ns| {
        Some(Meaning::Time {
            unit_ns,
            is_utc: true,
        })
    };
    match (column.physical_type(), column.logical_type_ref()) {
        (Physical::INT64, Some(LogicalType::Timestamp(kind))) => Some(Meaning::Time {
            unit_ns: match kind.unit {
                TimeUnit::MILLIS => 1_000_000,
                TimeUnit::MICROS => 1_000,
                TimeUnit::NANOS => 1,
            },
            is_utc: kind.is_adjusted_to_u_t_c,
        }),
        (Physical::INT32, Some(LogicalType::Date)) => Some(Meaning::Date),
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(_))) => Some(Meaning::Epoch),
        (Physical::BYTE_ARRAY, Some(LogicalType::String)) => Some(Meaning::Text),
        // The older annotations; by the specification their timestamps are adjusted to UTC.
        (physical, None) => match (physical, column.converted_type()) {
            (Physical::INT64, ConvertedType::TIMESTAMP_MILLIS) => utc(1_000_000),
            (Physical::INT64, ConvertedType::TIMESTAMP_MICROS) => utc(1_000),
            (Physical::INT32, ConvertedType::DATE) => Some(Meaning::Date),
            (Physical::INT96, ConvertedType::NONE) => Some(Meaning::JulianTime),
            (Physical::BYTE_ARRAY, ConvertedType::NONE | ConvertedType::UTF8) => {
                Some(Meaning::Text)
            }
            (
                Physical::INT32 | Physical::INT64,
                ConvertedType::NONE
                | ConvertedType::INT_32
                | ConvertedType::INT_64
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
            ) => Some(Meaning::Epoch),
            _ => None,
        },
        _ => None,
    }
}

fn unreadable(column: &str, error: &ParquetError) -> String {
    format!("cannot read {column}: {error}")
}

/// What is wrong, and in which row of the batch.
type Wrong = (u64, String);

/// Buffers of one batch of one column, reused for every one.
#[derive(Default)]
struct Batch {
    /// What the batch comes to: times as they are, values by their bits.
    words: Vec<u64>,
    levels: Vec<i16>,
    doubles: Vec<f64>,
    floats: Vec<f32>,
    integers: Vec<i32>,
    longs: Vec<i64>,
    julian: Vec<Int96>,
    texts: Vec<ByteArray>,
}

impl Batch {
    fn fill(
        &mut self,
        wanted: &Wanted,
        column: &mut ColumnReader,
        count: usize,
        times: &TimeReader,
    ) -> std::result::Result<(), Wrong> {
        let levels = &mut self.levels;
        let into = &mut self.words;
        into.clear();
        let meaning = wanted.meaning;
        if let Meaning::Number {
            divisor,
            is_unsigned,
        } = meaning
        {
            match column {
                ColumnReader::DoubleColumnReader(column) => {
                    load(column, wanted, count, levels, &mut self.doubles)?;
                    put(into, &self.doubles, |value| *value);
                }
                ColumnReader::FloatColumnReader(column) => {
                    load(column, wanted, count, levels, &mut self.floats)?;
                    put(into, &self.floats, |value| f64::from(*value));
                }
                ColumnReader::Int32ColumnReader(column) => {
                    load(column, wanted, count, levels, &mut self.integers)?;
                    put(into, &self.integers, |value| {
                        let signed = f64::from(*value);
                        let value = if is_unsigned {
                            f64::from(*value as u32)
                        } else {
                            signed
                        };
                        value / divisor
                    });
                }
                ColumnReader::Int64ColumnReader(column) => {
                    load(column, wanted, count, levels, &mut self.longs)?;
                    put(into, &self.longs, |value| {
                        let signed = *value as f64;
                        let value = if is_unsigned {
                            *value as u64 as f64
                        } else {
                            signed
                        };
                        value / divisor
                    });
                }
                _ => unreachable!("the meaning was taken from the physical type"),
            }
            return Ok(());
        }
        match column {
            ColumnReader::Int64ColumnReader(column) => {
                load(column, wanted, count, levels, &mut self.longs)?;
                put_times(into, &self.longs, |value| time_from(meaning, *value, times))
            }
            ColumnReader::Int32ColumnReader(column) => {
                load(column, wanted, count, levels, &mut self.integers)?;
                put_times(into, &self.integers, |value| {
                    time_from(meaning, i64::from(*value), times)
                })
            }
            ColumnReader::Int96ColumnReader(column) => {
                load(column, wanted, count, levels, &mut self.julian)?;
                put_times(into, &self.julian, |value| times.read_local(julian(value)?))
            }
            ColumnReader::ByteArrayColumnReader(column) => {
                load(column, wanted, count, levels, &mut self.texts)?;
                put_times(into, &self.texts, |value| {
                    let text = value.as_utf8().map_err(|_| "not UTF-8".to_owned())?;
                    times.read(text)
                })?;
                // They keep their page.
                self.texts.clear();
                Ok(())
            }
            _ => unreachable!("the meaning was taken from the physical type"),
        }
    }
}

/// Reads exactly so many values of a column; null is not one.
fn load<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    wanted: &Wanted,
    count: usize,
    levels: &mut Vec<i16>,
    into: &mut Vec<T::T>,
) -> std::result::Result<(), Wrong> {
    levels.clear();
    into.clear();
    let (rows, values, _) = column
        .read_records(count, wanted.is_optional.then_some(levels), None, into)
        .map_err(|error| (0, unreadable(&wanted.name, &error)))?;
    if rows != count {
        let message = format!("{} ends here, other columns go on", wanted.name);
        return Err((rows as u64, message));
    }
    if values != count {
        let row = levels.iter().position(|level| *level == 0).unwrap_or(0);
        return Err((
            row as u64,
            format!("{} is null; a value was expected", wanted.name),
        ));
    }
    Ok(())
}

fn put<T>(into: &mut Vec<u64>, from: &[T], one: impl Fn(&T) -> f64) {
    into.extend(from.iter().map(|value| one(value).to_bits()));
}

fn put_times<T>(
    into: &mut Vec<u64>,
    from: &[T],
    one: impl Fn(&T) -> std::result::Result<i64, String>,
) -> std::result::Result<(), Wrong> {
    for (row, value) in from.iter().enumerate() {
        let time = one(value).map_err(|message| (row as u64, format!("timestamp: {message}")))?;
        into.push(time as u64);
    }
    Ok(())
}

fn time_from(meaning: Meaning, value: i64, times: &TimeReader) -> std::result::Result<i64, String> {
    const DAY_NS: i64 = 86_400_000_000_000;
    let (unit_ns, is_utc) = match meaning {
        Meaning::Time { unit_ns, is_utc } => (unit_ns, is_utc),
        Meaning::Date => (DAY_NS, false),
        _ => return TimeReader::read_epoch(value),
    };
    let nanoseconds = value
        .checked_mul(unit_ns)
        .ok_or_else(|| format!("{value} is outside the years 1678 to 2262"))?;
    if is_utc {
        Ok(nanoseconds)
    } else {
        times.read_local(nanoseconds)
    }
}

fn julian(value: &Int96) -> std::result::Result<i64, String> {
    const UNIX_EPOCH_DAY: i64 = 2_440_588;
    let [low, high, day] = [0, 1, 2].map(|at| value.data()[at]);
    let within = u64::from(low) | u64::from(high) << 32;
    (i64::from(day) - UNIX_EPOCH_DAY)
        .checked_mul(86_400_000_000_000)
        .and_then(|start| start.checked_add(i64::try_from(within).ok()?))
        .ok_or_else(|| "the time is outside the years 1678 to 2262".to_owned())
}
