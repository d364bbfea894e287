//! What `admf-tools` does, as a library: files in, values and faults out. No file that is read is
//! ever changed.
#![forbid(unsafe_code)]

pub mod archive;
pub mod bytes;
pub mod decode;
pub mod export;
pub mod fault;
pub mod files;
pub mod line;
pub mod pool;
pub mod recover;
pub mod verify;
