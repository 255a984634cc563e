//! A node of the demo: a web server's copy of the site, and the process of the edgepurge beside it, which is started
//! again some time after it has ended.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::{Failure, site};
use crate::supervise::Fault;

/// How long a process that has ended is away: long enough for another node to lead meanwhile.
pub(super) const AWAY: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// The directory of all that is its own.
    pub(super) home: PathBuf,
    /// Its copy of the site.
    pub(super) root: PathBuf,
    pub(super) config: PathBuf,
}

/// What becomes of a node's process.
#[derive(Debug)]
pub(super) enum News {
    Started(u32),
    /// A line of its log.
    Logged(String),
    Ended(ExitStatus),
}

impl Node {
    /// The directory of a node, below the demo's.
    pub(super) fn home(demo: &Path, number: u8) -> PathBuf {
        demo.join(format!("web-{number}"))
    }

    /// Makes one with a copy of a site; the first has the site itself.
    pub(super) fn make(demo: &Path, number: u8, site: &Path) -> Result<Self, Failure> {
        let home = Self::home(demo, number);
        let root = match number {
            1 => site.to_owned(),
            _ => home.join("site"),
        };
        std::fs::create_dir_all(&home)
            .and_then(|()| match number {
                1 => Ok(()),
                _ => site::copy(site, &root),
            })
            .map_err(|error| {
                let from = site.display();
                Failure::failed(format!(
                    "{from} can't be copied to {}: {error}",
                    root.display()
                ))
            })?;
        Ok(Self {
            name: format!("web-{number}"),
            config: demo.join(format!("web-{number}.toml")),
            home,
            root,
        })
    }

    /// Runs the node's process, and starts it again when it has ended, until the demo ends. `tell` gets each
    /// piece of news of it.
    pub(super) async fn keep(
        self,
        tell: impl AsyncFn(News) + Send + Sync,
        stopping: CancellationToken,
    ) -> Result<(), Fault> {
        loop {
            let child = self.spawn().map_err(|error| Fault {
                task: self.name.clone(),
                message: format!("this program can't be run again: {error}"),
            })?;
            let ended = follow(child, &tell, &stopping).await;
            let Some(status) = ended.filter(|_| !stopping.is_cancelled()) else {
                return Ok(());
            };
            tell(News::Ended(status)).await;
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(AWAY) => {}
            }
        }
    }

    /// Its standard input ends with this process, whatever ends that, and it ends with its standard input.
    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .arg("--config")
            .arg(&self.config)
            .args(["--log-format", "json", "run", "--until-stdin-ends"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Reads the log of a process to its end, and asks it to end when the demo does.
async fn follow(
    mut child: Child,
    tell: &impl AsyncFn(News),
    stopping: &CancellationToken,
) -> Option<ExitStatus> {
    let pid = child.id()?;
    tell(News::Started(pid)).await;
    let mut lines = BufReader::new(child.stderr.take()?).lines();
    let mut asked = false;
    loop {
        tokio::select! {
            () = stopping.cancelled(), if !asked => {
                asked = true;
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
                // One that has ended by itself meanwhile is gone all the same.
                kill_process(pid, Signal::TERM).unwrap_or_default();
            }
            line = lines.next_line() => match line {
                Ok(Some(line)) => tell(News::Logged(line)).await,
                Ok(None) | Err(_) => return child.wait().await.ok(),
            },
        }
    }
}
