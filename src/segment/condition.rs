//! A condition on closed trades, such as `pnl < -100 and exit_reason == stop_loss or mae > 0.2`.
//!
//! Comparisons joined by `and` and `or`, of which `and` binds tighter. It is of fixed size, so that
//! the rules of a container stay plain values.

use admf_formats::event::{ExitReason, PositionClose, Side, Stamp};

/// Comparisons of a condition at most.
pub const COMPARISONS_MAX: usize = 8;

/// What a condition may ask of a closed trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Pnl,
    Commission,
    Slippage,
    Borrow,
    Mae,
    Mfe,
    Qty,
    EntryPrice,
    ExitPrice,
    Fills,
    BarsHeld,
    ExitReason,
    Side,
}

impl Field {
    const ALL: [(&'static str, Field); 13] = [
        ("pnl", Field::Pnl),
        ("commission", Field::Commission),
        ("slippage", Field::Slippage),
        ("borrow", Field::Borrow),
        ("mae", Field::Mae),
        ("mfe", Field::Mfe),
        ("qty", Field::Qty),
        ("entry_price", Field::EntryPrice),
        ("exit_price", Field::ExitPrice),
        ("fills", Field::Fills),
        ("bars_held", Field::BarsHeld),
        ("exit_reason", Field::ExitReason),
        ("side", Field::Side),
    ];

    const fn is_word(self) -> bool {
        matches!(self, Field::ExitReason | Field::Side)
    }

    fn of(self, stamp: &Stamp, close: &PositionClose) -> f64 {
        match self {
            Field::Pnl => close.pnl,
            Field::Commission => close.commission,
            Field::Slippage => close.slippage,
            Field::Borrow => close.borrow,
            Field::Mae => close.mae,
            Field::Mfe => close.mfe,
            Field::Qty => close.qty,
            Field::EntryPrice => close.entry_price,
            Field::ExitPrice => close.exit_price,
            Field::Fills => f64::from(close.fills),
            Field::BarsHeld => f64::from(stamp.bar) - f64::from(close.entry_bar),
            Field::ExitReason => f64::from(stamp.code),
            Field::Side if close.qty < 0.0 => f64::from(Side::Short as u8),
            Field::Side => f64::from(Side::Long as u8),
        }
    }

    /// Number of a word that the field may have.
    fn word(self, word: &str) -> Option<f64> {
        let number = match self {
            Field::Side => [Side::Long, Side::Short]
                .into_iter()
                .find(|side| side.name() == word)? as u8,
            _ => (1..=u8::MAX)
                .find(|at| ExitReason::from_number(*at).is_some_and(|one| one.name() == word))?,
        };
        Some(f64::from(number))
    }

    /// The words that the field may have, for messages.
    fn words(self) -> String {
        match self {
            Field::Side => "long, short".to_owned(),
            _ => {
                let names = (1..=u8::MAX).map_while(ExitReason::from_number);
                let names: Vec<&str> = names.map(ExitReason::name).collect();
                names.join(", ")
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl Operator {
    /// Longer ones first, since they begin like the shorter.
    const ALL: [(&'static str, Operator); 6] = [
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Comparison {
    field: Field,
    operator: Operator,
    value: f64,
    /// Whether `or` stands before it.
    is_alternative: bool,
}

impl Comparison {
    /// A NaN satisfies `!=` and nothing else, as everywhere.
    fn holds(&self, stamp: &Stamp, close: &PositionClose) -> bool {
        let found = self.field.of(stamp, close);
        match self.operator {
            Operator::Less => found < self.value,
            Operator::LessOrEqual => found <= self.value,
            Operator::Greater => found > self.value,
            Operator::GreaterOrEqual => found >= self.value,
            Operator::Equal => found == self.value,
            Operator::NotEqual => found != self.value,
        }
    }
}

/// A condition on closed trades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    comparisons: [Option<Comparison>; COMPARISONS_MAX],
}

impl Condition {
    /// Reads a condition.
    ///
    /// Errors: what was expected, and where in the text.
    pub fn parse(text: &str) -> Result<Condition, String> {
        let mut source = Source { text, at: 0 };
        let mut comparisons = [None; COMPARISONS_MAX];
        let mut is_alternative = false;
        for place in &mut comparisons {
            *place = Some(source.comparison(is_alternative)?);
            is_alternative = match source.word() {
                "" if source.rest().is_empty() => return Ok(Condition { comparisons }),
                "and" => false,
                "or" => true,
                found => {
                    source.at -= found.len();
                    return Err(source.expected("`and`, `or` or the end"));
                }
            };
        }
        Err(format!(
            "in `{text}`: {COMPARISONS_MAX} comparisons at most were expected"
        ))
    }

    /// Whether it holds of the trade that this POSITION_CLOSE ends.
    pub fn holds(&self, stamp: &Stamp, close: &PositionClose) -> bool {
        let mut group = true;
        for comparison in self.comparisons.iter().flatten() {
            if comparison.is_alternative {
                if group {
                    return true;
                }
                group = true;
            }
            group = group && comparison.holds(stamp, close);
        }
        group
    }
}

/// As it is written in a workflow.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, comparison) in self.comparisons.iter().flatten().enumerate() {
            let join = match (at, comparison.is_alternative) {
                (0, _) => "",
                (_, true) => " or ",
                (_, false) => " and ",
            };
            let field = Field::ALL.iter().find(|(_, one)| *one == comparison.field);
            let operator = Operator::ALL
                .iter()
                .find(|(_, one)| *one == comparison.operator);
            let (Some((field, of)), Some((operator, _))) = (field, operator) else {
                continue;
            };
            write!(f, "{join}{field} {operator} ")?;
            match of {
                Field::Side => {
                    f.write_str(Side::from_number(comparison.value as u8).map_or("", Side::name))?
                }
                Field::ExitReason => f.write_str(
                    ExitReason::from_number(comparison.value as u8).map_or("", ExitReason::name),
                )?,
                _ => write!(f, "{}", comparison.value)?,
            }
        }
        Ok(())
    }
}

struct Source<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Source<'a> {
    /// What is left, without the space before it.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn expected(&mut self, what: &str) -> String {
        let found = match self.rest() {
            "" => "its end".to_owned(),
            rest => format!("`{rest}`"),
        };
        format!("in `{}`: {what} was expected at {found}", self.text)
    }

    /// The word that comes next; empty where there is none.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let is_in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let end = rest.find(|letter| !is_in_word(letter));
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn comparison(&mut self, is_alternative: bool) -> Result<Comparison, String> {
        let name = self.word();
        let known = Field::ALL.into_iter().find(|(known, _)| *known == name);
        let Some((_, field)) = known else {
            self.at -= name.len();
            let names: Vec<&str> = Field::ALL.iter().map(|(name, _)| *name).collect();
            let what = format!("a field of a closed trade ({})", names.join(", "));
            return Err(self.expected(&what));
        };
        let rest = self.rest();
        let found = Operator::ALL
            .into_iter()
            .find(|(known, _)| rest.starts_with(known))
            .filter(|(known, _)| !field.is_word() || matches!(*known, "==" | "!="));
        let Some((known, operator)) = found else {
            let what = if field.is_word() {
                "== or !="
            } else {
                "<, <=, >, >=, == or !="
            };
            return Err(self.expected(what));
        };
        self.at += known.len();
        Ok(Comparison {
            field,
            operator,
            value: self.value(field)?,
            is_alternative,
        })
    }

    fn value(&mut self, field: Field) -> Result<f64, String> {
        if field.is_word() {
            let word = self.word();
            return field.word(word).ok_or_else(|| {
                self.at -= word.len();
                self.expected(&format!("one of {}", field.words()))
            });
        }
        let rest = self.rest();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let number = rest[..end].parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite());
        let number = number.ok_or_else(|| self.expected("a number"))?;
        self.at += end;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE: PositionClose = PositionClose {
        entry_ts_ns: 0,
        entry_bar: 10,
        fills: 2,
        qty: -5.0,
        entry_price: 100.0,
        exit_price: 130.0,
        pnl: -150.5,
        commission: 0.5,
        slippage: 0.25,
        borrow: 0.125,
        mae: 0.3,
        mfe: 0.0,
    };

    fn check(text: &str, expected: bool) {
        let stamp = Stamp {
            bar: 15,
            code: ExitReason::StopLoss as u8,
            ..Stamp::default()
        };
        let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(condition.holds(&stamp, &CLOSE), expected, "{text}");
        // What is shown is read back as the same.
        assert_eq!(Condition::parse(&condition.to_string()), Ok(condition));
    }

    #[test]
    fn every_field_and_operator_means_what_it_says() {
        for (text, expected) in [
            ("pnl < -150.5", false),
            ("pnl<=-150.5", true),
            ("pnl > -150.5", false),
            ("pnl >= -1.505e2", true),
            ("commission == 0.5", true),
            ("slippage != 0.25", false),
            ("borrow > 0.1", true),
            ("mae >= 0.3", true),
            ("mfe == 0", true),
            ("qty < 0", true),
            ("entry_price == 100", true),
            ("exit_price == 130", true),
            ("fills == 2", true),
            ("bars_held == 5", true),
            ("exit_reason == stop_loss", true),
            ("exit_reason == signal", false),
            ("exit_reason != signal", true),
            ("side == short", true),
            ("side==long", false),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn and_binds_tighter_than_or() {
        for bits in 0..8 {
            let of = |bit: u32| bits >> bit & 1 == 1;
            let text = |bit: u32| if of(bit) { "pnl < 0" } else { "pnl > 0" };
            let (a, b, c) = (text(0), text(1), text(2));
            let (x, y, z) = (of(0), of(1), of(2));
            check(&format!("{a} and {b} or {c}"), x && y || z);
            check(&format!("{a} or {b} and {c}"), x || y && z);
            check(&format!("{a} or {b} or {c}"), x || y || z);
            check(&format!("{a} and {b} and {c}"), x && y && z);
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_where_it_goes_wrong() {
        let nine = ["pnl < 1"; 9].join(" and ");
        for (text, expected) in [
            ("", "a field of a closed trade"),
            ("profit < 1", "at `profit < 1`"),
            ("pnl", "<, <=, >, >=, == or != was expected at its end"),
            ("pnl = 3", "was expected at `= 3`"),
            ("pnl < x", "a number was expected at `x`"),
            ("pnl < nan", "a number was expected"),
            ("pnl < 1e999", "a number was expected"),
            (
                "pnl < 3 mae > 1",
                "`and`, `or` or the end was expected at `mae > 1`",
            ),
            ("pnl < 3 and", "a field of a closed trade"),
            ("(pnl < 3)", "at `(pnl < 3)`"),
            ("exit_reason < signal", "== or != was expected"),
            ("exit_reason == tired", "one of signal, stop_loss"),
            ("side == flat", "one of long, short"),
            (nine.as_str(), "8 comparisons at most"),
        ] {
            let error = Condition::parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
