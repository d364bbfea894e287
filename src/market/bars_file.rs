//! Reading and writing bars files.
//!
//! Blocks are copied out with `pread` and their checksum is verified, so that memory is one block
//! per reader whatever the length of the series, and a file that is truncated meanwhile is an
//! error and never a SIGBUS.

use super::{BarBlock, Noise};
use crate::{Error, Result};
use admf_formats::bars::{
    BarsHeader, CHUNK_BYTES, CHUNK_HEADER_BYTES, COLUMN_BYTES, HEADER_BYTES, MAGIC, open_chunk,
    seal_chunk,
};
use admf_formats::units::QUANTUM_BARS;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// An open bars file.
#[derive(Debug)]
pub struct BarsFile {
    file: File,
    path: PathBuf,
    header: BarsHeader,
    /// What prices are read with.
    noise: Option<Noise>,
}

impl BarsFile {
    /// Whether the file begins like a bars file.
    pub fn is_bars_file(path: &Path) -> Result<bool> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let mut start = [0; 8];
        Ok(file.read_exact_at(&mut start, 0).is_ok() && start == MAGIC)
    }

    /// Opens a bars file and checks its header and length.
    pub fn open(path: &Path) -> Result<BarsFile> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let damaged = |message: String| Error::Damaged {
            path: path.to_path_buf(),
            offset: 0,
            message,
        };
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0)
            .map_err(|_| damaged("too short for a bars file".to_owned()))?;
        let header = BarsHeader::decode(&bytes).map_err(damaged)?;
        let wanted = chunk_offset(header.bars.div_ceil(QUANTUM_BARS as u64));
        let found = file.metadata().map_err(Error::io("inspect", path))?.len();
        if found != wanted {
            return Err(damaged(format!(
                "{} bars need {wanted} bytes, the file has {found}",
                header.bars
            )));
        }
        Ok(BarsFile {
            file,
            path: path.to_path_buf(),
            header,
            noise: None,
        })
    }

    /// The same bars, read with noise on their prices.
    ///
    /// Errors: the system has no further file descriptor.
    pub fn perturbed(&self, noise: Noise) -> Result<BarsFile> {
        let file = self.file.try_clone();
        Ok(BarsFile {
            file: file.map_err(Error::io("open", &self.path))?,
            path: self.path.clone(),
            header: self.header.clone(),
            noise: Some(noise),
        })
    }

    /// Bars in the file.
    pub const fn bars(&self) -> u64 {
        self.header.bars
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Timestamp of the first bar.
    pub const fn first_ts(&self) -> i64 {
        self.header.first_ts_ns
    }

    /// Timestamp of the last bar.
    pub const fn last_ts(&self) -> i64 {
        self.header.last_ts_ns
    }

    /// SHA-256 of the content, as hexadecimal digits.
    pub fn digest(&self) -> String {
        hex(&self.header.digest)
    }

    /// Reads the bars of one quantum into the block.
    ///
    /// Errors: the system cannot read, the file is shorter than its header says, the chunk's
    /// checksum does not match, or it is that of other bars.
    pub fn read_quantum(&self, quantum: u64, into: &mut BarBlock) -> Result<()> {
        let offset = chunk_offset(quantum);
        let damaged = |message: String| Error::Damaged {
            path: self.path.clone(),
            offset,
            message,
        };
        let scratch = &mut into.scratch;
        self.file
            .read_exact_at(&mut scratch[..], offset)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => damaged(
                    "the file ends within this chunk; was it changed while in use?".to_owned(),
                ),
                _ => Error::io("read", &self.path)(error),
            })?;
        let (first_bar, bars) = open_chunk(&scratch[..]).map_err(damaged)?;
        if first_bar != quantum * QUANTUM_BARS as u64 {
            return Err(damaged(format!(
                "the chunk begins with bar {first_bar}, it belongs elsewhere"
            )));
        }
        let wanted = self
            .header
            .bars
            .saturating_sub(first_bar)
            .min(QUANTUM_BARS as u64);
        if bars as u64 != wanted {
            return Err(damaged(format!(
                "the chunk has {bars} bars, by the header it has {wanted}"
            )));
        }
        (into.first_bar, into.bars) = (first_bar, bars);
        let column = |which: usize| {
            let from = CHUNK_HEADER_BYTES + which * COLUMN_BYTES;
            scratch[from..from + COLUMN_BYTES].as_chunks::<8>().0
        };
        for (value, bytes) in into.ts_ns.iter_mut().zip(column(0)) {
            *value = i64::from_le_bytes(*bytes);
        }
        let columns = [
            &mut into.open,
            &mut into.high,
            &mut into.low,
            &mut into.close,
            &mut into.volume,
        ];
        for (which, values) in columns.into_iter().enumerate() {
            for (value, bytes) in values.iter_mut().zip(column(which + 1)) {
                *value = f64::from_le_bytes(*bytes);
            }
        }
        if let Some(noise) = &self.noise {
            noise.apply(into);
        }
        Ok(())
    }

    /// Reads every chunk.
    ///
    /// Errors: those of [`BarsFile::read_quantum`], for the first chunk that has one.
    pub fn verify(&self) -> Result<()> {
        let mut block = BarBlock::new();
        (0..self.bars().div_ceil(QUANTUM_BARS as u64))
            .try_for_each(|quantum| self.read_quantum(quantum, &mut block))
    }

    /// Timestamp of a bar.
    pub fn ts_of(&self, bar: u64) -> Result<i64> {
        let quantum = bar / QUANTUM_BARS as u64;
        let mut block = BarBlock::new();
        self.read_quantum(quantum, &mut block)?;
        Ok(block.ts_ns[(bar % QUANTUM_BARS as u64) as usize])
    }

    /// Index of the first bar at or after this time; the number of bars where there is none.
    pub fn bar_at_or_after(&self, ts_ns: i64) -> Result<u64> {
        let mut block = BarBlock::new();
        let (mut low, mut high) = (0, self.bars().div_ceil(QUANTUM_BARS as u64));
        // The first quantum whose last bar is not before the time.
        while low < high {
            let middle = low + (high - low) / 2;
            self.read_quantum(middle, &mut block)?;
            if block.ts_ns[block.bars - 1] < ts_ns {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low * QUANTUM_BARS as u64 >= self.bars() {
            return Ok(self.bars());
        }
        self.read_quantum(low, &mut block)?;
        let within = block.ts_ns[..block.bars].partition_point(|ts| *ts < ts_ns);
        Ok(block.first_bar + within as u64)
    }
}

fn chunk_offset(quantum: u64) -> u64 {
    HEADER_BYTES as u64 + quantum * CHUNK_BYTES as u64
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Nanoseconds since 1970 UTC.
    pub ts_ns: i64,
    /// Open, high, low, close, volume.
    pub ohlcv: [f64; 5],
}

/// Files that this process has begun to write.
static TEMPORARY_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A name for a file that is of use while `path` is written, and for nobody else.
pub(super) fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    // The same file may be imported by several processes, and threads of each, at once.
    let number = TEMPORARY_NUMBER.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}.{number}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Writes a bars file in one pass, in the memory of one chunk.
///
/// The bars appear under their name only when [`BarsWriter::finish`] has written the header.
pub struct BarsWriter {
    out: BufWriter<File>,
    path: PathBuf,
    temporary: PathBuf,
    chunk: Vec<u8>,
    bars: u64,
    first_ts_ns: i64,
    last_ts_ns: i64,
    digest: Sha256,
}

impl BarsWriter {
    /// Starts a file that will be called `path`.
    pub fn create(path: &Path) -> Result<BarsWriter> {
        let temporary = temporary_beside(path);
        let file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        out.write_all(&[0; HEADER_BYTES])
            .map_err(Error::io("write", &temporary))?;
        Ok(BarsWriter {
            out,
            path: path.to_path_buf(),
            temporary,
            chunk: vec![0; CHUNK_BYTES],
            bars: 0,
            first_ts_ns: 0,
            last_ts_ns: 0,
            digest: Sha256::new(),
        })
    }

    /// Bars so far.
    pub const fn bars(&self) -> u64 {
        self.bars
    }

    /// Appends a bar; the caller has checked it.
    pub fn push(&mut self, bar: &Bar) -> Result<()> {
        let at = (self.bars % QUANTUM_BARS as u64) as usize;
        let mut put = |column: usize, bytes: [u8; 8]| {
            let from = CHUNK_HEADER_BYTES + column * COLUMN_BYTES + at * 8;
            self.chunk[from..from + 8].copy_from_slice(&bytes);
        };
        put(0, bar.ts_ns.to_le_bytes());
        for (column, value) in bar.ohlcv.iter().enumerate() {
            put(column + 1, value.to_le_bytes());
        }
        if self.bars == 0 {
            self.first_ts_ns = bar.ts_ns;
        }
        self.last_ts_ns = bar.ts_ns;
        self.bars += 1;
        if at + 1 == QUANTUM_BARS {
            self.flush(QUANTUM_BARS)
        } else {
            Ok(())
        }
    }

    fn flush(&mut self, bars: usize) -> Result<()> {
        seal_chunk(&mut self.chunk, self.bars - bars as u64, bars);
        self.digest.update(&self.chunk);
        self.out
            .write_all(&self.chunk)
            .map_err(Error::io("write", &self.temporary))?;
        self.chunk.fill(0);
        Ok(())
    }

    /// Writes the rest and the header, and gives the file its name.
    pub fn finish(mut self) -> Result<BarsFile> {
        let rest = (self.bars % QUANTUM_BARS as u64) as usize;
        if rest > 0 {
            self.flush(rest)?;
        }
        let digest = std::mem::take(&mut self.digest).finalize().into();
        let header = BarsHeader {
            bars: self.bars,
            first_ts_ns: self.first_ts_ns,
            last_ts_ns: self.last_ts_ns,
            digest,
        };
        let write = || -> std::io::Result<()> {
            self.out.flush()?;
            self.out.get_ref().write_all_at(&header.encode(), 0)?;
            self.out.get_ref().sync_data()?;
            std::fs::rename(&self.temporary, &self.path)
        };
        let mut write = write;
        write().map_err(Error::io("write", &self.path))?;
        BarsFile::open(&self.path)
    }
}

impl Drop for BarsWriter {
    fn drop(&mut self) {
        // After `finish` the temporary name is gone; before it, the file is of no use.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
