//! The program itself: exit codes, and that no file it reads is changed.

mod samples;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

fn tools(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_admf-tools"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// A folder with an archive of five containers and a pool.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = samples::manifest("first");
    samples::first_half(folder.path(), &manifest, 100.0);
    samples::second_half(folder.path(), &manifest, 100.0);
    samples::pool(&folder.path().join("worker_1.pool"), &manifest);
    let path = folder.path().to_path_buf();
    (folder, path)
}

/// Bytes and time of change of every file.
fn state(folder: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "admf" || e == "pool"))
        .map(|path| {
            let changed = path.metadata().and_then(|data| data.modified());
            let bytes = std::fs::read(&path).expect("readable");
            (path, bytes, changed.expect("a time"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn verify_names_what_is_lost_and_says_so_by_its_exit_code() {
    let (_keep, folder) = folder();
    let archive = folder.join("archive_00000.admf");
    let before = state(&folder);
    let sound = tools(&["verify", &folder.to_string_lossy()]);
    let text = String::from_utf8_lossy(&sound.stdout).into_owned();
    assert_eq!(sound.status.code(), Some(0), "{text}");
    assert!(
        text.contains("intact, sealed: 4 of 5 containers committed, 32 events, 3 unsealed"),
        "{text}"
    );
    assert!(before == state(&folder), "verify changes nothing");

    // A byte of the first chunk of container 1.
    let mut bytes = std::fs::read(&archive).expect("readable");
    let header = admf_formats::archive::ArchiveHeader::decode(&bytes).expect("a header");
    bytes[header.chunks_offset() as usize + 100] ^= 1;
    std::fs::write(&archive, &bytes).expect("writable");
    let damaged = tools(&["verify", &archive.to_string_lossy(), "--json"]);
    assert_eq!(damaged.status.code(), Some(1));
    let text = String::from_utf8_lossy(&damaged.stdout).into_owned();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let loss = lines
        .iter()
        .find(|line| line["severity"] == "loss")
        .expect("a loss");
    assert_eq!(loss["container"], "portfolio_001");
    assert_eq!(loss["part"], "chunk");
    assert_eq!(loss["offset"], header.chunks_offset());
    assert_eq!(loss["sequences"], serde_json::json!([1, 3]));
    assert_eq!(loss["lost"], "3 events");
    let findings = lines.last().expect("findings");
    assert_eq!(
        (&findings["losses"], &findings["events"]),
        (&1.into(), &29.into())
    );

    let missing = tools(&["verify", &folder.join("none.admf").to_string_lossy()]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn an_archive_without_its_magic_is_named_and_not_passed_over() {
    let (_keep, folder) = folder();
    let archive = folder.join("archive_00000.admf");
    let mut bytes = std::fs::read(&archive).expect("readable");
    bytes[1] ^= 0x20;
    std::fs::write(&archive, &bytes).expect("writable");
    for verb in ["verify", "dump"] {
        let out = tools(&[verb, &folder.to_string_lossy()]);
        assert_eq!(out.status.code(), Some(1), "{verb}");
    }
}

#[test]
fn tables_are_exported_in_every_format_with_every_row() {
    let (_keep, folder) = folder();
    let before = state(&folder);
    let all = folder.to_string_lossy().into_owned();
    let lines = |what: &str, format: &str| {
        let out = tools(&["export", &all, "--what", what, "--format", format]);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(0), "{told}");
        String::from_utf8_lossy(&out.stdout).lines().count()
    };
    let dumped = String::from_utf8_lossy(&tools(&["dump", &all]).stdout)
        .lines()
        .count();
    for (what, rows) in [("events", dumped), ("results", 4)] {
        assert_eq!(lines(what, "jsonl"), rows);
        assert_eq!(
            lines(what, "csv"),
            rows + 1,
            "a header line, and a line per row"
        );
        let file = folder.join(format!("{what}.parquet"));
        let arguments = [
            "export", &all, "--what", what, "--format", "parquet", "--out",
        ];
        let file_name = file.to_string_lossy().into_owned();
        let out = tools(&[&arguments[..], &[&file_name]].concat());
        assert_eq!(
            out.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let bytes = std::fs::File::open(&file).expect("readable");
        use parquet::file::reader::{FileReader, SerializedFileReader};
        let reader = SerializedFileReader::new(bytes).expect("a Parquet file");
        assert_eq!(reader.metadata().file_metadata().num_rows(), rows as i64);
        let again = tools(&[&arguments[..], &[&file_name]].concat());
        assert_eq!(
            again.status.code(),
            Some(2),
            "an existing file is not written over"
        );
    }
    assert_eq!(lines("trades", "csv"), lines("trades", "jsonl") + 1);
    let refused = tools(&["export", &all, "--what", "events", "--format", "parquet"]);
    assert_eq!(refused.status.code(), Some(2), "Parquet is not printed");
    assert!(before == state(&folder), "export changes nothing");
}
