//! Portfolio and risk limits of a phase.

use super::document::Node;
use super::words;
use crate::Result;
use crate::features::WINDOW_BARS_MAX;
use crate::portfolio::{Direction, PortfolioRules, RiskRules, Sizing};

/// `portfolio`.
pub(super) fn portfolio(node: &Node<'_>) -> Result<PortfolioRules> {
    node.map(&words::PORTFOLIO)?;
    let sizing_node = node.need("sizing", "{percent_of_equity: 100}")?;
    let sizing = sizing(&sizing_node)?;
    let direction = node.need("direction", "long_only")?;
    let whole_units = node.need("whole_units", "false")?.bool()?;
    if let Sizing::Quantity(units) = sizing
        && whole_units
        && units.fract() != 0.0
    {
        return Err(sizing_node.error(format!(
            "quantity {units} is not whole, and whole_units is true"
        )));
    }
    let pyramiding = node.need("pyramiding", "{max_entries: 1}")?;
    pyramiding.map(&words::PYRAMIDING)?;
    let max_entries = pyramiding.need("max_entries", "1")?;
    let max_entries = u32::try_from(max_entries.count()?)
        .map_err(|_| max_entries.error(format!("at most {} was expected", u32::MAX)))?;
    Ok(PortfolioRules {
        initial_capital: node
            .need("initial_capital", "100000")?
            .number("a number above 0", |capital| capital > 0.0)?,
        direction: match direction.word(&["long_only", "short_only", "long_short"])? {
            "long_only" => Direction::LongOnly,
            "short_only" => Direction::ShortOnly,
            _ => Direction::LongShort,
        },
        sizing,
        max_entries,
        whole_units,
        close_at_end: node.need("close_at_end", "false")?.bool()?,
    })
}

fn sizing(node: &Node<'_>) -> Result<Sizing> {
    let (model, amount) = node.one_of(&words::SIZING)?;
    let above_zero = |node: &Node<'_>| node.number("a number above 0", |number| number > 0.0);
    let percent = |node: &Node<'_>| {
        node.number("a number above 0, 100 at most", |percent| {
            percent > 0.0 && percent <= 100.0
        })
        .map(|percent| percent / 100.0)
    };
    Ok(match model.as_str() {
        "percent_of_equity" => Sizing::FractionOfEquity(percent(&amount)?),
        "quantity" => Sizing::Quantity(above_zero(&amount)?),
        "cash" => Sizing::Cash(above_zero(&amount)?),
        "risk_per_trade" => {
            amount.map(&words::RISK_PER_TRADE)?;
            Sizing::RiskPerTrade {
                fraction: percent(&amount.need("percent", "1")?)?,
            }
        }
        "atr" => {
            amount.map(&words::ATR_SIZING)?;
            Sizing::Atr {
                fraction: percent(&amount.need("percent", "1")?)?,
                multiple: above_zero(&amount.need("multiple", "2")?)?,
                period: period(&amount.need("period", "14")?, 1)?,
            }
        }
        _ => {
            amount.map(&words::VOLATILITY_SIZING)?;
            Sizing::Volatility {
                annual: above_zero(&amount.need("annual", "0.2")?)?,
                period: period(&amount.need("period", "20")?, 2)?,
            }
        }
    })
}

/// Bars of a window, at least `least`.
fn period(node: &Node<'_>, least: u32) -> Result<u32> {
    let expected = format!("a whole number from {least} to {WINDOW_BARS_MAX}");
    let bars = node.number(&expected, |bars| {
        bars.fract() == 0.0 && (f64::from(least)..=f64::from(WINDOW_BARS_MAX)).contains(&bars)
    })?;
    Ok(bars as u32)
}

/// `risk`.
pub(super) fn risk(node: &Node<'_>) -> Result<RiskRules> {
    node.map(&words::RISK)?;
    let limit = |key: &str, expected: &str, accept: fn(f64) -> bool| {
        let limit = node.need(key, "none")?;
        if limit.value() == "none" {
            return Ok(f64::INFINITY);
        }
        limit.number(&format!("`none` or {expected}"), accept)
    };
    let fraction = "a fraction above 0, below 1";
    let is_fraction = |part: f64| part > 0.0 && part < 1.0;
    Ok(RiskRules {
        max_position: limit("max_position", "units above 0", |units| units > 0.0)?,
        max_exposure: limit("max_exposure", "a fraction of equity above 0", |part| {
            part > 0.0
        })?,
        max_drawdown: limit("max_drawdown", fraction, is_fraction)?,
        max_daily_loss: limit("max_daily_loss", fraction, is_fraction)?,
    })
}
