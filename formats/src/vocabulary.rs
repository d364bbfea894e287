//! The names behind the two small numbers of an event's stamp, by kind.

use crate::event::{EventKind, ExitReason, OrderStatus, Reason, Side};

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
}

impl Vocabulary {
    /// Every list.
    pub const ALL: [Vocabulary; 4] = [
        Vocabulary::Side,
        Vocabulary::OrderStatus,
        Vocabulary::Reason,
        Vocabulary::ExitReason,
    ];

    /// What the list is called where a format is described.
    pub const fn label(self) -> &'static str {
        match self {
            Vocabulary::Side => "side",
            Vocabulary::OrderStatus => "order status",
            Vocabulary::Reason => "reason",
            Vocabulary::ExitReason => "exit reason",
        }
    }

    /// The name with this number; `None` where the list has none.
    pub fn name(self, number: u8) -> Option<&'static str> {
        match self {
            Vocabulary::Side => Side::from_number(number).map(Side::name),
            Vocabulary::OrderStatus => OrderStatus::from_number(number).map(OrderStatus::name),
            Vocabulary::Reason => Reason::from_number(number).map(Reason::name),
            Vocabulary::ExitReason => ExitReason::from_number(number).map(ExitReason::name),
        }
    }
}

/// Key in JSON and names of the stamp's `code`; `None` where the kind has no use for it.
pub const fn code_of(kind: EventKind) -> Option<(&'static str, Vocabulary)> {
    match kind {
        EventKind::Order => Some(("status", Vocabulary::OrderStatus)),
        EventKind::PositionClose => Some(("exit_reason", Vocabulary::ExitReason)),
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
        _ => None,
    }
}
