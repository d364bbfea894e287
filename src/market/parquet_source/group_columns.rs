//! Columns of one row group on disk: written one after the other, read side by side.

use super::BATCH_ROWS;
use crate::market::bars_file::{Bar, temporary_beside};
use crate::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Time, open, high, low, close, volume.
const COLUMNS: usize = 6;
const WORD_BYTES: usize = 8;

/// A file without a name, as large as the largest row group's columns.
pub(super) struct GroupColumns {
    file: File,
    /// The name that it had.
    path: PathBuf,
    bytes: Vec<u8>,
    bars: Vec<Bar>,
}

impl GroupColumns {
    /// Errors: no file can be made in the folder of `beside`.
    pub(super) fn create(beside: &Path) -> Result<GroupColumns> {
        let path = temporary_beside(beside);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        Ok(GroupColumns {
            file,
            path,
            bytes: Vec::with_capacity(BATCH_ROWS * WORD_BYTES),
            bars: Vec::with_capacity(BATCH_ROWS),
        })
    }

    /// Puts words of a column, from this row of a group of so many on.
    pub(super) fn write(
        &mut self,
        column: usize,
        rows: u64,
        from: u64,
        words: &[u64],
    ) -> Result<()> {
        self.bytes.clear();
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        self.bytes.extend(bytes);
        self.file
            .write_all_at(&self.bytes, offset(column, rows, from))
            .map_err(Error::io("write", &self.path))
    }

    /// Bars of that many rows; of a column that was not written they have zeros.
    pub(super) fn read(
        &mut self,
        columns: &[usize],
        rows: u64,
        from: u64,
        count: usize,
    ) -> Result<&[Bar]> {
        let empty = Bar {
            ts_ns: 0,
            ohlcv: [0.0; 5],
        };
        self.bars.clear();
        self.bars.resize(count, empty);
        self.bytes.resize(count * WORD_BYTES, 0);
        for column in columns {
            self.file
                .read_exact_at(&mut self.bytes, offset(*column, rows, from))
                .map_err(Error::io("read", &self.path))?;
            let words = self.bytes.as_chunks::<WORD_BYTES>().0;
            for (bar, word) in self.bars.iter_mut().zip(words) {
                match column.checked_sub(1) {
                    None => bar.ts_ns = i64::from_le_bytes(*word),
                    Some(value) => bar.ohlcv[value] = f64::from_le_bytes(*word),
                }
            }
        }
        Ok(&self.bars)
    }
}

fn offset(column: usize, rows: u64, row: u64) -> u64 {
    debug_assert!(column < COLUMNS);
    (column as u64 * rows + row) * WORD_BYTES as u64
}
