//! Entry point: passes the arguments to the library and returns its exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    davinci_siem::cli::run(std::env::args_os())
}
