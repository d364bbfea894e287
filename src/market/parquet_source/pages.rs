//! How much memory the pages of a file take while they are read.
//!
//! A page is read and decompressed whole, with the one before it still there, after the dictionary
//! of its column. Only the headers of pages know their sizes, so all of them are read; the library
//! steps from one to the next, and what it does not tell, the sizes that each header begins with,
//! is read beside it.

use super::{Wanted, unreadable};
use crate::market::import::ImportMemory;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::column::page::PageReader;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// What decompressing takes beside its output.
const ZSTD_CONTEXT: u64 = 192 << 10;

/// The most that a Brotli stream looks back.
const BROTLI_WINDOW_MAX: u64 = 16 << 20;

/// What the column that takes most of all takes, beside what the file says of itself, of which the
/// stored form is gone by then.
///
/// Errors: a header that cannot be read.
pub(super) fn memory(
    file: File,
    metadata: &ParquetMetaData,
    footer: u64,
    wanted: &[Wanted],
) -> Result<ImportMemory, String> {
    let headers = Arc::new(Headers {
        file,
        column: Mutex::default(),
    });
    let mut largest = ImportMemory {
        bytes: footer,
        what: "what the file says of itself".to_owned(),
    };
    for (number, group) in metadata.row_groups().iter().enumerate() {
        for wanted in wanted {
            let chunk = group.column(wanted.leaf);
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            let bytes = chunk_bytes(&headers, chunk, rows)
                .map_err(|error| unreadable(&wanted.name, &error))?;
            if bytes > largest.bytes {
                largest = ImportMemory {
                    bytes,
                    what: format!("pages of {} in row group {number}", wanted.name),
                };
            }
        }
    }
    largest.bytes += metadata.memory_size() as u64;
    Ok(largest)
}

fn chunk_bytes(
    headers: &Arc<Headers>,
    chunk: &ColumnChunkMetaData,
    rows: usize,
) -> ParquetResult<u64> {
    headers.begin(Column {
        is_text: chunk.column_type() == Physical::BYTE_ARRAY,
        compression: chunk.compression(),
        ..Column::default()
    });
    let mut pages = SerializedPageReader::new(Arc::clone(headers), chunk, rows, None)?;
    while pages.peek_next_page()?.is_some() {
        pages.skip_next_page()?;
    }
    let is_delta = |encoding| {
        matches!(
            encoding,
            Encoding::DELTA_BYTE_ARRAY | Encoding::DELTA_LENGTH_BYTE_ARRAY
        )
    };
    // Two lengths of each text of a page, which may be all of the group.
    let lengths = if chunk.encodings().any(is_delta) {
        2 * size_of::<i32>() as u64 * rows as u64
    } else {
        0
    };
    Ok(headers.end() + lengths)
}

/// What the pages of a column come to so far.
#[derive(Clone, Copy)]
struct Column {
    is_text: bool,
    compression: Compression,
    /// What the dictionary keeps.
    dictionary: u64,
    /// The page before.
    before: u64,
    peak: u64,
}

impl Default for Column {
    fn default() -> Column {
        Column {
            is_text: false,
            compression: Compression::UNCOMPRESSED,
            dictionary: 0,
            before: 0,
            peak: 0,
        }
    }
}

impl Column {
    fn push(&mut self, page: &PageSizes) {
        let reading = match self.compression {
            Compression::UNCOMPRESSED => page.plain,
            Compression::BROTLI(_) => {
                let window = page.plain.next_power_of_two().min(BROTLI_WINDOW_MAX);
                page.stored + page.plain + window
            }
            Compression::ZSTD(_) => page.stored + page.plain + ZSTD_CONTEXT,
            Compression::LZ4 => page.stored + 2 * page.plain,
            _ => page.stored + page.plain,
        };
        let Some(values) = page.dictionary else {
            self.peak = self.peak.max(self.dictionary + self.before + reading);
            self.before = page.plain;
            return;
        };
        let (value, page_kept) = if self.is_text {
            // Texts point into their page.
            (size_of::<ByteArray>(), page.plain)
        } else {
            (size_of::<f64>(), 0)
        };
        let values = values * value as u64;
        self.dictionary = values + page_kept;
        self.peak = self.peak.max(reading).max(page.plain + values);
    }
}

/// The sizes of a page, without its header.
#[derive(Debug, PartialEq)]
struct PageSizes {
    /// Values of a dictionary; `None` for a page of data.
    dictionary: Option<u64>,
    /// Bytes when it is decompressed.
    plain: u64,
    /// Bytes in the file.
    stored: u64,
}

impl PageSizes {
    /// Five numbers of five bytes at most, with a byte before each, and one before the dictionary's.
    const BYTES: usize = 31;
    /// The kind of a page that is a dictionary.
    const DICTIONARY: u64 = 2;

    /// Reads what a header begins with, in Thrift's compact protocol: kind and sizes are its fields
    /// 1 to 3, a checksum the fourth where there is one, and a dictionary's own header the seventh,
    /// whose first field is the number of its values. Fields are written in order.
    fn read(header: &[u8]) -> Option<PageSizes> {
        let mut bytes = header.iter().copied();
        let (mut field, mut numbers) = (0, [0; 5]);
        loop {
            let head = bytes.next()?;
            field += usize::from(head >> 4);
            match (field, head & 15) {
                (1..=4, I32) => numbers[field] = varint(&mut bytes)?,
                (7, STRUCT) => break,
                _ => return None,
            }
            if field == 3 && numbers[1] != PageSizes::DICTIONARY {
                break;
            }
        }
        let [_, kind, plain, stored, _] = numbers;
        let mut dictionary = None;
        if kind == PageSizes::DICTIONARY {
            let is_first = bytes.next()? == 1 << 4 | I32;
            dictionary = Some(varint(&mut bytes).filter(|_| is_first)?);
        }
        Some(PageSizes {
            dictionary,
            plain,
            stored,
        })
    }
}

/// Thrift's compact protocol: a number of 32 bits.
const I32: u8 = 5;
/// A structure.
const STRUCT: u8 = 12;

/// A number of 32 bits: seven in each byte, its sign in the last. One below zero, which a checksum
/// alone may be, is read as another.
fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number / 2);
        }
    }
    None
}

/// The file, which hears where the library reads a header.
struct Headers {
    file: File,
    column: Mutex<Column>,
}

impl Headers {
    fn begin(&self, column: Column) {
        *self.column.lock().unwrap_or_else(PoisonError::into_inner) = column;
    }

    fn end(&self) -> u64 {
        let column = self.column.lock().unwrap_or_else(PoisonError::into_inner);
        column.peak
    }
}

impl Length for Headers {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Headers {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> ParquetResult<BufReader<File>> {
        let mut header = [0; PageSizes::BYTES];
        let count = self.file.read_at(&mut header, start)?;
        let page = PageSizes::read(&header[..count])
            .ok_or_else(|| ParquetError::General(format!("no page header at offset {start}")))?;
        let mut column = self.column.lock().unwrap_or_else(PoisonError::into_inner);
        column.push(&page);
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.file.get_bytes(start, length)
    }
}
