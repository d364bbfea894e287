//! A phase that trades on several pieces of the data: each piece is a part of its own, and the
//! parts' records are put together, container by container, in the memory of one.
//!
//! Every piece starts flat with the initial capital. Together the second goes on with the equity
//! that the first left: returns and trades add up, growth multiplies. A drawdown does not reach
//! across the gap.

use super::phase::{Outcome, PhaseRun};
use crate::results::{PhaseDir, RecordReader, Records};
use crate::segment::{ArchiveReader, ArchiveRecords};
use crate::{Error, Result};
use admf_formats::archive::{CONTAINERS_PER_ARCHIVE, file_name};
use admf_formats::report::SymbolWindow;
use admf_formats::result::{
    EquityTotals, ExecutionTotals, Ledger, ResultRecord, Status, TradeTotals,
};
use std::ops::Range;
use std::path::PathBuf;

/// Folder of a part, from 0.
pub(super) fn folder(part: usize) -> String {
    format!("part_{}", part + 1)
}

/// Records of one part, looked up in rising order.
struct Part {
    traces: PathBuf,
    open: Option<(u64, ArchiveReader)>,
}

impl Part {
    fn record(&mut self, index: u64) -> Result<ResultRecord> {
        let range = index / CONTAINERS_PER_ARCHIVE;
        if self.open.as_ref().is_none_or(|(open, _)| *open != range) {
            let path = self.traces.join(file_name(range));
            self.open = Some((range, ArchiveReader::open(&path)?));
        }
        let slot = match &self.open {
            Some((_, archive)) => archive.slot(index)?,
            None => None,
        };
        slot.map(|slot| slot.record).ok_or_else(|| Error::Results {
            path: self.traces.clone(),
            message: format!("container {} is missing; run again to continue", index + 1),
        })
    }
}

/// The records of all parts, container by container.
struct Joined<'a> {
    first: ArchiveRecords<'a>,
    others: Vec<PathBuf>,
}

impl Records for Joined<'_> {
    fn reader(&self) -> Box<dyn RecordReader + '_> {
        let part = |traces: &PathBuf| Part {
            traces: traces.clone(),
            open: None,
        };
        Box::new(JoiningReader {
            first: self.first.reader(),
            others: self.others.iter().map(part).collect(),
        })
    }
}

struct JoiningReader<'a> {
    first: Box<dyn RecordReader + 'a>,
    others: Vec<Part>,
}

impl RecordReader for JoiningReader<'_> {
    fn read(&mut self, indices: Range<u64>, each: &mut dyn FnMut(&ResultRecord)) -> Result<()> {
        let mut outcome = Ok(());
        let others = &mut self.others;
        self.first.read(indices, &mut |first| {
            if outcome.is_err() {
                return;
            }
            let mut parts = others.iter_mut();
            let joined = parts.try_fold(*first, |joined, part| {
                Ok(join(&joined, &part.record(first.index)?))
            });
            match joined {
                Ok(joined) => each(&joined),
                Err(error) => outcome = Err(error),
            }
        })?;
        outcome
    }
}

/// Puts the parts below `folder` together and writes the aggregate and the summary of the whole.
pub(super) fn merge(
    run: &PhaseRun<'_>,
    whole: &PhaseDir,
    parts: usize,
    windows: Vec<SymbolWindow>,
) -> Result<Outcome> {
    let traces = |part: usize| whole.path().join(folder(part)).join("traces");
    let first = traces(0);
    let joined = Joined {
        first: ArchiveRecords(&first),
        others: (1..parts).map(traces).collect(),
    };
    let mut aggregator = run.aggregator();
    aggregator.fold(&joined, 0..run.plan.containers, run.room())?;
    let aggregate = aggregator.report();
    let mut summary = run.summary(&aggregator, aggregate.failed)?;
    summary.window = windows;
    whole.write_reports(&aggregate, &summary)?.publish()?;
    Ok(Outcome {
        best: aggregator.best().copied().collect(),
        handed_over: Vec::new(),
        unmet: aggregator.unmet(),
        aggregate,
    })
}

/// A container's records of two pieces as one.
fn join(first: &ResultRecord, second: &ResultRecord) -> ResultRecord {
    let is_completed = first.is_completed() && second.is_completed();
    let (a, b) = (&first.equity, &second.equity);
    let scale = a.last / b.initial;
    let (x, y) = (&first.trades, &second.trades);
    let (l, m) = (&first.ledger, &second.ledger);
    let (e, f) = (&first.execution, &second.execution);
    ResultRecord {
        // The time between the pieces is not part of the years that growth is spread over.
        last_ts_ns: first.last_ts_ns + (second.last_ts_ns - second.first_ts_ns),
        events: first.events + second.events,
        status: if is_completed {
            Status::Completed as u32
        } else {
            Status::Failed as u32
        },
        equity: EquityTotals {
            bars: a.bars + b.bars,
            bars_in_market: a.bars_in_market + b.bars_in_market,
            return_sum: a.return_sum + b.return_sum,
            return_square_sum: a.return_square_sum + b.return_square_sum,
            downside_square_sum: a.downside_square_sum + b.downside_square_sum,
            initial: a.initial,
            last: b.last * scale,
            peak: a.peak.max(b.peak * scale),
            drawdown_max: a.drawdown_max.max(b.drawdown_max),
            units: b.units,
            drawdowns: a.drawdowns + b.drawdowns,
            drawdown_sum: a.drawdown_sum + b.drawdown_sum,
            drawdown_bars_max: a.drawdown_bars_max.max(b.drawdown_bars_max),
        },
        trades: TradeTotals {
            trades: x.trades + y.trades,
            winning: x.winning + y.winning,
            losing: x.losing + y.losing,
            gross_profit: x.gross_profit + y.gross_profit * scale,
            gross_loss: x.gross_loss + y.gross_loss * scale,
            pnl: x.pnl + y.pnl * scale,
            commission: x.commission + y.commission * scale,
            pnl_square_sum: x.pnl_square_sum + y.pnl_square_sum * scale * scale,
            bars_held: x.bars_held + y.bars_held,
            mae_sum: x.mae_sum + y.mae_sum,
            mfe_sum: x.mfe_sum + y.mfe_sum,
            mae_max: x.mae_max.max(y.mae_max),
        },
        execution: ExecutionTotals {
            fills: e.fills + f.fills,
            rejected: e.rejected + f.rejected,
            unfilled: e.unfilled + f.unfilled,
            breaches: e.breaches + f.breaches,
            turnover: e.turnover + f.turnover,
            commission: e.commission + f.commission * scale,
            slippage: e.slippage + f.slippage * scale,
            borrow: e.borrow + f.borrow * scale,
        },
        ledger: Ledger {
            attempted: l.attempted + m.attempted,
            retained: l.retained + m.retained,
            recycled_trade_closed: l.recycled_trade_closed + m.recycled_trade_closed,
            recycled_window: l.recycled_window + m.recycled_window,
            dropped_without_trade: l.dropped_without_trade + m.dropped_without_trade,
            dropped_at_cap: l.dropped_at_cap + m.dropped_at_cap,
        },
        ..*first
    }
}
