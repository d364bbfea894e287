//! Small examples whose figures can be checked by hand.

use super::reference::Row;
use super::{HOUR_NS, bars_file, engine, rules};
use admf::container::ContainerRules;
use admf::execution::{
    Borrow, Commission, EntryRules, ExecutionRules, ExitRules, FillAt, PriceCost, ScaleOut,
    ScaleOuts,
};
use admf::portfolio::{Direction, PortfolioRules, RiskRules, Sizing};
use admf_formats::event::{
    AnyPayload, ExitReason, OrderStatus, PositionClose, Reason, RiskRule, Stamp,
};

/// What a strategy says on a close: `L` and `S` enter, `x` leaves.
fn row(day: i32, open: f64, close: f64, says: &str) -> Row {
    let is = |letter: char| says.contains(letter);
    Row {
        day,
        open,
        high: f64::max(open, close),
        low: f64::min(open, close),
        close,
        enter_long: is('L'),
        exit_long: is('x'),
        enter_short: is('S'),
        exit_short: is('x'),
        measure: f64::NAN,
    }
}

fn plain(sizing: Sizing) -> ContainerRules {
    let portfolio = PortfolioRules {
        initial_capital: 10_000.0,
        direction: Direction::LongShort,
        sizing,
        max_entries: 1,
        whole_units: false,
        close_at_end: false,
    };
    let execution = ExecutionRules {
        fill: FillAt::NextOpen,
        commission: Commission::Rate(0.0),
        price_cost: PriceCost::NONE,
        borrow: None,
        entry: EntryRules::MARKET,
    };
    rules(portfolio, execution, ExitRules::NONE, RiskRules::NONE)
}

/// The events of the container over these bars, one every day's noon.
fn run(rules: &ContainerRules, rows: &[Row]) -> Vec<(Stamp, AnyPayload)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut before = i64::MIN;
    let noon = |row: &Row| {
        let noon = (i64::from(row.day) * 24 + 12) * HOUR_NS;
        // Several bars of a day are an hour apart.
        before = i64::max(noon, before.saturating_add(HOUR_NS));
        before
    };
    let times: Vec<i64> = rows.iter().map(noon).collect();
    let bars = bars_file(rows, &times, &folder);
    engine(rules, rows, &bars, 1.0).0
}

fn closes(events: &[(Stamp, AnyPayload)]) -> Vec<(Stamp, PositionClose)> {
    let close = |(stamp, payload): &(Stamp, AnyPayload)| match payload {
        AnyPayload::PositionClose(close) => Some((*stamp, *close)),
        _ => None,
    };
    events.iter().filter_map(close).collect()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
}

#[test]
fn a_short_position_pays_for_every_calendar_day_it_is_held_over() {
    let mut rules = plain(Sizing::Quantity(10.0));
    rules.execution.borrow = Some(Borrow {
        annual_rate: 0.0365,
        days_per_year: 365.0,
    });
    // Days 2 and 5 are a Friday and a Monday.
    let rows = [
        row(0, 100.0, 100.0, ""),
        row(1, 100.0, 100.0, "S"),
        row(2, 100.0, 110.0, ""),
        row(5, 110.0, 120.0, "x"),
        row(6, 120.0, 120.0, ""),
    ];
    let events = run(&rules, &rows);
    let fees: Vec<(u32, f64, f64)> = events
        .iter()
        .filter_map(|(stamp, payload)| match payload {
            AnyPayload::Accrual(fee) => Some((stamp.bar, fee.days, fee.amount)),
            _ => None,
        })
        .collect();
    assert_eq!(fees.len(), 2);
    assert_eq!((fees[0].0, fees[0].1), (3, 3.0));
    near(fees[0].2, 10.0 * 110.0 * 0.0001 * 3.0);
    assert_eq!((fees[1].0, fees[1].1), (4, 1.0));
    near(fees[1].2, 10.0 * 120.0 * 0.0001);
    let (_, trade) = closes(&events)[0];
    near(trade.borrow, 0.45);
    near(trade.pnl, -200.0 - 0.45);
    // A long position pays nothing.
    let long: Vec<Row> = rows
        .iter()
        .map(|row| Row {
            enter_long: row.enter_short,
            enter_short: false,
            ..*row
        })
        .collect();
    near(closes(&run(&rules, &long))[0].1.pnl, 200.0);
}

#[test]
fn a_position_opened_at_the_close_of_its_signal_pays_for_that_night() {
    let mut rules = plain(Sizing::Quantity(10.0));
    rules.execution.fill = FillAt::SameClose;
    rules.execution.borrow = Some(Borrow {
        annual_rate: 0.0365,
        days_per_year: 365.0,
    });
    let rows = [
        row(0, 100.0, 100.0, ""),
        row(1, 100.0, 100.0, "S"),
        row(2, 100.0, 100.0, "x"),
        row(3, 100.0, 100.0, ""),
    ];
    let (_, trade) = closes(&run(&rules, &rows))[0];
    near(trade.borrow, 0.1);
}

#[test]
fn a_drawdown_closes_the_position_and_ends_all_entries() {
    let mut rules = plain(Sizing::FractionOfEquity(1.0));
    rules.portfolio.direction = Direction::LongOnly;
    rules.risk.max_drawdown = 0.1;
    let rows = [
        row(0, 100.0, 100.0, ""),
        row(1, 100.0, 100.0, "L"),
        row(2, 100.0, 120.0, ""),
        row(3, 120.0, 109.0, ""),
        row(4, 109.0, 107.0, ""),
        row(5, 106.0, 130.0, "L"),
        row(6, 130.0, 130.0, ""),
    ];
    let events = run(&rules, &rows);
    let breach = events.iter().find_map(|(stamp, payload)| match payload {
        AnyPayload::RiskBreach(breach) => Some((*stamp, *breach)),
        _ => None,
    });
    let (stamp, breach) = breach.expect("a breach");
    assert_eq!((stamp.bar, stamp.code), (4, RiskRule::Drawdown as u8));
    near(breach.value, 1.0 - 107.0 / 120.0);
    near(breach.limit, 0.1);
    let all = closes(&events);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0.bar, all[0].0.code), (5, ExitReason::Risk as u8));
    near(all[0].1.exit_price, 106.0);
    let rejected = events.iter().find(|(stamp, payload)| {
        matches!(payload, AnyPayload::Order(_)) && stamp.code == OrderStatus::Rejected as u8
    });
    let (stamp, _) = rejected.expect("the entry on bar 5 is told");
    assert_eq!((stamp.bar, stamp.detail), (5, Reason::RiskLimit as u8));
    assert_eq!(stamp.trade, 2);
}

#[test]
fn a_daily_loss_ends_entries_until_the_next_day() {
    let mut rules = plain(Sizing::FractionOfEquity(1.0));
    rules.risk.max_daily_loss = 0.05;
    let rows = [
        row(0, 100.0, 100.0, ""),
        row(0, 100.0, 100.0, "L"),
        row(1, 100.0, 94.0, "L"),
        row(1, 94.0, 94.0, "L"),
        row(1, 94.0, 94.0, ""),
        row(2, 94.0, 94.0, "L"),
        row(2, 94.0, 99.0, ""),
    ];
    let events = run(&rules, &rows);
    let opened: Vec<u32> = events
        .iter()
        .filter(|(_, payload)| matches!(payload, AnyPayload::PositionOpen(_)))
        .map(|(stamp, _)| stamp.bar)
        .collect();
    assert_eq!(opened, [2, 6]);
    let all = closes(&events);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0.bar, all[0].0.code), (3, ExitReason::Risk as u8));
}

#[test]
fn an_entry_that_is_repeated_makes_one_trade_of_two_fills() {
    let mut rules = plain(Sizing::Quantity(10.0));
    rules.portfolio.max_entries = 2;
    let rows = [
        row(0, 100.0, 100.0, ""),
        row(1, 100.0, 100.0, "L"),
        // Still true: not repeated.
        row(2, 100.0, 105.0, "L"),
        row(3, 105.0, 108.0, ""),
        row(4, 108.0, 109.0, "L"),
        row(5, 110.0, 111.0, ""),
        // A third entry is one too many.
        row(6, 111.0, 112.0, "L"),
        row(7, 112.0, 115.0, "x"),
        row(8, 120.0, 120.0, ""),
    ];
    let events = run(&rules, &rows);
    let update = events.iter().find_map(|(stamp, payload)| match payload {
        AnyPayload::PositionUpdate(update) => Some((stamp.bar, *update)),
        _ => None,
    });
    let (bar, update) = update.expect("the second entry");
    assert_eq!((bar, update.units), (5, 20.0));
    near(update.average_price, 105.0);
    let all = closes(&events);
    assert_eq!(all.len(), 1);
    let (stamp, trade) = all[0];
    assert_eq!((stamp.bar, trade.fills, trade.qty), (8, 3, 20.0));
    near(trade.entry_price, 105.0);
    near(trade.pnl, 10.0 * 20.0 + 10.0 * 10.0);
}

#[test]
fn a_part_that_is_closed_at_its_level_stays_in_its_trade() {
    let mut rules = plain(Sizing::Quantity(10.0));
    let half = ScaleOut {
        distance: 0.05,
        part: 0.5,
    };
    rules.exits.scale_out = ScaleOuts::new(&[half]).expect("a level");
    let rows = [
        row(0, 100.0, 100.0, ""),
        row(1, 100.0, 100.0, "L"),
        row(2, 100.0, 104.0, ""),
        row(3, 104.0, 110.0, ""),
        row(4, 110.0, 90.0, ""),
        row(5, 110.0, 120.0, "x"),
        row(6, 120.0, 120.0, ""),
    ];
    let events = run(&rules, &rows);
    let update = events.iter().find_map(|(stamp, payload)| match payload {
        AnyPayload::PositionUpdate(update) => Some((*stamp, *update)),
        _ => None,
    });
    let (stamp, update) = update.expect("a partial exit");
    assert_eq!((stamp.bar, update.units), (3, 5.0));
    assert_eq!(stamp.detail, ExitReason::TakeProfit as u8);
    near(update.realized_pnl, 25.0);
    let all = closes(&events);
    assert_eq!(all.len(), 1);
    let (stamp, trade) = all[0];
    assert_eq!((stamp.bar, trade.fills, trade.qty), (6, 3, 10.0));
    near(trade.exit_price, 112.5);
    near(trade.pnl, 125.0);
}
