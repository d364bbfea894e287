//! Sizes, costs, limits and pyramiding as a plain loop over bars: what the engine is held against.
//!
//! It shares no code with the engine. Amounts of money are turned into units by bisection of the
//! cost; everything is looked up bar by bar.

use admf::execution::{Amount, Anchor, BothTouched, Commission, ExecutionRules, ExitRules, FillAt};
use admf::portfolio::{Direction, PortfolioRules, RiskRules, Sizing};
use admf_formats::event::ExitReason;

/// One bar with what a strategy says on its close.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) day: i32,
    pub(crate) open: f64,
    pub(crate) high: f64,
    pub(crate) low: f64,
    pub(crate) close: f64,
    pub(crate) enter_long: bool,
    pub(crate) exit_long: bool,
    pub(crate) enter_short: bool,
    pub(crate) exit_short: bool,
    /// What entries are sized by; NaN where it is not known.
    pub(crate) measure: f64,
}

/// A closed trade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trade {
    pub(crate) entry_bar: usize,
    pub(crate) exit_bar: usize,
    pub(crate) fills: u32,
    pub(crate) qty: f64,
    pub(crate) pnl: f64,
    pub(crate) commission: f64,
    pub(crate) slippage: f64,
    pub(crate) borrow: f64,
    pub(crate) reason: ExitReason,
}

/// What all of it came to.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) trades: Vec<Trade>,
    pub(crate) equity: Vec<f64>,
    pub(crate) rejected: u64,
    pub(crate) breaches: u64,
}

struct Open {
    bar: usize,
    units: f64,
    entries: u32,
    fills: u32,
    qty: f64,
    /// Money in and out over its fills, costs apart.
    flow: f64,
    commission: f64,
    slippage: f64,
    borrow: f64,
    stop: f64,
    /// What partial exits are measured from, and how many of their levels are behind.
    anchor: f64,
    scaled: usize,
}

#[derive(Clone, Copy)]
struct Order {
    bar: usize,
    exit: Option<ExitReason>,
    entry: f64,
}

struct Run<'a> {
    rows: &'a [Row],
    portfolio: PortfolioRules,
    execution: ExecutionRules,
    exits: ExitRules,
    risk: RiskRules,
    year_root: f64,
    cash: f64,
    open: Option<Open>,
    account: Account,
}

pub(crate) fn run(
    rows: &[Row],
    portfolio: PortfolioRules,
    execution: ExecutionRules,
    exits: ExitRules,
    risk: RiskRules,
    year_root: f64,
) -> Account {
    let mut run = Run {
        rows,
        portfolio,
        execution,
        exits,
        risk,
        year_root,
        cash: portfolio.initial_capital,
        open: None,
        account: Account::default(),
    };
    let capital = portfolio.initial_capital;
    let (mut peak, mut day_start, mut before) = (capital, capital, capital);
    let (mut halted_window, mut halted_day) = (false, false);
    let mut order: Option<Order> = None;
    for bar in 0..rows.len() {
        let row = rows[bar];
        let nights = if bar == 0 {
            0
        } else {
            row.day - rows[bar - 1].day
        };
        if nights > 0 {
            (day_start, halted_day) = (before, false);
        }
        if execution.fill == FillAt::SameClose
            && let Some(order) = order.take()
        {
            run.fill(order, rows[order.bar].close, order.bar);
        }
        if nights > 0 {
            run.charge(f64::from(nights), rows[bar - 1].close);
        }
        if let Some(order) = order.take() {
            run.fill(order, row.open, bar);
        }
        run.test_exits(bar);
        let equity = run.cash + run.units() * row.close;
        run.account.equity.push(equity);
        before = equity;
        peak = f64::max(peak, equity);
        if !halted_window && 1.0 - equity / peak >= risk.max_drawdown {
            halted_window = true;
            run.account.breaches += 1;
        } else if !halted_window && !halted_day && 1.0 - equity / day_start >= risk.max_daily_loss {
            halted_day = true;
            run.account.breaches += 1;
        }
        // A feature-less strategy decides from the second bar on.
        order = if bar == 0 { None } else { run.decide(bar) };
        if halted_window || halted_day {
            if let Some(wanted) = &mut order
                && wanted.entry != 0.0
            {
                run.account.rejected += 1;
                wanted.entry = 0.0;
            }
            let exit = order.and_then(|order| order.exit);
            order = match (run.open.is_some(), exit) {
                (true, None) => Some(Order {
                    bar,
                    exit: Some(ExitReason::Risk),
                    entry: 0.0,
                }),
                (true, exit) => Some(Order {
                    bar,
                    exit,
                    entry: 0.0,
                }),
                (false, _) => None,
            };
        }
    }
    run.account
}

impl Run<'_> {
    fn units(&self) -> f64 {
        self.open.as_ref().map_or(0.0, |open| open.units)
    }

    fn decide(&self, bar: usize) -> Option<Order> {
        let row = self.rows[bar];
        let long = row.enter_long && self.portfolio.direction != Direction::ShortOnly;
        let short = row.enter_short && self.portfolio.direction != Direction::LongOnly;
        let before = self.rows[bar - 1];
        let units = self.units();
        let entry = |sign: f64, exit: Option<ExitReason>| {
            Some(Order {
                bar,
                exit,
                entry: sign,
            })
        };
        let signal = Some(ExitReason::Signal);
        let leave = Order {
            bar,
            exit: signal,
            entry: 0.0,
        };
        let may_add = self
            .open
            .as_ref()
            .is_some_and(|open| open.entries < self.portfolio.max_entries);
        if units == 0.0 {
            match (long, short) {
                (true, _) => entry(1.0, None),
                (_, true) => entry(-1.0, None),
                _ => None,
            }
        } else if units > 0.0 {
            if short {
                entry(-1.0, signal)
            } else if row.exit_long {
                Some(leave)
            } else if may_add && row.enter_long && !before.enter_long {
                entry(1.0, None)
            } else {
                None
            }
        } else if long {
            entry(1.0, signal)
        } else if row.exit_short {
            Some(leave)
        } else if may_add && row.enter_short && !before.enter_short {
            entry(-1.0, None)
        } else {
            None
        }
    }

    fn commission(&self, units: f64, price: f64) -> f64 {
        match self.execution.commission {
            Commission::Rate(rate) => units.abs() * price * rate,
            Commission::Fixed(money) => money,
            Commission::PerShare(per_share) => {
                let mut fee = units.abs() * per_share.money;
                if fee < per_share.minimum {
                    fee = per_share.minimum;
                }
                if fee > per_share.maximum {
                    fee = per_share.maximum;
                }
                let most = units.abs() * price * per_share.maximum_rate;
                if fee > most { most } else { fee }
            }
        }
    }

    fn price(&self, reference: f64, sign: f64) -> f64 {
        let cost = self.execution.price_cost;
        reference + sign * (reference * cost.rate + cost.fixed)
    }

    /// One fill of the open trade.
    fn book(&mut self, qty: f64, reference: f64, limit: Option<f64>) {
        let price = self.price(reference, qty.signum());
        let price = match limit {
            Some(limit) if qty > 0.0 => f64::min(price, limit),
            Some(limit) => f64::max(price, limit),
            None => price,
        };
        let commission = self.commission(qty, price);
        self.cash -= qty * price + commission;
        let open = self.open.as_mut().expect("a trade is open");
        open.units += qty;
        open.fills += 1;
        open.flow -= qty * price;
        open.commission += commission;
        open.slippage += qty * (price - reference);
    }

    fn fill(&mut self, order: Order, reference: f64, bar: usize) {
        if let Some(reason) = order.exit {
            self.close(reference, bar, reason);
        }
        if order.entry == 0.0 {
            return;
        }
        let signal = self.rows[order.bar];
        let anchor = match self.exits.anchor {
            Anchor::SignalClose => signal.close,
            Anchor::Fill => self.price(reference, order.entry),
        };
        let stop = match &self.open {
            Some(open) => open.stop,
            None => match self.exits.stop_loss.map(|stop| stop.amount) {
                Some(Amount::Value(part)) => anchor * (1.0 - order.entry * part),
                _ => f64::NAN,
            },
        };
        let Some(units) = self.size(order.entry, reference, stop, signal.measure) else {
            self.account.rejected += 1;
            return;
        };
        let open = self.open.get_or_insert(Open {
            bar,
            units: 0.0,
            entries: 0,
            fills: 0,
            qty: 0.0,
            flow: 0.0,
            commission: 0.0,
            slippage: 0.0,
            borrow: 0.0,
            stop,
            anchor,
            scaled: 0,
        });
        open.entries += 1;
        open.qty += order.entry * units;
        self.book(order.entry * units, reference, None);
    }

    /// The most units that this much money pays for.
    fn bought(&self, money: f64, price: f64) -> f64 {
        let cost = |units: f64| units * price + self.commission(units, price);
        if self.portfolio.whole_units {
            let mut units = (money / price).floor().max(0.0);
            while units > 0.0 && cost(units) > money {
                units -= 1.0;
            }
            return units;
        }
        let (mut low, mut high) = (0.0, f64::max(money / price, 0.0));
        for _ in 0..300 {
            let middle = 0.5 * (low + high);
            if cost(middle) <= money {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn size(&mut self, sign: f64, reference: f64, stop: f64, measure: f64) -> Option<f64> {
        let price = self.price(reference, sign);
        let held = self.units();
        let equity = self.cash + held * price;
        let free = if held < 0.0 {
            equity - held.abs() * price
        } else {
            self.cash
        };
        let is_whole = self.portfolio.whole_units;
        let round = |units: f64| if is_whole { units.floor() } else { units };
        let of_risk = |risked: f64, each: f64| (each > 0.0).then(|| round(risked / each));
        let mut units = match self.portfolio.sizing {
            Sizing::FractionOfEquity(part) => {
                if equity * part > free {
                    return None;
                }
                self.bought(equity * part, price)
            }
            Sizing::Cash(money) => {
                if money > free {
                    return None;
                }
                self.bought(money, price)
            }
            Sizing::Quantity(units) => units,
            Sizing::RiskPerTrade { fraction } => of_risk(equity * fraction, sign * (price - stop))?,
            Sizing::Atr {
                fraction, multiple, ..
            } => of_risk(equity * fraction, multiple * measure)?,
            Sizing::Volatility { annual, .. } => {
                of_risk(equity * annual, price * measure * self.year_root)?
            }
        };
        if units <= 0.0 {
            return None;
        }
        let nothing = 1e-9 * units;
        if held.abs() + units > self.risk.max_position {
            self.account.breaches += 1;
            units = round(self.risk.max_position - held.abs());
        }
        if (held.abs() + units) * price / equity > self.risk.max_exposure {
            self.account.breaches += 1;
            units = round(self.risk.max_exposure * equity / price - held.abs());
        }
        if units <= nothing {
            return None;
        }
        let is_measured = matches!(
            self.portfolio.sizing,
            Sizing::RiskPerTrade { .. } | Sizing::Atr { .. } | Sizing::Volatility { .. }
        );
        let is_quantity = matches!(self.portfolio.sizing, Sizing::Quantity(_));
        if units * price + self.commission(units, price) > free {
            if is_quantity {
                return None;
            }
            if is_measured {
                self.account.breaches += 1;
                let nothing = 1e-9 * units;
                units = self.bought(free, price);
                if units <= nothing {
                    return None;
                }
            }
        }
        (units > 0.0).then_some(units)
    }

    fn charge(&mut self, nights: f64, close: f64) {
        let (Some(borrow), Some(open)) = (self.execution.borrow, &mut self.open) else {
            return;
        };
        if open.units < 0.0 {
            let daily = borrow.annual_rate / borrow.days_per_year;
            let fee = open.units.abs() * close * daily * nights;
            open.borrow += fee;
            self.cash -= fee;
        }
    }

    fn test_exits(&mut self, bar: usize) {
        let Some(open) = &self.open else {
            return;
        };
        let row = self.rows[bar];
        let (is_long, stop) = (open.units > 0.0, open.stop);
        let (is_stopped, begins_beyond, reference) = if is_long {
            (row.low <= stop, row.open <= stop, f64::min(row.open, stop))
        } else {
            (row.high >= stop, row.open >= stop, f64::max(row.open, stop))
        };
        let stop_first = begins_beyond || self.exits.both_touched == BothTouched::StopFirst;
        if !(is_stopped && stop_first) {
            self.take_parts(bar, is_long);
        }
        if is_stopped {
            self.close(reference, bar, ExitReason::StopLoss);
        }
    }

    /// A part at every level that the bar reaches.
    fn take_parts(&mut self, bar: usize, is_long: bool) {
        let (row, sign) = (self.rows[bar], if is_long { 1.0 } else { -1.0 });
        loop {
            let open = self.open.as_mut().expect("a trade is open");
            let Some(next) = self.exits.scale_out.get(open.scaled) else {
                return;
            };
            let level = open.anchor * (1.0 + sign * next.distance);
            let (is_reached, reference) = if is_long {
                (row.high >= level, f64::max(row.open, level))
            } else {
                (row.low <= level, f64::min(row.open, level))
            };
            if !is_reached {
                return;
            }
            open.scaled += 1;
            let mut units = open.units.abs() * next.part;
            if self.portfolio.whole_units {
                units = units.floor();
            }
            if units > 0.0 {
                self.book(-sign * units, reference, Some(level));
            }
        }
    }

    fn close(&mut self, reference: f64, bar: usize, reason: ExitReason) {
        self.book(-self.units(), reference, None);
        let open = self.open.take().expect("a trade is open");
        self.account.trades.push(Trade {
            entry_bar: open.bar,
            exit_bar: bar,
            fills: open.fills,
            qty: open.qty,
            pnl: open.flow - open.commission - open.borrow,
            commission: open.commission,
            slippage: open.slippage,
            borrow: open.borrow,
            reason,
        });
    }
}
