//! Where threads begin.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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

    /// The caller goes to its own processor, if it was at others; it is free to move then.
    pub(crate) fn home(mut self) {
        if self.now.is_some() {
            self.go(self.home);
            self.anywhere.go();
        }
    }

    /// What a started thread goes to first: it is free to move then.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_begin_apart_and_nobody_stays_bound() {
        let now = || Anywhere(sched_getaffinity(None).expect("known"));
        let before: Vec<usize> = now().processors().collect();
        let mut spread = Spread::new();
        let anywhere = spread.anywhere();
        let begin = move || {
            let bound: Vec<usize> = now().processors().collect();
            anywhere.go();
            (bound, now().processors().collect::<Vec<_>>())
        };
        let numbers = 1..=before.len() as u32;
        let threads: Vec<_> = numbers
            .map(|number| spread.start(number, || std::thread::spawn(begin)))
            .collect();
        let is_bound = spread.now.is_some();
        spread.home();
        assert_eq!(now().processors().collect::<Vec<_>>(), before);
        let mut places = Vec::new();
        for thread in threads {
            let (bound, free) = thread.join().expect("no panic");
            places.extend(bound);
            assert_eq!(free, before);
        }
        if !is_bound {
            eprintln!("skipped in part: this system binds no thread to a processor");
            return;
        }
        places.sort_unstable();
        assert_eq!(places, before);
    }
}
