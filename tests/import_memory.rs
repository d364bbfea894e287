//! Importing is part of the plan: a Parquet file is read within the budget, or refused before.
#![cfg(feature = "parquet")]

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const BARS: i64 = 400_000;

/// Writes bars whose columns are one page each: 3.2 MB.
fn write(path: &Path) {
    let schema = "message bars { required int64 timestamp (TIMESTAMP(MILLIS,true));
        required double open; required double high; required double low; required double close; }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(64 << 20)
        .set_data_page_row_count_limit(usize::MAX);
    let file = std::fs::File::create(path).expect("writable");
    let properties = Arc::new(properties.build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    while let Some(mut column) = group.next_column().expect("a column") {
        let written = match column.untyped() {
            ColumnWriter::Int64ColumnWriter(writer) => {
                let times: Vec<i64> = (0..BARS).map(|bar| bar * 60_000).collect();
                writer.write_batch(&times, None, None)
            }
            ColumnWriter::DoubleColumnWriter(writer) => {
                let price = |bar: i64| 100.0 + (bar as f64 / 1e3).sin();
                let prices: Vec<f64> = (0..BARS).map(price).collect();
                writer.write_batch(&prices, None, None)
            }
            _ => unreachable!("a column of the schema above"),
        };
        written.expect("values");
        column.close().expect("a column");
    }
    group.close().expect("a row group");
    writer.close().expect("a file");
}

struct Folder {
    _folder: tempfile::TempDir,
    path: PathBuf,
    workflow: String,
}

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_path_buf();
        let (data, workflow) = (path.join("bars.parquet"), path.join("workflow.yaml"));
        write(&data);
        let text = format!(
            "workflow: parameter_sweep
data: {{path: {}}}
strategy:
  name: sma_crossover
  parameters: {{fast: {{min: 2, max: 6, step: 1}}, slow: {{min: 20, max: 24, step: 1}}}}
",
            data.display()
        );
        std::fs::write(&workflow, text).expect("writable");
        Folder {
            _folder: folder,
            path,
            workflow: workflow.to_string_lossy().into_owned(),
        }
    }

    fn admf(&self, verb: &str, root: &str, budget: &str) -> Output {
        let root = self.path.join(root).to_string_lossy().into_owned();
        Command::new(env!("CARGO_BIN_EXE_admf"))
            .args([verb, &self.workflow, "--json", "--results-root", &root])
            .args(["--threads", "1", "--memory-budget", budget])
            .output()
            .expect("the program starts")
    }

    fn json(&self, verb: &str, root: &str, budget: &str) -> Value {
        let out = self.admf(verb, root, budget);
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{text}");
        serde_json::from_slice(&out.stdout).expect("JSON")
    }
}

fn bytes(value: &Value) -> u64 {
    value.as_u64().expect("a number of bytes")
}

#[test]
fn a_run_that_imports_takes_what_is_predicted() {
    let folder = Folder::new();
    let predicted = bytes(&folder.json("plan", "one", "64MiB")["phases"][0]["peak_bytes"]);
    let measured = bytes(&folder.json("run", "two", "64MiB")["peak_memory_bytes"]);
    println!("predicted {predicted}, measured {measured}");
    assert!(measured.abs_diff(predicted) * 10 <= predicted);
    // What was imported before is in neither.
    let again = bytes(&folder.json("plan", "one", "64MiB")["phases"][0]["peak_bytes"]);
    let measured = bytes(&folder.json("run", "one", "64MiB")["peak_memory_bytes"]);
    println!("predicted {again}, measured {measured}");
    assert!(again + (2 << 20) < predicted);
    assert!(measured.abs_diff(again) * 10 <= again);
}

#[test]
fn an_import_that_does_not_fit_is_refused_before_it_begins() {
    let folder = Folder::new();
    for verb in ["plan", "run"] {
        let out = folder.admf(verb, "one", "11MiB");
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(3), "{text}");
        for words in ["bars.parquet", "pages of", "memory_budget is 11.0 MiB"] {
            assert!(text.contains(words), "{text}");
        }
        let root = folder.path.join("one");
        let left = std::fs::read_dir(&root).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{verb} left files in its root");
        // What it says is enough is.
        let enough = text.split("at least ").nth(1).expect("an advice");
        let enough = enough.split(',').next().expect("a size");
        folder.json(verb, &format!("{verb}_enough"), enough);
    }
    folder.json("plan", "one", "64MiB");
    let run = folder.json("run", "one", "11MiB");
    assert!(bytes(&run["peak_memory_bytes"]) <= 11 << 20);
}
