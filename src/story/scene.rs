//! What stood around a trade: features at its signals, bars around its entry and exit.

use crate::Result;
use crate::features::FeatureColumns;
use crate::market::{BarBlock, BarsFile};
use crate::portfolio::Direction;
use crate::strategy::{Columns, FEATURES_MAX, Masks, Strategy};
use crate::topology::{Job, ParameterSet};
use admf_formats::report::{BarReport, FeatureReport, SignalReport};
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
    let features = job.strategy.features(parameters);
    let mut columns = FeatureColumns::new(features.clone());
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
                features: values(job.strategy, parameters, &columns, k),
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

fn values(
    strategy: &dyn Strategy,
    parameters: &[f64],
    columns: &FeatureColumns,
    k: usize,
) -> Vec<FeatureReport> {
    let features = strategy.features(parameters);
    let report = |(place, feature): (u16, crate::features::Feature)| {
        let (name, parameters) = feature.values();
        let column = columns.column(place);
        FeatureReport {
            name: name.to_owned(),
            parameters,
            value: finite(column.now()[k]),
            before: finite(column.before()[k]),
        }
    };
    (0..).zip(features).map(report).collect()
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
