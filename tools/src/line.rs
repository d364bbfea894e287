//! One event as JSON.

use crate::decode::Event;
use admf_formats::report::{container_id, event_payload};
use admf_formats::units::rfc3339;
use serde_json::{Value, json};

/// The event with the names that the manifest gives, and flagged where its container is not
/// committed.
pub fn of(event: &Event<'_>) -> Value {
    let (stamp, kind) = (&event.frame.stamp, event.frame.payload.kind());
    let symbol = event
        .manifest
        .symbols
        .get(stamp.symbol as usize)
        .map(|symbol| symbol.symbol.as_str());
    let mut line = json!({
        "container": container_id(event.container, event.manifest.containers),
        "event_id": stamp.sequence,
        "event_type": kind.name(),
        "timestamp": rfc3339(stamp.ts_ns),
        "bar": stamp.bar,
        "symbol": symbol,
        "correlation_id": (stamp.trade != 0).then_some(stamp.trade),
        "causation_id": (stamp.cause_back != 0).then(|| stamp.sequence.saturating_sub(u64::from(stamp.cause_back))),
        "payload": event_payload(stamp, &event.frame.payload),
    });
    if !event.sealed {
        line["unsealed"] = Value::Bool(true);
    }
    line
}
