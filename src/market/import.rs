//! Import: a data file of any size becomes a bars file, checked, in constant memory.

use super::bars_file::{Bar, BarsFile, BarsWriter};
use super::csv_source;
use crate::{Error, Result};
use std::path::Path;

/// Which end of a bar its timestamp names.
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
    let is_parquet = source
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    let mut checked = CheckedWriter {
        writer: BarsWriter::create(into)?,
        source,
        last: None,
    };
    if is_parquet {
        #[cfg(feature = "parquet")]
        super::parquet_source::read(source, options, &mut |line, bar| checked.push(line, bar))?;
        #[cfg(not(feature = "parquet"))]
        return Err(Error::Usage {
            message: format!(
                "{}: this build of admf cannot read Parquet (feature `parquet`)",
                source.display()
            ),
        });
    } else {
        csv_source::read(source, options, &mut |line, bar| checked.push(line, bar))?;
    }
    if checked.writer.bars() == 0 {
        return Err(Error::Data {
            path: source.to_path_buf(),
            line: None,
            message: "no bars in the file".to_owned(),
        });
    }
    Ok(ImportSummary::of(&checked.writer.finish()?))
}

/// Checks bars on their way into the file.
struct CheckedWriter<'a> {
    writer: BarsWriter,
    source: &'a Path,
    last: Option<i64>,
}

impl CheckedWriter<'_> {
    fn push(&mut self, line: u64, bar: Bar) -> Result<()> {
        self.check(&bar).map_err(|message| Error::Data {
            path: self.source.to_path_buf(),
            line: Some(line),
            message,
        })?;
        self.last = Some(bar.ts_ns);
        self.writer.push(&bar)
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
