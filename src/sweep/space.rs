//! Numbering of parameter sets.

use super::constraint::Constraint;
use admf_formats::units::PARAMETERS_MAX;

/// The most raw sets of a space; their numbers must stay cheap to find.
pub(super) const RAW_SETS_MAX: u64 = 1 << 36;

/// Raw sets between two kept counts.
const STRIDE: u64 = 4096;

/// One parameter with the values it takes, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// Name of the parameter.
    pub name: String,
    /// Values, at least one.
    pub values: Vec<f64>,
}

/// All parameter sets of a sweep.
///
/// Memory: the values, and under constraints 8 bytes per 4,096 raw sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    dimensions: Vec<Dimension>,
    constraints: Vec<Constraint>,
    raw_len: u64,
    /// Valid sets before every `STRIDE`th raw set; empty without constraints.
    counts: Vec<u64>,
    len: u64,
}

impl Space {
    /// The product of these dimensions, less what a constraint excludes.
    ///
    /// Errors: the product has more than 2^36 sets, or no set is left.
    pub fn new(dimensions: Vec<Dimension>, constraints: Vec<Constraint>) -> Result<Space, String> {
        assert!(
            dimensions.len() <= PARAMETERS_MAX,
            "strategies have at most {PARAMETERS_MAX} parameters"
        );
        let raw_len = dimensions
            .iter()
            .try_fold(1_u64, |product, dimension| {
                product.checked_mul(dimension.values.len() as u64)
            })
            .filter(|product| *product <= RAW_SETS_MAX)
            .ok_or_else(|| {
                format!("the ranges make more than {RAW_SETS_MAX} parameter sets; narrow one")
            })?;
        let mut space = Space {
            dimensions,
            constraints,
            raw_len,
            counts: Vec::new(),
            len: raw_len,
        };
        if !space.constraints.is_empty() {
            let mut valid = 0;
            for raw in 0..raw_len {
                if raw % STRIDE == 0 {
                    space.counts.push(valid);
                }
                valid += u64::from(space.is_valid(raw));
            }
            space.len = valid;
        }
        if space.len == 0 {
            return Err(
                "no parameter set satisfies the constraints; widen a range or drop one".to_owned(),
            );
        }
        Ok(space)
    }

    /// Parameter sets.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none; never, by construction.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets before constraints.
    pub const fn raw_len(&self) -> u64 {
        self.raw_len
    }

    /// The dimensions, slowest first.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// Bytes that the space keeps.
    pub fn bytes(&self) -> usize {
        let values: usize = self
            .dimensions
            .iter()
            .map(|dimension| dimension.values.len())
            .sum();
        (values + self.counts.len()) * 8
    }

    /// Values of a raw set.
    pub fn raw_values(&self, mut raw: u64) -> [f64; PARAMETERS_MAX] {
        let mut values = [0.0; PARAMETERS_MAX];
        for (side, dimension) in self.dimensions.iter().enumerate().rev() {
            let count = dimension.values.len() as u64;
            values[side] = dimension.values[(raw % count) as usize];
            raw /= count;
        }
        values
    }

    /// Whether every constraint holds for a raw set.
    pub fn is_valid(&self, raw: u64) -> bool {
        self.constraints.is_empty() || {
            let values = self.raw_values(raw);
            self.constraints
                .iter()
                .all(|constraint| constraint.holds(&values))
        }
    }

    /// Number of a valid raw set.
    pub fn index_of(&self, raw: u64) -> u64 {
        if self.counts.is_empty() {
            return raw;
        }
        let kept = raw / STRIDE;
        let before = (kept * STRIDE..raw)
            .filter(|raw| self.is_valid(*raw))
            .count() as u64;
        self.counts[kept as usize] + before
    }

    /// Values of the set with this number.
    pub fn values(&self, index: u64) -> [f64; PARAMETERS_MAX] {
        if self.counts.is_empty() {
            return self.raw_values(index);
        }
        let kept = self.counts.partition_point(|before| *before <= index) - 1;
        let first = kept as u64 * STRIDE;
        let nth = (index - self.counts[kept]) as usize;
        let raw = (first..self.raw_len)
            .filter(|raw| self.is_valid(*raw))
            .nth(nth);
        self.raw_values(raw.expect("an index below the number of sets has a raw set"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn space(lengths: &[usize], constraint: Option<&str>) -> Result<Space, String> {
        let names = ["a", "b", "c"];
        let dimensions = lengths.iter().zip(names).map(|(length, name)| Dimension {
            name: name.to_owned(),
            values: (0..*length).map(|value| value as f64).collect(),
        });
        let constraints = constraint
            .map(|text| Constraint::parse(text, &names[..lengths.len()]))
            .transpose()?;
        Space::new(dimensions.collect(), constraints.into_iter().collect())
    }

    proptest! {
        #[test]
        fn numbers_are_ranks_in_lexicographic_order(
            lengths in prop::collection::vec(1_usize..40, 2..=3),
            constrained in any::<bool>(),
        ) {
            let Ok(space) = space(&lengths, constrained.then_some("a <= b + 1")) else { return Ok(()) };
            let mut expected = Vec::new();
            for a in 0..lengths[0] {
                for b in 0..lengths[1] {
                    for c in 0..lengths.get(2).copied().unwrap_or(1) {
                        if !constrained || a <= b + 1 {
                            expected.push([a as f64, b as f64, c as f64]);
                        }
                    }
                }
            }
            prop_assert_eq!(space.len(), expected.len() as u64);
            for (index, set) in expected.iter().enumerate() {
                prop_assert_eq!(&space.values(index as u64)[..3], set);
            }
            let valid: Vec<u64> = (0..space.raw_len()).filter(|raw| space.is_valid(*raw)).collect();
            for (index, raw) in valid.iter().enumerate() {
                prop_assert_eq!(space.index_of(*raw), index as u64);
            }
        }
    }

    #[test]
    fn a_space_without_a_set_is_refused() {
        assert!(space(&[3, 3], Some("a > b + 5")).is_err());
        let huge = vec![
            Dimension {
                name: "a".to_owned(),
                values: vec![0.0; 1 << 20]
            };
            2
        ];
        assert!(Space::new(huge, Vec::new()).is_err());
    }
}
