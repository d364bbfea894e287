//! Every event of a file, in the order of the specification.

use crate::archive::Archive;
use crate::bytes::{Bytes, FileBytes};
use crate::pool::{Pool, frames};
use admf::segment::FileKind;
use admf::{Error, Result};
use admf_formats::archive::{CHUNK_HEADER_BYTES, ChunkHeader, ChunkKind};
use admf_formats::manifest::Manifest;
use admf_formats::segment::{Frame, read_frame};
use std::path::Path;

/// An event with its container.
pub struct Event<'a> {
    /// What the file says of itself.
    pub manifest: &'a Manifest,
    /// Index of the container.
    pub container: u64,
    /// Whether the container is committed.
    pub sealed: bool,
    /// The event.
    pub frame: &'a Frame,
}

/// Takes events one by one.
pub type Each<'a> = &'a mut dyn FnMut(&Event<'_>) -> Result<()>;

/// Which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// What retention kept.
    Events,
    /// Closed trades: the log of `store_trades` where there is one, else those among the events.
    Trades,
}

/// Calls `each` with the events of a file. `is_wanted` may leave out containers.
///
/// In memory at once: a chunk of an archive; the frames of one container of a pool.
///
/// Gives the segments that changed hands while they were read: where it is not 0, somebody writes
/// this pool, and what was told is no picture of one moment.
///
/// Errors: the first damage that stands in the way; whatever `each` returns.
pub fn file(
    path: &Path,
    kind: FileKind,
    what: What,
    is_wanted: &dyn Fn(&Manifest, u64) -> Result<bool>,
    each: Each<'_>,
) -> Result<u64> {
    let bytes = FileBytes::open(path)?;
    match kind {
        FileKind::Archive => {
            let opened = Archive::open(bytes)?;
            let archive = opened.map_err(|why| damaged(path, why.offset, &why.problem))?;
            self::archive(path, &archive, what, is_wanted, each)?;
            Ok(0)
        }
        FileKind::Pool => {
            let opened = Pool::open(bytes)?;
            let pool = opened.map_err(|why| damaged(path, why.offset, &why.problem))?;
            self::pool(&pool, what, is_wanted, each)
        }
    }
}

/// What is said where segments changed hands while they were read.
pub fn moved(changed: u64) -> String {
    format!(
        "{changed} segments changed hands while they were read, since a run writes this pool: \
         some of its events are not told; read it again, best when the run has ended"
    )
}

/// For those who want a picture of one moment.
///
/// Errors: segments changed hands while they were read.
pub fn is_still(path: &Path, changed: u64) -> Result<()> {
    if changed == 0 {
        return Ok(());
    }
    Err(Error::Results {
        path: path.to_path_buf(),
        message: moved(changed),
    })
}

fn damaged(path: &Path, offset: u64, problem: &str) -> Error {
    Error::Damaged {
        path: path.to_path_buf(),
        offset,
        message: format!(
            "{problem}; `admf-tools verify` names what is lost, `admf-tools recover` saves the rest"
        ),
    }
}

/// Calls `each` with the events of an archive: committed containers by index, then what belongs to
/// containers that were not finished.
///
/// Errors: as [`file()`].
pub fn archive<B: Bytes>(
    path: &Path,
    archive: &Archive<B>,
    what: What,
    is_wanted: &dyn Fn(&Manifest, u64) -> Result<bool>,
    each: Each<'_>,
) -> Result<()> {
    let manifest = &archive.manifest;
    let mut payload = Vec::new();
    for container in archive.containers() {
        if !is_wanted(manifest, container)? {
            continue;
        }
        let Some(slot) = archive.slot(container)? else {
            continue;
        };
        let of = |kind: ChunkKind| slot.last_chunk[kind as usize - 1];
        // Trades that were not stored by themselves may still stand among the events.
        let kinds: &[ChunkKind] = match what {
            What::Trades if of(ChunkKind::Trades) != 0 => &[ChunkKind::Trades],
            _ => &[ChunkKind::Kept, ChunkKind::Trace],
        };
        for kind in kinds.iter().copied() {
            let is_whole = archive.each_link(container, kind, of(kind), |chunk| {
                if !archive.payload(chunk, &mut payload)? {
                    return Err(damaged(
                        path,
                        chunk.offset,
                        "the chunk's checksum does not match",
                    ));
                }
                unpack(path, chunk, &mut payload)?;
                let mut told = |frame: &Frame| {
                    each(&Event {
                        manifest,
                        container,
                        sealed: true,
                        frame,
                    })
                };
                chunk_frames(path, chunk, &payload, &mut told)
            })?;
            if !is_whole {
                return Err(damaged(
                    path,
                    of(kind),
                    "the chain of chunks that ends here is broken",
                ));
            }
        }
    }
    let is_of_kind = |kind: ChunkKind| match what {
        What::Events => kind.is_retained(),
        What::Trades => kind == ChunkKind::Trades,
    };
    archive.each_chunk(|chunk| {
        let container = chunk.container;
        if !is_of_kind(chunk.kind)
            || !archive.containers().contains(&container)
            || !is_wanted(manifest, container)?
            || archive.slot(container)?.is_some()
            || !archive.payload(chunk, &mut payload)?
        {
            return Ok(());
        }
        unpack(path, chunk, &mut payload)?;
        let mut told = |frame: &Frame| {
            each(&Event {
                manifest,
                container,
                sealed: false,
                frame,
            })
        };
        chunk_frames(path, chunk, &payload, &mut told)
    })
}

/// Decompresses the payload of a chunk that is intact.
fn unpack(path: &Path, chunk: &ChunkHeader, payload: &mut Vec<u8>) -> Result<()> {
    if chunk.unpack(payload) {
        return Ok(());
    }
    let problem = "the chunk does not decompress to what its header says";
    Err(damaged(path, chunk.offset, problem))
}

/// Calls `each` with the frames of a chunk that is intact.
fn chunk_frames(
    path: &Path,
    chunk: &ChunkHeader,
    payload: &[u8],
    each: &mut dyn FnMut(&Frame) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    while at < payload.len() {
        let frame = read_frame(&payload[at..])
            .filter(|frame| at + frame.bytes <= payload.len())
            .ok_or_else(|| {
                let offset = chunk.offset + (CHUNK_HEADER_BYTES + at) as u64;
                damaged(path, offset, "no frame begins here")
            })?;
        at += frame.bytes;
        each(&frame)?;
    }
    Ok(())
}

/// Calls `each` with the events of a pool: containers by index, events by sequence. Gives the
/// segments that changed hands meanwhile, as [`file()`].
///
/// Errors: as [`file()`].
pub fn pool<B: Bytes>(
    pool: &Pool<B>,
    what: What,
    is_wanted: &dyn Fn(&Manifest, u64) -> Result<bool>,
    each: Each<'_>,
) -> Result<u64> {
    use admf_formats::event::EventKind;
    let manifest = &pool.manifest;
    let mut bytes = Vec::new();
    let listing = pool.list()?;
    for ring in listing.owned().chunk_by(|a, b| a.0 == b.0) {
        let container = ring[0].0;
        if !is_wanted(manifest, container)? {
            continue;
        }
        let mut found: Vec<Frame> = Vec::new();
        for (_, segment, generation) in ring {
            let end = pool.take(*segment, *generation, &mut bytes)?.unwrap_or(0);
            let wanted = |frame: &Frame| {
                what == What::Events || frame.payload.kind() == EventKind::PositionClose
            };
            let of_segment = frames(&bytes[..end], *generation).map(|(_, frame)| frame);
            found.extend(of_segment.filter(wanted));
        }
        found.sort_by_key(|frame| frame.stamp.sequence);
        // An evacuated frame may stand in two segments for a moment.
        found.dedup_by_key(|frame| frame.stamp.sequence);
        for frame in &found {
            each(&Event {
                manifest,
                container,
                sealed: false,
                frame,
            })?;
        }
    }
    listing.changed(pool)
}
