//! Which files a path stands for.

use admf::segment::{FileKind, file_kind};
use admf::{Error, Result};
use std::path::{Path, PathBuf};

/// The file itself, or every archive and pool below the folder, sorted by path.
///
/// Errors: the path does not exist, is neither, or holds none.
pub(crate) fn list(path: &Path) -> Result<Vec<(PathBuf, FileKind)>> {
    let mut found = Vec::new();
    if path.is_dir() {
        collect(path, &mut found)?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
    } else if let Some(kind) = file_kind(path)? {
        found.push((path.to_path_buf(), kind));
    }
    if found.is_empty() {
        return Err(Error::Usage {
            message: format!("{}: no archive or pool is there", path.display()),
        });
    }
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, FileKind)>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path
            .extension()
            .is_some_and(|ending| ending == "admf" || ending == "pool")
            && let Some(kind) = file_kind(&path)?
        {
            found.push((path, kind));
        }
    }
    Ok(())
}
