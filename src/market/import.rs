//! Import: a data file of any size becomes a bars file, checked, in constant memory.

use super::bars_file::{Bar, BarsFile, BarsWriter};
use super::csv_source;
use super::interval::IntervalCounter;
use crate::{Error, Result};
use std::path::Path;

/// Which end of a bar its timestamp names.
///
/// A bar is known by its start wherever time matters: windows by date, days, and the time of its
/// events. Timestamps that name the end are moved to the start when the file is imported, by the
/// distance that more than half of all neighbouring bars have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BarLabel {
    /// The bar's start.
    #[default]
    Start,
    /// The bar's end.
    End,
}

/// How a data file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Time zone of timestamps that carry none.
    pub timezone: String,
    /// What timestamps name.
    pub bar_label: BarLabel,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            timezone: "UTC".to_owned(),
            bar_label: BarLabel::Start,
        }
    }
}

/// What reading a data file takes in memory beside what every import takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportMemory {
    /// Bytes at once, at most.
    pub bytes: u64,
    /// For what; empty where it is nothing.
    pub what: String,
}

impl ImportMemory {
    /// Asks `admit` whether there is so much, before it is taken. A CSV file takes nothing worth
    /// counting, whatever its size; a Parquet file what it says of itself, and the largest page and
    /// dictionary of any column.
    ///
    /// Errors: those of `admit`; [`Error::Data`] where the file cannot be one that [`import`] reads.
    pub fn ask(source: &Path, admit: &mut dyn FnMut(&ImportMemory) -> Result<()>) -> Result<()> {
        #[cfg(feature = "parquet")]
        if is_parquet(source) {
            return super::parquet_source::ask(source, admit);
        }
        let _ = source;
        admit(&ImportMemory::default())
    }
}

fn is_parquet(source: &Path) -> bool {
    source
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

/// What an import wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSummary {
    /// Bars.
    pub bars: u64,
    /// First timestamp, nanoseconds since 1970 UTC.
    pub first_ts: i64,
    /// Last timestamp.
    pub last_ts: i64,
    /// SHA-256 of the content.
    pub digest: String,
}

impl ImportSummary {
    pub(super) fn of(bars: &BarsFile) -> ImportSummary {
        ImportSummary {
            bars: bars.bars(),
            first_ts: bars.first_ts(),
            last_ts: bars.last_ts(),
            digest: bars.digest(),
        }
    }
}

/// Imports a CSV or Parquet file.
///
/// Errors: [`Error::Data`] with the file's line (CSV) or row (Parquet) where a row is malformed,
/// out of order, a duplicate, not a number or impossible as a bar; nothing is written then.
pub fn import(source: &Path, options: &ImportOptions, into: &Path) -> Result<ImportSummary> {
    let mut shift_ns = 0;
    if options.bar_label == BarLabel::End {
        // One more pass over the file: nothing is written before it is known when bars begin.
        let mut counter = IntervalCounter::default();
        read(source, options, into, &mut |_, bar| {
            counter.push(bar.ts_ns);
            Ok(())
        })?;
        shift_ns = counter.interval_ns().map_err(|message| Error::Data {
            path: source.to_path_buf(),
            line: None,
            message,
        })?;
    }
    let mut checked = CheckedWriter {
        writer: BarsWriter::create(into)?,
        source,
        shift_ns,
        last: None,
    };
    read(source, options, into, &mut |line, bar| {
        checked.push(line, bar)
    })?;
    if checked.writer.bars() == 0 {
        return Err(Error::Data {
            path: source.to_path_buf(),
            line: None,
            message: "no bars in the file".to_owned(),
        });
    }
    Ok(ImportSummary::of(&checked.writer.finish()?))
}

/// Hands every bar of the file to `each` with its line (CSV) or row (Parquet).
fn read(
    source: &Path,
    options: &ImportOptions,
    into: &Path,
    each: &mut dyn FnMut(u64, Bar) -> Result<()>,
) -> Result<()> {
    if !is_parquet(source) {
        return csv_source::read(source, options, each);
    }
    #[cfg(feature = "parquet")]
    return super::parquet_source::read(source, options, into, each);
    #[cfg(not(feature = "parquet"))]
    let _ = into;
    #[cfg(not(feature = "parquet"))]
    Err(Error::Usage {
        message: format!(
            "{}: this build of admf cannot read Parquet (feature `parquet`)",
            source.display()
        ),
    })
}

/// Checks bars on their way into the file.
struct CheckedWriter<'a> {
    writer: BarsWriter,
    source: &'a Path,
    /// From a bar's start to its label.
    shift_ns: i64,
    last: Option<i64>,
}

impl CheckedWriter<'_> {
    fn push(&mut self, line: u64, bar: Bar) -> Result<()> {
        let fail = |message: String| Error::Data {
            path: self.source.to_path_buf(),
            line: Some(line),
            message,
        };
        self.check(&bar).map_err(fail)?;
        self.last = Some(bar.ts_ns);
        let start = bar.ts_ns.checked_sub(self.shift_ns);
        let ts_ns = start.ok_or_else(|| fail("the bar begins before the year 1678".to_owned()))?;
        self.writer.push(&Bar { ts_ns, ..bar })
    }

    fn check(&self, bar: &Bar) -> std::result::Result<(), String> {
        let [open, high, low, close, volume] = bar.ohlcv;
        for (name, value) in [
            ("open", open),
            ("high", high),
            ("low", low),
            ("close", close),
        ] {
            if !value.is_finite() || value <= 0.0 {
                return Err(format!(
                    "{name} is {value}; a finite price above 0 was expected"
                ));
            }
        }
        if !volume.is_finite() || volume < 0.0 {
            return Err(format!(
                "volume is {volume}; a finite number, 0 or more, was expected"
            ));
        }
        if high < open.max(close).max(low) {
            return Err(format!(
                "high {high} is below open {open}, low {low} or close {close}"
            ));
        }
        if low > open.min(close) {
            return Err(format!("low {low} is above open {open} or close {close}"));
        }
        match self.last {
            Some(last) if bar.ts_ns == last => {
                Err("duplicate timestamp; every bar needs its own".to_owned())
            }
            Some(last) if bar.ts_ns < last => Err(
                "the timestamp is before that of the row above; sort the file by time".to_owned(),
            ),
            _ => Ok(()),
        }
    }
}
