//! Which bars the windows of a sequence have.
//!
//! Calendar windows follow the upstream arithmetic: training is `train` days from its start, testing
//! the `test` days after it, the next window begins `step` days later, and the last is the last
//! whose testing ends within the data.

use super::sequence::{FoldRule, Iterations, Sequence, Unit, WindowRule};
use super::{Split, Symbol, Warmup, Window};
use crate::container::Span;
use crate::{Error, Result};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Windows that a sequence has at most, over all its levels.
pub const WINDOWS_MAX: u64 = 10_000;

/// Bars that one symbol trades on, and the bars that its indicators see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The bars traded on.
    pub span: Span,
    /// First bar that indicators see, where they may see what is before the span.
    pub history_from: u64,
}

impl Piece {
    const fn with_history(span: Span) -> Piece {
        Piece {
            span,
            history_from: 0,
        }
    }

    /// First bar that indicators see under this setting.
    pub const fn features_from(&self, warmup: Warmup) -> u64 {
        match warmup {
            Warmup::History => self.history_from,
            Warmup::None => self.span.first,
        }
    }
}

/// One window of a sequence: what its phases trade on, by symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowBars {
    /// Folder below the phase's, such as `window_03`; empty where the sequence has one window.
    pub folder: String,
    /// Pieces of training, each with every symbol; empty where the sequence does not split.
    pub train: Vec<Vec<Piece>>,
    /// Testing.
    pub test: Vec<Piece>,
    /// Everything.
    pub all: Vec<Piece>,
}

impl WindowBars {
    /// The pieces that a phase on this window runs, in order.
    pub fn pieces(&self, window: Window) -> Vec<&[Piece]> {
        match window {
            Window::All => vec![&self.all],
            Window::Train => self.train.iter().map(Vec::as_slice).collect(),
            Window::Test => vec![&self.test],
        }
    }
}

/// The data that a level cuts.
#[derive(Clone)]
struct Scope {
    spans: Vec<Span>,
    /// First and last day, both counted, where they are known better than from the bars.
    days: Option<(Date, Date)>,
}

/// Where days begin.
struct Calendar {
    zone: TimeZone,
}

impl Calendar {
    fn date_of(&self, ts_ns: i64) -> Result<Date> {
        Timestamp::from_nanosecond(i128::from(ts_ns))
            .map(|at| self.zone.to_datetime(at).date())
            .map_err(|error| usage(format!("a time of the data: {error}")))
    }

    fn midnight(&self, date: Date) -> Result<i64> {
        // Where the clock skips midnight, the day begins after the gap.
        let at = self
            .zone
            .to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
            .compatible()
            .map_err(|error| usage(format!("{date}: {error}")))?;
        i64::try_from(at.as_nanosecond())
            .map_err(|_| usage(format!("{date} is outside the years 1678 to 2262")))
    }
}

fn usage(message: String) -> Error {
    Error::Usage { message }
}

fn later(date: Date, days: u64) -> Result<Date> {
    let days = i64::try_from(days).unwrap_or(i64::MAX).min(4_000_000);
    date.checked_add(days.days())
        .map_err(|_| usage(format!("{days} days after {date}: no such date")))
}

/// Cuts data into windows.
struct Cutter<'a> {
    sequence: &'a Sequence,
    symbols: &'a [Symbol],
    calendar: Calendar,
    found: Vec<WindowBars>,
}

/// The windows of a sequence over these symbols, in order. `start` and `end` are the workflow's,
/// `timezone` says where days begin.
///
/// Errors: a window without bars, windows longer than the data, too many windows.
pub fn windows(
    sequence: &Sequence,
    symbols: &[Symbol],
    (start, end): (Option<i64>, Option<i64>),
    timezone: &str,
) -> Result<Vec<WindowBars>> {
    let zone = TimeZone::get(timezone)
        .map_err(|_| usage(format!("`{timezone}` is no time zone of this machine")))?;
    let mut cutter = Cutter {
        sequence,
        symbols,
        calendar: Calendar { zone },
        found: Vec::new(),
    };
    let spans: Vec<Span> = symbols.iter().map(|symbol| symbol.data).collect();
    cutter.check(&spans, "the data")?;
    let mut scope = Scope { spans, days: None };
    let (first, last) = cutter.days(&scope)?;
    let first = start.map_or(Ok(first), |start| cutter.calendar.date_of(start))?;
    let last = end.map_or(Ok(last), |end| cutter.calendar.date_of(end - 1))?;
    scope.days = Some((first, last));
    cutter.cut(0, &scope, String::new())?;
    Ok(cutter.found)
}

impl Cutter<'_> {
    fn error(&self, message: String) -> Error {
        let (path, line) = self.sequence.place.clone();
        Error::Config {
            path,
            line,
            message,
        }
    }

    /// First and last day of a scope, from its bars where nothing else says.
    fn days(&self, scope: &Scope) -> Result<(Date, Date)> {
        if let Some(days) = scope.days {
            return Ok(days);
        }
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for (symbol, span) in self.symbols.iter().zip(&scope.spans) {
            first = first.min(symbol.bars.ts_of(span.first)?);
            last = last.max(symbol.bars.ts_of(span.end - 1)?);
        }
        Ok((self.calendar.date_of(first)?, self.calendar.date_of(last)?))
    }

    /// Cuts a scope by the levels from `level` on.
    fn cut(&mut self, level: usize, scope: &Scope, folder: String) -> Result<()> {
        let iterations = self.sequence.levels[level].iterations.clone();
        let is_last = level + 1 == self.sequence.levels.len();
        match iterations {
            Iterations::Once | Iterations::Paths(_) if is_last => {
                self.push(folder, Vec::new(), Vec::new(), &scope.spans)
            }
            Iterations::Once | Iterations::Paths(_) => self.cut(level + 1, scope, folder),
            Iterations::Split(split) => {
                if !is_last {
                    return Err(self.error(format!(
                        "`{}` splits the data for its own phases; no sequence can stand inside it",
                        self.sequence.levels[level].pattern
                    )));
                }
                let (train, test) = self.split(split, scope)?;
                self.push(folder, vec![train], test, &scope.spans)
            }
            Iterations::Windows(rule) => self.roll(level, rule, scope, &folder, is_last),
            Iterations::Folds(rule) => self.fold(level, rule, scope, is_last),
        }
    }

    fn push(
        &mut self,
        folder: String,
        train: Vec<Vec<Span>>,
        test: Vec<Span>,
        all: &[Span],
    ) -> Result<()> {
        if self.found.len() as u64 == WINDOWS_MAX {
            return Err(self.error(format!(
                "more than {WINDOWS_MAX} windows; make the step longer"
            )));
        }
        let name = |what: &str| match folder.as_str() {
            "" => what.to_owned(),
            folder => format!("{what} of {folder}"),
        };
        for piece in &train {
            self.check(piece, &name("training"))?;
        }
        if !test.is_empty() {
            self.check(&test, &name("testing"))?;
        }
        let with_history = |spans: &[Span]| {
            spans
                .iter()
                .map(|span| Piece::with_history(*span))
                .collect()
        };
        self.found.push(WindowBars {
            train: train.iter().map(|piece| with_history(piece)).collect(),
            test: with_history(&test),
            all: with_history(all),
            folder,
        });
        Ok(())
    }

    /// Every symbol has bars enough.
    fn check(&self, spans: &[Span], what: &str) -> Result<()> {
        for (symbol, span) in self.symbols.iter().zip(spans) {
            if span.end < span.first + 2 {
                return Err(self.error(format!(
                    "symbol {}: {what} has {} bars (of {}); at least 2 are needed: change the windows, `split`, `start` or `end`",
                    symbol.symbol,
                    span.end.saturating_sub(span.first),
                    symbol.data.end - symbol.data.first
                )));
            }
        }
        Ok(())
    }

    fn split(&self, split: Split, scope: &Scope) -> Result<(Vec<Span>, Vec<Span>)> {
        let mut cut = (Vec::new(), Vec::new());
        for (symbol, &Span { first, end }) in self.symbols.iter().zip(&scope.spans) {
            let at = match split {
                Split::Ratio(ratio) => first + ((end - first) as f64 * ratio) as u64,
                Split::TrainEnd(ts_ns) => symbol.bars.bar_at_or_after(ts_ns)?.clamp(first, end),
            };
            cut.0.push(Span { first, end: at });
            cut.1.push(Span { first: at, end });
        }
        Ok(cut)
    }

    /// Rolling windows, each handed to the next level or kept.
    fn roll(
        &mut self,
        level: usize,
        rule: WindowRule,
        scope: &Scope,
        folder: &str,
        is_last: bool,
    ) -> Result<()> {
        let (length, what) = match rule.unit {
            Unit::Days => {
                let (first, last) = self.days(scope)?;
                let days = (last - first).get_days().max(0) as u64 + 1;
                (days, format!("{days} days from {first} to {last}"))
            }
            Unit::Bars => {
                let bars = self.equal_bars(scope)?;
                (bars, format!("{bars} bars"))
            }
        };
        let wanted = rule.train.saturating_add(rule.test);
        if wanted > length {
            return Err(self.error(format!(
                "`walk_forward`: train {} and test {} are {wanted} {unit}, and there are only {what}; make the windows shorter, or the data longer",
                rule.train,
                rule.test,
                unit = rule.unit.word(),
            )));
        }
        let count = (length - wanted) / rule.step + 1;
        if count > WINDOWS_MAX {
            return Err(self.error(format!(
                "`walk_forward`: {count} windows, {WINDOWS_MAX} at most; make `step` longer"
            )));
        }
        let width = count.to_string().len().max(2);
        for number in 0..count {
            let shift = number * rule.step;
            let train_first = if rule.anchored { 0 } else { shift };
            let test_first = shift + rule.train;
            let test_end = test_first + rule.test;
            let train = self.spans(scope, rule.unit, train_first, test_first)?;
            let test = self.spans(scope, rule.unit, test_first, test_end)?;
            let name = format!("window_{:0width$}", number + 1);
            let folder = match folder {
                "" => name,
                above => format!("{above}/{name}"),
            };
            let all: Vec<Span> = train
                .iter()
                .zip(&test)
                .map(|(train, test)| Span {
                    first: train.first,
                    end: test.end,
                })
                .collect();
            if is_last {
                self.push(folder, vec![train], test, &all)?;
                continue;
            }
            self.check(&all, &folder)?;
            let days = match (rule.unit, scope.days) {
                (Unit::Days, Some((first, _))) => {
                    Some((later(first, train_first)?, later(first, test_end - 1)?))
                }
                _ => None,
            };
            self.cut(level + 1, &Scope { spans: all, days }, folder)?;
        }
        Ok(())
    }

    /// Folds in order: the piece before the tested one and the piece after it train.
    fn fold(&mut self, level: usize, rule: FoldRule, scope: &Scope, is_last: bool) -> Result<()> {
        let name = &self.sequence.levels[level].pattern;
        if !is_last
            || self.sequence.levels[..level]
                .iter()
                .any(|outer| matches!(outer.iterations, Iterations::Windows(_)))
        {
            return Err(self.error(format!(
                "`{name}` has folds, which stand alone: no windows around them, no sequence inside them"
            )));
        }
        let bars = self.equal_bars(scope)?;
        if bars / rule.folds < 2 {
            return Err(self.error(format!(
                "`k_fold`: {} folds of {bars} bars have less than 2 bars each; use fewer folds",
                rule.folds
            )));
        }
        let width = rule.folds.to_string().len().max(2);
        for number in 0..rule.folds {
            let folder = format!("window_{:0width$}", number + 1);
            let (mut before, mut after, mut test) = (Vec::new(), Vec::new(), Vec::new());
            for (symbol, scope) in self.symbols.iter().zip(&scope.spans) {
                // 128 bits: a number of bars times a number of folds.
                let cut = |k: u64| {
                    scope.first + (u128::from(bars) * u128::from(k) / u128::from(rule.folds)) as u64
                };
                let fold = Span {
                    first: cut(number),
                    end: cut(number + 1),
                };
                let end = self.dropped_before(symbol, fold.first, rule.purge, rule.unit)?;
                let beyond = rule.purge.saturating_add(rule.embargo);
                let first = self.dropped_after(symbol, fold.end, beyond, rule.unit)?;
                before.push(Span {
                    first: scope.first,
                    end: end.max(scope.first),
                });
                after.push(Span {
                    first: first.min(scope.end),
                    end: scope.end,
                });
                test.push(fold);
            }
            let mut train = Vec::new();
            for (piece, is_there, side) in [
                (before, number > 0, "before"),
                (after, number + 1 < rule.folds, "after"),
            ] {
                if !is_there {
                    continue;
                }
                if let Some(span) = piece.iter().find(|span| span.end < span.first + 2) {
                    return Err(self.error(format!(
                        "`k_fold`: purge {} and embargo {} {} leave {} bars of training {side} the fold of {folder}; at least 2 are needed: make them shorter, or the folds fewer",
                        rule.purge,
                        rule.embargo,
                        rule.unit.word(),
                        span.end - span.first
                    )));
                }
                train.push(piece);
            }
            self.push(folder, train, test, &scope.spans)?;
            // What trains after the tested fold must not see it, not even through an indicator.
            let window = self.found.last_mut().expect("it was pushed");
            let fold_end: Vec<u64> = window.test.iter().map(|piece| piece.span.end).collect();
            for piece in &mut window.train {
                for (piece, fold_end) in piece.iter_mut().zip(&fold_end) {
                    if piece.span.first >= *fold_end {
                        piece.history_from = piece.span.first;
                    }
                }
            }
        }
        Ok(())
    }

    /// The bar so far before `bar`: the end of what is left.
    fn dropped_before(&self, symbol: &Symbol, bar: u64, length: u64, unit: Unit) -> Result<u64> {
        match unit {
            Unit::Bars => Ok(bar.saturating_sub(length)),
            Unit::Days if length == 0 => Ok(bar),
            Unit::Days => {
                let date = self.calendar.date_of(symbol.bars.ts_of(bar)?)?;
                let days = i64::try_from(length).unwrap_or(i64::MAX).min(4_000_000);
                let date = date.checked_sub(days.days()).unwrap_or(Date::MIN);
                let from = self.calendar.midnight(date).unwrap_or(i64::MIN);
                symbol.bars.bar_at_or_after(from)
            }
        }
    }

    /// The bar so far after the one before `bar`: the first of what is left.
    fn dropped_after(&self, symbol: &Symbol, bar: u64, length: u64, unit: Unit) -> Result<u64> {
        match unit {
            Unit::Bars => Ok(bar.saturating_add(length)),
            Unit::Days if length == 0 => Ok(bar),
            Unit::Days => {
                let date = self.calendar.date_of(symbol.bars.ts_of(bar - 1)?)?;
                let date = later(date, length.saturating_add(1))?;
                symbol.bars.bar_at_or_after(self.calendar.midnight(date)?)
            }
        }
    }

    /// The bars from one offset to another, counted from the begin of the scope.
    fn spans(&self, scope: &Scope, unit: Unit, from: u64, to: u64) -> Result<Vec<Span>> {
        match unit {
            Unit::Bars => Ok(scope
                .spans
                .iter()
                .map(|span| Span {
                    first: span.first + from,
                    end: span.first + to,
                })
                .collect()),
            Unit::Days => {
                let (first, _) = self.days(scope)?;
                let from = self.calendar.midnight(later(first, from)?)?;
                let to = self.calendar.midnight(later(first, to)?)?;
                let mut spans = Vec::new();
                for (symbol, scope) in self.symbols.iter().zip(&scope.spans) {
                    let at = |ts_ns: i64| -> Result<u64> {
                        Ok(symbol
                            .bars
                            .bar_at_or_after(ts_ns)?
                            .clamp(scope.first, scope.end))
                    };
                    spans.push(Span {
                        first: at(from)?,
                        end: at(to)?,
                    });
                }
                Ok(spans)
            }
        }
    }

    /// Bars of the scope; bars are a common measure only where every symbol has as many.
    fn equal_bars(&self, scope: &Scope) -> Result<u64> {
        let bars = |span: &Span| span.end - span.first;
        let first = bars(&scope.spans[0]);
        match scope.spans.iter().position(|span| bars(span) != first) {
            None => Ok(first),
            Some(other) => Err(self.error(format!(
                "lengths in bars need symbols with as many bars; {} has {first}, {} has {}: use `unit: days`",
                self.symbols[0].symbol,
                self.symbols[other].symbol,
                bars(&scope.spans[other])
            ))),
        }
    }
}
