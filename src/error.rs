//! The one error of the library: what failed, where, and what to change.

use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why admf could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What was being done, as in "open" or "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The workflow file is wrong.
    #[error("{path}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Config {
        /// The YAML file.
        path: PathBuf,
        /// Line in it, from 1, where known.
        line: Option<u64>,
        /// Names the key, what was expected and what to do.
        message: String,
    },
    /// A data file is wrong.
    #[error("{path}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Data {
        /// The data file.
        path: PathBuf,
        /// Line (CSV) or row (Parquet, bars) in it, from 1, where known.
        line: Option<u64>,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A trace, archive or bars file is damaged or of another version.
    #[error("{path}: at byte {offset}: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        message: String,
    },
    /// The run does not fit its budget.
    #[error("{message}")]
    Plan {
        /// Figures, and what to change.
        message: String,
    },
    /// The results directory does not allow this run.
    #[error("{path}: {message}")]
    Results {
        /// The directory or file.
        path: PathBuf,
        /// What is there and what to do.
        message: String,
    },
    /// The command line asks for something that does not exist.
    #[error("{message}")]
    Usage {
        /// What was expected and what to do.
        message: String,
    },
    /// No result meets what the workflow asks of it.
    #[error("{message}")]
    Unmet {
        /// The phase, what is asked and how many miss it, and what to change.
        message: String,
    },
    /// The run was interrupted; what was finished is kept.
    #[error("interrupted: {finished} containers are finished and kept; run again to continue")]
    Interrupted {
        /// Finished containers.
        finished: u64,
    },
}

impl Error {
    /// An [`Error::Io`] from a system error, for use in `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    }
}
