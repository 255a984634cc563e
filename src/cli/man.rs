//! `edgepurge man`: the manual pages, one for each command and one of the configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};

use super::{Cli, Failure};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Where the pages are written; made if it is not there.
    directory: PathBuf,
}

pub(super) fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .and_then(|()| std::fs::write(directory.join("edgepurge.toml.5"), config::manual()))
        .map_err(|error| {
            Failure::failed(format!(
                "the manual pages can't be written to {}: {error}",
                directory.display()
            ))
        })?;
    Ok(ExitCode::SUCCESS)
}
