//! Where threads begin, and whether they stay there.

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Starts threads that begin in the same moment, each on another processor.
///
/// They are often put onto the same one, or onto that of the thread that starts them, and share it
/// until the system notices: some milliseconds, in which hundreds of containers could have lived. It
/// is a hint: where it is refused, the system's own choice holds.
pub(crate) struct Spread {
    anywhere: Anywhere,
    /// Places among the processors: of the thread that starts the others, and where it is now, if it
    /// was moved.
    home: usize,
    now: Option<usize>,
}

/// The processors that threads may use.
#[derive(Clone, Copy)]
pub(crate) struct Anywhere(CpuSet);

impl Spread {
    /// For threads that the caller starts.
    pub(crate) fn new() -> Spread {
        let anywhere = Anywhere(sched_getaffinity(None).unwrap_or_default());
        // Programs that run beside this one do not all begin with the first.
        let home = std::process::id() as usize % anywhere.count();
        Spread {
            anywhere,
            home,
            now: None,
        }
    }

    /// Has `start` start a thread on the processor of this number; that of 0 is for the caller, and
    /// so is that of as many as there are. A thread begins where the one that starts it may run, so
    /// the caller goes there until [`Spread::home`].
    pub(crate) fn start<T>(&mut self, number: u32, start: impl FnOnce() -> T) -> T {
        self.go((self.home + number as usize) % self.anywhere.count());
        start()
    }

    /// The caller goes to its own processor, if it was at others. Like those that it started it is
    /// bound there until it says that it may be [`Spread::anywhere`], or takes one of [`Seats`].
    pub(crate) fn home(mut self) {
        if self.now.is_some() {
            self.go(self.home);
        }
    }

    /// Where a thread goes that is free to move.
    pub(crate) const fn anywhere(&self) -> Anywhere {
        self.anywhere
    }

    fn go(&mut self, to: usize) {
        if self.now == Some(to) {
            return;
        }
        let Some(processor) = self.anywhere.processors().nth(to) else {
            return;
        };
        let mut only = CpuSet::new();
        only.set(processor);
        if sched_setaffinity(None, &only).is_ok() {
            self.now = Some(to);
        }
    }
}

impl Anywhere {
    /// Their numbers.
    fn processors(&self) -> impl Iterator<Item = usize> {
        (0..CpuSet::MAX_CPU).filter(|at| self.0.is_set(*at))
    }

    /// How many there are; one where it is not known.
    fn count(&self) -> usize {
        (self.0.count() as usize).max(1)
    }

    /// Lets this thread run on any of them.
    pub(crate) fn go(self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// Processors that threads stay on, where there are as many of both, until one of them is done.
///
/// A thread that wakes up is often put onto a processor that another one works on. One of them then
/// waits, or moves and leaves behind what it has in the cache, and so does a worker whenever the
/// archive's writer has something to do. At the end all are free: a processor that other programs
/// use too should not have the last work to itself while another one has none.
pub(crate) struct Seats {
    anywhere: Anywhere,
    /// Threads that are bound; `None` when all are free.
    bound: Mutex<Option<Vec<Pid>>>,
}

impl Seats {
    /// For so many threads, which [`Spread::start`] starts, the caller among them.
    pub(crate) fn new(threads: usize, spread: &Spread) -> Seats {
        let anywhere = spread.anywhere();
        let has_one_each = threads > 1 && threads == anywhere.count();
        let bound = Mutex::new(has_one_each.then(|| Vec::with_capacity(threads)));
        Seats { anywhere, bound }
    }

    /// The calling thread, which is on its own processor, stays there or is free to move.
    pub(crate) fn take(&self) {
        match &mut *self.lock() {
            Some(bound) => bound.push(gettid()),
            None => self.anywhere.go(),
        }
    }

    /// All of them are free to move from now on; a thread that took a seat says so before it ends.
    pub(crate) fn leave(&self) {
        for thread in self.lock().take().into_iter().flatten() {
            let _ = sched_setaffinity(Some(thread), &self.anywhere.0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Pid>>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    /// Places of the processors that the calling thread may use.
    fn now() -> Vec<usize> {
        let now = Anywhere(sched_getaffinity(None).expect("known"));
        now.processors().collect()
    }

    #[test]
    fn threads_begin_apart_and_nobody_stays_bound() {
        let before = now();
        let mut spread = Spread::new();
        let anywhere = spread.anywhere();
        let begin = move || {
            let bound = now();
            anywhere.go();
            (bound, now())
        };
        let numbers = 1..=before.len() as u32;
        let threads: Vec<_> = numbers
            .map(|number| spread.start(number, || std::thread::spawn(begin)))
            .collect();
        let is_bound = spread.now.is_some();
        spread.home();
        let own = now();
        anywhere.go();
        assert_eq!(now(), before);
        let mut places = Vec::new();
        for thread in threads {
            let (bound, free) = thread.join().expect("no panic");
            places.push(bound);
            assert_eq!(free, before);
        }
        if !is_bound {
            eprintln!("skipped in part: this system binds no thread to a processor");
            return;
        }
        assert!(places.contains(&own));
        let mut places = places.concat();
        places.sort_unstable();
        assert_eq!(places, before);
    }

    #[test]
    fn seats_are_kept_until_one_is_left() {
        let before = now();
        let mut spread = Spread::new();
        let seats = Seats::new(before.len(), &spread);
        let (seated, left) = (Barrier::new(before.len()), Barrier::new(before.len()));
        let sit = |is_first: bool| {
            seats.take();
            let place = now();
            seated.wait();
            if is_first {
                seats.leave();
            }
            left.wait();
            (place, now())
        };
        let (is_bound, ends) = std::thread::scope(|scope| {
            let others: Vec<_> = (1..before.len() as u32)
                .map(|number| spread.start(number, || scope.spawn(|| sit(false))))
                .collect();
            let is_bound = spread.now.is_some();
            spread.home();
            let mut ends = vec![sit(true)];
            ends.extend(others.into_iter().map(|end| end.join().expect("no panic")));
            (is_bound, ends)
        });
        let (places, free): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        assert!(free.iter().all(|free| *free == before));
        if !is_bound {
            eprintln!("skipped in part: one processor, or a system that binds no thread to it");
            return;
        }
        let mut places = places.concat();
        places.sort_unstable();
        assert_eq!(places, before);
    }

    #[test]
    fn fewer_threads_than_processors_or_more_have_no_seats() {
        let before = now();
        for threads in [1, before.len() + 1] {
            let mut spread = Spread::new();
            let seats = Seats::new(threads, &spread);
            spread.go(spread.home);
            seats.take();
            assert_eq!(now(), before);
            seats.leave();
        }
    }
}
