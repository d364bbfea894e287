//! `exits`, and `entry` of `execution`.

use super::amounts::{Kind, Parameters};
use super::document::Node;
use super::words;
use crate::Result;
use crate::container::RuleFeatures;
use crate::execution::{
    Anchor, BothTouched, Distance, Entry, EntryRules, ExitRules, Reentry, ScaleOut, ScaleOuts,
    Waiting,
};

/// The settings under `exits`.
pub(super) fn exits<'a>(
    node: &Node<'a>,
    parameters: &Parameters<'a>,
    features: &mut RuleFeatures,
) -> Result<ExitRules> {
    node.map(&words::EXITS)?;
    let mut level = |key: &str, percent: Kind| -> Result<Option<Distance>> {
        let level = node.need(key, "{percent: 5}")?;
        if level.value() == "none" {
            return Ok(None);
        }
        parameters.distance(&level, percent, features).map(Some)
    };
    let stop_loss = level("stop_loss", Kind::Part)?;
    let take_profit = level("take_profit", Kind::Percent)?;
    let trailing_stop = level("trailing_stop", Kind::Part)?;
    let max_bars = node.need("max_bars", "20")?;
    let max_bars = if max_bars.value() == "none" {
        None
    } else {
        Some(parameters.amount(&max_bars, Kind::Bars)?)
    };
    let anchor = node.need("anchor", "signal_close")?;
    let both_touched = node.need("both_touched", "stop_first")?;
    let reentry = node.need("reentry", "at_once")?;
    Ok(ExitRules {
        stop_loss,
        take_profit,
        trailing_stop,
        scale_out: scale_out(&node.need("scale_out", "[{percent: 2, part: 0.5}]")?)?,
        anchor: match anchor.word(&["signal_close", "fill"])? {
            "signal_close" => Anchor::SignalClose,
            _ => Anchor::Fill,
        },
        both_touched: match both_touched.word(&["stop_first", "target_first"])? {
            "stop_first" => BothTouched::StopFirst,
            _ => BothTouched::TargetFirst,
        },
        max_bars,
        end_of_day: end_of_day(&node.need("end_of_day", "\"15:45\"")?)?,
        reentry: match reentry.word(&["at_once", "after_reset"])? {
            "at_once" => Reentry::AtOnce,
            _ => Reentry::AfterReset,
        },
    })
}

/// Levels of parts; an empty list for none.
fn scale_out(node: &Node<'_>) -> Result<ScaleOuts> {
    if node.value().as_array().is_some_and(Vec::is_empty) {
        return Ok(ScaleOuts::NONE);
    }
    let mut levels = Vec::new();
    for level in node.list()? {
        level.map(&words::SCALE_OUT)?;
        let percent = level.need("percent", "2")?;
        let part = level.need("part", "0.5")?;
        levels.push(ScaleOut {
            // Below a hundred, so that the level of a short position is a price.
            distance: percent.number("a number above 0, below 100", |percent| {
                percent > 0.0 && percent < 100.0
            })? / 100.0,
            part: part.number("a part of the position above 0, below 1", |part| {
                part > 0.0 && part < 1.0
            })?,
        });
    }
    ScaleOuts::new(&levels).map_err(|message| node.error(message))
}

/// `none`, or a time of day as seconds after midnight.
fn end_of_day(node: &Node<'_>) -> Result<Option<u32>> {
    if node.value() == "none" {
        return Ok(None);
    }
    let time = node.value().as_str().and_then(|text| {
        let parts: Vec<u32> = text
            .split(':')
            .map(|part| part.parse().ok().filter(|_| part.len() == 2))
            .collect::<Option<_>>()?;
        match parts[..] {
            [hour, minute] if hour < 24 && minute < 60 => Some(hour * 3600 + minute * 60),
            _ => None,
        }
    });
    time.map(Some).ok_or_else(|| {
        node.error(format!(
            "{} was found; `none` or a time of day such as \"15:45\" was expected",
            node.value()
        ))
    })
}

/// `entry` of `execution`: `market`, or a waiting order with its `time_in_force`.
pub(super) fn entry<'a>(
    node: &Node<'a>,
    parameters: &Parameters<'a>,
    features: &mut RuleFeatures,
) -> Result<EntryRules> {
    if node.value() == "market" {
        return Ok(EntryRules::MARKET);
    }
    let Some(map) = node.value().as_object() else {
        return Err(node.error(format!(
            "{} was found; market, {{limit: {{percent: 1}}}}, {{stop: ...}} or {{stop_limit: \
             {{stop: ..., limit: ...}}}} was expected",
            node.value()
        )));
    };
    let mut order = map.clone();
    order.remove("time_in_force");
    // Which keys there are is said of the whole map.
    node.map(&words::ENTRY)?;
    let (kind, price) = node.with(order.into()).one_of(&words::ENTRY[..3])?;
    let order = match kind.as_str() {
        "limit" => Entry::Limit(parameters.distance(&price, Kind::Part, features)?),
        "stop" => Entry::Stop(parameters.distance(&price, Kind::Part, features)?),
        _ => {
            price.map(&["stop", "limit"])?;
            let (stop, limit) = (
                price.need("stop", "{percent: 1}")?,
                price.need("limit", "{percent: 0.5}")?,
            );
            Entry::StopLimit {
                stop: parameters.distance(&stop, Kind::Part, features)?,
                limit: parameters.distance(&limit, Kind::PercentOrZero, features)?,
            }
        }
    };
    let time_in_force = match node.get("time_in_force") {
        None => Waiting::UntilCancelled,
        Some(force) if force.value().is_object() => {
            force.map(&["bars"])?;
            Waiting::Bars(parameters.amount(&force.need("bars", "5")?, Kind::Bars)?)
        }
        Some(force) => match force.word(&["gtc", "day"])? {
            "gtc" => Waiting::UntilCancelled,
            _ => Waiting::Day,
        },
    };
    Ok(EntryRules {
        order,
        time_in_force,
    })
}
