//! Patterns over the names of containers, as a shell has them over file names.
//!
//! `*` is any text, `?` any character, `[a-c5]` one of these and `[!a-c5]` one that is not; all else
//! stands for itself.

use admf_formats::report::container_id;
use std::cmp::Reverse;
use std::collections::HashMap;

/// The longest pattern, so that its states fit a word.
const TOKENS_MAX: usize = 63;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// One of these characters, or none of them.
    Set {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
    Any,
    Star,
}

/// A pattern with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// Errors: it is empty, too long, or a `[` has no `]`.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            let token = match next {
                '*' if tokens.last() == Some(&Token::Star) => continue,
                '*' => Token::Star,
                '?' => Token::Any,
                '[' => {
                    let after = rest.as_str();
                    let (is_negated, inner) = match after.strip_prefix('!') {
                        Some(inner) => (true, inner),
                        None => (false, after),
                    };
                    // A bracket that comes first stands for itself.
                    let end = inner
                        .char_indices()
                        .skip(1)
                        .find(|(_, c)| *c == ']')
                        .map(|(at, _)| at)
                        .ok_or_else(|| format!("pattern `{text}`: a `[` has no `]`"))?;
                    rest = inner[end + 1..].chars();
                    Token::Set {
                        is_negated,
                        ranges: ranges(&inner[..end]),
                    }
                }
                literal => Token::Literal(literal),
            };
            tokens.push(token);
        }
        if tokens.is_empty() || tokens.len() > TOKENS_MAX {
            return Err(format!(
                "pattern `{text}`: 1 to {TOKENS_MAX} characters were expected"
            ));
        }
        Ok(Pattern {
            text: text.to_owned(),
            tokens,
        })
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Order of patterns, the more specific first: exact names, then more literal characters, then
    /// fewer `*`, then by text.
    pub fn specificity(&self) -> impl Ord + use<> {
        let literals = self.count_of(|token| matches!(token, Token::Literal(_)));
        let stars = self.count_of(|token| *token == Token::Star);
        let is_exact = literals == self.tokens.len();
        (
            Reverse(is_exact),
            Reverse(literals),
            stars,
            self.text.clone(),
        )
    }

    fn count_of(&self, wanted: impl Fn(&Token) -> bool) -> usize {
        self.tokens.iter().filter(|token| wanted(token)).count()
    }

    /// Whether it matches this name.
    pub fn matches(&self, name: &str) -> bool {
        let end = name
            .chars()
            .fold(self.start(), |states, c| self.step(states, c));
        self.accepts(end)
    }

    /// How many of so many containers it matches. Names are not listed: their digits are walked.
    pub fn matched(&self, containers: u64) -> u64 {
        if containers == 0 {
            return 0;
        }
        // Names differ in their digits alone, and all have as many.
        let last = container_id(containers - 1, containers);
        let digits_at = last.len() - last.chars().rev().take_while(char::is_ascii_digit).count();
        let (prefix, digits) = last.split_at(digits_at);
        let start = prefix
            .chars()
            .fold(self.start(), |states, c| self.step(states, c));
        let digits: Vec<char> = digits.chars().collect();
        // Numbers 0 to the last, less 0: containers are counted from 1.
        let zero = digits
            .iter()
            .fold(start, |states, _| self.step(states, '0'));
        let mut known = HashMap::new();
        self.below(start, &digits, true, &mut known) - u64::from(self.accepts(zero))
    }

    /// Matching continuations from these states: digits up to `last`, or any as many.
    fn below(
        &self,
        states: u64,
        last: &[char],
        is_bounded: bool,
        known: &mut HashMap<(usize, u64), u64>,
    ) -> u64 {
        let Some((bound, rest)) = last.split_first() else {
            return u64::from(self.accepts(states));
        };
        if let (false, Some(count)) = (is_bounded, known.get(&(last.len(), states))) {
            return *count;
        }
        let highest = if is_bounded { *bound } else { '9' };
        let count = ('0'..=highest)
            .map(|digit| {
                let is_bounded = is_bounded && digit == *bound;
                self.below(self.step(states, digit), rest, is_bounded, known)
            })
            .sum();
        if !is_bounded {
            known.insert((last.len(), states), count);
        }
        count
    }

    /// The first state; bit k is "before token k".
    fn start(&self) -> u64 {
        self.past_stars(1)
    }

    fn accepts(&self, states: u64) -> bool {
        states >> self.tokens.len() & 1 == 1
    }

    fn step(&self, states: u64, c: char) -> u64 {
        let mut next = 0;
        for (at, token) in self.tokens.iter().enumerate() {
            if states >> at & 1 == 0 {
                continue;
            }
            let is_taken = match token {
                Token::Literal(literal) => *literal == c,
                Token::Any => true,
                Token::Set { is_negated, ranges } => {
                    let is_in = ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
                    is_in != *is_negated
                }
                Token::Star => {
                    next |= 1 << at;
                    continue;
                }
            };
            next |= u64::from(is_taken) << (at + 1);
        }
        self.past_stars(next)
    }

    /// A `*` may stand for nothing.
    fn past_stars(&self, mut states: u64) -> u64 {
        for (at, token) in self.tokens.iter().enumerate() {
            if *token == Token::Star {
                states |= (states >> at & 1) << (at + 1);
            }
        }
        states
    }
}

/// Characters and ranges between brackets.
fn ranges(text: &str) -> Vec<(char, char)> {
    let characters: Vec<char> = text.chars().collect();
    let (mut ranges, mut at) = (Vec::new(), 0);
    while at < characters.len() {
        let from = characters[at];
        let to = match characters.get(at + 1..at + 3) {
            Some(['-', to]) => *to,
            _ => from,
        };
        at += if to == from { 1 } else { 3 };
        ranges.push((from, to));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect(text)
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let check = |text: &str, name: &str, expected: bool| {
            assert_eq!(pattern(text).matches(name), expected, "{text} {name}");
        };
        check("portfolio_001", "portfolio_001", true);
        check("portfolio_001", "portfolio_0010", false);
        check("portfolio_*", "portfolio_001", true);
        check("*", "portfolio_001", true);
        check("*_*1", "portfolio_011", true);
        check("*_*1", "portfolio_012", false);
        check("p*_0?1", "portfolio_011", true);
        check("portfolio_00[1-3]", "portfolio_002", true);
        check("portfolio_00[1-3]", "portfolio_004", false);
        check("portfolio_00[!1-3]", "portfolio_004", true);
        check("portfolio_00[!1-3]", "portfolio_003", false);
        check("portfolio_00[135]", "portfolio_005", true);
        check("x[]a]", "x]", true);
        check("x[a-]", "x-", true);
    }

    proptest! {
        #[test]
        fn containers_are_counted_as_if_each_name_were_tried(
            text in "(portfolio_|p\\*|\\*)([0-9]|\\*|\\?|\\[0-4\\]|\\[!7\\]){1,5}",
            containers in 1_u64..3000,
        ) {
            let pattern = pattern(&text);
            let expected = (0..containers)
                .filter(|index| pattern.matches(&container_id(*index, containers)))
                .count() as u64;
            prop_assert_eq!(pattern.matched(containers), expected);
        }
    }

    #[test]
    fn counting_does_not_list_the_names() {
        assert_eq!(pattern("portfolio_*").matched(1 << 40), 1 << 40);
        assert_eq!(pattern("*7").matched(10_000_000_000), 1_000_000_000);
        assert_eq!(pattern("portfolio_x*").matched(1 << 40), 0);
    }

    #[test]
    fn the_more_specific_pattern_comes_first() {
        let mut patterns = [
            "*",
            "portfolio_*",
            "portfolio_0?",
            "portfolio_0*",
            "portfolio_012",
        ]
        .map(pattern)
        .to_vec();
        patterns.sort_by_key(Pattern::specificity);
        let order: Vec<&str> = patterns.iter().map(Pattern::text).collect();
        assert_eq!(
            order,
            [
                "portfolio_012",
                "portfolio_0?",
                "portfolio_0*",
                "portfolio_*",
                "*"
            ]
        );
    }
}
