//! The command line: arguments, and one file for each command.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::clock::Clock;
use crate::config::{Config, Environment, Pipeline, Problems};
use crate::daemon;
use crate::scaleway::Client;
use crate::telemetry::{self, LogFormat};

mod check;
mod client;
mod completions;
mod demo;
mod deploy;
mod drop;
mod explain;
mod failure;
mod init;
mod man;
mod moment;
mod node;
mod notify;
mod operate;
mod output;
mod owner;
mod progress;
mod purge;
mod requests;
mod run;
mod scan;
mod schema;
mod status;
mod style;
mod terminal;
mod wait;
mod way;

pub use failure::Failure;

/// The configuration, and the environment variable that names another.
const CONFIG: &str = "/etc/edgepurge/config.toml";
const CONFIG_VARIABLE: &str = "EDGEPURGE_CONFIG";

/// Threads that are at work when a command has ended are given so long.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// The help of `edgepurge`: its commands by what they are for. A test holds it against the commands.
const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

Set up:
  init         Write a commented configuration for this machine
  check        Validate the configuration; --online asks the API
  demo         Everything on this machine: edge, purge API, daemon and a site
  run          The daemon; --dry-run sends nothing

Look:
  status       How each pipeline stands, and what needs attention
  explain      Which rule matches a file, what would be purged, and why
  scan         Compare the origins with what is remembered of them
  wait         Wait until everything that changed before now is purged

Act:
  deploy       Hold purges back while COMMAND replaces the files, then purge
  purge        Purge assets, URLs or globs, or everything
  notify       Tell another machine's edgepurge of a deploy, by its webhook
  pause        Send nothing until resumed; changes still queue
  resume       End a pause
  retry        Queue again what is failed
  drop         Give up what is queued and failed
  node         The nodes that share a queue: list, forget

The API and the shell:
  requests     The purge-request API as it is: list, get, create
  completions  What a shell needs to complete this command line
  man          The manual pages
  schema       The JSON schema of the configuration, for editors
  help         This, or the help of a command

Options:
{options}{after-help}";

/// What most begin with.
const EXAMPLES: &str = "\
Examples:
  edgepurge demo                             try it on this machine
  edgepurge status                           is every site fresh, and if not, why
  edgepurge deploy www -- rsync -a build/ /srv/www/
  edgepurge explain /blog/                   what it is purged for, and when it was";

/// Keeps a Scaleway Edge Services cache fresh: watches the origin, purges exactly what changed,
/// tracks every purge to its end.
#[derive(Debug, Parser)]
#[command(
    name = "edgepurge",
    version,
    about,
    max_term_width = 100,
    help_template = TEMPLATE,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The configuration.
    #[arg(
        long,
        global = true,
        env = CONFIG_VARIABLE,
        value_name = "FILE",
        default_value = CONFIG
    )]
    config: PathBuf,
    /// How results are written to stdout: text, or json: one document with stable keys.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    format: Format,
    /// How logs are written to stderr: auto, text, json or journald; auto: to the journal under systemd, else text.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a filter like `edgepurge=debug`.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Whether colours are used: auto, always or never.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    color: Color,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on this machine: an embedded edge and purge API, and the daemon in front of DIR.
    Demo(demo::DemoArgs),
    /// The daemon. SIGHUP makes it read its configuration again.
    Run(run::RunArgs),
    /// Write a commented configuration for this machine, to the file that --config names.
    Init(init::InitArgs),
    /// Validate the configuration.
    Check(check::CheckArgs),
    /// Which rule matches a file, what would be purged, and why; the last purges of an asset.
    ///
    /// The mapping is the configuration file's; the history is the running daemon's, or is read from
    /// the state directory while none runs.
    Explain(explain::ExplainArgs),
    /// Purge assets, URLs or globs of a pipeline, or everything.
    Purge(purge::PurgeArgs),
    /// Compare the origins of a pipeline with what is remembered of them.
    Scan(scan::ScanArgs),
    /// Hold purges back while COMMAND replaces the files, then purge what changed in one batch.
    ///
    /// Exits as COMMAND did; 1 when it succeeded and a purge failed; 75 when it succeeded and not all
    /// was purged in time.
    Deploy(deploy::DeployArgs),
    /// Wait until everything that changed before now is noticed and settled.
    Wait(wait::WaitArgs),
    /// Tell another machine's edgepurge of a deploy, through a webhook route of kind generic.
    ///
    /// For CI jobs: takes the token from a file or `EDGEPURGE_TOKEN`, tries again until it is answered, and
    /// exits with 1 when a purge failed, 75 when not all was purged in time.
    Notify(notify::NotifyArgs),
    /// Send nothing for a pipeline until it is resumed; changes still queue.
    Pause(operate::PauseArgs),
    /// End a pause.
    Resume(operate::ResumeArgs),
    /// Queue again what is failed, and try now what waits after a failure.
    Retry(operate::RetryArgs),
    /// Give up what is queued and failed of a pipeline; asks twice.
    Drop(drop::DropArgs),
    /// What the daemon is doing, and what needs attention.
    Status(status::StatusArgs),
    /// The nodes that share a queue in a database.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// The purge-request API as it is.
    #[command(subcommand)]
    Requests(requests::RequestsCommand),
    /// Write what a shell needs to complete this command line to stdout.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages to a directory.
    Man(man::ManArgs),
    /// Write the JSON schema of the configuration, for editors, to stdout.
    Schema,
}

/// Threads of the runtime at most: what takes long has threads of its own.
const RUNTIME_THREADS: usize = 2;

impl Cli {
    /// Reads the command line; ends the process where it is wrong, or a shell only completes it.
    #[must_use]
    pub fn of_process() -> Self {
        completions::answer();
        // clap writes its help and its errors before there are parsed options.
        let words = std::env::args_os().take_while(|word| word != "--");
        let color = option_of(words, "--color").and_then(|word| word.into_string().ok());
        let color = color.and_then(|word| Color::from_str(&word, false).ok());
        style::choose(color.unwrap_or_default());
        Self::parse()
    }

    /// Runs the command, and says on stderr why it failed.
    #[must_use]
    pub fn main(self) -> ExitCode {
        match self.dispatch() {
            Ok(code) => code,
            Err(failure) => failure.report(),
        }
    }

    fn dispatch(self) -> Result<ExitCode, Failure> {
        let Self { global, command } = self;
        style::choose(global.color);
        global.start_logs(matches!(command, Command::Run(_)))?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // On a single core threads would only take turns, and wake each other for each task.
        let mut runtime = if cores == 1 {
            tokio::runtime::Builder::new_current_thread()
        } else {
            tokio::runtime::Builder::new_multi_thread()
        };
        let runtime = runtime
            .worker_threads(cores.min(RUNTIME_THREADS))
            .enable_all()
            .build()
            .map_err(|error| Failure::temporary(format!("the runtime does not start: {error}")))?;
        let result = runtime.block_on(async {
            match command {
                Command::Demo(args) => demo::demo(&global, args).await,
                Command::Run(args) => run::run(&global, &args).await,
                Command::Init(args) => init::init(&global, &args).await,
                Command::Check(args) => check::check(&global, &args).await,
                Command::Explain(args) => explain::explain(&global, args).await,
                Command::Purge(args) => purge::purge(&global, args).await,
                Command::Scan(args) => scan::scan(&global, args).await,
                Command::Deploy(args) => deploy::deploy(&global, args).await,
                Command::Wait(args) => wait::wait(&global, args).await,
                Command::Notify(args) => notify::notify(&global, args).await,
                Command::Pause(args) => operate::pause(&global, args).await,
                Command::Resume(args) => operate::resume(&global, args).await,
                Command::Retry(args) => operate::retry(&global, args).await,
                Command::Drop(args) => drop::drop_queue(&global, args).await,
                Command::Status(args) => status::status(&global, &args).await,
                Command::Node(command) => node::node(&global, command).await,
                Command::Requests(command) => requests::requests(&global, command).await,
                Command::Completions(args) => completions::completions(&args),
                Command::Man(args) => man::man(&args),
                Command::Schema => schema::schema(),
            }
        });
        // What looks at a filesystem that hangs is not waited for.
        runtime.shutdown_timeout(SHUTDOWN);
        result
    }
}

impl Global {
    /// The configuration, or everything that is wrong with it.
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config, &Environment::of_process())
            .map_err(|problems| Failure::config(problems.to_string()))
    }

    /// The daemon's socket. A file that has problems now, as a reload has found, keeps no command from a daemon that
    /// runs.
    fn socket(&self) -> Result<PathBuf, Failure> {
        let refused = |problems: &Problems| Failure::config(problems.to_string());
        let read = Config::load_socket(&self.config, &Environment::of_process());
        let (socket, problems) = read.map_err(|problems| refused(&problems))?;
        if let Some(problems) = problems {
            if UnixStream::connect(&socket).is_err() {
                return Err(refused(&problems));
            }
            output::to_stderr(&format!(
                "warning: the daemon goes on with the configuration of before, since this one has problems:\n{problems}\n"
            ));
        }
        Ok(socket)
    }

    /// The API itself, for commands that can do without a daemon.
    fn api(config: &Config) -> Result<Client, Failure> {
        let clock = Clock::start();
        daemon::client(config, &Environment::of_process(), None, None, clock)
            .map_err(|error| run::unstarted(&error))
    }

    /// The daemon logs what it does; a command only what goes wrong.
    fn start_logs(&self, daemon: bool) -> Result<(), Failure> {
        let level = self
            .log_level
            .as_deref()
            .unwrap_or(if daemon { "info" } else { "warn" });
        let color = style::on_stderr();
        let journal = telemetry::stderr_is_journal(Environment::of_process().get("JOURNAL_STREAM"));
        telemetry::start(self.log_format, level, color, journal)
            .map_err(|error| Failure::usage(format!("{error:#}")))
    }
}

/// The value of a global option among words that are not parsed.
fn option_of(mut words: impl Iterator<Item = OsString>, option: &str) -> Option<OsString> {
    while let Some(word) = words.next() {
        if word == option {
            return words.next();
        }
        let joined = word.to_str().and_then(|word| word.strip_prefix(option));
        if let Some(value) = joined.and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.into());
        }
    }
    None
}

/// The pipeline of this name or id.
fn named<'a>(config: &'a Config, name: &str) -> Result<&'a Pipeline, Failure> {
    let mut pipelines = config.pipelines.iter();
    pipelines
        .find(|one| one.name == name || one.id.as_str() == name)
        .ok_or_else(|| {
            let known: Vec<&str> = config
                .pipelines
                .iter()
                .map(|one| one.name.as_str())
                .collect();
            let known = known.join(", ");
            Failure::usage(format!(
                "there is no pipeline `{name}` in the config; there are: {known}"
            ))
        })
}

/// The pipelines whose `edge_url` has the host and port of this URL; none where it is no URL, or of none.
fn of_url<'a>(config: &'a Config, text: &str) -> Vec<&'a Pipeline> {
    let Ok(url) = url::Url::parse(text) else {
        return Vec::new();
    };
    let edge = |one: &Pipeline| {
        let verify = one.verify.as_ref()?;
        let edge = &verify.edge_url;
        Some((edge.host_str(), edge.port()) == (url.host_str(), url.port()))
    };
    let pipelines = config.pipelines.iter();
    pipelines.filter(|one| edge(one) == Some(true)).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_lists_each_command_once() {
        let listed = TEMPLATE.lines().filter_map(|line| line.strip_prefix("  "));
        let mut listed: Vec<&str> = listed.filter_map(|line| line.split(' ').next()).collect();
        listed.sort_unstable();
        let command = Cli::command();
        let mut commands: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        commands.push("help");
        commands.sort_unstable();
        assert_eq!(listed, commands);
    }
}
