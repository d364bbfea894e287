//! Where threads begin.

/// Moves this thread to another processor than those of other numbers; from there it is free to move.
///
/// Threads that begin in the same moment are often put onto the same processor, and share it until
/// the system notices: some twenty milliseconds, in which a thousand containers could have lived.
/// It is a hint: where it is refused, the system's own choice holds.
pub(crate) fn spread(number: u32) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let Ok(allowed) = sched_getaffinity(None) else {
            return;
        };
        let mut processors = (0..CpuSet::MAX_CPU).filter(|at| allowed.is_set(*at));
        // Programs that run beside this one do not all begin with the first.
        let nth = (u64::from(std::process::id()) + u64::from(number)) % u64::from(allowed.count());
        let Some(own) = processors.nth(nth as usize) else {
            return;
        };
        let mut only = CpuSet::new();
        only.set(own);
        if sched_setaffinity(None, &only).is_ok() {
            let _ = sched_setaffinity(None, &allowed);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = number;
}
