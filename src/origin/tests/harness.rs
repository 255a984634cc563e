//! A site in a temporary directory, watched by a real origin, with a sink in memory.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::core::change::{FileFact, Kind, PipelineId, Seq};
use crate::lineage::{Beginning, Lineage};
use crate::origin::watch::WatchBackend;
use crate::origin::{
    Compare, FollowSymlinks, Index, Origin, OriginHandle, OriginSettings, OriginStatus, WatchMode,
};
use crate::sink::{FileChange, Sink, SinkError, SinkFuture};
use crate::supervise::{Faults, Supervisor};

/// Longer than anything takes on a loaded machine.
pub(super) const LIMIT: Duration = Duration::from_mins(1);

/// Remembers what is reported, and refuses on demand.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) changes: Mutex<Vec<(Seq, FileChange)>>,
    pub(super) refuse: AtomicBool,
    /// Commits, and then says that the process stops: a crash between the two commits.
    pub(super) crash: AtomicBool,
    pub(super) refused: AtomicU64,
    pub(super) scanning: Mutex<Vec<bool>>,
}

impl Sink for Recorder {
    fn files<'a>(
        &'a self,
        _: &'a PipelineId,
        changes: Vec<FileChange>,
    ) -> SinkFuture<'a, Option<Seq>> {
        Box::pin(async move {
            if self.refuse.load(Ordering::SeqCst) {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Err(SinkError::NotCommitted("disk full".into()));
            }
            let mut kept = self.changes.lock().unwrap();
            for change in changes {
                let seq = Seq(u64::try_from(kept.len()).unwrap() + 1);
                kept.push((seq, change));
            }
            if self.crash.load(Ordering::SeqCst) {
                return Err(SinkError::Stopping);
            }
            Ok(Some(Seq(u64::try_from(kept.len()).unwrap())))
        })
    }

    fn facts_after<'a>(
        &'a self,
        _: &'a PipelineId,
        origin: &'a str,
        after: Seq,
        limit: usize,
    ) -> SinkFuture<'a, Vec<(Seq, FileFact)>> {
        Box::pin(async move {
            let kept = self.changes.lock().unwrap();
            let facts = kept
                .iter()
                .filter(|(seq, change)| *seq > after && *change.origin == *origin)
                .map(|(seq, change)| {
                    let fact = FileFact {
                        origin: change.origin.clone(),
                        path: change.path.clone(),
                        hash: change.hash,
                        former: change.former,
                    };
                    (*seq, fact)
                });
            Ok(facts.take(limit).collect())
        })
    }

    fn scanning(&self, _: &PipelineId, running: bool) {
        self.scanning.lock().unwrap().push(running);
    }
}

/// One running origin; stopped when [`Site::stop`] is called.
pub(super) struct Running {
    supervisor: Supervisor,
    _faults: Faults,
    pub(super) handle: OriginHandle,
}

/// A site and everything around it.
pub(super) struct Site {
    dir: tempfile::TempDir,
    state: tempfile::TempDir,
    pub(super) settings: OriginSettings,
    pub(super) sink: Arc<Recorder>,
    pub(super) running: Option<Running>,
    barriers: u32,
}

/// A change in short.
pub(super) type Short = (Kind, String);

pub(super) fn new(path: &str) -> Short {
    (Kind::New, path.to_owned())
}

pub(super) fn changed(path: &str) -> Short {
    (Kind::Changed, path.to_owned())
}

pub(super) fn gone(path: &str) -> Short {
    (Kind::Gone, path.to_owned())
}

/// Waits until `condition` holds.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(LIMIT, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

impl Site {
    /// A site with one page, not yet watched.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("cookies")).unwrap();
        let settings = OriginSettings {
            pipeline: PipelineId::new("11111111-1111-4111-8111-111111111111"),
            name: "site".into(),
            root,
            compare: Compare::Content,
            watch: WatchMode::Auto,
            rescan: Duration::from_hours(1),
            write_wait: Duration::from_secs(30),
            gone_after: Duration::from_millis(300),
            max_loss_percent: 50,
            follow_symlinks: FollowSymlinks::Any,
            web_group: None,
            ignore: Vec::new(),
            cookies: state.path().join("cookies"),
            observer: None,
        };
        let site = Self {
            dir,
            state,
            settings,
            sink: Arc::default(),
            running: None,
            barriers: 0,
        };
        site.write("index.html", "home");
        site
    }

    /// The same, watched.
    pub(super) async fn watched() -> Self {
        let mut site = Self::new();
        site.start().await;
        site
    }

    pub(super) async fn start(&mut self) {
        self.start_with(None);
        self.armed().await;
    }

    /// Starts and does not wait; with another watch than the real one.
    pub(super) fn start_with(&mut self, backend: Option<Box<dyn WatchBackend>>) {
        let (supervisor, faults) = Supervisor::new();
        let index = Arc::new(Index::open(self.state.path(), &self.queue(), &[]).unwrap());
        let settings = self.settings.clone();
        let sink = Arc::clone(&self.sink) as Arc<dyn Sink>;
        let (clock, runtime) = (Clock::start(), tokio::runtime::Handle::current());
        let handle = match backend {
            None => Origin::start(settings, &index, sink, clock, &supervisor, runtime),
            Some(watch) => {
                Origin::start_with(watch, settings, &index, sink, clock, &supervisor, runtime)
            }
        };
        let handle = handle.unwrap();
        self.running = Some(Running {
            supervisor,
            _faults: faults,
            handle,
        });
    }

    pub(super) async fn armed(&self) {
        until("the origin is armed and read", || {
            let status = self.status();
            status.armed && status.unread_files == 0
        })
        .await;
    }

    pub(super) async fn stop(&mut self) {
        self.running.take().unwrap().supervisor.stop().await;
    }

    pub(super) fn handle(&self) -> &OriginHandle {
        &self.running.as_ref().unwrap().handle
    }

    pub(super) fn status(&self) -> OriginStatus {
        self.handle().status()
    }

    pub(super) fn alarm(&self, reason: &str) -> bool {
        self.status()
            .alarms
            .iter()
            .any(|alarm| alarm.reason.as_str() == reason)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.settings.root.clone()
    }

    /// The directory that the root lies in.
    pub(super) fn outside(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.settings.root.join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs a shell script in the root.
    pub(super) fn sh(&self, script: &str) {
        let output = std::process::Command::new("sh")
            .args(["-ec", script])
            .current_dir(self.root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Everything reported so far, but the barriers.
    pub(super) fn reported(&self) -> Vec<Short> {
        let changes = self.sink.changes.lock().unwrap();
        changes
            .iter()
            .map(|(_, change)| (change.kind, String::from_utf8(change.path.clone()).unwrap()))
            .filter(|(_, path)| !path.starts_with("barrier"))
            .collect()
    }

    /// The index itself.
    pub(super) fn index(&self) -> rusqlite::Connection {
        let index = rusqlite::Connection::open(self.state.path().join("index.db")).unwrap();
        index.busy_timeout(LIMIT).unwrap();
        index
    }

    fn knows(&self, path: &str) -> bool {
        let changes = self.sink.changes.lock().unwrap();
        changes
            .iter()
            .any(|(_, change)| change.path == path.as_bytes())
    }

    /// The queue that the recorder stands for.
    fn queue(&self) -> Lineage {
        Lineage {
            epoch: "test".to_owned(),
            last: Seq(u64::try_from(self.sink.changes.lock().unwrap().len()).unwrap()),
            pruned: std::collections::BTreeMap::new(),
            beginning: Beginning::New,
        }
    }

    /// Waits until everything that happened so far was noticed by events alone. Two files are
    /// written one after the other: events come in order, and the second one's says that the first
    /// one's consequences are published.
    pub(super) async fn quiet(&mut self) {
        for _ in 0..2 {
            self.barriers += 1;
            let name = format!("barrier-{}.html", self.barriers);
            std::fs::write(self.path(&name), &name).unwrap();
            until("the barrier is seen", || self.knows(&name)).await;
        }
        self.rested().await;
    }

    /// Waits until nothing is left to be looked at.
    pub(super) async fn rested(&self) {
        until("nothing is left to look at", || {
            let status = self.status();
            status.pending_hints == 0 && !status.scanning
        })
        .await;
    }

    /// What was reported since the last call, in order of paths, once everything is noticed.
    pub(super) async fn news(&mut self) -> Vec<Short> {
        self.quiet().await;
        self.take()
    }

    /// What was reported since the last call, in order of paths.
    pub(super) fn take(&self) -> Vec<Short> {
        let mut reported = self.reported();
        reported.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        let mut changes = self.sink.changes.lock().unwrap();
        // The sequence goes on, so nothing is removed; what was taken gets a name of its own.
        for (_, change) in changes.iter_mut() {
            if !change.path.starts_with(b"barrier") {
                change.path = [b"barrier ", change.path.as_slice()].concat();
            }
        }
        reported
    }
}
