//! A real origin and its index, and a store that two nodes share.

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::*;
use crate::core::change::{FileFact, Kind, NewChange, Source, Target};
use crate::core::lease::NodeId;
use crate::origin::{Compare as CompareBy, FollowSymlinks, Origin, OriginSettings, WatchMode};
use crate::sink::{FileChange, Sink, SinkFuture};
use crate::store::InlineDatabase;

/// Commits what an origin found, and answers when it may.
struct Held {
    store: Arc<Store>,
    may: Semaphore,
}

impl Sink for Held {
    fn files<'a>(
        &'a self,
        pipeline: &'a PipelineId,
        changes: Vec<FileChange>,
    ) -> SinkFuture<'a, Option<Seq>> {
        let rows = changes.into_iter().map(|change| NewChange {
            pipeline: pipeline.clone(),
            target: Target::All,
            kind: change.kind,
            source: change.source,
            detail: change.detail,
            file: Some(FileFact {
                origin: change.origin,
                path: change.path,
                hash: change.hash,
                former: change.former,
            }),
            seen: change.seen,
        });
        let rows = rows.collect();
        Box::pin(async move {
            let appended = self.store.append(rows).await?;
            self.may.acquire().await.unwrap().forget();
            Ok(Some(appended.last))
        })
    }

    fn facts_after<'a>(
        &'a self,
        _: &'a PipelineId,
        _: &'a str,
        _: Seq,
        _: usize,
    ) -> SinkFuture<'a, Vec<(Seq, FileFact)>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn scanning(&self, _: &PipelineId, _: bool) {}
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

struct Bench {
    home: tempfile::TempDir,
    pipeline: PipelineId,
    sink: Arc<Held>,
    store: Arc<Store>,
    other: Store,
    origin: OriginHandle,
    index: Arc<Index>,
    supervisor: Supervisor,
}

impl Bench {
    /// A node with one file, which is known; and another one.
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (root, state) = (home.path().join("root"), home.path().join("state"));
        for directory in [&root, &state, &state.join("cookies")] {
            std::fs::create_dir(directory).unwrap();
        }
        std::fs::write(root.join("a.css"), "old").unwrap();
        let database = InlineDatabase::new().unwrap();
        let store = Arc::new(database.open_as(NodeId(1)).unwrap());
        let index = Arc::new(Index::open(&state, store.lineage(), &[]).unwrap());
        let sink = Arc::new(Held {
            store: Arc::clone(&store),
            may: Semaphore::new(0),
        });
        let pipeline = PipelineId::new("www");
        let settings = OriginSettings {
            pipeline: pipeline.clone(),
            name: "site".into(),
            root,
            compare: CompareBy::Content,
            watch: WatchMode::Auto,
            rescan: Duration::from_hours(1),
            write_wait: Duration::from_secs(30),
            gone_after: Duration::from_millis(300),
            max_loss_percent: 50,
            follow_symlinks: FollowSymlinks::Any,
            web_group: None,
            ignore: Vec::new(),
            cookies: state.join("cookies"),
            observer: None,
        };
        let (supervisor, _faults) = Supervisor::new();
        let taker = Arc::clone(&sink) as Arc<dyn Sink>;
        let clock = Clock::start();
        let origin = Origin::start(
            settings,
            &index,
            taker,
            clock,
            &supervisor,
            Handle::current(),
        );
        let origin = origin.unwrap();
        until("the origin is armed and read", async || {
            let status = origin.status();
            status.armed && status.unread_files == 0
        })
        .await;
        Self {
            home,
            pipeline,
            sink,
            store,
            other: database.open_as(NodeId(2)).unwrap(),
            origin,
            index,
            supervisor,
        }
    }

    fn job(&self) -> Compare {
        let directories = BTreeMap::from([("site".into(), self.origin.clone())]);
        let member = Member::new(Duration::from_mins(30), directories);
        Compare::new(
            (&self.store, &self.index),
            Agreements::default(),
            watch::channel(Vec::new()).1,
            BTreeMap::from([(self.pipeline.clone(), member)]),
            Clock::start(),
        )
    }

    fn write(&self, content: &str) {
        std::fs::write(self.home.path().join("root/a.css"), content).unwrap();
    }

    /// The other node has this in the file.
    async fn other_has(&self, content: &str) {
        let change = NewChange {
            pipeline: self.pipeline.clone(),
            target: Target::All,
            kind: Kind::Changed,
            source: Source::Watch,
            detail: "".into(),
            file: Some(FileFact {
                origin: "site".into(),
                path: b"a.css".to_vec(),
                hash: Some(*blake3::hash(content.as_bytes()).as_bytes()),
                former: None,
            }),
            seen: Time::ZERO,
        };
        self.other.append(vec![change]).await.unwrap();
    }

    /// What this node says that it has not got.
    async fn lagging(&self) -> Vec<u64> {
        let members = self.store.members().await.unwrap();
        let lagging = members.iter().flat_map(|one| &one.compared.lagging);
        lagging.map(|seq| seq.0).collect()
    }

    async fn says(&self, job: &mut Compare, lagging: &[u64], agreed: u64) {
        until("the node says so", async || {
            job.turn().await.unwrap();
            let members = self.store.members().await.unwrap();
            let far = members.iter().any(|one| one.compared.agreed >= Seq(agreed));
            far && self.lagging().await == lagging
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_change_that_the_index_takes_over_late_settles_what_waits_for_it() {
    let bench = Bench::new().await;
    let mut job = bench.job();
    bench.says(&mut job, &[], 0).await;
    bench.write("new");
    until("the change is in the store", async || {
        let page = bench.store.facts_of_all_after(Seq(0), 9).await.unwrap();
        page.last == Seq(1)
    })
    .await;
    bench.other_has("new").await;
    // Both are read, and the row in the index is the old one.
    bench.says(&mut job, &[2], 2).await;
    bench.sink.may.add_permits(1);
    bench.says(&mut job, &[], 2).await;
    bench.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_later_is_waited_for_until_it_is_in_the_index() {
    let bench = Bench::new().await;
    bench.sink.may.add_permits(9);
    let mut job = bench.job();
    bench.other_has("new").await;
    bench.says(&mut job, &[1], 1).await;
    bench.write("new");
    bench.says(&mut job, &[], 1).await;
    bench.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_files_are_not_in_view_takes_back_what_it_said() {
    let bench = Bench::new().await;
    let mut job = bench.job();
    bench.says(&mut job, &[], 0).await;
    let root = bench.home.path().join("root");
    std::fs::rename(&root, root.with_extension("away")).unwrap();
    until("it is not to be waited for", async || {
        job.turn().await.unwrap();
        bench.store.members().await.unwrap().is_empty()
    })
    .await;
    std::fs::rename(root.with_extension("away"), &root).unwrap();
    bench.says(&mut job, &[], 0).await;
    bench.supervisor.stop().await;
}
