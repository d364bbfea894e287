//! Reading the records of a phase on several threads, piece by piece, and folding them in order.
//!
//! What is made of one piece does not depend on another, so threads make it beside each other; what
//! is summed takes its turn, for sums depend on their order.

use crate::Result;
use crate::plan::STACK_BYTES;
use admf_formats::result::ResultRecord;
use admf_formats::units::QUANTUM_BARS;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Records of a piece at most: as many as the loops that compare columns take.
pub(super) const PIECE: usize = QUANTUM_BARS;

/// Records of a piece that are worth the turn that it waits for.
const PIECE_WORTH: u64 = 64;

/// Pieces that keep all threads at work to the end.
const PIECES_WORTH: u64 = 8;

/// The result records of a phase, which can be read more than once.
pub trait Records: Sync {
    /// A reader for one thread.
    fn reader(&self) -> Box<dyn RecordReader + '_>;
}

/// One thread's way to the records of a phase.
pub trait RecordReader {
    /// Calls `each` with the records of the containers of these indices that have one, in order.
    fn read(&mut self, indices: Range<u64>, each: &mut dyn FnMut(&ResultRecord)) -> Result<()>;
}

/// A table by index.
impl Records for [Option<ResultRecord>] {
    fn reader(&self) -> Box<dyn RecordReader + '_> {
        Box::new(self)
    }
}

impl RecordReader for &[Option<ResultRecord>] {
    fn read(&mut self, indices: Range<u64>, each: &mut dyn FnMut(&ResultRecord)) -> Result<()> {
        let records = &self[indices.start as usize..indices.end as usize];
        records.iter().flatten().for_each(each);
        Ok(())
    }
}

/// A piece that a thread took.
pub(super) struct Piece {
    /// From 0, in order of the indices.
    pub(super) number: u64,
    pub(super) indices: Range<u64>,
}

/// The pieces of a range of indices, and what is folded of them in order.
pub(super) struct Pieces<T> {
    indices: Range<u64>,
    /// Indices of a piece.
    size: u64,
    next: AtomicU64,
    turn: Mutex<Turn<T>>,
    changed: Condvar,
}

struct Turn<T> {
    /// The piece that may be folded now.
    piece: u64,
    /// Whether a thread failed, so that no turn will come.
    is_over: bool,
    folded: T,
}

impl<T: Send> Pieces<T> {
    pub(super) fn new(indices: Range<u64>, folded: T) -> Pieces<T> {
        let count = indices.end - indices.start;
        Pieces {
            size: (count / PIECES_WORTH).clamp(PIECE_WORTH, PIECE as u64),
            indices,
            next: AtomicU64::new(0),
            turn: Mutex::new(Turn {
                piece: 0,
                is_over: false,
                folded,
            }),
            changed: Condvar::new(),
        }
    }

    /// Does the work on so many threads at most, the caller's own among them: `work` takes pieces
    /// until there are none. Each thread has a buffer of its own, which the caller makes: what a
    /// thread allocates may stay with its heap when it is gone.
    ///
    /// Errors: the first one of `work`.
    pub(super) fn run<B: Send>(
        &self,
        threads: usize,
        buffer: impl Fn() -> B,
        work: impl Fn(&Pieces<T>, &mut B) -> Result<()> + Sync,
    ) -> Result<()> {
        let count = (self.indices.end - self.indices.start).div_ceil(self.size);
        let others = threads.min(count as usize).saturating_sub(1);
        let guarded = |buffer: &mut B| {
            let _guard = EndOnPanic(self);
            let done = work(self, buffer);
            if done.is_err() {
                self.end();
            }
            done
        };
        let mut own = buffer();
        let mut buffers: Vec<B> = (0..others).map(|_| buffer()).collect();
        std::thread::scope(|scope| {
            let start = |buffer| {
                std::thread::Builder::new()
                    .name("results".to_owned())
                    .stack_size(STACK_BYTES as usize)
                    .spawn_scoped(scope, move || guarded(buffer))
            };
            // Where the system gives no more threads, those that there are do the work.
            let started = buffers.iter_mut().map_while(|buffer| start(buffer).ok());
            let started: Vec<_> = started.collect();
            let mut done = guarded(&mut own);
            for thread in started {
                done = done.and(thread.join().expect("folding a record does not panic"));
            }
            done
        })
    }

    /// The next piece that nobody took.
    pub(super) fn take(&self) -> Option<Piece> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let start = self.indices.start + number * self.size;
        let end = self.indices.end.min(start + self.size);
        (start < end).then_some(Piece {
            number,
            indices: start..end,
        })
    }

    /// Folds a piece when all before it are folded; not at all where one of them failed.
    pub(super) fn fold(&self, piece: &Piece, fold: impl FnOnce(&mut T)) {
        let turn = self.lock();
        let mut turn = self
            .changed
            .wait_while(turn, |turn| turn.piece != piece.number && !turn.is_over)
            .unwrap_or_else(PoisonError::into_inner);
        if !turn.is_over {
            fold(&mut turn.folded);
            turn.piece += 1;
            self.changed.notify_all();
        }
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Turn<T>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for the turn of a thread that died.
struct EndOnPanic<'a, T: Send>(&'a Pieces<T>);

impl<T: Send> Drop for EndOnPanic<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn pieces_are_folded_in_order_by_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let mut seen = Vec::new();
            let count = 9 * PIECE as u64 + 3;
            let pieces = Pieces::new(5..count, &mut seen);
            let work = |pieces: &Pieces<&mut Vec<u64>>, taken: &mut u64| {
                while let Some(piece) = pieces.take() {
                    pieces.fold(&piece, |seen| seen.extend(piece.indices.clone()));
                    *taken += 1;
                }
                Ok(())
            };
            pieces.run(threads, || 0, work).expect("nothing fails");
            assert_eq!(seen, (5..count).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn whoever_waits_for_a_failed_piece_is_let_go() {
        let pieces = Pieces::new(0..20 * PIECE as u64, 0_u64);
        let work = |pieces: &Pieces<u64>, (): &mut ()| {
            while let Some(piece) = pieces.take() {
                if piece.number == 3 {
                    let source = std::io::Error::other("no disk");
                    return Err(Error::io("read", std::path::Path::new("archive"))(source));
                }
                pieces.fold(&piece, |folded| *folded += 1);
            }
            Ok(())
        };
        assert!(pieces.run(3, || (), work).is_err());
        assert_eq!(pieces.lock().folded, 3);
    }
}
