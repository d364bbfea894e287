//! Costs of a phase: commission, slippage, spread, borrow fees.

use super::document::Node;
use super::words;
use crate::Result;
use crate::execution::{Borrow, Commission, PerShare, PriceCost};

fn money(node: &Node<'_>) -> Result<f64> {
    node.number("money, 0 or more", |money| money >= 0.0)
}

fn fraction(node: &Node<'_>) -> Result<f64> {
    node.number("a fraction from 0 to below 1", |rate| {
        (0.0..1.0).contains(&rate)
    })
}

/// `execution.commission`.
pub(super) fn commission(execution: &Node<'_>) -> Result<Commission> {
    let (model, amount) = execution
        .need("commission", "{rate: 0.001}")?
        .one_of(&words::COMMISSION)?;
    Ok(match model.as_str() {
        "rate" => Commission::Rate(fraction(&amount)?),
        "per_share" if amount.value().is_object() => Commission::PerShare(per_share(&amount)?),
        "per_share" => Commission::PerShare(PerShare::plain(money(&amount)?)),
        _ => Commission::Fixed(money(&amount)?),
    })
}

fn per_share(node: &Node<'_>) -> Result<PerShare> {
    node.map(&words::PER_SHARE)?;
    let bound = |key: &str, read: fn(&Node<'_>) -> Result<f64>, none: f64| {
        node.get(key).map_or(Ok(none), |node| read(&node))
    };
    let per_share = PerShare {
        money: money(&node.need("rate", "0.005")?)?,
        minimum: bound("minimum", money, 0.0)?,
        maximum: bound("maximum", money, f64::INFINITY)?,
        maximum_rate: bound("maximum_rate", fraction, f64::INFINITY)?,
    };
    if per_share.minimum > per_share.maximum {
        return Err(node.error(format!(
            "`minimum` {} is above `maximum` {}",
            per_share.minimum, per_share.maximum
        )));
    }
    Ok(per_share)
}

/// `execution.slippage` and half of `execution.spread`.
pub(super) fn price_cost(execution: &Node<'_>) -> Result<PriceCost> {
    let mut cost = PriceCost::NONE;
    for (key, part) in [("slippage", 1.0), ("spread", 0.5)] {
        let (model, amount) = execution
            .need(key, "{rate: 0.0}")?
            .one_of(&words::PRICE_COST)?;
        if model == "rate" {
            cost.rate += part * fraction(&amount)?;
        } else {
            cost.fixed += part * money(&amount)?;
        }
    }
    if cost.rate >= 1.0 {
        return Err(execution.error(format!(
            "slippage and half of the spread take {} of the price; below 1 was expected",
            cost.rate
        )));
    }
    Ok(cost)
}

/// `execution.borrow`; none where its rate is zero.
pub(super) fn borrow(execution: &Node<'_>) -> Result<Option<Borrow>> {
    let node = execution.need("borrow", "{annual_rate: 0.03}")?;
    node.map(&words::BORROW)?;
    let annual_rate = node
        .need("annual_rate", "0.03")?
        .number("a fraction of the value per year, 0 or more", |rate| {
            rate >= 0.0
        })?;
    let days_per_year = node.get("days_per_year").map_or(Ok(365.0), |days| {
        days.number("a number of days above 0", |days| days > 0.0)
    })?;
    Ok((annual_rate > 0.0).then_some(Borrow {
        annual_rate,
        days_per_year,
    }))
}
