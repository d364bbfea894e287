//! Sizes, costs, limits and pyramiding: random workflows against a plain loop over bars, and what
//! must hold of any trace: money is conserved, and the trace alone gives the same figures.

mod examples;
mod reference;

use admf::container::{BlockView, Container, ContainerRules, RuleFeatures, Sink, Span};
use admf::execution::{
    Amount, Anchor, Borrow, BothTouched, Commission, Distance, EntryRules, ExecutionRules,
    ExitRules, FillAt, PerShare, PriceCost, ScaleOut, ScaleOuts, Unit,
};
use admf::features::FeatureColumns;
use admf::market::{Bar, BarBlock, BarsFile, BarsWriter, Calendar, LocalTimes};
use admf::metrics::{BlockFigures, Recomputation};
use admf::portfolio::{Direction, PortfolioRules, RiskRules, Sizing};
use admf::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use admf::strategy::{FEATURES_MAX, Masks};
use admf_formats::event::{
    AnyPayload, EventKind, EventSet, ExitReason, OrderStatus, Payload, PositionClose, Stamp,
};
use admf_formats::result::{Ledger, ResultRecord, Status};
use admf_formats::units::{PARAMETERS_MAX, QUANTUM_BARS};
use proptest::prelude::*;
use reference::Row;

const HOUR_NS: i64 = 3_600_000_000_000;

/// Everything that is told.
#[derive(Default)]
struct Recorder(Vec<(Stamp, AnyPayload)>);

impl Sink for Recorder {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        #[repr(align(16))]
        struct Bytes([u8; 128]);
        let mut bytes = Bytes([0; 128]);
        payload.write(&mut bytes.0[..P::BYTES]);
        let read = AnyPayload::read(P::KIND, &bytes.0[..P::BYTES]);
        self.0.push((*stamp, read.expect("a payload")));
    }

    fn end_trade(&mut self, _: u32) {}
}

/// Numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}

/// A series with the signals on it. Entries hold for a few bars at a time.
fn series(seed: u64, bars: usize) -> (Vec<Row>, Vec<i64>) {
    let mut numbers = Numbers(seed);
    let (mut close, mut at) = (100.0, 400_000 * HOUR_NS);
    let mut rows: Vec<Row> = Vec::new();
    let mut times = Vec::new();
    let mut long = false;
    let mut short = false;
    for _ in 0..bars {
        let open = close * (1.0 + 0.02 * (numbers.next() - 0.5));
        close = open * (1.0 + 0.06 * (numbers.next() - 0.5));
        let high = f64::max(open, close) * (1.0 + 0.01 * numbers.next());
        let low = f64::min(open, close) * (1.0 - 0.01 * numbers.next());
        at += (1 + (numbers.next() * 30.0) as i64) * HOUR_NS;
        if numbers.next() < 0.2 {
            long = !long;
        }
        if numbers.next() < 0.2 {
            short = !short;
        }
        let measure = 0.005 + 0.02 * numbers.next();
        rows.push(Row {
            day: at.div_euclid(24 * HOUR_NS) as i32,
            open,
            high,
            low,
            close,
            enter_long: long,
            enter_short: short && !long,
            exit_long: numbers.next() < 0.1,
            exit_short: numbers.next() < 0.1,
            measure: if numbers.next() < 0.05 {
                f64::NAN
            } else {
                measure
            },
        });
        times.push(at);
    }
    (rows, times)
}

fn bars_file(rows: &[Row], times: &[i64], folder: &tempfile::TempDir) -> BarsFile {
    let path = folder.path().join("series.bars");
    let mut writer = BarsWriter::create(&path).expect("a new file");
    for (row, ts_ns) in rows.iter().zip(times) {
        let ohlcv = [row.open, row.high, row.low, row.close, 1.0];
        let bar = Bar {
            ts_ns: *ts_ns,
            ohlcv,
        };
        writer.push(&bar).expect("a bar");
    }
    writer.finish().expect("a bars file")
}

/// The engine's container over the series, block by block.
fn engine(
    rules: &ContainerRules,
    rows: &[Row],
    bars: &BarsFile,
    year_root: f64,
) -> (Vec<(Stamp, AnyPayload)>, ResultRecord) {
    let span = Span {
        first: 0,
        end: rows.len() as u64,
    };
    let (values, columns) = ([0.0; PARAMETERS_MAX], [0; FEATURES_MAX]);
    let mut container = Container::new(0, 0, values, columns, rules, span, 1);
    let mut recorder = Recorder::default();
    let (mut block, mut figures) = (BarBlock::new(), BlockFigures::new());
    let mut times = LocalTimes::new();
    let features = FeatureColumns::new(Vec::new());
    for (quantum, rows) in rows.chunks(QUANTUM_BARS).enumerate() {
        bars.read_quantum(quantum as u64, &mut block).expect("bars");
        let n = block.bars;
        figures.build(&block.low[..n], &block.high[..n], &block.close[..n]);
        times.build(&rules.calendar, &block.ts_ns[..n]);
        let mut masks = Masks::default();
        let mut measure = [f64::NAN; QUANTUM_BARS];
        for (at, row) in rows.iter().enumerate() {
            let put =
                |mask: &mut [u64], holds: bool| mask[at / 64] |= u64::from(holds) << (at % 64);
            put(&mut masks.enter_long, row.enter_long);
            put(&mut masks.exit_long, row.exit_long);
            put(&mut masks.enter_short, row.enter_short);
            put(&mut masks.exit_short, row.exit_short);
            measure[at] = row.measure;
        }
        let view = BlockView {
            bars: &block,
            figures: &figures,
            times: &times,
            features: &features,
            measure: Some(&measure),
            year_root,
        };
        container.run_block(rules, &masks, view, &mut recorder);
    }
    let record = container.result(Status::Completed, Ledger::default());
    (recorder.0, record)
}

fn rules(
    portfolio: PortfolioRules,
    execution: ExecutionRules,
    exits: ExitRules,
    risk: RiskRules,
) -> ContainerRules {
    ContainerRules {
        portfolio,
        execution,
        exits,
        features: RuleFeatures::default(),
        risk,
        trace: TraceRules {
            events: EventSet::ALL,
            policy: RetentionPolicy::Full,
            bytes_per_container: 1 << 16,
            on_full: OnFull::Degrade,
            backing: Backing::Tmpfs,
            store_trades: false,
            keep: Keep::NONE,
            compression: Compression::None,
        },
        calendar: Calendar::utc(),
    }
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-8 * (scale + a.abs().max(b.abs()))
}

/// The engine's trades, equity and counts are those of the plain loop.
fn check_against_reference(
    rules: &ContainerRules,
    rows: &[Row],
    year_root: f64,
    events: &[(Stamp, AnyPayload)],
    record: &ResultRecord,
) -> Result<(), TestCaseError> {
    let account = reference::run(
        rows,
        rules.portfolio,
        rules.execution,
        rules.exits,
        rules.risk,
        year_root,
    );
    let scale = rules.portfolio.initial_capital;
    let closes: Vec<(&Stamp, &PositionClose)> = events
        .iter()
        .filter_map(|(stamp, payload)| match payload {
            AnyPayload::PositionClose(close) => Some((stamp, close)),
            _ => None,
        })
        .collect();
    for ((stamp, close), trade) in closes.iter().zip(&account.trades) {
        let about = format!("{trade:?}\n{close:?}");
        prop_assert_eq!(close.entry_bar as usize, trade.entry_bar, "{}", &about);
        prop_assert_eq!(stamp.bar as usize, trade.exit_bar, "{}", &about);
        prop_assert_eq!(ExitReason::from_number(stamp.code), Some(trade.reason));
        prop_assert_eq!(close.fills, trade.fills, "{}", &about);
        prop_assert!(near(close.qty, trade.qty, 1e-9), "{}", &about);
        for (ours, theirs) in [
            (close.pnl, trade.pnl),
            (close.commission, trade.commission),
            (close.slippage, trade.slippage),
            (close.borrow, trade.borrow),
        ] {
            prop_assert!(near(ours, theirs, scale), "{}", &about);
        }
    }
    prop_assert_eq!(closes.len(), account.trades.len());
    prop_assert_eq!(record.execution.rejected, account.rejected);
    prop_assert_eq!(record.execution.breaches, account.breaches);
    let mut updates = events.iter().filter_map(|(stamp, payload)| match payload {
        AnyPayload::PortfolioUpdate(update) => Some((stamp.bar as usize, *update)),
        _ => None,
    });
    let mut next = updates.next();
    let mut held = None;
    for (bar, (row, theirs)) in rows.iter().zip(&account.equity).enumerate() {
        while let Some((_, update)) = next.filter(|(from, _)| *from <= bar) {
            held = Some(update);
            next = updates.next();
        }
        let held = held.expect("a portfolio from the first bar on");
        let ours = held.cash + held.units * row.close;
        prop_assert!(
            near(ours, *theirs, scale),
            "bar {}: {}, {}",
            bar,
            ours,
            theirs
        );
    }
    Ok(())
}

/// What must hold of every trace, whatever the rules.
fn check_books(
    rules: &ContainerRules,
    events: &[(Stamp, AnyPayload)],
) -> Result<(), TestCaseError> {
    let capital = rules.portfolio.initial_capital;
    // Cash as fills and fees alone make it, and the same of the running trade.
    let (mut cash, mut flow, mut fills) = (capital, 0.0, 0_u32);
    let mut units = 0.0;
    let mut bought = false;
    for (at, (stamp, payload)) in events.iter().enumerate() {
        prop_assert_eq!(stamp.sequence as usize, at + 1);
        let cause = (stamp.cause_back > 0).then(|| &events[at - stamp.cause_back as usize]);
        match payload {
            AnyPayload::Fill(fill) => {
                let (order, kind) = cause.expect("a fill has a cause");
                prop_assert!(matches!(kind, AnyPayload::Order(_)));
                prop_assert_eq!(order.code, OrderStatus::Accepted as u8);
                prop_assert_eq!(order.trade, stamp.trade);
                let paid = fill.qty * fill.price + fill.commission;
                (cash, flow, fills) = (cash - paid, flow - paid, fills + 1);
                units += fill.qty;
                prop_assert!(near(units, fill.units_after, 1e-6));
                units = fill.units_after;
                // No fill is better than its reference.
                prop_assert!(fill.qty * (fill.price - fill.reference_price) >= -1e-9);
                bought = fill.qty > 0.0 && units > 0.0;
            }
            AnyPayload::Order(_) if stamp.code == OrderStatus::Accepted as u8 => {
                let (_, kind) = cause.expect("an order has a cause");
                prop_assert!(matches!(
                    kind,
                    AnyPayload::OrderRequest(_)
                        | AnyPayload::PositionOpen(_)
                        | AnyPayload::RiskBreach(_)
                ));
            }
            AnyPayload::Accrual(accrual) => {
                prop_assert!(accrual.units < 0.0 && accrual.amount > 0.0 && accrual.days >= 1.0);
                (cash, flow) = (cash - accrual.amount, flow - accrual.amount);
            }
            AnyPayload::PortfolioUpdate(update) => {
                prop_assert!(near(update.cash, cash, capital), "{} {}", update.cash, cash);
                prop_assert!(!bought || update.cash >= 0.0, "cash {}", update.cash);
                bought = false;
            }
            AnyPayload::PositionClose(close) => {
                prop_assert!(near(close.pnl, flow, capital), "{} {}", close.pnl, flow);
                prop_assert_eq!(close.fills, fills);
                (flow, fills) = (0.0, 0);
            }
            _ => {}
        }
    }
    Ok(())
}

prop_compose! {
    fn any_commission()(
        which in 0..3,
        rate in 0.0..0.01_f64,
        minimum in 0.0..5.0_f64,
        more in prop::option::of(0.0..20.0_f64),
        part in prop::option::of(0.0005..0.02_f64),
    ) -> Commission {
        match which {
            0 => Commission::Rate(rate),
            1 => Commission::Fixed(minimum),
            _ => Commission::PerShare(PerShare {
                money: rate,
                minimum,
                maximum: more.map_or(f64::INFINITY, |more| minimum + more),
                maximum_rate: part.unwrap_or(f64::INFINITY),
            }),
        }
    }
}

prop_compose! {
    fn any_execution()(
        same_close in any::<bool>(),
        commission in any_commission(),
        rate in prop::option::of(0.0..0.005_f64),
        fixed in prop::option::of(0.0..0.2_f64),
        annual_rate in prop::option::of(0.0001..0.5_f64),
    ) -> ExecutionRules {
        ExecutionRules {
            fill: if same_close { FillAt::SameClose } else { FillAt::NextOpen },
            commission,
            price_cost: PriceCost { rate: rate.unwrap_or(0.0), fixed: fixed.unwrap_or(0.0) },
            borrow: annual_rate.map(|annual_rate| Borrow { annual_rate, days_per_year: 360.0 }),
            entry: EntryRules::MARKET,
        }
    }
}

prop_compose! {
    /// A stop loss, or none, and levels of parts.
    fn any_exits()(
        stop_loss in prop::option::of(0.005..0.1_f64),
        steps in prop::collection::vec((0.002..0.05_f64, 0.01..0.99_f64), 0..=4),
        fill in any::<bool>(),
        targets_first in any::<bool>(),
    ) -> ExitRules {
        let mut distance = 0.0;
        let levels: Vec<ScaleOut> = steps
            .into_iter()
            .map(|(step, part)| {
                distance += step;
                ScaleOut { distance, part }
            })
            .collect();
        ExitRules {
            stop_loss: stop_loss.map(|part| Distance {
                amount: Amount::Value(part),
                unit: Unit::Fraction,
            }),
            scale_out: ScaleOuts::new(&levels).expect("rising levels"),
            anchor: if fill { Anchor::Fill } else { Anchor::SignalClose },
            both_touched: if targets_first {
                BothTouched::TargetFirst
            } else {
                BothTouched::StopFirst
            },
            ..ExitRules::NONE
        }
    }
}

fn any_sizing() -> impl Strategy<Value = Sizing> {
    prop_oneof![
        (0.1..=1.0_f64).prop_map(Sizing::FractionOfEquity),
        Just(Sizing::FractionOfEquity(1.0)),
        (1..60).prop_map(|units| Sizing::Quantity(f64::from(units))),
        (100.0..9_000.0_f64).prop_map(Sizing::Cash),
        (0.001..0.1_f64).prop_map(|fraction| Sizing::RiskPerTrade { fraction }),
        (0.0001..0.01_f64, 0.5..3.0_f64).prop_map(|(fraction, multiple)| Sizing::Atr {
            fraction,
            multiple,
            period: 14
        }),
        (0.05..0.6_f64).prop_map(|annual| Sizing::Volatility { annual, period: 20 }),
    ]
}

prop_compose! {
    fn any_portfolio()(
        direction in prop::sample::select(vec![
            Direction::LongOnly, Direction::ShortOnly, Direction::LongShort,
        ]),
        sizing in any_sizing(),
        max_entries in prop_oneof![Just(1_u32), 2..5_u32],
        whole_units in any::<bool>(),
    ) -> PortfolioRules {
        PortfolioRules {
            initial_capital: 10_000.0,
            direction,
            sizing,
            max_entries,
            whole_units,
            close_at_end: false,
        }
    }
}

prop_compose! {
    fn any_risk()(
        position in prop::option::of(1.0..80.0_f64),
        exposure in prop::option::of(0.1..1.5_f64),
        drawdown in prop::option::of(0.02..0.4_f64),
        daily in prop::option::of(0.005..0.1_f64),
    ) -> RiskRules {
        RiskRules {
            max_position: position.unwrap_or(f64::INFINITY),
            max_exposure: exposure.unwrap_or(f64::INFINITY),
            max_drawdown: drawdown.unwrap_or(f64::INFINITY),
            max_daily_loss: daily.unwrap_or(f64::INFINITY),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_workflow_trades_as_a_plain_loop_does_and_keeps_its_books(
        portfolio in any_portfolio(),
        execution in any_execution(),
        exits in any_exits(),
        risk in any_risk(),
        seed in any::<u64>(),
        bars in 3..1200_usize,
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (rows, times) = series(seed, bars);
        let file = bars_file(&rows, &times, &folder);
        let rules = rules(portfolio, execution, exits, risk);
        let year_root = 250.0_f64.sqrt();
        let (events, record) = engine(&rules, &rows, &file, year_root);
        // Where equity is exhausted a container ends with its block, a plain loop goes on.
        let is_exhausted = record.equity.bars < rows.len() as u64;
        check_books(&rules, &events)?;
        if !is_exhausted {
            check_against_reference(&rules, &rows, year_root, &events, &record)?;
        }
        let capital = portfolio.initial_capital;
        let end = record.equity.bars;
        let recomputed = Recomputation::new(&file, rules.equity_path(), capital, 0, end);
        let mut recomputed = recomputed.expect("bars");
        for (stamp, payload) in &events {
            recomputed.event(stamp, payload).expect("bars");
        }
        let totals = recomputed.finish().expect("bars");
        let mut again = record;
        totals.put_into(&mut again);
        prop_assert_eq!(again, record);
    }
}
