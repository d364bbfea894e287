//! Bars of any data file, imported once per content.

use super::bars_file::{BarsFile, hex};
use super::import::{ImportMemory, ImportOptions, import};
use crate::{Error, Result, heap};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Folder of imported bars, under a results root.
pub const BARS_CACHE: &str = ".bars";
/// Changes where the same file is imported to other bars than before.
const IMPORT_VERSION: u32 = 2;

/// Opens a bars file as it is; imports anything else into `cache` under the digest of its content.
///
/// A file of the cache that is damaged, or of another version, is made again.
pub fn open_bars(source: &Path, cache: &Path, options: &ImportOptions) -> Result<BarsFile> {
    open_or_import(source, cache, options, &mut |_| (), &mut |_| Ok(()))
}

/// As [`open_bars`]; `note` is told of a file of the cache that is made again, and why. Before a
/// file is imported `admit` is asked with what that takes, and its refusal is the error.
pub fn open_or_import(
    source: &Path,
    cache: &Path,
    options: &ImportOptions,
    note: &mut dyn FnMut(&str),
    admit: &mut dyn FnMut(&ImportMemory) -> Result<()>,
) -> Result<BarsFile> {
    if BarsFile::is_bars_file(source)? {
        return BarsFile::open(source);
    }
    let mut digest = Sha256::new();
    digest.update(format!(
        "{}\0{:?}\0{IMPORT_VERSION}\0{}\0",
        options.timezone,
        options.bar_label,
        admf_formats::bars::VERSION
    ));
    let mut file = std::fs::File::open(source).map_err(Error::io("open", source))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", source))?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
    }
    let path = cache.join(format!("{}.bars", &hex(&digest.finalize())[..16]));
    if path.is_file() {
        match open_whole(&path) {
            Ok(bars) => return Ok(bars),
            Err(error @ Error::Damaged { .. }) => {
                note(&format!("{error}; {} is imported again", source.display()));
            }
            Err(error) => return Err(error),
        }
    }
    ImportMemory::ask(source, admit)?;
    std::fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    import(source, options, &path)?;
    heap::give_back();
    BarsFile::open(&path)
}

/// Damage must show before a run relies on the file: later nobody could make it again.
fn open_whole(path: &Path) -> Result<BarsFile> {
    let bars = BarsFile::open(path)?;
    bars.verify()?;
    Ok(bars)
}
