//! `finalize`: what the oracle's program does after the last bar, and nobody else.
//!
//! It runs its order step once more on the last bar: what is open is closed as if a bar came after
//! (at the last bar's open again, or with `same_close` at the close before), then the order that
//! the strategy decided on the last bar is filled there, and its stops are tested on that bar.

use super::case::Prices;
use super::recorder::Recorder;
use crate::container::ContainerRules;
use crate::execution::{BothTouched, Distance, FillAt, Levels, Line, Seen};
use crate::portfolio::{EntryTerms, RiskRules};
use admf_formats::event::{ExitReason, PositionClose, Side, Stamp};

/// Adds the trades of that step to what was recorded, and corrects the last equity.
pub(super) fn finalize(
    rules: &ContainerRules,
    recorder: &mut Recorder,
    prices: &Prices,
    equity: &mut [f64],
) {
    let Some(last) = prices.close.len().checked_sub(1).filter(|last| *last > 0) else {
        return;
    };
    let (price, bar) = match rules.execution.fill {
        FillAt::NextOpen => (prices.open[last], last),
        FillAt::SameClose => (prices.close[last - 1], last - 1),
    };
    let wanted = recorder
        .signal
        .filter(|stamp| stamp.bar as usize == last)
        .and_then(|stamp| Side::from_number(stamp.code));
    let sign = match wanted {
        Some(Side::Long) => 1.0,
        Some(Side::Short) => -1.0,
        _ => 0.0,
    };
    if recorder.open.is_none() && sign == 0.0 {
        return;
    }
    let commission = |units: f64, price: f64| rules.execution.commission.of(units, price);
    let mut cash = recorder
        .updates
        .last()
        .map_or(rules.portfolio.initial_capital, |(_, update)| update.cash);
    if let Some((stamp, open)) = recorder.open.take() {
        let exit = Exit {
            bar,
            price,
            reason: ExitReason::CloseAtEnd,
        };
        let commissions = open.commission + commission(open.qty, price);
        cash += open.qty * price - commission(open.qty, price);
        recorder
            .trades
            .push(closed(stamp, open.qty, open.price, commissions, &exit));
    }
    equity[last] = cash;
    let terms = EntryTerms {
        held: 0.0,
        sign,
        equity: cash,
        cash,
        price,
        risk_per_unit: f64::NAN,
        commission: rules.execution.commission,
    };
    let units = match rules.portfolio.entry(&terms, &RiskRules::NONE).units {
        Ok(units) if sign != 0.0 => sign * units,
        _ => return,
    };
    cash -= units * price + commission(units, price);
    let (open, close) = (prices.open[last], prices.close[last]);
    let level = |distance: Option<Distance>, away: f64| {
        let line = distance.map(|distance| distance.line(away, &[0.0; 8], |_| f64::NAN));
        line.unwrap_or(Line::never(away)).at(close)
    };
    let levels = Levels {
        stop: level(rules.exits.stop_loss, -sign),
        target: level(rules.exits.take_profit, sign),
        trail: Line::never(-sign),
        best: price,
    };
    let seen = Seen {
        start: open,
        high: prices.high[last],
        low: prices.low[last],
    };
    let hit = levels.hit(sign > 0.0, BothTouched::StopFirst, seen);
    let Some(hit) = hit else {
        equity[last] = cash + units * close;
        return;
    };
    let exit = Exit {
        bar: last,
        price: hit.price,
        reason: hit.reason,
    };
    let level = hit.price;
    let commissions = commission(units, price) + commission(units, level);
    equity[last] = cash + units * level - commission(units, level);
    let entry = Stamp {
        bar: bar as u32,
        ..Stamp::default()
    };
    recorder
        .trades
        .push(closed(entry, units, price, commissions, &exit));
}

/// How a trade ends in that step.
struct Exit {
    bar: usize,
    price: f64,
    reason: ExitReason,
}

fn closed(
    entry: Stamp,
    qty: f64,
    entry_price: f64,
    commission: f64,
    exit: &Exit,
) -> (Stamp, PositionClose) {
    let close = PositionClose {
        entry_ts_ns: entry.ts_ns,
        entry_bar: entry.bar,
        fills: 2,
        qty,
        entry_price,
        exit_price: exit.price,
        pnl: qty * (exit.price - entry_price) - commission,
        commission,
        slippage: 0.0,
        borrow: 0.0,
        mae: 0.0,
        mfe: 0.0,
    };
    let stamp = Stamp {
        bar: exit.bar as u32,
        code: exit.reason as u8,
        ..entry
    };
    (stamp, close)
}
