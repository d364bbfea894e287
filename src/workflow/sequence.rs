//! Sequences: patterns in YAML, the built-in ones and those of a workflow file, to checked levels.
//!
//! A pattern says what it repeats (`iterations`), with which `settings`, and what each iteration
//! runs: its `phases`, or another pattern `inside` it. Settings are the built-in ones of its kind of
//! iteration, then the pattern's, then those that the workflow file gives under the kind's own key.

use super::document::{Document, Node};
use super::phases::{Outline, check_phase_keys, merge};
use super::words;
use crate::sequencer::{
    FoldRule, Iterations, LEVELS_MAX, Level, Sequence, Split, Unit, WINDOWS_MAX, Window, WindowRule,
};
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Built-in patterns by name.
const BUILT_IN: [(&str, &str); 6] = [
    ("single_pass", include_str!("patterns/single_pass.yaml")),
    (
        "parameter_sweep",
        include_str!("patterns/parameter_sweep.yaml"),
    ),
    ("train_test", include_str!("patterns/train_test.yaml")),
    ("walk_forward", include_str!("patterns/walk_forward.yaml")),
    ("k_fold", include_str!("patterns/k_fold.yaml")),
    ("monte_carlo", include_str!("patterns/monte_carlo.yaml")),
];

/// Workflows and their patterns.
const WORKFLOW_PATTERNS: [(&str, &str); 6] = [
    ("single_backtest", "single_pass"),
    ("parameter_sweep", "parameter_sweep"),
    ("train_test_optimization", "train_test"),
    ("walk_forward_optimization", "walk_forward"),
    ("k_fold_optimization", "k_fold"),
    ("monte_carlo", "monte_carlo"),
];

/// Kinds of iteration, the key with their settings, and the built-in pattern with their defaults.
const KINDS: [(&str, &str, &str); 5] = [
    ("once", "", ""),
    ("split", "split", "train_test"),
    ("windows", "walk_forward", "walk_forward"),
    ("folds", "k_fold", "k_fold"),
    ("paths", "monte_carlo", "monte_carlo"),
];

/// Folders of the results tree that a phase cannot have.
const RESERVED: [&str; 4] = ["pools", "windows", "replay", "run.json"];

/// A sequence with its phases, and the settings that a resume compares.
pub(super) struct Resolved {
    pub(super) sequence: Sequence,
    pub(super) outline: Vec<Outline>,
    /// Keys of a workflow file that give this very sequence.
    pub(super) settings: Value,
}

/// A pattern before its settings are checked.
struct Pattern {
    name: String,
    kind: &'static (&'static str, &'static str, &'static str),
    settings: Value,
}

/// Follows patterns inwards.
struct Walk<'a> {
    document: &'a Document,
    root: &'a Node<'a>,
    patterns: Vec<Pattern>,
    outline: Vec<Outline>,
}

/// The sequence that a workflow file asks for.
pub(super) fn resolve(
    document: &Document,
    root: &Node<'_>,
    workflow: &Node<'_>,
) -> Result<Resolved> {
    let name = workflow.word(&words::WORKFLOWS)?;
    let given = root.get("sequence");
    let mut walk = Walk {
        document,
        root,
        patterns: Vec::new(),
        outline: Vec::new(),
    };
    let place = given.as_ref().unwrap_or(workflow);
    match WORKFLOW_PATTERNS.iter().find(|(known, _)| *known == name) {
        Some((_, pattern)) => {
            if let Some(node) = given.clone().or_else(|| root.get("sequences")) {
                return Err(node.error(format!(
                    "{name} has a sequence of its own; use `workflow: sequence`"
                )));
            }
            walk.named(place, pattern)?;
        }
        None => {
            let node = root.need("sequence", "walk_forward")?;
            walk.enter(&node)?;
        }
    }
    walk.finish(name, place)
}

impl Walk<'_> {
    /// A pattern by name or file, or written out.
    fn enter(&mut self, node: &Node<'_>) -> Result<()> {
        if node.value().is_object() {
            let name = match node.get("pattern") {
                Some(name) => name.text()?.to_owned(),
                None => format!("sequence {}", self.patterns.len() + 1),
            };
            return self.pattern(node, node, &name);
        }
        let name = node.text()?.to_owned();
        self.named(node, &name)
    }

    fn named(&mut self, asked: &Node<'_>, name: &str) -> Result<()> {
        let own = self.root.get("sequences");
        if let Some(own) = &own
            && let Some(node) = own.get(name)
        {
            return self.pattern(asked, &node, name);
        }
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            let document = built_in(name, text)?;
            return self.pattern(asked, &document.root(), name);
        }
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            let folder = self.document.path().parent().unwrap_or(Path::new(""));
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            let document = Document::parse(&text, &path)?;
            document.refuse_empty()?;
            return self.pattern(asked, &document.root(), name);
        }
        let mut known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let own = own.and_then(|own| own.value().as_object().cloned());
        let own = own.unwrap_or_default();
        known.extend(own.keys().map(String::as_str));
        Err(asked.error(format!(
            "`{name}` is no sequence{}, nor a pattern file ending in .yaml",
            words::suggestion(name, &known)
        )))
    }

    /// Takes a pattern and what is inside it. `asked` is where it is asked for.
    fn pattern(&mut self, asked: &Node<'_>, node: &Node<'_>, name: &str) -> Result<()> {
        let mut chain: Vec<&str> = self.patterns.iter().map(|one| one.name.as_str()).collect();
        if chain.contains(&name) {
            chain.push(name);
            return Err(asked.error(format!(
                "a cycle: {}; a sequence cannot stand inside itself",
                chain.join(" > ")
            )));
        }
        if chain.len() == LEVELS_MAX {
            return Err(asked.error(format!(
                "more than {LEVELS_MAX} sequences inside each other: {} > {name}",
                chain.join(" > ")
            )));
        }
        node.map(&words::PATTERN)?;
        let kinds: Vec<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
        let word = node.need("iterations", "windows")?;
        let word = word.word(&kinds)?;
        let kind = KINDS
            .iter()
            .find(|(kind, ..)| *kind == word)
            .expect("the word is one of the kinds");
        if word != "once" && self.patterns.iter().any(|outer| outer.kind.0 == word) {
            return Err(asked.error(format!(
                "`iterations: {word}` stands inside `iterations: {word}`; each kind can stand in a sequence once"
            )));
        }
        let is_paths = word == "paths";
        if is_paths && !self.patterns.is_empty() {
            return Err(asked.error(format!(
                "`{name}` draws paths from what is inside it, so nothing can stand around it"
            )));
        }
        let mut settings = match kind.2 {
            "" => json!({}),
            base => {
                let (_, text) = BUILT_IN
                    .iter()
                    .find(|(known, _)| *known == base)
                    .expect("defaults are those of a built-in pattern");
                built_in(base, text)?
                    .root()
                    .need("settings", "{}")?
                    .value()
                    .clone()
            }
        };
        if let Some(own) = node.get("settings") {
            if kind.1.is_empty() {
                return Err(own.error(format!("`iterations: {word}` has no settings; remove them")));
            }
            overlay(&mut settings, &own);
            // Checked here too, where errors point to the pattern and not to the workflow's keys.
            iterations(word, &own.with(settings.clone()))?;
        }
        self.patterns.push(Pattern {
            name: name.to_owned(),
            kind,
            settings,
        });
        let own = self.root.get("monte_carlo").filter(|_| is_paths);
        if let Some(inside) = own.and_then(|own| own.get("inside")) {
            return self.enter(&inside);
        }
        if is_paths && node.get("phases").is_some() {
            return Err(
                node.error("`iterations: paths` needs a sequence `inside`, which has the phases")
            );
        }
        match (node.get("phases"), node.get("inside")) {
            (Some(phases), None) => self.phases(&phases),
            (None, Some(inside)) => self.enter(&inside),
            _ => Err(node.error(
                "exactly one of `phases` and `inside` was expected: what each iteration runs",
            )),
        }
    }

    fn phases(&mut self, node: &Node<'_>) -> Result<()> {
        for item in node.list()? {
            item.map(&words::PATTERN_PHASE)?;
            let name_node = item.need("name", "training")?;
            let name = name_node.text()?;
            let is_plain = |name: &str| {
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            if name.is_empty() || !is_plain(name) || RESERVED.contains(&name) {
                return Err(name_node.error(format!(
                    "`{name}` cannot be a phase's name; letters, digits and _ were expected, and none of {}",
                    RESERVED.join(", ")
                )));
            }
            if self.outline.iter().any(|outline| outline.name == name) {
                return Err(name_node.error(format!("two phases are called `{name}`")));
            }
            let on_node = item.need("on", "train")?;
            let window = match on_node.word(&["all", "train", "test"])? {
                "all" => Window::All,
                "train" => Window::Train,
                _ => Window::Test,
            };
            let best_of = match item.get("best_of") {
                None => None,
                Some(earlier) => {
                    let known: Vec<&str> = self
                        .outline
                        .iter()
                        .map(|outline| outline.name.as_str())
                        .collect();
                    if known.is_empty() {
                        let word = earlier.text()?;
                        return Err(earlier.error(format!(
                            "`{word}` is unknown: no phase stands before `{name}`"
                        )));
                    }
                    let word = earlier.word(&known)?;
                    let source = self.outline.iter().find(|one| one.name == word);
                    if window == Window::Test
                        && source.is_some_and(|source| source.window != Window::Train)
                    {
                        return Err(earlier.error(format!(
                            "`{name}` tests what `{word}` chose on the very bars of testing; let `{word}` run `on: train`"
                        )));
                    }
                    Some(word.to_owned())
                }
            };
            let defaults = match item.get("defaults") {
                None => json!({}),
                Some(node) => {
                    check_phase_keys(&node)?;
                    node.value().clone()
                }
            };
            self.outline.push(Outline {
                name: name.to_owned(),
                defaults,
                window,
                best_of,
            });
        }
        Ok(())
    }

    fn finish(self, workflow: &str, place: &Node<'_>) -> Result<Resolved> {
        let mut levels = Vec::new();
        let mut settings = Map::new();
        let mut inline: Option<Value> = None;
        let mut used = Vec::new();
        for pattern in self.patterns.iter().rev() {
            let (kind, key, _) = *pattern.kind;
            used.push(key);
            let mut merged = pattern.settings.clone();
            let short = (kind == "split")
                .then(|| self.root.get("train_ratio"))
                .flatten();
            match (self.root.get(key).filter(|_| !key.is_empty()), short) {
                (Some(node), Some(_)) => {
                    return Err(node.error("both `split` and `train_ratio` are given; keep one"));
                }
                (Some(given), None) => overlay(&mut merged, &given),
                (None, Some(short)) => {
                    merged = json!({"ratio": short.value()});
                }
                (None, None) => {}
            }
            let node = self.document.node(merged, vec![key.to_owned()]);
            let (iterations, mut effective) = if kind == "paths" {
                super::monte_carlo::path_rule(&node, self.root.get(key).as_ref())?
            } else {
                iterations(kind, &node)?
            };
            if workflow == key && kind == "paths" {
                effective["inside"] = inline.clone().unwrap_or_default();
            }
            if !key.is_empty() {
                settings.insert(key.to_owned(), effective);
            }
            let mut written = json!({"pattern": pattern.name, "iterations": kind});
            match inline.take() {
                Some(inside) => written["inside"] = inside,
                None => written["phases"] = self.outline.iter().map(written_phase).collect(),
            }
            inline = Some(written);
            levels.push(Level {
                pattern: pattern.name.clone(),
                iterations,
            });
        }
        levels.reverse();
        self.refuse_unused(workflow, &used)?;
        self.refuse_windows_that_are_not_there(place, &levels)?;
        if workflow == "sequence" {
            settings.insert("sequence".to_owned(), inline.unwrap_or_default());
        }
        let place = (self.document.path().to_path_buf(), place.line());
        Ok(Resolved {
            sequence: Sequence { levels, place },
            outline: self.outline,
            settings: Value::Object(settings),
        })
    }

    /// Settings of a kind of iteration that the sequence does not have.
    fn refuse_unused(&self, workflow: &str, used: &[&str]) -> Result<()> {
        for key in [
            "split",
            "train_ratio",
            "walk_forward",
            "k_fold",
            "monte_carlo",
        ] {
            let kind = if key == "train_ratio" { "split" } else { key };
            if let Some(node) = self.root.get(key)
                && !used.contains(&kind)
            {
                let advice = match kind {
                    "split" => "train_test_optimization",
                    "k_fold" => "k_fold_optimization",
                    "monte_carlo" => "monte_carlo",
                    _ => "walk_forward_optimization",
                };
                return Err(node.error(format!(
                    "{workflow} has no {kind}; remove the key or use {advice}"
                )));
            }
        }
        Ok(())
    }

    fn refuse_windows_that_are_not_there(&self, place: &Node<'_>, levels: &[Level]) -> Result<()> {
        let cuts = |level: &Level| !matches!(level.iterations, Iterations::Once);
        let has_parts = levels.last().is_some_and(cuts);
        match self
            .outline
            .iter()
            .find(|outline| outline.window != Window::All && !has_parts)
        {
            Some(outline) => Err(place.error(format!(
                "phase `{}` runs on a part of the data, but the innermost sequence does not cut it; write `on: all`",
                outline.name
            ))),
            None => Ok(()),
        }
    }
}

/// Lays given settings over others. A map whose keys exclude each other is replaced whole.
fn overlay(settings: &mut Value, given: &Node<'_>) {
    if words::SPLIT.iter().any(|key| settings.get(key).is_some()) || !given.value().is_object() {
        *settings = given.value().clone();
    } else {
        merge(settings, given.value());
    }
}

fn built_in(name: &str, text: &str) -> Result<Document> {
    Document::parse(text, Path::new(&format!("built-in pattern {name}")))
}

fn written_phase(outline: &Outline) -> Value {
    let on = match outline.window {
        Window::All => "all",
        Window::Train => "train",
        Window::Test => "test",
    };
    json!({"name": outline.name, "on": on, "best_of": outline.best_of, "defaults": outline.defaults})
}

/// Checked iterations, and the settings that give them.
fn iterations(kind: &str, node: &Node<'_>) -> Result<(Iterations, Value)> {
    Ok(match kind {
        "once" => (Iterations::Once, json!({})),
        "split" => {
            let split = split(node)?;
            let settings = match split {
                Split::Ratio(ratio) => json!({"ratio": ratio}),
                Split::TrainEnd(ts) => {
                    json!({"train_end": admf_formats::units::rfc3339(ts)})
                }
            };
            (Iterations::Split(split), settings)
        }
        "paths" => return super::monte_carlo::path_rule(node, None),
        "folds" => {
            let rule = fold_rule(node)?;
            let settings = json!({
                "folds": rule.folds,
                "purge": rule.purge,
                "embargo": rule.embargo,
                "unit": rule.unit.word(),
            });
            (Iterations::Folds(rule), settings)
        }
        _ => {
            let rule = window_rule(node)?;
            let settings = json!({
                "train": rule.train,
                "test": rule.test,
                "step": rule.step,
                "unit": rule.unit.word(),
                "anchored": rule.anchored,
            });
            (Iterations::Windows(rule), settings)
        }
    })
}

fn split(node: &Node<'_>) -> Result<Split> {
    let (key, value) = node.one_of(&words::SPLIT)?;
    if key == "ratio" {
        let ratio = value.number("a number between 0 and 1", |ratio| {
            ratio > 0.0 && ratio < 1.0
        })?;
        return Ok(Split::Ratio(ratio));
    }
    let times = crate::market::TimeReader::new("UTC").map_err(|message| value.error(message))?;
    times
        .read(value.text()?)
        .map(Split::TrainEnd)
        .map_err(|message| value.error(message))
}

fn window_rule(node: &Node<'_>) -> Result<WindowRule> {
    node.map(&words::WALK_FORWARD)?;
    Ok(WindowRule {
        train: node.need("train", "252")?.count()?,
        test: node.need("test", "63")?.count()?,
        step: node.need("step", "63")?.count()?,
        unit: unit(&node.need("unit", "days")?)?,
        anchored: node.need("anchored", "false")?.bool()?,
    })
}

fn fold_rule(node: &Node<'_>) -> Result<FoldRule> {
    node.map(&words::K_FOLD)?;
    let folds_node = node.need("folds", "5")?;
    let folds = folds_node.count()?;
    if !(2..=WINDOWS_MAX).contains(&folds) {
        return Err(folds_node.error(format!(
            "{folds} was found; 2 to {WINDOWS_MAX} folds were expected"
        )));
    }
    let length = |key: &str| -> Result<u64> {
        let node = node.need(key, "0")?;
        node.value().as_u64().ok_or_else(|| {
            node.error(format!(
                "{} was found; a whole number, 0 or more, was expected",
                node.value()
            ))
        })
    };
    Ok(FoldRule {
        folds,
        purge: length("purge")?,
        embargo: length("embargo")?,
        unit: unit(&node.need("unit", "bars")?)?,
    })
}

fn unit(node: &Node<'_>) -> Result<Unit> {
    Ok(match node.word(&["days", "bars"])? {
        "days" => Unit::Days,
        _ => Unit::Bars,
    })
}
