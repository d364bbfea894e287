//! The map of a model: what its owner stores is seen by other threads as the memory model allows.
//!
//! The owner's bytes lie in `own`. Other threads see *cells*: a commit word, the rest of a frame,
//! the first eight bytes of a descriptor, the rest of it. A cell holds versions of its bytes, and
//! an atomic of the model checker says which: a store that is not ordered by a commit word or a
//! fence may be seen late, early, and in any order, like bytes in a page that is mapped. Cells are
//! as large as they may be without hiding a tear that matters, since every load multiplies the
//! executions to check.

use super::order::{COMMIT, Ordering, PUBLISH, fence};
use crate::Result;
use loom::sync::atomic::AtomicUsize;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A fault that is planted to see that the model finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Planted {
    #[default]
    Nothing,
    /// Commit words are stored without an order.
    RelaxedCommit,
    /// A descriptor does not wait for what came before it.
    EarlyDescriptor,
    /// Frames do not wait for the descriptor of their generation.
    LateDescriptor,
}

thread_local! {
    /// Cells of the next map; a model runs all its threads on one of the system's.
    pub(super) static CELLS: RefCell<Vec<Range<usize>>> = const { RefCell::new(Vec::new()) };
    /// What is planted into the next map.
    pub(super) static PLANTED: Cell<Planted> = const { Cell::new(Planted::Nothing) };
    /// The cells of the last map.
    static LAST: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

struct Visible {
    place: Range<usize>,
    version: AtomicUsize,
    versions: Mutex<Vec<Vec<u8>>>,
}

/// What other threads see.
pub(super) struct Shared(Vec<Visible>);

impl Shared {
    /// The cells of the map that was created last.
    pub(super) fn last() -> Arc<Shared> {
        let last = LAST.with_borrow_mut(Option::take);
        last.expect("a map was created")
    }

    /// Copies what is seen of these bytes; the rest is left as it is.
    pub(super) fn read(&self, at: usize, into: &mut [u8]) {
        let wanted = at..at + into.len();
        let inside = |place: &Range<usize>| wanted.start <= place.start && place.end <= wanted.end;
        for cell in self.0.iter().filter(|cell| inside(&cell.place)) {
            let version = cell.version.load(Ordering::Relaxed);
            let versions = cell.versions.lock().expect("nobody panics with it");
            into[cell.place.start - at..cell.place.end - at].copy_from_slice(&versions[version]);
        }
    }
}

/// Stands for a mapped file.
pub(super) struct Map {
    own: Vec<u8>,
    shared: Arc<Shared>,
    /// Stores that nobody sees yet.
    stored: Vec<Range<usize>>,
    planted: Planted,
}

impl Map {
    pub(super) fn create(_: &Path, bytes: usize) -> Result<Map> {
        let cell = |place: Range<usize>| Visible {
            version: AtomicUsize::new(0),
            versions: Mutex::new(vec![vec![0; place.len()]]),
            place,
        };
        let cells = CELLS.with_borrow(|cells| cells.iter().cloned().map(cell).collect());
        let shared = Arc::new(Shared(cells));
        LAST.set(Some(Arc::clone(&shared)));
        Ok(Map {
            own: vec![0; bytes],
            shared,
            stored: Vec::new(),
            planted: PLANTED.get(),
        })
    }

    pub(super) fn create_untouched(path: &Path, bytes: usize) -> Result<Map> {
        Map::create(path, bytes)
    }

    pub(super) fn bytes_mut(&mut self, at: usize, bytes: usize) -> &mut [u8] {
        self.show(Ordering::Relaxed);
        self.stored.push(at..at + bytes);
        &mut self.own[at..at + bytes]
    }

    pub(super) fn bytes(&self, at: usize, bytes: usize) -> &[u8] {
        &self.own[at..at + bytes]
    }

    pub(super) fn commit(&mut self, at: usize, word: u64) {
        self.show(Ordering::Relaxed);
        self.own[at..at + 8].copy_from_slice(&word.to_le_bytes());
        self.stored.push(at..at + 8);
        let is_relaxed = self.planted == Planted::RelaxedCommit;
        self.show(if is_relaxed {
            Ordering::Relaxed
        } else {
            COMMIT
        });
    }

    pub(super) fn order(&mut self) {
        let behind = !self.stored.is_empty();
        self.show(Ordering::Relaxed);
        let is_missing = match self.planted {
            Planted::EarlyDescriptor => !behind,
            Planted::LateDescriptor => behind,
            Planted::Nothing | Planted::RelaxedCommit => false,
        };
        if !is_missing {
            fence(PUBLISH);
        }
    }

    /// Makes visible what was stored, cell by cell.
    fn show(&mut self, ordering: Ordering) {
        for stored in self.stored.drain(..) {
            let touches =
                |place: &Range<usize>| place.start < stored.end && stored.start < place.end;
            for cell in self.shared.0.iter().filter(|cell| touches(&cell.place)) {
                let now = &self.own[cell.place.clone()];
                let mut versions = cell.versions.lock().expect("nobody panics with it");
                if versions.last().is_some_and(|last| last == now) {
                    continue;
                }
                versions.push(now.to_vec());
                let version = versions.len() - 1;
                drop(versions);
                cell.version.store(version, ordering);
            }
        }
    }
}
