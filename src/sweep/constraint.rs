//! Constraints between parameters, such as `fast < slow` or `slow - fast >= 10`.

/// `left operator right`, each side an expression of names, numbers, + - * / and parentheses.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    left: Expression,
    comparison: Comparison,
    right: Expression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Number(f64),
    Parameter(usize),
    Binary(Box<Expression>, char, Box<Expression>),
}

impl Constraint {
    /// Reads a constraint over these parameter names.
    ///
    /// Errors: what was expected, and where in the text.
    pub fn parse(text: &str, names: &[&str]) -> Result<Constraint, String> {
        let mut parser = Parser { text, at: 0, names };
        let left = parser.sum(0)?;
        let comparison = parser.comparison()?;
        let right = parser.sum(0)?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.expected("the end of the constraint"));
        }
        Ok(Constraint {
            left,
            comparison,
            right,
        })
    }

    /// Whether the set satisfies it.
    pub fn holds(&self, values: &[f64]) -> bool {
        let (left, right) = (self.left.value(values), self.right.value(values));
        match self.comparison {
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
        }
    }
}

impl Expression {
    fn value(&self, values: &[f64]) -> f64 {
        match self {
            Expression::Number(number) => *number,
            Expression::Parameter(index) => values[*index],
            Expression::Binary(left, operator, right) => {
                let (left, right) = (left.value(values), right.value(values));
                match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        }
    }
}

/// Deepest nesting of parentheses.
const DEPTH_MAX: u32 = 32;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    names: &'a [&'a str],
}

impl Parser<'_> {
    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn expected(&self, what: &str) -> String {
        let rest = &self.text[self.at..];
        let found = if rest.is_empty() {
            "its end".to_owned()
        } else {
            format!("`{rest}`")
        };
        format!(
            "in `{}`: {what} was expected at {found}; parameters are {}",
            self.text,
            self.names.join(", ")
        )
    }

    fn eat(&mut self, wanted: &[char]) -> Option<char> {
        self.space();
        let found = self.text[self.at..]
            .chars()
            .next()
            .filter(|next| wanted.contains(next))?;
        self.at += found.len_utf8();
        Some(found)
    }

    fn comparison(&mut self) -> Result<Comparison, String> {
        self.space();
        let signs = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let rest = &self.text[self.at..];
        let (sign, comparison) = signs
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(|| self.expected("one of < <= > >= == !="))?;
        self.at += sign.len();
        Ok(comparison)
    }

    fn sum(&mut self, depth: u32) -> Result<Expression, String> {
        let mut left = self.product(depth)?;
        while let Some(operator) = self.eat(&['+', '-']) {
            left = Expression::Binary(Box::new(left), operator, Box::new(self.product(depth)?));
        }
        Ok(left)
    }

    fn product(&mut self, depth: u32) -> Result<Expression, String> {
        let mut left = self.atom(depth)?;
        while let Some(operator) = self.eat(&['*', '/']) {
            left = Expression::Binary(Box::new(left), operator, Box::new(self.atom(depth)?));
        }
        Ok(left)
    }

    fn atom(&mut self, depth: u32) -> Result<Expression, String> {
        if depth > DEPTH_MAX {
            return Err(self.expected("less nesting"));
        }
        if self.eat(&['(']).is_some() {
            let inner = self.sum(depth + 1)?;
            return self
                .eat(&[')'])
                .map(|_| inner)
                .ok_or_else(|| self.expected("`)`"));
        }
        self.space();
        let rest = &self.text[self.at..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let found = match self.names.iter().position(|name| *name == word) {
            Some(index) => Expression::Parameter(index),
            None => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Expression::Number(number),
                _ => return Err(self.expected("a parameter or a number")),
            },
        };
        self.at += word.len();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, values: [f64; 2], expected: Option<bool>) {
        let constraint = Constraint::parse(text, &["fast", "slow"]);
        assert_eq!(
            constraint.ok().map(|constraint| constraint.holds(&values)),
            expected,
            "{text}"
        );
    }

    #[test]
    fn constraints_compare_expressions_of_parameters() {
        check("fast < slow", [5.0, 10.0], Some(true));
        check("fast * 2 <= slow", [5.0, 10.0], Some(true));
        check("slow - (fast + 1) > 4", [5.0, 10.0], Some(false));
        check("slow/fast == 2", [5.0, 10.0], Some(true));
        check("fast < medium", [5.0, 10.0], None);
        check("fast = slow", [5.0, 10.0], None);
        check("fast <", [5.0, 10.0], None);
        check("fast < slow slow", [5.0, 10.0], None);
    }

    #[test]
    fn the_error_names_what_was_expected_and_the_parameters() {
        let error = Constraint::parse("fast < medium", &["fast", "slow"]).unwrap_err();
        assert!(
            error.contains("`medium`") && error.contains("fast, slow"),
            "{error}"
        );
    }
}
