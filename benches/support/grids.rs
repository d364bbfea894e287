//! The jobs that are measured.

/// How positions are sized.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Size {
    /// All equity, fractional units.
    AllIn,
    /// A fixed number of units.
    Quantity(f64),
}

/// Which strategy, with the names of its parameters.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// Crossover of simple averages.
    Sma,
    /// Crossover of exponential averages.
    Ema,
    /// Wilder's RSI between two levels.
    Rsi,
}

/// One job.
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: String,
    /// The strategy.
    pub(crate) rule: Rule,
    /// The size of positions.
    pub(crate) size: Size,
    /// Lists of parameter values, in the strategy's order.
    pub(crate) lists: Vec<Vec<f64>>,
    /// Every set, in order of its container.
    pub(crate) sets: Vec<Vec<f64>>,
}

fn case(name: &str, rule: Rule, size: Size, lists: Vec<Vec<f64>>) -> Case {
    let mut sets = vec![Vec::new()];
    for list in &lists {
        sets = sets
            .iter()
            .flat_map(|set: &Vec<f64>| {
                list.iter().map(move |value| {
                    let mut set = set.clone();
                    set.push(*value);
                    set
                })
            })
            .collect();
    }
    Case {
        name: name.to_owned(),
        rule,
        size,
        lists,
        sets,
    }
}

fn range(from: u32, to: u32, step: usize) -> Vec<f64> {
    (from..to).step_by(step).map(f64::from).collect()
}

/// Every job, small ones first.
pub(crate) fn all() -> Vec<Case> {
    let small = || vec![range(2, 27, 1), range(30, 230, 5)];
    let large = || vec![range(2, 52, 1), range(60, 260, 1)];
    vec![
        case("sma_1000", Rule::Sma, Size::AllIn, small()),
        case("sma_10000", Rule::Sma, Size::AllIn, large()),
        case(
            "sma_1000_quantity",
            Rule::Sma,
            Size::Quantity(10.0),
            small(),
        ),
        case("ema_1000", Rule::Ema, Size::AllIn, small()),
        case(
            "rsi_1000",
            Rule::Rsi,
            Size::AllIn,
            vec![range(5, 45, 1), range(20, 45, 5), range(55, 80, 5)],
        ),
    ]
}
