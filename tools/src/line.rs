//! One event as JSON.

use crate::decode::Event;
use admf_formats::event::{AnyPayload, EventKind, Payload};
use admf_formats::report::container_id;
use admf_formats::segment::Frame;
use admf_formats::units::{finite, rfc3339};
use admf_formats::vocabulary::{code_of, detail_of};
use serde_json::{Map, Value, json};

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
        "payload": payload(kind, event.frame),
    });
    if !event.sealed {
        line["unsealed"] = Value::Bool(true);
    }
    line
}

fn payload(kind: EventKind, frame: &Frame) -> Value {
    let mut map = Map::new();
    let stamp = &frame.stamp;
    for (names, number) in [(code_of(kind), stamp.code), (detail_of(kind), stamp.detail)] {
        if let Some((key, names)) = names {
            map.insert(key.to_owned(), json!(names.name(number)));
        }
    }
    // Fields by name, read from the payload's own bytes.
    #[repr(align(16))]
    struct Bytes([u8; 128]);
    let mut bytes = Bytes([0; 128]);
    write(&frame.payload, &mut bytes.0);
    let mut at = 0;
    for (name, field) in kind.payload_fields() {
        let raw = &bytes.0[at..at + field.bytes()];
        at += field.bytes();
        let mut wide = [0; 8];
        wide[..raw.len()].copy_from_slice(raw);
        let value = match field.name() {
            "f64" => json!(finite(f64::from_le_bytes(wide))),
            "i64" if *name == "entry_ts_ns" => {
                map.insert(
                    "entry_time".into(),
                    json!(rfc3339(i64::from_le_bytes(wide))),
                );
                continue;
            }
            "i64" => json!(i64::from_le_bytes(wide)),
            _ => json!(u64::from_le_bytes(wide)),
        };
        map.insert((*name).to_owned(), value);
    }
    Value::Object(map)
}

fn write(payload: &AnyPayload, into: &mut [u8; 128]) {
    macro_rules! each {
        ($($kind:ident),+) => {
            match payload { $(AnyPayload::$kind(p) => p.write(&mut into[..EventKind::$kind.payload_bytes()])),+ }
        };
    }
    each!(
        Bar,
        Features,
        Signal,
        OrderRequest,
        Order,
        Fill,
        PortfolioUpdate,
        PositionUpdate,
        PositionOpen,
        PositionClose,
        RegimeChange,
        Classification,
        RiskBreach,
        Error,
        SystemStart,
        SystemStop,
        Accrual
    );
}
