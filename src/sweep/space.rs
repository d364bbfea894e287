//! Numbering of parameter sets: those of a grid, or samples.

use super::constraint::Constraint;
use super::sampler::Sampler;
use super::values::Values;
use admf_formats::units::PARAMETERS_MAX;

/// The most raw sets of a space; their numbers must stay cheap to find.
pub(super) const RAW_SETS_MAX: u64 = 1 << 36;

/// Raw sets between two kept counts at least, and counts that are kept rather than more raw sets
/// between two of them: a number is found by testing the sets since the last count.
const STRIDE_MIN: u64 = 64;
const COUNTS_WORTH: u64 = 1 << 15;

/// From this stride on, only [`COUNTS_MAX`] widens it further.
const STRIDE_WORTH: u64 = 4096;
const COUNTS_MAX: u64 = 1 << 20;

/// One parameter with the values it takes, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// Name of the parameter.
    pub name: String,
    /// Values, at least one.
    pub values: Values,
}

/// Where raw sets come from.
#[derive(Clone, Debug, PartialEq)]
enum Points {
    /// The product of all values, the first dimension slowest.
    Grid(Vec<Dimension>),
    /// Samples, in the order of their numbers.
    Samples(Box<Sampler>),
}

/// All parameter sets of a sweep.
///
/// Memory: the values that are listed, and under constraints 8 bytes per 64 raw sets, for spaces of
/// more than two million less: 256 KiB up to 134 million, 8 MiB at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    points: Points,
    constraints: Vec<Constraint>,
    raw_len: u64,
    /// Raw sets between two counts.
    stride: u64,
    /// Valid sets before every `stride`th raw set; empty without constraints.
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
                product.checked_mul(dimension.values.len())
            })
            .filter(|product| *product <= RAW_SETS_MAX)
            .ok_or_else(|| {
                format!("the ranges make more than {RAW_SETS_MAX} parameter sets; narrow one")
            })?;
        Space::numbered(Points::Grid(dimensions), raw_len, constraints)
    }

    /// All samples, less those that a constraint excludes: no other is drawn in their place.
    ///
    /// Errors: no sample is left.
    pub fn sampled(sampler: Sampler, constraints: Vec<Constraint>) -> Result<Space, String> {
        let raw_len = sampler.len();
        Space::numbered(Points::Samples(Box::new(sampler)), raw_len, constraints)
    }

    fn numbered(
        points: Points,
        raw_len: u64,
        constraints: Vec<Constraint>,
    ) -> Result<Space, String> {
        let few = (raw_len / COUNTS_WORTH)
            .next_power_of_two()
            .clamp(STRIDE_MIN, STRIDE_WORTH);
        let mut space = Space {
            points,
            constraints,
            raw_len,
            stride: few.max((raw_len / COUNTS_MAX).next_power_of_two()),
            counts: Vec::new(),
            len: raw_len,
        };
        if !space.constraints.is_empty() {
            space
                .counts
                .reserve_exact(raw_len.div_ceil(space.stride) as usize);
            let mut valid = 0;
            for raw in 0..raw_len {
                if raw % space.stride == 0 {
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

    /// Raw sets along each side, slowest first; samples have one side.
    pub fn sides(&self) -> Vec<u64> {
        match &self.points {
            Points::Grid(dimensions) => dimensions
                .iter()
                .map(|dimension| dimension.values.len())
                .collect(),
            Points::Samples(sampler) => vec![sampler.len()],
        }
    }

    /// Names of the parameters, in the order of their values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (dimensions, sampler) = match &self.points {
            Points::Grid(dimensions) => (Some(dimensions), None),
            Points::Samples(sampler) => (None, Some(sampler)),
        };
        let dimensions = dimensions.into_iter().flatten();
        dimensions
            .map(|dimension| dimension.name.as_str())
            .chain(sampler.into_iter().flat_map(|sampler| sampler.names()))
    }

    /// Whether the sets are samples.
    pub const fn is_sampled(&self) -> bool {
        matches!(self.points, Points::Samples(_))
    }

    /// Sets of the least and greatest values of each parameter, whatever the constraints say: what
    /// grows with a parameter is nowhere more than at one of them.
    pub fn corners(&self) -> Vec<[f64; PARAMETERS_MAX]> {
        let ends: Vec<[f64; 2]> = match &self.points {
            Points::Grid(dimensions) => dimensions
                .iter()
                .map(|dimension| dimension.values.ends())
                .collect(),
            Points::Samples(sampler) => sampler
                .ranges()
                .iter()
                .map(super::range::Range::ends)
                .collect(),
        };
        (0..1_usize << ends.len())
            .map(|corner| {
                let mut values = [0.0; PARAMETERS_MAX];
                for (side, (value, ends)) in values.iter_mut().zip(&ends).enumerate() {
                    *value = ends[corner >> side & 1];
                }
                values
            })
            .collect()
    }

    /// Bytes that the space keeps.
    pub fn bytes(&self) -> usize {
        let values: usize = match &self.points {
            Points::Grid(dimensions) => dimensions
                .iter()
                .map(|dimension| dimension.values.bytes())
                .sum(),
            Points::Samples(sampler) => {
                let ranges = sampler.ranges().iter();
                size_of::<Sampler>() + ranges.map(super::range::Range::bytes).sum::<usize>()
            }
        };
        values + self.counts.len() * 8
    }

    /// Values of a raw set.
    pub fn raw_values(&self, mut raw: u64) -> [f64; PARAMETERS_MAX] {
        let dimensions = match &self.points {
            Points::Grid(dimensions) => dimensions,
            Points::Samples(sampler) => return sampler.values(raw),
        };
        let mut values = [0.0; PARAMETERS_MAX];
        for (side, dimension) in dimensions.iter().enumerate().rev() {
            let count = dimension.values.len();
            values[side] = dimension.values.at(raw % count);
            raw /= count;
        }
        values
    }

    /// Whether every constraint holds for a raw set.
    pub fn is_valid(&self, raw: u64) -> bool {
        self.constraints.is_empty() || self.valid_values(raw).is_some()
    }

    /// Values of a raw set, if every constraint holds for it.
    pub fn valid_values(&self, raw: u64) -> Option<[f64; PARAMETERS_MAX]> {
        let values = self.raw_values(raw);
        self.constraints
            .iter()
            .all(|constraint| constraint.holds(&values))
            .then_some(values)
    }

    /// Number of a valid raw set.
    pub fn index_of(&self, raw: u64) -> u64 {
        if self.counts.is_empty() {
            return raw;
        }
        let kept = raw / self.stride;
        let before = (kept * self.stride..raw)
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
        let first = kept as u64 * self.stride;
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
            values: Values::Steps {
                min: 0.0,
                step: 1.0,
                count: *length as u64,
            },
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
    fn samples_keep_their_order_under_constraints() {
        use crate::sweep::{Method, Range, Sampler};
        let integer = Range::Integer {
            min: 1.0,
            max: 200.0,
        };
        for method in [Method::Random, Method::Sobol, Method::LatinHypercube] {
            let ranges = ["a", "b"].map(|name| (name.to_owned(), integer.clone()));
            let sampler = Sampler::new(ranges.to_vec(), method, 3000, 9).expect("a valid sampler");
            let expected: Vec<_> = (0..3000)
                .map(|sample| sampler.values(sample))
                .filter(|values| values[0] < values[1])
                .collect();
            let constraint = Constraint::parse("a < b", &["a", "b"]).expect("valid");
            let space = Space::sampled(sampler, vec![constraint]).expect("some are left");
            assert_eq!(space.len(), expected.len() as u64);
            for (index, values) in expected.iter().enumerate() {
                assert_eq!(space.values(index as u64), *values);
            }
        }
    }

    #[test]
    fn counts_stay_few_in_huge_spaces() {
        let check = |sides: &[usize], stride: u64, bytes: usize| {
            let dimensions = sides.iter().map(|length| Dimension {
                name: "a".to_owned(),
                values: vec![0.0; *length].into(),
            });
            let space = Space::new(dimensions.collect(), Vec::new()).expect("not empty");
            assert_eq!(space.stride, stride);
            assert!(space.raw_len().div_ceil(stride) as usize * 8 <= bytes);
        };
        check(&[10, 10], 64, 16);
        check(&[1 << 10, 1 << 11], 64, 256 << 10);
        check(&[1 << 13, 1 << 14], 4096, 256 << 10);
        check(&[1 << 18, 1 << 18], 1 << 16, 8 << 20);
    }

    #[test]
    fn a_space_without_a_set_is_refused() {
        assert!(space(&[3, 3], Some("a > b + 5")).is_err());
        let huge = vec![
            Dimension {
                name: "a".to_owned(),
                values: vec![0.0; 1 << 20].into(),
            };
            2
        ];
        assert!(Space::new(huge, Vec::new()).is_err());
    }
}
