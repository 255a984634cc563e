//! The real binary as a process, with its simulated API inside, and what the system says it took.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::report::Usage;

const PIPELINE: &str = "11111111-1111-4111-8111-111111111111";
/// No wait takes longer than this.
const LIMIT: Duration = Duration::from_mins(30);
/// Often enough to time a start, seldom enough not to be what is timed.
pub(crate) const LOOK: Duration = Duration::from_millis(25);
/// The unit of CPU times in `/proc`: Linux shows them in this one everywhere.
const TICK: Duration = Duration::from_millis(10);
/// Whoever used next to no CPU for this long waits for nothing.
const QUIET: Duration = Duration::from_secs(3);

/// What a daemon is told, and where it keeps things. Outlives the daemon, so that it can be started
/// again.
pub(crate) struct Site {
    home: PathBuf,
}

impl Site {
    /// A directory.
    pub(crate) fn new(home: &Path, root: &Path) -> Self {
        Self::at(home, &format!("root = \"{}\"", root.display()))
    }

    /// Where these lines of the configuration say.
    pub(crate) fn at(home: &Path, place: &str) -> Self {
        let text = format!(
            "[scaleway]\napi_url = \"sandbox\"\n\
             [state]\ndirectory = \"{home}/state\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\nsocket = \"{home}/admin.sock\"\n\
             [[pipeline]]\nname = \"www\"\nid = \"{PIPELINE}\"\n\
             [[pipeline.origin]]\n{place}\n",
            home = home.display(),
        );
        fs::write(home.join("config.toml"), text).unwrap();
        Self {
            home: home.to_owned(),
        }
    }

    /// Files in its index, when it does not run: `status` counts them only now and then.
    pub(crate) fn indexed(&self) -> u64 {
        let index = rusqlite::Connection::open(self.home.join("state/index.db")).unwrap();
        let count = index.query_row("SELECT count(*) FROM file", [], |row| row.get::<_, i64>(0));
        count.unwrap().cast_unsigned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgepurge"));
        command
            .arg("--config")
            .arg(self.home.join("config.toml"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Daemon<'_> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .unwrap();
        let started = Instant::now();
        let child = self
            .command(&["run"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon {
            site: self,
            child,
            started,
        }
    }
}

/// A daemon that runs; it is killed when it is dropped.
pub(crate) struct Daemon<'a> {
    site: &'a Site,
    child: Child,
    started: Instant,
}

impl Daemon<'_> {
    /// What `status` says; nothing while it cannot answer.
    pub(crate) fn status(&mut self) -> Option<Value> {
        if let Some(status) = self.child.try_wait().unwrap() {
            let log = fs::read_to_string(self.site.home.join("log")).unwrap_or_default();
            panic!("the daemon ended with {status}:\n{log}");
        }
        let output: Output = self
            .site
            .command(&["--format", "json", "status"])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// What `status` says of the origin.
    pub(crate) fn origin(&mut self) -> Option<Value> {
        self.status()
            .map(|mut status| status["pipelines"][0]["origins"][0].take())
    }

    /// The assets of every purge request that reached the API; `*` for everything.
    pub(crate) fn requests(&self) -> Vec<Vec<String>> {
        let output = self
            .site
            .command(&["--format", "json", "requests", "list", "--all-pages"])
            .output()
            .unwrap();
        assert!(output.status.success(), "requests list: {output:?}");
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        let requests = list["purge_requests"].as_array().expect("a list");
        requests
            .iter()
            .map(|request| match request["assets"].as_array() {
                Some(assets) if !assets.is_empty() => assets
                    .iter()
                    .map(|asset| asset.as_str().unwrap().to_owned())
                    .collect(),
                _ => vec!["*".to_owned()],
            })
            .collect()
    }

    /// Waits until it watches and its first scan is done, and returns what that took.
    pub(crate) fn armed(&mut self) -> Usage {
        loop {
            if self.origin().is_some_and(|origin| origin["armed"] == true) {
                return Usage {
                    wall: self.started.elapsed(),
                    cpu: self.cpu(),
                    peak_kb: self.peak_kb(),
                };
            }
            self.look_again();
        }
    }

    /// Waits until nothing is pending and nothing is done any more, the reading after a first start
    /// and second looks at young files included. Returns when it first said so for good.
    pub(crate) fn settled(&mut self) -> Instant {
        let mut since = None;
        loop {
            let settled = self.status().is_some_and(|status| {
                let unread = &status["pipelines"][0]["origins"][0]["unread_files"];
                status["settled"] == true && *unread == 0
            });
            let (now, cpu) = (Instant::now(), self.cpu());
            since = since.filter(|_| settled);
            match since {
                None if settled => since = Some((now, now, cpu)),
                None => {}
                Some((first, quiet, before)) => {
                    // The questions themselves cost a little.
                    if cpu > before + 5 * TICK {
                        since = Some((first, now, cpu));
                    } else if now - quiet >= QUIET {
                        return first;
                    }
                }
            }
            std::thread::sleep(10 * LOOK);
            self.look_again();
        }
    }

    fn look_again(&self) {
        assert!(self.started.elapsed() < LIMIT, "waited in vain");
        std::thread::sleep(LOOK);
    }

    /// The CPU time it took so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(&self.child.id().to_string())
    }

    pub(crate) fn peak_kb(&self) -> u64 {
        peak_kb(&self.child.id().to_string()).expect("a line about the peak")
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "it stops in order: {status}");
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // After `stop` there is nobody left.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// The CPU time of a process, its threads included.
pub(crate) fn cpu(pid: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold anything, the last one of them ends it.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}

/// The most memory of a process that was resident, in kB; `None` when it has ended.
pub(crate) fn peak_kb(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line?.trim().trim_end_matches(" kB").parse().ok()
}
