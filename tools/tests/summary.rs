//! `admf-tools summary` writes what the run wrote, byte for byte, and says where it comes from.
//!
//! Without the usual harness: as `summary run ...` it is the engine's own program.

use std::path::Path;
use std::process::{Command, ExitCode, Output};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("run") {
        return admf::cli::main();
    }
    let all = "event_tracing: all\n";
    for (name, lines, told) in [
        (
            "full",
            "retention_policy: full\n",
            "2 containers recomputed from their events\n",
        ),
        (
            "kept",
            "trace: {keep: {last: 2, where: 'bars_held > 5'}}\n",
            "0 containers recomputed from their events, 2 told from their result records (only \
             events of kept trades are there: `trace.keep`)\n",
        ),
        (
            "open",
            "retention_policy: trade_complete\n",
            "0 containers recomputed from their events, 2 told from their result records (not all \
             of their events were traced and kept)\n",
        ),
    ] {
        check(name, &format!("{all}{lines}"), told);
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn summary(path: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_admf-tools"));
    let command = command.arg("summary").arg(path).args(more);
    command.output().expect("the program starts")
}

fn check(name: &str, lines: &str, told: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = data.join("../examples/data/sp500_daily_2000_2020.csv");
    let file = folder.path().join("w.yaml");
    let text = format!(
        "workflow: parameter_sweep\n{lines}data: {{path: {}, symbols: [SP500]}}\n\
         strategy: {{name: sma_crossover, parameters: {{fast: [15, 30], slow: 70}}}}\n\
         execution: {{commission: {{rate: 0.0007}}}}\ncontainer_results: json\n",
        data.display()
    );
    std::fs::write(&file, text).expect("writable");
    let root = folder.path().join("results");
    let program = std::env::current_exe().expect("a path");
    let mut run = Command::new(program);
    let run = run
        .args(["run", "-q", "--results-root"])
        .arg(&root)
        .arg(&file);
    let run = run.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name}: {errors}");
    let sweep = root.join("parameter_sweep/sweep");
    let is_the_same = |expected: &str| {
        let out = folder.path().join("out");
        let told = summary(&sweep.join("traces"), &["--out", &out.to_string_lossy()]);
        let note = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(0), "{name}: {note}");
        assert!(note.ends_with(expected), "{name}: {note}");
        let mut files = 0;
        for entry in std::fs::read_dir(sweep.join("containers")).expect("a folder") {
            let own = entry.expect("an entry").path();
            let file = out.join(own.file_name().expect("a name"));
            let [own, file] = [own, file].map(|path| std::fs::read(path).expect("readable"));
            assert!(own == file, "{name}: other bytes");
            files += 1;
        }
        assert_eq!(files, 2);
    };
    is_the_same(told);
    if name != "full" {
        return;
    }
    // Without its bars it has nothing to compute from.
    let bars = root.join(".bars");
    let moved = root.join("moved");
    std::fs::rename(&bars, &moved).expect("movable");
    is_the_same(
        "0 containers recomputed from their events, 2 told from their result records (the bars \
         file that the archive names is not there, or is another one)\n",
    );
    std::fs::rename(&moved, &bars).expect("movable");
    // A record that says something else than the events, with a checksum that holds.
    let archive = sweep.join("traces/archive_00000.admf");
    let mut bytes = std::fs::read(&archive).expect("readable");
    let header = admf_formats::archive::ArchiveHeader::decode(&bytes).expect("a header");
    let at = header.slot_offset(1) as usize;
    let slot = &bytes[at..][..admf_formats::archive::SLOT_BYTES];
    let found = admf_formats::archive::Slot::decode(slot, header.seed());
    let mut slot = found.expect("a slot");
    slot.record.trades.pnl += 1.0;
    let slot = slot.encode(header.seed());
    bytes[at..at + slot.len()].copy_from_slice(&slot);
    std::fs::write(&archive, bytes).expect("writable");
    let refused = summary(&archive, &[]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    let names_it = "portfolio_002: its events come to other figures than its result record";
    assert!(error.contains(names_it), "{error}");
}
