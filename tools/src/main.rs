//! `admf-tools`: decodes archives and pools into JSON. It never changes a file that it reads.
#![forbid(unsafe_code)]

mod summary;

use admf::segment::{ArchiveReader, FileKind, PoolReader};
use admf::{Error, Result};
use admf_formats::event::EventKind;
use admf_formats::manifest::Manifest;
use admf_formats::report::container_index;
use admf_formats::segment::Frame;
use admf_tools::decode::What;
use admf_tools::export::Format;
use admf_tools::fault::Severity;
use admf_tools::{decode, export, files, line, recover, verify};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "admf-tools",
    version,
    about = "Decodes admf archives and pools",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say what a file is and what it holds.
    Info {
        /// Archive, pool, or a folder of them.
        path: PathBuf,
    },
    /// Print events as JSON lines.
    Dump(Filter),
    /// Print closed trades as JSON lines.
    Trades(Filter),
    /// Name every fault of a file: where it is and what is lost by it.
    ///
    /// Exit code 0: nothing is lost; 1: something is; 2: there is no such file.
    Verify {
        /// Archive, pool, or a folder of them.
        path: PathBuf,
        /// One JSON object per fault, then one per file.
        #[arg(long)]
        json: bool,
    },
    /// Save what is intact of a damaged file into a new file, which is verified.
    ///
    /// Exit code 0: the new file is whole; 1: nothing could be saved; 2: wrong arguments.
    Recover {
        /// Archive or pool.
        path: PathBuf,
        /// The new file, which must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Write a table of events, trades or results.
    Export {
        /// Archive, pool, or a folder of them.
        path: PathBuf,
        /// How.
        #[arg(long)]
        format: Format,
        /// Which table.
        #[arg(long)]
        what: export::What,
        /// The new file, which must not exist; without it the table is printed.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write the JSON of every finished container, as in the results tree.
    Summary {
        /// Archive, or a folder of them.
        path: PathBuf,
        /// Folder for the files; without it one JSON per line is printed.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Filter {
    /// Archive, pool, or a folder of them.
    path: PathBuf,
    /// Only this container: its number (from 1) or its id.
    #[arg(long)]
    container: Option<String>,
    /// Only this trade of each container.
    #[arg(long)]
    trade: Option<u32>,
    /// Only events of this kind, as in FILL.
    #[arg(long)]
    kind: Option<String>,
    /// Only events at or after this time (RFC 3339).
    #[arg(long)]
    from: Option<String>,
    /// Only events before this time (RFC 3339).
    #[arg(long)]
    to: Option<String>,
}

fn main() -> ExitCode {
    let out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut out = Output(out);
    let outcome = match Arguments::parse().verb {
        Verb::Info { path } => info(&path, &mut out).map(|()| true),
        Verb::Dump(filter) => dump(&filter, What::Events, &mut out).map(|()| true),
        Verb::Trades(filter) => dump(&filter, What::Trades, &mut out).map(|()| true),
        Verb::Verify { path, json } => verify(&path, json, &mut out),
        Verb::Recover { path, out: new } => recover(&path, &new, &mut out),
        Verb::Export {
            path,
            format,
            what,
            out: new,
        } => export::export(&path, what, format, new.as_deref(), &mut out.0).map(|()| true),
        Verb::Summary { path, out: folder } => {
            summary::write(&path, folder.as_deref(), &mut out).map(|()| true)
        }
    };
    match outcome.and_then(|is_whole| out.flush().map(|()| is_whole)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // The reader of our output has seen enough.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, Error::Usage { .. }) {
                2
            } else {
                1
            })
        }
    }
}

/// Standard output.
struct Output<'a>(std::io::BufWriter<std::io::StdoutLock<'a>>);

impl Output<'_> {
    fn line(&mut self, value: &impl serde::Serialize) -> Result<()> {
        self.text(&serde_json::to_string(value).expect("our values are JSON"))
    }

    fn text(&mut self, text: &impl std::fmt::Display) -> Result<()> {
        writeln!(self.0, "{text}").map_err(Error::io("write", Path::new("standard output")))
    }

    fn flush(&mut self) -> Result<()> {
        self.0
            .flush()
            .map_err(Error::io("write", Path::new("standard output")))
    }
}

/// Faults and findings of every file; whether nothing is lost.
fn verify(path: &Path, json: bool, out: &mut Output<'_>) -> Result<bool> {
    let mut is_whole = true;
    for (path, kind) in files::all(path)? {
        let mut told = Ok(());
        let findings = verify::file(&path, kind, &mut |fault| {
            is_whole &= fault.severity != Severity::Loss;
            let line = if json {
                out.line(&fault)
            } else {
                out.text(&fault)
            };
            if told.is_ok() {
                told = line;
            }
        })?;
        told?;
        if json {
            out.line(&findings)?;
            continue;
        }
        let state = match (findings.losses, findings.sealed, findings.kind) {
            (1.., ..) => "DAMAGED",
            (0, true, _) => "intact, sealed",
            (0, false, "pool") => "intact, unsealed as every pool",
            _ => "intact, not sealed (killed, or still being written)",
        };
        out.text(&format_args!(
            "{}: {state}: {} of {} containers committed, {} events, {} unsealed; {} losses, {} notes",
            path.display(),
            findings.committed,
            findings.containers,
            findings.events,
            findings.unsealed_events,
            findings.losses,
            findings.notes,
        ))?;
    }
    Ok(is_whole)
}

/// Tells what is lost of `path`, then writes the rest to `new`.
fn recover(path: &Path, new: &Path, out: &mut Output<'_>) -> Result<bool> {
    if path.is_dir() {
        return Err(Error::Usage {
            message: format!("{}: recover takes one file at a time", path.display()),
        });
    }
    for (path, kind) in files::all(path)? {
        recover::file(&path, kind, new)?;
        verify::file(&path, kind, &mut |fault| {
            if fault.severity == Severity::Loss {
                // What cannot be printed is no reason to give up a file that was saved.
                let _ = out.text(&fault);
            }
        })?;
        let findings = verify::file(new, kind, &mut |_| {})?;
        out.text(&format_args!(
            "{}: written and verified: {} containers committed, {} events, {} unsealed",
            new.display(),
            findings.committed,
            findings.events,
            findings.unsealed_events,
        ))?;
    }
    Ok(true)
}

/// Tells that somebody wrote a pool while it was read.
fn note_changed(path: &Path, changed: u64) {
    if changed > 0 {
        eprintln!("note: {}: {}", path.display(), decode::moved(changed));
    }
}

fn info(path: &Path, out: &mut Output<'_>) -> Result<()> {
    for (path, kind) in files::list(path)? {
        match kind {
            FileKind::Archive => {
                let archive = ArchiveReader::open(&path)?;
                let mut committed = 0_u64;
                for index in archive.containers() {
                    committed += u64::from(archive.slot(index)?.is_some());
                }
                out.line(&serde_json::json!({
                    "file": path, "kind": "archive", "first_container": archive.containers().start + 1,
                    "containers": archive.containers().count(), "committed": committed,
                    "manifest": archive.manifest,
                }))?;
            }
            FileKind::Pool => {
                let pool = PoolReader::open(&path)?;
                let mut events = 0_u64;
                let changed = pool.frames(|_, _| {
                    events += 1;
                    Ok(())
                })?;
                note_changed(&path, changed);
                out.line(&serde_json::json!({
                    "file": path, "kind": "pool", "segment_bytes": pool.header.segment_bytes,
                    "segments": pool.header.segments, "owned": pool.owned()?.len(), "events": events,
                    "manifest": pool.manifest,
                }))?;
            }
        }
    }
    Ok(())
}

/// A filter that was understood.
struct Wanted {
    container: Option<String>,
    trade: Option<u32>,
    kind: Option<EventKind>,
    from: i64,
    to: i64,
}

impl Wanted {
    fn of(filter: &Filter) -> Result<Wanted> {
        let kind = match &filter.kind {
            Some(name) => Some(EventKind::from_name(name).ok_or_else(|| {
                let names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
                Error::Usage {
                    message: format!("--kind {name}: one of {} was expected", names.join(", ")),
                }
            })?),
            None => None,
        };
        let times =
            admf::market::TimeReader::new("UTC").map_err(|message| Error::Usage { message })?;
        let time = |text: &Option<String>, default: i64| match text {
            Some(text) => times.read(text).map_err(|message| Error::Usage { message }),
            None => Ok(default),
        };
        Ok(Wanted {
            container: filter.container.clone(),
            trade: filter.trade,
            kind,
            from: time(&filter.from, i64::MIN)?,
            to: time(&filter.to, i64::MAX)?,
        })
    }

    fn has_container(&self, index: u64, containers: u64) -> Result<bool> {
        let Some(text) = &self.container else {
            return Ok(true);
        };
        let wanted = container_index(text, containers).ok_or_else(|| Error::Usage {
            message: format!("--container {text}: containers 1 to {containers} are there"),
        })?;
        Ok(wanted == index)
    }

    fn has(&self, frame: &Frame) -> bool {
        let stamp = &frame.stamp;
        self.trade.is_none_or(|trade| trade == stamp.trade)
            && self.kind.is_none_or(|kind| kind == frame.payload.kind())
            && self.from <= stamp.ts_ns
            // Without --to the last time there is belongs to it.
            && (stamp.ts_ns < self.to || self.to == i64::MAX)
    }
}

fn dump(filter: &Filter, what: What, out: &mut Output<'_>) -> Result<()> {
    let mut wanted = Wanted::of(filter)?;
    if what == What::Trades {
        wanted.kind = Some(EventKind::PositionClose);
    }
    for (path, kind) in files::list(&filter.path)? {
        let has_container = |manifest: &Manifest, container: u64| {
            wanted.has_container(container, manifest.containers)
        };
        let changed = decode::file(&path, kind, what, &has_container, &mut |event| {
            if wanted.has(event.frame) {
                out.line(&line::of(event))
            } else {
                Ok(())
            }
        })?;
        note_changed(&path, changed);
    }
    Ok(())
}
