//! `explain`: one trade of a run as a story.

use super::earlier::{EarlierRun, Place};
use super::success;
use crate::sequencer::{Piece, ResultsStorage};
use crate::story::{EVENTS_MAX, Kept, Story, kept, number, replayed, sentence};
use crate::{Error, Result};
use admf_formats::event::EventKind;
use admf_formats::report::{BarReport, LevelsReport, SignalReport, StoryReport, to_json_bytes};
use admf_formats::result::ResultRecord;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The trade that a user names.
pub(super) struct Wanted<'a> {
    pub(super) container: &'a str,
    pub(super) trade: u32,
    pub(super) phase: Option<&'a str>,
    pub(super) window: Option<u64>,
    pub(super) part: Option<u64>,
}

/// Tells the trade.
pub(super) fn explain(results: &Path, wanted: &Wanted<'_>, json: bool) -> Result<ExitCode> {
    let run = EarlierRun::open(results)?;
    let settings = run.prepared.settings(results.join("pools"))?;
    let place = run.place(&settings, wanted.phase, wanted.window, wanted.container)?;
    let (pieces, folder) = part_of(&run, &place, wanted.part)?;
    let (set, job) = run.job(&settings, &place, pieces);
    let (phase, traces) = (run.phase(&place), folder.join("traces"));
    let tracing = phase.traces();
    let rules = tracing.of(place.index, place.count);
    let (kept, replayed_because) = match kept(&traces, rules, place.index, wanted.trade) {
        Ok(Some(kept)) => {
            let because = why_not_kept(&kept);
            (Some(kept), because)
        }
        Ok(None) if phase.results_storage == ResultsStorage::Memory => {
            let because = "the phase kept its results in memory (results_storage: memory)";
            (None, Some(because.to_owned()))
        }
        Ok(None) => {
            let because = "there is no result of this container yet";
            (None, Some(because.to_owned()))
        }
        Err(error) => (None, Some(format!("the archive cannot be read: {error}"))),
    };
    let (told, record, failure) = match (kept, &replayed_because) {
        (Some(kept), None) => (kept.told, kept.record, kept.failure),
        (kept, _) => {
            let (told, listened) = replayed(job, &set, wanted.trade, kept.as_ref(), &traces)?;
            (told, listened.record, listened.failure)
        }
    };
    let container = run.container(&place);
    if told.events.is_empty() {
        let trades = match told.trades {
            0 => "no trades".to_owned(),
            trades => format!("trades 1 to {trades}"),
        };
        return Err(Error::Usage {
            message: format!("--trade {}: {container} has {trades}", wanted.trade),
        });
    }
    let window = run.window(&place);
    let story = Story {
        container,
        phase: phase.name.clone(),
        window: (!window.is_empty()).then(|| window.to_owned()),
        symbol: run.prepared.symbols[usize::from(job.symbol)].symbol.clone(),
        job,
        set,
        parameters: run
            .prepared
            .workflow
            .space
            .names()
            .map(str::to_owned)
            .collect(),
        trade: wanted.trade,
        replayed_because,
        failure,
        last_bar: last_bar(&record),
        told,
    };
    let report = story.report()?;
    let text = if json {
        String::from_utf8_lossy(&to_json_bytes(&report)).into_owned()
    } else {
        let mut page = Page::default();
        tell(&story, &report, &mut page);
        page.0
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader of our output has seen enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Error::io("write", Path::new("standard output"))(error));
        }
        _ => {}
    }
    success()
}

/// The last bar that a container saw.
fn last_bar(record: &ResultRecord) -> Option<u64> {
    (record.first_bar + record.equity.bars)
        .checked_sub(1)
        .filter(|_| record.equity.bars > 0)
}

/// The piece of the data that the container traded on, and the folder of its results.
fn part_of<'a>(
    run: &'a EarlierRun,
    place: &Place,
    part: Option<u64>,
) -> Result<(&'a [Piece], PathBuf)> {
    let (pieces, folder) = (run.pieces(place), run.folder(place));
    let name = &run.phase(place).name;
    match (pieces.len(), part) {
        (1, None) => Ok((pieces[0], folder)),
        (1, Some(_)) => Err(Error::Usage {
            message: format!("--part: phase {name} has no parts here"),
        }),
        (count, Some(part)) if (1..=count as u64).contains(&part) => Ok((
            pieces[part as usize - 1],
            folder.join(format!("part_{part}")),
        )),
        (count, _) => Err(Error::Usage {
            message: format!(
                "phase {name} of {} trains on {count} parts of the data; name one with --part, 1 to {count}",
                run.window(place)
            ),
        }),
    }
}

/// Why what was kept is not the whole story.
fn why_not_kept(kept: &Kept) -> Option<String> {
    let told = &kept.told;
    match (told.is_whole, told.events.len(), kept.logged) {
        (true, ..) => None,
        (_, 0, None) => Some("its archive has no event of this trade".to_owned()),
        (_, 0, Some(_)) => Some("its archive has nothing but the end of this trade".to_owned()),
        (_, count, _) => Some(format!(
            "its archive does not have all events of this trade, only {}",
            count as u64 + told.left_out
        )),
    }
}

/// The story as it is printed, all at once.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: impl std::fmt::Display) {
        self.0 += &line.to_string();
        self.0.push('\n');
    }
}

fn tell(story: &Story<'_>, report: &StoryReport, page: &mut Page) {
    let window = story.window.as_deref().unwrap_or_default();
    let between = if window.is_empty() { "" } else { " " };
    page.line(format_args!(
        "{} of {}{between}{window}, {}: trade {}{}, {}",
        report.container,
        report.phase,
        report.symbol,
        report.trade,
        report
            .side
            .map_or(String::new(), |side| format!(", {side}")),
        outcome(report)
    ));
    let parameters: Vec<String> = report
        .parameters
        .0
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    page.line(format_args!(
        "  {}: {}",
        report.strategy,
        parameters.join(", ")
    ));
    match &report.replayed_because {
        Some(because) => page.line(format_args!("  told from a replay: {because}")),
        None => page.line(format_args!("  told from the archive")),
    }
    if let Some(failure) = &report.failure {
        page.line(format_args!("  the container failed: {failure}"));
    }
    page.line("");
    for (at, (stamp, payload)) in story.told.events.iter().enumerate() {
        if at == EVENTS_MAX / 2 && report.events_left_out > 0 {
            page.line(format_args!(
                "  ({} events are left out here)",
                report.events_left_out
            ));
        }
        page.line(format_args!("  {}", sentence(stamp, payload)));
        let id = stamp.sequence;
        let signal = report.signals.iter().find(|one| one.event_id == id);
        signal.into_iter().for_each(|signal| seen(signal, page));
        if payload.kind() == EventKind::PositionOpen {
            report.levels.iter().for_each(|one| levels(one, page));
        }
    }
    figures(report, page);
    bars("entry", &report.bars_at_entry, report, page);
    bars("exit", &report.bars_at_exit, report, page);
}

/// How the trade ended, in short.
fn outcome(report: &StoryReport) -> String {
    let figures = &report.figures;
    let held = figures.bars_held.map_or(String::new(), |bars| {
        format!(" after {bars} bar{}", if bars == 1 { "" } else { "s" })
    });
    let result = match (figures.pnl, figures.pnl_percent) {
        (Some(pnl), Some(percent)) => {
            format!("{} ({}%)", number(pnl), number(percent))
        }
        _ => "no figures".to_owned(),
    };
    match report.state {
        "closed" => {
            let reason = report
                .close
                .as_ref()
                .and_then(|close| close["exit_reason"].as_str());
            format!("closed by {}: {result}{held}", reason.unwrap_or("unknown"))
        }
        "open" => format!("still open: {result}{held}, costs of leaving not counted"),
        _ => "never opened".to_owned(),
    }
}

/// What the strategy saw at a signal.
fn seen(signal: &SignalReport, page: &mut Page) {
    if !signal.conditions.is_empty() {
        page.line(format_args!(
            "      holds: {}",
            signal.conditions.join(", ")
        ));
    }
    let value = |value: Option<f64>| value.map_or("none".to_owned(), number);
    for feature in &signal.features {
        let parameters: Vec<String> = feature.parameters.iter().map(f64::to_string).collect();
        page.line(format_args!(
            "      {:<28} {}, the bar before {}{}",
            match parameters.len() {
                0 => feature.name.clone(),
                _ => format!("{}({})", feature.name, parameters.join(", ")),
            },
            value(feature.value),
            value(feature.before),
            match feature.used_by {
                "strategy" => "",
                "sizing" => " (sizing)",
                _ => " (exits and orders)",
            }
        ));
    }
}

/// The exits that a position began with.
fn levels(levels: &LevelsReport, page: &mut Page) {
    let all = [
        ("stop_loss", levels.stop_loss),
        ("take_profit", levels.take_profit),
        ("trailing_stop", levels.trailing_stop),
    ];
    let all = all.into_iter();
    let parts = levels.scale_out.iter();
    let parts = parts.map(|out| format!("{} of it at {}", number(out.part), number(out.price)));
    let set: Vec<String> = all
        .filter_map(|(name, level)| level.map(|level| format!("{name} {}", number(level))))
        .chain(parts)
        .collect();
    page.line(format_args!(
        "      {}; measured from {}",
        set.join(", "),
        number(levels.anchor)
    ));
}

fn figures(report: &StoryReport, page: &mut Page) {
    let figures = &report.figures;
    page.line("");
    page.line(format_args!(
        "  costs {}: commission {}, slippage {}, borrow {}; {} fills",
        number(figures.costs),
        number(figures.commission),
        number(figures.slippage),
        number(figures.borrow),
        figures.fills
    ));
    if let (Some(mae), Some(mfe)) = (figures.mae_percent, figures.mfe_percent) {
        page.line(format_args!(
            "  moved at most {}% against the position and {}% for it",
            number(mae),
            number(mfe)
        ));
    }
}

/// A table of bars; those with events of the trade say which.
fn bars(what: &str, bars: &[BarReport], report: &StoryReport, page: &mut Page) {
    if bars.is_empty() {
        return;
    }
    page.line("");
    page.line(format_args!(
        "  {:<8} {:<20} {:>12} {:>12} {:>12} {:>12}",
        what, "time", "open", "high", "low", "close"
    ));
    for bar in bars {
        let mut kinds: Vec<&str> = report
            .events
            .iter()
            .filter(|event| u64::from(event.bar) == bar.bar)
            .map(|event| event.event_type)
            .filter(|kind| SHOWN_AT_BARS.contains(kind))
            .collect();
        kinds.dedup();
        let line = format!(
            "  {:<8} {:<20} {:>12} {:>12} {:>12} {:>12}  {}",
            bar.bar,
            bar.timestamp.as_deref().unwrap_or_default(),
            number(bar.open),
            number(bar.high),
            number(bar.low),
            number(bar.close),
            kinds.join(", ")
        );
        page.line(line.trim_end());
    }
}

/// What a table of bars marks.
const SHOWN_AT_BARS: [&str; 3] = ["SIGNAL", "FILL", "RISK_BREACH"];
