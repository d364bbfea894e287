//! The verbs that are one call each.

use super::{exit, success};
use crate::market::{self, BarLabel, ImportOptions};
use crate::oracle::{self, Verdict};
use crate::{Result, workflow};
use admf_formats::units::rfc3339;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) fn validate(file: &Path) -> Result<ExitCode> {
    let workflow = workflow::load(file)?;
    println!(
        "{}: valid; {} with {} parameter sets",
        file.display(),
        workflow.name,
        workflow.space.len()
    );
    for phase in &workflow.phases {
        println!(
            "  phase {}: objective {}, top_n {}",
            phase.name, phase.objective, phase.top_n
        );
    }
    success()
}

pub(super) fn import(
    file: &Path,
    out: Option<PathBuf>,
    timezone: String,
    bar_label: BarLabel,
    json: bool,
) -> Result<ExitCode> {
    let out = out.unwrap_or_else(|| file.with_extension("bars"));
    let summary = market::import(
        file,
        &ImportOptions {
            timezone,
            bar_label,
        },
        &out,
    )?;
    print_summary(&out, &summary, json);
    success()
}

pub(super) fn synth(bars: u64, seed: u64, out: &Path) -> Result<ExitCode> {
    let summary = market::synth(bars, seed, out)?;
    print_summary(out, &summary, false);
    success()
}

fn print_summary(out: &Path, summary: &market::ImportSummary, json: bool) {
    let (first, last) = (rfc3339(summary.first_ts), rfc3339(summary.last_ts));
    if json {
        let value = serde_json::json!({
            "path": out, "bars": summary.bars, "first": first, "last": last, "digest": summary.digest,
        });
        println!("{value}");
    } else {
        let show = |time: Option<String>| time.unwrap_or_default();
        println!(
            "{}: {} bars, {} to {}",
            out.display(),
            summary.bars,
            show(first),
            show(last)
        );
    }
}

pub(super) fn oracle(case: &Path, data: Option<&Path>) -> Result<ExitCode> {
    let name = case.display();
    Ok(match oracle::run(case, data)? {
        Verdict::Equal {
            compared,
            skipped: 0,
        } => {
            println!("{name}: equal ({compared} figures)");
            ExitCode::SUCCESS
        }
        Verdict::Equal { compared, skipped } => {
            println!(
                "{name}: equal ({compared} figures; {skipped} rows marked not robust were not compared)"
            );
            ExitCode::SUCCESS
        }
        Verdict::Different(difference) => {
            println!("{name}: different: {difference}");
            ExitCode::from(exit::DIFFERENT)
        }
        Verdict::Unsupported(what) => {
            println!("{name}: not supported yet: {what}");
            ExitCode::from(exit::UNSUPPORTED)
        }
    })
}
