//! Saves what is intact into a new file. The file that is read is never changed, and the new one
//! gets its name only when it was verified. Recovering a recovered file gives the same bytes.
//!
//! An archive keeps every committed container with its result and the events that are intact; what
//! is not is told in a chunk of kind `loss`. Events of containers without a commit are kept as
//! such. A pool keeps the frames that can be read.

use crate::archive::Archive;
use crate::bytes::{Bytes, FileBytes};
use crate::pool::{Described, Pool, frames};
use crate::verify;
use admf::segment::FileKind;
use admf::{Error, Result};
use admf_formats::archive::{
    CHUNK_KINDS, CONTAINERS_PER_ARCHIVE, ChunkHeader, ChunkKind, Seal, Slot,
};
use admf_formats::segment::DESCRIPTOR_BYTES;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Chunks of broken chains that are kept in memory: 16 GiB of events in the usual segments.
const ENTRIES_MAX: usize = 1 << 20;

/// Kinds of chunk in the order in which they are copied: what is lost comes last, behind which a new
/// loss is written, so that a file that was recovered comes out as it is.
const COPIED: [ChunkKind; CHUNK_KINDS] = [
    ChunkKind::Trace,
    ChunkKind::Trades,
    ChunkKind::Failure,
    ChunkKind::Kept,
    ChunkKind::Loss,
];

/// Writes what is intact of `path` into the new file `out`.
///
/// Errors: header or manifest cannot be read, so that nothing of the file can be trusted; `out`
/// exists; the system refuses; the new file does not verify.
pub fn file(path: &Path, kind: FileKind, out: &Path) -> Result<()> {
    if out.exists() {
        return Err(Error::Usage {
            message: format!("--out {}: it exists; choose a new name", out.display()),
        });
    }
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let bytes = FileBytes::open(path)?;
    let unreadable = |why: crate::archive::Unreadable| Error::Damaged {
        path: path.to_path_buf(),
        offset: why.offset,
        message: format!(
            "the {} cannot be read ({}), and without it no checksum of this file",
            why.part, why.problem
        ),
    };
    let written = match kind {
        FileKind::Archive => Archive::open(bytes)?
            .map_err(unreadable)
            .and_then(|archive| self::archive(path, &archive, &part)),
        FileKind::Pool => Pool::open(bytes)?
            .map_err(unreadable)
            .and_then(|pool| self::pool(&pool, &part)),
    };
    let verified = written.and_then(|()| {
        let mut first = None;
        let findings = verify::file(&part, kind, &mut |fault| {
            if fault.severity == crate::fault::Severity::Loss {
                first.get_or_insert(fault);
            }
        })?;
        match first {
            Some(fault) => Err(Error::Damaged {
                path: part.clone(),
                offset: fault.offset,
                message: format!("the new file does not verify: {fault}"),
            }),
            None => Ok(findings),
        }
    });
    match verified {
        Ok(_) => std::fs::rename(&part, out).map_err(Error::io("rename", &part)),
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

/// The archive that is written: chunks one after the other.
struct Writer {
    file: File,
    path: PathBuf,
    seed: u32,
    end: u64,
}

impl Writer {
    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(Error::io("write", &self.path))
    }

    /// Appends a chunk behind `last` of its chain; only its place is new.
    fn push(&mut self, chunk: &ChunkHeader, payload: &[u8], last: &mut u64) -> Result<()> {
        let header = ChunkHeader {
            offset: self.end,
            previous: *last,
            ..*chunk
        };
        self.write(&header.encode(self.seed), self.end)?;
        let mut padded = payload.to_vec();
        padded.resize(payload.len().next_multiple_of(16), 0);
        self.write(
            &padded,
            self.end + admf_formats::archive::CHUNK_HEADER_BYTES as u64,
        )?;
        *last = self.end;
        self.end += header.stride();
        Ok(())
    }
}

fn archive<B: Bytes>(path: &Path, archive: &Archive<B>, out: &Path) -> Result<()> {
    let file = File::create(out).map_err(Error::io("create", out))?;
    let mut writer = Writer {
        file,
        path: out.to_path_buf(),
        seed: archive.seed,
        end: archive.header.chunks_offset(),
    };
    let mut head = archive.header.encode().to_vec();
    head.extend_from_slice(&archive.manifest.encode());
    writer.write(&head, 0)?;
    let broken = Broken::of(path, archive)?;
    let mut seal = Seal {
        file_bytes: 0,
        committed: [0; _],
    };
    let mut payload = Vec::new();
    for container in archive.containers() {
        let Some(slot) = archive.slot(container)? else {
            continue;
        };
        let mut chains = [0; CHUNK_KINDS];
        let mut losses = Vec::new();
        for kind in COPIED {
            let last = slot.last_chunk[kind as usize - 1];
            let chain = &mut chains[kind as usize - 1];
            let mut copy = |chunk: &ChunkHeader| {
                if archive.payload(chunk, &mut payload)? {
                    writer.push(chunk, &payload, chain)
                } else {
                    losses.push((kind, chunk.first_sequence, chunk.last_sequence));
                    Ok(())
                }
            };
            if !archive.each_link(container, kind, last, &mut copy)? {
                let (links, gaps) = broken.chain(archive, container, kind, last)?;
                for chunk in &links {
                    copy(chunk)?;
                }
                losses.extend(gaps.iter().map(|(first, last)| (kind, *first, *last)));
            }
        }
        if !losses.is_empty() {
            losses.sort_unstable();
            let text = loss_text(&losses);
            let header = ChunkHeader::new(
                writer.seed,
                ChunkKind::Loss,
                container,
                0,
                0,
                text.as_bytes(),
            );
            writer.push(
                &header,
                text.as_bytes(),
                &mut chains[ChunkKind::Loss as usize - 1],
            )?;
        }
        let slot = Slot {
            record: slot.record,
            last_chunk: chains,
        };
        seal.add(container);
        writer.write(
            &slot.encode(writer.seed),
            archive.header.slot_offset(container),
        )?;
    }
    unfinished(archive, &mut writer)?;
    seal.file_bytes = writer.end;
    writer
        .file
        .set_len(writer.end)
        .and_then(|()| writer.file.sync_data())
        .map_err(Error::io("sync", out))?;
    writer.write(&seal.encode(writer.seed), archive.header.seal_offset())?;
    writer.file.sync_data().map_err(Error::io("sync", out))
}

/// What a `loss` chunk says: a line per loss, at most so many that it stays small.
fn loss_text(losses: &[(ChunkKind, u64, u64)]) -> String {
    const LINES_MAX: usize = 1000;
    let mut text = String::new();
    for (kind, first, last) in losses.iter().take(LINES_MAX) {
        let last = if *last == u64::MAX {
            "the last".to_owned()
        } else {
            last.to_string()
        };
        text += &match kind {
            ChunkKind::Trace => format!("events within sequences {first} to {last}\n"),
            ChunkKind::Trades => format!("closed trades within sequences {first} to {last}\n"),
            ChunkKind::Kept => format!("kept trades within sequences {first} to {last}\n"),
            ChunkKind::Failure => "why it failed\n".to_owned(),
            ChunkKind::Loss => "what an earlier recovery could not save\n".to_owned(),
        };
    }
    if losses.len() > LINES_MAX {
        text += &format!("and {} more\n", losses.len() - LINES_MAX);
    }
    text
}

/// Copies what is intact of containers that have no commit.
fn unfinished<B: Bytes>(archive: &Archive<B>, writer: &mut Writer) -> Result<()> {
    // At most one entry per container of the range and kind.
    let mut chains: HashMap<(u64, ChunkKind), u64> = HashMap::new();
    let mut payload = Vec::new();
    archive.each_chunk(|chunk| {
        if chunk.kind.has_frames()
            && archive.containers().contains(&chunk.container)
            && archive.slot(chunk.container)?.is_none()
            && archive.payload(chunk, &mut payload)?
        {
            let last = chains.entry((chunk.container, chunk.kind)).or_default();
            // A container that was begun anew has a chain of its own.
            if chunk.previous == 0 {
                *last = 0;
            }
            writer.push(chunk, &payload, last)?;
        }
        Ok(())
    })
}

/// Every chunk of the containers that have a broken chain, found by a search.
struct Broken {
    chunks: Vec<ChunkHeader>,
}

impl Broken {
    fn of<B: Bytes>(path: &Path, archive: &Archive<B>) -> Result<Broken> {
        let mut is_broken = vec![false; CONTAINERS_PER_ARCHIVE as usize];
        for container in archive.containers() {
            let Some(slot) = archive.slot(container)? else {
                continue;
            };
            for (kind, last) in ChunkKind::ALL.into_iter().zip(slot.last_chunk) {
                let is_whole = archive.each_link(container, kind, last, |_| Ok(()))?;
                is_broken[(container % CONTAINERS_PER_ARCHIVE) as usize] |= !is_whole;
            }
        }
        let mut chunks = Vec::new();
        if is_broken.contains(&true) {
            archive.each_chunk(|chunk| {
                if is_broken[(chunk.container % CONTAINERS_PER_ARCHIVE) as usize] {
                    chunks.push(*chunk);
                }
                if chunks.len() > ENTRIES_MAX {
                    return Err(Error::Damaged {
                        path: path.to_path_buf(),
                        offset: chunk.offset,
                        message: format!(
                            "more than {ENTRIES_MAX} chunks belong to damaged containers; that \
                             many are not recovered in bounded memory"
                        ),
                    });
                }
                Ok(())
            })?;
        }
        chunks.sort_by_key(|chunk| (chunk.container, chunk.kind, chunk.offset));
        Ok(Broken { chunks })
    }

    /// What is left of a chain, in its order, and the ranges of sequences that are gone.
    #[allow(
        clippy::type_complexity,
        reason = "two lists, told apart by their names"
    )]
    fn chain<B: Bytes>(
        &self,
        archive: &Archive<B>,
        container: u64,
        kind: ChunkKind,
        last: u64,
    ) -> Result<(Vec<ChunkHeader>, Vec<(u64, u64)>)> {
        let (mut links, mut gaps) = (Vec::new(), Vec::new());
        let (mut at, mut behind) = (last, u64::MAX);
        while at != 0 {
            let found = match archive.link(container, kind, at)? {
                Some(chunk) => Some(chunk),
                None => {
                    // The newest chunk before the gap that holds earlier events only.
                    let found = self.chunks.iter().rev().find(|chunk| {
                        (chunk.container, chunk.kind) == (container, kind)
                            && chunk.offset < at
                            && chunk.last_sequence < behind
                    });
                    let first = match found {
                        Some(chunk) if kind.is_in_order() => chunk.last_sequence + 1,
                        _ => 1,
                    };
                    let end = if behind == u64::MAX {
                        behind
                    } else {
                        behind - 1
                    };
                    gaps.push((first, end));
                    found.copied()
                }
            };
            let Some(chunk) = found else {
                break;
            };
            behind = verify::bound_before(&chunk, behind).max(1);
            at = chunk.previous;
            links.push(chunk);
        }
        links.reverse();
        Ok((links, gaps))
    }
}

fn pool<B: Bytes>(pool: &Pool<B>, out: &Path) -> Result<()> {
    let header = &pool.header;
    let file = File::create(out).map_err(Error::io("create", out))?;
    let write = |bytes: &[u8], offset: usize| {
        file.write_all_at(bytes, offset as u64)
            .map_err(Error::io("write", out))
    };
    file.set_len(header.file_bytes() as u64)
        .map_err(Error::io("size", out))?;
    write(&header.encode(), 0)?;
    write(&pool.manifest.encode(), header.manifest_offset())?;
    let mut bytes = Vec::new();
    for segment in 0..header.segments {
        if header.descriptor_offset(segment) as u64 >= pool.bytes.size() {
            break;
        }
        let (Described::By(descriptor), _) = pool.described(segment)? else {
            continue;
        };
        let slot = (descriptor.generation % 2) as usize * DESCRIPTOR_BYTES;
        let encoded = descriptor.encode(pool.seed, segment);
        write(&encoded, header.descriptor_offset(segment) + slot)?;
        if descriptor.owned {
            let Some(committed) = pool.take(segment, descriptor.generation, &mut bytes)? else {
                return Err(Error::Usage {
                    message: format!(
                        "segment {segment} was recycled while it was read: a run writes this \
                         pool; recover it when the run has ended"
                    ),
                });
            };
            let end = frames(&bytes[..committed], descriptor.generation)
                .last()
                .map_or(0, |(at, frame)| at + frame.bytes);
            write(&bytes[..end], header.segment_offset(segment))?;
        }
    }
    file.sync_data().map_err(Error::io("sync", out))
}
