//! Features, each once.

use super::feature::Feature;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Distinct features in the order in which they came.
///
/// A tile has as many of them as containers, and every container asks where its own lie: they are
/// found by their hash. Nothing depends on the hash but the time that this takes.
#[derive(Clone, Debug, Default)]
pub struct DistinctFeatures {
    features: Vec<Feature>,
    /// Numbers of features, one more than their places; each at its hash or at the next free slot
    /// after it; 0 is a free one. A power of two, at most half of them taken.
    slots: Vec<u32>,
}

impl DistinctFeatures {
    /// Bytes on the heap for so many features at most, those of the features themselves apart.
    pub const fn bytes(count: usize) -> usize {
        4 * (count + 1) * size_of::<u32>()
    }

    /// The place of a feature, and whether it is new.
    pub fn place(&mut self, feature: Feature) -> (usize, bool) {
        if 2 * (self.features.len() + 1) > self.slots.len() {
            self.grow();
        }
        let slot = self.slot(&feature);
        match self.slots[slot] {
            0 => {
                self.features.push(feature);
                self.slots[slot] = self.features.len() as u32;
                (self.features.len() - 1, true)
            }
            number => (number as usize - 1, false),
        }
    }

    /// The features.
    pub fn into_features(self) -> Vec<Feature> {
        self.features
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// The slot of this feature, or the free one where it would go.
    fn slot(&self, feature: &Feature) -> usize {
        let mut hasher = DefaultHasher::new();
        feature.hash(&mut hasher);
        let last = self.slots.len() - 1;
        let mut slot = hasher.finish() as usize & last;
        while let Some(before) = (self.slots[slot] as usize).checked_sub(1) {
            if self.features[before] == *feature {
                break;
            }
            slot = (slot + 1) & last;
        }
        slot
    }

    fn grow(&mut self) {
        let slots = (2 * self.slots.len()).max(4);
        self.slots.clear();
        self.slots.resize(slots, 0);
        for place in 0..self.features.len() {
            let slot = self.slot(&self.features[place]);
            self.slots[slot] = place as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feature() -> impl Strategy<Value = Feature> {
        (0..6, 1..9_u32, -2..3_i32).prop_map(|(kind, n, width)| match kind {
            0 => Feature::Sma(n),
            1 => Feature::Ema(n),
            2 => Feature::Bollinger(n, f64::from(width) / 2.0),
            3 => Feature::Bollinger(n, -f64::from(width) / 2.0),
            4 => Feature::Macd(n, n + 2),
            _ => Feature::Open,
        })
    }

    proptest! {
        #[test]
        fn features_lie_where_a_search_from_the_first_one_on_finds_them(
            asked in prop::collection::vec(feature(), 0..200),
        ) {
            let (mut distinct, mut expected) = (DistinctFeatures::default(), Vec::new());
            for feature in asked {
                let known = expected.iter().position(|other| *other == feature);
                if known.is_none() {
                    expected.push(feature);
                }
                let place = known.unwrap_or(expected.len() - 1);
                prop_assert_eq!(distinct.place(feature), (place, known.is_none()));
                prop_assert_eq!(distinct.len(), expected.len());
                let bytes = distinct.slots.len() * size_of::<u32>();
                prop_assert!(bytes <= DistinctFeatures::bytes(distinct.len()));
            }
            prop_assert_eq!(distinct.into_features(), expected);
        }
    }
}
