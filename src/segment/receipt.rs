//! What the archive writer has written of what one worker handed over.
//!
//! Frames on their way to the archive stay readable in the pool until they are written there, so
//! that a kill between the two loses none of them. A segment therefore goes back to its pool when
//! the receipt of its frames has come back.

use super::order::{Arc, AtomicU64, Ordering, SEEN_WRITTEN, WRITTEN};

/// How frames are handed over. Each way has its own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A full segment of a container that goes on.
    Chunk,
    /// Finished containers.
    Batch,
}

#[derive(Debug, Default)]
struct Counters {
    sent: [AtomicU64; 2],
    written: [AtomicU64; 2],
}

/// The receipts of one worker.
#[derive(Clone, Debug, Default)]
pub struct Receipts(Arc<Counters>);

/// Goes with a message to the writer. It comes back when the message is written, or was thrown
/// away because the writer failed: nobody waits for a writer that is gone.
#[derive(Debug)]
pub struct Receipt(Arc<Counters>, Way);

/// A place in the order of what was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(Way, u64);

impl Receipts {
    pub(super) fn send(&self, way: Way) -> Receipt {
        self.0.sent[way as usize].fetch_add(1, Ordering::Relaxed);
        Receipt(Arc::clone(&self.0), way)
    }

    /// The message that was sent last.
    pub(super) fn last(&self, way: Way) -> Ticket {
        Ticket(way, self.0.sent[way as usize].load(Ordering::Relaxed))
    }

    /// The message that will be sent next.
    pub(super) fn next(&self, way: Way) -> Ticket {
        Ticket(way, self.last(way).1 + 1)
    }

    pub(super) fn is_written(&self, ticket: Ticket) -> bool {
        self.0.written[ticket.0 as usize].load(SEEN_WRITTEN) >= ticket.1
    }

    /// Whether waiting for it can end: it was sent.
    pub(super) fn is_sent(&self, ticket: Ticket) -> bool {
        self.last(ticket.0).1 >= ticket.1
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.0.written[self.1 as usize].fetch_add(1, WRITTEN);
    }
}
