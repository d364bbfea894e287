//! The manifest: what makes a pool or an archive readable on its own.

use crate::event::EventKind;
use crate::report::{Objective, ReportContext, ReportSymbol};
use serde::{Deserialize, Serialize};

/// A symbol with its bars.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestSymbol {
    /// Symbol.
    pub symbol: String,
    /// The bars file.
    pub bars_file: String,
    /// SHA-256 of its content, in hexadecimal digits.
    pub bars_digest: String,
    /// First bar traded on.
    pub first_bar: u64,
    /// The bar after the last.
    pub end_bar: u64,
    /// Bars per year, for annualised figures.
    pub bars_per_year: f64,
}

/// A field of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestField {
    /// Name.
    pub name: String,
    /// Type, as in `f64`.
    pub kind: String,
}

/// An event kind with its payload's fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEvent {
    /// Number in the commit word.
    pub number: u8,
    /// Name.
    pub name: String,
    /// Fields in order, without holes.
    pub fields: Vec<ManifestField>,
}

/// What a phase's files say of themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Workflow.
    pub workflow: String,
    /// Phase.
    pub phase: String,
    /// Strategy.
    pub strategy: String,
    /// Names of its parameters.
    pub parameter_names: Vec<String>,
    /// The text form of an [`Objective`].
    pub objective: String,
    /// Symbols.
    pub symbols: Vec<ManifestSymbol>,
    /// Containers of the phase.
    pub containers: u64,
    /// Equity before the first bar.
    pub initial_capital: f64,
    /// Whether equity is folded on the all-in path: cash is zero while units are held.
    pub all_in: bool,
    /// Settings of the phase, as JSON.
    pub settings: String,
    /// Every event kind.
    pub events: Vec<ManifestEvent>,
}

impl Manifest {
    /// The schema of all events of this version.
    pub fn event_schema() -> Vec<ManifestEvent> {
        let field = |(name, kind): &(&str, crate::event::FieldType)| ManifestField {
            name: (*name).to_owned(),
            kind: kind.name().to_owned(),
        };
        EventKind::ALL
            .into_iter()
            .map(|kind| ManifestEvent {
                number: kind as u8,
                name: kind.name().to_owned(),
                fields: kind.payload_fields().iter().map(field).collect(),
            })
            .collect()
    }

    /// The manifest's bytes.
    pub fn encode(&self) -> Vec<u8> {
        bincode::serde::encode_to_vec(self, bincode::config::legacy())
            .expect("a manifest has nothing that bincode cannot write")
    }

    /// Reads a manifest.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, String> {
        // The lengths inside are checked against a limit before anything is allocated.
        let config = bincode::config::legacy().with_limit::<{ 1 << 24 }>();
        let (manifest, _): (Manifest, _) = bincode::serde::decode_from_slice(bytes, config)
            .map_err(|error| format!("the manifest cannot be read: {error}"))?;
        Objective::parse(&manifest.objective)
            .map_err(|error| format!("the manifest's objective cannot be read: {error}"))?;
        Ok(manifest)
    }

    /// What the JSON of its containers needs.
    pub fn report_context(&self) -> ReportContext {
        ReportContext {
            phase: self.phase.clone(),
            strategy: self.strategy.clone(),
            parameter_names: self.parameter_names.clone(),
            symbols: self
                .symbols
                .iter()
                .map(|symbol| ReportSymbol {
                    symbol: symbol.symbol.clone(),
                    bars_per_year: symbol.bars_per_year,
                })
                .collect(),
            objective: self.objective.clone(),
            containers: self.containers,
        }
    }
}
