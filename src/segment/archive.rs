//! Writing archives: one thread, fed by a bounded channel.
//!
//! Workers hand over full segments (`full`, `store_trades`) and batches of finished containers.
//! Buffers come from a fixed stock and go back to it: a slow disk slows the sweep, it never grows
//! memory. A container is committed by its slot, which is written after everything it leads to.
//!
//! Longer than other files: whoever changes an order of writes sees all of them here.

use super::receipt::{Receipt, Receipts, Way};
use super::seal::Sealing;
use super::slots::{each_slot, existing_header};
use crate::results::temporary_path;
use crate::{Error, Result, failpoint};
use admf_formats::archive::{
    ArchiveHeader, CHUNK_HEADER_BYTES, CHUNK_KINDS, CONTAINERS_PER_ARCHIVE, ChunkHeader, ChunkKind,
    HEADER_BYTES, SEAL_BYTES, SLOT_BYTES, Seal, Slot, chunk_payloads, file_name,
};
use admf_formats::compression::{Compression, Compressor};
use admf_formats::manifest::Manifest;
use admf_formats::result::ResultRecord;
use crossbeam::channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Frames that a batch holds before it is sent.
const BATCH_FRAME_BYTES: usize = 64 << 10;
/// Records that a batch holds before it is sent.
const BATCH_RECORDS: usize = 128;
/// Segment buffers and batches in the stock, per worker.
pub(crate) const BUFFERS_PER_WORKER: usize = 4;
const BATCHES_PER_WORKER: usize = 2;
/// The longest text that says why a container failed.
const FAILURE_BYTES_MAX: usize = 4096;

/// Finished containers on their way into the archive.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<(ResultRecord, usize, Option<String>)>,
    /// Their retained frames, one after the other.
    pub frames: Vec<u8>,
}

impl Batch {
    /// Adds a container whose retained frames were just appended to [`Batch::frames`].
    pub fn push(&mut self, record: ResultRecord, failure: Option<String>) {
        let before: usize = self.records.iter().map(|(_, bytes, _)| bytes).sum();
        self.push_sized(record, self.frames.len() - before, failure);
    }

    /// Adds a container with so many bytes of frames.
    pub fn push_sized(&mut self, record: ResultRecord, bytes: usize, failure: Option<String>) {
        self.records.push((record, bytes, failure));
    }

    /// Whether it should be sent.
    pub fn is_full(&self) -> bool {
        self.frames.len() >= BATCH_FRAME_BYTES || self.records.len() >= BATCH_RECORDS
    }

    /// The records, for a phase that keeps them in memory.
    pub fn records(&self) -> impl Iterator<Item = &ResultRecord> {
        self.records.iter().map(|(record, ..)| record)
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.records.clear();
        self.frames.clear();
    }
}

enum Message {
    Chunk {
        container: u64,
        kind: ChunkKind,
        buffer: Vec<u8>,
        receipt: Receipt,
    },
    Batch(Batch, Receipt),
    Forget(u64),
    /// Asks for the chains of these containers, when what they lead to is on the disk.
    Settle(Vec<KeptChain>, Sender<Vec<KeptChain>>),
}

/// What the archive holds of a container that is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChain {
    /// Index of the container.
    pub container: u64,
    /// Where its last chunk of each kind lies; 0 for none.
    pub last_chunk: [u64; CHUNK_KINDS],
}

impl KeptChain {
    /// Whether the archive holds nothing of it.
    pub fn is_empty(&self) -> bool {
        self.last_chunk == [0; CHUNK_KINDS]
    }

    const fn range(&self) -> u64 {
        self.container / CONTAINERS_PER_ARCHIVE
    }

    /// Where the last of its chunks ends in this archive; `None` where one of them is not there.
    fn end(&self, file: &File, header: &ArchiveHeader) -> Option<u64> {
        let length = file.metadata().ok()?.len();
        let mut end = 0;
        for (at, kind) in self.last_chunk.into_iter().zip(ChunkKind::ALL) {
            if at == 0 {
                continue;
            }
            let mut bytes = [0; CHUNK_HEADER_BYTES];
            file.read_exact_at(&mut bytes, at).ok()?;
            let chunk = ChunkHeader::decode(&bytes, header.seed(), at)?;
            let own_end = at + chunk.stride();
            if chunk.container != self.container || chunk.kind != kind || own_end > length {
                return None;
            }
            end = end.max(own_end);
        }
        Some(end)
    }

    /// Whether what was handed over for this container still lies in the archives of `folder`.
    pub fn is_kept(&self, folder: &Path) -> bool {
        let is_there = || {
            let path = folder.join(file_name(self.range()));
            let file = File::open(&path).ok()?;
            let header = existing_header(&file, &path, self.range()).ok()??;
            self.end(&file, &header)
        };
        self.is_empty() || is_there().is_some()
    }
}

/// How an archive is written.
pub struct ArchiveOptions {
    /// Workers that will have a handle.
    pub workers: usize,
    /// The largest segment that is handed over.
    pub segment_bytes: usize,
    /// Whether chunks are compressed.
    pub compression: Compression,
    /// Waits so long before every write; a slow disk, for tests.
    pub delay: Option<Duration>,
}

impl ArchiveOptions {
    /// Bytes of a worker's stock of buffers, where a ring keeps at most `ring_bytes`. A single
    /// container touches two batches; what is not touched takes no memory.
    pub fn worker_bytes(segment_bytes: u64, ring_bytes: u64, containers: u64) -> u64 {
        let batches = (BATCHES_PER_WORKER as u64 + 1).min(containers + 1);
        BUFFERS_PER_WORKER as u64 * segment_bytes + batches * batch_bytes(ring_bytes)
    }

    /// Bytes of what the writer makes of batches: of the one at hand and of the one before it.
    pub fn writer_bytes(ring_bytes: u64, containers: u64) -> u64 {
        batch_bytes(ring_bytes) * containers.min(2)
    }
}

/// Bytes of a batch, where a ring keeps at most `ring_bytes`.
const fn batch_bytes(ring_bytes: u64) -> u64 {
    let record = size_of::<(ResultRecord, usize, Option<String>)>() as u64;
    BATCH_FRAME_BYTES as u64 + ring_bytes + BATCH_RECORDS as u64 * record
}

/// What a writer does with each committed container, as for its JSON.
pub type OnCommit = Box<dyn FnMut(&ResultRecord, Option<&str>) -> Result<()> + Send>;

pub(super) type Failure = Arc<Mutex<Option<Error>>>;

/// The writer of one phase's archives.
pub struct ArchiveWriter {
    thread: JoinHandle<()>,
    failure: Failure,
    sealing: Sealing,
    handle: ArchiveHandle,
}

/// A worker's way to the writer.
#[derive(Clone)]
pub struct ArchiveHandle {
    messages: Sender<Message>,
    buffers: Receiver<Vec<u8>>,
    batches: Receiver<Batch>,
    folder: PathBuf,
}

impl ArchiveWriter {
    /// Starts the thread that writes into `folder`.
    pub fn start(
        folder: &Path,
        manifest: &Manifest,
        options: &ArchiveOptions,
        on_commit: OnCommit,
    ) -> Result<ArchiveWriter> {
        ArchiveWriter::start_from(folder, manifest, options, on_commit, &[])
    }

    /// Starts the thread; these containers go on with what the archives hold of them.
    pub fn start_from(
        folder: &Path,
        manifest: &Manifest,
        options: &ArchiveOptions,
        on_commit: OnCommit,
        kept: &[KeptChain],
    ) -> Result<ArchiveWriter> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let (buffers, batches) = (
            options.workers * BUFFERS_PER_WORKER,
            options.workers * BATCHES_PER_WORKER,
        );
        let (messages, received) = bounded(buffers + batches);
        let (buffers_back, buffer_stock) = bounded(buffers);
        let (batches_back, batch_stock) = bounded(batches);
        for _ in 0..buffers {
            let sent = buffers_back.send(Vec::with_capacity(options.segment_bytes));
            sent.expect("the stock has room for its buffers");
        }
        for _ in 0..batches {
            let batch = Batch {
                records: Vec::with_capacity(BATCH_RECORDS),
                frames: Vec::with_capacity(BATCH_FRAME_BYTES),
            };
            batches_back
                .send(batch)
                .expect("the stock has room for its batches");
        }
        let failure = Failure::default();
        let archives = manifest.containers.div_ceil(CONTAINERS_PER_ARCHIVE);
        let (complete, sealing) = Sealing::start(folder, archives, &failure)?;
        let compressor = match options.compression {
            Compression::None => None,
            Compression::Zstd => {
                Some(Compressor::new().map_err(Error::io("compress for", folder))?)
            }
        };
        let mut files = Files {
            complete,
            is_complete: vec![false; archives as usize],
            compressor,
            folder: folder.to_path_buf(),
            manifest: manifest.encode(),
            containers: manifest.containers,
            open: HashMap::new(),
            chains: kept
                .iter()
                .filter(|chain| !chain.is_empty())
                .map(|chain| (chain.container, chain.last_chunk))
                .collect(),
            kept: kept.to_vec(),
            // What a batch comes to: a list that grows would leave its smaller selves in the heap.
            out: Vec::with_capacity(BATCH_FRAME_BYTES + BATCH_RECORDS * CHUNK_HEADER_BYTES),
            slots: Vec::with_capacity(BATCH_RECORDS * SLOT_BYTES),
            on_commit,
        };
        let (told, delay) = (Arc::clone(&failure), options.delay);
        let write = move || {
            for message in &received {
                if let Some(delay) = delay {
                    std::thread::sleep(delay);
                }
                let written = match message {
                    Message::Chunk {
                        container,
                        kind,
                        mut buffer,
                        receipt,
                    } => {
                        let written = files.append(container, kind, &buffer);
                        drop(receipt);
                        buffer.clear();
                        // The stock is gone only where every worker is.
                        let _ = buffers_back.send(buffer);
                        written
                    }
                    Message::Forget(container) => {
                        files.chains.remove(&container);
                        Ok(())
                    }
                    Message::Settle(mut chains, answer) => {
                        let settled = files.settle(&mut chains);
                        if settled.is_ok() {
                            // A worker that no longer waits has failed.
                            let _ = answer.send(chains);
                        }
                        settled
                    }
                    Message::Batch(mut batch, receipt) => {
                        let written = files.commit(&batch);
                        drop(receipt);
                        batch.clear();
                        let _ = batches_back.send(batch);
                        written
                    }
                };
                if let Err(error) = written {
                    tell(&told, error);
                    // Workers find no buffer and end. Until then their messages are thrown away: a
                    // bounded queue keeps what it holds when its reader goes, and with it the
                    // receipts and answers that a worker waits for.
                    drop((buffers_back, batches_back));
                    received.iter().for_each(drop);
                    return;
                }
            }
            if let Err(error) = files.finish() {
                tell(&told, error);
            }
        };
        let thread = std::thread::Builder::new()
            .name("archive".to_owned())
            .stack_size(crate::plan::STACK_BYTES as usize)
            .spawn(write)
            .map_err(Error::io("start a writer for", folder))?;
        let handle = ArchiveHandle {
            messages,
            buffers: buffer_stock,
            batches: batch_stock,
            folder: folder.to_path_buf(),
        };
        Ok(ArchiveWriter {
            thread,
            failure,
            sealing,
            handle,
        })
    }

    /// A handle for one more worker.
    pub fn handle(&self) -> ArchiveHandle {
        self.handle.clone()
    }

    /// Waits until everything is written and sealed; call it when all other handles are gone.
    ///
    /// Errors: the first one of the writer.
    pub fn close(self) -> Result<()> {
        self.written()?.finish()
    }

    /// Waits until everything is written and can be read; call it when all other handles are gone.
    /// Archives may still be on their way to their seals.
    ///
    /// Errors: the first one of the writer.
    pub fn written(self) -> Result<Sealing> {
        let ArchiveWriter {
            thread,
            failure,
            sealing,
            handle,
        } = self;
        drop(handle);
        thread.join().expect("the archive writer does not panic");
        let error = failure
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        match error {
            None => Ok(sealing),
            Some(error) => {
                // What the threads still do is over before anybody opens the files again.
                let _ = sealing.finish();
                Err(error)
            }
        }
    }
}

/// The first error is the cause of the others.
fn tell(failure: &Failure, error: Error) {
    failure
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .get_or_insert(error);
}

impl ArchiveHandle {
    /// Hands over frames of a container that goes on; waits where the writer is behind.
    ///
    /// Commit words are written with generation 0, so that the bytes do not depend on the pool.
    pub fn flush(
        &self,
        container: u64,
        kind: ChunkKind,
        frames: &[u8],
        receipts: &Receipts,
    ) -> Result<()> {
        failpoint::reach("seal.stream");
        let mut buffer = self.buffers.recv().map_err(|_| self.gone())?;
        buffer.extend_from_slice(frames);
        let mut at = 0;
        while at < buffer.len() {
            buffer[at..at + 4].fill(0);
            at += usize::from(buffer[at + 5]) * 16;
        }
        self.messages
            .send(Message::Chunk {
                container,
                kind,
                buffer,
                receipt: receipts.send(Way::Chunk),
            })
            .map_err(|_| self.gone())?;
        failpoint::reach("seal.streamed");
        Ok(())
    }

    /// The container begins again: what it handed over so far leads nowhere.
    pub fn forget(&self, container: u64) -> Result<()> {
        self.messages
            .send(Message::Forget(container))
            .map_err(|_| self.gone())
    }

    /// Waits until everything that this worker handed over is written, and what these containers'
    /// chunks lead to is on the disk; gives their chains.
    pub fn settle(&self, chains: Vec<KeptChain>) -> Result<Vec<KeptChain>> {
        let (answer, answered) = bounded(1);
        self.messages
            .send(Message::Settle(chains, answer))
            .map_err(|_| self.gone())?;
        answered.recv().map_err(|_| self.gone())
    }

    /// An empty batch from the stock; waits where the writer is behind.
    pub fn batch(&self) -> Result<Batch> {
        self.batches.recv().map_err(|_| self.gone())
    }

    /// Hands over finished containers, in order of index.
    pub fn commit(&self, batch: Batch, receipts: &Receipts) -> Result<()> {
        self.messages
            .send(Message::Batch(batch, receipts.send(Way::Batch)))
            .map_err(|_| self.gone())
    }

    /// What a worker is told when the writer has stopped; its error is that of
    /// [`ArchiveWriter::close`], however many workers there are.
    fn gone(&self) -> Error {
        Error::Io {
            action: "write",
            path: self.folder.clone(),
            source: std::io::Error::other("the archive writer has stopped after an error"),
        }
    }
}

/// An archive that is being written.
pub(super) struct ArchiveFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) header: ArchiveHeader,
    pub(super) seed: u32,
    /// Where the next chunk goes.
    pub(super) end: u64,
    /// Containers of its range that are not committed.
    pub(super) missing: u64,
    /// Those that are, as the seal will say it: 512 bytes, that no slot is read again.
    pub(super) committed: Committed,
}

/// A bit per container of an archive.
pub(super) type Committed = [u64; CONTAINERS_PER_ARCHIVE as usize / 64];

/// Notes that a container is committed.
pub(super) const fn note(committed: &mut Committed, container: u64) {
    let within = container % CONTAINERS_PER_ARCHIVE;
    committed[(within / 64) as usize] |= 1 << (within % 64);
}

/// The files of a phase, and what was appended for containers that are not finished.
struct Files {
    folder: PathBuf,
    manifest: Vec<u8>,
    /// Containers of the phase.
    containers: u64,
    /// Those of ranges with containers that are not committed.
    open: HashMap<u64, ArchiveFile>,
    /// Where those go of which every container is committed.
    complete: Sender<ArchiveFile>,
    /// By range, whether it went there: a byte per [`CONTAINERS_PER_ARCHIVE`] containers.
    is_complete: Vec<bool>,
    /// Last chunk of each kind, for the containers that run now.
    chains: HashMap<u64, [u64; CHUNK_KINDS]>,
    /// What containers that go on from a checkpoint have in the archives: it is not cut off.
    kept: Vec<KeptChain>,
    out: Vec<u8>,
    slots: Vec<u8>,
    on_commit: OnCommit,
    compressor: Option<Compressor>,
}

impl Files {
    fn file(&mut self, range: u64) -> Result<&mut ArchiveFile> {
        if !self.open.contains_key(&range) {
            let path = self.folder.join(file_name(range));
            let rest = self.containers - range * CONTAINERS_PER_ARCHIVE;
            let own = rest.min(CONTAINERS_PER_ARCHIVE);
            let begun = match File::options().read(true).write(true).open(&path) {
                Ok(file) => existing_header(&file, &path, range)?.map(|header| (file, header)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(Error::io("open", &path)(error)),
            };
            let (file, header, (mut end, committed)) = match begun {
                Some((file, header)) => {
                    // What is written from now on is not what was sealed.
                    let (none, at) = ([0; SEAL_BYTES], header.seal_offset());
                    failpoint::write("archive.unseal", &file, &none, at)
                        .and_then(|()| failpoint::sync(&file))
                        .map_err(Error::io("write", &path))?;
                    let found = committed_end(&file, &path, &header)?;
                    (file, header, found)
                }
                // New. Or the power was lost, and the header with it: then nothing of the file
                // counts as committed, slots that came through neither.
                None => {
                    let header = ArchiveHeader::new(range, &self.manifest);
                    let file = self.begin(&path, &header, own)?;
                    (file, header, (header.chunks_offset(), [0; _]))
                }
            };
            // What a killed run appended for containers that it did not finish leads nowhere, but
            // for those that go on from a checkpoint.
            for chain in self.kept.iter().filter(|chain| chain.range() == range) {
                let kept = chain.end(&file, &header);
                end = end.max(kept.ok_or_else(|| Error::Damaged {
                    path: path.clone(),
                    offset: chain.last_chunk.into_iter().max().unwrap_or(0),
                    message: "a checkpoint leads here, where its chunk is not".to_owned(),
                })?);
            }
            failpoint::set_len(&file, end).map_err(Error::io("truncate", &path))?;
            let count: u64 = committed
                .iter()
                .map(|bits| u64::from(bits.count_ones()))
                .sum();
            self.open.insert(
                range,
                ArchiveFile {
                    file,
                    path,
                    header,
                    seed: header.seed(),
                    end,
                    missing: own - count,
                    committed,
                },
            );
        }
        Ok(self.open.get_mut(&range).expect("the file was just opened"))
    }

    /// A new archive with room for so many slots. It gets its name when it has its header: a kill
    /// leaves a whole one or none.
    fn begin(&self, path: &Path, header: &ArchiveHeader, slots: u64) -> Result<File> {
        let temporary = temporary_path(path);
        let (manifest, manifest_at) = (&self.manifest[..], HEADER_BYTES as u64);
        let slots = slots * SLOT_BYTES as u64;
        let begin = || {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&temporary)?;
            failpoint::set_len(&file, header.chunks_offset())?;
            // Slots come in runs of a few: into holes of a disk each would take twice the time, and
            // the sync at the end a third more.
            failpoint::fill("archive.slots", &file, slots, header.slots_offset())?;
            failpoint::write("archive.manifest", &file, manifest, manifest_at)?;
            failpoint::write("archive.header", &file, &header.encode(), 0)?;
            std::fs::rename(&temporary, path)?;
            Ok(file)
        };
        begin().map_err(|source| {
            // The first error is the one to tell; what is left is overwritten by the next attempt.
            let _ = std::fs::remove_file(&temporary);
            Error::io("write", path)(source)
        })
    }

    fn append(&mut self, container: u64, kind: ChunkKind, payload: &[u8]) -> Result<()> {
        let mut chain = self.chains.get(&container).copied().unwrap_or_default();
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let mut compressor = self.compressor.take();
        let file = self.file(container / CONTAINERS_PER_ARCHIVE)?;
        file.push_chunks(
            &mut out,
            &mut chain,
            (container, kind),
            payload,
            &mut compressor,
        )?;
        failpoint::write("archive.chunk", &file.file, &out, file.end)
            .map_err(Error::io("write", &file.path))?;
        file.end += out.len() as u64;
        (self.out, self.compressor) = (out, compressor);
        self.chains.insert(container, chain);
        Ok(())
    }

    /// Fills in the chains of containers, and syncs the files that hold them.
    fn settle(&mut self, chains: &mut [KeptChain]) -> Result<()> {
        let mut synced = None;
        for chain in chains {
            chain.last_chunk = self
                .chains
                .get(&chain.container)
                .copied()
                .unwrap_or_default();
            let range = chain.range();
            // Tiles have neighbours: a file comes in one run.
            if !chain.is_empty() && synced != Some(range) {
                let file = self.file(range)?;
                failpoint::sync(&file.file).map_err(Error::io("sync", &file.path))?;
                synced = Some(range);
            }
        }
        Ok(())
    }

    /// Chunks of all containers of a file in one write, then runs of neighbouring slots in one.
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let (mut out, mut slots) = (
            std::mem::take(&mut self.out),
            std::mem::take(&mut self.slots),
        );
        let mut compressor = self.compressor.take();
        let mut frames = &batch.frames[..];
        let mut rest = &batch.records[..];
        while let Some((first, ..)) = rest.first() {
            let range = first.index / CONTAINERS_PER_ARCHIVE;
            let count = rest
                .iter()
                .take_while(|(record, ..)| record.index / CONTAINERS_PER_ARCHIVE == range)
                .count();
            let (records, others) = rest.split_at(count);
            rest = others;
            out.clear();
            slots.clear();
            let mut chains: Vec<[u64; CHUNK_KINDS]> = Vec::with_capacity(count);
            for (record, ..) in records {
                chains.push(self.chains.remove(&record.index).unwrap_or_default());
            }
            let file = self.file(range)?;
            for ((record, bytes, failure), chain) in records.iter().zip(&mut chains) {
                let (own, others) = frames.split_at(*bytes);
                frames = others;
                let trace = (record.index, ChunkKind::Trace);
                file.push_chunks(&mut out, chain, trace, own, &mut compressor)?;
                if let Some(text) = failure {
                    let text = &text.as_bytes()[..text.floor_char_boundary(FAILURE_BYTES_MAX)];
                    let failure = (record.index, ChunkKind::Failure);
                    file.push_chunk(&mut out, chain, failure, text, &mut None)?;
                }
                slots.extend_from_slice(
                    &Slot {
                        record: *record,
                        last_chunk: *chain,
                    }
                    .encode(file.seed),
                );
            }
            failpoint::write("archive.chunk", &file.file, &out, file.end)
                .map_err(Error::io("write", &file.path))?;
            file.end += out.len() as u64;
            let mut done = 0;
            while done < count {
                let start = records[done].0.index;
                let run = records[done..]
                    .iter()
                    .zip(start..)
                    .take_while(|((record, ..), index)| record.index == *index)
                    .count();
                let offset = file.header.slot_offset(start);
                let own = &slots[done * SLOT_BYTES..(done + run) * SLOT_BYTES];
                failpoint::write("archive.slot", &file.file, own, offset)
                    .map_err(Error::io("write", &file.path))?;
                done += run;
            }
            // A container that is committed again, as a test does, counts once at most.
            file.missing = file.missing.saturating_sub(count as u64);
            let is_complete = file.missing == 0;
            for (record, ..) in records {
                note(&mut file.committed, record.index);
            }
            for (record, _, failure) in records {
                (self.on_commit)(record, failure.as_deref())?;
            }
            if is_complete {
                self.seal(range);
            }
        }
        (self.out, self.slots, self.compressor) = (out, slots, compressor);
        Ok(())
    }

    /// Hands an open archive to the sealers.
    fn seal(&mut self, range: u64) {
        if let Some(file) = self.open.remove(&range) {
            self.is_complete[range as usize] = true;
            let sent = self.complete.send(file);
            sent.expect("sealers stay until the writer is gone");
        }
    }

    /// Nothing more is written: every archive of the phase gets its seal, also those that an
    /// earlier run had finished.
    fn finish(&mut self) -> Result<()> {
        let open: Vec<u64> = self.open.keys().copied().collect();
        for range in open {
            self.seal(range);
        }
        for range in 0..self.is_complete.len() as u64 {
            let path = self.folder.join(file_name(range));
            if self.is_complete[range as usize] {
                continue;
            }
            if path.is_file() && !is_sealed(&path, range)? {
                self.file(range)?;
                self.seal(range);
            }
        }
        Ok(())
    }
}

/// Where the last chunk ends that a committed container leads to, and which are committed.
fn committed_end(file: &File, path: &Path, header: &ArchiveHeader) -> Result<(u64, Committed)> {
    let (mut last, mut committed): (u64, Committed) = (0, [0; _]);
    each_slot(file, path, header, |slot| {
        last = slot.last_chunk.into_iter().fold(last, u64::max);
        note(&mut committed, slot.record.index);
        Ok(())
    })?;
    if last == 0 {
        return Ok((header.chunks_offset(), committed));
    }
    let damaged = |message: &str| Error::Damaged {
        path: path.to_path_buf(),
        offset: last,
        message: message.to_owned(),
    };
    let mut bytes = [0; CHUNK_HEADER_BYTES];
    file.read_exact_at(&mut bytes, last)
        .map_err(|error| damaged(&format!("cannot read a committed chunk: {error}")))?;
    let chunk = ChunkHeader::decode(&bytes, header.seed(), last)
        .ok_or_else(|| damaged("a committed container leads here, where no chunk begins"))?;
    let end = last + chunk.stride();
    let length = file.metadata().map_err(Error::io("inspect", path))?.len();
    if end > length {
        return Err(damaged(
            "a committed chunk is cut; admf-tools verify says what is lost",
        ));
    }
    Ok((end, committed))
}

/// Whether the archive has a seal.
fn is_sealed(path: &Path, range: u64) -> Result<bool> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let Some(header) = existing_header(&file, path, range)? else {
        return Ok(false);
    };
    let mut bytes = [0; SEAL_BYTES];
    let is_read = file.read_exact_at(&mut bytes, header.seal_offset()).is_ok();
    Ok(is_read && Seal::decode(&bytes, header.seed()).is_some())
}

impl ArchiveFile {
    /// Writes the seal when everything that it speaks of is on the disk.
    pub(super) fn seal(&self) -> Result<()> {
        let seal = Seal {
            file_bytes: self.end,
            committed: self.committed,
        };
        failpoint::set_len(&self.file, self.end)
            .and_then(|()| failpoint::sync(&self.file))
            .and_then(|()| {
                let bytes = seal.encode(self.seed);
                failpoint::write(
                    "archive.seal",
                    &self.file,
                    &bytes,
                    self.header.seal_offset(),
                )
            })
            .and_then(|()| failpoint::sync(&self.file))
            .map_err(Error::io("seal", &self.path))
    }

    /// Appends frames to `out`, which will be written at the end, as chunks.
    fn push_chunks(
        &self,
        out: &mut Vec<u8>,
        chain: &mut [u64; CHUNK_KINDS],
        whose: (u64, ChunkKind),
        frames: &[u8],
        compressor: &mut Option<Compressor>,
    ) -> Result<()> {
        for payload in chunk_payloads(frames) {
            self.push_chunk(out, chain, whose, payload, compressor)?;
        }
        Ok(())
    }

    fn push_chunk(
        &self,
        out: &mut Vec<u8>,
        chain: &mut [u64; CHUNK_KINDS],
        (container, kind): (u64, ChunkKind),
        payload: &[u8],
        compressor: &mut Option<Compressor>,
    ) -> Result<()> {
        let header = ChunkHeader::new(self.seed, kind, container, 0, 0, payload);
        let packed = match compressor {
            Some(compressor) => compressor
                .compress(payload)
                .map_err(Error::io("compress for", &self.path))?,
            None => None,
        };
        match packed {
            Some(packed) => self.put(out, chain, &header.packed(self.seed, packed), packed),
            None => self.put(out, chain, &header, payload),
        }
        Ok(())
    }

    /// Appends a chunk behind the last one of its chain.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        chain: &mut [u64; CHUNK_KINDS],
        header: &ChunkHeader,
        payload: &[u8],
    ) {
        let last = &mut chain[header.kind as usize - 1];
        let offset = self.end + out.len() as u64;
        let header = ChunkHeader {
            offset,
            previous: *last,
            ..*header
        };
        *last = offset;
        out.extend_from_slice(&header.encode(self.seed));
        out.extend_from_slice(payload);
        out.resize(out.len().next_multiple_of(16), 0);
    }
}
