//! Reading the slots of a phase's archives: which containers are committed, and their records.

use crate::results::{RecordReader, Records};
use crate::{Error, Result};
use admf_formats::archive::{
    ArchiveHeader, CONTAINERS_PER_ARCHIVE, HEADER_BYTES, SLOT_BYTES, Slot, file_name,
};
use admf_formats::result::ResultRecord;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Slots that are read at once.
const SLOTS_PER_READ: u64 = 64;

/// The records of the committed containers in the archives of a folder.
pub struct ArchiveRecords<'a>(pub &'a Path);

impl Records for ArchiveRecords<'_> {
    fn reader(&self) -> Box<dyn RecordReader + '_> {
        Box::new(SlotReader::new(self.0))
    }
}

/// Reads slots of any containers of a phase; it keeps the archive open that it read last.
struct SlotReader<'a> {
    folder: &'a Path,
    open: Option<(u64, OpenSlots)>,
}

/// The slots of one archive.
struct OpenSlots {
    path: PathBuf,
    /// With the seed of its checksums; none where nothing is committed: there is no file, or the
    /// writer begins it anew.
    file: Option<(File, ArchiveHeader, u32)>,
}

impl OpenSlots {
    fn open(folder: &Path, range: u64) -> Result<OpenSlots> {
        let path = folder.join(file_name(range));
        if !path.is_file() {
            return Ok(OpenSlots { path, file: None });
        }
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let header = existing_header(&file, &path, range)?;
        let file = header.map(|header| (file, header, header.seed()));
        Ok(OpenSlots { path, file })
    }

    fn each(&self, indices: Range<u64>, each: &mut dyn FnMut(&Slot) -> Result<()>) -> Result<()> {
        match &self.file {
            Some((file, header, seed)) => slots(file, &self.path, (header, *seed), indices, each),
            None => Ok(()),
        }
    }
}

impl SlotReader<'_> {
    fn new(folder: &Path) -> SlotReader<'_> {
        SlotReader { folder, open: None }
    }

    /// Calls `each` with every committed slot of the containers of these indices, in order.
    fn each(
        &mut self,
        indices: Range<u64>,
        each: &mut dyn FnMut(&Slot) -> Result<()>,
    ) -> Result<()> {
        let mut rest = indices;
        while !rest.is_empty() {
            let range = rest.start / CONTAINERS_PER_ARCHIVE;
            let end = rest.end.min((range + 1) * CONTAINERS_PER_ARCHIVE);
            if self.open.as_ref().is_none_or(|(open, _)| *open != range) {
                self.open = Some((range, OpenSlots::open(self.folder, range)?));
            }
            if let Some((_, slots)) = &self.open {
                slots.each(rest.start..end, each)?;
            }
            rest.start = end;
        }
        Ok(())
    }
}

impl RecordReader for SlotReader<'_> {
    fn read(&mut self, indices: Range<u64>, each: &mut dyn FnMut(&ResultRecord)) -> Result<()> {
        self.each(indices, &mut |slot| {
            each(&slot.record);
            Ok(())
        })
    }
}

/// The header of an archive that an earlier run began, where it has its manifest too.
///
/// Every checksum of the file begins from its own header, whose manifest may name other paths than
/// this run's: a results directory that was moved goes on as it is.
///
/// Errors: the system refuses to read; what cannot be read is not taken for what is not there.
pub(super) fn existing_header(
    file: &File,
    path: &Path,
    range: u64,
) -> Result<Option<ArchiveHeader>> {
    let read = |bytes: &mut [u8], offset| match file.read_exact_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::io("read", path)(error)),
    };
    let mut bytes = [0; HEADER_BYTES];
    if !read(&mut bytes, 0)? {
        return Ok(None);
    }
    let Ok(header) = ArchiveHeader::decode(&bytes) else {
        return Ok(None);
    };
    // A header that names a giant manifest is not ours; the file has at least its size.
    let length = file.metadata().map_err(Error::io("inspect", path))?.len();
    if length < header.slots_offset() || header.range != range {
        return Ok(None);
    }
    let mut manifest = vec![0; header.manifest_bytes as usize];
    let is_whole = read(&mut manifest, HEADER_BYTES as u64)?
        && crc32c::crc32c(&manifest) == header.manifest_crc;
    Ok(is_whole.then_some(header))
}

/// Calls `each` with every committed slot of a phase, in order of index.
pub fn scan_records(
    folder: &Path,
    containers: u64,
    mut each: impl FnMut(&Slot) -> Result<()>,
) -> Result<()> {
    SlotReader::new(folder).each(0..containers, &mut each)
}

/// Calls `each` with every committed slot of one archive, in order of index.
pub(super) fn each_slot(
    file: &File,
    path: &Path,
    header: &ArchiveHeader,
    mut each: impl FnMut(&Slot) -> Result<()>,
) -> Result<()> {
    let first = header.range * CONTAINERS_PER_ARCHIVE;
    let all = first..first + CONTAINERS_PER_ARCHIVE;
    slots(file, path, (header, header.seed()), all, &mut each)
}

/// The committed slots of these containers, all of one archive.
fn slots(
    file: &File,
    path: &Path,
    (header, seed): (&ArchiveHeader, u32),
    indices: Range<u64>,
    each: &mut dyn FnMut(&Slot) -> Result<()>,
) -> Result<()> {
    /// Slots are decoded where they lie.
    #[repr(align(16))]
    struct Aligned([u8; SLOTS_PER_READ as usize * SLOT_BYTES]);
    let mut buffer = Aligned([0; SLOTS_PER_READ as usize * SLOT_BYTES]);
    for first in indices.clone().step_by(SLOTS_PER_READ as usize) {
        let count = SLOTS_PER_READ.min(indices.end - first) as usize;
        let read = &mut buffer.0[..count * SLOT_BYTES];
        match file.read_exact_at(read, header.slot_offset(first)) {
            Ok(()) => {}
            // A file that ends here was killed before it had its size.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(Error::io("read", path)(error)),
        }
        for (index, bytes) in (first..).zip(read.chunks_exact(SLOT_BYTES)) {
            if let Some(slot) = Slot::decode(bytes, seed).filter(|slot| slot.record.index == index)
            {
                each(&slot)?;
            }
        }
    }
    Ok(())
}

/// One bit per container: whether it is committed. No bits at all where none is: most runs begin
/// anew.
pub fn committed(folder: &Path, containers: u64) -> Result<Vec<u64>> {
    let mut bits = Vec::new();
    scan_records(folder, containers, |slot| {
        if bits.is_empty() {
            bits = vec![0; containers.div_ceil(64) as usize];
        }
        let index = slot.record.index;
        bits[(index / 64) as usize] |= 1 << (index % 64);
        Ok(())
    })?;
    Ok(bits)
}
