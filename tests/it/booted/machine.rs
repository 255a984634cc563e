//! The machine that was booted, as its administrator has it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Once;
use std::time::Duration;

use edgepurge::clock::Clock;
use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{PipelineSettings, Sandbox, SandboxSettings};
use edgepurge::supervise::Supervisor;
use secrecy::{ExposeSecret as _, SecretString};

use crate::bench::{PIPELINE, SHOP, requests_of, until};

pub(super) const SITE: &str = "/srv/www";
/// Where the unit takes the API key from.
pub(super) const KEY: &str = "/etc/credstore/edgepurge.scw_secret_key";
const CONFIG: &str = "/etc/edgepurge/config.toml";
const DROP_IN: &str = "/etc/systemd/system/edgepurge.service.d/test.conf";

/// Runs a command of a shell that has to succeed, and tells what it said.
pub(super) fn sh(script: &str) -> String {
    let output = tried(script);
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command of a shell.
pub(super) fn tried(script: &str) -> Output {
    Command::new("sh").args(["-ec", script]).output().unwrap()
}

/// Writes a file of root.
pub(super) fn put(path: &str, text: &str, mode: u32) {
    fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Adds lines to the unit's `[Service]`.
pub(super) fn drop_in(lines: &str) {
    put(DROP_IN, &format!("[Service]\n{lines}\n"), 0o644);
    sh("systemctl daemon-reload");
}

/// A property of the unit.
pub(super) fn property(name: &str) -> String {
    sh(&format!(
        "systemctl show --value --property={name} edgepurge.service"
    ))
}

/// What `edgepurge status` says.
fn status() -> serde_json::Value {
    serde_json::from_str(&sh("edgepurge --format json status")).unwrap()
}

/// What an operator should act on.
pub(super) fn alarms() -> serde_json::Value {
    status()["alarms"].clone()
}

/// The package, and two users: one of the daemon's group, and one who is not.
fn install() {
    sh("dpkg --install /booted/edgepurge.deb
        useradd --system --no-create-home --groups edgepurge alice
        useradd --system --no-create-home bob");
}

/// A machine with edgepurge installed and not started, a site of one file, a good configuration and a good
/// key; and the API, on loopback.
pub(super) struct Machine {
    pub(super) sandbox: Sandbox,
    supervisor: Supervisor,
    /// Not a cursor, behind which journalctl passes over the first entry.
    began: String,
}

impl Machine {
    pub(super) async fn new() -> Self {
        static INSTALLED: Once = Once::new();
        assert!(
            std::env::var("EDGEPURGE_BOOTED").is_ok(),
            "this belongs into the machine that `booted` boots"
        );
        drop(rustls::crypto::ring::default_provider().install_default());
        INSTALLED.call_once(install);
        sh(&format!(
            "systemctl stop edgepurge-webhook.socket edgepurge.service
             systemctl reset-failed
             rm -rf /var/lib/edgepurge {SITE} {DROP_IN} /etc/edgepurge/* /etc/credstore/*
             mkdir -p {SITE}
             echo old >{SITE}/a.css
             systemctl daemon-reload"
        ));
        let (supervisor, _faults) = Supervisor::new();
        let mut settings = SandboxSettings::new(Clock::start());
        settings.purge_delay = Duration::from_millis(100);
        settings.pipelines = vec![
            PipelineSettings::new(PipelineId::new(PIPELINE), Path::new(SITE)),
            PipelineSettings::new(PipelineId::new(SHOP), Path::new("/srv/shop")),
        ];
        let sandbox = Sandbox::start(settings, &supervisor).await.unwrap();
        let machine = Self {
            sandbox,
            supervisor,
            began: sh("date +%s.%6N"),
        };
        machine.config("", "");
        put(KEY, machine.sandbox.secret_key().expose_secret(), 0o600);
        machine
    }

    /// Writes the configuration, with more lines for `[scaleway]` and at the end.
    pub(super) fn config(&self, scaleway: &str, more: &str) {
        let api = self.sandbox.api_url();
        let text = format!(
            "[scaleway]\napi_url = \"{api}\"\n{scaleway}\n\
             [[pipeline]]\nname = \"www\"\nid = \"{PIPELINE}\"\n\
             [[pipeline.origin]]\nroot = \"{SITE}\"\n{more}\n"
        );
        put(CONFIG, &text, 0o644);
    }

    /// Waits until a property of the unit is so.
    pub(super) async fn is(&self, name: &str, so: impl Fn(&str) -> bool) {
        until(&format!("{name} of the unit is so"), async || {
            so(&property(name)).then_some(())
        })
        .await;
    }

    /// What `journalctl -u` shows of the unit since this machine was made: `more` are its options.
    pub(super) fn journal(&self, more: &str) -> String {
        sh(&format!(
            "journalctl --sync; journalctl --quiet --unit=edgepurge.service --output=cat --since=@{} {more}",
            self.began
        ))
    }

    /// Waits until the journal has a line with all of these words.
    pub(super) async fn says(&self, more: &str, words: &[&str]) -> String {
        until(&format!("the journal says {words:?}"), async || {
            let journal = self.journal(more);
            let line = journal
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)));
            line.map(str::to_owned)
        })
        .await
    }

    /// How often an asset was purged.
    fn purges(&self, asset: &str) -> usize {
        let requests = requests_of(&self.sandbox).into_iter();
        let purges = requests.filter(|one| one.done && one.assets.iter().any(|it| it == asset));
        purges.count()
    }

    /// Waits until an asset was purged.
    pub(super) async fn purged(&self, asset: &str) {
        self.purged_after(asset, 0).await;
    }

    async fn purged_after(&self, asset: &str, before: usize) {
        let purged = async || (self.purges(asset) > before).then_some(());
        until(&format!("{asset} is purged"), purged).await;
    }

    /// Changes a file of the site, and waits until it is purged.
    pub(super) async fn serves(&self, file: &str) {
        let asset = format!("/{file}");
        let before = self.purges(&asset);
        put(
            &format!("{SITE}/{file}"),
            &uuid::Uuid::new_v4().to_string(),
            0o644,
        );
        self.purged_after(&asset, before).await;
    }

    /// Waits for an alarm, and tells what it says, with what is to be done, as the log does.
    pub(super) async fn alarm(&self, reason: &str) -> String {
        until(&format!("the alarm {reason}"), async || {
            let status = status();
            let alarms = status["alarms"].as_array().unwrap();
            let alarm = alarms.iter().find(|alarm| alarm["reason"] == reason)?;
            let [text, remedy] = ["text", "remedy"].map(|part| alarm[part].as_str().unwrap());
            Some(format!("{text}; to do: {remedy}"))
        })
        .await
    }

    /// Makes the API take another key, and tells it.
    pub(super) fn new_key(&self) -> String {
        let key = uuid::Uuid::new_v4().to_string();
        self.sandbox.set_secret_key(SecretString::from(key.clone()));
        key
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.supervisor.stopping().cancel();
        if std::thread::panicking() {
            let shown = tried("systemctl status --no-pager --lines=0 edgepurge.service").stdout;
            eprintln!("--- the unit ---\n{}", String::from_utf8_lossy(&shown));
            eprintln!(
                "--- its journal ---\n{}",
                self.journal("--output=short-precise")
            );
        }
    }
}
