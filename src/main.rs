//! The `admf` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    admf::cli::main()
}
