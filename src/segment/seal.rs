//! Sealing archives: syncs are slow, so threads of their own do them while others write and read.
//!
//! An archive comes here when its last container is committed, or at the end of the run. The queue
//! is bounded: where disks are slower than the sweep, the writer waits.

use super::archive::{ArchiveFile, Failure};
use crate::{Error, Result};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::path::Path;
use std::sync::PoisonError;
use std::thread::JoinHandle;

/// Threads: a sync waits for the disk, not for a processor. As many as ten thousand containers have
/// archives: larger sweeps have no more.
const THREADS: u64 = 3;

/// Archives that wait for a thread at most.
const WAITING: usize = 8;

/// Archives on their way to their seals.
pub struct Sealing {
    threads: Vec<JoinHandle<()>>,
    failure: Failure,
}

impl Sealing {
    /// Starts the threads, no more than there are archives: a run of many small phases would
    /// start and end them for nothing, and each leaves something in a heap of its own. What is sent
    /// is sealed, and the first error kept in `failure`.
    pub(super) fn start(
        folder: &Path,
        archives: u64,
        failure: &Failure,
    ) -> Result<(Sender<ArchiveFile>, Sealing)> {
        let (sender, receiver) = bounded::<ArchiveFile>(WAITING);
        let thread = |_| {
            let (files, told): (Receiver<ArchiveFile>, _) = (receiver.clone(), failure.clone());
            let seal = move || {
                for file in files {
                    if let Err(error) = file.seal() {
                        told.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .get_or_insert(error);
                    }
                }
            };
            std::thread::Builder::new()
                .name("seal".to_owned())
                .stack_size(crate::plan::STACK_BYTES as usize)
                .spawn(seal)
                .map_err(Error::io("start a thread for", folder))
        };
        let threads = (0..archives.clamp(1, THREADS))
            .map(thread)
            .collect::<Result<_>>()?;
        let sealing = Sealing {
            threads,
            failure: failure.clone(),
        };
        Ok((sender, sealing))
    }

    /// Waits until every archive is sealed.
    ///
    /// Errors: the first one of the writer or a sealer.
    pub fn finish(self) -> Result<()> {
        for thread in self.threads {
            thread.join().expect("a sealer does not panic");
        }
        let error = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        error.map_or(Ok(()), Err)
    }
}
