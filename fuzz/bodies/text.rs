//! Any text is a workflow, and any file is bars, or an error that says what is wrong.

use admf::market::{BarsFile, ImportOptions, import};
use std::path::Path;

/// The target `workflow`.
pub(crate) fn workflow(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Err(error) = admf::workflow::parse(text, Path::new("w.yaml"))
    {
        let told = error.to_string();
        assert!(told.contains("w.yaml"), "which file is wrong? {told}");
    }
}

/// The target `csv`.
pub(crate) fn csv(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [source, into] = ["bars.csv", "t.bars"].map(|name| folder.path().join(name));
    std::fs::write(&source, input).expect("writable");
    match import(&source, &ImportOptions::default(), &into) {
        Ok(summary) => {
            let bars = BarsFile::open(&into).expect("what was imported is a bars file");
            assert!(bars.bars() > 0 && bars.first_ts() <= bars.last_ts());
            assert_eq!(bars.bars(), summary.bars);
        }
        Err(error) => {
            let told = error.to_string();
            assert!(told.contains("bars.csv"), "which file is wrong? {told}");
        }
    }
}
