//! Events: what a container tells, one record per fact.
//!
//! An event is a [`Stamp`] (what every event has: sequence, time, bar, trade, cause) and a payload
//! of a fixed shape per [`EventKind`]. Payloads hold no pointers and no text and do not repeat what
//! the stamp holds. Where they lie in a file is the business of [`crate::segment`].
//!
//! BAR, FEATURES and PORTFOLIO_UPDATE are run-length encoded: one record stands for all bars from
//! its own until the next record of that kind (or, for BAR and FEATURES, for the count it names).
//!
//! Longer than other files: it is the table of every kind, number and field, in one place.

use crate::error::Error as DecodeError;
use rkyv::{Archive, Deserialize, Serialize};

/// What happened. The number is part of the format and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    /// Bars of the data file became visible to the container: a reference, not a copy.
    Bar = 1,
    /// Feature columns were computed for a run of bars: a reference, not a copy.
    Features = 2,
    /// The strategy wants another position.
    Signal = 3,
    /// The portfolio asks for an order.
    OrderRequest = 4,
    /// The order was accepted, rejected or expired.
    Order = 5,
    /// An order was executed.
    Fill = 6,
    /// Units and cash from this bar's close on.
    PortfolioUpdate = 7,
    /// An open position changed its size without closing.
    PositionUpdate = 8,
    /// A trade began.
    PositionOpen = 9,
    /// A trade ended; carries the whole trade.
    PositionClose = 10,
    /// A classifier changed its mind.
    RegimeChange = 11,
    /// A classifier's view of a bar.
    Classification = 12,
    /// A limit of the risk rules was reached.
    RiskBreach = 13,
    /// The container could not go on.
    Error = 14,
    /// The container's window begins.
    SystemStart = 15,
    /// The container's window is over.
    SystemStop = 16,
    /// Holding a position cost money: the borrow fee of a short position.
    Accrual = 17,
}

impl EventKind {
    /// Every kind, in the order of its number.
    pub const ALL: [EventKind; 17] = [
        EventKind::Bar,
        EventKind::Features,
        EventKind::Signal,
        EventKind::OrderRequest,
        EventKind::Order,
        EventKind::Fill,
        EventKind::PortfolioUpdate,
        EventKind::PositionUpdate,
        EventKind::PositionOpen,
        EventKind::PositionClose,
        EventKind::RegimeChange,
        EventKind::Classification,
        EventKind::RiskBreach,
        EventKind::Error,
        EventKind::SystemStart,
        EventKind::SystemStop,
        EventKind::Accrual,
    ];

    /// The name in configuration and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Bar => "BAR",
            EventKind::Features => "FEATURES",
            EventKind::Signal => "SIGNAL",
            EventKind::OrderRequest => "ORDER_REQUEST",
            EventKind::Order => "ORDER",
            EventKind::Fill => "FILL",
            EventKind::PortfolioUpdate => "PORTFOLIO_UPDATE",
            EventKind::PositionUpdate => "POSITION_UPDATE",
            EventKind::PositionOpen => "POSITION_OPEN",
            EventKind::PositionClose => "POSITION_CLOSE",
            EventKind::RegimeChange => "REGIME_CHANGE",
            EventKind::Classification => "CLASSIFICATION",
            EventKind::RiskBreach => "RISK_BREACH",
            EventKind::Error => "ERROR",
            EventKind::SystemStart => "SYSTEM_START",
            EventKind::SystemStop => "SYSTEM_STOP",
            EventKind::Accrual => "ACCRUAL",
        }
    }

    /// The kind with this name; `POSITION_OPENED` and `POSITION_CLOSED` are accepted as aliases.
    pub fn from_name(name: &str) -> Option<EventKind> {
        match name {
            "POSITION_OPENED" => Some(EventKind::PositionOpen),
            "POSITION_CLOSED" => Some(EventKind::PositionClose),
            _ => EventKind::ALL.into_iter().find(|kind| kind.name() == name),
        }
    }

    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<EventKind> {
        if number == 0 || number as usize > EventKind::ALL.len() {
            return None;
        }
        Some(EventKind::ALL[number as usize - 1])
    }
}

/// A set of event kinds: what a tracer selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EventSet(u32);

impl EventSet {
    /// No kind at all.
    pub const NONE: EventSet = EventSet(0);
    /// Every kind.
    pub const ALL: EventSet = EventSet(0x3_fffe);

    /// The set with one more kind.
    #[must_use]
    pub const fn with(self, kind: EventKind) -> EventSet {
        EventSet(self.0 | 1 << kind as u32)
    }

    /// Whether the kind is selected.
    #[inline(always)]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }

    /// Whether nothing is selected.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The selected kinds, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<EventKind> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> EventSet {
        kinds.into_iter().fold(EventSet::NONE, EventSet::with)
    }
}

/// What every event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Event id: counts from 1 in its container, over traced and untraced events alike.
    pub sequence: u64,
    /// Simulated time: the timestamp of the bar, nanoseconds since 1970 UTC.
    pub ts_ns: i64,
    /// Correlation id: the trade, from 1 in its container; [`crate::units::TRADE_NONE`] for none.
    pub trade: u32,
    /// Absolute index of the bar in the bars file.
    pub bar: u32,
    /// Causation id, as distance: the cause is `sequence - cause_back`;
    /// [`crate::units::CAUSE_NONE`] for none.
    pub cause_back: u32,
    /// Index of the symbol in the manifest.
    pub symbol: u16,
    /// A kind's small number, see [`Side`], [`OrderStatus`], [`ExitReason`], [`RiskRule`]; 0 where
    /// it has none.
    pub code: u8,
    /// A second small number: the [`Reason`] of an ORDER, RISK_BREACH or ERROR, the [`ExitReason`]
    /// of a POSITION_UPDATE that closes a part; otherwise 0.
    pub detail: u8,
}

/// Direction of a signal, order request, fill or position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Side {
    /// No position wanted.
    #[default]
    Flat = 0,
    /// Long, or a buy.
    Long = 1,
    /// Short, or a sell.
    Short = 2,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OrderStatus {
    /// Waiting for its fill.
    Accepted = 1,
    /// Refused; the reason is in [`Stamp::detail`].
    Rejected = 2,
    /// Never filled; the reason is in [`Stamp::detail`].
    Expired = 3,
    /// Withdrawn before it filled; the reason is in [`Stamp::detail`].
    Cancelled = 4,
    /// The stop price of a stop-limit order was reached: it is a limit order from here on.
    Triggered = 5,
}

/// How an order fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OrderType {
    /// At the next price there is.
    Market = 1,
    /// At the limit price or better.
    Limit = 2,
    /// As a market order once the stop price is reached.
    Stop = 3,
    /// As a limit order once the stop price is reached.
    StopLimit = 4,
}

/// How long an order waits for its fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimeInForce {
    /// Until it is cancelled.
    GoodTillCancelled = 1,
    /// Until the day of the bar after its decision is over.
    Day = 2,
    /// For a number of bars.
    Bars = 3,
}

/// A rule that limits risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RiskRule {
    /// Units of a position.
    Position = 1,
    /// Value of a position as a fraction of equity.
    Exposure = 2,
    /// Drawdown of equity from its peak.
    Drawdown = 3,
    /// Loss since the close before the day.
    DailyLoss = 4,
    /// What the cash buys.
    Cash = 5,
}

/// Why an order was rejected or expired, or a container failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Nothing to explain.
    None = 0,
    /// The order costs more than the cash there is.
    InsufficientCash = 1,
    /// The size came out as zero units.
    ZeroQuantity = 2,
    /// The window was over before the order could fill.
    WindowEnd = 3,
    /// Equity at a close was zero or less.
    EquityExhausted = 4,
    /// The code of the container panicked.
    Panic = 5,
    /// The good-till time of the order passed.
    TimeInForce = 6,
    /// A limit of the risk rules forbids it.
    RiskLimit = 7,
    /// A later signal took its place.
    Superseded = 8,
    /// The size needs a distance or a volatility that is not known at that bar.
    SizeUnknown = 9,
    /// A price of the order, or of an exit of what it opens, needs a feature that is not defined at
    /// the bar of its signal.
    LevelUnknown = 10,
}

/// Why a trade ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum ExitReason {
    /// The strategy's own exit.
    Signal = 1,
    /// Stop loss.
    StopLoss = 2,
    /// Take profit.
    TakeProfit = 3,
    /// Trailing stop.
    TrailingStop = 4,
    /// Held for the most bars allowed.
    TimeStop = 5,
    /// Closed at the end of the day.
    EndOfDay = 6,
    /// Closed at the end of the window.
    CloseAtEnd = 7,
    /// Closed by a risk rule.
    Risk = 8,
}

macro_rules! named_numbers {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name in JSON.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }

            /// The value with this number.
            pub const fn from_number(number: u8) -> Option<$type> {
                $(if number == $type::$variant as u8 { return Some($type::$variant); })+
                None
            }
        }
    };
}

named_numbers!(Side { Flat = "flat", Long = "long", Short = "short" });
named_numbers!(OrderStatus {
    Accepted = "accepted",
    Rejected = "rejected",
    Expired = "expired",
    Cancelled = "cancelled",
    Triggered = "triggered",
});
named_numbers!(OrderType { Market = "market", Limit = "limit", Stop = "stop", StopLimit = "stop_limit" });
named_numbers!(TimeInForce { GoodTillCancelled = "gtc", Day = "day", Bars = "bars" });
named_numbers!(RiskRule {
    Position = "position",
    Exposure = "exposure",
    Drawdown = "drawdown",
    DailyLoss = "daily_loss",
    Cash = "cash",
});
named_numbers!(Reason {
    None = "none",
    InsufficientCash = "insufficient_cash",
    ZeroQuantity = "zero_quantity",
    WindowEnd = "window_end",
    EquityExhausted = "equity_exhausted",
    Panic = "panic",
    TimeInForce = "time_in_force",
    RiskLimit = "risk_limit",
    Superseded = "superseded",
    SizeUnknown = "size_unknown",
    LevelUnknown = "level_unknown",
});
named_numbers!(ExitReason {
    Signal = "signal",
    StopLoss = "stop_loss",
    TakeProfit = "take_profit",
    TrailingStop = "trailing_stop",
    TimeStop = "time_stop",
    EndOfDay = "end_of_day",
    CloseAtEnd = "close_at_end",
    Risk = "risk",
});

/// A payload type: one per [`EventKind`].
///
/// Shape: `BYTES` bytes, little-endian, 8-aligned, without padding holes that are not zero.
pub trait Payload: Copy {
    /// The kind of event it belongs to.
    const KIND: EventKind;
    /// Its size on disk, a multiple of 8.
    const BYTES: usize;
    /// Field names and types, in order of their offset: what the manifest's schema lists.
    const FIELDS: &'static [(&'static str, FieldType)];

    /// Serialises into exactly `BYTES` bytes, without allocation.
    fn write(&self, into: &mut [u8]);
    /// Reads back what [`Payload::write`] wrote, checked.
    fn read(bytes: &[u8]) -> Result<Self, DecodeError>;
    /// The payload beside those of other kinds.
    fn any(self) -> AnyPayload;
}

/// The type of a payload field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// 8-byte IEEE 754 number; NaN is the null value.
    F64,
    /// 8-byte signed number.
    I64,
    /// 8-byte unsigned number.
    U64,
    /// 4-byte unsigned number.
    U32,
}

impl FieldType {
    /// The name in the manifest's schema.
    pub const fn name(self) -> &'static str {
        match self {
            FieldType::F64 => "f64",
            FieldType::I64 => "i64",
            FieldType::U64 => "u64",
            FieldType::U32 => "u32",
        }
    }

    /// Its size.
    pub const fn bytes(self) -> usize {
        match self {
            FieldType::U32 => 4,
            _ => 8,
        }
    }
}

macro_rules! field_type {
    (f64) => {
        FieldType::F64
    };
    (i64) => {
        FieldType::I64
    };
    (u64) => {
        FieldType::U64
    };
    (u32) => {
        FieldType::U32
    };
}

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident, $bytes:literal { $($(#[$field_doc:meta])* $field:ident: $type:tt),+ $(,)? })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
            #[rkyv(derive(Debug))]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type),+
            }

            impl Payload for $name {
                const KIND: EventKind = EventKind::$name;
                const BYTES: usize = $bytes;
                const FIELDS: &'static [(&'static str, FieldType)] =
                    &[$((stringify!($field), field_type!($type))),+];

                // Field by field: the bytes that rkyv writes, which a test compares, in a fraction
                // of its time.
                #[inline(always)]
                fn write(&self, into: &mut [u8]) {
                    let into: &mut [u8; $bytes] =
                        into.try_into().expect("a payload is written into its own bytes");
                    let mut at = 0;
                    $(
                        let bytes = self.$field.to_le_bytes();
                        // An array is stored at once, whatever is inlined.
                        let (_, rest) = into.split_at_mut(at);
                        *rest.first_chunk_mut().expect("fields fill the payload") = bytes;
                        at += bytes.len();
                    )+
                    debug_assert!(at == $bytes);
                }

                fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
                    let archived = rkyv::api::low::access::<rkyv::Archived<$name>, rkyv::rancor::Failure>(bytes)
                        .map_err(|_| DecodeError::Payload { kind: EventKind::$name, bytes: bytes.len() })?;
                    Ok($name { $($field: archived.$field.into()),+ })
                }

                #[inline(always)]
                fn any(self) -> AnyPayload {
                    AnyPayload::$name(self)
                }
            }

            const _: () = assert!(core::mem::size_of::<rkyv::Archived<$name>>() == $bytes && $bytes % 8 == 0);
        )+

        /// Any event's payload, decoded.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum AnyPayload {
            $($(#[$doc])* $name($name)),+
        }

        impl AnyPayload {
            /// Decodes the payload of an event of this kind.
            ///
            /// Errors: [`DecodeError::Payload`] where the bytes are not a payload of that kind.
            pub fn read(kind: EventKind, bytes: &[u8]) -> Result<AnyPayload, DecodeError> {
                match kind { $(EventKind::$name => $name::read(bytes).map(AnyPayload::$name)),+ }
            }

            /// The kind of event it belongs to.
            pub const fn kind(&self) -> EventKind {
                match self { $(AnyPayload::$name(_) => EventKind::$name),+ }
            }

            /// Written by [`Payload::write`] and by rkyv.
            #[cfg(test)]
            fn written_twice(&self, own: &mut [u8], by_rkyv: &mut [u8]) {
                match self {
                    $(AnyPayload::$name(payload) => {
                        payload.write(own);
                        let written = rkyv::api::low::to_bytes_in_with_alloc::<_, _, rkyv::rancor::Failure>(
                            payload,
                            rkyv::ser::writer::Buffer::from(by_rkyv),
                            rkyv::ser::allocator::SubAllocator::empty(),
                        );
                        assert!(matches!(&written, Ok(buffer) if buffer.len() == $bytes));
                    })+
                }
            }

            /// Serialises into the first bytes of `into`, as many as the kind has on disk.
            pub fn write(&self, into: &mut [u8]) {
                match self { $(AnyPayload::$name(payload) => payload.write(&mut into[..$bytes])),+ }
            }
        }

        impl EventKind {
            /// Size of the payload on disk.
            pub const fn payload_bytes(self) -> usize {
                match self { $(EventKind::$name => $bytes),+ }
            }

            /// Field names and types of the payload, in order of their offset.
            pub const fn payload_fields(self) -> &'static [(&'static str, FieldType)] {
                match self { $(EventKind::$name => $name::FIELDS),+ }
            }
        }
    };
}

payloads! {
    /// Bars from the stamp's bar on, in the bars file that the manifest names.
    Bar, 8 {
        /// How many bars.
        bars: u64,
    }
    /// Feature columns were computed for bars from the stamp's bar on.
    Features, 8 {
        /// How many bars.
        bars: u64,
    }
    /// `code`: the [`Side`] that is wanted.
    Signal, 16 {
        /// Close of the bar of the decision.
        price: f64,
        /// Strength of the signal, 0 to 1.
        strength: f64,
    }
    /// `code`: the [`Side`] to buy (long) or sell (short).
    OrderRequest, 16 {
        /// Close of the bar of the decision.
        price: f64,
        /// Position wanted afterwards: -1, 0 or 1.
        target: f64,
    }
    /// `code`: [`OrderStatus`]; `detail`: [`Reason`].
    Order, 40 {
        /// Units, signed; null where the order is sized at its fill.
        qty: f64,
        /// Limit price; null for none.
        limit_price: f64,
        /// Stop price; null for none.
        stop_price: f64,
        /// [`OrderType`] as its number.
        order_type: u32,
        /// [`TimeInForce`] as its number.
        time_in_force: u32,
        /// Bars that it waits at most; 0 where the time in force is another.
        valid_bars: u32,
        /// [`ExitReason`] as its number where the order closes units; 0 for an entry.
        exit_reason: u32,
    }
    /// `code`: the [`Side`]: bought (long) or sold (short).
    Fill, 40 {
        /// Units, signed: negative is sold.
        qty: f64,
        /// Price paid or received, slippage included.
        price: f64,
        /// Commission, in money.
        commission: f64,
        /// Price before slippage.
        reference_price: f64,
        /// Units held after the fill, signed.
        units_after: f64,
    }
    /// Units and cash from the stamp's bar until the next record: equity at the close of bar i is
    /// `cash + units * close[i]`.
    PortfolioUpdate, 24 {
        /// Units held, signed.
        units: f64,
        /// Cash.
        cash: f64,
        /// Cash plus units at the price of the fill.
        equity: f64,
    }
    /// `code`: the [`Side`] of the position.
    PositionUpdate, 24 {
        /// Units held now, signed.
        units: f64,
        /// Average entry price.
        average_price: f64,
        /// Profit or loss taken by this change, costs deducted.
        realized_pnl: f64,
    }
    /// `code`: the [`Side`] of the position.
    PositionOpen, 24 {
        /// Units, signed.
        qty: f64,
        /// Entry price.
        price: f64,
        /// Commission of the entry.
        commission: f64,
    }
    /// The whole trade. `code`: [`ExitReason`] of the last fill; `qty` tells the side.
    PositionClose, 88 {
        /// Time of the entry.
        entry_ts_ns: i64,
        /// Bar of the entry.
        entry_bar: u32,
        /// Fills of the trade, entry and exit counted.
        fills: u32,
        /// Units of all entries, signed.
        qty: f64,
        /// Average entry price.
        entry_price: f64,
        /// Average exit price.
        exit_price: f64,
        /// Profit or loss, commissions and borrow fees deducted.
        pnl: f64,
        /// Commissions of all fills.
        commission: f64,
        /// Slippage and spread of all fills: what the prices were worse than their reference.
        slippage: f64,
        /// Borrow fees.
        borrow: f64,
        /// Maximum adverse excursion: largest move against the position, as a fraction of the
        /// average entry price, 0 or more. Bars count from the entry's up to but without the
        /// exit's, with high and low; of the exit's only the price of the exit.
        mae: f64,
        /// Maximum favourable excursion, likewise.
        mfe: f64,
    }
    /// A classifier changed its mind.
    RegimeChange, 16 {
        /// Number of the new regime.
        regime: f64,
        /// Number of the regime before.
        previous: f64,
    }
    /// A classifier's view.
    Classification, 16 {
        /// Number of the regime.
        regime: f64,
        /// Confidence, 0 to 1.
        confidence: f64,
    }
    /// `code`: [`RiskRule`]; `detail`: [`Reason`].
    RiskBreach, 16 {
        /// The limit.
        limit: f64,
        /// The value that reached it.
        value: f64,
    }
    /// `detail`: [`Reason`].
    Error, 8 {
        /// The value that the reason is about; null for none.
        value: f64,
    }
    /// The window begins.
    SystemStart, 16 {
        /// Initial capital.
        capital: f64,
        /// Bars of the window.
        bars: u64,
    }
    /// The window is over.
    SystemStop, 16 {
        /// Equity at the last close.
        equity: f64,
        /// Events of the container, this one counted.
        events: u64,
    }
    /// The borrow fee of a short position, on the first bar of a new day.
    Accrual, 32 {
        /// Money taken from cash, positive.
        amount: f64,
        /// Units held over night, signed.
        units: f64,
        /// Close before the night.
        price: f64,
        /// Calendar days that the fee is for.
        days: f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::F64_NULL;

    #[test]
    fn every_kind_is_found_by_its_name_and_number() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
            assert_eq!(EventKind::from_number(kind as u8), Some(kind));
        }
        assert_eq!(EventKind::from_number(0), None);
        assert_eq!(EventKind::from_number(18), None);
        assert_eq!(
            EventKind::from_name("POSITION_CLOSED"),
            Some(EventKind::PositionClose)
        );
        assert_eq!(EventSet::ALL.iter().count(), EventKind::ALL.len());
    }

    #[test]
    fn fields_lie_without_holes_and_fill_the_payload() {
        for kind in EventKind::ALL {
            let bytes: usize = kind
                .payload_fields()
                .iter()
                .map(|(_, field)| field.bytes())
                .sum();
            assert_eq!(bytes, kind.payload_bytes(), "{}", kind.name());
        }
    }

    #[test]
    fn a_payload_is_its_fields_in_little_endian_order() {
        let close = PositionClose {
            entry_ts_ns: 1_700_000_000_000_000_000,
            entry_bar: 7,
            fills: 2,
            qty: -3.5,
            entry_price: 100.25,
            exit_price: 99.5,
            pnl: 2.5,
            commission: 0.125,
            slippage: 0.25,
            borrow: 0.5,
            mae: 0.75,
            mfe: 1.0,
        };
        let mut bytes = [0xaa_u8; 88];
        close.write(&mut bytes);
        let mut by_hand = Vec::new();
        by_hand.extend(close.entry_ts_ns.to_le_bytes());
        by_hand.extend(7_u32.to_le_bytes());
        by_hand.extend(2_u32.to_le_bytes());
        for value in [-3.5, 100.25, 99.5, 2.5, 0.125, 0.25, 0.5, 0.75, 1.0_f64] {
            by_hand.extend(value.to_le_bytes());
        }
        assert_eq!(bytes.as_slice(), by_hand);
        #[repr(align(8))]
        struct Aligned([u8; 88]);
        assert_eq!(PositionClose::read(&Aligned(bytes).0).ok(), Some(close));
    }

    #[test]
    fn every_payload_is_written_as_rkyv_writes_it() {
        #[repr(align(16))]
        struct Aligned([u8; 128]);
        let pattern = Aligned(std::array::from_fn(|at| (at * 37 + 11) as u8));
        for kind in EventKind::ALL {
            let bytes = &pattern.0[..kind.payload_bytes()];
            let payload = AnyPayload::read(kind, bytes).expect("any bytes are numbers");
            let (mut own, mut by_rkyv) = (Aligned([0; 128]), Aligned([0; 128]));
            let size = kind.payload_bytes();
            payload.written_twice(&mut own.0[..size], &mut by_rkyv.0[..size]);
            assert_eq!(own.0[..size], *bytes, "{}", kind.name());
            assert_eq!(own.0, by_rkyv.0, "{}", kind.name());
        }
    }

    #[test]
    fn a_payload_of_the_wrong_size_is_an_error() {
        let order = Order {
            qty: F64_NULL,
            limit_price: F64_NULL,
            stop_price: F64_NULL,
            order_type: OrderType::Market as u32,
            time_in_force: TimeInForce::GoodTillCancelled as u32,
            valid_bars: 0,
            exit_reason: 0,
        };
        let mut bytes = [0_u8; 40];
        order.write(&mut bytes);
        assert!(AnyPayload::read(EventKind::Order, &bytes[..16]).is_err());
    }
}
