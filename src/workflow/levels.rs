//! Trace levels, and settings of some containers only.
//!
//! A level fills in trace keys that the user left open: a key that is written down, on the top
//! level or for a phase, beats the level's, and one written down for a container beats both.

use super::check::events;
use super::document::{Document, Node};
use super::trace::window;
use super::words;
use crate::Result;
use crate::sequencer::{Candidates, Pattern, Phase};
use serde_json::{Map, Value, json};

/// The keys that a level fills in; none for `custom`.
pub(super) fn level(name: &str) -> Value {
    match name {
        "none" => json!({"event_tracing": [], "store_trades": false}),
        "minimal" => json!({
            "event_tracing": words::TRADE_EVENTS,
            "retention_policy": "trade_complete",
            "store_trades": false,
        }),
        "normal" => json!({
            "event_tracing": [
                "SIGNAL", "ORDER_REQUEST", "ORDER", "FILL", "PORTFOLIO_UPDATE", "POSITION_OPEN",
                "POSITION_CLOSE",
            ],
            "retention_policy": "trade_complete",
            "store_trades": true,
        }),
        "debug" => json!({
            "event_tracing": "all",
            "retention_policy": "sliding_window",
            "sliding_window_size": 50_000,
            "store_trades": true,
        }),
        _ => json!({}),
    }
}

/// A pattern of `container_settings` with the trace keys that are written down for it.
pub(super) struct ContainerSettings {
    pub(super) pattern: Pattern,
    /// Its own level, where it has one.
    pub(super) level: Option<String>,
    pub(super) keys: Value,
}

/// The patterns of a phase, in no particular order.
pub(super) fn container_settings(node: &Node<'_>) -> Result<Vec<ContainerSettings>> {
    let map = node.value().as_object().ok_or_else(|| {
        node.error(format!(
            "{} was found; a map such as {{portfolio_001: {{trace_level: debug}}}} was expected",
            node.value()
        ))
    })?;
    map.keys()
        .map(|text| {
            let pattern = Pattern::parse(text).map_err(|message| node.error(message))?;
            let settings = node.need(text, "{trace_level: debug}")?;
            settings.map(&words::CONTAINER_SETTINGS)?;
            one(pattern, &settings)
        })
        .collect()
}

fn one(pattern: Pattern, settings: &Node<'_>) -> Result<ContainerSettings> {
    let mut keys = Map::new();
    for key in words::CONTAINER_SETTINGS {
        if let Some(node) = settings.get(key) {
            keys.insert(key.to_owned(), node.value().clone());
        }
    }
    let level = match settings.get("trace_level") {
        Some(node) => Some(node.word(&words::TRACE_LEVELS)?.to_owned()),
        None => None,
    };
    keys.remove("trace_level");
    if let Some(node) = settings.get("max_events") {
        if settings.get("sliding_window_size").is_some() {
            return Err(node.error("the same as `sliding_window_size`; keep one"));
        }
        node.count()?;
        let size = keys.remove("max_events").unwrap_or_default();
        keys.insert("sliding_window_size".to_owned(), size);
    }
    if let Some(node) = settings.get("enabled") {
        keys.remove("enabled");
        if !node.bool()? {
            let mut others = keys.keys().map(String::as_str).chain(level.as_deref());
            if let Some(other) = others.next() {
                return Err(node.error(format!(
                    "nothing is traced, so `{other}` has no use; remove one"
                )));
            }
            keys.insert("event_tracing".to_owned(), json!([]));
            keys.insert("store_trades".to_owned(), json!(false));
        }
    }
    // Checked here, where errors point to the pattern.
    if let Some(node) = settings.get("event_tracing") {
        events(&node)?;
    }
    if let Some(node) = settings.get("retention_policy") {
        node.word(&words::POLICIES)?;
    }
    if let Some(node) = settings.get("sliding_window_size") {
        node.count()?;
    }
    if let Some(node) = settings.get("sliding_window") {
        if settings.get("sliding_window_size").is_some() || settings.get("max_events").is_some() {
            return Err(node.error("it says how long the window is; remove the other key"));
        }
        window(&node)?;
    }
    if let Some(node) = settings.get("store_trades") {
        node.bool()?;
    }
    Ok(ContainerSettings {
        pattern,
        level,
        keys: Value::Object(keys),
    })
}

/// Refuses a pattern that matches no container: of any phase, or of the phase it is written for.
/// `containers` are those of a phase that runs the whole space.
pub(super) fn check_patterns(document: &Document, phases: &[Phase], containers: u64) -> Result<()> {
    let count = |phase: &Phase| match &phase.candidates {
        Candidates::Space => containers,
        Candidates::BestOf { count, .. } => containers.min(*count),
    };
    let check = |node: &Node<'_>, phases: &[&Phase]| -> Result<()> {
        for settings in container_settings(node)? {
            let is_used = |phase: &&Phase| settings.pattern.matched(count(phase)) > 0;
            if !phases.iter().any(is_used) {
                let names: Vec<String> = phases
                    .iter()
                    .map(|phase| {
                        let last =
                            admf_formats::report::container_id(count(phase) - 1, count(phase));
                        format!("phase {} (its last is {last})", phase.name)
                    })
                    .collect();
                return Err(node.error(format!(
                    "pattern `{}` matches no container of {}",
                    settings.pattern.text(),
                    names.join(" or ")
                )));
            }
        }
        Ok(())
    };
    let root = document.root();
    let all: Vec<&Phase> = phases.iter().collect();
    if let Some(node) = root.get("container_settings") {
        check(&node, &all)?;
    }
    for phase in &all {
        let own = root
            .get("phase_overrides")
            .and_then(|overrides| overrides.get(&phase.name))
            .and_then(|overrides| overrides.get("container_settings"));
        if let Some(node) = own {
            check(&node, &[phase])?;
        }
    }
    Ok(())
}
