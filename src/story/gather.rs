//! The events of one trade, picked from those of its container.

use admf_formats::event::{
    AnyPayload, EventKind, OrderStatus, PositionClose, PositionOpen, PositionUpdate, Stamp,
};
use std::collections::VecDeque;

/// Events of a trade that its story tells at most: so many of the first, as many of the last.
pub const EVENTS_MAX: usize = 1024;
/// Events of other trades that are remembered, since they may turn out to be a cause: an opposite
/// signal carries the number of the trade that it ends.
const RECENT_MAX: usize = 256;

/// One event.
pub type Event = (Stamp, AnyPayload);

/// Takes a container's events in order and keeps what one trade is about.
#[derive(Clone, Debug)]
pub struct Gatherer {
    trade: u32,
    recent: VecDeque<Event>,
    first: Vec<Event>,
    last: VecDeque<Event>,
    left_out: u64,
    /// Sequence of the first event of the story; 0 before there is one.
    begins: u64,
    previous: u64,
    /// Sequence since when no event is missing.
    unbroken_since: u64,
    /// Whether an event of the story, or one that lies between them, is missing.
    is_broken: bool,
    /// Whether the order that would have opened it came to its end without a fill.
    is_refused: bool,
    /// Whether every event that carries the trade's number is there if any is.
    keeps_trades: bool,
    told: Told,
}

/// What a trade comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Its events and those that caused them, in order; without those in the middle of a long
    /// story.
    pub events: Vec<Event>,
    /// Events of it that are left out.
    pub left_out: u64,
    /// POSITION_OPEN.
    pub open: Option<(Stamp, PositionOpen)>,
    /// Latest POSITION_UPDATE.
    pub update: Option<(Stamp, PositionUpdate)>,
    /// POSITION_CLOSE.
    pub close: Option<(Stamp, PositionClose)>,
    /// Fills.
    pub fills: u64,
    /// Units after the latest fill.
    pub units: f64,
    /// Value of the fills that made the position larger.
    pub entry_value: f64,
    /// Sum of `-qty * price - commission` over its fills, less borrow fees.
    pub cash_flow: f64,
    /// Sum of the commissions.
    pub commission: f64,
    /// Sum of what the prices were worse than their reference.
    pub slippage: f64,
    /// Sum of the borrow fees.
    pub borrow: f64,
    /// The highest trade number of the container.
    pub trades: u32,
    /// Whether no event of it can be missing.
    pub is_whole: bool,
}

impl Gatherer {
    /// Before the first event of a container; `trade` counts from 1.
    pub fn new(trade: u32) -> Gatherer {
        Gatherer {
            trade,
            recent: VecDeque::with_capacity(RECENT_MAX),
            first: Vec::new(),
            last: VecDeque::new(),
            left_out: 0,
            begins: 0,
            previous: 0,
            unbroken_since: 1,
            is_broken: false,
            is_refused: false,
            keeps_trades: false,
            told: Told::default(),
        }
    }

    /// Likewise, where retention left out what it left out by whole trades: of a trade that has any
    /// event, the archive has all that carry its number, up to the end of its container. Events may
    /// come in any order of trades; only what caused one, as an event of another trade, can be
    /// missing.
    pub fn of_kept_trades(trade: u32) -> Gatherer {
        Gatherer {
            keeps_trades: true,
            ..Gatherer::new(trade)
        }
    }

    /// The next event of the container.
    pub fn event(&mut self, stamp: &Stamp, payload: &AnyPayload) {
        if stamp.sequence != self.previous + 1 {
            self.unbroken_since = stamp.sequence;
        }
        self.previous = stamp.sequence;
        self.told.trades = self.told.trades.max(stamp.trade);
        let event = (*stamp, *payload);
        // What belongs to no trade carries 0.
        if stamp.trade != self.trade || stamp.trade == 0 {
            let is_reference = matches!(payload.kind(), EventKind::Bar | EventKind::Features);
            if !is_reference {
                if self.recent.len() == RECENT_MAX {
                    self.recent.pop_front();
                }
                self.recent.push_back(event);
            }
            return;
        }
        let is_first = self.begins == 0;
        let has_cause = self.pull_cause(&event);
        if is_first && !has_cause && !begins_a_story(payload.kind()) {
            self.is_broken = true;
        }
        // A signal is caused by FEATURES, which no story tells.
        let needs_cause = self.keeps_trades && payload.kind() != EventKind::Signal;
        let is_told = !needs_cause || has_cause || self.has_cause(stamp);
        self.fold(stamp, payload);
        self.keep(event);
        let is_cut = !self.keeps_trades && self.unbroken_since > self.begins;
        self.is_broken |= is_cut || !is_told;
    }

    /// Whether the story has what caused an event, or nothing did. One of the middle that was left
    /// out counts as missing.
    fn has_cause(&self, stamp: &Stamp) -> bool {
        let cause = stamp.sequence - u64::from(stamp.cause_back);
        stamp.cause_back == 0
            || (self.last.iter().rev())
                .chain(&self.first)
                .any(|(told, _)| told.sequence == cause)
    }

    /// Takes the event that caused this one, and what caused that, out of the remembered ones.
    fn pull_cause(&mut self, (stamp, _): &Event) -> bool {
        if stamp.cause_back == 0 {
            return false;
        }
        let cause = stamp.sequence - u64::from(stamp.cause_back);
        let found = self.recent.iter().position(|(s, _)| s.sequence == cause);
        let Some(event) = found.and_then(|at| self.recent.remove(at)) else {
            return false;
        };
        self.pull_cause(&event);
        self.keep(event);
        true
    }

    fn keep(&mut self, event: Event) {
        if self.begins == 0 || event.0.sequence < self.begins {
            self.begins = event.0.sequence;
        }
        if self.first.len() < EVENTS_MAX / 2 {
            self.first.push(event);
            return;
        }
        if self.last.len() == EVENTS_MAX / 2 {
            self.last.pop_front();
            self.left_out += 1;
        }
        self.last.push_back(event);
    }

    fn fold(&mut self, stamp: &Stamp, payload: &AnyPayload) {
        let told = &mut self.told;
        match payload {
            AnyPayload::Order(order) if order.exit_reason == 0 => {
                let status = OrderStatus::from_number(stamp.code);
                let goes_on =
                    matches!(status, Some(OrderStatus::Accepted | OrderStatus::Triggered));
                self.is_refused = !goes_on && told.open.is_none();
            }
            AnyPayload::Fill(fill) => {
                told.fills += 1;
                if fill.units_after.abs() > told.units.abs() {
                    told.entry_value += (fill.qty * fill.price).abs();
                }
                told.units = fill.units_after;
                told.cash_flow += -fill.qty * fill.price - fill.commission;
                told.commission += fill.commission;
                told.slippage += fill.qty * (fill.price - fill.reference_price);
            }
            AnyPayload::Accrual(accrual) => {
                told.cash_flow -= accrual.amount;
                told.borrow += accrual.amount;
            }
            AnyPayload::PositionOpen(open) => told.open = Some((*stamp, *open)),
            AnyPayload::PositionUpdate(update) => told.update = Some((*stamp, *update)),
            AnyPayload::PositionClose(close) => told.close = Some((*stamp, *close)),
            _ => {}
        }
    }

    /// The story. `events` is how many the container had, where that is known: without it a trade
    /// that was not closed may have gone on in events that were not kept.
    pub fn finish(mut self, events: Option<u64>) -> Told {
        // Of a trade without a close that is kept as a whole, this is all that there was.
        let is_over = self.told.close.is_some()
            || self.is_refused
            || self.keeps_trades
            || events == Some(self.previous) && self.unbroken_since <= self.begins;
        self.told.is_whole = self.begins != 0 && !self.is_broken && is_over;
        self.told.left_out = self.left_out;
        self.told.events = self.first;
        self.told.events.extend(self.last);
        // A cause may stand after an event that it did not cause.
        self.told.events.sort_by_key(|(stamp, _)| stamp.sequence);
        self.told
    }
}

/// Kinds that nothing of a trade comes before.
const fn begins_a_story(kind: EventKind) -> bool {
    matches!(kind, EventKind::Signal | EventKind::RiskBreach)
}

#[cfg(test)]
mod tests {
    use super::*;
    use admf_formats::event::{OrderRequest, Payload, PortfolioUpdate, Signal};

    fn event(sequence: u64, trade: u32, cause: u64, payload: AnyPayload) -> Event {
        let stamp = Stamp {
            sequence,
            trade,
            cause_back: if cause == 0 {
                0
            } else {
                (sequence - cause) as u32
            },
            ..Stamp::default()
        };
        (stamp, payload)
    }

    fn signal(sequence: u64, trade: u32) -> Event {
        let payload = Signal {
            price: 1.0,
            strength: 1.0,
        };
        event(sequence, trade, 0, payload.any())
    }

    fn request(sequence: u64, trade: u32, cause: u64) -> Event {
        let payload = OrderRequest {
            price: 1.0,
            target: 1.0,
        };
        event(sequence, trade, cause, payload.any())
    }

    fn close(sequence: u64, trade: u32) -> Event {
        let payload = PositionClose {
            entry_ts_ns: 0,
            entry_bar: 0,
            fills: 2,
            qty: 1.0,
            entry_price: 1.0,
            exit_price: 1.0,
            pnl: 0.0,
            commission: 0.0,
            slippage: 0.0,
            borrow: 0.0,
            mae: 0.0,
            mfe: 0.0,
        };
        event(sequence, trade, 0, payload.any())
    }

    /// The sequences of trade 2's story, and whether it is whole.
    fn check(events: &[Event], total: Option<u64>, sequences: &[u64], is_whole: bool) {
        let mut gatherer = Gatherer::new(2);
        for (stamp, payload) in events {
            gatherer.event(stamp, payload);
        }
        let told = gatherer.finish(total);
        let found: Vec<u64> = told.events.iter().map(|(s, _)| s.sequence).collect();
        assert_eq!((found.as_slice(), told.is_whole), (sequences, is_whole));
    }

    #[test]
    fn a_trade_is_told_from_its_signal_to_its_close() {
        let all = [signal(1, 2), request(2, 2, 1), close(3, 2)];
        check(&all, None, &[1, 2, 3], true);
        // Not from its request on, for who knows what was before.
        check(&all[1..], None, &[2, 3], false);
        check(&[all[0], all[2]], None, &[1, 3], false);
        // What is not closed may have gone on, unless this was the last event.
        check(&all[..2], None, &[1, 2], false);
        check(&all[..2], Some(2), &[1, 2], true);
        check(&all[..2], Some(3), &[1, 2], false);
    }

    #[test]
    fn the_signal_of_a_reversal_belongs_to_both_trades() {
        let all = [
            signal(7, 1),
            request(8, 1, 7),
            request(9, 2, 7),
            close(10, 1),
            close(11, 2),
        ];
        check(&all, None, &[7, 9, 11], true);
        check(&all[1..], None, &[9, 11], false);
        // What lies between may be of the trade, too.
        check(&[all[0], all[2], all[3], all[4]], None, &[7, 9, 11], false);
    }

    #[test]
    fn a_trade_that_was_kept_whole_is_told_without_what_lies_between() {
        let check = |events: &[Event], sequences: &[u64], is_whole: bool| {
            let mut gatherer = Gatherer::of_kept_trades(2);
            for (stamp, payload) in events {
                gatherer.event(stamp, payload);
            }
            let told = gatherer.finish(Some(99));
            let found: Vec<u64> = told.events.iter().map(|(s, _)| s.sequence).collect();
            assert_eq!((found.as_slice(), told.is_whole), (sequences, is_whole));
        };
        let mut first = signal(3, 2);
        first.0.cause_back = 1;
        check(&[first, request(4, 2, 3), close(90, 2)], &[3, 4, 90], true);
        check(&[signal(3, 2), request(4, 2, 3)], &[3, 4], true);
        check(&[close(2, 1), close(50, 3)], &[], false);
        // The signal that it began with ended trade 1, which was kept, or was not.
        check(
            &[signal(7, 1), close(9, 1), request(8, 2, 7), close(20, 2)],
            &[7, 8, 20],
            true,
        );
        check(&[request(8, 2, 7), close(20, 2)], &[8, 20], false);
        // A later event has a cause that was not kept.
        let order = request(12, 2, 10);
        check(&[signal(7, 2), order, close(20, 2)], &[7, 12, 20], false);
    }

    #[test]
    fn a_long_story_leaves_out_its_middle_and_says_so() {
        let update = PortfolioUpdate {
            units: 1.0,
            cash: 0.0,
            equity: 1.0,
        };
        let mut gatherer = Gatherer::new(1);
        for sequence in 1..=5000 {
            let (stamp, payload) = match sequence {
                1 => signal(1, 1),
                5000 => close(5000, 1),
                _ => event(sequence, 1, 0, update.any()),
            };
            gatherer.event(&stamp, &payload);
        }
        let told = gatherer.finish(None);
        assert_eq!(told.events.len(), EVENTS_MAX);
        assert_eq!(told.left_out, 5000 - EVENTS_MAX as u64);
        assert_eq!(told.events.last().map(|(s, _)| s.sequence), Some(5000));
        assert!(told.is_whole && told.close.is_some());
    }
}
