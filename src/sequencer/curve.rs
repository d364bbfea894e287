//! The stitched out-of-sample curve: one container at a time, told again, expanded bar by bar.
//!
//! Memory is one block of bars, whatever the length: each bar is folded and written to the file as
//! it comes. Equity of a segment is the container's equity times what the segment before left over
//! the container's capital.

use super::phase::{RunSettings, Symbol};
use super::{Phase, Piece};
use crate::container::{Container, Sink, Span};
use crate::market::{BarBlock, BarsFile};
use crate::metrics::{ExecutionFold, TradeFold};
use crate::topology::{Job, ParameterSet, TileEnd, TileSink, Worker};
use crate::{Error, Result};
use admf_formats::event::{AnyPayload, EventKind, Payload, Stamp};
use admf_formats::report::{CurveReport, curve_metrics};
use admf_formats::result::{EquityTotals, ExecutionTotals, TradeTotals};
use admf_formats::units::{PARAMETERS_MAX, QUANTUM_BARS, rfc3339};
use std::io::{self, Write};

/// An equity curve, folded.
#[derive(Clone, Copy, Debug)]
struct Fold {
    totals: EquityTotals,
    trades: TradeTotals,
    execution: ExecutionTotals,
    /// Closes since the peak, all below it, and the deepest of them.
    below: u64,
    depth: f64,
    /// Equity where the segment began, over what the segment counts in.
    scale: f64,
    first_ts: Option<i64>,
    last_ts: Option<i64>,
}

impl Fold {
    fn new(capital: f64) -> Fold {
        Fold {
            totals: EquityTotals {
                initial: capital,
                last: capital,
                peak: capital,
                ..EquityTotals::default()
            },
            trades: TradeTotals::default(),
            execution: ExecutionTotals::default(),
            below: 0,
            depth: 0.0,
            scale: 1.0,
            first_ts: None,
            last_ts: None,
        }
    }

    /// Begins a segment whose own equity is `capital` before its first bar.
    fn begin(&mut self, capital: f64) {
        self.scale = self.totals.last / capital;
    }

    /// Takes the segment's own equity at a close, and gives the curve's and its return. What is lost
    /// stays lost: from an equity of zero on, nothing is earned.
    fn push(&mut self, ts_ns: i64, own: f64, holds: bool) -> (f64, f64) {
        let totals = &mut self.totals;
        let equity = if totals.last > 0.0 {
            (own * self.scale).max(0.0)
        } else {
            0.0
        };
        let change = if totals.last > 0.0 {
            equity / totals.last - 1.0
        } else {
            0.0
        };
        let down = change.min(0.0);
        totals.bars += 1;
        totals.bars_in_market += u64::from(holds);
        totals.return_sum += change;
        totals.return_square_sum += change * change;
        totals.downside_square_sum += down * down;
        totals.last = equity;
        if equity >= totals.peak {
            *totals = closed_run(totals, self.below, self.depth);
            totals.peak = equity;
            (self.below, self.depth) = (0, 0.0);
        } else {
            let depth = 1.0 - equity / totals.peak;
            self.below += 1;
            self.depth = self.depth.max(depth);
            totals.drawdown_max = totals.drawdown_max.max(depth);
        }
        self.first_ts.get_or_insert(ts_ns);
        self.last_ts = Some(ts_ns);
        (equity, change)
    }

    /// Adds the segment's own trades, in the curve's money.
    fn add_trades(&mut self, own: &TradeTotals) {
        let trades = &mut self.trades;
        trades.trades += own.trades;
        trades.winning += own.winning;
        trades.losing += own.losing;
        trades.gross_profit += own.gross_profit * self.scale;
        trades.gross_loss += own.gross_loss * self.scale;
        trades.pnl += own.pnl * self.scale;
        trades.commission += own.commission * self.scale;
        trades.pnl_square_sum += own.pnl_square_sum * self.scale * self.scale;
        trades.bars_held += own.bars_held;
        trades.mae_sum += own.mae_sum;
        trades.mfe_sum += own.mfe_sum;
        trades.mae_max = trades.mae_max.max(own.mae_max);
    }

    /// Adds what the segment's own orders came to, in the curve's money.
    fn add_execution(&mut self, own: &ExecutionTotals) {
        let execution = &mut self.execution;
        execution.fills += own.fills;
        execution.rejected += own.rejected;
        execution.unfilled += own.unfilled;
        execution.breaches += own.breaches;
        execution.turnover += own.turnover;
        execution.commission += own.commission * self.scale;
        execution.slippage += own.slippage * self.scale;
        execution.borrow += own.borrow * self.scale;
    }

    fn report(&self, bars_per_year: f64) -> CurveReport {
        CurveReport {
            bars: self.totals.bars,
            first: self.first_ts.and_then(rfc3339),
            last: self.last_ts.and_then(rfc3339),
            metrics: curve_metrics(
                closed_run(&self.totals, self.below, self.depth),
                self.trades,
                self.execution,
                [self.first_ts, self.last_ts].map(Option::unwrap_or_default),
                bars_per_year,
            ),
        }
    }
}

/// The totals with one more run of closes below the peak, if there is one.
fn closed_run(totals: &EquityTotals, below: u64, depth: f64) -> EquityTotals {
    EquityTotals {
        drawdowns: totals.drawdowns + u64::from(below > 0),
        drawdown_sum: totals.drawdown_sum + depth,
        drawdown_bars_max: totals.drawdown_bars_max.max(below),
        ..*totals
    }
}

/// What a segment of the curve holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Index of the symbol.
    pub(super) symbol: u16,
    /// Its bars.
    pub(super) piece: Piece,
    /// The parameters; none where nothing is held.
    pub(super) values: Option<[f64; PARAMETERS_MAX]>,
}

/// One bar of the curve.
pub(super) struct CurveBar<'a> {
    ts_ns: i64,
    window: &'a str,
    /// Equity at the close.
    equity: f64,
    /// The benchmark's.
    benchmark: f64,
    /// Return of the bar.
    pub(super) change: f64,
}

/// Hears a curve as it grows.
pub(super) trait Listener {
    /// One more bar.
    fn bar(&mut self, _: &CurveBar<'_>) -> io::Result<()> {
        Ok(())
    }

    /// One more closed trade: what it made of the equity that all trades of its segment before it
    /// left.
    fn trade(&mut self, _: f64) -> io::Result<()> {
        Ok(())
    }
}

/// Hears nothing: the folded figures are enough.
pub(super) struct Deaf;

impl Listener for Deaf {}

/// Writes the bars as rows.
pub(super) struct Rows<W: Write>(W);

impl<W: Write> Rows<W> {
    /// Begins with the names of the columns.
    pub(super) fn new(mut out: W) -> io::Result<Rows<W>> {
        out.write_all(b"time,window,equity,buy_and_hold\n")?;
        Ok(Rows(out))
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Listener for Rows<W> {
    fn bar(&mut self, bar: &CurveBar<'_>) -> io::Result<()> {
        let time = rfc3339(bar.ts_ns).unwrap_or_default();
        writeln!(
            self.0,
            "{time},{},{},{}",
            bar.window, bar.equity, bar.benchmark
        )
    }
}

/// The stitched curve and its benchmark, told as they grow.
pub(super) struct Curve<L: Listener> {
    strategy: Fold,
    benchmark: Fold,
    worker: Worker,
    out: L,
}

impl<L: Listener> Curve<L> {
    /// A curve that begins with this capital.
    pub(super) fn new(capital: f64, out: L) -> Curve<L> {
        Curve {
            strategy: Fold::new(capital),
            benchmark: Fold::new(capital),
            worker: Worker::new(1),
            out,
        }
    }

    /// Bytes that it keeps, the columns of one set apart.
    pub(super) const fn bytes() -> u64 {
        (Worker::bytes(Container::BYTES_MAX) + 2 * 8 * 7 * QUANTUM_BARS) as u64
    }

    /// Appends a segment.
    pub(super) fn push(
        &mut self,
        settings: &RunSettings<'_>,
        phase: &Phase,
        window: &str,
        segment: Segment,
    ) -> Result<()> {
        let symbol = &settings.symbols[segment.symbol as usize];
        let span = segment.piece.span;
        let capital = phase.container.portfolio.initial_capital;
        self.strategy.begin(capital);
        self.benchmark.begin(close_before(symbol, span)?);
        let mut teller = Teller {
            bars: &symbol.bars,
            block: BarBlock::new(),
            next: span.first,
            end: span.end,
            units: 0.0,
            cash: capital,
            strategy: &mut self.strategy,
            benchmark: &mut self.benchmark,
            trades: TradeFold::default(),
            execution: ExecutionFold::default(),
            realized: capital,
            window,
            out: &mut self.out,
            error: None,
        };
        if let Some(values) = segment.values {
            let job = Job {
                strategy: settings.strategy,
                rules: &phase.container,
                bars: &symbol.bars,
                symbol: segment.symbol,
                span,
                features_from: segment.piece.features_from(phase.warmup),
                bars_per_year: symbol.bars_per_year,
                stop: settings.stop,
            };
            let set = ParameterSet { index: 0, values };
            if self.worker.run_tile(job, &[set], &mut teller)? == TileEnd::Stopped {
                return Err(Error::Interrupted {
                    finished: settings.finished.load(std::sync::atomic::Ordering::Relaxed),
                });
            }
        }
        teller.tell_to(span.end)?;
        let (trades, execution) = (*teller.trades.totals(), *teller.execution.totals());
        self.strategy.add_trades(&trades);
        self.strategy.add_execution(&execution);
        Ok(())
    }

    /// The reports of the curve and of its benchmark, and what heard it.
    pub(super) fn finish(self, bars_per_year: f64) -> (CurveReport, CurveReport, L) {
        (
            self.strategy.report(bars_per_year),
            self.benchmark.report(bars_per_year),
            self.out,
        )
    }
}

/// The close before a span, or the first one of it where the data begins there.
fn close_before(symbol: &Symbol, span: Span) -> Result<f64> {
    let bar = span.first.saturating_sub(1);
    let mut block = BarBlock::new();
    symbol
        .bars
        .read_quantum(bar / QUANTUM_BARS as u64, &mut block)?;
    Ok(block.close[(bar - block.first_bar) as usize])
}

/// Hears the events of one container and tells the curve every bar between them.
struct Teller<'a, L: Listener> {
    bars: &'a BarsFile,
    block: BarBlock,
    next: u64,
    end: u64,
    units: f64,
    cash: f64,
    strategy: &'a mut Fold,
    benchmark: &'a mut Fold,
    trades: TradeFold,
    execution: ExecutionFold,
    /// Capital of the segment and what its trades made.
    realized: f64,
    window: &'a str,
    out: &'a mut L,
    error: Option<Error>,
}

impl<L: Listener> Teller<'_, L> {
    /// Tells the bars up to but without `bar`.
    fn tell_to(&mut self, bar: u64) -> Result<()> {
        while self.next < bar {
            let at = self.next.wrapping_sub(self.block.first_bar);
            if self.next < self.block.first_bar || at >= self.block.bars as u64 {
                self.bars
                    .read_quantum(self.next / QUANTUM_BARS as u64, &mut self.block)?;
                continue;
            }
            let (close, ts_ns) = (self.block.close[at as usize], self.block.ts_ns[at as usize]);
            let own = self.cash + self.units * close;
            let (equity, change) = self.strategy.push(ts_ns, own, self.units != 0.0);
            let (benchmark, _) = self.benchmark.push(ts_ns, close, true);
            let bar = CurveBar {
                ts_ns,
                window: self.window,
                equity,
                benchmark,
                change,
            };
            self.out
                .bar(&bar)
                .map_err(Error::io("write the curve over", self.bars.path()))?;
            self.next += 1;
        }
        Ok(())
    }
}

impl<L: Listener> Sink for Teller<'_, L> {
    fn wants(&self, kind: EventKind) -> bool {
        use EventKind as Kind;
        matches!(
            kind,
            Kind::PositionClose
                | Kind::PortfolioUpdate
                | Kind::Order
                | Kind::Fill
                | Kind::Accrual
                | Kind::RiskBreach
        )
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        // Through the bytes, as a reader of the trace would see it.
        #[repr(align(16))]
        struct Bytes([u8; 128]);
        let mut bytes = Bytes([0; 128]);
        payload.write(&mut bytes.0[..P::BYTES]);
        match AnyPayload::read(P::KIND, &bytes.0[..P::BYTES]) {
            Ok(AnyPayload::Order(_)) => self.execution.order(stamp.code),
            Ok(AnyPayload::Fill(fill)) => self.execution.fill(&fill),
            Ok(AnyPayload::Accrual(accrual)) => self.execution.accrual(&accrual),
            Ok(AnyPayload::RiskBreach(_)) => self.execution.breach(),
            Ok(AnyPayload::PositionClose(close)) => {
                self.trades.close(stamp.bar, &close);
                let change = if self.realized > 0.0 {
                    (close.pnl / self.realized).max(-1.0)
                } else {
                    0.0
                };
                self.realized += close.pnl;
                if let Err(error) = self.out.trade(change) {
                    let io = Error::io("write the trades over", self.bars.path());
                    self.error.get_or_insert(io(error));
                }
            }
            Ok(AnyPayload::PortfolioUpdate(update)) => {
                let until = u64::from(stamp.bar).min(self.end);
                if let Err(error) = self.tell_to(until) {
                    self.error.get_or_insert(error);
                }
                (self.units, self.cash) = (update.units, update.cash);
                self.execution.update(&update);
            }
            other => unreachable!("only wanted kinds arrive: {other:?}"),
        }
    }

    fn end_trade(&mut self, _: u32) {}
}

impl<L: Listener> TileSink for Teller<'_, L> {
    fn select(&mut self, _: usize) {}

    fn failure(&mut self) -> Option<Error> {
        self.error.take()
    }
}
