//! `edgepurge completions`: what a shell needs to complete the command line. The shell runs the program for
//! each completion, so that names of pipelines are those of the configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::{CONFIG, CONFIG_VARIABLE, Cli, Failure, option_of, output};
use crate::config::{Config, Environment};

/// Where it is set, the program is run by a shell that completes.
const VARIABLE: &str = "EDGEPURGE_COMPLETE";

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let completer = shells
        .completer(&shell)
        .ok_or_else(|| Failure::usage(format!("{shell} can't be completed for")))?;
    // First into memory: a reader that goes away early is no reason to panic.
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "edgepurge", "edgepurge", "edgepurge", &mut script)
        .map_err(|error| Failure::failed(format!("the script can't be made: {error}")))?;
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Completes a command line and ends, where a shell asks for that; else does nothing.
pub(super) fn answer() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// The names of the pipelines, for an argument that takes one.
pub(super) fn pipelines() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let environment = Environment::of_process();
        // With a configuration that can't be read, nothing is offered.
        let config = Config::load(&config_file(&environment), &environment);
        let pipelines = config.map(|config| config.pipelines).unwrap_or_default();
        let names = pipelines.into_iter().map(|one| one.name);
        names.map(CompletionCandidate::new).collect()
    })
}

/// The configuration that the line to be completed names, or the environment.
fn config_file(environment: &Environment) -> PathBuf {
    option_of(std::env::args_os(), "--config")
        .map(PathBuf::from)
        .or_else(|| environment.get(CONFIG_VARIABLE).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(CONFIG))
}
