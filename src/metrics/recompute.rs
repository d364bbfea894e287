//! Recomputing a container's totals from its trace and the bars.

use super::{BlockFigures, EquityFold, EquityPath, TradeFold};
use crate::Result;
use crate::market::{BarBlock, BarsFile};
use admf_formats::event::{AnyPayload, Stamp};
use admf_formats::result::{EquityTotals, TradeTotals};
use admf_formats::units::QUANTUM_BARS;

/// Folds a fully kept trace, event by event, in the memory of one block.
pub struct Recomputation<'a> {
    bars: &'a BarsFile,
    block: BarBlock,
    figures: BlockFigures,
    equity: EquityFold,
    trades: TradeFold,
    /// First bar of the window.
    first: u64,
    /// Next bar to fold.
    next: u64,
    end: u64,
}

impl<'a> Recomputation<'a> {
    /// Starts before bar `first` of a window that ends before `end`.
    pub fn new(
        bars: &'a BarsFile,
        path: EquityPath,
        capital: f64,
        first: u64,
        end: u64,
    ) -> Result<Recomputation<'a>> {
        let mut this = Recomputation {
            bars,
            block: BarBlock::new(),
            figures: BlockFigures::new(),
            equity: EquityFold::new(path, capital),
            trades: TradeFold::default(),
            first,
            next: first,
            end,
        };
        this.load(first)?;
        Ok(this)
    }

    fn load(&mut self, bar: u64) -> Result<()> {
        self.bars
            .read_quantum(bar / QUANTUM_BARS as u64, &mut self.block)?;
        let from = self.first.saturating_sub(self.block.first_bar) as usize;
        self.figures
            .build_from(&self.block.close[..self.block.bars], from);
        Ok(())
    }

    fn fold_to(&mut self, bar: u64) -> Result<()> {
        while self.next < bar {
            let block_end = self.block.first_bar + self.block.bars as u64;
            if self.next >= block_end {
                self.load(self.next)?;
                continue;
            }
            let until = bar.min(block_end);
            let at = |bar: u64| (bar - self.block.first_bar) as usize;
            let (first, end) = (at(self.next), at(until));
            self.equity.fold(
                first,
                end,
                &self.block.close[..self.block.bars],
                &self.figures,
            );
            self.next = until;
        }
        Ok(())
    }

    /// Takes the next event of the container.
    pub fn event(&mut self, stamp: &Stamp, payload: &AnyPayload) -> Result<()> {
        match payload {
            AnyPayload::PortfolioUpdate(update) => {
                self.fold_to(u64::from(stamp.bar).min(self.end))?;
                self.equity.change(update.units, update.cash);
            }
            AnyPayload::PositionClose(close) => self.trades.close(close),
            _ => {}
        }
        Ok(())
    }

    /// The totals at the end of the window.
    pub fn finish(mut self) -> Result<(EquityTotals, TradeTotals)> {
        self.fold_to(self.end)?;
        Ok((self.equity.totals(), *self.trades.totals()))
    }
}
