//! Which files a path stands for.

use admf::segment::{FileKind, file_kind};
use admf::{Error, Result};
use std::path::{Path, PathBuf};

/// The file itself, or every archive and pool below the folder, sorted by path.
///
/// A file is what its magic says; one that is named like an archive or pool but has another magic
/// is taken for what its name says, so that reading it names the damage. Files without content, as
/// a killed run may leave them, are left out.
///
/// Errors: the path does not exist, is neither, or holds none.
pub fn list(path: &Path) -> Result<Vec<(PathBuf, FileKind)>> {
    let mut found = all(path)?;
    let mut is_kept = Ok(());
    found.retain(|(path, _)| match has_begun(path) {
        Ok(has_begun) => has_begun,
        Err(error) => {
            is_kept = Err(error);
            true
        }
    });
    is_kept.map(|()| found)
}

/// As [`list`], with the files that have no content.
pub fn all(path: &Path) -> Result<Vec<(PathBuf, FileKind)>> {
    let mut found = Vec::new();
    if path.is_dir() {
        collect(path, &mut found)?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
    } else if let Some(kind) = kind(path)? {
        found.push((path.to_path_buf(), kind));
    }
    if found.is_empty() {
        return Err(Error::Usage {
            message: format!("{}: no archive or pool is there", path.display()),
        });
    }
    Ok(found)
}

fn kind(path: &Path) -> Result<Option<FileKind>> {
    if !path.is_file() {
        return Err(Error::Usage {
            message: format!("{}: there is no such file", path.display()),
        });
    }
    let named = match path.extension().and_then(|ending| ending.to_str()) {
        Some("admf") => Some(FileKind::Archive),
        Some("pool") => Some(FileKind::Pool),
        _ => None,
    };
    Ok(file_kind(path)?.or(named))
}

/// Whether the file has a first page that is not zero.
fn has_begun(path: &Path) -> Result<bool> {
    use crate::bytes::{Bytes, FileBytes};
    let mut page = [0; 4096];
    let bytes = FileBytes::open(path)?;
    bytes.read(0, &mut page)?;
    // A longer archive whose first page is zero was damaged: it gets its name with that page.
    let is_archive = path.extension().is_some_and(|ending| ending == "admf");
    Ok(page != [0; 4096] || (is_archive && bytes.size() > 4096))
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, FileKind)>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path
            .extension()
            .is_some_and(|ending| ending == "admf" || ending == "pool")
            && let Some(kind) = kind(&path)?
        {
            found.push((path, kind));
        }
    }
    Ok(())
}
