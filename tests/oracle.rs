//! Every case and grid made by independent programs, where the shared oracles are present.

use admf::oracle::{self, Verdict};
use std::path::{Path, PathBuf};

fn cases(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("skipped: {} is not there", folder.display());
        return Vec::new();
    };
    let mut cases: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    cases.retain(|path| path.join("case.json").is_file() || path.join("grid.json").is_file());
    cases.sort();
    cases
}

fn all_equal(folder: &Path, data: &Path) {
    let mut differences = Vec::new();
    for case in cases(folder) {
        match oracle::run(&case, Some(data)) {
            Ok(Verdict::Equal { compared, skipped }) => {
                assert!(compared > 0);
                println!(
                    "{}: {compared} figures equal, {skipped} rows skipped",
                    case.display()
                );
            }
            other => differences.push(format!("{}: {other:?}", case.display())),
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn every_shared_case_and_grid_is_equal() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = root.join("../shared");
    all_equal(&shared.join("oracles"), &shared.join("data"));
}

#[test]
fn every_bundled_case_is_equal() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    assert_eq!(cases(&examples.join("oracles")).len(), 6);
    all_equal(&examples.join("oracles"), &examples.join("data"));
}
