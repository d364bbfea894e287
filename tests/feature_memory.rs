//! What features take on the heap is at most what the plan counts, and they take it once.

use admf::features::{FEATURES, Feature, FeatureColumns, Indicator, Own, OwnFeature};
use admf::market::BarBlock;
use admf_formats::units::QUANTUM_BARS;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

static BYTES: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is the test's own: the harness allocates in others when it likes.
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn is_counted() -> bool {
    IS_COUNTED.try_with(Cell::get).unwrap_or(false)
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; the counters are atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_counted() {
            BYTES.fetch_add(layout.size(), Relaxed);
            CALLS.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if is_counted() {
            BYTES.fetch_sub(layout.size(), Relaxed);
        }
        // SAFETY: the place came from `System` with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The close a bar ago, as a feature of the user's own.
struct CloseBefore;

struct Before(f64);

impl Indicator for Before {
    fn next(&mut self, bar: &admf::features::Bar) -> f64 {
        std::mem::replace(&mut self.0, bar.close)
    }
}

impl OwnFeature for CloseBefore {
    fn name(&self) -> &'static str {
        "close_before"
    }

    fn first_defined(&self, _: &[f64]) -> u64 {
        1
    }

    fn bytes(&self, _: &[f64]) -> usize {
        8
    }

    fn indicator(&self, _: &[f64]) -> Box<dyn Indicator> {
        Box::new(Before(f64::NAN))
    }
}

fn block(quantum: usize) -> BarBlock {
    let mut block = BarBlock::new();
    block.bars = QUANTUM_BARS;
    block.first_bar = (quantum * QUANTUM_BARS) as u64;
    for k in 0..QUANTUM_BARS {
        let at = quantum * QUANTUM_BARS + k;
        let close = 100.0 + ((at * 37) % 101) as f64 / 8.0;
        (block.open[k], block.close[k]) = (close - 0.25, close);
        (block.high[k], block.low[k]) = (close + 0.5, close - 0.75);
        (block.volume[k], block.ts_ns[k]) = ((at % 13) as f64, at as i64 * 3_600_000_000_000);
    }
    block
}

fn check(features: Vec<Feature>, blocks: &[BarBlock]) {
    let (before, planned) = (BYTES.load(Relaxed), FeatureColumns::bytes(&features));
    let text = format!("{features:?}");
    let (text_bytes, feature_bytes) = (text.capacity(), size_of_val(features.as_slice()));
    let mut columns = FeatureColumns::new(features);
    // The list of features was made before; the columns own it.
    let taken = BYTES.load(Relaxed) - before - text_bytes + feature_bytes;
    assert!(
        taken <= planned,
        "{text}: {taken} bytes taken, {planned} planned"
    );
    let calls = CALLS.load(Relaxed);
    for block in blocks {
        columns.push(block, 0);
    }
    assert_eq!(CALLS.load(Relaxed), calls, "{text} allocates while it runs");
}

#[test]
fn features_take_what_is_planned_and_nothing_while_they_run() {
    IS_COUNTED.set(true);
    let blocks: Vec<BarBlock> = (0..4).map(block).collect();
    let longer = |factor: f64| -> Vec<Feature> {
        let with = |usual: f64| {
            if usual >= 5.0 {
                (usual * factor).ceil()
            } else {
                usual
            }
        };
        let feature = |known: &admf::features::FeatureName| {
            let values: Vec<f64> = known.parameters.iter().map(|(_, v)| with(*v)).collect();
            Feature::named(known.name, &values).expect("a feature")
        };
        FEATURES.iter().map(feature).collect()
    };
    for factor in [0.4, 1.0, 40.0] {
        let features = longer(factor);
        for feature in &features {
            check(vec![*feature], &blocks);
        }
        check(features, &blocks);
    }
    let own = Feature::Own(Own::new(&CloseBefore, &[]));
    check(vec![own], &blocks);
    let mut columns = FeatureColumns::new(vec![own]);
    columns.push(&blocks[0], 0);
    assert!(columns.column(0).now()[0].is_nan());
    assert_eq!(
        columns.column(0).now()[1..],
        blocks[0].close[..QUANTUM_BARS - 1]
    );
}
