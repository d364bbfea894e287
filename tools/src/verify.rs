//! Names every fault of a file: where it is, and what is lost by it.
//!
//! An archive is walked from its slots: what a slot leads to is committed and must be whole. What
//! no slot leads to belongs to containers that were not finished; damage there loses nothing that
//! was promised and is a note.
//!
//! Longer than other files by a few lines: the parts of an archive are walked in their order.

use crate::archive::{Archive, Place, SealPlace, Unreadable};
use crate::bytes::{Bytes, FileBytes};
use crate::fault::{Fault, Findings, Severity};
use crate::pool::{Described, Pool, frames};
use admf::Result;
use admf::segment::FileKind;
use admf_formats::archive::{
    CHUNK_HEADER_BYTES, CONTAINERS_PER_ARCHIVE, ChunkHeader, ChunkKind, HEADER_BYTES, Seal, Slot,
};
use admf_formats::report::container_id;
use admf_formats::segment::{FRAME_ALIGN, FRAME_HEADER_BYTES, Frame, read_frame};
use std::collections::HashMap;
use std::path::Path;

/// Verifies a file on disk; `each` is called with every fault as it is found.
///
/// Errors: the system refuses to read.
pub fn file(path: &Path, kind: FileKind, each: &mut dyn FnMut(Fault)) -> Result<Findings> {
    let bytes = FileBytes::open(path)?;
    if is_blank(&bytes)? {
        let name = match kind {
            FileKind::Archive => "archive",
            FileKind::Pool => "pool",
        };
        let mut found = Collector::new(path, name, each);
        let lost = "nothing, if the process was killed while it created the file";
        found.note("file", 0, ("it holds nothing but zeros", lost));
        return Ok(found.findings);
    }
    match kind {
        FileKind::Archive => archive(path, bytes, each),
        FileKind::Pool => pool(path, bytes, each),
    }
}

/// Whether there is no byte that is not zero.
fn is_blank<B: Bytes>(bytes: &B) -> Result<bool> {
    let mut window = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let count = bytes.read(at, &mut window)?;
        if window[..count].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if count < window.len() {
            return Ok(true);
        }
        at += count as u64;
    }
}

/// Collects what is found.
struct Collector<'a> {
    findings: Findings,
    each: &'a mut dyn FnMut(Fault),
    /// Containers of the phase, for their ids.
    containers: u64,
}

impl<'a> Collector<'a> {
    fn new(path: &Path, kind: &'static str, each: &'a mut dyn FnMut(Fault)) -> Collector<'a> {
        Collector {
            findings: Findings {
                file: path.to_path_buf(),
                kind,
                sealed: false,
                containers: 0,
                committed: 0,
                events: 0,
                unsealed_events: 0,
                losses: 0,
                notes: 0,
            },
            each,
            containers: 0,
        }
    }

    fn loss(&mut self, part: &'static str, offset: u64, what: (&str, &str)) {
        self.tell(Severity::Loss, part, offset, None, None, what);
    }

    fn note(&mut self, part: &'static str, offset: u64, what: (&str, &str)) {
        self.tell(Severity::Note, part, offset, None, None, what);
    }

    /// `what`: the problem, and what is lost.
    fn tell(
        &mut self,
        severity: Severity,
        part: &'static str,
        offset: u64,
        container: Option<u64>,
        sequences: Option<[u64; 2]>,
        what: (&str, &str),
    ) {
        match severity {
            Severity::Loss => self.findings.losses += 1,
            Severity::Note => self.findings.notes += 1,
        }
        (self.each)(Fault {
            file: self.findings.file.clone(),
            offset,
            part,
            severity,
            container: container.map(|index| container_id(index, self.containers)),
            sequences,
            problem: what.0.to_owned(),
            lost: what.1.to_owned(),
        });
    }

    fn unreadable(mut self, why: &Unreadable) -> Findings {
        let lost = "everything in this file, until its header and manifest are restored";
        self.loss(why.part, why.offset, (&why.problem, lost));
        self.findings
    }
}

/// Verifies an archive.
///
/// Errors: the system refuses to read.
pub fn archive<B: Bytes>(path: &Path, bytes: B, each: &mut dyn FnMut(Fault)) -> Result<Findings> {
    let mut found = Collector::new(path, "archive", each);
    let archive = match Archive::open(bytes)? {
        Ok(archive) => archive,
        Err(why) => return Ok(found.unreadable(&why)),
    };
    found.containers = archive.manifest.containers;
    let containers = archive.containers();
    found.findings.containers = containers.end - containers.start;
    let manifest_end = HEADER_BYTES as u64 + u64::from(archive.header.manifest_bytes);
    zeros(
        &archive.bytes,
        manifest_end,
        archive.header.slots_offset(),
        &mut found,
    )?;
    let seal = seal(&archive, &mut found)?;
    for index in containers.clone() {
        let offset = archive.header.slot_offset(index);
        let is_sealed = seal.as_ref().is_some_and(|seal| seal.has(index));
        let all = "its result and its events";
        let mut lose = |problem: &str| {
            found.tell(
                Severity::Loss,
                "slot",
                offset,
                Some(index),
                None,
                (problem, all),
            );
        };
        match archive.place(index)? {
            Place::Committed(slot) => {
                found.findings.committed += 1;
                if seal.is_some() && !is_sealed {
                    let lost = "trust in the seal: it is older than this commit";
                    let what = ("the seal does not know it", lost);
                    found.tell(Severity::Loss, "slot", offset, Some(index), None, what);
                }
                container(&archive, &slot, &mut found)?;
            }
            Place::Damaged => lose("it is neither empty nor the whole commit of this container"),
            Place::Missing => lose("the file ends before it"),
            Place::Empty if is_sealed => lose("it is empty, but the seal says it was committed"),
            Place::Empty => {}
        }
    }
    let unused = archive.header.slot_offset(0)
        + (containers.end - containers.start)
            * (archive.header.slot_offset(1) - archive.header.slot_offset(0));
    zeros(
        &archive.bytes,
        unused,
        archive.header.seal_offset(),
        &mut found,
    )?;
    unfinished(&archive, &mut found)?;
    Ok(found.findings)
}

fn seal<B: Bytes>(archive: &Archive<B>, found: &mut Collector<'_>) -> Result<Option<Seal>> {
    let offset = archive.header.seal_offset();
    match archive.seal()? {
        SealPlace::Open => Ok(None),
        SealPlace::Damaged => {
            let lost = "the list of what was committed: an empty slot may have been one";
            found.loss("seal", offset, ("it is neither empty nor whole", lost));
            Ok(None)
        }
        SealPlace::Sealed(seal) => {
            let size = archive.size();
            if size > seal.file_bytes {
                // Whoever appends takes the seal away first.
                let problem = format!(
                    "it speaks of {} bytes, but there are {size}: it is older than the file",
                    seal.file_bytes
                );
                let lost = "the list of what was committed: an empty slot may have been one";
                found.loss("seal", offset, (&problem, lost));
                return Ok(None);
            }
            found.findings.sealed = true;
            if size < seal.file_bytes {
                let problem = format!("the file had {} bytes when it was sealed", seal.file_bytes);
                found.loss("end", size, (&problem, "what lay behind its end"));
            }
            Ok(Some(*seal))
        }
    }
}

/// What a committed container leads to.
fn container<B: Bytes>(archive: &Archive<B>, slot: &Slot, found: &mut Collector<'_>) -> Result<()> {
    let record = &slot.record;
    let offset = archive.header.slot_offset(record.index);
    let mut doubt = |problem: &str| {
        let what = (
            problem,
            "trust in its result: whoever wrote it contradicts himself",
        );
        found.tell(
            Severity::Loss,
            "slot",
            offset,
            Some(record.index),
            None,
            what,
        );
    };
    if !record.ledger.balances() {
        doubt("its ledger does not balance");
    }
    if record.symbol as usize >= archive.manifest.symbols.len().max(1) {
        doubt("its symbol is not in the manifest");
    }
    if !(1..=2).contains(&record.status) {
        doubt("it has no known status");
    }
    let losses = found.findings.losses;
    let mut retained = 0;
    for (kind, last) in ChunkKind::ALL.into_iter().zip(slot.last_chunk) {
        let mut frames = chain(archive, record.index, kind, last, found)?;
        if kind.is_retained() {
            retained += frames;
        }
        let expected = match kind {
            ChunkKind::Trades if last != 0 => record.trades.trades,
            // The last kind: now all that is retained was seen.
            ChunkKind::Kept => {
                frames = retained;
                record.ledger.retained
            }
            _ => frames,
        };
        // What was named as lost, or is known to be lost since a recovery, is not counted twice.
        if frames != expected && losses == found.findings.losses && slot.last_chunk[3] == 0 {
            let problem = format!("{frames} frames, but its result counts {expected}");
            let what = (problem.as_str(), "the difference");
            let last = match kind {
                ChunkKind::Kept if last == 0 => slot.last_chunk[ChunkKind::Trace as usize - 1],
                _ => last,
            };
            let offset = if last == 0 { offset } else { last };
            found.tell(
                Severity::Loss,
                "chain",
                offset,
                Some(record.index),
                None,
                what,
            );
        }
    }
    Ok(())
}

/// Walks a chain from its end; the frames that are intact.
fn chain<B: Bytes>(
    archive: &Archive<B>,
    container: u64,
    kind: ChunkKind,
    last: u64,
    found: &mut Collector<'_>,
) -> Result<u64> {
    let (mut at, mut intact, mut behind) = (last, 0, u64::MAX);
    let mut payload = Vec::new();
    while at != 0 {
        let Some(chunk) = archive.link(container, kind, at)? else {
            // Everything before `behind` that is not found by a search is lost.
            let sequences = kind.has_frames().then_some([1, behind.saturating_sub(1)]);
            let lost = match kind {
                ChunkKind::Trace => "retained events",
                ChunkKind::Trades => "closed trades of the log",
                ChunkKind::Kept => "events of kept trades",
                ChunkKind::Failure => "why it failed",
                ChunkKind::Loss => "what an earlier recovery could not save",
            };
            let what = ("no chunk of it begins here", lost);
            found.tell(
                Severity::Loss,
                "chunk",
                at,
                Some(container),
                sequences,
                what,
            );
            return Ok(intact);
        };
        let problem = if !archive.payload(&chunk, &mut payload)? {
            Some("its checksum does not match".to_owned())
        } else if !chunk.unpack(&mut payload) {
            Some("it does not decompress to what its header says".to_owned())
        } else {
            content(archive, &chunk, &payload, behind)?
        };
        let range = kind
            .has_frames()
            .then_some([chunk.first_sequence, chunk.last_sequence]);
        match problem {
            Some(problem) => {
                let lost = match kind.has_frames() {
                    true => format!("{} events", chunk.frames),
                    false => "its text".to_owned(),
                };
                let what = (problem.as_str(), lost.as_str());
                found.tell(Severity::Loss, "chunk", at, Some(container), range, what);
            }
            None => intact += u64::from(chunk.frames),
        }
        let padding = padding(&chunk);
        zeros(&archive.bytes, padding.start, padding.end, found)?;
        if kind.has_frames() {
            behind = bound_before(&chunk, behind);
        }
        at = chunk.previous;
    }
    if kind.is_retained() {
        found.findings.events += intact;
    }
    Ok(intact)
}

/// Behind its payload, up to where the next chunk may begin.
const fn padding(chunk: &ChunkHeader) -> std::ops::Range<u64> {
    let end = chunk.offset + CHUNK_HEADER_BYTES as u64 + chunk.bytes as u64;
    end..end.next_multiple_of(16)
}

/// All sequences of the chunks before this one of its chain are below this, where those before the
/// chunk behind it are below `behind`, [`u64::MAX`] where it is the last.
///
/// Trades overlap where frames are in order of closing, but none that is before the end of the chain
/// closed after it.
pub(crate) fn bound_before(chunk: &ChunkHeader, behind: u64) -> u64 {
    match (chunk.kind.is_in_order(), behind) {
        (true, _) => chunk.first_sequence,
        (false, u64::MAX) => chunk.last_sequence,
        (false, behind) => behind.max(chunk.last_sequence),
    }
}

/// What is wrong with the content of a chunk whose checksum matches: a fault of its writer.
fn content<B: Bytes>(
    archive: &Archive<B>,
    chunk: &ChunkHeader,
    payload: &[u8],
    behind: u64,
) -> Result<Option<String>> {
    if !chunk.kind.has_frames() {
        return Ok(None);
    }
    let (mut at, mut count, mut before, mut trade) = (0, 0_u32, 0, 0);
    let (mut lowest, mut highest) = (u64::MAX, 0);
    while at < payload.len() {
        let Some(frame) = whole_frame(&payload[at..]) else {
            return Ok(Some(format!("no frame begins at byte {at} of it")));
        };
        let sequence = frame.stamp.sequence;
        // Kept trades follow each other in order of closing; each is in order by itself.
        let is_free = !chunk.kind.is_in_order();
        if is_free && frame.stamp.trade != trade {
            (trade, before) = (frame.stamp.trade, 0);
        }
        if sequence <= before || sequence >= behind && !is_free {
            return Ok(Some(format!("sequence {sequence} is out of order")));
        }
        if usize::from(frame.stamp.symbol) >= archive.manifest.symbols.len().max(1) {
            return Ok(Some(format!("sequence {sequence} has an unknown symbol")));
        }
        before = sequence;
        (lowest, highest) = (lowest.min(sequence), highest.max(sequence));
        count += 1;
        at += frame.bytes;
    }
    let told = (chunk.first_sequence, chunk.last_sequence);
    let is_right = count == chunk.frames && (count == 0 || told == (lowest, highest));
    Ok((!is_right).then(|| "its frames are not those that its header counts".to_owned()))
}

/// A frame with all its bytes, of generation 0, padded with zeros.
fn whole_frame(bytes: &[u8]) -> Option<Frame> {
    let frame = read_frame(bytes).filter(|frame| frame.generation == 0)?;
    let padding =
        bytes.get(FRAME_HEADER_BYTES + frame.payload.kind().payload_bytes()..frame.bytes)?;
    padding.iter().all(|byte| *byte == 0).then_some(frame)
}

/// Chunks that no slot leads to.
fn unfinished<B: Bytes>(archive: &Archive<B>, found: &mut Collector<'_>) -> Result<()> {
    let mut at = archive.header.chunks_offset();
    let mut skipped = (0_u64, 0);
    // At most one entry per container of the range.
    let mut open: HashMap<u64, u64> = HashMap::new();
    let mut payload = Vec::new();
    archive.each_chunk(|chunk| {
        if chunk.offset > at {
            skipped = (skipped.0 + (chunk.offset - at), at);
        }
        at = chunk.offset + chunk.stride();
        if !archive.containers().contains(&chunk.container) {
            found.note(
                "chunk",
                chunk.offset,
                ("it is of a container of another file", "nothing"),
            );
        } else if archive.slot(chunk.container)?.is_none() {
            let problem = if !archive.payload(chunk, &mut payload)? {
                Some("its checksum does not match".to_owned())
            } else if !chunk.unpack(&mut payload) {
                Some("it does not decompress to what its header says".to_owned())
            } else {
                content(archive, chunk, &payload, u64::MAX)?
            };
            if let Some(problem) = problem {
                let range = [chunk.first_sequence, chunk.last_sequence];
                let what = (problem.as_str(), "events that were not committed");
                let whose = Some(chunk.container);
                found.tell(
                    Severity::Note,
                    "chunk",
                    chunk.offset,
                    whose,
                    Some(range),
                    what,
                );
                return Ok(());
            }
            let padding = padding(chunk);
            if let Some(at) = first_set(&archive.bytes, padding.start, padding.end)? {
                found.note("padding", at, ("it is not zero", "nothing"));
            }
            if chunk.kind.is_retained() {
                *open
                    .entry(chunk.container % CONTAINERS_PER_ARCHIVE)
                    .or_default() += u64::from(chunk.frames);
            }
        }
        Ok(())
    })?;
    found.findings.unsealed_events = open.values().sum();
    if archive.size() > at {
        skipped = (skipped.0 + (archive.size() - at), at);
    }
    if skipped.0 > 0 {
        let problem = format!("{} bytes are no chunk", skipped.0);
        let lost = "what is named above; else what a killed run was just writing";
        found.note("chunks", skipped.1, (&problem, lost));
    }
    if !open.is_empty() {
        let problem = format!("{} containers have events but no commit", open.len());
        found.note(
            "chunks",
            archive.header.chunks_offset(),
            (&problem, "nothing"),
        );
    }
    Ok(())
}

/// Bytes that have no meaning must be zero.
fn zeros<B: Bytes>(bytes: &B, from: u64, to: u64, found: &mut Collector<'_>) -> Result<()> {
    if let Some(at) = first_set(bytes, from, to)? {
        let lost = "nothing, but these bytes were written as zero: the medium is not sound";
        found.loss("padding", at, ("it is not zero", lost));
    }
    Ok(())
}

/// Where the first byte is that is not zero; a file that ends before has none.
fn first_set<B: Bytes>(bytes: &B, from: u64, to: u64) -> Result<Option<u64>> {
    let mut window = [0; 4096];
    let mut at = from;
    while at < to {
        let wanted = ((to - at) as usize).min(window.len());
        let count = bytes.read(at, &mut window[..wanted])?;
        // Compared at once first: this goes over megabytes of empty slots.
        if window[..count] != [0; 4096][..count]
            && let Some(within) = window[..count].iter().position(|byte| *byte != 0)
        {
            return Ok(Some(at + within as u64));
        }
        if count < wanted {
            break;
        }
        at += count as u64;
    }
    Ok(None)
}

/// Verifies a pool.
///
/// Errors: the system refuses to read.
pub fn pool<B: Bytes>(path: &Path, bytes: B, each: &mut dyn FnMut(Fault)) -> Result<Findings> {
    let mut found = Collector::new(path, "pool", each);
    let pool = match Pool::open(bytes)? {
        Ok(pool) => pool,
        Err(why) => return Ok(found.unreadable(&why)),
    };
    found.containers = pool.manifest.containers;
    let (size, expected) = (pool.bytes.size(), pool.header.file_bytes() as u64);
    if size < expected {
        let problem = format!("the file ends; a pool of {expected} bytes was expected");
        found.loss("end", size, (&problem, "segments behind its end"));
    }
    let mut bytes = Vec::new();
    let mut owners = std::collections::BTreeSet::new();
    for segment in 0..pool.header.segments {
        let offset = pool.header.descriptor_offset(segment) as u64;
        if offset >= size {
            break;
        }
        match pool.described(segment)? {
            (Described::Damaged, _) => {
                let problem = format!("nothing valid is said of segment {segment}");
                found.loss(
                    "descriptor",
                    offset,
                    (&problem, "the events of the segment"),
                );
            }
            (Described::By(descriptor), is_damaged) => {
                if is_damaged {
                    let problem = format!("one of the two of segment {segment} is not whole");
                    let lost = "nothing, if the process was killed while it wrote it";
                    found.note("descriptor", offset, (&problem, lost));
                }
                if descriptor.owned {
                    owners.insert(descriptor.owner);
                    let owner = Some(descriptor.owner);
                    let at = pool.header.segment_offset(segment) as u64;
                    let generation = descriptor.generation;
                    if pool.take(segment, generation, &mut bytes)?.is_some() {
                        segment_frames(&bytes, generation, owner, at, &mut found);
                    } else {
                        let problem = "it was recycled while it was read: a run writes this pool";
                        let lost = "nothing; verify again when the run has ended";
                        found.note("segment", at, (problem, lost));
                    }
                }
            }
            (Described::Unused, _) => {}
        }
    }
    found.findings.containers = owners.len() as u64;
    Ok(found.findings)
}

/// Frames are appended without holes: one behind a hole shows that something before it is gone.
fn segment_frames(
    bytes: &[u8],
    generation: u32,
    owner: Option<u64>,
    offset: u64,
    found: &mut Collector<'_>,
) {
    let (mut end, mut before) = (0, 0);
    for (at, frame) in frames(bytes, generation) {
        end = at + frame.bytes;
        before = frame.stamp.sequence;
        found.findings.unsealed_events += 1;
    }
    let mut at = end;
    let (mut behind, mut last) = (None, 0);
    while at < bytes.len() {
        match read_frame(&bytes[at..]).filter(|frame| frame.generation == generation) {
            Some(frame) if at + frame.bytes <= bytes.len() => {
                behind = behind.or(Some(at));
                last = frame.stamp.sequence;
                at += frame.bytes;
            }
            _ => at += FRAME_ALIGN,
        }
    }
    if let Some(behind) = behind {
        let problem = format!(
            "no frame begins here, but one does {} bytes behind",
            behind - end
        );
        let what = (
            problem.as_str(),
            "unsealed events from here to the end of the segment",
        );
        let range = Some([before + 1, last.max(before + 1)]);
        found.tell(
            Severity::Loss,
            "segment",
            offset + end as u64,
            owner,
            range,
            what,
        );
    }
}
