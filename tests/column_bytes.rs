//! Columns are planned as they are: what the plan counts for a tile's features is what they allocate.

use admf::features::{Feature, FeatureColumns};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

// One test alone: another one's allocations would be counted too.
#[test]
fn as_many_columns_as_sets_take_what_is_counted() {
    for of in [Feature::Sma, Feature::Ema, Feature::Rsi] {
        let name = format!("{:?}", of(10));
        let features: Vec<Feature> = (10..510).map(of).collect();
        let counted = FeatureColumns::bytes(&features);
        let region = Region::new(COUNTED);
        let columns = FeatureColumns::of_sets(features, 500);
        let change = region.change();
        let taken = change.bytes_allocated - change.bytes_deallocated;
        println!("{name}: {counted} counted, {taken} taken");
        // Room that another form of the same tile may take, and lists that are gone.
        assert!((taken..taken * 21 / 20).contains(&counted), "{name}");
        drop(columns);
    }
}
