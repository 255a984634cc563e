//! A bench: a site on disk, the simulated API and edge in this process, and the real `edgepurge`
//! binary as a process beside them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use edgepurge::clock::Clock;
use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{
    BucketSettings, PipelineSettings, PurgeStatus, PurgeTarget, Sandbox, SandboxSettings,
};
use edgepurge::supervise::Supervisor;
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub(crate) const PIPELINE: &str = "11111111-1111-4111-8111-111111111111";
/// Another one that the API knows; the configuration has it where a test puts it there.
pub(crate) const SHOP: &str = "88888888-8888-4888-8888-888888888888";
/// A bucket of the sandbox, with pages of 30 keys.
pub(crate) const BUCKET: &str = "my-site";
/// No wait in a test takes longer than this.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a script in the directory that the site is in; it has to succeed.
/// Who runs the tests, as the daemon names a user of its socket.
pub(crate) fn user() -> String {
    let output = std::process::Command::new("id").arg("-un").output();
    text(&output.unwrap().stdout).trim().to_owned()
}

pub(crate) fn sh(bench: &Bench, script: &str) {
    let output = std::process::Command::new("sh")
        .args(["-ec", script])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

/// Skips a test for want of something outside, loudly; where nothing may be skipped, it fails.
pub(crate) fn skip(why: &str) {
    say_skipped(why);
    assert!(
        std::env::var("EDGEPURGE_TEST_SKIPS_NONE").is_err(),
        "skipped, and nothing may be: {why}"
    );
}

/// The same for what only root may do; where it is known that nobody is root, that may be skipped.
pub(crate) fn skip_unprivileged(why: &str) {
    if std::env::var("EDGEPURGE_TEST_UNPRIVILEGED").is_ok() {
        say_skipped(why);
    } else {
        skip(why);
    }
}

pub(crate) fn say_skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    say(&format!("SKIPPED {test}: {why}"));
}

/// Says something also where the test passes, when the harness swallows `eprintln!`.
pub(crate) fn say(line: &str) {
    let told = writeln!(std::io::stderr(), "{line}");
    told.expect("stderr takes a line");
}

/// Waits until something is so.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(LIMIT, what, look).await
}

/// The same for what may take so long.
pub(crate) async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let waited = tokio::time::timeout(limit, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited {} s in vain: {what}", limit.as_secs()))
}

pub(crate) struct Bench {
    home: TempDir,
    pub(crate) sandbox: Sandbox,
    supervisor: Supervisor,
    daemon: Option<Child>,
    /// A program that runs the daemon, and its arguments.
    pub(crate) within: Vec<String>,
    pub(crate) log_level: String,
    /// Lines for `[scaleway]`, `[state]`, `[admin]`, and for `[[pipeline]]`.
    pub(crate) scaleway: String,
    pub(crate) state: String,
    pub(crate) admin: String,
    pub(crate) pipeline: String,
    /// Lines for `[[pipeline.origin]]`.
    pub(crate) origin: String,
    /// The lines that say where the origin is; left out: the directory of the site.
    pub(crate) place: Option<String>,
    /// Where the API is; left out: where the sandbox listens.
    pub(crate) api: Option<String>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with other settings of the sandbox.
    pub(crate) async fn with(change: impl FnOnce(&mut SandboxSettings)) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("site")).unwrap();
        let (supervisor, _faults) = Supervisor::new();
        let site = home.path().join("site");
        let mut settings = SandboxSettings::new(Clock::start());
        settings.purge_delay = Duration::from_millis(200);
        settings.pipelines = vec![
            PipelineSettings::new(PipelineId::new(PIPELINE), &site),
            PipelineSettings::new(PipelineId::new(SHOP), &home.path().join("shop")),
        ];
        let mut bucket = BucketSettings::new(BUCKET, "fr-par");
        bucket.page = 30;
        settings.buckets = vec![bucket];
        change(&mut settings);
        let sandbox = Sandbox::start(settings, &supervisor).await.unwrap();
        Self {
            home,
            sandbox,
            supervisor,
            daemon: None,
            within: Vec::new(),
            log_level: "debug,hyper=info,reqwest=info".to_owned(),
            scaleway: String::new(),
            state: String::new(),
            admin: String::new(),
            pipeline: String::new(),
            origin: String::new(),
            place: None,
            api: None,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn site(&self) -> PathBuf {
        self.path("site")
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.site().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        use secrecy::ExposeSecret as _;
        use std::os::unix::fs::PermissionsExt as _;
        let key = self.path("secret_key");
        fs::write(&key, self.sandbox.secret_key().expose_secret()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let root = || format!("root = \"{}/site\"", self.home.path().display());
        let text = format!(
            "[scaleway]\napi_url = \"{api}\"\nsecret_key_file = \"{key}\"\n{scaleway}\n\
             [state]\ndirectory = \"{home}/state\"\n{state}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\nsocket = \"{home}/admin.sock\"\n{admin}\n\
             [[pipeline]]\nname = \"www\"\nid = \"{PIPELINE}\"\n{pipeline}\n\
             [[pipeline.origin]]\n{place}\n{origin}\n",
            api = self.api.clone().unwrap_or_else(|| self.sandbox.api_url()),
            key = key.display(),
            scaleway = self.scaleway,
            state = self.state,
            admin = self.admin,
            home = self.home.path().display(),
            pipeline = self.pipeline,
            origin = self.origin,
            place = self.place.clone().unwrap_or_else(root),
        );
        let path = self.path("config.toml");
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_within(&[], arguments)
    }

    fn command_within(&self, within: &[String], arguments: &[&str]) -> Command {
        let mut words = within.iter().map(String::as_str).collect::<Vec<_>>();
        words.push(env!("CARGO_BIN_EXE_edgepurge"));
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg("--config")
            .arg(self.path("config.toml"))
            .args(arguments)
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        tokio::time::timeout(LIMIT, output)
            .await
            .expect("the command ends in time")
            .unwrap()
    }

    /// Runs a command that must succeed, and returns its JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut all = vec!["--format", "json"];
        all.extend_from_slice(arguments);
        let output = self.run(&all).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Starts the daemon and waits until it watches.
    pub(crate) async fn start(&mut self) {
        self.spawn();
        self.started(|origin| origin["unread_files"] == 0).await;
    }

    /// Starts the daemon.
    pub(crate) fn spawn(&mut self) {
        self.config();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = self
            .command_within(&self.within, &["--log-level", &self.log_level, "run"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
    }

    /// Waits until the daemon watches, and has come so far.
    pub(crate) async fn started(&mut self, so_far: impl Fn(&serde_json::Value) -> bool) {
        until("the daemon is ready", async || {
            if let Some(status) = self.daemon.as_mut().unwrap().try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{}", log_of(&self.home));
            }
            let output = self.run(&["--format", "json", "status"]).await;
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            let origin = &status["pipelines"][0]["origins"][0];
            (origin["armed"] == true && so_far(origin)).then_some(())
        })
        .await;
    }

    /// Processor time of the daemon so far, to 10 ms.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // Fields 14 and 15, in hundredths; the second may hold spaces, and ends with a parenthesis.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        let ticks = fields.skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Memory of the daemon that is resident, in kB.
    pub(crate) fn resident_kb(&self) -> u64 {
        self.of_system("status", "VmRSS:")
    }

    /// How often a thread of the daemon has gone to sleep so far.
    pub(crate) fn sleeps(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let threads = threads.map(|thread| thread.unwrap().file_name().into_string().unwrap());
        threads
            .map(|thread| {
                let status = format!("task/{thread}/status");
                self.of_system(&status, "voluntary_ctxt_switches:")
            })
            .sum()
    }

    /// A number that the system has of the daemon.
    fn of_system(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        let value = value.and_then(|value| value.split_whitespace().next());
        value.unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id().unwrap()
    }

    /// How the daemon ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.daemon.as_mut()?.try_wait().unwrap()
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().await.unwrap();
    }

    /// Writes the configuration as it is to be now, tells the daemon, and waits until it has said
    /// what it made of that.
    pub(crate) async fn reload(&mut self) {
        self.config();
        self.hangup("the configuration is reloaded").await;
    }

    /// SIGHUP, and waits until the log says so once more.
    pub(crate) async fn hangup(&mut self, says: &str) {
        let before = self.log().matches(says).count();
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status().await;
        assert!(sent.unwrap().success());
        until(says, async || {
            if let Some(status) = self.daemon.as_mut().unwrap().try_wait().unwrap() {
                panic!("the daemon ended with {status}");
            }
            (self.log().matches(says).count() > before).then_some(())
        })
        .await;
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").arg(pid).status().await.unwrap();
        assert!(sent.success());
        self.stopped().await
    }

    /// Waits for the daemon's end, and tells its exit code.
    pub(crate) async fn stopped(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take().unwrap();
        let status = tokio::time::timeout(LIMIT, daemon.wait()).await;
        status.expect("the daemon stops in time").unwrap().code()
    }

    pub(crate) async fn status(&self) -> serde_json::Value {
        self.json(&["status"]).await
    }

    /// Waits until nothing is pending anywhere: files, queue, requests. A file made now is the
    /// proof that everything before it was seen.
    pub(crate) async fn settle(&self) {
        let mark = format!("settled-{}.txt", uuid::Uuid::new_v4().simple());
        self.write(&mark, "mark");
        self.purged(&format!("/{mark}")).await;
        until("everything is settled", async || {
            let status = self.status().await;
            (status["settled"] == true).then_some(())
        })
        .await;
    }

    /// What the status says of the origin.
    pub(crate) async fn of_origin(&self) -> serde_json::Value {
        self.status().await["pipelines"][0]["origins"][0].clone()
    }

    /// Waits for an alarm, and tells what it says, with what is to be done, as the log does.
    pub(crate) async fn alarm(&self, reason: &str) -> String {
        until(&format!("the alarm {reason}"), async || {
            let status = self.status().await;
            let alarms = status["alarms"].as_array().unwrap();
            let alarm = alarms.iter().find(|alarm| alarm["reason"] == reason)?;
            let [text, remedy] = ["text", "remedy"].map(|part| alarm[part].as_str().unwrap());
            Some(format!("{text}; to do: {remedy}"))
        })
        .await
    }

    pub(crate) async fn no_alarm(&self) {
        until("no alarm", async || {
            let status = self.status().await;
            (status["alarms"] == serde_json::json!([])).then_some(())
        })
        .await;
    }

    /// Waits, as a deploy script does, until everything that happened is noticed and purged.
    pub(crate) async fn rested(&self) {
        let waited = self.run(&["wait", "www"]).await;
        assert!(waited.status.success(), "{waited:?}");
    }

    /// Waits until an asset was purged.
    pub(crate) async fn purged(&self, asset: &str) {
        until(&format!("{asset} is purged"), async || {
            self.done().contains(&asset.to_owned()).then_some(())
        })
        .await;
    }

    /// Every asset of a request that is done, in order, `*` for everything; the marks of
    /// [`Bench::settle`] are left out.
    pub(crate) fn done(&self) -> Vec<String> {
        let done = self.requests().into_iter().filter(|request| request.done);
        done.flat_map(|request| request.assets).collect()
    }

    /// No window has more calls than rate and burst allow. Arrival is not sending: a call may wait 300 ms
    /// on its way.
    pub(crate) fn the_rate_held(&self, rate: u64, burst: u64) {
        let calls: Vec<u64> = self
            .sandbox
            .calls()
            .iter()
            .map(|call| call.at.millis())
            .collect();
        for (first, from) in calls.iter().enumerate() {
            for (last, to) in calls.iter().enumerate().skip(first) {
                let count = u64::try_from(last - first + 1).unwrap();
                let allowed = burst + (to - from + 300) * rate / 1_000 + 1;
                assert!(count <= allowed, "{count} calls in {} ms", to - from);
            }
        }
    }

    /// The purge requests that reached the API.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        requests_of(&self.sandbox)
    }

    /// What was purged so far but for the marks, sorted.
    pub(crate) fn purges(&self) -> Vec<String> {
        let mut assets: Vec<String> = self
            .requests()
            .into_iter()
            .flat_map(|request| request.assets)
            .filter(|asset| !asset.starts_with("/settled-"))
            .collect();
        assets.sort();
        assets
    }

    /// What the edge serves: status, `X-Cache`, body.
    pub(crate) async fn fetch(&self, path: &str) -> (u16, String, String) {
        let edge = self.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
        let response = reqwest::get(format!("{edge}{path}")).await.unwrap();
        let status = response.status().as_u16();
        let cache = response.headers()["x-cache"].to_str().unwrap().to_owned();
        (status, cache, response.text().await.unwrap())
    }

    pub(crate) fn log(&self) -> String {
        log_of(&self.home)
    }
}

/// The purge requests that reached an API.
pub(crate) fn requests_of(sandbox: &Sandbox) -> Vec<Seen> {
    let requests = sandbox.requests().into_iter();
    let seen = requests.map(|request| Seen {
        assets: match request.target {
            PurgeTarget::Assets(assets) => assets,
            PurgeTarget::All => vec!["*".to_owned()],
        },
        done: request.status == PurgeStatus::Done,
    });
    seen.collect()
}

fn log_of(home: &TempDir) -> String {
    read(&home.path().join("log"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A purge request as the API has it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) assets: Vec<String>,
    pub(crate) done: bool,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.supervisor.stopping().cancel();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}
