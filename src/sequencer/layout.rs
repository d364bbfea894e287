//! Which containers a phase has, and how they fall into tiles.

use crate::sweep::{Space, TileGrid};
use crate::topology::ParameterSet;
use admf_formats::units::PARAMETERS_MAX;

/// The containers of a phase.
#[derive(Clone, Debug)]
pub(super) enum Sets<'a> {
    /// The whole space, for each symbol: the symbol is the slowest dimension.
    Space { space: &'a Space, symbols: u64 },
    /// Handed over by an earlier phase, best first: symbol and values.
    Chosen(Vec<(u16, [f64; PARAMETERS_MAX])>),
}

impl Sets<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Sets::Space { space, symbols } => space.len() * symbols,
            Sets::Chosen(list) => list.len() as u64,
        }
    }

    /// The container of this index; none where there is no such one.
    pub(super) fn set(&self, index: u64) -> Option<ParameterSet> {
        let values = match self {
            _ if index >= self.len() => return None,
            Sets::Space { space, .. } => space.values(index % space.len()),
            Sets::Chosen(list) => list[index as usize].1,
        };
        Some(ParameterSet { index, values })
    }

    /// These containers, all of one symbol; gives that.
    pub(super) fn of(&self, containers: &[u64], into: &mut Vec<ParameterSet>) -> u16 {
        into.clear();
        into.extend(containers.iter().filter_map(|index| self.set(*index)));
        let first = containers.first().copied().unwrap_or(0);
        match self {
            Sets::Space { space, .. } => (first / space.len()) as u16,
            Sets::Chosen(list) => list[first as usize].0,
        }
    }
}

/// Containers cut into tiles; no tile has two symbols.
pub(super) struct Layout<'a> {
    sets: &'a Sets<'a>,
    grid: Option<TileGrid>,
    cap: u64,
}

impl<'a> Layout<'a> {
    pub(super) fn new(sets: &'a Sets<'a>, cap: u64) -> Layout<'a> {
        let grid = match sets {
            Sets::Space { space, .. } => Some(TileGrid::new(space, cap)),
            Sets::Chosen(_) => None,
        };
        Layout { sets, grid, cap }
    }

    pub(super) fn tiles(&self) -> u64 {
        match (self.sets, &self.grid) {
            (Sets::Space { symbols, .. }, Some(grid)) => grid.len() * symbols,
            _ => self.sets.len(),
        }
    }

    /// The tiles' grid, where the whole space is run.
    pub(super) const fn grid(&self) -> Option<&TileGrid> {
        self.grid.as_ref()
    }

    pub(super) fn sets_max(&self) -> u64 {
        self.grid
            .as_ref()
            .map_or(1, TileGrid::sets_max)
            .min(self.cap)
    }

    /// Sets that a worker's pool is made for. Where there are several tiles it is the tile that
    /// fits, not the largest there is, so that the peak is the same for any large sweep.
    pub(super) fn pool_sets(&self) -> u64 {
        match self.grid {
            Some(_) if self.tiles() > 1 => self.cap,
            Some(_) => self.sets_max(),
            None => 1,
        }
    }

    /// The containers of a tile that `wanted` says are to be run, in order of index.
    pub(super) fn tile(
        &self,
        tile: u64,
        wanted: impl Fn(u64) -> bool,
        into: &mut Vec<ParameterSet>,
    ) -> u16 {
        into.clear();
        match (self.sets, &self.grid) {
            (Sets::Space { space, .. }, Some(grid)) => {
                let symbol = tile / grid.len();
                // Neighbours have neighbouring numbers; looking one up is not cheap.
                let mut next: Option<(u64, u64)> = None;
                for raw in grid.raw_sets(grid.tile(tile % grid.len())) {
                    let known = next.filter(|(at, _)| *at == raw).map(|(_, rank)| rank);
                    let Some(values) = space.valid_values(raw) else {
                        next = known.map(|rank| (raw + 1, rank));
                        continue;
                    };
                    let rank = known.unwrap_or_else(|| space.index_of(raw));
                    next = Some((raw + 1, rank + 1));
                    let index = symbol * space.len() + rank;
                    if wanted(index) {
                        into.push(ParameterSet { index, values });
                    }
                }
                symbol as u16
            }
            (Sets::Chosen(list), _) => {
                let (symbol, values) = list[tile as usize];
                if wanted(tile) {
                    into.push(ParameterSet {
                        index: tile,
                        values,
                    });
                }
                symbol
            }
            (Sets::Space { .. }, None) => unreachable!("a space always has a grid"),
        }
    }
}
