//! Plans are the golden ones: every trace level, settings of some containers, and precedence.
//!
//! `ADMF_UPDATE_GOLDEN=1 cargo test --test plans` writes them anew, for a change that is meant.

use admf::sequencer::{Candidates, Phase};
use admf::workflow::{Workflow, parse};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Compares with the golden file.
fn check(name: &str, value: &Value) {
    let path = golden(name);
    let text = format!("{value:#}\n");
    if std::env::var_os("ADMF_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("writable");
    }
    let expected = std::fs::read_to_string(&path).expect("a golden file");
    let differing = text
        .lines()
        .zip(expected.lines())
        .find(|(new, old)| new != old);
    assert!(text == expected, "{name}: (new, golden) {differing:?}");
}

/// What plans of levels are compared by.
const TRACE_KEYS: [&str; 6] = [
    "trace_level",
    "container_settings",
    "event_tracing",
    "retention_policy",
    "sliding_window_size",
    "store_trades",
];

#[test]
fn plans_are_the_golden_ones() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut names: Vec<String> = std::fs::read_dir(golden("plans"))
        .expect("the golden plans")
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy().into_owned();
            name.strip_suffix(".yaml").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() >= 8);
    for name in names {
        let out = Command::new(env!("CARGO_BIN_EXE_admf"))
            .arg("plan")
            .arg(golden(&format!("plans/{name}.yaml")))
            .args(["--json", "--results-root"])
            .arg(folder.path())
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{name}: {text}");
        let mut plan: Value = serde_json::from_slice(&out.stdout).expect("valid JSON");
        for phase in plan["phases"].as_array_mut().expect("phases") {
            let phase = phase.as_object_mut().expect("a phase");
            phase.retain(|key, _| ["phase", "containers", "traces"].contains(&key.as_str()));
        }
        let mut settings = plan["settings"]["phases"].clone();
        if name != "precedence" {
            for phase in settings.as_object_mut().expect("phases").values_mut() {
                let phase = phase.as_object_mut().expect("a phase");
                phase.retain(|key, _| TRACE_KEYS.contains(&key.as_str()));
            }
        }
        let plan = json!({"phases": plan["phases"], "settings": {"phases": settings}});
        check(&format!("plans/{name}.json"), &plan);
    }
}

/// Every key that a phase has, with a value for the top level and one for the phase `testing`. Each
/// differs from the default of `training` or is the one other value there is.
fn matrix() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("container_results", json!("json"), json!("archive")),
        (
            "container_settings",
            json!({"portfolio_001": {"trace_level": "debug"}}),
            json!({"portfolio_001": {"trace_level": "none"}}),
        ),
        ("event_tracing", json!(["FILL"]), json!(["ORDER"])),
        (
            "execution.borrow",
            json!({"annual_rate": 0.03}),
            json!({"annual_rate": 0.05, "days_per_year": 360}),
        ),
        (
            "execution.commission",
            json!({"fixed": 1}),
            json!({"rate": 0.1}),
        ),
        (
            "execution.entry",
            json!({"limit": {"percent": 1}}),
            json!({"stop": {"absolute": 1}}),
        ),
        ("execution.fill", json!("same_close"), json!("next_open")),
        (
            "execution.slippage",
            json!({"rate": 0.1}),
            json!({"fixed": 0.2}),
        ),
        (
            "execution.spread",
            json!({"fixed": 0.02}),
            json!({"rate": 0.1}),
        ),
        ("exits.anchor", json!("fill"), json!("signal_close")),
        (
            "exits.both_touched",
            json!("target_first"),
            json!("stop_first"),
        ),
        ("exits.end_of_day", json!("15:45"), json!("16:00")),
        ("exits.max_bars", json!(5), json!(6)),
        ("exits.reentry", json!("after_reset"), json!("at_once")),
        (
            "exits.scale_out",
            json!([{"percent": 2, "part": 0.5}]),
            json!([{"percent": 1, "part": 0.3}, {"percent": 4, "part": 0.5}]),
        ),
        (
            "exits.stop_loss",
            json!({"percent": 1}),
            json!({"absolute": 1}),
        ),
        (
            "exits.take_profit",
            json!({"percent": 1}),
            json!({"atr": 1, "period": 5}),
        ),
        (
            "exits.trailing_stop",
            json!({"atr": 1, "period": 5}),
            json!({"percent": 1}),
        ),
        (
            "objective",
            json!("win_rate"),
            json!({"minimize": "max_drawdown"}),
        ),
        ("percentiles", json!([10]), json!([])),
        ("portfolio.close_at_end", json!(true), json!(false)),
        (
            "portfolio.direction",
            json!("short_only"),
            json!("long_short"),
        ),
        ("portfolio.initial_capital", json!(1), json!(2)),
        ("portfolio.pyramiding.max_entries", json!(2), json!(3)),
        (
            "portfolio.sizing",
            json!({"cash": 5}),
            json!({"quantity": 5}),
        ),
        ("portfolio.whole_units", json!(true), json!(false)),
        (
            "result_constraints",
            json!({"min_trades": 1}),
            json!({"min_trades": 2}),
        ),
        ("results_storage", json!("memory"), json!("disk")),
        ("retention_policy", json!("full"), json!("minimal")),
        ("risk.max_daily_loss", json!(0.02), json!(0.03)),
        ("risk.max_drawdown", json!(0.2), json!(0.3)),
        ("risk.max_exposure", json!(0.5), json!(2)),
        ("risk.max_position", json!(100), json!(200)),
        ("sliding_window_size", json!(5), json!(6)),
        ("store_trades", json!(true), json!(false)),
        ("top_n", json!(2), json!(3)),
        ("trace.backing", json!("tmpfs"), json!("disk")),
        ("trace.bytes_per_container", json!("256B"), json!("320B")),
        ("trace.compression", json!("zstd"), json!("none")),
        ("trace.on_full", json!("strict"), json!("degrade")),
        ("trace_level", json!("debug"), json!("none")),
        ("warmup", json!("none"), json!("history")),
    ]
}

/// `key.inner: value` as nested maps.
fn nested(key: &str, value: &Value) -> Value {
    key.rsplit('.')
        .fold(value.clone(), |value, key| json!({key: value}))
}

/// A workflow with this setting on the top level, in `phase_overrides.testing`, or both.
fn workflow(top: Option<Value>, phase: Option<Value>) -> Workflow {
    let mut document = json!({
        "workflow": "train_test_optimization",
        "data": {"path": "d.csv"},
        "strategy": {"name": "sma_crossover", "parameters": {"fast": [5, 6, 7], "slow": 20}},
    });
    if let Some(Value::Object(top)) = top {
        document.as_object_mut().expect("a map").extend(top);
    }
    if let Some(phase) = phase {
        document["phase_overrides"] = json!({"testing": phase});
    }
    parse(&document.to_string(), Path::new("w.yaml"))
        .unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn value(workflow: &Workflow, phase: &str, key: &str) -> Value {
    let pointer = format!("/phases/{phase}/{}", key.replace('.', "/"));
    let found = workflow.settings.pointer(&pointer);
    found.unwrap_or_else(|| panic!("{pointer} is set")).clone()
}

/// Keys of a phase's settings, inner maps opened, save those that are replaced whole.
fn keys(settings: &Map<String, Value>, above: &str, found: &mut Vec<String>) {
    for (key, value) in settings {
        let name = format!("{above}{key}");
        let is_whole = matrix().iter().any(|(known, ..)| *known == name);
        match value.as_object() {
            Some(inner) if !is_whole && !inner.is_empty() => {
                keys(inner, &format!("{name}."), found);
            }
            _ => found.push(name),
        }
    }
}

#[test]
fn the_matrix_has_every_key_of_a_phase() {
    let defaults = workflow(None, None);
    let mut found = Vec::new();
    for phase in ["training", "testing"] {
        let settings = defaults.settings["phases"][phase].as_object();
        keys(settings.expect("a map"), "", &mut found);
    }
    found.sort();
    found.dedup();
    let known: Vec<&str> = matrix().iter().map(|(key, ..)| *key).collect();
    // A key without an entry needs one in `matrix`, and the golden file anew.
    assert_eq!(found, known);
}

#[test]
fn precedence_is_the_golden_matrix() {
    let defaults = workflow(None, None);
    let mut rows = Map::new();
    for (key, top, phase) in matrix() {
        let levels = [
            ("default", workflow(None, None)),
            ("top_level", workflow(Some(nested(key, &top)), None)),
            ("phase_override", workflow(None, Some(nested(key, &phase)))),
            (
                "both",
                workflow(Some(nested(key, &top)), Some(nested(key, &phase))),
            ),
        ];
        let of = |level: usize, phase: &str| value(&levels[level].1, phase, key);
        assert_eq!(of(1, "training"), top, "{key}");
        assert_eq!(of(1, "testing"), top, "{key}");
        assert_eq!(of(2, "training"), of(0, "training"), "{key}");
        assert_eq!(of(2, "testing"), phase, "{key}");
        assert_eq!(of(3, "training"), top, "{key}");
        assert_eq!(of(3, "testing"), phase, "{key}");
        // The phases themselves follow: a setting means the same wherever it is written.
        let same = workflow(None, Some(nested(key, &top)));
        // Only which containers are tested follows from training.
        let testing = |workflow: &Workflow| Phase {
            candidates: Candidates::Space,
            ..workflow.phases[1].clone()
        };
        assert_eq!(testing(&same), testing(&levels[1].1), "{key}");
        assert_eq!(testing(&levels[3].1), testing(&levels[2].1), "{key}");
        assert_eq!(levels[2].1.phases[0], defaults.phases[0], "{key}");
        let is_effective = (0..2).any(|at| levels[1].1.phases[at] != defaults.phases[at]);
        assert!(is_effective, "{key}");
        let row: Map<String, Value> = levels
            .iter()
            .map(|(name, workflow)| {
                let of = |phase| value(workflow, phase, key);
                let both = json!({"training": of("training"), "testing": of("testing")});
                ((*name).to_owned(), both)
            })
            .collect();
        rows.insert(key.to_owned(), Value::Object(row));
    }
    check("precedence.json", &Value::Object(rows));
}
