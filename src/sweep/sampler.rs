//! Samples of a parameter space: number in, parameter set out; nothing is stored per sample.
//!
//! The algorithm is part of the results format. `key` is the seed as 8 bytes little-endian and 24
//! zeros; `chacha(stream, sample)` are the 16 numbers of 64 bits, little-endian, in blocks
//! `2 * sample` and `2 * sample + 1` of ChaCha8 under that key with the nonce `stream`, and
//! `unit(x) = (x >> 11) / 2^53`. The share of parameter `d` in sample `i` of `n` is
//!
//! - `random`: `unit(chacha(0, i)[d])`;
//! - `latin_hypercube`: `(place + unit(chacha(0, i)[d])) / n`, where `place` is what the permutation
//!   of 0..n whose keys are `chacha(1, d)[..6]` makes of `i`;
//! - `sobol`: `((point XOR shift) + 1/2) / 2^32`, where `point` is coordinate `d` of Sobol point
//!   `i`, and `shift` the upper half of `chacha(2, 0)[d]`.
//!
//! Parameters are in the order of the strategy; [`Range::at`] turns shares into values.

use super::permutation::{Permutation, ROUNDS};
use super::range::Range;
use super::sobol;
use admf_formats::units::PARAMETERS_MAX;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Shares of a sample: a constant of the format, also where strategies have fewer parameters.
pub(super) const SHARES: usize = 16;
const _: () = assert!(PARAMETERS_MAX <= SHARES);

/// The most samples.
pub const SAMPLES_MAX: u64 = 1 << 30;

/// Words of 32 bits that a sample takes of a stream.
const SAMPLE_WORDS: u128 = 2 * SHARES as u128;

const STREAM_SHARES: u64 = 0;
const STREAM_PERMUTATIONS: u64 = 1;
const STREAM_SHIFTS: u64 = 2;

/// How samples are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Independent, uniform.
    Random,
    /// Sobol points with a random digital shift.
    Sobol,
    /// Each parameter has one sample in each of as many equal strata as there are samples.
    LatinHypercube,
}

/// Draws samples by number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    names: Vec<String>,
    ranges: Vec<Range>,
    samples: u64,
    method: Method,
    random: ChaCha8Rng,
    permutations: Vec<Permutation>,
    shifts: [u32; SHARES],
}

impl Sampler {
    /// `samples` samples of these named ranges.
    ///
    /// Errors: no sample, more than [`SAMPLES_MAX`], or more than there are parameter sets.
    pub fn new(
        ranges: Vec<(String, Range)>,
        method: Method,
        samples: u64,
        seed: u64,
    ) -> Result<Sampler, String> {
        if samples == 0 || samples > SAMPLES_MAX {
            return Err(format!(
                "{samples} samples were asked for; 1 to {SAMPLES_MAX} were expected"
            ));
        }
        let sets = ranges
            .iter()
            .try_fold(1_u64, |sets, (_, range)| sets.checked_mul(range.count()?));
        if let Some(sets) = sets.filter(|sets| *sets < samples) {
            return Err(format!(
                "{samples} samples of {sets} parameter sets would repeat some; take fewer, or the \
                 whole grid"
            ));
        }
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let random = ChaCha8Rng::from_seed(key);
        let keys = |side: u64| -> [u64; ROUNDS] {
            let numbers = numbers(&random, STREAM_PERMUTATIONS, side);
            std::array::from_fn(|round| numbers[round])
        };
        let permutations = match method {
            Method::LatinHypercube => (0..ranges.len() as u64)
                .map(|side| Permutation::new(samples, keys(side)))
                .collect(),
            Method::Random | Method::Sobol => Vec::new(),
        };
        let shifts = numbers(&random, STREAM_SHIFTS, 0).map(|number| (number >> 32) as u32);
        let (names, ranges) = ranges.into_iter().unzip();
        Ok(Sampler {
            names,
            ranges,
            samples,
            method,
            random,
            permutations,
            shifts,
        })
    }

    /// Samples.
    pub const fn len(&self) -> u64 {
        self.samples
    }

    /// Whether there is none; never, by construction.
    pub const fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Names of the parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Their ranges.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Values of sample `sample`.
    pub fn values(&self, sample: u64) -> [f64; PARAMETERS_MAX] {
        let mut values = [0.0; PARAMETERS_MAX];
        let units = match self.method {
            Method::Sobol => [0.0; SHARES],
            _ => numbers(&self.random, STREAM_SHARES, sample)
                .map(|number| (number >> 11) as f64 / 9_007_199_254_740_992.0),
        };
        for (side, (value, range)) in values.iter_mut().zip(&self.ranges).enumerate() {
            let share = match self.method {
                Method::Random => units[side],
                Method::LatinHypercube => {
                    let place = self.permutations[side].of(sample) as f64;
                    (place + units[side]) / self.samples as f64
                }
                Method::Sobol => {
                    let point = sobol::coordinate(sample as u32, side) ^ self.shifts[side];
                    (f64::from(point) + 0.5) / 4_294_967_296.0
                }
            };
            *value = range.at(share.min(1.0 - f64::EPSILON / 2.0));
        }
        values
    }
}

/// The numbers of one sample in one stream.
fn numbers(random: &ChaCha8Rng, stream: u64, sample: u64) -> [u64; SHARES] {
    let mut random = random.clone();
    random.set_stream(stream);
    random.set_word_pos(u128::from(sample) * SAMPLE_WORDS);
    std::array::from_fn(|_| random.next_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [Method; 3] = [Method::Random, Method::Sobol, Method::LatinHypercube];

    fn sampler(method: Method, samples: u64, seed: u64) -> Sampler {
        let unit = Range::Linear { min: 0.0, max: 1.0 };
        let ranges = (0..4).map(|side| (format!("p{side}"), unit.clone()));
        Sampler::new(ranges.collect(), method, samples, seed).expect("a valid sampler")
    }

    #[test]
    fn samples_are_the_golden_ones() {
        // Made by tools/oracle/samples.py, which follows the description alone. Whatever changes
        // them changes what a seed means.
        let golden = [
            [
                [0.764109042047738, 0.4659376151199609],
                [0.542022344398525, 0.5641893922510012],
            ],
            [
                [0.010922764311544597, 0.19439199881162494],
                [0.8947118268115446, 0.033259186311624944],
            ],
            [
                [0.0017641090420477382, 0.31346593761512],
                [0.4925420223443985, 0.171564189392251],
            ],
        ];
        for (method, expected) in METHODS.into_iter().zip(golden) {
            let sampler = sampler(method, 1000, 7);
            for (sample, expected) in [0, 999].into_iter().zip(expected) {
                assert_eq!(sampler.values(sample)[..2], expected, "{method:?}");
            }
        }
    }

    #[test]
    fn a_seed_fixes_all_samples_and_another_changes_them() {
        for method in METHODS {
            let all = |seed| -> Vec<[f64; PARAMETERS_MAX]> {
                let sampler = sampler(method, 200, seed);
                (0..200).map(|sample| sampler.values(sample)).collect()
            };
            assert_eq!(all(3), all(3));
            assert_ne!(all(3), all(4), "{method:?}");
        }
    }

    #[test]
    fn a_latin_hypercube_has_one_sample_in_each_stratum_of_each_parameter() {
        for samples in [1, 2, 7, 100, 1000] {
            let sampler = sampler(Method::LatinHypercube, samples, 5);
            for side in 0..4 {
                let mut seen = vec![false; samples as usize];
                for sample in 0..samples {
                    let stratum = (sampler.values(sample)[side] * samples as f64) as usize;
                    assert!(!std::mem::replace(&mut seen[stratum], true));
                }
            }
        }
    }

    #[test]
    fn a_shifted_sobol_sequence_has_one_point_in_each_dyadic_interval() {
        let sampler = sampler(Method::Sobol, 256, 11);
        for side in 0..4 {
            let mut seen = [false; 256];
            for sample in 0..256 {
                let cell = (sampler.values(sample)[side] * 256.0) as usize;
                assert!(!std::mem::replace(&mut seen[cell], true));
            }
        }
    }

    #[test]
    fn random_samples_are_uniform_and_parameters_independent() {
        for method in METHODS {
            let sampler = sampler(method, 4096, 1);
            let all: Vec<_> = (0..4096).map(|sample| sampler.values(sample)).collect();
            for left in 0..4 {
                let mean = all.iter().map(|one| one[left]).sum::<f64>() / 4096.0;
                // Five standard errors of a mean of 4,096 uniform numbers.
                assert!(
                    (mean - 0.5).abs() < 5.0 * 0.289 / 64.0,
                    "{method:?}: {mean}"
                );
                for right in 0..left {
                    let sum: f64 = all
                        .iter()
                        .map(|one| (one[left] - 0.5) * (one[right] - 0.5))
                        .sum();
                    let correlation = sum / 4096.0 * 12.0;
                    assert!(correlation.abs() < 5.0 / 64.0, "{method:?}: {correlation}");
                }
            }
        }
    }

    #[test]
    fn wrong_counts_are_refused() {
        let error = |samples, range: Range| {
            Sampler::new(vec![("a".to_owned(), range)], Method::Random, samples, 1).unwrap_err()
        };
        let unit = Range::Linear { min: 0.0, max: 1.0 };
        assert!(error(0, unit.clone()).contains("1 to"));
        assert!(error(SAMPLES_MAX + 1, unit).contains("1 to"));
        assert!(error(5, Range::Integer { min: 1.0, max: 4.0 }).contains("4 parameter sets"));
    }
}
