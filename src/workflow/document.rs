//! The YAML document: a tree whose every node knows where it stands.

use super::words::suggestion;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The largest workflow file that is read.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A parsed workflow file.
pub(super) struct Document {
    path: PathBuf,
    text: String,
    root: Value,
}

/// A value and the keys that lead to it.
#[derive(Clone)]
pub(super) struct Node<'a> {
    document: &'a Document,
    keys: Vec<String>,
    value: Value,
}

impl Document {
    pub(super) fn parse(text: &str, path: &Path) -> Result<Document> {
        let config = |line: Option<u64>, message: String| Error::Config {
            path: path.to_path_buf(),
            line,
            message,
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(config(
                None,
                format!("more than {TEXT_BYTES_MAX} bytes; this is no workflow file"),
            ));
        }
        let options = serde_saphyr::options! { strict_booleans: true };
        let root: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map(|location| location.line());
            let message = error.without_snippet().render();
            config(
                line.filter(|line| *line > 0),
                format!("not valid YAML: {message}"),
            )
        })?;
        if !root.is_object() {
            return Err(config(
                Some(1),
                "a workflow file is a map of keys such as `workflow:` and `data:`".to_owned(),
            ));
        }
        Ok(Document {
            path: path.to_path_buf(),
            text: text.to_owned(),
            root,
        })
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node {
            document: self,
            keys: Vec::new(),
            value: self.root.clone(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A node made of merged settings; errors point to where its keys stand in the file.
    pub(super) fn node(&self, value: Value, keys: Vec<String>) -> Node<'_> {
        Node {
            document: self,
            keys,
            value,
        }
    }

    /// Refuses keys without a value, which would otherwise silently mean the default.
    pub(super) fn refuse_empty(&self) -> Result<()> {
        refuse_empty(&self.root())
    }

    /// The line where these keys stand, one below the other.
    fn line_of(&self, keys: &[String]) -> Option<u64> {
        let mut from = 0;
        let mut found = None;
        for key in keys {
            match self.find_key(key, from) {
                Some(at) => {
                    found = Some(at);
                    from = at + key.len();
                }
                None => break,
            }
        }
        found.map(|at| self.text[..at].matches('\n').count() as u64 + 1)
    }

    /// The key followed by a colon, not inside another word or a comment.
    fn find_key(&self, key: &str, from: usize) -> Option<usize> {
        self.text[from..]
            .match_indices(key)
            .map(|(at, _)| from + at)
            .find(|at| {
                let line_start = self.text[..*at]
                    .rfind('\n')
                    .map_or(0, |newline| newline + 1);
                let before = self.text[line_start..*at].trim_end_matches(['"', '\'']);
                let after = self.text[at + key.len()..]
                    .trim_start_matches(['"', '\''])
                    .trim_start_matches(' ');
                let starts = before.is_empty() || before.ends_with([' ', '{', ',', '-']);
                starts && !before.contains('#') && after.starts_with(':')
            })
    }
}

fn refuse_empty(node: &Node<'_>) -> Result<()> {
    match &node.value {
        Value::Null => {
            Err(node.error("no value stands here; write one, or remove the key for its default"))
        }
        Value::Object(map) => map
            .iter()
            .try_for_each(|(key, value)| refuse_empty(&node.child(key, value.clone()))),
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| refuse_empty(&node.with(item.clone()))),
        _ => Ok(()),
    }
}

impl<'a> Node<'a> {
    /// Another value in this node's place; errors point to this place.
    pub(super) fn with(&self, value: Value) -> Node<'a> {
        Node {
            document: self.document,
            keys: self.keys.clone(),
            value,
        }
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Its line in the file.
    pub(super) fn line(&self) -> Option<u64> {
        self.document.line_of(&self.keys)
    }

    /// An error about this node.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        let name = self.keys.join(".");
        let message = if name.is_empty() {
            message.to_string()
        } else {
            format!("`{name}`: {message}")
        };
        Error::Config {
            path: self.document.path.clone(),
            line: self.document.line_of(&self.keys),
            message,
        }
    }

    /// The value under a key; null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self
            .value
            .get(key)
            .filter(|value| !value.is_null())?
            .clone();
        Some(self.child(key, value))
    }

    fn child(&self, key: &str, value: Value) -> Node<'a> {
        let mut keys = self.keys.clone();
        keys.push(key.to_owned());
        Node {
            document: self.document,
            keys,
            value,
        }
    }

    /// The value under a key that must be there.
    pub(super) fn need(&self, key: &str, example: &str) -> Result<Node<'a>> {
        self.get(key).ok_or_else(|| {
            self.error(format!(
                "`{key}` is missing; write for example `{key}: {example}`"
            ))
        })
    }

    /// The map, all of whose keys are among these.
    pub(super) fn map(&self, known: &[&str]) -> Result<&Map<String, Value>> {
        let map = self.value.as_object().ok_or_else(|| {
            self.error(format!(
                "{} was found; a map with keys {} was expected",
                self.value,
                known.join(", ")
            ))
        })?;
        for (key, value) in map {
            if !known.contains(&key.as_str()) {
                let unknown = self.child(key, value.clone());
                return Err(unknown.error(format!("unknown key{}", suggestion(key, known))));
            }
        }
        Ok(map)
    }

    /// A map of which exactly one key is given.
    pub(super) fn one_of(&self, known: &[&str]) -> Result<(String, Node<'a>)> {
        let map = self.map(known)?;
        match map.iter().next() {
            Some((key, value)) if map.len() == 1 => {
                Ok((key.clone(), self.child(key, value.clone())))
            }
            _ => Err(self.error(format!(
                "exactly one of {} was expected, {} are given",
                known.join(", "),
                map.len()
            ))),
        }
    }

    pub(super) fn text(&self) -> Result<&str> {
        self.value
            .as_str()
            .ok_or_else(|| self.error(format!("{} was found; text was expected", self.value)))
    }

    /// One of these words.
    pub(super) fn word(&self, words: &[&str]) -> Result<&str> {
        let text = self.text()?;
        if words.contains(&text) {
            Ok(text)
        } else {
            Err(self.error(format!("`{text}` is unknown{}", suggestion(text, words))))
        }
    }

    pub(super) fn bool(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| {
            self.error(format!(
                "{} was found; true or false was expected",
                self.value
            ))
        })
    }

    /// A finite number for which `accept` holds.
    pub(super) fn number(&self, expected: &str, accept: impl Fn(f64) -> bool) -> Result<f64> {
        self.value
            .as_f64()
            .filter(|number| number.is_finite() && accept(*number))
            .ok_or_else(|| self.error(format!("{} was found; {expected} was expected", self.value)))
    }

    /// A whole number of at least one.
    pub(super) fn count(&self) -> Result<u64> {
        self.value
            .as_u64()
            .filter(|count| *count > 0)
            .ok_or_else(|| {
                self.error(format!(
                    "{} was found; a whole number, 1 or more, was expected",
                    self.value
                ))
            })
    }

    /// Bytes: a number, or text such as `64MiB`.
    pub(super) fn bytes(&self) -> Result<u64> {
        let parsed = match &self.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text
                .parse::<bytesize::ByteSize>()
                .ok()
                .map(|size| size.as_u64()),
            _ => None,
        };
        parsed.filter(|bytes| *bytes > 0).ok_or_else(|| {
            self.error(format!(
                "{} was found; a size such as 64MiB was expected",
                self.value
            ))
        })
    }

    /// The items of a list that is not empty.
    pub(super) fn list(&self) -> Result<Vec<Node<'a>>> {
        match self.value.as_array() {
            Some(items) if !items.is_empty() => {
                Ok(items.iter().map(|item| self.with(item.clone())).collect())
            }
            _ => Err(self.error(format!(
                "{} was found; a list with at least one item was expected",
                self.value
            ))),
        }
    }
}
