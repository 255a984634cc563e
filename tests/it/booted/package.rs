//! The package, from its installation to its end. Runs in the machine that [`super`] boots.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use crate::bench::{PIPELINE, until};

use super::inside::{OLD, deliver_over, route};
use super::machine::{KEY, Machine, SITE, drop_in, property, put, sh, tried};

/// So many are here: none may be left out in silence.
pub(super) const TESTS: usize = 5;

const CONFIG: &str = "/etc/edgepurge/config.toml";
const STATE: &str = "/var/lib/edgepurge/queue.db";

/// Makes a package of another version, with the same in it.
fn package_of(version: &str) -> String {
    let made = format!("/tmp/edgepurge-{version}.deb");
    sh(&format!(
        "rm -rf /tmp/unpacked
         dpkg-deb --raw-extract /booted/edgepurge.deb /tmp/unpacked
         sed -i 's/^Version: .*/Version: {version}/' /tmp/unpacked/DEBIAN/control
         dpkg-deb -Znone --build /tmp/unpacked {made}
         rm -rf /tmp/unpacked"
    ));
    made
}

fn installed() -> String {
    sh("dpkg-query --show --showformat='${Version} ${db:Status-Status}' edgepurge")
}

/// The shell commands of the README from the package to the first purge, without those that make the
/// package.
fn commands_of_the_readme() -> Vec<String> {
    let readme = std::fs::read_to_string("/booted/README.md").unwrap();
    let section = readme
        .split("## Five minutes")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap();
    let blocks = section.split("```sh\n").skip(2);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks
        .flat_map(str::lines)
        .map(|line| line.trim().trim_start_matches("sudo ").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn the_commands_of_the_readme_lead_to_a_first_purge() {
    let machine = Machine::new().await;
    sh(&format!("rm {CONFIG} {KEY}"));
    let commands = commands_of_the_readme();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in &commands {
        let said = if command.contains("/dev/stdin") {
            let key = machine.sandbox.secret_key().expose_secret().to_owned();
            sh(&format!("printf '%s\\n' {key} | {command}"))
        } else {
            sh(command)
        };
        println!("$ {command}\n{said}");
        if command.starts_with("edgepurge init") {
            assert!(
                command.contains(PIPELINE) && command.contains(SITE),
                "{command}"
            );
            let schema = "/usr/share/edgepurge/config.schema.json";
            let first = sh(&format!("head -1 {CONFIG}; test -e {schema}"));
            assert_eq!(first.trim_end(), format!("#:schema {schema}"));
            // The API is the sandbox, and nothing else is another than for a user.
            let api = machine.sandbox.api_url();
            sh(&format!(
                "sed -i -e '/^\\[scaleway\\]/d' -e '1i [scaleway]\\napi_url = \"{api}\"' {CONFIG}"
            ));
        }
    }
    assert_eq!(property("ActiveState"), "active");
    assert_eq!(property("UnitFileState"), "enabled");
    machine.serves("a.css").await;
    sh("systemctl disable --now edgepurge");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn before_it_is_configured_it_is_not_started_and_that_is_no_failure() {
    let machine = Machine::new().await;
    sh(&format!("rm {CONFIG}"));
    sh("systemctl start edgepurge");
    for (name, value) in [
        ("ActiveState", "inactive"),
        ("Result", "success"),
        ("ConditionResult", "no"),
    ] {
        assert_eq!(property(name), value, "{name}");
    }
    let shown = tried("systemctl status --no-pager edgepurge").stdout;
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains(CONFIG), "{shown}");
    machine.config("", "");
    sh("systemctl start edgepurge");
    machine.serves("a.css").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn an_upgrade_and_a_downgrade_answer_every_delivery_and_lose_nothing() {
    upgrade_and_downgrade("http", "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn the_same_holds_for_deliveries_over_https() {
    let directory = "/etc/edgepurge/tls";
    let tls = format!(
        "[webhooks]\ntls_certificate_file = \"{directory}/certificate.pem\"\n\
         tls_key_file = \"{directory}/key.pem\"\n"
    );
    upgrade_and_downgrade("https", &tls).await;
}

/// Makes a certificate for this machine where the daemon reads it, as a hook of certbot would put it.
fn certify() {
    sh("install -d -m 750 -g edgepurge /etc/edgepurge/tls
        cd /etc/edgepurge/tls
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=a \
            -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem
        chgrp edgepurge key.pem certificate.pem
        chmod 640 key.pem certificate.pem");
}

/// With a route to which deliveries come in this scheme; `more`: lines for the configuration.
async fn upgrade_and_downgrade(scheme: &str, more: &str) {
    let machine = Machine::new().await;
    drop_in("LoadCredential=deploy_token:edgepurge.deploy_token");
    put("/etc/credstore/edgepurge.deploy_token", OLD, 0o600);
    certify();
    let route = route("credential = \"deploy_token\"");
    machine.config("", &format!("{route}{more}"));
    sh("systemctl start edgepurge-webhook.socket edgepurge.service");
    machine.serves("a.css").await;
    let newer = package_of("99.0.0-1");
    for package in [newer.as_str(), "/booted/edgepurge.deb"] {
        let before = (property("MainPID"), installed());
        put(&format!("{SITE}/b.css"), package, 0o644);
        let install = format!("dpkg --install {package}");
        let install = tokio::task::spawn_blocking(move || sh(&install));
        let mut answered = 0;
        while !install.is_finished() || answered < 5 {
            assert_eq!(deliver_over(scheme, OLD).await, Some(202), "{answered}");
            answered += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        install.await.unwrap();
        assert_ne!(installed(), before.1);
        assert_ne!(property("MainPID"), before.0, "the new one runs");
        assert_eq!(property("ActiveState"), "active");
        machine.purged("/b.css").await;
        machine.serves("a.css").await;
    }
    // Nothing was lost that an `all` would have to make good.
    assert!(!machine.journal("").contains("reason=loss"));
    sh(&format!("rm {newer}"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn removed_it_keeps_its_state_and_purged_it_keeps_what_is_the_administrators() {
    let machine = Machine::new().await;
    sh("systemctl enable --now edgepurge-webhook.socket edgepurge.service");
    machine.serves("a.css").await;
    sh("dpkg --remove edgepurge");
    for unit in ["edgepurge.service", "edgepurge-webhook.socket"] {
        until(&format!("{unit} is not active"), async || {
            let active = tried(&format!("systemctl is-active {unit}"));
            (!active.status.success()).then_some(())
        })
        .await;
    }
    sh(&format!(
        "test -e {STATE}; test -e {CONFIG}; test -e {KEY}; ! test -e /usr/bin/edgepurge"
    ));
    // What changes meanwhile is purged when it is back.
    put(&format!("{SITE}/c.css"), "new", 0o644);
    sh("dpkg --install /booted/edgepurge.deb; systemctl start edgepurge");
    machine.purged("/c.css").await;
    sh("dpkg --purge edgepurge");
    sh(&format!(
        "! test -e /var/lib/edgepurge; test -e {CONFIG}; test -e {KEY}"
    ));
    let left = sh("find /etc/systemd/system -lname '*edgepurge*' -o -name '*edgepurge*' -type l");
    assert_eq!(left, "");
    sh("dpkg --install /booted/edgepurge.deb");
    assert_eq!(property("UnitFileState"), "disabled");
}
