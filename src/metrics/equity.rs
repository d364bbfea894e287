//! Equity metrics: a fold over PORTFOLIO_UPDATE spans.
//!
//! Between two changes units and cash are constant, so equity at the close of bar i is
//! `cash + units * close[i]`. A span is folded piecewise, one piece per quantum, in order; the
//! pieces depend on the span and the quantum alone, never on how a run was tiled.

use super::block::BlockFigures;
use crate::kernel;
use admf_formats::result::EquityTotals;

/// How a span's figures are taken. It follows from the configuration, never from observed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EquityPath {
    /// Cash is exactly zero while units are held (all in, fractional, long only): a bar's return
    /// is the price's own, taken from the block's prefix sums.
    AllIn,
    /// Every held bar is visited.
    PerBar,
}

/// The fold of one container's equity.
#[derive(Clone, Copy, Debug)]
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
        }
    }

    /// From the next bar on the container holds this.
    #[inline]
    pub fn change(&mut self, units: f64, cash: f64) {
        self.totals.units = units;
        self.cash = cash;
        self.changed = true;
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
        EquityTotals {
            last: self.previous,
            ..self.totals
        }
    }

    /// Folds the bars of the block from offset `first` up to but without `end`.
    #[inline]
    pub fn fold(&mut self, first: usize, end: usize, closes: &[f64], figures: &BlockFigures) {
        if first >= end {
            return;
        }
        self.totals.bars += (end - first) as u64;
        if self.totals.units == 0.0 {
            if self.changed {
                self.mark(self.cash);
                self.changed = false;
            }
            return;
        }
        self.totals.bars_in_market += (end - first) as u64;
        match self.path {
            EquityPath::AllIn => self.fold_all_in(first, end, closes, figures),
            EquityPath::PerBar => self.fold_per_bar(first, end, closes),
        }
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
        let down = change.min(0.0);
        self.totals.return_sum += change;
        self.totals.return_square_sum += change * change;
        self.totals.downside_square_sum += down * down;
    }

    #[inline]
    fn mark_extremes(&mut self, equity: f64) {
        if equity > self.totals.peak {
            self.totals.peak = equity;
        } else {
            let drawdown = 1.0 - equity / self.totals.peak;
            self.totals.drawdown_max = self.totals.drawdown_max.max(drawdown);
        }
        self.exhausted |= equity <= 0.0;
    }

    #[inline]
    fn fold_all_in(&mut self, first: usize, end: usize, closes: &[f64], figures: &BlockFigures) {
        let units = self.totals.units;
        // The bar before the piece lies under another span or in another block.
        self.add_return(units * closes[first] / self.previous - 1.0);
        self.changed = false;
        let [sum, square, down] = figures.return_sums(first + 1, end);
        self.totals.return_sum += sum;
        self.totals.return_square_sum += square;
        self.totals.downside_square_sum += down;
        // max over i of 1 - u c_i / max(peak, u max c) splits into the run's own drawdown and its
        // lowest close against the peak before it.
        let extent = figures.extent(first, end - 1, closes);
        let under_peak = 1.0 - units * extent.min / self.totals.peak;
        self.totals.drawdown_max = self
            .totals
            .drawdown_max
            .max(extent.drawdown)
            .max(under_peak);
        self.totals.peak = self.totals.peak.max(units * extent.max);
        self.previous = units * closes[end - 1];
    }

    fn fold_per_bar(&mut self, first: usize, end: usize, closes: &[f64]) {
        let (units, cash, closes) = (self.totals.units, self.cash, &closes[first..end]);
        // The bar before is the last one folded, in this block or the one before.
        self.add_return((cash + units * closes[0]) / self.previous - 1.0);
        self.changed = false;
        let [sum, square, down] = kernel::return_sums(closes, units, cash);
        self.totals.return_sum += sum;
        self.totals.return_square_sum += square;
        self.totals.downside_square_sum += down;
        self.mark_curve(closes, units, cash);
        self.previous = cash + units * closes[closes.len() - 1];
    }

    /// Extremes of every bar of a curve: as [`EquityFold::mark_extremes`] bar by bar, but visiting
    /// only bars that can change them.
    fn mark_curve(&mut self, closes: &[f64], units: f64, cash: f64) {
        let mut from = 0;
        loop {
            let (peak, deepest) = (self.totals.peak, self.totals.drawdown_max);
            // At or below this a bar may deepen the drawdown; the margin is wider than what three
            // roundings can be off, so that no bar is missed. Zero and less is always looked at.
            let floor = (peak * (1.0 - deepest) * (1.0 + 4.0 * f64::EPSILON)).max(0.0);
            let at = kernel::next_extreme(closes, from, units, cash, peak, floor);
            if at == closes.len() {
                return;
            }
            self.mark_extremes(cash + units * closes[at]);
            from = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two passes over the whole equity curve.
    fn brute(equity: &[f64], capital: f64) -> (f64, f64, f64, f64) {
        let mut before = vec![capital];
        before.extend(equity);
        let returns: Vec<f64> = before
            .windows(2)
            .map(|pair| pair[1] / pair[0] - 1.0)
            .collect();
        let mut peak = capital;
        let mut drawdown = 0.0_f64;
        for &value in equity {
            peak = peak.max(value);
            drawdown = drawdown.max(1.0 - value / peak);
        }
        (
            returns.iter().sum(),
            returns.iter().map(|r| r * r).sum(),
            returns.iter().map(|r| r.min(0.0).powi(2)).sum(),
            drawdown,
        )
    }

    fn close_to(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
    }

    proptest! {
        #[test]
        fn both_paths_equal_two_passes_over_the_curve(
            closes in prop::collection::vec(50.0..150.0_f64, 3..500),
            cuts in prop::collection::vec(0.01..1.0_f64, 1..6),
            short in any::<bool>(),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| 1 + (c * (closes.len() - 1) as f64) as usize).collect();
            cuts.push(closes.len());
            cuts.sort_unstable();
            cuts.dedup();
            for path in [EquityPath::AllIn, EquityPath::PerBar] {
                let mut figures = BlockFigures::new();
                figures.build(&closes);
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
                let (sum, square, down, drawdown) = brute(&curve, 1000.0);
                prop_assert!(close_to(totals.return_sum, sum));
                prop_assert!(close_to(totals.return_square_sum, square));
                prop_assert!(close_to(totals.downside_square_sum, down));
                prop_assert!(close_to(totals.drawdown_max, drawdown));
                prop_assert!(close_to(totals.last, curve[curve.len() - 1]));
                prop_assert_eq!(totals.bars, closes.len() as u64);
            }
        }
    }
}
