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
    /// Crossover of the MACD line and its signal line.
    Macd,
    /// Close below the lower Bollinger band, until it is above the middle.
    Bollinger,
    /// Close above the highest high, until it is below the lowest low.
    Donchian,
}

/// One job.
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: String,
    /// The strategy.
    pub(crate) rule: Rule,
    /// The size of positions.
    pub(crate) size: Size,
    /// Stop loss and take profit, in percent of the close of the signal's bar.
    pub(crate) stops: Option<[f64; 2]>,
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
        stops: None,
        lists,
        sets,
    }
}

fn range(from: u32, to: u32, step: usize) -> Vec<f64> {
    (from..to).step_by(step).map(f64::from).collect()
}

fn small() -> Vec<Vec<f64>> {
    vec![range(2, 27, 1), range(30, 230, 5)]
}

/// Every job of `bar_loop`, small ones first.
pub(crate) fn all() -> Vec<Case> {
    let large = vec![range(2, 52, 1), range(60, 260, 1)];
    let all_in = |name, rule, lists| case(name, rule, Size::AllIn, lists);
    vec![
        all_in("sma_1000", Rule::Sma, small()),
        all_in("sma_10000", Rule::Sma, large),
        case(
            "sma_1000_quantity",
            Rule::Sma,
            Size::Quantity(10.0),
            small(),
        ),
        Case {
            stops: Some([1.0, 2.0]),
            ..all_in("sma_1000_stops", Rule::Sma, small())
        },
        Case {
            stops: Some([1.0, 2.0]),
            ..case(
                "sma_1000_quantity_stops",
                Rule::Sma,
                Size::Quantity(10.0),
                small(),
            )
        },
        all_in("ema_1000", Rule::Ema, small()),
        all_in(
            "rsi_1000",
            Rule::Rsi,
            vec![range(5, 45, 1), range(20, 45, 5), range(55, 80, 5)],
        ),
        all_in(
            "macd_1000",
            Rule::Macd,
            vec![range(5, 15, 1), range(20, 40, 2), range(5, 15, 1)],
        ),
        all_in(
            "bollinger_1000",
            Rule::Bollinger,
            vec![
                range(10, 110, 1),
                (6..16).map(|k| f64::from(k) / 5.0).collect(),
            ],
        ),
        all_in(
            "donchian_1000",
            Rule::Donchian,
            vec![range(10, 110, 2), range(5, 45, 2)],
        ),
    ]
}

/// The jobs of `sweep`: more and more containers.
pub(crate) fn growing() -> Vec<Case> {
    let grid = |name, fast, slow| {
        let lists = vec![range(2, fast, 1), range(60, slow, 1)];
        case(name, Rule::Sma, Size::AllIn, lists)
    };
    vec![
        case("sma_1000", Rule::Sma, Size::AllIn, small()),
        grid("sma_10000", 52, 260),
        grid("sma_40000", 102, 460),
    ]
}
