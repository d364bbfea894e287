//! The columns of each table, and what stands in them.

use crate::decode::Event;
use crate::line;
use admf::Result;
use admf::segment::FileKind;
use admf_formats::event::{EventKind, FieldType};
use admf_formats::report::ContainerReport;
use admf_formats::units::rfc3339;
use admf_formats::vocabulary::{code_of, detail_of};
use serde_json::Value;
use std::path::PathBuf;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Closed trades.
    Trades,
    /// Every event.
    Events,
    /// A row per committed container.
    Results,
}

/// The type of a column; every column may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8.
    Text,
    /// Whole number of 64 bits.
    Whole,
    /// IEEE 754 number of 64 bits.
    Real,
    /// Nanoseconds since 1970 UTC.
    Time,
    /// True or false.
    Bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name: of a nested value, its path with dots.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
}

/// What stands in a row's column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// See [`ColumnType::Text`].
    Text(String),
    /// See [`ColumnType::Whole`].
    Whole(i64),
    /// See [`ColumnType::Real`].
    Real(f64),
    /// See [`ColumnType::Time`].
    Time(i64),
    /// See [`ColumnType::Bool`].
    Bool(bool),
}

impl Cell {
    /// Appends the cell as CSV.
    pub(super) fn push_csv(&self, line: &mut String) {
        match self {
            Cell::Null => {}
            Cell::Text(text) if text.contains([',', '"', '\n', '\r']) => {
                line.push('"');
                line.push_str(&text.replace('"', "\"\""));
                line.push('"');
            }
            Cell::Text(text) => line.push_str(text),
            Cell::Whole(value) => line.push_str(&value.to_string()),
            Cell::Real(value) => line.push_str(&Value::from(*value).to_string()),
            Cell::Time(ts_ns) => line.push_str(&rfc3339(*ts_ns).unwrap_or_default()),
            Cell::Bool(value) => line.push_str(if *value { "true" } else { "false" }),
        }
    }
}

/// The columns of a table. Results take theirs from the first report.
pub(super) fn columns(what: What, inputs: &[(PathBuf, FileKind)]) -> Result<Vec<Column>> {
    if what == What::Results {
        let mut columns = Vec::new();
        // One pass over records only: the parameters may differ from file to file.
        super::reports(inputs, &mut |report| {
            for (name, value) in flat(report) {
                if columns.iter().all(|column: &Column| column.name != name) {
                    let kind = report_type(&name, &value);
                    columns.push(Column { name, kind });
                }
            }
            Ok(())
        })?;
        return Ok(columns);
    }
    let mut columns: Vec<Column> = [
        ("container", ColumnType::Text),
        ("event_id", ColumnType::Whole),
        ("event_type", ColumnType::Text),
        ("timestamp", ColumnType::Time),
        ("bar", ColumnType::Whole),
        ("symbol", ColumnType::Text),
        ("correlation_id", ColumnType::Whole),
        ("causation_id", ColumnType::Whole),
        ("sealed", ColumnType::Bool),
    ]
    .map(|(name, kind)| Column {
        name: name.to_owned(),
        kind,
    })
    .into();
    let kinds = EventKind::ALL
        .into_iter()
        .filter(|kind| what == What::Events || *kind == EventKind::PositionClose);
    let mut add = |name: &str, kind: ColumnType| match columns
        .iter_mut()
        .find(|column| column.name == name)
    {
        Some(column) if column.kind != kind => column.kind = ColumnType::Real,
        Some(_) => {}
        None => columns.push(Column {
            name: name.to_owned(),
            kind,
        }),
    };
    for kind in kinds {
        for (key, _) in [code_of(kind), detail_of(kind)].into_iter().flatten() {
            add(key, ColumnType::Text);
        }
        for (name, field) in kind.payload_fields() {
            match field {
                FieldType::F64 => add(name, ColumnType::Real),
                _ if *name == "entry_ts_ns" => add("entry_time", ColumnType::Time),
                _ => add(name, ColumnType::Whole),
            }
        }
    }
    Ok(columns)
}

/// A row of an event: what its JSON line has, by name.
pub(super) fn of_event(event: &Event<'_>, columns: &[Column]) -> Vec<Cell> {
    let line = line::of(event);
    let payload = &line["payload"];
    columns
        .iter()
        .map(|column| match column.name.as_str() {
            "sealed" => Cell::Bool(event.sealed),
            name => match line.get(name).or_else(|| payload.get(name)) {
                Some(value) => cell(value, column.kind),
                None => Cell::Null,
            },
        })
        .collect()
}

/// A row of a report: its values by their path.
pub(super) fn of_report(report: &ContainerReport, columns: &[Column]) -> Vec<Cell> {
    let values = flat(report);
    columns
        .iter()
        .map(|column| {
            let value = values.iter().find(|(name, _)| *name == column.name);
            value.map_or(Cell::Null, |(_, value)| cell(value, column.kind))
        })
        .collect()
}

fn cell(value: &Value, kind: ColumnType) -> Cell {
    let text = || match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    };
    let number = match kind {
        ColumnType::Text => Some(text()),
        ColumnType::Whole => value
            .as_i64()
            .or_else(|| value.as_u64().map(|value| value as i64))
            .map(Cell::Whole),
        ColumnType::Real => value.as_f64().map(Cell::Real),
        ColumnType::Time => value
            .as_str()
            .and_then(|text| admf::market::TimeReader::new("UTC").ok()?.read(text).ok())
            .map(Cell::Time),
        ColumnType::Bool => value.as_bool().map(Cell::Bool),
    };
    number.unwrap_or(Cell::Null)
}

/// The values of a report by their path.
fn flat(report: &ContainerReport) -> Vec<(String, Value)> {
    fn walk(path: &str, value: Value, into: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() {
                        key
                    } else {
                        format!("{path}.{key}")
                    };
                    walk(&path, value, into);
                }
            }
            value => into.push((path.to_owned(), value)),
        }
    }
    let mut values = Vec::new();
    let value = serde_json::to_value(report).expect("a report is JSON");
    walk("", value, &mut values);
    values
}

/// Parameters may be whole in one container and not in the next; a null is a missing number, but
/// for the text that says why a container failed.
fn report_type(name: &str, value: &Value) -> ColumnType {
    match value {
        _ if name.starts_with("parameters.") => match value {
            Value::String(_) => ColumnType::Text,
            _ => ColumnType::Real,
        },
        Value::String(_) => ColumnType::Text,
        Value::Null if name == "failure" => ColumnType::Text,
        Value::Number(number) if !number.is_f64() => ColumnType::Whole,
        Value::Bool(_) => ColumnType::Bool,
        _ => ColumnType::Real,
    }
}
