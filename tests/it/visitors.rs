//! What a visitor sees: the real process, an edge that keeps 404s and 403s too, deploys of every style,
//! kills, and visitors who ask all the time, also for what is not there yet. Whenever `wait` returns, every
//! URL at the edge is what the origin has, and nothing was purged that needed no purge.
//!
//! `VISITORS_SECONDS=600` for longer, `VISITORS_SEED=k` for the same choices again,
//! `VISITORS_STYLES=rsync,refill` for some styles only. The steps are printed where it fails.

mod ledger;
mod pages;
mod street;
mod styles;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{Mount, Reads, WebServer};

use self::ledger::Ledger;
use self::pages::{Pages, Tree};
use self::street::Street;
use self::styles::{Act, Between, Phase, STYLES, Style};
use crate::bench::{Bench, PIPELINE};
use crate::reported;

/// How long it runs, unless said otherwise.
const SECONDS: u64 = 20;
/// How long what is absent has to be so to be gone.
const GONE_AFTER: Duration = Duration::from_secs(2);
/// Longer than it takes to see that files are absent, and that they stay so.
const HOLE: Duration = Duration::from_millis(5_500);
/// The same where no event comes.
const SILENT_HOLE: Duration = Duration::from_secs(7);

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().ok().unwrap_or_else(|| panic!("{name}={text}")))
}

/// How a deploy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    /// By `edgepurge deploy`.
    Deploy,
    /// The daemon is killed on the way.
    Killed,
}

struct World {
    rng: fastrand::Rng,
    pages: Pages,
    ledger: Ledger,
    street: Street,
    /// Files that a program holds open.
    open: Vec<fs::File>,
    bench: Bench,
    steps: u32,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut bench = Bench::new().await;
        // What is tried here is noticing, not the rate, and a purge of everything would hide a lot.
        "requests_per_second = 200\nburst = 200\nmax_in_flight = 100"
            .clone_into(&mut bench.scaleway);
        "debounce = \"200ms\"\nall_above = \"never\"\nall_after = \"never\"\nencoding = \"canonical\""
            .clone_into(&mut bench.pipeline);
        bench.origin = format!(
            "gone_after = \"{}ms\"\nwrite_wait = \"2s\"",
            GONE_AFTER.as_millis()
        );
        "info".clone_into(&mut bench.log_level);
        let pipeline = PipelineId::new(PIPELINE);
        let mounts = vec![Mount {
            url_prefix: "/".to_owned(),
            root: bench.site(),
        }];
        let reads = Reads::Public;
        let servers = vec![WebServer { mounts, reads }];
        bench.sandbox.set_servers(&pipeline, servers);
        let mut rng = fastrand::Rng::with_seed(seed);
        let pages = Pages::new(&mut rng);
        pages::write(&bench.site(), &pages.tree);
        bench.start().await;
        let edge = bench.sandbox.edge_url(&pipeline).unwrap();
        let street = Street::open(edge, seed);
        street.know(pages.names()).await;
        Self {
            rng,
            pages,
            ledger: Ledger::default(),
            street,
            open: Vec::new(),
            bench,
            steps: 0,
        }
    }

    /// One deploy.
    async fn deploy(&mut self, style: &Style) {
        self.open.clear();
        self.steps += 1;
        let before = self.pages.tree.clone();
        let after = self.pages.next(style.change, &mut self.rng);
        let way = match (style.act, self.rng.u32(0..100)) {
            (Act::Script(_), 0..=19) => Way::Deploy,
            (Act::Script(_), 20..=54) => Way::Killed,
            _ => Way::Plain,
        };
        println!(
            "step {}: {} {way:?}, {} files, then {}",
            self.steps,
            style.name,
            before.len(),
            after.len()
        );
        for path in pages::differing(&before, &after) {
            println!("  {path}: {:?}", after.get(&path));
        }
        self.street.know(after.keys().cloned().collect()).await;
        self.prepare(&before, &after);
        if style.between == Between::Pieces {
            // A file that is in pieces for a moment, and ends as it was, looks like one that never
            // changed: what came to the edge meanwhile is no fault of the daemon.
            let same = after
                .iter()
                .filter(|(path, text)| before.get(*path) == Some(text));
            let same = same.map(|(path, _)| path.clone()).collect();
            self.street.avoid(same).await;
        }
        if style.between == Between::Nothing {
            // Of so few it is believed that they are gone.
            let times = if before.len() > 20 { 1 } else { 2 };
            self.ledger.changes(before.keys(), times);
        }
        match style.act {
            Act::Script(phases) => {
                let changed = pages::differing(&before, &after);
                self.ledger.changes(changed.iter(), 1);
                self.script(phases, way).await;
            }
            Act::Special(special) => special(self, &before, &after).await,
        }
        let there = pages::read(&self.bench.site());
        let wrong = pages::differing(&there, &after);
        assert!(wrong.is_empty(), "{} did not deploy {wrong:?}", style.name);
        self.pages.tree = after;
        self.street.avoid(Vec::new()).await;
    }

    /// What a script finds: the new tree in `next`, and lists of what differs.
    fn prepare(&self, before: &Tree, after: &Tree) {
        let next = self.bench.path("next");
        if next.exists() {
            fs::remove_dir_all(&next).unwrap();
        }
        pages::write(&next, after);
        let list = |name: &str, mut paths: Vec<String>| {
            // The last line ends too.
            paths.push(String::new());
            fs::write(self.bench.path(name), paths.join("\n")).unwrap();
        };
        let (gone, differ) = pages::differing(before, after)
            .into_iter()
            .partition(|path| !after.contains_key(path));
        list("gone", gone);
        list("differ", differ);
    }

    async fn script(&mut self, phases: &[Phase], way: Way) {
        let home = self.bench.path("");
        if way == Way::Deploy {
            let whole: Vec<String> = phases.iter().map(Phase::shell).collect();
            return self.by_deploy(&whole.join("\n")).await;
        }
        let misses = phases.iter().any(|phase| matches!(phase, Phase::Hole(_)));
        if way == Way::Plain || misses {
            // A daemon that is down while files are missing can not know of it: it dies later.
            let mut kills = way == Way::Killed;
            for phase in phases {
                match phase {
                    Phase::Run(script) => run(&home, self.steps, script).await,
                    Phase::Hole(time) => tokio::time::sleep(*time).await,
                }
                if matches!(phase, Phase::Hole(_)) && std::mem::take(&mut kills) {
                    println!("  killed in the hole");
                    self.ledger.kills += 1;
                    self.bench.kill().await;
                    self.bench.spawn();
                }
            }
            if way == Way::Killed {
                self.bench.started(|_| true).await;
            }
            return;
        }
        let [at, down] = [self.rng.u64(0..1_500), self.rng.u64(0..800)];
        println!("  killed after {at} ms for {down} ms");
        self.ledger.kills += 1;
        let Phase::Run(script) = phases[0] else {
            unreachable!("a script without a hole is one phase")
        };
        let killed = async {
            tokio::time::sleep(Duration::from_millis(at)).await;
            self.bench.kill().await;
            tokio::time::sleep(Duration::from_millis(down)).await;
            self.bench.start().await;
        };
        tokio::join!(run(&home, self.steps, script), killed);
    }

    async fn by_deploy(&self, script: &str) {
        let words = ["deploy", "www", "--", "/bin/sh", "-ec", script];
        let deploy = self
            .bench
            .command(&words)
            .envs(environment(self.steps))
            .current_dir(self.bench.path(""))
            .output()
            .await
            .unwrap();
        assert!(deploy.status.success(), "{script}: {deploy:?}");
        self.all_is_as_the_origin_has_it("after the deploy").await;
    }

    /// Waits as a deploy script does, then looks at everything.
    async fn rest(&mut self) {
        println!("  rest");
        let waited = self.bench.run(&["wait", "www", "--timeout", "50s"]).await;
        assert!(waited.status.success(), "{waited:?}");
        let status = self.bench.status().await;
        assert!(reported::fresh(&status), "after `wait`: {status}");
        self.all_is_as_the_origin_has_it("at rest").await;
        self.ledger.settle(&self.bench.requests());
        self.pages.rested();
        self.street.forget(&self.pages).await;
    }

    async fn all_is_as_the_origin_has_it(&self, when: &str) {
        let stale = self.street.stale().await;
        assert!(
            stale.is_empty(),
            "{when}, {} URLs are stale at the edge: {stale:#?}",
            stale.len()
        );
    }
}

fn environment(steps: u32) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = ["AUTHOR", "COMMITTER"]
        .iter()
        .flat_map(|role| {
            let name = (format!("GIT_{role}_NAME"), "t".to_owned());
            [
                name,
                (format!("GIT_{role}_EMAIL"), "t@example.com".to_owned()),
            ]
        })
        .collect();
    environment.push(("n".to_owned(), steps.to_string()));
    environment.push(("PATH".to_owned(), std::env::var("PATH").unwrap()));
    environment
}

async fn run(home: &PathBuf, steps: u32, script: &str) {
    let output = tokio::process::Command::new("/bin/sh")
        .args(["-ec", script])
        .envs(environment(steps))
        .current_dir(home)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

/// The styles that are asked for and that this machine can do.
fn chosen() -> Vec<&'static Style> {
    let wanted = std::env::var("VISITORS_STYLES").ok();
    let wanted: Option<Vec<&str>> = wanted.as_deref().map(|text| text.split(',').collect());
    if let Some(wanted) = &wanted {
        for name in wanted {
            let known = STYLES.iter().any(|style| style.name == *name);
            assert!(known, "no style is called {name}");
        }
    }
    STYLES
        .iter()
        .filter(|style| {
            let asked = wanted.as_ref().is_none_or(|all| all.contains(&style.name));
            asked && style.possible()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_deploys_do_visitors_get_what_the_origin_has_and_nothing_needless_is_purged() {
    let seed = setting("VISITORS_SEED").unwrap_or(549_192);
    let limit = Duration::from_secs(setting("VISITORS_SECONDS").unwrap_or(SECONDS));
    println!("VISITORS_SEED={seed}");
    let styles = chosen();
    let mut world = World::new(seed).await;
    let began = Instant::now();
    let mut turn = Vec::new();
    while began.elapsed() < limit {
        if turn.is_empty() {
            turn.clone_from(&styles);
            world.rng.shuffle(&mut turn);
        }
        let Some(style) = turn.pop() else { return };
        world.deploy(style).await;
        if style.rests || world.rng.u32(0..10) < 6 {
            world.rest().await;
        }
    }
    world.rest().await;
    let (purged, needed) = world.ledger.totals();
    // Not `println!`, which the test harness swallows where a test passes.
    writeln!(
        std::io::stderr(),
        "visitors: seed {seed}, {} deploys, {} kills, {} visits; {purged} purges where {needed} were \
         needed: {:.2}",
        world.steps,
        world.ledger.killed(),
        world.street.visits(),
        f64::from(purged) / f64::from(needed.max(1))
    )
    .unwrap();
}
