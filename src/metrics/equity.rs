//! Equity metrics: a fold over PORTFOLIO_UPDATE spans.
//!
//! Between two changes units and cash are constant, so equity at the close of bar i is
//! `cash + units * close[i]`. A span is folded piecewise, one piece per quantum, in order; the
//! pieces depend on the span and the quantum alone, never on how a run was tiled.

use super::block::{BlockFigures, Range};
use crate::kernel::{self, greater, lesser};
use admf_formats::result::EquityTotals;
use serde::{Deserialize, Serialize};

/// How a span's figures are taken. It follows from the configuration, never from observed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EquityPath {
    /// Cash is exactly zero while units are held (all in, fractional, long only): a bar's return
    /// is the price's own, taken from the block's prefix sums.
    AllIn,
    /// Every held bar is visited.
    PerBar,
}

/// The fold of one container's equity.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EquityFold {
    path: EquityPath,
    totals: EquityTotals,
    cash: f64,
    /// Equity at the last folded close.
    previous: f64,
    /// Units or cash changed and no bar was folded since.
    changed: bool,
    /// Whether equity at some close was zero or less.
    exhausted: bool,
    /// Closes since the peak, all below it; 0 at the peak.
    below: u64,
    /// Deepest of them, as a fraction of the peak.
    depth: f64,
}

impl EquityFold {
    /// A fold that starts flat with this capital.
    pub fn new(path: EquityPath, capital: f64) -> EquityFold {
        EquityFold {
            path,
            totals: EquityTotals {
                initial: capital,
                last: capital,
                peak: capital,
                ..EquityTotals::default()
            },
            cash: capital,
            previous: capital,
            changed: false,
            exhausted: false,
            below: 0,
            depth: 0.0,
        }
    }

    /// From the next bar on the container holds this.
    #[inline]
    pub fn change(&mut self, units: f64, cash: f64) {
        self.totals.units = units;
        self.cash = cash;
        self.changed = true;
    }

    /// The same fold, whose path is known to be this one.
    #[inline(always)]
    #[must_use]
    pub fn known(self, path: EquityPath) -> EquityFold {
        debug_assert_eq!(self.path, path);
        EquityFold { path, ..self }
    }

    /// How spans are folded.
    #[inline(always)]
    pub const fn path(&self) -> EquityPath {
        self.path
    }

    /// Whether equity was zero or less at some close: returns mean nothing from there on.
    pub const fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Equity at the last folded close.
    pub const fn equity(&self) -> f64 {
        self.previous
    }

    /// What was folded so far.
    pub fn totals(&self) -> EquityTotals {
        let mut totals = self.totals;
        totals.last = self.previous;
        // A run below the peak that has not ended counts as it stands.
        totals.drawdowns += u64::from(self.below > 0);
        totals.drawdown_sum += self.depth;
        totals.drawdown_bars_max = totals.drawdown_bars_max.max(self.below);
        totals
    }

    /// Folds the bars of the block from offset `first` up to but without `end`. Gives their extremes
    /// where units are held.
    #[inline(always)]
    pub fn fold(
        &mut self,
        first: usize,
        end: usize,
        closes: &[f64],
        figures: &BlockFigures,
    ) -> Option<Range> {
        if first >= end {
            return None;
        }
        if self.totals.units == 0.0 {
            self.fold_flat((end - first) as u64);
            return None;
        }
        Some(self.fold_held(first, end, closes, figures))
    }

    /// Folds so many bars while nothing is held.
    #[inline(always)]
    pub fn fold_flat(&mut self, bars: u64) {
        if bars == 0 {
            return;
        }
        self.totals.bars += bars;
        if self.changed {
            self.mark(self.cash);
            self.changed = false;
            self.extend_drawdown(bars - 1);
        } else {
            self.extend_drawdown(bars);
        }
    }

    /// As [`EquityFold::fold`], of at least one bar, while units are held.
    #[inline(always)]
    pub fn fold_held(
        &mut self,
        first: usize,
        end: usize,
        closes: &[f64],
        figures: &BlockFigures,
    ) -> Range {
        let bars = (end - first) as u64;
        self.totals.bars += bars;
        self.totals.bars_in_market += bars;
        let range = figures.range(first, end - 1);
        match self.path {
            EquityPath::AllIn => self.fold_all_in(first, end, closes, figures, &range),
            EquityPath::PerBar => self.fold_per_bar(&closes[first..end], &range),
        }
        range
    }

    /// Folds one bar's equity.
    #[inline]
    fn mark(&mut self, equity: f64) {
        self.add_return(equity / self.previous - 1.0);
        self.mark_extremes(equity);
        self.previous = equity;
    }

    #[inline]
    fn add_return(&mut self, change: f64) {
        let down = lesser(0.0, change);
        self.totals.return_sum += change;
        self.totals.return_square_sum += change * change;
        self.totals.downside_square_sum += down * down;
    }

    #[inline]
    fn mark_extremes(&mut self, equity: f64) {
        if equity >= self.totals.peak {
            self.recover();
            self.totals.peak = equity;
        } else {
            self.fall(1, 1.0 - equity / self.totals.peak);
        }
        self.exhausted |= equity <= 0.0;
    }

    /// So many more closes at the same equity.
    #[inline(always)]
    fn extend_drawdown(&mut self, bars: u64) {
        if self.below > 0 {
            self.below += bars;
        }
    }

    /// So many more closes below the peak, the deepest of them this deep.
    #[inline(always)]
    fn fall(&mut self, bars: u64, depth: f64) {
        self.below += bars;
        self.depth = greater(self.depth, depth);
        self.totals.drawdown_max = greater(self.totals.drawdown_max, depth);
    }

    /// A close at the peak or above ends the run below it.
    #[inline]
    fn recover(&mut self) {
        if self.below > 0 {
            self.totals.drawdowns += 1;
            self.totals.drawdown_sum += self.depth;
            self.totals.drawdown_bars_max = self.totals.drawdown_bars_max.max(self.below);
            (self.below, self.depth) = (0, 0.0);
        }
    }

    #[inline(always)]
    fn fold_all_in(
        &mut self,
        first: usize,
        end: usize,
        closes: &[f64],
        figures: &BlockFigures,
        range: &Range,
    ) {
        let units = self.totals.units;
        // The bar before the piece lies under another span or in another block.
        self.add_return(units * closes[first] / self.previous - 1.0);
        self.changed = false;
        let [sum, square, down] = figures.return_sums(first + 1, end);
        self.totals.return_sum += sum;
        self.totals.return_square_sum += square;
        self.totals.downside_square_sum += down;
        if units * range.max < self.totals.peak {
            let depth = 1.0 - units * range.min / self.totals.peak;
            self.fall((end - first) as u64, depth);
        } else {
            self.aside(|fold| fold.climb(first, end, closes, figures));
        }
        self.previous = units * closes[end - 1];
    }

    /// Has a copy changed and takes it, but for the path: the fold itself may lie in registers.
    #[inline(always)]
    fn aside(&mut self, change: impl FnOnce(&mut EquityFold)) {
        let mut copy = *self;
        change(&mut copy);
        *self = copy.known(self.path);
    }

    /// A piece that reaches the peak: from there on only closes that are not below all before them
    /// in the piece are visited.
    #[inline(never)]
    fn climb(&mut self, first: usize, end: usize, closes: &[f64], figures: &BlockFigures) {
        let (units, peak) = (self.totals.units, self.totals.peak);
        // Not below the peak is above the number right below the peak.
        let (below, none) = (peak.next_down(), f64::NEG_INFINITY);
        let mut at = kernel::next_extreme(&closes[..end], first, units, 0.0, below, none);
        if at > first {
            let low = figures.range(first, at - 1).min;
            self.fall((at - first) as u64, 1.0 - units * low / peak);
        }
        loop {
            self.recover();
            let (next, depth) = figures.recovery(at);
            if next >= end {
                break;
            }
            if next > at + 1 {
                self.fall((next - at - 1) as u64, depth);
            }
            at = next;
        }
        self.totals.peak = units * closes[at];
        if at + 1 < end {
            let low = figures.range(at + 1, end - 1).min;
            self.fall((end - at - 1) as u64, 1.0 - low / closes[at]);
        }
    }

    #[inline(always)]
    fn fold_per_bar(&mut self, closes: &[f64], range: &Range) {
        let (units, cash) = (self.totals.units, self.cash);
        // The bar before is the last one folded, in this block or the one before.
        self.add_return((cash + units * closes[0]) / self.previous - 1.0);
        self.changed = false;
        let [sum, square, down] = kernel::return_sums(closes, units, cash);
        self.totals.return_sum += sum;
        self.totals.return_square_sum += square;
        self.totals.downside_square_sum += down;
        // Equity rises or falls with the close: its best and its worst are at the closes' extremes.
        let (best, worst) = if units > 0.0 {
            (range.max, range.min)
        } else {
            (range.min, range.max)
        };
        if cash + units * best < self.totals.peak {
            let equity = cash + units * worst;
            self.fall(closes.len() as u64, 1.0 - equity / self.totals.peak);
            self.exhausted |= equity <= 0.0;
        } else {
            self.aside(|fold| fold.mark_curve(closes, units, cash));
        }
        self.previous = cash + units * closes[closes.len() - 1];
    }

    /// Extremes of every bar of a curve: as [`EquityFold::mark_extremes`] bar by bar, but a run
    /// below the peak is found and measured as a whole.
    #[inline(never)]
    fn mark_curve(&mut self, closes: &[f64], units: f64, cash: f64) {
        let mut from = 0;
        while from < closes.len() {
            // Not below the peak is above the number right below the peak.
            let peak = self.totals.peak.next_down();
            let at = kernel::next_extreme(closes, from, units, cash, peak, f64::NEG_INFINITY);
            if at > from {
                // The worst close is the deepest.
                let worst = if units > 0.0 {
                    kernel::lowest(&closes[from..at])
                } else {
                    kernel::highest(&closes[from..at])
                };
                let equity = cash + units * worst;
                self.fall((at - from) as u64, 1.0 - equity / self.totals.peak);
                self.exhausted |= equity <= 0.0;
            }
            if at < closes.len() {
                self.mark_extremes(cash + units * closes[at]);
            }
            from = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two passes over the whole equity curve.
    fn brute(equity: &[f64], capital: f64) -> [f64; 7] {
        let mut before = vec![capital];
        before.extend(equity);
        let returns: Vec<f64> = before
            .windows(2)
            .map(|pair| pair[1] / pair[0] - 1.0)
            .collect();
        let mut peak = capital;
        let drawdowns: Vec<f64> = equity
            .iter()
            .map(|&value| {
                peak = peak.max(value);
                1.0 - value / peak
            })
            .collect();
        let runs: Vec<&[f64]> = drawdowns
            .split(|drawdown| *drawdown == 0.0)
            .filter(|run| !run.is_empty())
            .collect();
        let deepest = |run: &[f64]| run.iter().copied().fold(0.0, f64::max);
        [
            returns.iter().sum(),
            returns.iter().map(|r| r * r).sum(),
            returns.iter().map(|r| r.min(0.0).powi(2)).sum(),
            deepest(&drawdowns),
            runs.len() as f64,
            runs.iter().map(|run| deepest(run)).sum(),
            runs.iter().map(|run| run.len() as f64).fold(0.0, f64::max),
        ]
    }

    fn close_to(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
    }

    proptest! {
        #[test]
        fn both_paths_equal_two_passes_over_the_curve(
            // Whole numbers, so that closes at the peak are common.
            closes in prop::collection::vec((50..150_i32).prop_map(f64::from), 3..500),
            cuts in prop::collection::vec(0.01..1.0_f64, 1..6),
            short in any::<bool>(),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| 1 + (c * (closes.len() - 1) as f64) as usize).collect();
            cuts.push(closes.len());
            cuts.sort_unstable();
            cuts.dedup();
            for path in [EquityPath::AllIn, EquityPath::PerBar] {
                let mut figures = BlockFigures::new();
                figures.build(&closes, &closes, &closes);
                let mut fold = EquityFold::new(path, 1000.0);
                let mut curve = Vec::new();
                let (mut first, mut units, mut cash) = (0, 0.0, 1000.0);
                for &cut in &cuts {
                    fold.fold(first, cut, &closes, &figures);
                    curve.extend(closes[first..cut].iter().map(|close| cash + units * close));
                    if cut < closes.len() {
                        if units != 0.0 {
                            cash += units * closes[cut - 1];
                            units = 0.0;
                        } else if path == EquityPath::AllIn {
                            units = cash / closes[cut - 1];
                            cash = 0.0;
                        } else {
                            units = if short { -2.0 } else { 3.0 };
                            cash -= units * closes[cut - 1];
                        }
                        fold.change(units, cash);
                    }
                    first = cut;
                }
                let totals = fold.totals();
                let folded = [
                    totals.return_sum,
                    totals.return_square_sum,
                    totals.downside_square_sum,
                    totals.drawdown_max,
                    totals.drawdowns as f64,
                    totals.drawdown_sum,
                    totals.drawdown_bars_max as f64,
                ];
                for (folded, brute) in folded.into_iter().zip(brute(&curve, 1000.0)) {
                    prop_assert!(close_to(folded, brute), "{path:?}: {folded} is not {brute}");
                }
                prop_assert!(close_to(totals.last, curve[curve.len() - 1]));
                prop_assert_eq!(totals.bars, closes.len() as u64);
            }
        }
    }
}
