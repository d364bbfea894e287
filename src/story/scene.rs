//! What stood around a trade: features at its signals, bars around its entry and exit.

use crate::Result;
use crate::execution::{Anchor, Distance};
use crate::features::{Feature, FeatureColumns};
use crate::market::{BarBlock, BarsFile};
use crate::portfolio::Direction;
use crate::strategy::{Columns, FEATURES_MAX, Masks};
use crate::topology::{Job, ParameterSet};
use admf_formats::report::{BarReport, FeatureReport, LevelsReport, ScaleOutReport, SignalReport};
use admf_formats::units::{QUANTUM_BARS, finite, rfc3339};
use std::ops::Range;

/// What the strategy saw on the bars of these signals (event and bar, in order of bars).
///
/// In one pass over the bars up to the last of them, by the code that a tile runs.
pub(super) fn signals(
    job: &Job<'_>,
    set: &ParameterSet,
    at: &[(u64, u32)],
) -> Result<Vec<SignalReport>> {
    let parameters = &set.values[..job.strategy.parameters().len()];
    let features = features(job, set);
    let mut columns = FeatureColumns::new(features.iter().map(|(feature, _)| *feature).collect());
    // Those of the strategy come first.
    let mut indices = [0; FEATURES_MAX];
    for (index, place) in indices.iter_mut().take(features.len()).zip(0..) {
        *index = place;
    }
    let (mut block, mut masks) = (BarBlock::new(), Masks::default());
    let mut reports = Vec::with_capacity(at.len());
    let Some((_, last)) = at.last() else {
        return Ok(reports);
    };
    let quantum = QUANTUM_BARS as u64;
    for number in job.features_from / quantum..=u64::from(*last) / quantum {
        job.bars.read_quantum(number, &mut block)?;
        let from = job.features_from.saturating_sub(block.first_bar) as usize;
        columns.push(&block, from);
        let bars = block.first_bar..block.first_bar + block.bars as u64;
        let here = at.iter().filter(|(_, bar)| bars.contains(&u64::from(*bar)));
        let mut has_masks = false;
        for (event_id, bar) in here {
            if !has_masks {
                let own = Columns::new(&columns, indices);
                let direction = job.rules.portfolio.direction;
                job.strategy.masks(parameters, &own, direction, &mut masks);
                has_masks = true;
            }
            let k = (u64::from(*bar) - block.first_bar) as usize;
            reports.push(SignalReport {
                event_id: *event_id,
                bar: *bar,
                conditions: conditions(&masks, k, job.rules.portfolio.direction),
                features: values(&features, &columns, k),
            });
        }
    }
    Ok(reports)
}

/// The conditions that hold on bar k of the block, of the sides that may be held.
fn conditions(masks: &Masks, k: usize, direction: Direction) -> Vec<&'static str> {
    let long = [
        ("enter_long", &masks.enter_long),
        ("exit_long", &masks.exit_long),
    ];
    let short = [
        ("enter_short", &masks.enter_short),
        ("exit_short", &masks.exit_short),
    ];
    let long = (direction != Direction::ShortOnly).then_some(long);
    let short = (direction != Direction::LongOnly).then_some(short);
    long.into_iter()
        .chain(short)
        .flatten()
        .filter(|(_, mask)| mask[k / 64] >> (k % 64) & 1 == 1)
        .map(|(name, _)| name)
        .collect()
}

/// Who looks at a feature.
const STRATEGY: &str = "strategy";
const RULES: &str = "exits_and_orders";
const SIZE: &str = "sizing";

/// The features that a container looks at, those of its strategy first, then those of its rules in
/// the order of their numbers.
fn features(job: &Job<'_>, set: &ParameterSet) -> Vec<(Feature, &'static str)> {
    let own = job
        .strategy
        .features(&set.values[..job.strategy.parameters().len()]);
    let rules = job.rules.features.of(&set.values);
    let own = own.into_iter().map(|feature| (feature, STRATEGY));
    own.chain(rules.map(|feature| (feature, RULES)))
        .chain(job.rules.measure().map(|feature| (feature, SIZE)))
        .collect()
}

fn values(
    features: &[(Feature, &'static str)],
    columns: &FeatureColumns,
    k: usize,
) -> Vec<FeatureReport> {
    let report = |(place, (feature, used_by)): (u16, &(Feature, &'static str))| {
        let (name, parameters) = feature.values();
        let column = columns.column(place);
        FeatureReport {
            used_by,
            name: name.to_owned(),
            parameters,
            value: finite(column.now()[k]),
            before: finite(column.before()[k]),
        }
    };
    (0..).zip(features).map(report).collect()
}

/// The exits that a position of this sign has from its entry on, from the bar of its signal.
pub(super) fn levels(
    job: &Job<'_>,
    set: &ParameterSet,
    sign: f64,
    signal: &SignalReport,
    signal_close: f64,
    entry_price: f64,
) -> LevelsReport {
    let exits = &job.rules.exits;
    let anchor = match exits.anchor {
        Anchor::SignalClose => signal_close,
        Anchor::Fill => entry_price,
    };
    let of_rules = signal.features.iter().filter(|one| one.used_by == RULES);
    let of_rules: Vec<f64> = of_rules
        .map(|feature| feature.value.unwrap_or(f64::NAN))
        .collect();
    let level = |distance: Option<Distance>, away: f64, from: f64| {
        let line = distance?.line(away, &set.values, |number| of_rules[usize::from(number)]);
        finite(line.at(from))
    };
    LevelsReport {
        anchor,
        stop_loss: level(exits.stop_loss, -sign, anchor),
        take_profit: level(exits.take_profit, sign, anchor),
        trailing_stop: level(exits.trailing_stop, -sign, entry_price),
        scale_out: (0..exits.scale_out.count())
            .filter_map(|which| exits.scale_out.get(which))
            .map(|out| ScaleOutReport {
                price: anchor * (1.0 + sign * out.distance),
                part: out.part,
            })
            .collect(),
    }
}

/// The bars of this range.
pub(super) fn bars(file: &BarsFile, range: Range<u64>) -> Result<Vec<BarReport>> {
    let (mut block, mut rows) = (BarBlock::new(), Vec::new());
    let quantum = QUANTUM_BARS as u64;
    for number in range.start / quantum..range.end.div_ceil(quantum) {
        file.read_quantum(number, &mut block)?;
        let end = range.end.min(block.first_bar + block.bars as u64);
        for bar in range.start.max(block.first_bar)..end {
            let k = (bar - block.first_bar) as usize;
            rows.push(BarReport {
                bar,
                timestamp: rfc3339(block.ts_ns[k]),
                open: block.open[k],
                high: block.high[k],
                low: block.low[k],
                close: block.close[k],
                volume: block.volume[k],
            });
        }
    }
    Ok(rows)
}
