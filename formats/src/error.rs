//! Errors of decoding: what was wrong, and where.

use crate::event::EventKind;

/// Why bytes could not be understood.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a payload of this kind.
    #[error("{bytes} bytes are no payload of {}, which has {}", kind.name(), kind.payload_bytes())]
    Payload {
        /// The kind that the frame named.
        kind: EventKind,
        /// How many bytes there were.
        bytes: usize,
    },
    /// The bytes are not a result record.
    #[error("{bytes} bytes are no result record")]
    Result {
        /// How many bytes there were.
        bytes: usize,
    },
}
