//! What is done with an input of each target: nothing may panic, hang or take more than [`CAP`].
//!
//! Random bytes never get past a checksum. Inputs for pools and archives are therefore edits of a
//! golden file, eight bytes each ([`edit`]), after which its checksums are made right again: what
//! is tried is whatever a writer that has gone mad, or an attacker, could write.
#![allow(dead_code, reason = "a target uses one of them")]

pub(crate) mod archive;
pub(crate) mod checkpoint;
mod edit;
pub(crate) mod pool;
pub(crate) mod ring;
pub(crate) mod text;

use std::alloc::System;

/// Bytes that may be allocated at once, golden file and input included.
pub(crate) const CAP: usize = 64 << 20;

/// Whoever allocates more is aborted: a finding.
#[global_allocator]
static ALLOCATOR: cap::Cap<System> = cap::Cap::new(System, CAP);
