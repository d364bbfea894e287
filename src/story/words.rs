//! Events as sentences.

use admf_formats::event::{
    AnyPayload, ExitReason, Order, OrderStatus, OrderType, Reason, RiskRule, Side, Stamp,
    TimeInForce,
};
use admf_formats::units::rfc3339;

/// A number for people: at most six digits behind the point, none of them a trailing zero. The
/// exact ones are in the JSON.
pub fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    match short {
        "-0" => "0".to_owned(),
        _ => short.to_owned(),
    }
}

/// One event as one line: time, bar, kind, and what it says.
pub fn sentence(stamp: &Stamp, payload: &AnyPayload) -> String {
    let time = rfc3339(stamp.ts_ns).unwrap_or_default();
    let says = says(stamp, payload);
    let line = format!(
        "{time:<20}  bar {:<8} {:<16} {says}",
        stamp.bar,
        payload.kind().name()
    );
    line.trim_end().to_owned()
}

fn says(stamp: &Stamp, payload: &AnyPayload) -> String {
    let side = Side::from_number(stamp.code).unwrap_or_default();
    match payload {
        AnyPayload::Signal(signal) => {
            format!("wants {}, close {}", side.name(), number(signal.price))
        }
        AnyPayload::OrderRequest(request) => format!(
            "{} to be {} at close {}",
            trade(side),
            match request.target {
                0.0 => "flat",
                target if target > 0.0 => "long",
                _ => "short",
            },
            number(request.price)
        ),
        AnyPayload::Order(order) => self::order(stamp, order),
        AnyPayload::Fill(fill) => {
            let slippage = fill.price - fill.reference_price;
            format!(
                "{} {} at {}{}, commission {}; holds {}",
                trade(side),
                number(fill.qty.abs()),
                number(fill.price),
                if slippage == 0.0 {
                    String::new()
                } else {
                    format!(
                        " ({} and {} slippage)",
                        number(fill.reference_price),
                        number(slippage)
                    )
                },
                number(fill.commission),
                number(fill.units_after)
            )
        }
        AnyPayload::PortfolioUpdate(update) => format!(
            "units {}, cash {}, equity {}",
            number(update.units),
            number(update.cash),
            number(update.equity)
        ),
        AnyPayload::PositionUpdate(update) => format!(
            "{} {}, average price {}{}{}",
            side.name(),
            number(update.units.abs()),
            number(update.average_price),
            if update.realized_pnl == 0.0 {
                String::new()
            } else {
                format!(", took {}", number(update.realized_pnl))
            },
            exit_reason(stamp.detail)
        ),
        AnyPayload::PositionOpen(open) => format!(
            "{} {} at {}",
            side.name(),
            number(open.qty.abs()),
            number(open.price)
        ),
        AnyPayload::PositionClose(close) => format!(
            "from {} to {}: {}{}",
            number(close.entry_price),
            number(close.exit_price),
            number(close.pnl),
            exit_reason(stamp.code)
        ),
        AnyPayload::RiskBreach(breach) => format!(
            "{}: {} reached its limit of {}{}",
            RiskRule::from_number(stamp.code).map_or("a rule", RiskRule::name),
            number(breach.value),
            number(breach.limit),
            reason(stamp.detail)
        ),
        AnyPayload::Accrual(accrual) => format!(
            "borrow fee {} for {} night{}, {} units at {}",
            number(accrual.amount),
            number(accrual.days),
            if accrual.days == 1.0 { "" } else { "s" },
            number(accrual.units),
            number(accrual.price)
        ),
        AnyPayload::RegimeChange(change) => format!(
            "regime {} after {}",
            number(change.regime),
            number(change.previous)
        ),
        AnyPayload::Classification(view) => format!(
            "regime {}, confidence {}",
            number(view.regime),
            number(view.confidence)
        ),
        AnyPayload::Error(error) => {
            format!("value {}{}", number(error.value), reason(stamp.detail))
        }
        AnyPayload::SystemStart(start) => format!("capital {}", number(start.capital)),
        AnyPayload::SystemStop(stop) => format!("equity {}", number(stop.equity)),
        AnyPayload::Bar(run) => format!("{} bars", run.bars),
        AnyPayload::Features(run) => format!("{} bars", run.bars),
    }
}

const fn trade(side: Side) -> &'static str {
    match side {
        Side::Long => "buys",
        Side::Short => "sells",
        Side::Flat => "does nothing",
    }
}

fn order(stamp: &Stamp, order: &Order) -> String {
    let status = OrderStatus::from_number(stamp.code).map_or("unknown", OrderStatus::name);
    let kind = u8::try_from(order.order_type)
        .ok()
        .and_then(OrderType::from_number);
    let mut text = format!("{status}: {}", kind.map_or("unknown", OrderType::name));
    if order.qty.is_nan() {
        text += ", sized at its fill";
    } else {
        text += &format!(", {} units", number(order.qty));
    }
    if order.limit_price.is_finite() {
        text += &format!(", limit {}", number(order.limit_price));
    }
    if order.stop_price.is_finite() {
        text += &format!(", stop {}", number(order.stop_price));
    }
    let force = u8::try_from(order.time_in_force)
        .ok()
        .and_then(TimeInForce::from_number);
    match force {
        Some(TimeInForce::Day) => text += ", for the day",
        Some(TimeInForce::Bars) => text += &format!(", for {} bars", order.valid_bars),
        _ => {}
    }
    if let Ok(exit) = u8::try_from(order.exit_reason) {
        text += &exit_reason(exit);
    }
    text + &reason(stamp.detail)
}

fn exit_reason(number: u8) -> String {
    ExitReason::from_number(number).map_or(String::new(), |reason| format!(" ({})", reason.name()))
}

fn reason(number: u8) -> String {
    match Reason::from_number(number) {
        None | Some(Reason::None) => String::new(),
        Some(reason) => format!(", because: {}", reason.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admf_formats::event::{Fill, Payload};
    use admf_formats::units::F64_NULL;

    fn check(code: u8, detail: u8, payload: AnyPayload, expected: &str) {
        let stamp = Stamp {
            code,
            detail,
            ..Stamp::default()
        };
        assert_eq!(says(&stamp, &payload), expected);
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (1.0, "1"),
            (-0.000_000_1, "0"),
            (0.1 + 0.2, "0.3"),
            (1200.0, "1200"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn an_order_says_what_it_waits_for_and_why_it_is_no_more() {
        let order = Order {
            qty: F64_NULL,
            limit_price: 99.5,
            stop_price: F64_NULL,
            order_type: OrderType::Limit as u32,
            time_in_force: TimeInForce::Bars as u32,
            valid_bars: 3,
            exit_reason: 0,
        };
        check(
            OrderStatus::Expired as u8,
            Reason::TimeInForce as u8,
            order.any(),
            "expired: limit, sized at its fill, limit 99.5, for 3 bars, because: time_in_force",
        );
        let stop = Order {
            qty: -4.0,
            limit_price: F64_NULL,
            stop_price: 95.0,
            order_type: OrderType::Stop as u32,
            time_in_force: TimeInForce::GoodTillCancelled as u32,
            valid_bars: 0,
            exit_reason: ExitReason::StopLoss as u32,
        };
        check(
            OrderStatus::Accepted as u8,
            0,
            stop.any(),
            "accepted: stop, -4 units, stop 95 (stop_loss)",
        );
    }

    #[test]
    fn a_fill_shows_what_slippage_took() {
        let fill = Fill {
            qty: 10.0,
            price: 100.5,
            commission: 1.0,
            reference_price: 100.0,
            units_after: 10.0,
        };
        check(
            Side::Long as u8,
            0,
            fill.any(),
            "buys 10 at 100.5 (100 and 0.5 slippage), commission 1; holds 10",
        );
    }
}
