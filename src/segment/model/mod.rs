//! Commit, recycling, hand-over and live reading in every order that the memory model allows.
//!
//! Rings, pools and receipts are the engine's own, over the map of `map.rs`; the reader is that of
//! `admf_formats::live`, which the tools use too. `cargo test --lib --no-default-features --features model segment::model`.
//! Every fault that is planted here must be found: a model that cannot fail proves nothing.

use super::map::{CELLS, PLANTED, Planted, Shared};
use super::receipt::Way;
use super::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use super::{Append, Pool, Ring};
use admf_formats::event::{AnyPayload, Bar, EventKind, EventSet, Stamp};
use admf_formats::live::{Listing, LivePool, take};
use admf_formats::manifest::Manifest;
use admf_formats::segment::{DESCRIPTOR_BYTES, Descriptor, PoolHeader, frame_bytes, read_frame};
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

const FRAME: usize = frame_bytes(EventKind::Bar);

fn manifest() -> Manifest {
    Manifest {
        workflow: "w".into(),
        phase: "p".into(),
        strategy: "s".into(),
        parameter_names: Vec::new(),
        objective: "sharpe_ratio".into(),
        symbols: Vec::new(),
        containers: 10,
        initial_capital: 1.0,
        all_in: true,
        settings: "{}".into(),
        events: Manifest::event_schema(),
    }
}

fn rules(policy: RetentionPolicy, bytes_per_container: u64) -> TraceRules {
    TraceRules {
        events: EventSet::ALL,
        policy,
        bytes_per_container,
        on_full: OnFull::Strict,
        backing: Backing::Disk,
        store_trades: false,
        keep: Keep::NONE,
        compression: Compression::None,
    }
}

/// What a reader leaves out, to see that the model finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Omitted {
    Nothing,
    /// The second copy is the first one.
    SecondCopy,
    /// The descriptor is not read again.
    Recheck,
}

/// A reader in another thread.
struct Reader {
    shared: Arc<Shared>,
    header: PoolHeader,
    omitted: Omitted,
    first: std::cell::RefCell<Vec<(u32, Vec<u8>)>>,
    listed: std::cell::RefCell<Vec<(u32, Option<Descriptor>)>>,
}

impl LivePool for Reader {
    type Error = Infallible;

    fn segments(&self) -> u32 {
        self.header.segments
    }

    fn segment_bytes(&self, _: u32) -> usize {
        self.header.segment_bytes as usize
    }

    fn descriptor(&self, segment: u32) -> Result<Option<Descriptor>, Infallible> {
        let mut listed = self.listed.borrow_mut();
        if self.omitted == Omitted::Recheck
            && let Some((_, known)) = listed.iter().find(|(of, _)| *of == segment)
        {
            return Ok(*known);
        }
        let mut slots = [0; 2 * DESCRIPTOR_BYTES];
        let at = self.header.descriptor_offset(segment);
        self.shared.read(at, &mut slots);
        let found = Descriptor::newest(&slots, self.header.seed(), segment);
        listed.push((segment, found));
        Ok(found)
    }

    fn copy(&self, segment: u32, into: &mut [u8]) -> Result<usize, Infallible> {
        let mut first = self.first.borrow_mut();
        let known = first.iter().find(|(of, _)| *of == segment);
        if let (Omitted::SecondCopy, Some((_, bytes))) = (self.omitted, known) {
            into.copy_from_slice(bytes);
            return Ok(into.len());
        }
        self.shared.read(self.header.segment_offset(segment), into);
        first.push((segment, into.to_vec()));
        Ok(into.len())
    }

    fn order(&self) {
        fence(Ordering::Acquire);
    }
}

impl Reader {
    /// Sequences of the frames that the pool holds, by segment, and the segments that changed.
    fn read(&self) -> (Vec<Vec<u64>>, u64) {
        let Ok(listing) = Listing::of(self);
        let (mut segments, mut bytes) = (Vec::new(), Vec::new());
        for (_, segment, generation) in listing.owned() {
            let Ok(end) = take(self, segment, generation, &mut bytes);
            let (mut at, mut sequences) = (0, Vec::new());
            while let Some(frame) = read_frame(&bytes[at..end.unwrap_or(0)]) {
                let sequence = frame.stamp.sequence;
                let payload = AnyPayload::Bar(Bar { bars: sequence });
                assert_eq!(frame.payload, payload, "a torn frame is read");
                sequences.push(sequence);
                at += frame.bytes;
            }
            segments.push(sequences);
        }
        let Ok(changed) = listing.changed(self);
        (segments, changed)
    }
}

/// A pool of so many segments of so many frames, and a reader of it.
fn pool(segments: u32, frames: usize, spare: usize, omitted: Omitted) -> (Pool, Reader) {
    let manifest = manifest();
    let encoded = manifest.encode();
    let segment_bytes = (frames * FRAME + spare) as u32;
    let header = PoolHeader {
        pool: 1,
        segment_bytes,
        segments,
        manifest_bytes: encoded.len() as u32,
        manifest_crc: crc32c::crc32c(&encoded),
    };
    let mut cells: Vec<Range<usize>> = Vec::new();
    for segment in 0..segments {
        for slot in 0..2 {
            let at = header.descriptor_offset(segment) + slot * DESCRIPTOR_BYTES;
            cells.extend([at..at + 8, at + 8..at + 24]);
        }
        for frame in 0..frames {
            let at = header.segment_offset(segment) + frame * FRAME;
            cells.extend([at..at + 8, at + 8..at + FRAME]);
        }
    }
    CELLS.set(cells);
    let pool = Pool::create(Path::new("model"), 1, segment_bytes, segments, &manifest);
    let reader = Reader {
        shared: Shared::last(),
        header,
        omitted,
        first: Default::default(),
        listed: Default::default(),
    };
    (pool.expect("memory"), reader)
}

fn append(ring: &mut Ring, pool: &mut Pool, sequence: u64, trade: u32) {
    let stamp = Stamp {
        sequence,
        trade,
        ..Stamp::default()
    };
    let done = ring.append(pool, &stamp, &Bar { bars: sequence });
    assert_eq!(done, Append::Done);
}

/// Checks every execution, and says how many there were.
fn check(name: &str, threads_switched: usize, model: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(threads_switched);
    builder.max_branches = 100_000;
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    println!("{name}: {executions:?} executions");
}

/// The same, but with a fault that must be found.
#[track_caller]
fn is_found(planted: Planted, name: &str, model: impl Fn() + Sync + Send + 'static) {
    PLANTED.set(planted);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(name, 3, model)));
    PLANTED.set(Planted::Nothing);
    assert!(outcome.is_err(), "{name}: the fault was not found");
}

/// A ring of one segment: two frames, the end of their trade recycles it, one more frame.
fn one_segment(omitted: Omitted, laps: u64) {
    let (mut pool, reader) = pool(1, 3, 0, omitted);
    let mut ring = Ring::new(rules(RetentionPolicy::TradeComplete, 1 << 10), 7);
    append(&mut ring, &mut pool, 1, 1);
    let reader = loom::thread::spawn(move || reader.read());
    append(&mut ring, &mut pool, 2, 1);
    for lap in 0..laps {
        ring.end_trade(&mut pool, 1 + lap as u32);
        append(&mut ring, &mut pool, 3 + 2 * lap, 2 + lap as u32);
        if lap + 1 < laps {
            append(&mut ring, &mut pool, 4 + 2 * lap, 2 + lap as u32);
        }
    }
    let (found, changed) = reader.join().expect("the reader's assertions hold");
    for found in found {
        let is_one_life = found.is_empty()
            || [&[1][..], &[1, 2], &[3], &[3, 4], &[5]].contains(&found.as_slice());
        assert!(is_one_life, "of several lives: {found:?}");
        // The first frame was there before the reader began.
        assert!(changed > 0 || !found.is_empty() || laps > 0);
    }
}

#[test]
fn a_frame_that_is_read_is_whole_and_of_one_life() {
    check("commit and recycle", 3, || one_segment(Omitted::Nothing, 1));
    check("a full lap", 2, || one_segment(Omitted::Nothing, 2));
}

#[test]
fn a_commit_without_its_order_is_found() {
    is_found(Planted::RelaxedCommit, "relaxed commit", || {
        one_segment(Omitted::Nothing, 1);
    });
}

#[test]
fn a_frame_that_does_not_wait_for_its_descriptor_is_found() {
    is_found(Planted::LateDescriptor, "late descriptor", || {
        one_segment(Omitted::Nothing, 1);
    });
}

#[test]
fn a_reader_that_copies_once_is_found() {
    is_found(Planted::Nothing, "one copy", || {
        one_segment(Omitted::SecondCopy, 0);
    });
}

#[test]
fn a_reader_that_does_not_look_again_is_found() {
    is_found(Planted::Nothing, "no recheck", || {
        one_segment(Omitted::Recheck, 1);
    });
}

/// A trade that stays open is moved from the oldest of so many full segments to the head, whose
/// segment is new: of the only one where the cap leaves room in it, else of five.
fn evacuation(segments: u32) {
    const FRAMES: u32 = 5;
    let cap = if segments == 1 { 128 } else { 144 };
    let (mut pool, reader) = pool(segments + 1, FRAMES as usize, 16, Omitted::Nothing);
    let mut ring = Ring::new(rules(RetentionPolicy::TradeComplete, cap), 7);
    append(&mut ring, &mut pool, 1, 1);
    let next = segments * FRAMES + 1;
    for trade in 2..next {
        append(&mut ring, &mut pool, u64::from(trade), trade);
        ring.end_trade(&mut pool, trade);
    }
    assert_eq!((ring.segments(), pool.free()), (segments as usize, 1));
    let reader = loom::thread::spawn(move || reader.read());
    append(&mut ring, &mut pool, u64::from(next), next);
    assert_eq!(
        ring.segments(),
        segments as usize,
        "the oldest was recycled"
    );
    let (found, changed) = reader.join().expect("the reader's assertions hold");
    let is_found = found.iter().flatten().any(|sequence| *sequence == 1);
    assert!(
        is_found || changed > 0,
        "event 1 was always kept, and is not read: {found:?}"
    );
}

#[test]
fn what_is_moved_is_read_or_the_move_is_told() {
    check("evacuation of the only segment", 3, || evacuation(1));
    check("evacuation of one of five", 2, || evacuation(5));
}

#[test]
fn a_descriptor_that_does_not_wait_for_what_was_moved_is_found() {
    is_found(Planted::EarlyDescriptor, "early descriptor", || {
        evacuation(1)
    });
}

/// A full segment goes to the archive; it is recycled when it is written there.
fn hand_over(receipt_first: bool) {
    let (mut pool, reader) = pool(1, 2, 0, Omitted::Nothing);
    let mut ring = Ring::new(rules(RetentionPolicy::Full, 1 << 10), 7);
    append(&mut ring, &mut pool, 1, 1);
    let archive = Arc::new(AtomicU64::new(0));
    let receipt = pool.receipts().send(Way::Chunk);
    let written = Arc::clone(&archive);
    let writer = loom::thread::spawn(move || {
        if receipt_first {
            drop(receipt);
            written.store(1, Ordering::Relaxed);
        } else {
            written.store(1, Ordering::Relaxed);
            drop(receipt);
        }
    });
    let seen = Arc::clone(&archive);
    let reader = loom::thread::spawn(move || {
        let (found, _) = reader.read();
        let in_pool = found.iter().flatten().any(|sequence| *sequence == 1);
        fence(Ordering::Acquire);
        in_pool || seen.load(Ordering::Relaxed) == 1
    });
    ring.handed_over(&mut pool);
    // There is no other segment: this waits for the receipt.
    append(&mut ring, &mut pool, 2, 2);
    writer.join().expect("it ends");
    let is_somewhere = reader.join().expect("the reader's assertions hold");
    assert!(
        is_somewhere,
        "event 1 is neither in the pool nor in the archive"
    );
}

#[test]
fn what_is_handed_over_is_in_the_pool_or_in_the_archive() {
    check("hand-over", 2, || hand_over(false));
}

#[test]
fn a_receipt_that_comes_back_too_early_is_found() {
    is_found(Planted::Nothing, "early receipt", || hand_over(true));
}
