//! Tiles: rectangles of the parameter space, so that few feature columns serve many containers.

use super::space::Space;
use admf_formats::units::PARAMETERS_MAX;

/// A partition of a space into rectangles of at most so many sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileGrid {
    dimensions: usize,
    /// Values per dimension of the space, of a tile, and tiles per dimension.
    lengths: [u64; PARAMETERS_MAX],
    sizes: [u64; PARAMETERS_MAX],
    counts: [u64; PARAMETERS_MAX],
}

/// One rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    first: [u64; PARAMETERS_MAX],
    sizes: [u64; PARAMETERS_MAX],
}

impl TileGrid {
    /// Tiles of at most `cap` raw sets, as near to square as the space allows.
    pub fn new(space: &Space, cap: u64) -> TileGrid {
        let sides = space.sides();
        let dimensions = sides.len();
        let mut lengths = [1; PARAMETERS_MAX];
        lengths[..dimensions].copy_from_slice(&sides);
        let mut sizes = [1; PARAMETERS_MAX];
        let product = |sizes: &[u64; PARAMETERS_MAX]| sizes.iter().product::<u64>();
        // The smallest side that can still grow is doubled; the last, fastest one first.
        while let Some(grown) = (0..dimensions)
            .rev()
            .filter(|side| sizes[*side] < lengths[*side])
            .map(|side| {
                let mut grown = sizes;
                grown[side] = (sizes[side] * 2).min(lengths[side]);
                (sizes[side], grown)
            })
            .filter(|(_, grown)| product(grown) <= cap)
            .min_by_key(|(size, _)| *size)
        {
            sizes = grown.1;
        }
        // Tiles of a side are made equally long, which leaves room under the cap for fewer of them
        // on another side.
        let even = |sizes: &mut [u64; PARAMETERS_MAX]| -> [u64; PARAMETERS_MAX] {
            std::array::from_fn(|side| {
                let count = lengths[side].div_ceil(sizes[side]);
                sizes[side] = lengths[side].div_ceil(count);
                count
            })
        };
        let mut counts = even(&mut sizes);
        while let Some(fewer) = (0..dimensions)
            .filter(|side| counts[*side] > 1)
            .map(|side| {
                let mut fewer = sizes;
                fewer[side] = lengths[side].div_ceil(counts[side] - 1);
                fewer
            })
            .filter(|fewer| product(fewer) <= cap)
            .min_by_key(|fewer| fewer.iter().sum::<u64>())
        {
            sizes = fewer;
            counts = even(&mut sizes);
        }
        let mut grid = TileGrid {
            dimensions,
            lengths,
            sizes,
            counts,
        };
        /// Cuts of a side that are tried: a space may have billions of sets, and is cut often.
        const CUTS_MAX: u64 = 1024;
        // What is left under the cap by one side may fit another one.
        let pairs =
            (0..dimensions).flat_map(|side| (0..dimensions).map(move |other| (side, other)));
        for (side, other) in pairs.filter(|(side, other)| side != other) {
            let most = (4 * grid.counts[side]).min(lengths[side]).min(CUTS_MAX);
            let cuts = (1..=most).filter_map(|count| grid.recut((side, count), other, cap));
            if let Some(best) = cuts.min_by_key(TileGrid::work)
                && best.work() < grid.work()
            {
                grid = best;
            }
        }
        grid
    }

    /// The same with so many tiles on one side, and on another as few as the cap allows.
    fn recut(&self, (side, count): (usize, u64), other: usize, cap: u64) -> Option<TileGrid> {
        let mut grid = self.clone();
        grid.cut(side, count);
        grid.cut(other, grid.lengths[other]);
        let room = (cap / grid.sets_max()).min(grid.lengths[other]);
        (room > 0).then(|| {
            grid.cut(other, grid.lengths[other].div_ceil(room));
            grid
        })
    }

    /// Cuts a side into at most so many tiles, equally long but for the last one.
    fn cut(&mut self, side: usize, count: u64) {
        self.sizes[side] = self.lengths[side].div_ceil(count);
        self.counts[side] = self.lengths[side].div_ceil(self.sizes[side]);
    }

    /// What tiles do that their containers share, in columns of a tile.
    fn work(&self) -> u64 {
        /// Reading a block and the figures of its bars take as long as so many columns.
        const BLOCK: u64 = 50;
        let columns: u64 = self.sizes[..self.dimensions].iter().sum();
        self.len().saturating_mul(BLOCK + columns)
    }

    /// Tiles.
    pub fn len(&self) -> u64 {
        self.counts.iter().product()
    }

    /// Whether there is none; never, by construction.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Raw sets of the largest tile.
    pub fn sets_max(&self) -> u64 {
        self.sizes.iter().product()
    }

    /// Tile number `tile`.
    pub fn tile(&self, mut tile: u64) -> Tile {
        let mut found = Tile {
            first: [0; PARAMETERS_MAX],
            sizes: [1; PARAMETERS_MAX],
        };
        for side in (0..self.dimensions).rev() {
            found.first[side] = tile % self.counts[side] * self.sizes[side];
            found.sizes[side] = self.sizes[side].min(self.lengths[side] - found.first[side]);
            tile /= self.counts[side];
        }
        found
    }

    /// Raw sets of a tile, in order of their number.
    pub fn raw_sets(&self, tile: Tile) -> impl Iterator<Item = u64> + '_ {
        (0..tile.sizes.iter().product::<u64>()).map(move |mut within| {
            let (mut raw, mut scale) = (0, 1);
            for side in (0..self.dimensions).rev() {
                raw += (tile.first[side] + within % tile.sizes[side]) * scale;
                within /= tile.sizes[side];
                scale *= self.lengths[side];
            }
            raw
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::space::Dimension;
    use super::*;
    use proptest::prelude::*;

    fn space(lengths: &[usize]) -> Space {
        let dimension = |length: &usize| Dimension {
            name: "x".to_owned(),
            values: vec![0.0; *length].into(),
        };
        Space::new(lengths.iter().map(dimension).collect(), Vec::new()).expect("a space")
    }

    #[test]
    fn there_are_no_more_tiles_than_the_cap_asks_for() {
        for (lengths, tiles) in [([50, 200], 20), ([100, 400], 80), ([250, 4000], 2000)] {
            assert_eq!(
                TileGrid::new(&space(&lengths), 500).len(),
                tiles,
                "{lengths:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn tiles_cover_every_set_once_in_order(
            lengths in prop::collection::vec(1_usize..30, 1..=3),
            cap in 1_u64..200,
        ) {
            let space = space(&lengths);
            let grid = TileGrid::new(&space, cap);
            prop_assert!(grid.sets_max() <= cap);
            let mut seen = Vec::new();
            for tile in 0..grid.len() {
                let sets: Vec<u64> = grid.raw_sets(grid.tile(tile)).collect();
                prop_assert!(sets.is_sorted() && sets.len() as u64 <= grid.sets_max());
                seen.extend(sets);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..space.raw_len()).collect::<Vec<u64>>());
        }
    }
}
