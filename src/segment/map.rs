//! A mapped file: with `kernel` and `heap`, the only unsafe code of the crate.
//!
//! The file is allocated and touched whole when it is created, so that a full disk is an error then
//! and not a SIGBUS later; it is locked, and never shrunk or remapped while it is mapped.
#![allow(unsafe_code)]

use super::order::{COMMIT, PUBLISH, fence};
use crate::{Error, Result, zeros};
use memmap2::{Advice, MmapMut};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// A file mapped for writing.
pub(super) struct Map {
    map: MmapMut,
    /// Keeps the lock.
    _file: File,
}

impl Map {
    /// Creates (or empties) the file with so many bytes, all of them allocated and touched.
    ///
    /// Errors: the file cannot be created, locked or allocated.
    pub(super) fn create(path: &Path, bytes: usize) -> Result<Map> {
        // Written first: the pages come in large pieces then, and a first touch of each that is
        // there already takes a twentieth of the time. In memory that allocates them too.
        let mut map = Map::create_with(path, bytes, |file| {
            if !zeros::is_in_memory(file)? {
                allocate(file, bytes)?;
            }
            zeros::write(file, 0, bytes as u64)
        })?;
        match map.map.advise(Advice::PopulateWrite) {
            Ok(()) => {}
            // Kernels before 5.14 do not know it: the pages are touched one by one.
            Err(error) if error.kind() == ErrorKind::InvalidInput => map.map.fill(0),
            Err(error) => return Err(Error::io("touch", path)(error)),
        }
        Ok(map)
    }

    /// Creates (or empties) the file; its pages fault when they are written for the first time.
    pub(super) fn create_untouched(path: &Path, bytes: usize) -> Result<Map> {
        Map::create_with(path, bytes, |file| allocate(file, bytes))
    }

    fn create_with(
        path: &Path,
        bytes: usize,
        allocate: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<Map> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io("create", path))?;
        file.try_lock().map_err(|_| Error::Results {
            path: path.to_path_buf(),
            message:
                "another process uses this pool; wait for it or choose another results directory"
                    .to_owned(),
        })?;
        file.set_len(0)
            .and_then(|()| file.set_len(bytes as u64))
            .map_err(Error::io("size", path))?;
        allocate(&file).map_err(Error::io("allocate", path))?;
        // SAFETY: a mapping is sound while nobody shrinks the file. The lock above keeps other
        // pools of ours away, and this process never truncates a file that is mapped; a foreign
        // program that ignores the lock is outside the contract of the results directory.
        let map = unsafe { MmapMut::map_mut(&file) }.map_err(Error::io("map", path))?;
        Ok(Map { map, _file: file })
    }

    /// The bytes from `at` on.
    #[inline(always)]
    pub(super) fn bytes_mut(&mut self, at: usize, bytes: usize) -> &mut [u8] {
        &mut self.map[at..at + bytes]
    }

    /// The bytes from `at` on.
    #[inline(always)]
    pub(super) fn bytes(&self, at: usize, bytes: usize) -> &[u8] {
        &self.map[at..at + bytes]
    }

    /// Stores a commit word after everything that was written before it.
    #[inline(always)]
    pub(super) fn commit(&mut self, at: usize, word: u64) {
        assert!(
            at.is_multiple_of(8) && at + 8 <= self.map.len(),
            "commit words are 8-aligned and inside the map"
        );
        // SAFETY: the assertion keeps the word inside the map, which is page-aligned, so the
        // pointer is valid and aligned for 8 bytes; `&mut self` keeps every other access of this
        // process away. The tests of the ring would read torn frames without it.
        let commit = unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) };
        commit.store(word.to_le(), COMMIT);
    }

    /// Whoever sees a store that follows sees every one before.
    #[inline(always)]
    pub(super) fn order(&mut self) {
        fence(PUBLISH);
    }
}

/// Allocates a file's bytes without touching them.
fn allocate(file: &File, bytes: usize) -> std::io::Result<()> {
    fallocate(file, FallocateFlags::empty(), 0, bytes as u64)?;
    Ok(())
}
