//! Zeros in a new file, written ahead of what it will hold.
//!
//! A file system keeps what comes in one write in pages as large as it has. What is written into
//! them later, a little here and there, finds them, and so does whoever maps or syncs the file.

use rustix::fs::{FsWord, fstatfs};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};

/// What `statfs` says of a file system in memory (`linux/magic.h`).
const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// Whether the file lies in memory.
///
/// Errors: those of the system.
pub(crate) fn is_in_memory(file: &File) -> io::Result<bool> {
    Ok(fstatfs(file)?.f_type == TMPFS_MAGIC)
}

/// What is written many times over.
static ZEROS: [u8; 16 << 10] = [0; 16 << 10];

/// Pieces of one write: 2 MiB, the largest page there is.
const PIECES: usize = (2 << 20) / ZEROS.len();

/// Writes so many zeros from this offset on.
///
/// Errors: those of the system.
pub(crate) fn write(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes {
        let mut rest = bytes - done;
        let pieces: [IoSlice<'_>; PIECES] = std::array::from_fn(|_| {
            let piece = rest.min(ZEROS.len() as u64);
            rest -= piece;
            IoSlice::new(&ZEROS[..piece as usize])
        });
        let write = || rustix::io::pwritev(file, &pieces, from + done);
        match rustix::io::retry_on_intr(write)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            written => done += written as u64,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn check(from: u64, bytes: u64) {
        let file = tempfile::tempfile().expect("a temporary file");
        let whole = vec![7; (from + bytes) as usize + 5];
        file.write_all_at(&whole, 0).expect("writable");
        write(&file, from, bytes).expect("writable");
        let mut found = vec![1; whole.len()];
        file.read_exact_at(&mut found, 0).expect("readable");
        let is_zero = |at: usize| (from..from + bytes).contains(&(at as u64));
        let expected = (0..whole.len()).map(|at| if is_zero(at) { 0 } else { 7 });
        assert!(found.into_iter().eq(expected), "{bytes} bytes from {from}");
        let length = file.metadata().expect("a file").len();
        assert_eq!(length, whole.len() as u64);
    }

    #[test]
    fn so_many_zeros_are_written_and_nothing_else() {
        for bytes in [
            0,
            1,
            4096,
            16 << 10,
            100_000,
            2 << 20,
            (2 << 20) + 1,
            5_000_001,
        ] {
            check(0, bytes);
            check(8193, bytes);
        }
    }
}
