//! The strategies by name: the built-in ones and those that a user's program adds.

use super::{Strategy, bands, crossover, momentum, reversion};
use crate::{Error, Result};
use admf_formats::units::PARAMETERS_MAX;
use std::sync::{PoisonError, RwLock};

const BUILT_IN: [&dyn Strategy; 12] = [
    &crossover::Sma,
    &crossover::Ema,
    &crossover::Macd,
    &crossover::Ma,
    &bands::Rsi,
    &bands::Bollinger,
    &bands::Donchian,
    &reversion::Keltner,
    &reversion::MeanReversion,
    &reversion::VwapDeviation,
    &reversion::SwingPivotBounce,
    &momentum::Momentum,
];

/// Added before a workflow is read, and only then.
static ADDED: RwLock<Vec<&'static dyn Strategy>> = RwLock::new(Vec::new());

/// Makes a strategy known by its name, for workflows of this process.
///
/// Errors: the name is empty or taken, a parameter is named twice, or there are none or too many.
pub fn register(strategy: &'static dyn Strategy) -> Result<()> {
    let (name, parameters) = (strategy.name(), strategy.parameters());
    let refuse = |message: String| Err(Error::Usage { message });
    if name.is_empty() || by_name(name).is_some() {
        return refuse(format!(
            "strategy `{name}`: the name is empty or taken; choose another"
        ));
    }
    if parameters.is_empty() || parameters.len() > PARAMETERS_MAX {
        return refuse(format!(
            "strategy `{name}` has {} parameters; 1 to {PARAMETERS_MAX} were expected",
            parameters.len()
        ));
    }
    for (at, parameter) in parameters.iter().enumerate() {
        if parameters[..at].contains(parameter) {
            return refuse(format!("strategy `{name}` names `{parameter}` twice"));
        }
    }
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    added.push(strategy);
    Ok(())
}

/// Every strategy, the built-in ones first.
pub fn all() -> Vec<&'static dyn Strategy> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    BUILT_IN.into_iter().chain(added.iter().copied()).collect()
}

/// The strategy with this name.
pub fn by_name(name: &str) -> Option<&'static dyn Strategy> {
    all().into_iter().find(|strategy| strategy.name() == name)
}
