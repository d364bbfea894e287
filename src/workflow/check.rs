//! From the document to a workflow.

use super::amounts::{Parameters, Reference, unknown};
use super::document::{Document, Node};
use super::objective::set_gates;
use super::phases::phases;
use super::space;
use super::words::{self, suggestion};
use super::{DataSettings, Workflow, sequence};
use crate::Result;
use crate::market::{BarLabel, Calendar, ImportOptions};
use crate::sequencer::{ResultsStorage, SymbolData, Window};
use crate::strategy;
use crate::sweep::{Constraint, Space};
use admf_formats::units::PARAMETERS_MAX;
use serde_json::json;

const MEMORY_BUDGET_DEFAULT: u64 = 64 << 20;

pub(super) fn workflow(document: &Document) -> Result<Workflow> {
    let root = document.root();
    let known: Vec<&str> = words::WORKFLOW_KEYS
        .into_iter()
        .chain(words::PHASE_KEYS)
        .collect();
    root.map(&known)?;
    let name_node = root.need("workflow", "parameter_sweep")?;
    let name = name_node.word(&words::WORKFLOWS)?.to_owned();
    let results_dir = match root.get("results_dir") {
        Some(node) => {
            let text = node.text()?;
            if text.is_empty() || text.starts_with('.') || text.contains(['/', '\\', '\0']) {
                return Err(node.error(format!(
                    "`{text}` was found; the plain name of a folder was expected"
                )));
            }
            text.to_owned()
        }
        None => name.clone(),
    };
    let memory_budget = root
        .get("memory_budget")
        .map_or(Ok(MEMORY_BUDGET_DEFAULT), |node| node.bytes())?;
    let data = data(
        document,
        &root.need("data", "{path: data/{symbol}_5m.csv, symbols: [SPY]}")?,
    )?;
    let calendar =
        Calendar::new(&data.import.timezone).expect("the zone was checked with the data");
    let sequence::Resolved {
        sequence,
        outline,
        settings: sequence_settings,
    } = sequence::resolve(document, &root, &name_node)?;
    let named = Parameters::unknown();
    phases(document, &root, &outline, &calendar, &named)?;
    let (strategy, space) = strategy_space(
        &root.need("strategy", "{name: sma_crossover, parameters: {...}}")?,
        &named.into_references(),
    )?;
    if name == "single_backtest" && space.len() != 1 {
        return Err(root.need("strategy", "")?.error(format!(
            "single_backtest runs one parameter set, {} are given; give one value each, or use parameter_sweep",
            space.len()
        )));
    }
    let parameters = Parameters::known(space.names().map(str::to_owned).collect());
    let (mut phases, phase_settings) = phases(document, &root, &outline, &calendar, &parameters)?;
    if let Some(gates) = root.get("gates") {
        let has_paths = sequence.paths().is_some() && !sequence.has_windows();
        set_gates(&gates, &mut phases, has_paths)?;
    }
    super::levels::check_patterns(document, &phases, space.len() * data.symbols.len() as u64)?;
    if sequence.has_folds()
        && let Some(phase) = phases.iter().find(|phase| {
            phase.window == Window::Train && phase.results_storage == ResultsStorage::Memory
        })
    {
        return Err(name_node.error(format!(
            "phase `{}` trains on both sides of a fold, whose results are put together from disk; set results_storage: disk",
            phase.name
        )));
    }
    let mut settings = json!({
        "workflow": name,
        "results_dir": results_dir,
        "data": root.get("data").map(|node| node.value().clone()),
        "strategy": root.get("strategy").map(|node| node.value().clone()),
        "sequence": sequence_settings,
        "phases": phase_settings,
    });
    if let Some(gates) = root.get("gates") {
        settings["gates"] = gates.value().clone();
    }
    Ok(Workflow {
        name,
        results_dir,
        memory_budget,
        data,
        strategy,
        space,
        sequence,
        phases,
        settings,
    })
}

fn data(document: &Document, node: &Node<'_>) -> Result<DataSettings> {
    node.map(&words::DATA)?;
    let path_node = node.need("path", "data/{symbol}_5m.csv")?;
    let path = path_node.text()?;
    let folder = document.path().parent().unwrap_or(std::path::Path::new(""));
    let names: Vec<String> = match node.get("symbols") {
        Some(list) => list
            .list()?
            .iter()
            .map(|item| item.text().map(str::to_owned))
            .collect::<Result<_>>()?,
        None if path.contains("{symbol}") => {
            return Err(node.error("`symbols` is missing; the path has {symbol}"));
        }
        None => {
            let stem = std::path::Path::new(path).file_stem();
            vec![stem.map_or_else(
                || path.to_owned(),
                |stem| stem.to_string_lossy().into_owned(),
            )]
        }
    };
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Err(node.error(format!("symbol `{name}` is named twice")));
        }
    }
    if names.len() > 1 && !path.contains("{symbol}") {
        return Err(path_node.error("several symbols need {symbol} in the path"));
    }
    let symbols = names
        .into_iter()
        .map(|symbol| SymbolData {
            path: folder.join(path.replace("{symbol}", &symbol)),
            symbol,
        })
        .collect();
    let timezone = node
        .get("timezone")
        .map_or(Ok("UTC".to_owned()), |node| node.text().map(str::to_owned))?;
    let times = crate::market::TimeReader::new(&timezone).map_err(|message| {
        node.get("timezone")
            .unwrap_or_else(|| node.clone())
            .error(message)
    })?;
    let time = |key: &str| -> Result<Option<i64>> {
        let Some(node) = node.get(key) else {
            return Ok(None);
        };
        times
            .read(node.text()?)
            .map(Some)
            .map_err(|message| node.error(message))
    };
    let (start, end) = (time("start")?, time("end")?);
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        return Err(node.need("end", "")?.error("`end` is not after `start`"));
    }
    let bar_label = match node.get("bar_label") {
        Some(node) if node.word(&["start", "end"])? == "end" => BarLabel::End,
        _ => BarLabel::Start,
    };
    let bars_per_year = match node.get("bars_per_year") {
        Some(node) if node.value() != "auto" => {
            Some(node.number("`auto` or a number above 0", |n| n > 0.0)?)
        }
        _ => None,
    };
    Ok(DataSettings {
        symbols,
        start,
        end,
        import: ImportOptions {
            timezone,
            bar_label,
        },
        bars_per_year,
    })
}

/// The strategy and its parameter sets: its own parameters in their order, then those that rules
/// name (`references`), by their names.
fn strategy_space(node: &Node<'_>, references: &[Reference<'_>]) -> Result<(String, Space)> {
    node.map(&words::STRATEGY)?;
    let name_node = node.need("name", "sma_crossover")?;
    let names: Vec<&str> = strategy::all()
        .iter()
        .map(|strategy| strategy.name())
        .collect();
    if name_node.value() == "duckdb_ensemble" {
        return Err(name_node.error(
            "ensembles of strategies are not supported; a strategy in Rust can combine several: examples/own_strategy.rs",
        ));
    }
    let name = name_node.word(&names)?;
    let strategy = strategy::by_name(name).expect("the word is one of the names");
    let parameters_node = node.need(
        "parameters",
        "{fast: [5, 10], slow: {min: 20, max: 100, step: 20}}",
    )?;
    let own = strategy.parameters();
    let mut names: Vec<&str> = own.to_vec();
    let mut named: Vec<&str> = references
        .iter()
        .map(|reference| reference.name.as_str())
        .filter(|name| !own.contains(name))
        .collect();
    named.sort_unstable();
    named.dedup();
    names.append(&mut named);
    parameters_node.map(&names)?;
    if names.len() > PARAMETERS_MAX {
        return Err(parameters_node.error(format!(
            "{} parameters were found, those that `exits` and `execution` name counted; \
             {PARAMETERS_MAX} at most were expected",
            names.len()
        )));
    }
    let sampling = space::sampling(node)?;
    let mut ranges = Vec::new();
    for parameter in &names {
        let missing = || {
            let reference = references.iter().find(|one| one.name == *parameter);
            match reference.filter(|_| !own.contains(parameter)) {
                Some(reference) => {
                    let given = parameters_node.value().as_object();
                    let given = given.map(|given| given.keys().cloned().collect::<Vec<_>>());
                    reference
                        .node
                        .error(unknown(parameter, &given.unwrap_or_default()))
                }
                None => parameters_node.error(format!(
                    "{name} needs `{parameter}`; its parameters are {}",
                    usual_parameters(strategy)
                )),
            }
        };
        let node = parameters_node.get(parameter).ok_or_else(missing)?;
        let check = |value: f64| {
            if own.contains(parameter) {
                strategy.check(parameter, value)?;
            }
            references
                .iter()
                .filter(|reference| reference.name == *parameter)
                .try_for_each(|reference| reference.kind.check(value))
        };
        let range = space::range(&node, sampling.is_some(), check)?;
        ranges.push(((*parameter).to_owned(), range));
    }
    let constraints = match node.get("constraints") {
        Some(list) => list
            .list()?
            .iter()
            .map(|item| {
                Constraint::parse(item.text()?, &names).map_err(|message| item.error(message))
            })
            .collect::<Result<_>>()?,
        None => Vec::new(),
    };
    let space = space::space(node, ranges, sampling, constraints)?;
    Ok((name.to_owned(), space))
}

/// Names of a strategy's parameters, with their usual values.
fn usual_parameters(strategy: &dyn strategy::Strategy) -> String {
    let mut usual = strategy.usual().iter();
    let parameters = strategy.parameters().iter();
    let named = parameters.map(|name| match usual.next() {
        Some(value) => format!("{name} ({value} is usual)"),
        None => (*name).to_owned(),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The event kinds of a list of names, or of the word `all`.
pub(super) fn events(node: &Node<'_>) -> Result<admf_formats::event::EventSet> {
    use admf_formats::event::{EventKind, EventSet};
    if node.value() == "all" {
        return Ok(EventSet::ALL);
    }
    if node.value().as_array().is_some_and(Vec::is_empty) {
        return Ok(EventSet::NONE);
    }
    let names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    node.list()?
        .iter()
        .map(|item| {
            let name = item.text()?;
            EventKind::from_name(name).ok_or_else(|| {
                item.error(format!("`{name}` is no event{}", suggestion(name, &names)))
            })
        })
        .collect()
}
