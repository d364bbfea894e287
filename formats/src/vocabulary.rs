//! The names behind the two small numbers of an event's stamp, by kind.

use crate::event::{
    EventKind, ExitReason, OrderStatus, OrderType, Reason, RiskRule, Side, TimeInForce,
};

/// A list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// [`Side`].
    Side,
    /// [`OrderStatus`].
    OrderStatus,
    /// [`Reason`].
    Reason,
    /// [`ExitReason`].
    ExitReason,
    /// [`RiskRule`].
    RiskRule,
    /// [`OrderType`], in the field `order_type`.
    OrderType,
    /// [`TimeInForce`], in the field `time_in_force`.
    TimeInForce,
}

impl Vocabulary {
    /// Every list.
    pub const ALL: [Vocabulary; 7] = [
        Vocabulary::Side,
        Vocabulary::OrderStatus,
        Vocabulary::Reason,
        Vocabulary::ExitReason,
        Vocabulary::RiskRule,
        Vocabulary::OrderType,
        Vocabulary::TimeInForce,
    ];

    /// What the list is called where a format is described.
    pub const fn label(self) -> &'static str {
        match self {
            Vocabulary::Side => "side",
            Vocabulary::OrderStatus => "order status",
            Vocabulary::Reason => "reason",
            Vocabulary::ExitReason => "exit reason",
            Vocabulary::RiskRule => "risk rule",
            Vocabulary::OrderType => "order type",
            Vocabulary::TimeInForce => "time in force",
        }
    }

    /// The name with this number; `None` where the list has none.
    pub fn name(self, number: u8) -> Option<&'static str> {
        match self {
            Vocabulary::Side => Side::from_number(number).map(Side::name),
            Vocabulary::OrderStatus => OrderStatus::from_number(number).map(OrderStatus::name),
            Vocabulary::Reason => Reason::from_number(number).map(Reason::name),
            Vocabulary::ExitReason => ExitReason::from_number(number).map(ExitReason::name),
            Vocabulary::RiskRule => RiskRule::from_number(number).map(RiskRule::name),
            Vocabulary::OrderType => OrderType::from_number(number).map(OrderType::name),
            Vocabulary::TimeInForce => TimeInForce::from_number(number).map(TimeInForce::name),
        }
    }
}

/// Key in JSON and names of the stamp's `code`; `None` where the kind has no use for it.
pub const fn code_of(kind: EventKind) -> Option<(&'static str, Vocabulary)> {
    match kind {
        EventKind::Order => Some(("status", Vocabulary::OrderStatus)),
        EventKind::PositionClose => Some(("exit_reason", Vocabulary::ExitReason)),
        EventKind::RiskBreach => Some(("rule", Vocabulary::RiskRule)),
        EventKind::Signal
        | EventKind::OrderRequest
        | EventKind::Fill
        | EventKind::PositionOpen
        | EventKind::PositionUpdate => Some(("side", Vocabulary::Side)),
        _ => None,
    }
}

/// Key in JSON and names of the stamp's `detail`; `None` where the kind has no use for it.
pub const fn detail_of(kind: EventKind) -> Option<(&'static str, Vocabulary)> {
    match kind {
        EventKind::Order | EventKind::RiskBreach | EventKind::Error => {
            Some(("reason", Vocabulary::Reason))
        }
        EventKind::PositionUpdate => Some(("exit_reason", Vocabulary::ExitReason)),
        _ => None,
    }
}
