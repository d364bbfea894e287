//! Reading the records of a phase on several threads, piece by piece, and folding them in order.
//!
//! What is made of one piece does not depend on another, so threads make it beside each other. Sums
//! depend on their order: a thread whose piece has not its turn leaves it to the one that folds the
//! piece before, and takes the next.

use crate::Result;
use crate::plan::STACK_BYTES;
use crate::spread::Spread;
use admf_formats::result::ResultRecord;
use admf_formats::units::QUANTUM_BARS;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Records of a piece at most: as many as the loops that compare columns take.
pub(super) const PIECE: usize = QUANTUM_BARS;

/// Records of a piece that are worth taking it and handing it over.
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

/// Buffers of a scan on so many threads: none waits while one piece is late.
pub(super) const fn buffers(threads: usize) -> usize {
    if threads > 1 { threads + 1 } else { 1 }
}

/// The pieces of a range of indices on their way.
struct Line<B> {
    /// Pieces that were taken, and that are folded.
    taken: u64,
    folded: u64,
    /// Whether a thread folds now.
    is_folding: bool,
    /// Whether a thread failed, so that nothing more is folded.
    is_over: bool,
    /// What was made of pieces and is not folded.
    ready: Vec<(u64, B)>,
    free: Vec<B>,
}

/// A scan of the records of these indices.
struct Scan<'a, R: ?Sized, B> {
    records: &'a R,
    indices: Range<u64>,
    /// Indices of a piece.
    size: u64,
    line: Mutex<Line<B>>,
    changed: Condvar,
}

/// Reads the records of these indices piece by piece, on so many threads at most, the caller's own
/// among them: `read` makes a buffer's content of a piece, `fold` takes the buffers in order.
/// Buffers are used again, so `read` empties them first. The caller makes them: what a thread
/// allocates may stay with its heap when it is gone.
///
/// Errors: the first one of `read`; what comes after that piece is not folded.
pub(super) fn scan<R: Records + ?Sized, B: Send>(
    records: &R,
    indices: Range<u64>,
    threads: usize,
    buffer: impl Fn() -> B,
    read: impl Fn(&mut dyn RecordReader, Range<u64>, &mut B) -> Result<()> + Sync,
    fold: impl FnMut(&mut B) + Send,
) -> Result<()> {
    let count = indices.end - indices.start;
    let size = (count / PIECES_WORTH).clamp(PIECE_WORTH, PIECE as u64);
    let threads = threads.min(count.div_ceil(size) as usize).max(1);
    let scan = Scan {
        records,
        indices,
        size,
        line: Mutex::new(Line {
            taken: 0,
            folded: 0,
            is_folding: false,
            is_over: false,
            ready: Vec::with_capacity(buffers(threads)),
            free: (0..buffers(threads)).map(|_| buffer()).collect(),
        }),
        changed: Condvar::new(),
    };
    let fold = Mutex::new(fold);
    let work = || {
        let _guard = EndOnPanic(&scan);
        let done = scan.work(&read, &fold);
        if done.is_err() {
            scan.end();
        }
        done
    };
    std::thread::scope(|scope| {
        let work = &work;
        let mut spread = Spread::new();
        let anywhere = spread.anywhere();
        let start = || {
            std::thread::Builder::new()
                .name("results".to_owned())
                .stack_size(STACK_BYTES as usize)
                .spawn_scoped(scope, move || {
                    anywhere.go();
                    work()
                })
        };
        // Where the system gives no more threads, those that there are do the work.
        let others = (1..threads as u32).map_while(|number| spread.start(number, start).ok());
        let others: Vec<_> = others.collect();
        spread.home();
        anywhere.go();
        let mut done = work();
        for thread in others {
            done = done.and(thread.join().expect("folding a record does not panic"));
        }
        done
    })
}

impl<R: Records + ?Sized, B> Scan<'_, R, B> {
    /// Takes pieces until there are none.
    fn work(
        &self,
        read: &impl Fn(&mut dyn RecordReader, Range<u64>, &mut B) -> Result<()>,
        fold: &Mutex<impl FnMut(&mut B)>,
    ) -> Result<()> {
        let mut reader = self.records.reader();
        while let Some((number, indices, mut buffer)) = self.take() {
            read(&mut *reader, indices, &mut buffer)?;
            let mut line = self.lock();
            line.ready.push((number, buffer));
            if line.is_folding {
                continue;
            }
            line.is_folding = true;
            while let Some(mut buffer) = line.turn() {
                drop(line);
                fold.lock().unwrap_or_else(PoisonError::into_inner)(&mut buffer);
                line = self.lock();
                line.folded += 1;
                line.free.push(buffer);
                self.changed.notify_all();
            }
            line.is_folding = false;
        }
        Ok(())
    }

    /// The next piece, when there is a buffer for it; `None` where there is no more.
    fn take(&self) -> Option<(u64, Range<u64>, B)> {
        let mut line = self.lock();
        loop {
            let start = self.indices.start + line.taken * self.size;
            if start >= self.indices.end || line.is_over {
                return None;
            }
            if let Some(buffer) = line.free.pop() {
                let number = line.taken;
                line.taken += 1;
                let end = self.indices.end.min(start + self.size);
                return Some((number, start..end, buffer));
            }
            let changed = self.changed.wait(line);
            line = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Line<B>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Line<B> {
    /// The piece whose turn it is, if it is ready.
    fn turn(&mut self) -> Option<B> {
        let is_next = |(number, _): &(u64, B)| *number == self.folded;
        let place = self.ready.iter().position(is_next)?;
        (!self.is_over).then(|| self.ready.swap_remove(place).1)
    }
}

/// Nobody waits for the buffer of a thread that died.
struct EndOnPanic<'a, 'b, R: Records + ?Sized, B>(&'a Scan<'b, R, B>);

impl<R: Records + ?Sized, B> Drop for EndOnPanic<'_, '_, R, B> {
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

    /// Nothing to read: pieces are their indices.
    struct Nothing;

    impl Records for Nothing {
        fn reader(&self) -> Box<dyn RecordReader + '_> {
            Box::new(Nothing)
        }
    }

    impl RecordReader for Nothing {
        fn read(&mut self, _: Range<u64>, _: &mut dyn FnMut(&ResultRecord)) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn pieces_are_folded_in_order_by_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let mut seen = Vec::new();
            let count = 30 * PIECE as u64 + 3;
            let read = |_: &mut dyn RecordReader, indices: Range<u64>, buffer: &mut Range<u64>| {
                // Some come late.
                let micros = indices.start / PIECE as u64 * 7919 % 500;
                std::thread::sleep(std::time::Duration::from_micros(micros));
                *buffer = indices;
                Ok(())
            };
            let fold = |buffer: &mut Range<u64>| seen.extend(buffer.clone());
            scan(&Nothing, 5..count, threads, || 0..0, read, fold).expect("nothing fails");
            assert_eq!(seen, (5..count).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn what_comes_after_a_failed_piece_is_not_folded_and_nobody_waits() {
        for threads in [1, 3] {
            let mut folded = 0;
            let read = |_: &mut dyn RecordReader, indices: Range<u64>, _: &mut ()| {
                if indices.start == 3 * PIECE as u64 {
                    let source = std::io::Error::other("no disk");
                    return Err(Error::io("read", std::path::Path::new("archive"))(source));
                }
                Ok(())
            };
            let indices = 0..20 * PIECE as u64;
            let done = scan(&Nothing, indices, threads, || (), read, |()| folded += 1);
            assert!(done.is_err() && folded <= 3, "{folded}");
        }
    }
}
