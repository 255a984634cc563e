//! Logs: to stderr as text or JSON, or to the journal.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use journal::Journal;

mod journal;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// To the journal when stderr is connected to it, else text.
    #[default]
    Auto,
    /// Lines for people, to stderr.
    Text,
    /// A JSON object a line, to stderr.
    Json,
    /// To the journal, with fields.
    Journald,
}

/// Whether stderr is connected to the journal, which `JOURNAL_STREAM` names by device and inode.
#[must_use]
pub fn stderr_is_journal(stream: Option<&str>) -> bool {
    let named = stream.and_then(|stream| stream.split_once(':'));
    let (Some((device, inode)), Ok(stderr)) = (named, rustix::fs::fstat(io::stderr())) else {
        return false;
    };
    device.parse() == Ok(stderr.st_dev) && inode.parse() == Ok(stderr.st_ino)
}

/// Starts logging. `level` is a word (`info`) or a filter (`edgepurge=debug,hyper=warn`).
///
/// # Errors
/// When the filter can't be read, or the journal is asked for and not there.
pub fn start(format: LogFormat, level: &str, color: bool, journal: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| anyhow::anyhow!("--log-level {level}: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let stderr = || {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_target(false)
    };
    match format {
        LogFormat::Json => registry.with(stderr().json()).try_init()?,
        LogFormat::Journald => registry.with(Journal::connect()?).try_init()?,
        LogFormat::Auto if journal => match Journal::connect() {
            Ok(journal) => registry.with(journal).try_init()?,
            Err(_) => registry.with(stderr().with_ansi(false)).try_init()?,
        },
        LogFormat::Auto | LogFormat::Text => registry.with(stderr().with_ansi(color)).try_init()?,
    }
    Ok(())
}
