//! The settings of a Monte Carlo simulation.

use super::document::Node;
use super::objective::percentiles;
use super::words;
use crate::Result;
use crate::sequencer::{Iterations, Method, PATHS_MAX, PathRule};
use serde_json::{Value, json};

/// Noise at most, as a share of the volatility.
const NOISE_MAX: f64 = 10.0;

/// Checked paths, and the settings that give them; `given` is what the workflow file says itself.
pub(super) fn path_rule(node: &Node<'_>, given: Option<&Node<'_>>) -> Result<(Iterations, Value)> {
    node.map(&words::MONTE_CARLO)?;
    let word_node = node.need("method", "block_bootstrap")?;
    let word = word_node.word(&words::METHODS)?;
    for (key, method) in [("block", "block_bootstrap"), ("noise", "price_noise")] {
        if word != method
            && let Some(unused) = given.and_then(|given| given.get(key))
        {
            return Err(unused.error(format!(
                "{word} has no {key}; remove the key, or use `method: {method}`"
            )));
        }
    }
    let mut settings = json!({"method": word});
    let method = match word {
        "block_bootstrap" => {
            let block = node.need("block", "20")?.count()?;
            settings["block"] = block.into();
            Method::BlockBootstrap { block }
        }
        "trade_reshuffle" => Method::TradeReshuffle,
        _ => {
            let noise = node.need("noise", "0.1")?;
            let noise = noise.number("a number above 0, 10 at most", |noise| {
                noise > 0.0 && noise <= NOISE_MAX
            })?;
            settings["noise"] = noise.into();
            Method::PriceNoise { noise }
        }
    };
    let paths_node = node.need("paths", "1000")?;
    let paths = paths_node.count()?;
    if paths > PATHS_MAX {
        return Err(paths_node.error(format!(
            "{paths} was found; {PATHS_MAX} paths at most were expected"
        )));
    }
    let seed_node = node.need("seed", "1")?;
    let seed = seed_node.value().as_u64().ok_or_else(|| {
        seed_node.error(format!(
            "{} was found; a whole number, 0 or more, was expected",
            seed_node.value()
        ))
    })?;
    let percentiles = match node.get("percentiles") {
        Some(list) => percentiles(&list)?,
        None => Vec::new(),
    };
    settings["paths"] = paths.into();
    settings["seed"] = seed.into();
    settings["percentiles"] = json!(percentiles);
    let rule = PathRule {
        method,
        paths,
        seed,
        percentiles,
    };
    Ok((Iterations::Paths(rule), settings))
}
