//! `admf oracle`: one case or grid made by an independent program, run and compared.
//!
//! A case's own quirks (whole shares bought with a hair less than all cash, the forced close at
//! the last bar's open) are built here from ordinary rules and never reach the engine.

mod case;
mod compare;
mod finalize;
mod grid;
mod recorder;

use crate::market::{BarsFile, ImportOptions, open_bars};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything compared is equal within the tolerances: so many figures.
    Equal {
        /// Figures compared.
        compared: u64,
        /// Grid rows passed over because their oracle says that rounding decides a trade.
        skipped: u64,
    },
    /// The first difference.
    Different(String),
    /// The case asks for something that admf does not do.
    Unsupported(String),
}

/// Runs the case or grid in this folder.
///
/// `data` is the folder of the data files; by default `../../data` beside the case.
///
/// Errors: a file of the case or its data is missing or malformed.
pub fn run(folder: &Path, data: Option<&Path>) -> Result<Verdict> {
    let data = data.map_or_else(|| folder.join("../../data"), Path::to_path_buf);
    if folder.join("case.json").is_file() {
        case::run(folder, &data)
    } else if folder.join("grid.json").is_file() {
        grid::run(folder, &data)
    } else {
        Err(Error::Usage {
            message: format!(
                "{}: neither case.json nor grid.json is there",
                folder.display()
            ),
        })
    }
}

/// A folder that is gone when it is dropped: the imported bars of one case.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("admf-oracle-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it; a leftover in the temporary folder is no error.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open_dataset(data: &Path, name: &str, scratch: &Scratch) -> Result<BarsFile> {
    let found = ["csv", "parquet"]
        .map(|ending| data.join(format!("{name}.{ending}")))
        .into_iter()
        .find(|path| path.is_file());
    let source = found.ok_or_else(|| Error::Usage {
        message: format!(
            "{}: no {name}.csv or {name}.parquet; name the folder with --data",
            data.display()
        ),
    })?;
    open_bars(&source, &scratch.0, &ImportOptions::default())
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Data {
        path: path.to_path_buf(),
        line: Some(error.line() as u64),
        message: format!("not valid JSON: {error}"),
    })
}

/// Rows of a CSV file as maps from its header.
fn read_rows(path: &Path) -> Result<Vec<std::collections::HashMap<String, String>>> {
    let malformed = |error: csv::Error| Error::Data {
        path: path.to_path_buf(),
        line: error.position().map(csv::Position::line),
        message: format!("not valid CSV: {error}"),
    };
    let mut reader = csv::Reader::from_path(path).map_err(malformed)?;
    reader
        .deserialize()
        .collect::<std::result::Result<_, _>>()
        .map_err(malformed)
}
