//! Tables of events, trades or results as Parquet, CSV or JSON lines, row by row: in memory at once
//! is one group of rows, however large the file is.

mod columns;
mod parquet_sink;

pub use columns::{Cell, Column, ColumnType, What};

use crate::archive::Archive;
use crate::bytes::FileBytes;
use crate::{decode, files, line};
use admf::segment::FileKind;
use admf::{Error, Result};
use admf_formats::archive::ChunkKind;
use admf_formats::event::EventKind;
use admf_formats::report::ContainerReport;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Parquet, compressed with Zstandard.
    Parquet,
    /// Comma-separated values with a header line; null is empty.
    Csv,
    /// JSON lines: those of `dump`, `trades` and `summary`.
    Jsonl,
}

/// Writes the table of every file of `path` into `out`, which must not exist, or to `stdout`.
///
/// Errors: `out` exists; Parquet without `out`; damage that stands in the way; the system refuses.
pub fn export(
    path: &Path,
    what: What,
    format: Format,
    out: Option<&Path>,
    stdout: &mut dyn Write,
) -> Result<()> {
    let inputs = files::list(path)?;
    let Some(out) = out else {
        if format == Format::Parquet {
            return Err(Error::Usage {
                message: "--format parquet needs --out FILE".to_owned(),
            });
        }
        let named = Path::new("standard output");
        return write_all(&inputs, what, format, stdout, named);
    };
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(out)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Usage {
                message: format!("--out {}: it exists; choose a new name", out.display()),
            },
            _ => Error::io("create", out)(error),
        })?;
    let written = if format == Format::Parquet {
        parquet(&inputs, what, file, out)
    } else {
        let mut writer = BufWriter::new(file);
        write_all(&inputs, what, format, &mut writer, out)
            .and_then(|()| writer.flush().map_err(Error::io("write", out)))
    };
    if written.is_err() {
        // A table that is not whole is worse than none.
        let _ = std::fs::remove_file(out);
    }
    written
}

fn write_all(
    inputs: &[(std::path::PathBuf, FileKind)],
    what: What,
    format: Format,
    writer: &mut dyn Write,
    out: &Path,
) -> Result<()> {
    if format == Format::Jsonl {
        return json_lines(inputs, what, writer, out);
    }
    let columns = columns::columns(what, inputs)?;
    let mut line = String::new();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    writeln!(writer, "{}", names.join(",")).map_err(Error::io("write", out))?;
    rows(inputs, what, &columns, &mut |row| {
        line.clear();
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                line.push(',');
            }
            cell.push_csv(&mut line);
        }
        writeln!(writer, "{line}").map_err(Error::io("write", out))
    })
}

fn parquet(
    inputs: &[(std::path::PathBuf, FileKind)],
    what: What,
    file: File,
    out: &Path,
) -> Result<()> {
    let columns = columns::columns(what, inputs)?;
    let mut sink = parquet_sink::Sink::new(file, &columns, out)?;
    rows(inputs, what, &columns, &mut |row| sink.push(row))?;
    sink.finish()
}

fn decode_what(what: What) -> decode::What {
    match what {
        What::Trades => decode::What::Trades,
        _ => decode::What::Events,
    }
}

fn json_lines(
    inputs: &[(std::path::PathBuf, FileKind)],
    what: What,
    writer: &mut dyn Write,
    out: &Path,
) -> Result<()> {
    if what == What::Results {
        return reports(inputs, &mut |report| {
            let text = serde_json::to_string(report).expect("a report is JSON");
            writeln!(writer, "{text}").map_err(Error::io("write", out))
        });
    }
    for (path, kind) in inputs {
        let changed = decode::file(
            path,
            *kind,
            decode_what(what),
            &|_, _| Ok(true),
            &mut |event| {
                if what == What::Trades && event.frame.payload.kind() != EventKind::PositionClose {
                    return Ok(());
                }
                writeln!(writer, "{}", line::of(event)).map_err(Error::io("write", out))
            },
        )?;
        decode::is_still(path, changed)?;
    }
    Ok(())
}

/// Calls `each` with every row.
fn rows(
    inputs: &[(std::path::PathBuf, FileKind)],
    what: What,
    columns: &[Column],
    each: &mut dyn FnMut(&[Cell]) -> Result<()>,
) -> Result<()> {
    if what == What::Results {
        return reports(inputs, &mut |report| {
            each(&columns::of_report(report, columns))
        });
    }
    for (path, kind) in inputs {
        let changed = decode::file(
            path,
            *kind,
            decode_what(what),
            &|_, _| Ok(true),
            &mut |event| {
                if what == What::Trades && event.frame.payload.kind() != EventKind::PositionClose {
                    return Ok(());
                }
                each(&columns::of_event(event, columns))
            },
        )?;
        decode::is_still(path, changed)?;
    }
    Ok(())
}

/// Calls `each` with the report of every committed container, from its record.
pub(crate) fn reports(
    inputs: &[(std::path::PathBuf, FileKind)],
    each: &mut dyn FnMut(&ContainerReport) -> Result<()>,
) -> Result<()> {
    for (path, kind) in inputs {
        if *kind != FileKind::Archive {
            continue;
        }
        let damaged = |offset, message| Error::Damaged {
            path: path.clone(),
            offset,
            message,
        };
        let archive = Archive::open(FileBytes::open(path)?)?
            .map_err(|why| damaged(why.offset, why.problem))?;
        let context = archive.manifest.report_context();
        let mut payload = Vec::new();
        for container in archive.containers() {
            let Some(slot) = archive.slot(container)? else {
                continue;
            };
            let mut failure = None;
            let last = slot.last_chunk[ChunkKind::Failure as usize - 1];
            archive.each_link(container, ChunkKind::Failure, last, |chunk| {
                if archive.payload(chunk, &mut payload)? {
                    failure = Some(String::from_utf8_lossy(&payload).into_owned());
                }
                Ok(())
            })?;
            each(&ContainerReport::of(
                &slot.record,
                &context,
                failure.as_deref(),
            ))?;
        }
    }
    Ok(())
}
