//! Money and causes are conserved, whatever the workflow: every figure is held against an account
//! kept here from the fills and the bars alone, every event against what caused it.

mod random;

use admf::container::ContainerRules;
use admf::market::Bar;
use admf_formats::event::{
    AnyPayload, EventKind, EventSet, ExitReason, Fill, OrderStatus, PositionClose, Side, Stamp,
};
use admf_formats::segment::frame_bytes;
use admf_formats::vocabulary::{code_of, detail_of};
use random::{Case, Event, Random, bars, seeds, write};
use std::collections::BTreeMap;

/// Amounts are compared relative to the money that was moved.
const NEAR: f64 = 1e-9;

/// What the container's own events say of units and cash, bar by bar.
fn holdings(events: &[Event], first: u64, end: u64) -> Vec<(f64, f64)> {
    let mut updates = events.iter().filter_map(|(stamp, payload)| match payload {
        AnyPayload::PortfolioUpdate(update) => Some((u64::from(stamp.bar), update)),
        _ => None,
    });
    let mut next = updates.next();
    let mut held = (0.0, 0.0);
    (first..end)
        .map(|bar| {
            while let Some((_, update)) = next.filter(|(from, _)| *from <= bar) {
                held = (update.units, update.cash);
                next = updates.next();
            }
            held
        })
        .collect()
}

/// The bar from which on a fill counts: that of the PORTFOLIO_UPDATE it caused.
fn booked(events: &[Event]) -> BTreeMap<u64, u64> {
    events
        .iter()
        .filter(|(_, payload)| payload.kind() == EventKind::PortfolioUpdate)
        .map(|(stamp, _)| (cause(stamp), u64::from(stamp.bar)))
        .collect()
}

fn cause(stamp: &Stamp) -> u64 {
    stamp.sequence - u64::from(stamp.cause_back)
}

/// Cash + positions at market + costs paid = initial capital + PnL before costs, at every close.
fn money_is_conserved(events: &[Event], bars: &[Bar], first: u64, capital: f64) {
    let close = |bar: u64| bars[bar as usize].ohlcv[3];
    let booked = booked(events);
    let mut fills: BTreeMap<u64, Vec<Fill>> = BTreeMap::new();
    let mut fees: BTreeMap<u64, f64> = BTreeMap::new();
    for (stamp, payload) in events {
        let at = booked.get(&stamp.sequence).copied();
        match payload {
            AnyPayload::Fill(fill) => {
                let bar = at.unwrap_or_else(|| panic!("a fill without an update: {stamp:?}"));
                fills.entry(bar).or_default().push(*fill);
            }
            AnyPayload::Accrual(accrual) => {
                let bar = at.unwrap_or_else(|| panic!("a fee without an update: {stamp:?}"));
                *fees.entry(bar).or_default() += accrual.amount;
            }
            _ => {}
        }
    }
    let held = holdings(events, first, bars.len() as u64);
    let (mut units, mut costs, mut profit, mut moved) = (0.0_f64, 0.0, 0.0, capital);
    for (bar, (own_units, own_cash)) in (first..).zip(held) {
        if bar > first {
            profit += units * (close(bar) - close(bar - 1));
        }
        for fill in fills.get(&bar).into_iter().flatten() {
            costs += fill.commission + fill.qty * (fill.price - fill.reference_price);
            profit += fill.qty * (close(bar) - fill.reference_price);
            units += fill.qty;
            moved += (fill.qty * fill.price).abs();
        }
        costs += fees.get(&bar).copied().unwrap_or(0.0);
        let near = NEAR * moved;
        assert!(
            (units - own_units).abs() * close(bar) <= near,
            "units at bar {bar}"
        );
        let (left, right) = (own_cash + own_units * close(bar) + costs, capital + profit);
        assert!(
            (left - right).abs() <= near,
            "bar {bar}: {left} and {right}"
        );
        assert!(
            own_cash >= -near,
            "bar {bar}: cash {own_cash}, and there is no margin"
        );
    }
}

/// Kinds that an event may be caused by.
fn causes(stamp: &Stamp, payload: &AnyPayload) -> &'static [EventKind] {
    use EventKind as K;
    let risk = ExitReason::Risk as u32;
    match payload.kind() {
        K::Features => &[K::Bar],
        K::Signal => &[K::Features],
        K::OrderRequest => &[K::Signal, K::RiskBreach],
        K::Order if matches!(payload, AnyPayload::Order(order) if order.exit_reason == risk) => {
            &[K::RiskBreach, K::Order]
        }
        // What becomes of an order is caused by it; an exit order by the position it closes.
        K::Order if stamp.code == OrderStatus::Accepted as u8 => {
            &[K::OrderRequest, K::PositionOpen]
        }
        // A waiting order makes way for a later signal.
        K::Order if stamp.code == OrderStatus::Cancelled as u8 => &[K::Order, K::Signal],
        K::Order => &[K::Order, K::OrderRequest],
        K::Fill => &[K::Order],
        K::PositionOpen | K::PositionUpdate | K::PositionClose => &[K::Fill],
        K::PortfolioUpdate => &[K::Fill, K::Accrual, K::SystemStart],
        _ => &[],
    }
}

/// Every fill belongs to an order, every order to a request or an exit, and comes to one end.
fn causes_are_told(events: &[Event]) {
    let known: BTreeMap<u64, (Stamp, AnyPayload)> = events
        .iter()
        .map(|event| (event.0.sequence, *event))
        .collect();
    let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
    // The latest order of each trade that waits, or did.
    let mut waiting: BTreeMap<u32, Stamp> = BTreeMap::new();
    for (place, (stamp, payload)) in events.iter().enumerate() {
        let kind = payload.kind();
        assert_eq!(stamp.sequence, place as u64 + 1, "sequences count events");
        let allowed = causes(stamp, payload);
        if allowed.is_empty() {
            continue;
        }
        let from = known.get(&cause(stamp)).filter(|_| stamp.cause_back > 0);
        let (why, by) = from.unwrap_or_else(|| panic!("no cause: {stamp:?} {payload:?}"));
        assert!(
            allowed.contains(&by.kind()),
            "{stamp:?} {payload:?} caused by {by:?}"
        );
        // A reversal's signal carries the trade that it ends.
        let crosses = matches!(by.kind(), EventKind::Signal | EventKind::RiskBreach);
        let is_of_none = why.trade == 0;
        assert!(
            why.trade == stamp.trade || crosses || is_of_none,
            "{stamp:?} by {why:?}"
        );
        let is_accepted = kind == EventKind::Order && stamp.code == OrderStatus::Accepted as u8;
        let is_triggered = kind == EventKind::Order && stamp.code == OrderStatus::Triggered as u8;
        if is_accepted {
            ends.insert(stamp.sequence, 0);
        } else if is_triggered {
            // It goes on as the same order.
        } else if matches!(kind, EventKind::Order | EventKind::Fill) {
            let mut order = *why;
            if by.kind() == EventKind::Signal {
                order = waiting[&stamp.trade];
            }
            while order.code == OrderStatus::Triggered as u8 {
                order = known[&cause(&order)].0;
            }
            // A request that was refused at once has no order to end.
            if let Some(ends) = ends.get_mut(&order.sequence) {
                *ends += 1;
            }
        }
        if is_accepted || is_triggered {
            waiting.insert(stamp.trade, *stamp);
        }
    }
    for (order, ends) in ends {
        assert_eq!(ends, 1, "order {order}: {:?}", known[&order]);
    }
}

/// What one trade's events add up to.
#[derive(Default)]
struct Trade {
    cash_flow: f64,
    moved: f64,
    fills: u32,
    commission: f64,
    slippage: f64,
    borrow: f64,
    units: f64,
    entry_qty: f64,
    entry_value: f64,
    exit_value: f64,
}

/// A trade's figures are those of its fills.
fn trades_are_their_fills(events: &[Event]) -> usize {
    let mut open: BTreeMap<u32, Trade> = BTreeMap::new();
    let mut closed = 0;
    for (stamp, payload) in events {
        let trade = open.entry(stamp.trade).or_default();
        match payload {
            AnyPayload::Fill(fill) => {
                let value = fill.qty * fill.price;
                trade.fills += 1;
                trade.cash_flow -= value + fill.commission;
                trade.moved += value.abs();
                trade.commission += fill.commission;
                trade.slippage += fill.qty * (fill.price - fill.reference_price);
                if trade.units == 0.0 || trade.units.signum() == fill.qty.signum() {
                    trade.entry_qty += fill.qty;
                    trade.entry_value += value;
                } else {
                    trade.exit_value -= value;
                }
                trade.units += fill.qty;
                let left = (trade.units - fill.units_after).abs();
                assert!(
                    left <= NEAR * trade.entry_qty.abs(),
                    "{stamp:?}: {left} units"
                );
                let side = if fill.qty > 0.0 {
                    Side::Long
                } else {
                    Side::Short
                };
                assert_eq!(stamp.code, side as u8);
                trade.units = fill.units_after;
            }
            AnyPayload::Accrual(accrual) => {
                trade.cash_flow -= accrual.amount;
                trade.borrow += accrual.amount;
            }
            AnyPayload::PositionClose(close) => {
                check(stamp, close, trade);
                closed += 1;
            }
            _ => {}
        }
    }
    closed
}

fn check(stamp: &Stamp, close: &PositionClose, trade: &Trade) {
    let near = |what: &str, ours: f64, theirs: f64| {
        let most = NEAR * trade.moved.max(1.0);
        assert!(
            (ours - theirs).abs() <= most,
            "{what} of {stamp:?}: {ours}, {theirs}"
        );
    };
    assert_eq!(close.fills, trade.fills, "{stamp:?}");
    assert_eq!(trade.units, 0.0, "{stamp:?}");
    near("pnl", close.pnl, trade.cash_flow);
    near("commission", close.commission, trade.commission);
    near("slippage", close.slippage, trade.slippage);
    near("borrow", close.borrow, trade.borrow);
    near("qty", close.qty, trade.entry_qty);
    near("entries", close.qty * close.entry_price, trade.entry_value);
    near("exits", close.qty * close.exit_price, trade.exit_value);
    assert!(close.mae >= 0.0 && close.mfe >= 0.0);
    assert!(
        ExitReason::from_number(stamp.code).is_some(),
        "{stamp:?} has no reason"
    );
}

/// What may be in a ring at once is what `trade_bytes_max` says: of every kind of event, and of
/// all of them.
fn open_trades_have_room(events: &[Event], rules: &ContainerRules) {
    let sets: Vec<EventSet> = EventKind::ALL
        .into_iter()
        .map(|kind| EventSet::NONE.with(kind))
        .chain([EventSet::ALL])
        .collect();
    let bytes = |frames: &[(u32, EventKind)], set: &EventSet| -> u64 {
        let own = frames.iter().filter(|(_, kind)| set.contains(*kind));
        own.map(|(_, kind)| frame_bytes(*kind) as u64).sum()
    };
    // What is told of trades that are not over.
    let mut open: Vec<(u32, EventKind)> = Vec::new();
    for (stamp, payload) in events.iter().filter(|(stamp, _)| stamp.trade > 0) {
        open.push((stamp.trade, payload.kind()));
        for set in &sets {
            let (held, most) = (bytes(&open, set), rules.trade_bytes_max(*set));
            assert!(
                held <= most,
                "{held} bytes of {set:?}, {most} at most: {open:?}"
            );
        }
        let is_withdrawn = matches!(payload, AnyPayload::Order(_))
            && stamp.code != OrderStatus::Accepted as u8
            && stamp.code != OrderStatus::Triggered as u8
            && !open.contains(&(stamp.trade, EventKind::Fill));
        if is_withdrawn || payload.kind() == EventKind::PositionClose {
            open.retain(|(trade, _)| *trade != stamp.trade);
        }
    }
}

/// What events there were, over all cases: a rule that never happens is not tested.
#[derive(Default, Debug)]
struct Seen(BTreeMap<String, u64>);

impl Seen {
    fn has(&self, what: &str) -> bool {
        self.0.keys().any(|seen| seen.starts_with(what))
    }

    fn take(&mut self, events: &[Event]) {
        for (stamp, payload) in events {
            let kind = payload.kind();
            let mut what = kind.name().to_owned();
            for (names, number) in [(code_of(kind), stamp.code), (detail_of(kind), stamp.detail)] {
                if let Some((_, names)) = names {
                    what += &format!(" {}", names.name(number).unwrap_or("none"));
                }
            }
            *self.0.entry(what).or_default() += 1;
        }
    }
}

#[test]
fn money_and_causes_are_conserved_whatever_the_workflow() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut seen, mut closed) = (Seen::default(), 0);
    for seed in seeds(400) {
        let mut random = Random::new(seed);
        let case = Case::new(&mut random);
        let own = bars(&mut random, 1100);
        let file = write(&own, &folder.path().join(format!("{seed}.bars")));
        let (events, listened) = case.run(&file);
        println!("seed {seed}\n{}", case.text);
        assert_eq!(listened.record.events, events.len() as u64);
        seen.take(&events);
        if listened.failure.is_some() {
            continue;
        }
        let capital = case.workflow.phases[0].container.portfolio.initial_capital;
        money_is_conserved(&events, &own, case.first, capital);
        causes_are_told(&events);
        open_trades_have_room(&events, &case.workflow.phases[0].container);
        closed += trades_are_their_fills(&events);
        std::fs::remove_file(folder.path().join(format!("{seed}.bars"))).expect("it is there");
    }
    println!("{seen:#?}");
    assert!(closed > 4_000, "{closed} trades are no test");
    for what in [
        "POSITION_CLOSE signal",
        "POSITION_CLOSE close_at_end",
        "POSITION_CLOSE risk",
        "POSITION_CLOSE stop_loss",
        "POSITION_CLOSE take_profit",
        "POSITION_CLOSE trailing_stop",
        "POSITION_CLOSE time_stop",
        "POSITION_CLOSE end_of_day",
        "ORDER cancelled superseded",
        "ORDER expired time_in_force",
        "ORDER triggered",
        "ORDER rejected level_unknown",
        "POSITION_UPDATE long none",
        "POSITION_UPDATE short none",
        "POSITION_UPDATE long take_profit",
        "POSITION_UPDATE short take_profit",
        "ACCRUAL",
        "ORDER rejected insufficient_cash",
        "ORDER rejected size_unknown",
        "ORDER rejected risk_limit",
        "ORDER expired window_end",
        "RISK_BREACH position",
        "RISK_BREACH exposure",
        "RISK_BREACH drawdown",
        "RISK_BREACH daily_loss",
        "RISK_BREACH cash",
    ] {
        assert!(seen.has(what), "{what} never happened");
    }
}

/// Changes the first event that it wants to change; whether there was one.
fn tamper(events: &mut [Event], change: &dyn Fn(&mut Stamp, &mut AnyPayload) -> bool) -> bool {
    events
        .iter_mut()
        .skip(60)
        .any(|(stamp, payload)| change(stamp, payload))
}

#[test]
fn accounts_that_lie_are_found_out() {
    type Change = &'static dyn Fn(&mut Stamp, &mut AnyPayload) -> bool;
    let lies: [(&str, Change); 6] = [
        ("a price", &|_, payload| match payload {
            AnyPayload::Fill(fill) => {
                fill.price *= 1.0001;
                true
            }
            _ => false,
        }),
        ("cash", &|_, payload| match payload {
            AnyPayload::PortfolioUpdate(update) => {
                update.cash += 0.01;
                true
            }
            _ => false,
        }),
        ("profit", &|_, payload| match payload {
            AnyPayload::PositionClose(close) => {
                close.pnl += 0.01;
                true
            }
            _ => false,
        }),
        ("slippage", &|_, payload| match payload {
            AnyPayload::PositionClose(close) => {
                close.slippage += 0.01;
                true
            }
            _ => false,
        }),
        ("a cause", &|stamp, payload| {
            let is_fill = payload.kind() == EventKind::Fill;
            stamp.cause_back += u32::from(is_fill);
            is_fill
        }),
        ("the trade of an order", &|stamp, payload| {
            let is_order = payload.kind() == EventKind::Order;
            stamp.trade += u32::from(is_order);
            is_order
        }),
    ];
    let text = "workflow: single_backtest\ndata: {path: none.bars}\n\
                strategy: {name: sma_crossover, parameters: {fast: 2, slow: 5}}\n\
                execution: {commission: {rate: 0.001}, slippage: {rate: 0.001}}\n";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = Random::new(1);
    let case = Case::of(text.to_owned(), &mut random);
    let own = bars(&mut random, 1100);
    let (events, _) = case.run(&write(&own, &folder.path().join("x.bars")));
    let check = |events: &[Event]| {
        money_is_conserved(events, &own, case.first, 100_000.0);
        causes_are_told(events);
        assert!(trades_are_their_fills(events) > 10);
    };
    check(&events);
    for (what, lie) in lies {
        let mut events = events.clone();
        assert!(tamper(&mut events, lie), "{what}");
        let checked = std::panic::catch_unwind(|| check(&events));
        assert!(checked.is_err(), "nobody saw that {what} was changed");
    }
}
