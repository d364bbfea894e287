//! Tests of the store at its limits.

use super::ring::OPEN_TRADES_MAX;
use super::tests::{CLOSE, FILL, OPEN, manifest, pool, rules, sequences, stamp};
use super::*;
use crate::segment::retention::{OnFull, RetentionPolicy, TraceRules};
use admf_formats::event::Fill;
use admf_formats::live::{self, Listing};

#[test]
fn generations_go_on_after_the_last_and_a_pool_decodes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(RetentionPolicy::SlidingWindow { events: 20 });
    let mut pool = pool(folder.path(), &rules);
    let reader = || PoolReader::open(&folder.path().join("t.pool")).expect("a pool");
    // A first life, whose frames lie in the segments, of the generations that come after the last.
    let mut ring = Ring::new(rules, 1);
    for sequence in 1..=200 {
        ring.append(&mut pool, &stamp(sequence, 1), &FILL);
    }
    ring.abandon(&mut pool);
    pool.age(u32::MAX - 3);
    let mut ring = Ring::new(rules, 1);
    for sequence in 1001..=1300_u64 {
        assert_eq!(
            ring.append(&mut pool, &stamp(sequence, 1), &FILL),
            Append::Done
        );
        let mut found = Vec::new();
        let read = reader().frames(|_, frame| {
            found.push(frame.stamp.sequence);
            Ok(())
        });
        read.expect("it decodes");
        let last: Vec<u64> = (1001..=sequence).rev().take(20).collect();
        assert!(
            last.iter().all(|sequence| found.contains(sequence)),
            "{found:?}"
        );
        assert!(
            found.iter().all(|sequence| *sequence > 1000),
            "stale: {found:?}"
        );
    }
    let mut frames = Vec::new();
    ring.finish(&mut pool, &mut frames);
    assert_eq!(sequences(&frames), (1281..=1300).collect::<Vec<u64>>());
    let went_on = |segment: &u32| (2..1000).contains(&pool.generation(*segment));
    let segments = segments_max(&rules, 1024) as u32;
    assert!((0..segments).filter(went_on).count() >= 2);
}

#[test]
fn the_last_sequences_are_kept_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for policy in [
        RetentionPolicy::TradeComplete,
        RetentionPolicy::SlidingWindow { events: 50 },
    ] {
        let rules = rules(policy);
        let mut pool = pool(folder.path(), &rules);
        let mut ring = Ring::new(rules, 1);
        for sequence in u64::MAX - 99..=u64::MAX {
            let done = ring.append(&mut pool, &stamp(sequence, 1), &FILL);
            assert_eq!(done, Append::Done);
        }
        let mut frames = Vec::new();
        let ledger = ring.finish(&mut pool, &mut frames);
        let kept = sequences(&frames);
        let first = u64::MAX - kept.len() as u64 + 1;
        assert_eq!(kept, (first..=u64::MAX).collect::<Vec<u64>>());
        let expected = if policy == RetentionPolicy::TradeComplete {
            100
        } else {
            50
        };
        assert_eq!((kept.len(), ledger.balances()), (expected, true));
    }
}

#[test]
fn a_trade_larger_than_its_ring_keeps_its_beginning_and_gives_its_room_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(RetentionPolicy::TradeComplete);
    let mut pool = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 1);
    let room = rules.bytes_per_container / 80;
    for sequence in 1..=100_000 {
        ring.append(&mut pool, &stamp(sequence, 1), &FILL);
    }
    let most = ring.segments() as u64;
    assert!(most <= segments_max(&rules, 1024), "{most} segments");
    ring.end_trade(&mut pool, 1);
    // The next trade has the whole ring.
    for sequence in 100_001..=100_000 + room {
        ring.append(&mut pool, &stamp(sequence, 2), &FILL);
    }
    let mut frames = Vec::new();
    let ledger = ring.finish(&mut pool, &mut frames);
    assert_eq!(ledger.dropped_at_cap, 100_000 - room);
    assert_eq!(
        (ledger.recycled_trade_closed, ledger.retained),
        (room, room)
    );
    assert_eq!(
        sequences(&frames),
        (100_001..=100_000 + room).collect::<Vec<u64>>()
    );
    assert!(ledger.balances());
}

#[test]
fn a_trade_never_closed_is_kept_among_200_000_that_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut rules = rules(RetentionPolicy::TradeComplete);
    rules.on_full = OnFull::Strict;
    let mut pool = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 1);
    ring.append(&mut pool, &stamp(1, 1), &OPEN);
    for trade in 2..=200_000 {
        let sequence = 2 * u64::from(trade);
        ring.append(&mut pool, &stamp(sequence, trade), &OPEN);
        ring.append(&mut pool, &stamp(sequence + 1, trade), &CLOSE);
        ring.end_trade(&mut pool, trade);
        assert!(ring.segments() as u64 <= segments_max(&rules, 1024));
    }
    let mut frames = Vec::new();
    let ledger = ring.finish(&mut pool, &mut frames);
    assert_eq!((sequences(&frames), ledger.retained), (vec![1], 1));
    assert!(ledger.balances() && ledger.dropped_at_cap == 0);
}

#[test]
fn a_hundred_thousand_open_trades_are_kept_and_those_beyond_the_limit_counted_exactly() {
    const TRADES: u32 = 140_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut rules = rules(RetentionPolicy::TradeComplete);
    // Room for two frames of every trade that has a place.
    rules.bytes_per_container = 2 * 64 * OPEN_TRADES_MAX as u64;
    let segments = segments_max(&rules, 4096) as u32;
    let path = folder.path().join("many.pool");
    let mut pool = Pool::create(&path, 1, 4096, segments, &manifest()).expect("a pool");
    let mut ring = Ring::new(rules, 1);
    // Twice round, so that each trade that has a place has two frames; the ends in another order.
    for round in 0..2 {
        for trade in 1..=TRADES {
            let sequence = round * u64::from(TRADES) + u64::from(trade);
            ring.append(&mut pool, &stamp(sequence, trade), &OPEN);
        }
    }
    let ended = |trade: u32| trade.is_multiple_of(3);
    for trade in (1..=TRADES).rev().filter(|trade| ended(*trade)) {
        ring.end_trade(&mut pool, trade);
    }
    let limit = OPEN_TRADES_MAX as u32;
    let mut frames = Vec::new();
    let ledger = ring.finish(&mut pool, &mut frames);
    let open = (1..=limit).filter(|trade| !ended(*trade));
    let kept: Vec<u64> = (0..2)
        .flat_map(|round| {
            open.clone()
                .map(move |trade| round * u64::from(TRADES) + u64::from(trade))
        })
        .collect();
    assert_eq!(sequences(&frames), kept);
    assert!(limit > 100_000);
    assert_eq!(ledger.dropped_at_cap, 2 * u64::from(TRADES - limit));
    assert_eq!(ledger.recycled_trade_closed, 2 * u64::from(limit / 3));
    let attempted = 2 * u64::from(TRADES);
    assert_eq!((ledger.attempted, ledger.balances()), (attempted, true));
}

#[test]
fn a_reader_that_pauses_for_a_full_lap_is_told_how_much_it_missed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(RetentionPolicy::SlidingWindow { events: 60 });
    let mut pool = pool(folder.path(), &rules);
    let (mut still, mut busy) = (Ring::new(rules, 1), Ring::new(rules, 2));
    for sequence in 1..=10 {
        still.append(&mut pool, &stamp(sequence, 1), &FILL);
    }
    for sequence in 1..=60 {
        busy.append(&mut pool, &stamp(sequence, 1), &FILL);
    }
    let reader = PoolReader::open(&folder.path().join("t.pool")).expect("a pool");
    let listing = Listing::of(&reader).expect("readable");
    let owned = listing.owned();
    let of_busy = owned.iter().filter(|(owner, ..)| *owner == 2).count() as u64;
    assert!(of_busy > 2);
    let read = || {
        let mut found = Vec::new();
        let each = |owner, frame: &admf_formats::segment::Frame| {
            found.push((owner, frame.stamp.sequence));
            Ok(())
        };
        let overrun = reader.frames_of(&listing, each).expect("readable");
        (found, overrun)
    };
    let (found, overrun) = read();
    assert_eq!((found.len(), overrun), (70, 0));
    // While the reader pauses, one ring goes round more than once.
    for sequence in 61..=600 {
        busy.append(&mut pool, &stamp(sequence, 1), &FILL);
    }
    let (found, overrun) = read();
    let untouched: Vec<(u64, u64)> = (1..=10).map(|sequence| (1, sequence)).collect();
    assert_eq!(found, untouched);
    assert!(overrun >= of_busy, "{overrun} of {of_busy}");
}

#[test]
fn events_after_the_last_sequence_are_refused_by_nothing_and_lost_by_nobody() {
    // The engine counts from 1: at a billion events a second the last one is 584 years away. The
    // store itself takes any sequence, also one that begins anew.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(RetentionPolicy::SlidingWindow { events: 4 });
    let mut pool = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 1);
    let told = [u64::MAX - 1, u64::MAX, 0, 1];
    for sequence in told {
        let done = ring.append(&mut pool, &stamp(sequence, 1), &FILL);
        assert_eq!(done, Append::Done);
    }
    let mut frames = Vec::new();
    let ledger = ring.finish(&mut pool, &mut frames);
    assert_eq!(sequences(&frames), [0, 1, u64::MAX - 1, u64::MAX]);
    assert!(ledger.balances() && ledger.retained == 4);
}

/// A payload that tells whether it belongs to its sequence.
fn fill(sequence: u64) -> Fill {
    Fill {
        qty: sequence as f64,
        price: -(sequence as f64),
        ..FILL
    }
}

#[test]
fn a_reader_that_pauses_for_a_full_lap_takes_nothing_that_was_written_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(RetentionPolicy::SlidingWindow { events: 40 });
    let mut pool = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 1);
    let mut append = |ring: &mut Ring, sequence| {
        ring.append(&mut pool, &stamp(sequence, 1), &fill(sequence));
    };
    for sequence in 1..=100 {
        append(&mut ring, sequence);
    }
    let reader = PoolReader::open(&folder.path().join("t.pool")).expect("a pool");
    let listing = Listing::of(&reader).expect("readable");
    let owned = listing.owned();
    // It pauses; every segment is recycled at least once meanwhile.
    for sequence in 101..=1000 {
        append(&mut ring, sequence);
    }
    let mut bytes = Vec::new();
    for (_, segment, generation) in &owned {
        let taken = live::take(&reader, *segment, *generation, &mut bytes);
        assert_eq!(taken.expect("readable"), None, "segment {segment}");
    }
    let changed = listing.changed(&reader).expect("readable");
    assert!(
        owned.len() >= 4 && changed >= owned.len() as u64,
        "{changed}"
    );
}

#[test]
fn readers_beside_a_writer_read_whole_events_only() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(RetentionPolicy::SlidingWindow { events: 40 });
    let mut pool = pool(folder.path(), &rules);
    let path = folder.path().join("t.pool");
    let is_over = AtomicBool::new(false);
    let read = || {
        let reader = PoolReader::open(&path).expect("a pool");
        let (mut reads, mut events, mut overrun) = (0_u64, 0_u64, 0_u64);
        while reads < 20 || !is_over.load(Ordering::Relaxed) {
            let changed = reader.frames(|_, frame| {
                events += 1;
                let expected = format!("Fill({:?})", fill(frame.stamp.sequence));
                assert_eq!(format!("{:?}", frame.payload), expected, "torn");
                Ok(())
            });
            overrun += u64::from(changed.expect("readable") > 0);
            reads += 1;
        }
        (reads, events, overrun)
    };
    let (one, other) = std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        let mut ring = Ring::new(rules, 1);
        for sequence in 1..=300_000 {
            ring.append(&mut pool, &stamp(sequence, 1), &fill(sequence));
        }
        is_over.store(true, Ordering::Relaxed);
        let [one, other] = readers.map(|reader| reader.join().expect("no event is torn"));
        (one, other)
    });
    println!("reads, events, reads that were overrun: {one:?}, {other:?}");
    assert!(one.1 + other.1 > 0);
}

#[test]
fn rings_whose_trades_fit_into_a_segment_share_the_one_that_an_evacuation_needs() {
    const RINGS: usize = 5;
    let folder = tempfile::tempdir().expect("a temporary folder");
    for cap in [200, 560, 832, 896] {
        let rules = TraceRules {
            bytes_per_container: cap,
            ..rules(RetentionPolicy::TradeComplete)
        };
        assert_eq!(segments_kept(&rules, 1024), 1);
        let segments = RINGS as u32 + 1;
        let path = folder.path().join(format!("{cap}.pool"));
        let mut pool = Pool::create(&path, 1, 1024, segments, &manifest()).expect("a pool");
        let ring = |owner| Ring::new(rules, owner);
        let mut rings: Vec<Ring> = (0..RINGS as u64).map(ring).collect();
        // Frames that each must have, oldest first: of its three trades that go on.
        let mut kept: Vec<Vec<(u64, u32)>> = vec![Vec::new(); RINGS];
        let mut open = [[1, 2, 3]; RINGS];
        let (mut last, mut number) = (3, 1_u64);
        for sequence in 1..=50_000 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (number >> 33) as usize % RINGS;
            let (ring, kept) = (&mut rings[at], &mut kept[at]);
            let trade = &mut open[at][(number >> 40) as usize % 3];
            let has_room = 80 * (kept.len() as u64 + 1) <= cap;
            ring.append(&mut pool, &stamp(sequence, *trade), &FILL);
            if has_room {
                kept.push((sequence, *trade));
            }
            if (number >> 50).is_multiple_of(4) {
                ring.end_trade(&mut pool, *trade);
                kept.retain(|(_, own)| own != trade);
                last += 1;
                *trade = last;
            }
            assert!(ring.segments() <= 1);
        }
        for (mut ring, kept) in rings.into_iter().zip(kept) {
            let mut frames = Vec::new();
            let ledger = ring.finish(&mut pool, &mut frames);
            let kept: Vec<u64> = kept.iter().map(|(sequence, _)| *sequence).collect();
            assert_eq!(sequences(&frames), kept, "{cap} bytes");
            assert!(ledger.balances() && ledger.dropped_at_cap > 0);
        }
    }
}
