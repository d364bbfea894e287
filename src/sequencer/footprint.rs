//! Bytes of feature columns that no tile of a phase exceeds.

use super::layout::Layout;
use crate::container::ContainerRules;
use crate::features::{DistinctFeatures, Feature, FeatureColumns};
use crate::strategy::{FEATURES_MAX, Strategy};
use crate::sweep::Space;
use crate::{Result, topology};

/// Tiles of samples that are looked at.
const TILES_OF_SAMPLES: u64 = 32;

/// Bytes of the columns of the worst tile of this layout.
///
/// Not all tiles are enumerated. A feature's memory grows with its parameters, so it is bounded by
/// that at the corners of the space. Distinct features are counted for each place among a set's
/// features apart, as if no two places shared one: so the first tile of a grid, which is a whole one,
/// has as many as any. Samples share columns by chance: half the square root of a tile's sets is
/// counted beyond the most of the first tiles, which is more than the number's deviation.
///
/// Errors: at a corner the strategy asks for too many features, or for one that cannot be.
pub(super) fn feature_bytes(
    strategy: &dyn Strategy,
    rules: &ContainerRules,
    space: &Space,
    layout: &Layout<'_>,
) -> Result<usize> {
    // The largest feature of each place.
    let mut largest = [None; FEATURES_MAX];
    let bytes = |feature: Feature| FeatureColumns::bytes(&[feature]);
    for values in &space.corners() {
        topology::checked_features(strategy, &rules.features, values)?;
        for (place, feature) in topology::read_features(strategy, rules, values)? {
            if largest[place].is_none_or(|known| bytes(known) < bytes(feature)) {
                largest[place] = Some(feature);
            }
        }
    }
    let sets = layout.sets_max() as usize;
    let mut counts = [sets; FEATURES_MAX];
    if let Some(grid) = layout.grid() {
        let (tiles, margin) = if space.is_sampled() {
            (TILES_OF_SAMPLES, sets.isqrt() / 2 + 1)
        } else {
            (1, 0)
        };
        let mut most = [0; FEATURES_MAX];
        for tile in 0..grid.len().min(tiles) {
            let mut distinct: [DistinctFeatures; FEATURES_MAX] = Default::default();
            for raw in grid.raw_sets(grid.tile(tile)) {
                // The first tile of a grid stands for whole ones; of samples none is made up for.
                if space.is_sampled() && !space.is_valid(raw) {
                    continue;
                }
                let values = space.raw_values(raw);
                for (place, feature) in topology::read_features(strategy, rules, &values)? {
                    distinct[place].place(feature);
                }
            }
            for (most, distinct) in most.iter_mut().zip(&distinct) {
                *most = distinct.len().max(*most);
            }
        }
        // One that all sets share is no matter of chance.
        let margin = |count: usize| if count > 1 { margin } else { 0 };
        counts = most.map(|count| (count + margin(count)).min(sets));
    }
    let worst: Vec<Feature> = largest
        .into_iter()
        .zip(counts)
        .filter_map(|(feature, count)| Some((feature?, count)))
        .flat_map(|(feature, count)| std::iter::repeat_n(feature, count))
        .chain(rules.measure())
        .collect();
    Ok(topology::column_bytes(&worst, sets))
}

#[cfg(test)]
mod tests {
    use super::super::layout::Sets;
    use super::*;
    use crate::strategy::by_name;
    use crate::sweep::{Constraint, Dimension, Method, Range, Sampler};

    /// Rules with a measure, a feature of their own and one that is swept.
    fn rules() -> ContainerRules {
        let text = "workflow: parameter_sweep
data: {path: d.csv}
strategy: {name: sma_crossover, parameters: {fast: 5, slow: 10}}
portfolio: {sizing: {volatility: {annual: 0.2, period: 90}}}
exits: {stop_loss: {atr: 2, period: 14}, take_profit: {atr: 3, period: fast}}
";
        let workflow = crate::workflow::parse(text, std::path::Path::new("w.yaml"));
        let workflow = workflow.expect("a valid workflow");
        workflow.phases[0].container.clone()
    }

    /// No tile of the space needs more than the bound, for any size of tiles.
    fn check(space: &Space) {
        let rules = rules();
        let strategy = by_name("sma_crossover").expect("built in");
        let sets = Sets::Space { space, symbols: 1 };
        for cap in [1, 16, 100, 512] {
            let layout = Layout::new(&sets, cap);
            let bound = feature_bytes(strategy, &rules, space, &layout).expect("possible features");
            let mut tile_sets = Vec::new();
            for tile in 0..layout.tiles() {
                layout.tile(tile, |_| true, &mut tile_sets);
                let bytes = topology::feature_bytes(strategy, &rules, &tile_sets)
                    .expect("possible features");
                assert!(bytes <= bound, "tile {tile} of {cap}: {bytes} of {bound}");
            }
        }
    }

    #[test]
    fn no_tile_needs_more_than_is_counted() {
        let dimension = |name: &str, from: u32, to: u32| Dimension {
            name: name.to_owned(),
            values: (from..to).map(f64::from).collect::<Vec<_>>().into(),
        };
        for overlap in [30, 10, 0] {
            let slow = 35 - overlap;
            for constraint in ["fast < slow", "fast + slow > 40"] {
                let constraint = Constraint::parse(constraint, &["fast", "slow"]).expect("valid");
                let dimensions = vec![dimension("fast", 2, 35), dimension("slow", slow, slow + 60)];
                check(&Space::new(dimensions, vec![constraint]).expect("not empty"));
            }
        }
        let ranges = [("fast", 30.0), ("slow", 500.0)]
            .map(|(name, max)| (name.to_owned(), Range::Integer { min: 2.0, max }));
        let sampler = Sampler::new(ranges.to_vec(), Method::Random, 3000, 1).expect("valid");
        let constraint = Constraint::parse("fast < slow", &["fast", "slow"]).expect("valid");
        check(&Space::sampled(sampler, vec![constraint]).expect("not empty"));
    }
}
