//! Merging the archives of shards into those of one run.
//!
//! Every committed container is copied with its chunks, in order of index; memory is one chunk and
//! a few slots whatever the size of the sweep. The merged files decode to the same events and
//! records as those of a run that was never split: where chunks lie in a file is not part of that.

use super::archive::{ArchiveFile, note};
use super::reader::ArchiveReader;
use crate::{Error, Result};
use admf_formats::archive::{
    ArchiveHeader, CHUNK_KINDS, CONTAINERS_PER_ARCHIVE, ChunkKind, SLOT_BYTES, Slot, file_name,
};
use admf_formats::manifest::Manifest;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Slots that are written at once.
const SLOTS_PER_WRITE: usize = 64;
/// Chunk bytes that are collected before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// Where the archives of one shard lie, and which containers they must hold.
#[derive(Clone, Debug)]
pub struct ShardArchives {
    /// The folder `traces` of the shard's phase.
    pub folder: PathBuf,
    /// Indices of its containers.
    pub containers: Range<u64>,
}

impl ShardArchives {
    fn open(&self, range: u64) -> Result<ArchiveReader> {
        ArchiveReader::open(&self.folder.join(file_name(range)))
    }

    fn wrong(&self, message: String) -> Error {
        Error::Results {
            path: self.folder.clone(),
            message,
        }
    }
}

/// Writes archives with the containers of all shards into `out`; calls `each` with every committed
/// container and why it failed, in order of index.
///
/// Shape: the shards are in order and their ranges have no gap.
///
/// Errors: a container is missing, or one is there that belongs to another shard; an archive is
/// damaged or of another run; the disk.
pub fn merge_archives(
    shards: &[ShardArchives],
    manifest: &Manifest,
    out: &Path,
    mut each: impl FnMut(&Slot, Option<&str>) -> Result<()>,
) -> Result<()> {
    std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
    let encoded = manifest.encode();
    let containers = shards.last().map_or(0, |shard| shard.containers.end);
    for range in 0..containers.div_ceil(CONTAINERS_PER_ARCHIVE) {
        let first = range * CONTAINERS_PER_ARCHIVE;
        let held = first..(first + CONTAINERS_PER_ARCHIVE).min(containers);
        let mut target = MergedFile::create(out, range, &encoded)?;
        for shard in shards {
            let own = held.start.max(shard.containers.start)..held.end.min(shard.containers.end);
            if own.is_empty() {
                continue;
            }
            let source = shard.open(range)?;
            if !is_same_phase(&source.manifest, manifest) {
                return Err(shard.wrong(format!(
                    "{} describes another phase or other data than the first shard",
                    file_name(range)
                )));
            }
            for index in held.clone() {
                match (source.slot(index)?, own.contains(&index)) {
                    (Some(slot), true) => {
                        let failure = source.failure(&slot)?;
                        target.copy(&source, slot)?;
                        each(&slot, failure.as_deref())?;
                    }
                    (None, true) => {
                        return Err(shard.wrong(format!(
                            "container {} is missing; run this shard again to finish it",
                            index + 1
                        )));
                    }
                    (Some(_), false) => {
                        return Err(shard.wrong(format!(
                            "container {} is there but belongs to another shard",
                            index + 1
                        )));
                    }
                    (None, false) => {}
                }
            }
        }
        target.finish()?;
    }
    Ok(())
}

/// Whether two manifests speak of the same containers; bars may lie elsewhere on another machine.
fn is_same_phase(one: &Manifest, other: &Manifest) -> bool {
    let without_paths = |manifest: &Manifest| {
        let mut manifest = manifest.clone();
        for symbol in &mut manifest.symbols {
            symbol.bars_file.clear();
        }
        manifest
    };
    without_paths(one) == without_paths(other)
}

/// An archive that is being put together.
struct MergedFile {
    archive: ArchiveFile,
    /// Chunks that are not written yet.
    chunks: Vec<u8>,
    /// Neighbouring slots that are not written yet, and the index of the first.
    slots: Vec<u8>,
    first_slot: u64,
}

impl MergedFile {
    fn create(folder: &Path, range: u64, manifest: &[u8]) -> Result<MergedFile> {
        let path = folder.join(file_name(range));
        let header = ArchiveHeader::new(range, manifest);
        let mut start = header.encode().to_vec();
        start.extend_from_slice(manifest);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        file.write_all_at(&start, 0)
            .and_then(|()| file.set_len(header.chunks_offset()))
            .map_err(Error::io("write", &path))?;
        Ok(MergedFile {
            archive: ArchiveFile {
                file,
                path,
                header,
                seed: header.seed(),
                end: header.chunks_offset().next_multiple_of(16),
                missing: 0,
                committed: [0; _],
            },
            chunks: Vec::new(),
            slots: Vec::new(),
            first_slot: 0,
        })
    }

    fn copy(&mut self, source: &ArchiveReader, slot: Slot) -> Result<()> {
        let index = slot.record.index;
        let mut chain = [0; CHUNK_KINDS];
        for kind in ChunkKind::ALL {
            for offset in source.chain(&slot, kind)? {
                let (header, payload) = source.chunk(offset)?;
                let (archive, chunks) = (&self.archive, &mut self.chunks);
                let header = header.reseeded(archive.seed, &payload);
                archive.put(chunks, &mut chain, &header, &payload);
                if self.chunks.len() >= WRITE_BYTES {
                    self.write_chunks()?;
                }
            }
        }
        note(&mut self.archive.committed, index);
        if self.slots.is_empty() {
            self.first_slot = index;
        }
        let merged = Slot {
            record: slot.record,
            last_chunk: chain,
        };
        self.slots
            .extend_from_slice(&merged.encode(self.archive.seed));
        if self.slots.len() >= SLOTS_PER_WRITE * SLOT_BYTES {
            self.write_slots()?;
        }
        Ok(())
    }

    fn write_chunks(&mut self) -> Result<()> {
        let archive = &mut self.archive;
        archive
            .file
            .write_all_at(&self.chunks, archive.end)
            .map_err(Error::io("write", &archive.path))?;
        archive.end += self.chunks.len() as u64;
        self.chunks.clear();
        Ok(())
    }

    /// Slots commit, so what they lead to is written before them.
    fn write_slots(&mut self) -> Result<()> {
        self.write_chunks()?;
        let archive = &self.archive;
        archive
            .file
            .write_all_at(&self.slots, archive.header.slot_offset(self.first_slot))
            .map_err(Error::io("write", &archive.path))?;
        self.slots.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.write_slots()?;
        self.archive.seal()
    }
}
