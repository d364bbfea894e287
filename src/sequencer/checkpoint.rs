//! Checkpoints: the state of a running tile, kept every few seconds.
//!
//! A tile that ran for a while writes what it is between two blocks into the older of its two
//! files, so that one of them is whole at any instant. A run that is started again finishes those
//! tiles from there, in parts where a whole one does not fit its budget, before it begins others.
//! Nothing of this is in a result, so it may follow the clock. What a file holds is read by the
//! program that wrote it and by no other: the tile begins anew where the two differ.
//!
//! Not kept: phases whose results are in memory, the paths of a Monte Carlo simulation, and what
//! runs a container singly after a panic.

mod found;

pub(super) use found::{Found, ResumedTile, Wanted, clear, find};

use crate::plan::TILE_SETS_MAX;
use crate::segment::{ArchiveHandle, KeptChain};
use crate::state::{StateReader, StateWriter};
use crate::topology::{Checkpoints, ParameterSet, Resume};
use crate::{Error, Result, failpoint};
use admf_formats::checkpoint::{CheckpointHeader, HEADER_BYTES};
use admf_formats::report::container_id;
use admf_formats::units::{PARAMETERS_MAX, QUANTUM_BARS};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is written and read at once.
const BUFFER_BYTES: usize = 16 << 10;
/// The clock is looked at once in so many blocks.
const LOOK_BLOCKS: u32 = 64;
/// Keeping states may take this part of a tile's time, as long as they are not too far apart.
const TIME_PART: u32 = 50;
/// The longest time between two states of a tile, unless the setting is longer.
const EVERY_MAX: Duration = Duration::from_secs(30);
/// A tile that was stopped keeps its state where it ran this long.
const WORTH_KEEPING: Duration = Duration::from_secs(1);

/// What the checkpoints of a phase have in common.
pub(super) struct CheckpointRules<'a> {
    /// At least so long between two of a tile; with none of it, at every block.
    pub(super) every: Duration,
    /// Where they lie.
    pub(super) folder: &'a Path,
    /// Name of the phase, for the names of the files.
    pub(super) name: &'a str,
    /// Digest of the phase, its window and its data.
    pub(super) phase: [u8; 32],
    /// Containers of the phase.
    pub(super) count: u64,
    /// Tells people what they should know.
    pub(super) tell: &'a (dyn Fn(&str) + Sync),
    /// Whether it was told that a checkpoint could not be written.
    pub(super) has_warned: AtomicBool,
}

/// A container in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    values: [f64; PARAMETERS_MAX],
    chain: KeptChain,
}

/// Bytes for a worker with tiles of so many sets.
pub(super) const fn bytes(sets_max: u64) -> u64 {
    let own = size_of::<Entry>() + size_of::<KeptChain>();
    // Its share of what goes on: number and chain of a container, and the archive's own list.
    let found = size_of::<u64>() + 3 * size_of::<KeptChain>();
    BUFFER_BYTES as u64 + sets_max * own as u64 + TILE_SETS_MAX * found as u64
}

/// Bytes that the files of so many workers take at most: two for each one's tile. `state_bytes` is
/// what all of them hold in memory of features, containers and rings, with [`bytes`].
pub(super) const fn disk_bytes(workers: u64, state_bytes: u64) -> u64 {
    2 * (state_bytes + workers * HEADER_BYTES as u64)
}

/// SHA-256 of this program, as it was started.
fn program() -> io::Result<[u8; 32]> {
    static PROGRAM: OnceLock<[u8; 32]> = OnceLock::new();
    if let Some(known) = PROGRAM.get() {
        return Ok(*known);
    }
    let mut file = File::open("/proc/self/exe")?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            bytes => digest.update(&buffer[..bytes]),
        }
    }
    Ok(*PROGRAM.get_or_init(|| digest.finalize().into()))
}

/// A tile's file for a generation.
fn path_of(rules: &CheckpointRules<'_>, first: u64, count: u64, generation: u64) -> PathBuf {
    let slot = if generation.is_multiple_of(2) {
        'a'
    } else {
        'b'
    };
    let name = format!("{}_{first}_{count}.{slot}.{}", rules.name, found::ENDING);
    rules.folder.join(name)
}

/// Keeps the state of the tiles of one worker, one after the other.
pub(super) struct Keeper<'a> {
    rules: &'a CheckpointRules<'a>,
    archive: &'a ArchiveHandle,
    /// Containers of the tile.
    entries: Vec<Entry>,
    chains: Vec<KeptChain>,
    /// Whether anything of them streams to the archive.
    streams: bool,
    /// Of the newest file of this tile; 0 for none.
    generation: u64,
    resume: Option<(PathBuf, CheckpointHeader)>,
    /// What is read of it, until the first state of its own.
    reader: Option<(BufReader<io::Take<File>>, PathBuf)>,
    last: Instant,
    /// How long after the last one the next is due.
    wait: Duration,
    /// Blocks until the clock is looked at again.
    look: u32,
}

impl<'a> Keeper<'a> {
    /// For tiles of at most so many sets.
    pub(super) fn new(
        rules: &'a CheckpointRules<'a>,
        archive: &'a ArchiveHandle,
        sets_max: usize,
    ) -> Keeper<'a> {
        Keeper {
            rules,
            archive,
            entries: Vec::with_capacity(sets_max),
            chains: Vec::with_capacity(sets_max),
            streams: false,
            generation: 0,
            resume: None,
            reader: None,
            last: Instant::now(),
            wait: rules.every,
            look: LOOK_BLOCKS,
        }
    }

    /// The tile that runs next, and the state that it goes on from.
    pub(super) fn begin(
        &mut self,
        sets: &[ParameterSet],
        streams: bool,
        from: Option<&ResumedTile>,
    ) {
        self.entries.clear();
        self.entries.extend(sets.iter().map(|set| Entry {
            values: set.values,
            chain: KeptChain {
                container: set.index,
                ..KeptChain::default()
            },
        }));
        self.streams = streams;
        self.reader = None;
        self.resume = from.map(|tile| (tile.path.clone(), tile.header));
        // The very tile goes on with its own files, the newest of which is not written over.
        self.generation = from.map_or(0, |tile| {
            let is_own = self.path(tile.header.generation) == tile.path;
            if is_own { tile.header.generation } else { 0 }
        });
        (self.last, self.wait) = (Instant::now(), self.rules.every);
        self.look = LOOK_BLOCKS;
    }

    /// The tile's containers were handed to the archive: it needs its files no longer.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.generation == 0 {
            return Ok(());
        }
        // Only when they are committed there.
        self.archive.settle(Vec::new())?;
        for generation in [self.generation, self.generation + 1] {
            remove(&self.path(generation))?;
        }
        self.generation = 0;
        Ok(())
    }

    fn path(&self, generation: u64) -> PathBuf {
        let first = self.entries.first().map_or(0, |one| one.chain.container);
        path_of(self.rules, first, self.entries.len() as u64, generation)
    }

    fn write(
        &mut self,
        path: &Path,
        block: u64,
        save: &mut dyn FnMut(&mut StateWriter<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        failpoint::reach("checkpoint.begin");
        let program = program()?;
        std::fs::create_dir_all(self.rules.folder)?;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut payload = Payload::new(&file);
        let mut state = StateWriter::new(&mut payload);
        state.put(&self.entries)?;
        save(&mut state)?;
        let (payload_bytes, payload_crc) = payload.finish()?;
        let header = CheckpointHeader {
            generation: self.generation + 1,
            next_block: block,
            containers: self.entries.len() as u64,
            payload_bytes,
            payload_crc,
            phase: self.rules.phase,
            program,
        };
        file.set_len(HEADER_BYTES as u64 + payload_bytes)?;
        failpoint::write("checkpoint.header", &file, &header.encode(), 0)?;
        file.sync_data()
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

impl Checkpoints for Keeper<'_> {
    fn is_resumed(&self) -> bool {
        self.resume.is_some()
    }

    fn resume(&mut self) -> Result<Option<Resume<'_>>> {
        let Some((path, header)) = self.resume.take() else {
            return Ok(None);
        };
        let open = || {
            let mut reader = found::payload(&header, &path)?;
            StateReader::new(&mut reader).get::<Vec<Entry>>()?;
            Ok(reader)
        };
        let reader = open().map_err(Error::io("go on from checkpoint", &path))?;
        let id = |entry: Option<&Entry>| {
            let index = entry.map_or(0, |entry| entry.chain.container);
            container_id(index, self.rules.count)
        };
        (self.rules.tell)(&format!(
            "{}: resumed {} to {} ({} containers) at bar {}",
            self.rules.name,
            id(self.entries.first()),
            id(self.entries.last()),
            self.entries.len(),
            header.next_block * QUANTUM_BARS as u64,
        ));
        let (reader, path) = self.reader.insert((reader, path));
        Ok(Some(Resume {
            block: header.next_block,
            state: StateReader::new(reader),
            path,
        }))
    }

    fn is_due(&mut self, is_last: bool) -> bool {
        if self.rules.every.is_zero() {
            return true;
        }
        if is_last {
            return self.last.elapsed() >= WORTH_KEEPING.min(self.rules.every);
        }
        self.look -= 1;
        if self.look > 0 {
            return false;
        }
        self.look = LOOK_BLOCKS;
        self.last.elapsed() >= self.wait
    }

    fn keep(
        &mut self,
        block: u64,
        save: &mut dyn FnMut(&mut StateWriter<'_>) -> io::Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        self.reader = None;
        if self.streams {
            let mut chains = std::mem::take(&mut self.chains);
            chains.clear();
            chains.extend(self.entries.iter().map(|entry| entry.chain));
            self.chains = self.archive.settle(chains)?;
            for (entry, chain) in self.entries.iter_mut().zip(&self.chains) {
                entry.chain = *chain;
            }
        }
        let path = self.path(self.generation + 1);
        match self.write(&path, block, save) {
            Ok(()) => {
                self.generation += 1;
                failpoint::reach("checkpoint.written");
            }
            Err(error) => {
                // What is half written only takes room, and the run needs no checkpoint to go on.
                let _ = std::fs::remove_file(&path);
                if !self.rules.has_warned.swap(true, Ordering::Relaxed) {
                    (self.rules.tell)(&format!(
                        "{}: cannot write checkpoint: {error}; the run goes on, but where it is \
                         killed this tile starts again from its last checkpoint, or anew",
                        path.display()
                    ));
                }
            }
        }
        self.last = Instant::now();
        let apart = (started.elapsed() * TIME_PART).min(EVERY_MAX);
        self.wait = self.rules.every.max(apart);
        Ok(())
    }
}

/// A payload on its way into its file.
struct Payload<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    /// Bytes in the file.
    written: u64,
    crc: u32,
}

impl Payload<'_> {
    fn new(file: &File) -> Payload<'_> {
        Payload {
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
            crc: 0,
        }
    }

    /// Writes what is left; gives size and checksum.
    fn finish(mut self) -> io::Result<(u64, u32)> {
        self.flush()?;
        Ok((self.written, self.crc))
    }
}

impl Write for Payload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == BUFFER_BYTES {
            self.flush()?;
        }
        let room = bytes.len().min(BUFFER_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        let offset = HEADER_BYTES as u64 + self.written;
        failpoint::write("checkpoint.payload", self.file, &self.buffer, offset)?;
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// The header of a checkpoint; `None` where the file has none that is whole.
fn header_of(file: &File) -> Option<CheckpointHeader> {
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0).ok()?;
    CheckpointHeader::decode(&bytes)
}
