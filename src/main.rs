//! The binary: arguments, command, exit code; nothing else.

use std::process::ExitCode;

use edgepurge::cli::Cli;

fn main() -> ExitCode {
    edgepurge::supervise::end_at_a_panic();
    // The one crypto provider; an error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    Cli::of_process().main()
}
