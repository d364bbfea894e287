//! Recomputing a container's totals from its trace and the bars.

use super::{BlockFigures, EquityFold, EquityPath, ExecutionFold, TradeFold};
use crate::Result;
use crate::market::{BarBlock, BarsFile};
use admf_formats::event::{AnyPayload, Stamp};
use admf_formats::result::{EquityTotals, ExecutionTotals, ResultRecord, TradeTotals};
use admf_formats::units::QUANTUM_BARS;

/// Every total of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Totals {
    /// Of PORTFOLIO_UPDATE spans.
    pub equity: EquityTotals,
    /// Of POSITION_CLOSE.
    pub trades: TradeTotals,
    /// Of orders, fills and fees.
    pub execution: ExecutionTotals,
}

impl Totals {
    /// Puts them into a record in place of its own.
    pub fn put_into(self, record: &mut ResultRecord) {
        record.equity = self.equity;
        record.trades = self.trades;
        record.execution = self.execution;
    }
}

/// Folds a fully kept trace, event by event, in the memory of one block.
pub struct Recomputation<'a> {
    bars: &'a BarsFile,
    block: BarBlock,
    figures: BlockFigures,
    equity: EquityFold,
    trades: TradeFold,
    /// First bar of the window.
    first: u64,
    execution: ExecutionFold,
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
            execution: ExecutionFold::default(),
            next: first,
            end,
        };
        this.load(first)?;
        Ok(this)
    }

    fn load(&mut self, bar: u64) -> Result<()> {
        self.bars
            .read_quantum(bar / QUANTUM_BARS as u64, &mut self.block)?;
        let bars = self.block.bars;
        let from = self.first.saturating_sub(self.block.first_bar) as usize;
        self.figures.build_from(
            &self.block.low[..bars],
            &self.block.high[..bars],
            &self.block.close[..bars],
            from,
        );
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
                self.execution.update(update);
            }
            AnyPayload::PositionClose(close) => self.trades.close(stamp.bar, close),
            AnyPayload::Fill(fill) => self.execution.fill(fill),
            AnyPayload::Order(_) => self.execution.order(stamp.code),
            AnyPayload::Accrual(accrual) => self.execution.accrual(accrual),
            AnyPayload::RiskBreach(_) => self.execution.breach(),
            _ => {}
        }
        Ok(())
    }

    /// The totals at the end of the window.
    pub fn finish(mut self) -> Result<Totals> {
        self.fold_to(self.end)?;
        Ok(Totals {
            equity: self.equity.totals(),
            trades: *self.trades.totals(),
            execution: *self.execution.totals(),
        })
    }
}
