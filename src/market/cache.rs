//! Bars of any data file, imported once per content.

use super::bars_file::{BarsFile, hex};
use super::import::{ImportOptions, import};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Opens a bars file as it is; imports anything else into `cache` under the digest of its content.
pub fn open_bars(source: &Path, cache: &Path, options: &ImportOptions) -> Result<BarsFile> {
    if BarsFile::is_bars_file(source)? {
        return BarsFile::open(source);
    }
    let mut digest = Sha256::new();
    digest.update(format!(
        "{}\0{:?}\0{}\0",
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
    if !path.is_file() {
        std::fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
        import(source, options, &path)?;
    }
    BarsFile::open(&path)
}
