//! Bytes of a file, wherever they lie: on disk, read with `pread`, or in memory.

use admf::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Something that can be read at any offset and is never written.
pub trait Bytes {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Reads as much of `into` as there is at `offset`; the rest is left as it is.
    ///
    /// Errors: the system refuses to read; the file became shorter than it was.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize>;

    /// Reads all of `into`; false where the file ends before.
    fn read_whole(&self, offset: u64, into: &mut [u8]) -> Result<bool> {
        Ok(self.read(offset, into)? == into.len())
    }
}

/// A file opened for reading.
pub struct FileBytes {
    file: File,
    path: PathBuf,
    size: u64,
}

impl FileBytes {
    /// Opens a file.
    ///
    /// Errors: it cannot be opened.
    pub fn open(path: &Path) -> Result<FileBytes> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let size = file.metadata().map_err(Error::io("inspect", path))?.len();
        Ok(FileBytes {
            file,
            path: path.to_path_buf(),
            size,
        })
    }
}

impl Bytes for FileBytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self
                .file
                .read_at(&mut into[done..], offset.saturating_add(done as u64))
            {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path)(error)),
            }
        }
        let end = offset.saturating_add(done as u64);
        // Whoever finds nothing where something was would take it for never written.
        if done < into.len() && end < self.size {
            return Err(Error::Damaged {
                path: self.path.clone(),
                offset: end,
                message: format!(
                    "the file ends here, but had {} bytes when it was opened: another program cut \
                     it while it was read",
                    self.size
                ),
            });
        }
        Ok(done)
    }
}

impl Bytes for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let from = usize::try_from(offset).map_or(self.len(), |from| from.min(self.len()));
        let count = into.len().min(self.len() - from);
        into[..count].copy_from_slice(&self[from..from + count]);
        Ok(count)
    }
}
