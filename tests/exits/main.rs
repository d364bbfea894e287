//! Exits and waiting orders: the engine against a plain loop over bars.
//!
//! The loop (`plain.rs`) knows one side only. A short position is a long one in negated prices: low and
//! high change places, and no rounding is any different.

mod plain;

use admf::container::{
    BlockView, Container, ContainerRules, RuleFeature, RuleFeatures, Sink, Span,
};
use admf::execution::{
    Amount, Anchor, BothTouched, Commission, Distance, Entry, EntryRules, ExecutionRules,
    ExitRules, FillAt, PriceCost, Reentry, ScaleOuts, Unit, Waiting,
};
use admf::features::{Feature, FeatureColumns};
use admf::market::{BarBlock, Calendar, LocalTimes};
use admf::metrics::BlockFigures;
use admf::portfolio::{Direction, EntryTerms, PortfolioRules, RiskRules, Sizing};
use admf::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use admf::strategy::{FEATURES_MAX, Masks};
use admf_formats::event::{
    AnyPayload, EventKind, ExitReason, Order, OrderStatus, Payload, PositionClose, Reason, Stamp,
};
use admf_formats::units::QUANTUM_BARS;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeSet;

/// Values of the container's parameters; the rules name the first.
const PARAMETERS: [f64; 8] = [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

#[derive(Clone, Copy, Debug)]
struct Bar {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    /// Hours since the first bar.
    hour: i64,
    /// Enter long, exit long, enter short, exit short.
    says: [bool; 4],
}

/// A closed trade.
#[derive(Clone, Debug, PartialEq)]
struct Trade {
    entry_bar: u32,
    exit_bar: u32,
    units: f64,
    entry_price: f64,
    exit_price: f64,
    pnl: f64,
    reason: ExitReason,
}

/// What became of an order that did not simply fill.
#[derive(Clone, Debug, PartialEq)]
struct Ended {
    bar: u32,
    status: OrderStatus,
    reason: Reason,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Story {
    trades: Vec<Trade>,
    ended: Vec<Ended>,
    cash: f64,
}

/// Collects the story that the engine tells.
#[derive(Default)]
struct Collector(Story);

impl Sink for Collector {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        #[repr(align(16))]
        struct Bytes([u8; 128]);
        let mut bytes = Bytes([0; 128]);
        payload.write(&mut bytes.0[..P::BYTES]);
        match AnyPayload::read(P::KIND, &bytes.0[..P::BYTES]).expect("what was just written") {
            AnyPayload::PositionClose(close) => self.closed(stamp, &close),
            AnyPayload::Order(order) => self.order(stamp, &order),
            AnyPayload::PortfolioUpdate(update) => self.0.cash = update.cash,
            _ => {}
        }
    }

    fn end_trade(&mut self, _: u32) {}
}

impl Collector {
    fn closed(&mut self, stamp: &Stamp, close: &PositionClose) {
        self.0.trades.push(Trade {
            entry_bar: close.entry_bar,
            exit_bar: stamp.bar,
            units: close.qty,
            entry_price: close.entry_price,
            exit_price: close.exit_price,
            pnl: close.pnl,
            reason: ExitReason::from_number(stamp.code).expect("a reason"),
        });
    }

    fn order(&mut self, stamp: &Stamp, _: &Order) {
        let status = [
            OrderStatus::Accepted,
            OrderStatus::Rejected,
            OrderStatus::Expired,
            OrderStatus::Cancelled,
            OrderStatus::Triggered,
        ][stamp.code as usize - 1];
        if status != OrderStatus::Accepted {
            let reason = Reason::from_number(stamp.detail).expect("a reason");
            self.0.ended.push(Ended {
                bar: stamp.bar,
                status,
                reason,
            });
        }
    }
}

fn engine(rules: &ContainerRules, parameters: [f64; 8], bars: &[Bar]) -> Story {
    let features: Vec<Feature> = rules.features.of(&parameters).collect();
    let mut places = [0; FEATURES_MAX];
    for number in 0..features.len() {
        places[RuleFeatures::place(number as u8)] = number as u16;
    }
    let mut columns = FeatureColumns::new(features);
    let span = Span {
        first: 0,
        end: bars.len() as u64,
    };
    let mut container = Container::new(0, 0, parameters, places, rules, span, 0);
    let (mut block, mut figures) = (BarBlock::new(), BlockFigures::new());
    let mut times = LocalTimes::new();
    let mut story = Collector::default();
    for (quantum, chunk) in bars.chunks(QUANTUM_BARS).enumerate() {
        block.first_bar = (quantum * QUANTUM_BARS) as u64;
        block.bars = chunk.len();
        let mut masks = Masks::default();
        for (k, bar) in chunk.iter().enumerate() {
            block.open[k] = bar.open;
            block.high[k] = bar.high;
            block.low[k] = bar.low;
            block.close[k] = bar.close;
            block.ts_ns[k] = bar.hour * 3_600_000_000_000;
            let [enter_long, exit_long, enter_short, exit_short] = bar.says;
            let bit = |says: bool| u64::from(says) << (k % 64);
            masks.enter_long[k / 64] |= bit(enter_long);
            masks.exit_long[k / 64] |= bit(exit_long);
            masks.enter_short[k / 64] |= bit(enter_short);
            masks.exit_short[k / 64] |= bit(exit_short);
        }
        columns.push(&block, 0);
        let count = chunk.len();
        figures.build(
            &block.low[..count],
            &block.high[..count],
            &block.close[..count],
        );
        times.build(&rules.calendar, &block.ts_ns[..count]);
        if let Some(second) = rules.exits.end_of_day {
            times.mark_late(second, count);
        }
        let view = BlockView {
            bars: &block,
            figures: &figures,
            times: &times,
            features: &columns,
            measure: None,
            year_root: f64::NAN,
        };
        container.run_block(rules, &masks, view, &mut story);
    }
    story.0
}

/// Bars that jump between close and open, on a coarse grid so that prices meet levels exactly.
fn bars(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Bar>> {
    let step = (-6..=6_i32, 0..=6_i32, 0..=6_i32, -6..=6_i32);
    let hours = prop_oneof![6 => Just(1_i64), 1 => 2..40_i64];
    let says = prop::array::uniform4(prop::bool::weighted(0.12));
    // Conditions that hold for a while, as those of levels do.
    let stays = prop::array::uniform4(prop::bool::weighted(0.6));
    prop::collection::vec((step, says, stays, hours), count).prop_map(|steps| {
        let (mut close, mut hour) = (400_i32, 0);
        let mut before = [false; 4];
        steps
            .into_iter()
            .map(|((gap, up, down, change), says, stays, hours)| {
                hour += hours;
                let open = (close + gap).max(40);
                close = (open + change).max(40);
                let (high, low) = (open.max(close) + up, open.min(close) - down);
                for ((before, says), stays) in before.iter_mut().zip(says).zip(stays) {
                    *before = says || (*before && stays);
                }
                let price = |ticks: i32| f64::from(ticks) / 4.0;
                Bar {
                    open: price(open),
                    high: price(high),
                    low: price(low),
                    close: price(close),
                    hour,
                    says: before,
                }
            })
            .collect()
    })
}

fn distance() -> impl Strategy<Value = Distance> {
    // Parameter 0 is 2: a percentage, 3: a multiple or money.
    let swept = |divisor| Amount::Parameter { place: 0, divisor };
    prop_oneof![
        (1..8_u8).prop_map(|percent| Distance {
            amount: Amount::Value(f64::from(percent) / 200.0),
            unit: Unit::Fraction,
        }),
        Just(Distance {
            amount: swept(100.0),
            unit: Unit::Fraction
        }),
        (1..10_u8).prop_map(|ticks| Distance {
            amount: Amount::Value(f64::from(ticks) / 4.0),
            unit: Unit::Money,
        }),
        prop_oneof![
            Just(Amount::Value(1.0)),
            Just(swept(1.0)),
            Just(Amount::Value(0.25))
        ]
        .prop_map(|amount| Distance {
            amount,
            unit: Unit::Feature(0)
        }),
    ]
}

fn exits() -> impl Strategy<Value = ExitRules> {
    let level = || prop::option::of(distance());
    let max_bars = prop::option::weighted(
        0.3,
        (1..9_u8).prop_map(|bars| Amount::Value(f64::from(bars))),
    );
    let end_of_day = prop::option::weighted(0.3, (6..24_u32).prop_map(|hour| hour * 3600 - 1800));
    let clock = (max_bars, end_of_day);
    (level(), level(), level(), any::<[bool; 3]>(), clock).prop_map(
        |(stop_loss, take_profit, trailing_stop, [fill, target, reset], (max_bars, end_of_day))| {
            ExitRules {
                stop_loss,
                take_profit,
                trailing_stop,
                // Parts are held against the loop of tests/accounting.
                scale_out: ScaleOuts::NONE,
                anchor: if fill {
                    Anchor::Fill
                } else {
                    Anchor::SignalClose
                },
                both_touched: if target {
                    BothTouched::TargetFirst
                } else {
                    BothTouched::StopFirst
                },
                max_bars,
                end_of_day,

                reentry: if reset {
                    Reentry::AfterReset
                } else {
                    Reentry::AtOnce
                },
            }
        },
    )
}

fn entry() -> impl Strategy<Value = EntryRules> {
    let order = prop_oneof![
        2 => Just(Entry::Market),
        1 => distance().prop_map(Entry::Limit),
        1 => distance().prop_map(Entry::Stop),
        1 => (distance(), distance()).prop_map(|(stop, limit)| Entry::StopLimit { stop, limit }),
    ];
    let waiting = prop_oneof![
        Just(Waiting::UntilCancelled),
        Just(Waiting::Day),
        (1..6_u8).prop_map(|bars| Waiting::Bars(Amount::Value(f64::from(bars)))),
    ];
    (order, waiting).prop_map(|(order, time_in_force)| EntryRules {
        order,
        time_in_force,
    })
}

fn rules() -> impl Strategy<Value = ContainerRules> {
    let portfolio = (0..3_usize, 0..3_usize, any::<bool>());
    let costs = prop_oneof![Just((0.0, 0.0)), Just((0.001, 0.002))];
    (portfolio, costs, any::<bool>(), entry(), exits()).prop_map(
        |(
            (direction, sizing, close_at_end),
            (commission, slippage_rate),
            same_close,
            entry,
            exits,
        )| {
            let mut features = RuleFeatures::default();
            features.number_of(RuleFeature::Atr(Amount::Value(3.0)));
            ContainerRules {
                portfolio: PortfolioRules {
                    initial_capital: 10_000.0,
                    direction: [
                        Direction::LongOnly,
                        Direction::ShortOnly,
                        Direction::LongShort,
                    ][direction],
                    sizing: [
                        Sizing::FractionOfEquity(1.0),
                        Sizing::FractionOfEquity(0.5),
                        Sizing::Quantity(90.0),
                    ][sizing],
                    max_entries: 1,
                    whole_units: false,
                    close_at_end,
                },
                execution: ExecutionRules {
                    fill: if same_close {
                        FillAt::SameClose
                    } else {
                        FillAt::NextOpen
                    },
                    commission: Commission::Rate(commission),
                    price_cost: PriceCost {
                        rate: slippage_rate,
                        fixed: 0.0,
                    },
                    borrow: None,
                    entry,
                },
                exits,
                features,
                risk: RiskRules::NONE,
                calendar: Calendar::utc(),

                trace: TraceRules {
                    events: admf_formats::event::EventSet::NONE,
                    policy: RetentionPolicy::TradeComplete,
                    bytes_per_container: 0,
                    on_full: OnFull::Degrade,
                    backing: Backing::Tmpfs,
                    store_trades: false,
                    keep: Keep::NONE,
                    compression: Compression::None,
                },
            }
        },
    )
}

/// What the property below compares is worth something: every kind of end is among its cases.
#[test]
fn random_cases_have_every_exit_and_every_end_of_an_order() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut reasons, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..400 {
        let cases = (bars(100..200), rules());
        let tree = cases.new_tree(&mut runner).expect("a case");
        let (bars, rules) = tree.current();
        let story = engine(&rules, PARAMETERS, &bars);
        reasons.extend(story.trades.iter().map(|trade| trade.reason.name()));
        let ended = story.ended.iter();
        ends.extend(ended.map(|end| (end.status.name(), end.reason.name())));
    }
    let exits = [
        "close_at_end",
        "end_of_day",
        "signal",
        "stop_loss",
        "take_profit",
        "time_stop",
        "trailing_stop",
    ];
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), exits);
    for end in [
        ("cancelled", "superseded"),
        ("expired", "time_in_force"),
        ("expired", "window_end"),
        ("rejected", "insufficient_cash"),
        ("rejected", "level_unknown"),
        ("triggered", "none"),
    ] {
        assert!(ends.contains(&end), "{end:?} is not among {ends:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_trades_as_the_plain_loop(
        bars in prop_oneof![4 => bars(2..120), 1 => bars(500..1100)],
        rules in rules(),
    ) {
        let expected = plain::Loop::new(&rules, PARAMETERS, &bars).run();
        let found = engine(&rules, PARAMETERS, &bars);
        prop_assert_eq!(&found.ended, &expected.ended);
        prop_assert_eq!(&found.trades, &expected.trades);
        prop_assert_eq!(found.cash, expected.cash);
    }
}
