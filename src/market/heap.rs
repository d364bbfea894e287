//! Memory that an import is done with, back to the system: with `kernel` and `segment/map`, the only
//! unsafe code of the crate.
#![allow(unsafe_code)]

/// Has the allocator give back what is free.
///
/// It keeps pages of megabytes for the next ones otherwise, and the phases after an import would
/// take theirs on top.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, by any thread, and frees nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
