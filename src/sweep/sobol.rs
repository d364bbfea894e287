//! Sobol points, each computed from its number alone.
//!
//! Own code, since the points of a sweep are looked up by number, to 2^30 of them: crates at hand
//! iterate, or stop at 65,536 points of single precision.

use super::sampler::SHARES;

/// Bits of a coordinate.
const BITS: usize = 32;

/// Degree, inner coefficients and initial numbers of the primitive polynomial of each dimension
/// but the first.
///
/// Source: S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional
/// projections", SIAM J. Sci. Comput. 30 (2008), table new-joe-kuo-6.
const POLYNOMIALS: [(usize, u32, [u32; 6]); SHARES - 1] = [
    (1, 0, [1, 0, 0, 0, 0, 0]),
    (2, 1, [1, 3, 0, 0, 0, 0]),
    (3, 1, [1, 3, 1, 0, 0, 0]),
    (3, 2, [1, 1, 1, 0, 0, 0]),
    (4, 1, [1, 1, 3, 3, 0, 0]),
    (4, 4, [1, 3, 5, 13, 0, 0]),
    (5, 2, [1, 1, 5, 5, 17, 0]),
    (5, 4, [1, 1, 5, 5, 5, 0]),
    (5, 7, [1, 1, 7, 11, 19, 0]),
    (5, 11, [1, 1, 5, 1, 1, 0]),
    (5, 13, [1, 1, 1, 3, 11, 0]),
    (5, 14, [1, 3, 5, 5, 31, 0]),
    (6, 1, [1, 3, 3, 9, 7, 49]),
    (6, 13, [1, 1, 1, 15, 21, 21]),
    (6, 16, [1, 3, 1, 13, 27, 49]),
];

/// Direction numbers of all dimensions.
const DIRECTIONS: [[u32; BITS]; SHARES] = directions();

const fn directions() -> [[u32; BITS]; SHARES] {
    let mut all = [[0; BITS]; SHARES];
    let mut bit = 0;
    while bit < BITS {
        all[0][bit] = 1 << (BITS - 1 - bit);
        bit += 1;
    }
    let mut side = 1;
    while side < SHARES {
        let (degree, inner, initial) = POLYNOMIALS[side - 1];
        let mut bit = 0;
        while bit < BITS {
            all[side][bit] = if bit < degree {
                initial[bit] << (BITS - 1 - bit)
            } else {
                let before = all[side][bit - degree];
                let mut number = before ^ (before >> degree);
                let mut k = 1;
                while k < degree {
                    if inner >> (degree - 1 - k) & 1 == 1 {
                        number ^= all[side][bit - k];
                    }
                    k += 1;
                }
                number
            };
            bit += 1;
        }
        side += 1;
    }
    all
}

/// Coordinate `side` of point `number`, in units of 2^-32; points are in binary order, not in that
/// of a Gray code.
pub(super) fn coordinate(number: u32, side: usize) -> u32 {
    let (mut rest, mut coordinate) = (number, 0);
    while rest != 0 {
        coordinate ^= DIRECTIONS[side][rest.trailing_zeros() as usize];
        rest &= rest - 1;
    }
    coordinate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_points_are_the_published_ones() {
        // In the order of the Gray code 0, 1, 3, 2, 6, 7, 5, 4, as tables of them are.
        let expected = [
            [0.0, 0.0, 0.0],
            [0.5, 0.5, 0.5],
            [0.75, 0.25, 0.25],
            [0.25, 0.75, 0.75],
            [0.375, 0.375, 0.625],
            [0.875, 0.875, 0.125],
            [0.625, 0.125, 0.875],
            [0.125, 0.625, 0.375],
        ];
        for (number, point) in [0, 1, 3, 2, 6, 7, 5, 4].into_iter().zip(expected) {
            for (side, share) in point.into_iter().enumerate() {
                let found = f64::from(coordinate(number, side)) / 4_294_967_296.0;
                assert_eq!(found, share, "point {number}, side {side}");
            }
        }
    }

    #[test]
    fn every_dyadic_interval_of_every_dimension_has_one_point() {
        for side in 0..SHARES {
            for bits in [1, 5, 10] {
                let mut seen = vec![false; 1 << bits];
                for number in 0..1_u32 << bits {
                    let cell = coordinate(number, side) >> (32 - bits);
                    assert!(!std::mem::replace(&mut seen[cell as usize], true));
                }
            }
        }
    }

    #[test]
    fn the_first_two_dimensions_fill_every_dyadic_rectangle() {
        // They are a (0, m, 2)-net: each of the 2^m rectangles of area 2^-m has one of 2^m points.
        for wide in 0..=8 {
            let tall = 8 - wide;
            let mut seen = [false; 256];
            for number in 0..256 {
                let column = u64::from(coordinate(number, 0)) >> (32 - wide);
                let row = u64::from(coordinate(number, 1)) >> (32 - tall);
                assert!(!std::mem::replace(
                    &mut seen[(column << tall | row) as usize],
                    true
                ));
            }
        }
    }

    #[test]
    fn no_two_dimensions_have_the_same_polynomial_and_initial_numbers_fit() {
        for (side, (degree, inner, initial)) in POLYNOMIALS.into_iter().enumerate() {
            for (bit, number) in initial.into_iter().take(degree).enumerate() {
                assert!(number % 2 == 1 && number < 2 << bit, "side {side}");
            }
            let same = |other: &&(usize, u32, [u32; 6])| (other.0, other.1) == (degree, inner);
            assert_eq!(POLYNOMIALS.iter().filter(same).count(), 1, "side {side}");
            // Primitive: x has the order 2^degree - 1 modulo the polynomial over two elements.
            let polynomial = 1_u32 << degree | inner << 1 | 1;
            let mut power = 1_u32;
            let mut order = 0;
            loop {
                power <<= 1;
                if power >> degree & 1 == 1 {
                    power ^= polynomial;
                }
                order += 1;
                if power == 1 {
                    break;
                }
            }
            assert_eq!(order, (1 << degree) - 1, "side {side}");
        }
    }
}
