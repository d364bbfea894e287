//! Which checkpoints an earlier run left, and the tiles that go on from them.

use super::{BUFFER_BYTES, CheckpointRules, Entry, header_of, program, remove};
use crate::segment::KeptChain;
use crate::state::StateReader;
use crate::topology::ParameterSet;
use crate::{Error, Result};
use admf_formats::checkpoint::{CheckpointHeader, HEADER_BYTES, PayloadCheck};
use admf_formats::units::PARAMETERS_MAX;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How the names of checkpoints end.
pub(super) const ENDING: &str = "checkpoint";

/// Containers that go on together, from one file.
pub(in crate::sequencer) struct ResumedTile {
    pub(super) path: PathBuf,
    pub(super) header: CheckpointHeader,
    /// In rising order; some of those of the file.
    pub(in crate::sequencer) containers: Vec<u64>,
}

/// What goes on from checkpoints.
#[derive(Default)]
pub(in crate::sequencer) struct Found {
    pub(in crate::sequencer) tiles: Vec<ResumedTile>,
    /// What the archives hold of their containers.
    pub(in crate::sequencer) chains: Vec<KeptChain>,
}

/// What is asked of the checkpoints that lie there.
pub(in crate::sequencer) struct Wanted<'a> {
    /// Folder of the phase's archives.
    pub(in crate::sequencer) traces: &'a Path,
    /// Whether a container is still to be run.
    pub(in crate::sequencer) is_wanted: &'a dyn Fn(u64) -> bool,
    /// Its parameter set; none where the phase has no such container.
    pub(in crate::sequencer) set: &'a dyn Fn(u64) -> Option<ParameterSet>,
    /// Whether these can be one tile.
    pub(in crate::sequencer) fits: &'a dyn Fn(&[ParameterSet]) -> Result<bool>,
    /// Containers that go on at most; the furthest do.
    pub(in crate::sequencer) containers_max: usize,
}

/// Finds the checkpoints of a phase, and removes those of it that nothing goes on from: their
/// chunks in the archives are about to be cut.
///
/// Each container goes on from the furthest state that there is of it.
pub(in crate::sequencer) fn find(
    rules: &CheckpointRules<'_>,
    wanted: &Wanted<'_>,
) -> Result<Found> {
    let mut tiles: BTreeMap<PathBuf, Vec<(CheckpointHeader, PathBuf)>> = BTreeMap::new();
    let mut ours: HashSet<PathBuf> = HashSet::new();
    for path in files(rules.folder)? {
        let header = File::open(&path).ok().as_ref().and_then(header_of);
        let Some(header) = header.filter(|header| header.phase == rules.phase) else {
            continue;
        };
        tiles
            .entry(tile_of(&path))
            .or_default()
            .push((header, path.clone()));
        ours.insert(path);
    }
    let mut valid = Vec::new();
    for files in tiles.values_mut() {
        files.sort_by_key(|(header, _)| std::cmp::Reverse(header.generation));
        for (header, path) in &*files {
            if is_valid(header, path, wanted)? {
                valid.push((*header, path.clone()));
                break;
            }
            // What it lacks may lie there again soon, written by another run of the tile.
            remove(path)?;
        }
    }
    valid.sort_by_key(|(header, path)| (std::cmp::Reverse(header.next_block), path.clone()));
    let mut found = Found::default();
    let mut taken: HashSet<u64> = HashSet::new();
    for (header, path) in valid {
        let mut own = entries(&header, &path).map_err(Error::io("read", &path))?;
        own.retain(|entry| {
            let container = entry.chain.container;
            (wanted.is_wanted)(container) && !taken.contains(&container)
        });
        // Whole or not at all: of what is not used, nothing is kept in the archives.
        if own.is_empty() || taken.len() + own.len() > wanted.containers_max {
            continue;
        }
        taken.extend(own.iter().map(|entry| entry.chain.container));
        let chains = own.iter().map(|entry| entry.chain);
        found
            .chains
            .extend(chains.filter(|chain| !chain.is_empty()));
        // The other of the two files is the next to be written.
        ours.retain(|other| tile_of(other) != tile_of(&path));
        let containers: Vec<u64> = own.iter().map(|entry| entry.chain.container).collect();
        cut(&containers, wanted, &mut |containers| {
            found.tiles.push(ResumedTile {
                path: path.clone(),
                header,
                containers: containers.to_vec(),
            });
        })?;
    }
    ours.iter().try_for_each(|path| remove(path))?;
    Ok(found)
}

/// Removes every checkpoint of this phase, and what is none.
pub(in crate::sequencer) fn clear(rules: &CheckpointRules<'_>) -> Result<()> {
    for path in files(rules.folder)? {
        let header = File::open(&path).ok().as_ref().and_then(header_of);
        if header.is_none_or(|header| header.phase == rules.phase) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Hands over these containers in parts that can each be one tile.
fn cut(containers: &[u64], wanted: &Wanted<'_>, part: &mut dyn FnMut(&[u64])) -> Result<()> {
    let sets: Vec<ParameterSet> = containers
        .iter()
        .filter_map(|index| (wanted.set)(*index))
        .collect();
    if sets.len() == 1 || (wanted.fits)(&sets)? {
        part(containers);
        return Ok(());
    }
    let (first, second) = containers.split_at(containers.len() / 2);
    cut(first, wanted, part)?;
    cut(second, wanted, part)
}

/// Every checkpoint of the folder, in order of name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("list", folder))?,
    };
    let mut files = Vec::new();
    for entry in list {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The name that both files of a tile have.
fn tile_of(path: &Path) -> PathBuf {
    path.with_extension("").with_extension("")
}

/// Whether this program can go on from the file: it wrote the file, all of it is there, and so is
/// what the archives hold of its containers.
fn is_valid(header: &CheckpointHeader, path: &Path, wanted: &Wanted<'_>) -> Result<bool> {
    if header.program != program().map_err(Error::io("read", Path::new("/proc/self/exe")))? {
        return Ok(false);
    }
    let Ok(true) = is_whole(header, path) else {
        return Ok(false);
    };
    let Ok(entries) = entries(header, path) else {
        return Ok(false);
    };
    let is_known = |entry: &Entry| {
        let set = (wanted.set)(entry.chain.container);
        set.is_some_and(|set| bits(&set.values) == bits(&entry.values))
    };
    // What is committed meanwhile needs its state no longer.
    let is_kept = |entry: &Entry| {
        !(wanted.is_wanted)(entry.chain.container) || entry.chain.is_kept(wanted.traces)
    };
    Ok(entries.len() as u64 == header.containers
        && entries
            .iter()
            .all(|entry| is_known(entry) && is_kept(entry)))
}

fn bits(values: &[f64; PARAMETERS_MAX]) -> [u64; PARAMETERS_MAX] {
    values.map(f64::to_bits)
}

/// Whether the payload is what the header says.
fn is_whole(header: &CheckpointHeader, path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    let (mut check, mut buffer) = (PayloadCheck::new(header), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(check.is_whole()),
            bytes => check.take(&buffer[..bytes]),
        }
    }
}

/// The containers of a checkpoint.
fn entries(header: &CheckpointHeader, path: &Path) -> io::Result<Vec<Entry>> {
    let mut reader = payload(header, path)?;
    StateReader::new(&mut reader).get()
}

/// The payload from its begin on.
pub(super) fn payload(
    header: &CheckpointHeader,
    path: &Path,
) -> io::Result<BufReader<io::Take<File>>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    let payload = file.take(header.payload_bytes);
    Ok(BufReader::with_capacity(BUFFER_BYTES, payload))
}
