//! Named steps at which a test stops, breaks or interrupts the program.
//!
//! Compiled in by the feature `failpoints` alone; without it every function here is empty and the
//! program is the same to the byte. With it, `ADMF_FAILPOINT=archive.slot:17=kill` does what is
//! said the 17th time that step is reached; several are separated by `;`. Actions: `kill`
//! (SIGKILL), `term` (SIGTERM), `eio` and `enospc` (the step fails with that error; steps that
//! write only). A write has three steps: before it (`archive.slot`), in its middle
//! (`archive.slot.half`) and behind it (`archive.slot.done`).
//!
//! `ADMF_WITNESS=FILE` notes the sequence of every event right after it was committed, eight bytes
//! per container: what a test knows of the committed events without the files it tests.
//! `ADMF_REACHED=FILE` notes every step that is reached, once each. What is asked of the archives'
//! files is recorded between `journal::start` and `journal::take`.

#[cfg(feature = "failpoints")]
pub use active::{fill, journal, reach, set_len, sync, witness, write};
#[cfg(not(feature = "failpoints"))]
pub use empty::{fill, reach, set_len, sync, witness, write};

/// Every step but the `.half` and `.done` of writes, with whether it is a write.
pub const STEPS: [(&str, bool); 28] = [
    ("append.frame", false),
    ("append.committed", false),
    ("recycle.descriptor", false),
    ("recycle.descriptor_half", false),
    ("recycle.descriptor_done", false),
    ("evacuate.begin", false),
    ("evacuate.frame", false),
    ("evacuate.release", false),
    ("evacuate.done", false),
    ("seal.stream", false),
    ("seal.streamed", false),
    ("seal.finish", false),
    ("pool.open", false),
    ("archive.slots", true),
    ("archive.manifest", true),
    ("archive.header", true),
    ("archive.chunk", true),
    ("archive.slot", true),
    // Behind steps that leave an archive without a seal: kills take the steps in turn.
    ("archive.unseal", true),
    ("archive.seal", true),
    ("json.file", true),
    ("json.rename", false),
    ("checkpoint.begin", false),
    ("checkpoint.payload", true),
    ("checkpoint.header", true),
    ("checkpoint.written", false),
    ("aggregate.file", false),
    ("summary.file", false),
];

#[cfg(not(feature = "failpoints"))]
mod empty {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// A step was reached.
    #[inline(always)]
    pub fn reach(_: &'static str) {}

    /// The container's event of this sequence was committed.
    #[inline(always)]
    pub fn witness(_: u64, _: u64) {}

    /// Writes all bytes at an offset.
    #[inline(always)]
    pub fn write(
        _: &'static str,
        file: &File,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), std::io::Error> {
        file.write_all_at(bytes, offset)
    }

    /// Writes so many zeros into a hole at an offset. One in memory is as good as they are.
    #[inline(always)]
    pub fn fill(
        _: &'static str,
        file: &File,
        bytes: u64,
        offset: u64,
    ) -> Result<(), std::io::Error> {
        if crate::zeros::is_in_memory(file)? {
            return Ok(());
        }
        crate::zeros::write(file, offset, bytes)
    }

    /// Cuts or extends the file.
    #[inline(always)]
    pub fn set_len(file: &File, length: u64) -> Result<(), std::io::Error> {
        file.set_len(length)
    }

    /// Waits until everything that was written is on the disk.
    #[inline(always)]
    pub fn sync(file: &File) -> Result<(), std::io::Error> {
        file.sync_data()
    }
}

#[cfg(feature = "failpoints")]
mod active {
    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::io::{self, Write};
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// What was asked of a file: what a test of power losses replays.
    pub mod journal {
        use super::{Mutex, PoisonError};

        /// One request.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Asked {
            /// These bytes at this offset.
            Write(u64, Vec<u8>),
            /// So many bytes.
            Length(u64),
            /// Everything before this is on the disk when it is done.
            Sync,
        }

        static JOURNAL: Mutex<Option<Vec<Asked>>> = Mutex::new(None);

        /// Begins a journal of the whole process: a test that needs it runs alone.
        pub fn start() {
            *JOURNAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        }

        /// Ends the journal.
        pub fn take() -> Vec<Asked> {
            let mut journal = JOURNAL.lock().unwrap_or_else(PoisonError::into_inner);
            journal.take().unwrap_or_default()
        }

        pub(super) fn note(asked: impl FnOnce() -> Asked) {
            if let Some(journal) = &mut *JOURNAL.lock().unwrap_or_else(PoisonError::into_inner) {
                journal.push(asked());
            }
        }
    }

    #[derive(Clone, Copy)]
    enum Action {
        Signal(Signal),
        Error(Errno),
    }

    struct Failpoint {
        step: String,
        at: u64,
        action: Action,
        reached: AtomicU64,
    }

    /// What `ADMF_FAILPOINT` says; a test that misspells it must not pass.
    fn failpoints() -> &'static [Failpoint] {
        static FAILPOINTS: OnceLock<Vec<Failpoint>> = OnceLock::new();
        FAILPOINTS.get_or_init(|| {
            let text = std::env::var("ADMF_FAILPOINT").unwrap_or_default();
            text.split(';')
                .filter(|one| !one.is_empty())
                .map(|one| parse(one).unwrap_or_else(|| panic!("ADMF_FAILPOINT: `{one}`")))
                .collect()
        })
    }

    fn parse(text: &str) -> Option<Failpoint> {
        let (step, action) = text.split_once('=')?;
        let (step, at) = match step.split_once(':') {
            Some((step, at)) => (step, at.parse().ok()?),
            None => (step, 1),
        };
        let action = match action {
            "kill" => Action::Signal(Signal::KILL),
            "term" => Action::Signal(Signal::TERM),
            "eio" => Action::Error(Errno::IO),
            "enospc" => Action::Error(Errno::NOSPC),
            _ => return None,
        };
        Some(Failpoint {
            step: step.to_owned(),
            at,
            action,
            reached: AtomicU64::new(0),
        })
    }

    /// Notes that a step was reached, once.
    fn note(step: &'static str, part: &'static str) {
        type Reached = Mutex<(File, BTreeSet<(&'static str, &'static str)>)>;
        static REACHED: OnceLock<Option<Reached>> = OnceLock::new();
        let reached = REACHED.get_or_init(|| {
            std::env::var_os("ADMF_REACHED").map(|path| {
                let file = File::options().create(true).append(true).open(path);
                Mutex::new((file.expect("steps can be noted"), BTreeSet::new()))
            })
        });
        if let Some(reached) = reached {
            let (file, known) = &mut *reached.lock().unwrap_or_else(PoisonError::into_inner);
            if known.insert((step, part)) {
                writeln!(file, "{step}{part}").expect("steps can be noted");
            }
        }
    }

    /// Signals by itself; gives the error that a write is to fail with.
    fn hit(step: &'static str, part: &'static str) -> Option<Errno> {
        note(step, part);
        let mut error = None;
        for failpoint in failpoints() {
            if failpoint.step.strip_prefix(step) != Some(part)
                || failpoint.reached.fetch_add(1, Ordering::Relaxed) + 1 != failpoint.at
            {
                continue;
            }
            match failpoint.action {
                Action::Signal(signal) => {
                    kill_process(getpid(), signal).expect("a process may signal itself");
                }
                Action::Error(errno) => error = Some(errno),
            }
        }
        error
    }

    /// A step was reached.
    #[inline]
    pub fn reach(step: &'static str) {
        let error = hit(step, "");
        assert!(error.is_none(), "{step} is no write: it cannot fail");
    }

    /// The container's event of this sequence was committed.
    #[inline]
    pub fn witness(container: u64, sequence: u64) {
        static WITNESS: OnceLock<Option<File>> = OnceLock::new();
        let file = WITNESS.get_or_init(|| {
            std::env::var_os("ADMF_WITNESS").map(|path| {
                let file = File::options()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(path);
                file.expect("the witness can be written")
            })
        });
        if let Some(file) = file {
            file.write_all_at(&sequence.to_le_bytes(), container * 8)
                .expect("the witness can be written");
        }
    }

    /// Writes all bytes at an offset, in two halves.
    pub fn write(
        step: &'static str,
        file: &File,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), io::Error> {
        let fail = |part| hit(step, part).map_or(Ok(()), |errno| Err(errno.into()));
        let middle = bytes.len() / 2;
        fail("")?;
        if step.starts_with("archive") {
            journal::note(|| journal::Asked::Write(offset, bytes.to_vec()));
        }
        file.write_all_at(&bytes[..middle], offset)?;
        fail(".half")?;
        file.write_all_at(&bytes[middle..], offset + middle as u64)?;
        fail(".done")
    }

    /// Writes so many zeros into a hole at an offset, in two halves.
    pub fn fill(step: &'static str, file: &File, bytes: u64, offset: u64) -> Result<(), io::Error> {
        write(step, file, &vec![0; bytes as usize], offset)
    }

    /// Cuts or extends the file.
    pub fn set_len(file: &File, length: u64) -> Result<(), io::Error> {
        journal::note(|| journal::Asked::Length(length));
        file.set_len(length)
    }

    /// Waits until everything that was written is on the disk.
    pub fn sync(file: &File) -> Result<(), io::Error> {
        file.sync_data()?;
        journal::note(|| journal::Asked::Sync);
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use super::parse;

        #[test]
        fn a_misspelt_failpoint_is_seen() {
            assert!(parse("archive.slot:3=kill").is_some_and(|f| f.at == 3));
            assert!(parse("archive.slot=eio").is_some_and(|f| f.at == 1));
            assert!(parse("archive.slot:x=kill").is_none());
            assert!(parse("archive.slot=boom").is_none());
        }
    }
}
