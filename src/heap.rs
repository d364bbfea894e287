//! Memory that is done with, back to the system: with `kernel` and `segment/map`, the only unsafe
//! code of the crate.
#![allow(unsafe_code)]

/// Has the allocator give back what is free.
///
/// It keeps what an import or a long workflow took for the next one otherwise, and the phases would
/// take theirs on top.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, by any thread, and frees nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
