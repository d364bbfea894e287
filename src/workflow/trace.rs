//! The trace keys of a phase: what is kept of events, and where.

use super::check::events;
use super::document::Node;
use super::phases::Source;
use super::words;
use crate::Result;
use crate::segment::Condition;
use crate::segment::retention::{
    Backing, Compression, Keep, OnFull, Reach, RetentionPolicy, TraceRules,
};
use crate::sequencer::Phase;
use admf_formats::event::EventSet;
use serde_json::json;

/// Two keys for one thing: the one that is written last takes the place of the other.
pub(super) const SAME: [&str; 2] = ["sliding_window_size", "sliding_window"];

/// The length of a window: `{events: 1000}`, `{bars: 500}` or `{duration: 5 days}`.
pub(super) fn window(node: &Node<'_>) -> Result<RetentionPolicy> {
    let (unit, length) = node.one_of(&words::SLIDING_WINDOW)?;
    Ok(match unit.as_str() {
        "events" => RetentionPolicy::SlidingWindow {
            events: length.count()?,
        },
        "bars" => RetentionPolicy::SlidingPast {
            reach: Reach::Bars(length.count()?),
        },
        _ => {
            let reach = Reach::of_duration(length.text()?).ok_or_else(|| {
                length.error(format!(
                    "{} was found; a whole number of seconds, minutes, hours, days or weeks such as \
                     `5 days` was expected",
                    length.value()
                ))
            })?;
            RetentionPolicy::SlidingPast { reach }
        }
    })
}

/// Closed trades that stay: `{last: 10, best: 5, worst: 5, where: "pnl < -100"}`.
fn keep(node: &Node<'_>, cap_bytes: u64, trade_bytes_max: u64) -> Result<Keep> {
    node.map(&words::KEEP)?;
    let count = |key: &str| -> Result<u32> {
        let Some(node) = node.get(key) else {
            return Ok(0);
        };
        let count = node.count()?;
        u32::try_from(count).map_err(|_| node.error(format!("{count} trades are too many")))
    };
    let condition = match node.get("where") {
        Some(node) => {
            let parsed = Condition::parse(node.text()?);
            Some(parsed.map_err(|message| node.error(message))?)
        }
        None => None,
    };
    let keep = Keep {
        last: count("last")?,
        best: count("best")?,
        worst: count("worst")?,
        condition,
    };
    // Where a trade has as many events as it lives long, the cap is what it is.
    let needed = trade_bytes_max.saturating_mul(1 + keep.trades_max());
    if trade_bytes_max < u64::MAX && keep.trades_max() > 0 && needed > cap_bytes {
        return Err(node.error(format!(
            "{} kept trades and the open one may have {needed} bytes of events, but \
             trace.bytes_per_container is {cap_bytes}; raise it, or keep fewer",
            keep.trades_max()
        )));
    }
    Ok(keep)
}

/// Rules of a phase or of the containers of a pattern; `trade_bytes_max` says what an open trade can
/// need where these kinds are traced.
pub(super) fn trace(
    source: &Source<'_>,
    trade_bytes_max: impl Fn(EventSet) -> u64,
) -> Result<TraceRules> {
    let kinds = events(&source.get("event_tracing"))?;
    let trade_bytes_max = trade_bytes_max(kinds);
    let node = source.get("trace");
    node.map(&words::TRACE)?;
    // Checked also where the policy has no use for it.
    let length = match source.merged.get("sliding_window") {
        Some(_) => window(&source.get("sliding_window"))?,
        None => RetentionPolicy::SlidingWindow {
            events: source.get("sliding_window_size").count()?,
        },
    };
    let policy = match source.get("retention_policy").word(&words::POLICIES)? {
        "trade_complete" => RetentionPolicy::TradeComplete,
        "sliding_window" => length,
        "minimal" => RetentionPolicy::Minimal,
        _ => RetentionPolicy::Full,
    };
    let on_full = node.need("on_full", "degrade")?;
    if on_full.value() == "spill" {
        return Err(on_full.error("`spill` is not supported yet; use degrade or strict"));
    }
    let backing = node.need("backing", "disk")?;
    let compression = node.need("compression", "none")?;
    let bytes_per_container = node.need("bytes_per_container", "64KiB")?.bytes()?;
    let mut kept = Keep::NONE;
    if let Some(node) = node.get("keep") {
        let keep = keep(&node, bytes_per_container, trade_bytes_max)?;
        // Other policies have their own say; a keep that no phase uses is refused elsewhere.
        if policy == RetentionPolicy::TradeComplete {
            kept = keep;
        }
    }
    let needed = match policy {
        RetentionPolicy::SlidingPast { .. } => u64::MAX,
        _ => trade_bytes_max.saturating_mul(1 + kept.trades_max()),
    };
    Ok(TraceRules {
        events: kinds,
        policy,
        bytes_per_container: bytes_per_container.min(needed),
        keep: kept,
        compression: match compression.word(&["none", "zstd"])? {
            "none" => Compression::None,
            _ => Compression::Zstd,
        },
        on_full: match on_full.word(&["degrade", "strict"])? {
            "degrade" => OnFull::Degrade,
            _ => OnFull::Strict,
        },
        backing: match backing.word(&["disk", "tmpfs"])? {
            "disk" => Backing::Disk,
            _ => Backing::Tmpfs,
        },
        store_trades: source.get("store_trades").bool()?,
    })
}

/// Refuses kept trades where no phase that they are written for recycles trades when they close.
pub(super) fn check_keep(root: &Node<'_>, phases: &[Phase]) -> Result<()> {
    fn keep<'a>(node: &Node<'a>) -> Option<Node<'a>> {
        node.get("trace")?.get("keep")
    }
    let is_used = |phase: &Phase| {
        let own = phase.container_traces.iter().map(|one| &one.rules);
        own.chain([&phase.container.trace])
            .any(|rules| rules.policy == RetentionPolicy::TradeComplete)
    };
    let refuse = |node: &Node<'_>, phases: &[&Phase]| {
        if node.value() == &json!({}) || phases.iter().any(|phase| is_used(phase)) {
            return Ok(());
        }
        let policies = phases.iter().map(|phase| {
            let policy = phase.container.trace.policy.name();
            format!("phase {} has retention_policy {policy}", phase.name)
        });
        Err(node.error(format!(
            "closed trades are kept under retention_policy trade_complete only, but {}",
            policies.collect::<Vec<_>>().join(" and ")
        )))
    };
    if let Some(node) = keep(root) {
        refuse(&node, &phases.iter().collect::<Vec<_>>())?;
    }
    for phase in phases {
        let own = root
            .get("phase_overrides")
            .and_then(|overrides| overrides.get(&phase.name))
            .and_then(|overrides| keep(&overrides));
        if let Some(node) = own {
            refuse(&node, &[phase])?;
        }
    }
    Ok(())
}

/// Refuses two lengths of one window in one place.
pub(super) fn refuse_two_windows(node: &Node<'_>) -> Result<()> {
    match (node.get(SAME[0]), node.get(SAME[1])) {
        (Some(_), Some(both)) => Err(both.error(format!(
            "`{}` says how long the window is, too; remove one of the two",
            SAME[0]
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Workflow, parse};
    use super::*;
    use std::path::Path;

    const DATA: &str = "data: {path: d.csv}\nstrategy: {name: sma_crossover, parameters: {fast: 5, \
                        slow: 10}}\n";

    fn read(workflow: &str, lines: &str) -> Result<Workflow> {
        let text = format!("workflow: {workflow}\n{DATA}{lines}");
        parse(&text, Path::new("w.yaml"))
    }

    /// Policies of training and testing.
    fn check(lines: &str, expected: [RetentionPolicy; 2]) {
        let workflow = read("train_test_optimization", lines).expect(lines);
        let policies = [0, 1].map(|at| workflow.phases[at].container.trace.policy);
        assert_eq!(policies, expected, "{lines}");
    }

    fn check_error(workflow: &str, lines: &str, expected: &str) {
        let error = read(workflow, lines).expect_err(lines).to_string();
        assert!(error.contains(expected), "{lines}: {error}");
    }

    #[test]
    fn a_window_has_events_bars_or_a_duration_and_the_last_word_holds() {
        let events = |events| RetentionPolicy::SlidingWindow { events };
        let bars = |bars| RetentionPolicy::SlidingPast {
            reach: Reach::Bars(bars),
        };
        let days = |days: u64| RetentionPolicy::SlidingPast {
            reach: Reach::Nanoseconds(days * 86_400_000_000_000),
        };
        let trades = RetentionPolicy::TradeComplete;
        check("", [trades, events(1000)]);
        check("sliding_window_size: 7", [trades, events(7)]);
        check("sliding_window: {events: 8}", [trades, events(8)]);
        check("sliding_window: {bars: 500}", [trades, bars(500)]);
        check(
            "retention_policy: sliding_window\nsliding_window: {duration: 5 days}",
            [days(5), days(5)],
        );
        check(
            "sliding_window: {bars: 9}\nphase_overrides: {testing: {sliding_window_size: 5}}",
            [trades, events(5)],
        );
        check(
            "sliding_window_size: 5\nphase_overrides: {testing: {sliding_window: {bars: 9}}}",
            [trades, bars(9)],
        );
        check(
            "trace_level: debug\nsliding_window: {bars: 9}",
            [bars(9); 2],
        );
        let lines = "container_settings: {portfolio_001: {retention_policy: sliding_window, \
                     sliding_window: {duration: 90 minutes}}}";
        let workflow = read("parameter_sweep", lines).expect(lines);
        let own = workflow.phases[0].container_traces[0].rules.policy;
        let minutes = Reach::Nanoseconds(90 * 60_000_000_000);
        assert_eq!(own, RetentionPolicy::SlidingPast { reach: minutes });
    }

    #[test]
    fn kept_trades_are_read_and_replaced_as_a_whole() {
        let lines = "trace: {keep: {last: 10, best: 5, worst: 6, where: \"pnl < -100\"}}\n\
                     phase_overrides: {training: {trace: {keep: {best: 2}}}}";
        let workflow = read("train_test_optimization", lines).expect(lines);
        let keep = |at: usize| workflow.phases[at].container.trace.keep;
        assert_eq!(keep(0).to_string(), "best 2");
        // Three trades at most: the two and the open one.
        let cap = workflow.phases[0].container.trace.bytes_per_container;
        assert_eq!(cap, 3 * 352);
        // Testing has a window, which keeps trades in its own way.
        assert!(keep(1).is_none());
        let lines = lines.lines().next().expect("a line");
        let sweep = read("parameter_sweep", lines).expect(lines);
        assert_eq!(
            sweep.phases[0].container.trace.keep.to_string(),
            "last 10, best 5, worst 6, where pnl < -100"
        );
        let none = read("parameter_sweep", "trace: {keep: {}}").expect("nothing is kept");
        assert!(none.phases[0].container.trace.keep.is_none());
    }

    #[test]
    fn what_has_no_use_or_no_room_is_refused_with_a_way_out() {
        for (lines, expected) in [
            ("sliding_window: {bars: 0}", "sliding_window.bars"),
            ("sliding_window: {bars: 5, events: 5}", "exactly one of"),
            ("sliding_window: {duration: 5}", "text was expected"),
            ("sliding_window: {duration: 5 years}", "such as `5 days`"),
            ("sliding_window: {days: 5}", "unknown key"),
            (
                "sliding_window: {bars: 5}\nsliding_window_size: 5",
                "remove one of the two",
            ),
            (
                "container_settings: {portfolio_001: {max_events: 5, sliding_window: {bars: 5}}}",
                "remove the other key",
            ),
            (
                "container_settings: {portfolio_001: {sliding_window: {bars: 5}}}",
                "add `retention_policy: sliding_window`",
            ),
            ("trace: {keep: {first: 1}}", "unknown key"),
            ("trace: {keep: {last: 0}}", "1 or more"),
            (
                "trace: {keep: {where: \"pnl < x\"}}",
                "a number was expected at `x`",
            ),
            (
                "trace: {keep: {last: 190}}",
                "190 kept trades and the open one may have 67232 bytes of events",
            ),
            (
                "retention_policy: full\ntrace: {keep: {last: 2}}",
                "trade_complete only, but phase sweep has retention_policy full",
            ),
        ] {
            check_error("parameter_sweep", lines, expected);
        }
        check_error(
            "train_test_optimization",
            "phase_overrides: {testing: {trace: {keep: {last: 2}}}}",
            "but phase testing has retention_policy sliding_window",
        );
    }
}
