//! The orderings that readers of a pool rely on, each in one place, and the atomics they are for.
//!
//! Under the feature `model` the atomics are those of a model checker, which runs the code above
//! them in every order that the memory model allows (`model`).

#[cfg(feature = "model")]
pub(super) use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};
#[cfg(not(feature = "model"))]
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};

/// Of a commit word: who sees it sees the frame.
pub(super) const COMMIT: Ordering = Ordering::Release;
/// Around a descriptor: who sees it sees what came before it, and nothing after it comes first.
pub(super) const PUBLISH: Ordering = Ordering::Release;
/// Of a receipt, by the archive's writer: what it is for is in the archive.
pub(super) const WRITTEN: Ordering = Ordering::Release;
/// Of a receipt, by the worker that waits for it.
pub(super) const SEEN_WRITTEN: Ordering = Ordering::Acquire;

/// Gives the other side a moment.
pub(super) fn wait() {
    #[cfg(feature = "model")]
    loom::thread::yield_now();
    #[cfg(not(feature = "model"))]
    std::thread::sleep(std::time::Duration::from_micros(20));
}
