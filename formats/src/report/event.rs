//! The payload of one event as JSON: the same object wherever an event is written.

use crate::event::{AnyPayload, Stamp};
use crate::units::{finite, rfc3339};
use crate::vocabulary::{code_of, detail_of};
use serde_json::{Map, Value, json};

/// Fields by name, and the stamp's small numbers by the names that their kind gives them.
///
/// Shape: as `SEGMENT.md` says under "As JSON lines".
pub fn event_payload(stamp: &Stamp, payload: &AnyPayload) -> Value {
    let (kind, mut map) = (payload.kind(), Map::new());
    for (names, number) in [(code_of(kind), stamp.code), (detail_of(kind), stamp.detail)] {
        if let Some((key, names)) = names {
            map.insert(key.to_owned(), json!(names.name(number)));
        }
    }
    // The fields are read from the payload's own bytes, so that no list of them is kept here.
    #[repr(align(16))]
    struct Bytes([u8; 128]);
    let mut bytes = Bytes([0; 128]);
    payload.write(&mut bytes.0);
    let mut at = 0;
    for (name, field) in kind.payload_fields() {
        let raw = &bytes.0[at..at + field.bytes()];
        at += field.bytes();
        let mut wide = [0; 8];
        wide[..raw.len()].copy_from_slice(raw);
        let value = match field.name() {
            "f64" => json!(finite(f64::from_le_bytes(wide))),
            "i64" if *name == "entry_ts_ns" => {
                let time = rfc3339(i64::from_le_bytes(wide));
                map.insert("entry_time".into(), json!(time));
                continue;
            }
            "i64" => json!(i64::from_le_bytes(wide)),
            _ => json!(u64::from_le_bytes(wide)),
        };
        map.insert((*name).to_owned(), value);
    }
    Value::Object(map)
}
