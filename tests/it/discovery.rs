//! What the API says of a pipeline's backend, beside the configuration: `init` writes it, `check --online` compares it.

use std::process::{Output, Stdio};

use edgepurge::clock::Clock;
use edgepurge::core::change::PipelineId;
use edgepurge::core::website::Website;
use edgepurge::sandbox::{
    ACCESS_KEY, BucketSettings, Fault, Operation, PipelineSettings, Sandbox, SandboxSettings,
    ServedBucket,
};
use edgepurge::supervise::Supervisor;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::bench::{LIMIT, PIPELINE, SHOP, text};

/// An account whose first pipeline serves a bucket, and whose second a load balancer.
struct Account {
    sandbox: Sandbox,
    home: tempfile::TempDir,
    _supervisor: Supervisor,
}

impl Account {
    async fn new(pipelines: &[&str]) -> Self {
        let website = Website {
            index: Some("index.html".to_owned()),
            error: Some("oops.html".to_owned()),
            rules: false,
        };
        Self::of_bucket(pipelines, Some(website)).await
    }

    /// The same, whose bucket is served so.
    async fn of_bucket(pipelines: &[&str], website: Option<Website>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let home = tempfile::tempdir().unwrap();
        let (supervisor, _faults) = Supervisor::new();
        let mut settings = SandboxSettings::new(Clock::start());
        let pipeline = |id: &&str| PipelineSettings::new(PipelineId::new(id), home.path());
        settings.pipelines = pipelines.iter().map(pipeline).collect();
        "front".clone_into(&mut settings.pipelines[0].name);
        settings.pipelines[0].bucket = Some(ServedBucket {
            name: "my-site".to_owned(),
            region: "nl-ams".to_owned(),
            website: website.is_some(),
        });
        let mut bucket = BucketSettings::new("my-site", "nl-ams");
        bucket.website = website;
        settings.buckets = vec![bucket];
        let sandbox = Sandbox::start(settings, &supervisor).await.unwrap();
        Self {
            sandbox,
            home,
            _supervisor: supervisor,
        }
    }

    fn config(&self) -> std::path::PathBuf {
        self.home.path().join("config.toml")
    }

    fn written(&self) -> String {
        std::fs::read_to_string(self.config()).unwrap()
    }

    /// Gives a command the keys of the account in its environment, and nothing else.
    fn with_keys<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env_clear()
            .env("SCW_API_URL", self.sandbox.api_url())
            .env("SCW_S3_ENDPOINT", self.sandbox.storage_url().unwrap())
            .env("SCW_ACCESS_KEY", ACCESS_KEY)
            .env("SCW_SECRET_KEY", self.sandbox.secret_key().expose_secret())
    }

    /// Runs a command with the keys of the account in the environment.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgepurge"));
        command.arg("--config").arg(self.config()).args(arguments);
        let output = self
            .with_keys(&mut command)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, output).await;
        output.expect("the command ends in time").unwrap()
    }

    /// Writes a configuration of the first pipeline with this origin, and checks it against the API.
    async fn checked(&self, origin: &str) -> (Option<i32>, String) {
        let text = format!("[[pipeline]]\nname = \"www\"\nid = \"{PIPELINE}\"\n{origin}");
        std::fs::write(self.config(), text).unwrap();
        let output = self.run(&["check", "--online"]).await;
        (output.status.code(), text_of(&output))
    }

    fn bucket(&self, name: &str, region: &str) -> String {
        format!(
            "[[pipeline.origin]]\nbucket = \"{name}\"\nregion = \"{region}\"\nendpoint = \"{}\"\n",
            self.sandbox.storage_url().unwrap()
        )
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_site_is_set_up_by_one_command_and_a_key() {
    let account = Account::new(&[PIPELINE, SHOP]).await;
    let made = account.run(&["init", "--pipeline-id", PIPELINE]).await;
    assert!(made.status.success(), "{made:?}");
    let written = account.written();
    for line in [
        "bucket = \"my-site\"",
        "region = \"nl-ams\"",
        "A website: index.html at every level, oops.html for what is missing",
        "match = [\"oops.html\"]",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }
    assert!(!written.contains("root ="), "{written}");
    let secret = account.sandbox.secret_key();
    assert!(!written.contains(secret.expose_secret()), "{written}");
    let check = account.run(&["check", "--online"]).await;
    assert!(check.status.success(), "{check:?}");
    let said = text_of(&check);
    for part in [
        "serves the bucket my-site in nl-ams as a website",
        "bucket my-site is a website: index.html at every level",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("no rule purges everything"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_the_pipelines_are_listed_to_choose_from_and_a_single_one_is_taken() {
    let account = Account::new(&[PIPELINE, SHOP]).await;
    let listed = account.run(&["init"]).await;
    assert_eq!(listed.status.code(), Some(2), "{listed:?}");
    let said = text_of(&listed);
    for part in [
        PIPELINE,
        SHOP,
        "front",
        "the bucket my-site in nl-ams as a website",
        "a load balancer",
        "edgepurge init --pipeline-id ID",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!account.config().exists());

    let account = Account::new(&[PIPELINE]).await;
    let made = account.run(&["init"]).await;
    assert!(made.status.success(), "{made:?}");
    let written = account.written();
    assert!(
        written.contains(&format!("id = \"{PIPELINE}\"")),
        "{written}"
    );
    assert!(written.contains("bucket = \"my-site\""), "{written}");
}

/// `init` at a terminal, where this is typed.
async fn init_at_a_terminal(account: &Account, typed: &str) -> (Option<i32>, String) {
    let line = format!(
        "'{}' --config '{}' init",
        env!("CARGO_BIN_EXE_edgepurge"),
        account.config().display()
    );
    let mut command = Command::new("script");
    command.args(["-qefc", &line, "/dev/null"]);
    let mut child = account
        .with_keys(&mut command)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = output.expect("it ends in time").unwrap();
    drop(stdin);
    (output.status.code(), text(&output.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_a_pipeline_is_chosen_by_its_number() {
    let script = std::process::Command::new("script").arg("-V").output();
    if script.is_err() {
        return crate::bench::skip("script is not installed");
    }
    let account = Account::new(&[PIPELINE, SHOP]).await;
    for wrong in ["0\n", "3\n", "front\n", "\n"] {
        let (code, said) = init_at_a_terminal(&account, wrong).await;
        assert_eq!(code, Some(2), "{wrong:?}: {said}");
        assert!(said.contains("which one? its number: "), "{said}");
        assert!(said.contains("nothing was written"), "{said}");
        assert!(!account.config().exists());
    }
    let (code, said) = init_at_a_terminal(&account, "2\n").await;
    assert_eq!(code, Some(0), "{said}");
    let written = account.written();
    assert!(written.contains(&format!("id = \"{SHOP}\"")), "{written}");
    std::fs::remove_file(account.config()).unwrap();
    let (code, said) = init_at_a_terminal(&account, "1\n").await;
    assert_eq!(code, Some(0), "{said}");
    let written = account.written();
    assert!(written.contains("bucket = \"my-site\""), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_bucket_that_is_no_website_pages_answer_at_their_keys_alone() {
    let account = Account::of_bucket(&[PIPELINE], None).await;
    let made = account.run(&["init"]).await;
    assert!(made.status.success(), "{made:?}");
    let written = account.written();
    assert!(written.contains("pages = \"exact\"\n"), "{written}");
    let check = account.run(&["check", "--online"]).await;
    let said = text_of(&check);
    let says = "bucket my-site is no website: each object is served at its key\n";
    assert!(said.contains(says), "{said}");
    let (code, said) = account.checked(&account.bucket("my-site", "nl-ams")).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("pages = \"exact\" purges no more than that"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_does_not_say_is_said_and_stops_nothing() {
    let account = Account::new(&[PIPELINE, SHOP]).await;
    let id = PipelineId::new(PIPELINE);
    for (backends, says) in [
        (json!([]), "the API names nothing"),
        (json!(null), "the API names nothing"),
        (
            json!([{"scaleway_s3": {}}]),
            "a bucket whose name the API does not say",
        ),
        (
            json!([{"scaleway_new": {"a": 1}}]),
            "`scaleway_new`, as the API calls it",
        ),
        (json!([7]), "something that the API does not name"),
        (json!("odd"), "can't be read"),
    ] {
        account.sandbox.set_backends(&id, backends.clone());
        let (code, said) = account.checked("").await;
        assert_eq!(code, Some(0), "{backends}: {said}");
        assert!(said.contains(says), "{backends}: {said}");
        std::fs::remove_file(account.config()).unwrap();
        let made = account.run(&["init", "--pipeline-id", PIPELINE]).await;
        assert!(made.status.success(), "{backends}: {made:?}");
    }
    std::fs::remove_file(account.config()).unwrap();
    for operation in [Operation::ListBackends, Operation::ListPipelines] {
        let refused = Fault::Refuse {
            status: 500,
            body: String::new(),
        };
        account.sandbox.script(refused.on(operation));
    }
    let made = account.run(&["init", "--pipeline-id", PIPELINE]).await;
    assert!(made.status.success(), "{made:?}");
    std::fs::remove_file(account.config()).unwrap();
    let made = account.run(&["init"]).await;
    assert!(made.status.success(), "{made:?}");
    assert!(text_of(&made).contains("can't be listed"), "{made:?}");

    std::fs::remove_file(account.config()).unwrap();
    let unknown = "77777777-7777-4777-8777-777777777777";
    let made = account.run(&["init", "--pipeline-id", unknown]).await;
    assert_eq!(made.status.code(), Some(1), "{made:?}");
    assert!(!account.config().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_api_and_configuration_differ_check_says_it() {
    let account = Account::new(&[PIPELINE, SHOP]).await;
    let (code, said) = account.checked(&account.bucket("my-site", "nl-ams")).await;
    assert_eq!(code, Some(0), "{said}");
    let says = "oops.html answers for every URL that is missing, and no rule purges everything";
    assert!(said.contains(says), "{said}");
    for (name, region, says) in [
        ("another", "nl-ams", "is the bucket another; correct bucket"),
        ("my-site", "fr-par", "in the region fr-par; correct region"),
    ] {
        let (code, said) = account.checked(&account.bucket(name, region)).await;
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(says), "{said}");
    }
    let (code, said) = account.checked("").await;
    assert_eq!(code, Some(0), "{said}");
    let says = "it has no origin: what is uploaded is noticed with bucket = \"my-site\"";
    assert!(said.contains(says), "{said}");

    account.sandbox.set_backends(
        &PipelineId::new(PIPELINE),
        json!([{"scaleway_lb": {"lbs": []}}]),
    );
    let (code, said) = account.checked(&account.bucket("my-site", "nl-ams")).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("serves a load balancer, and origin `/` is a bucket"),
        "{said}"
    );

    let denied = Fault::Storage {
        status: 403,
        code: "AccessDenied".to_owned(),
    };
    account.sandbox.script(denied.on(Operation::GetWebsite));
    let (code, said) = account.checked(&account.bucket("my-site", "nl-ams")).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("may be a website, its configuration can't be read"),
        "{said}"
    );
}
