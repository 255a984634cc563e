//! What must hold under systemd. Runs in the machine that [`super`] boots.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::bench::{SHOP, until};

use super::machine::{KEY, Machine, SITE, alarms, drop_in, property, put, sh, tried};

/// So many are here: none may be left out in silence.
pub(super) const TESTS: usize = 14;

const GATE: &str = "127.0.0.1:8787/hooks/www";
pub(super) const OLD: &str = "the-old-token-of-this-route";
const NEW: &str = "another-token-of-this-route";

/// A route that takes `{"scan": true}` with a token.
pub(super) fn route(secret: &str) -> String {
    format!("[[pipeline.webhook]]\nroute = \"/hooks/www\"\nkind = \"generic\"\n{secret}\n")
}

/// Sends a delivery with a token, and tells the status of its answer; none where nobody answers.
async fn deliver(token: &str) -> Option<u16> {
    deliver_over("http", token).await
}

/// The same over `http` or `https`, whoever signed the certificate.
pub(super) async fn deliver_over(scheme: &str, token: &str) -> Option<u16> {
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
    let sent = { client.build().unwrap() }
        .post(format!("{scheme}://{GATE}"))
        .bearer_auth(token)
        .header("Idempotency-Key", uuid::Uuid::new_v4().to_string())
        .json(&serde_json::json!({ "scan": true }))
        .timeout(Duration::from_secs(30))
        .send()
        .await;
    sent.ok().map(|answer| answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn it_starts_and_says_in_the_journal_what_it_does() {
    let machine = Machine::new().await;
    sh("edgepurge check --online");
    sh("systemctl enable --now edgepurge");
    assert_eq!(property("ActiveState"), "active");
    machine
        .is("StatusText", |text| text == "fresh; 1 file")
        .await;
    machine.serves("a.css").await;
    // `journalctl -u` shows nothing but the message, so that has what matters.
    let line = machine.says("", &["purging", "pipeline=\"www\""]).await;
    assert!(
        line.contains("assets=1") && line.contains("first=\"/a.css\""),
        "{line}"
    );
    machine.says("", &["purged", "remote_id="]).await;
    machine
        .says(
            "",
            &["secret key", "source=systemd credential scw_secret_key"],
        )
        .await;
    machine.says("F_PIPELINE=www", &["purging"]).await;
    assert_eq!(machine.journal("--priority=warning"), "");
    sh("systemctl disable --now edgepurge");
    assert_eq!(property("Result"), "success");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_missing_root_is_an_alarm_and_holds_up_no_start() {
    let machine = Machine::new().await;
    let shop = format!(
        "[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n[[pipeline.origin]]\nroot = \"/srv/shop\"\n"
    );
    machine.config("", &shop);
    let began = Instant::now();
    sh("timeout 30 systemctl start edgepurge");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    machine
        .is("StatusText", |text| {
            text.starts_with("1 alarm: shop: root_missing")
        })
        .await;
    let ready = reqwest::get("http://127.0.0.1:9787/readyz").await.unwrap();
    assert_eq!(ready.status(), 200);
    machine
        .says("--priority=err", &["ALARM", "root_missing", "/srv/shop"])
        .await;
    machine.serves("a.css").await;
    // The same holds for a reload.
    sh("systemctl reload edgepurge");
    machine.says("", &["the configuration is reloaded"]).await;
    machine.is("ActiveState", |state| state == "active").await;
    put("/srv/shop/b.css", "b", 0o644);
    machine
        .says(
            "--priority=info",
            &["the alarm root_missing is over", "shop"],
        )
        .await;
    assert_eq!(
        machine.journal("--priority=err").matches("ALARM").count(),
        1
    );
    sh("rm -r /srv/shop");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_directory_for_another_group_is_an_alarm_and_joining_it_is_the_cure() {
    let machine = Machine::new().await;
    sh(&format!(
        "mkdir {SITE}/private; echo x >{SITE}/private/p.css
         chgrp -R www-data {SITE}/private; chmod 750 {SITE}/private; chmod 640 {SITE}/private/p.css"
    ));
    sh("systemctl start edgepurge");
    let alarm = machine.alarm("unreadable").await;
    let group = alarm.split("SupplementaryGroups=").nth(1).unwrap();
    let group = group.split(' ').next().unwrap();
    machine
        .says("--priority=err", &["ALARM", "unreadable", "private"])
        .await;
    drop_in(&format!("SupplementaryGroups={group}"));
    sh("systemctl restart edgepurge");
    sh(&format!("echo y >{SITE}/private/p.css"));
    machine.purged("/private/p.css").await;
    assert_eq!(alarms(), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_bad_configuration_has_failed_at_once_and_waits_for_a_person() {
    let machine = Machine::new().await;
    machine.config("burts = 3", "");
    let started = tried("systemctl start edgepurge");
    assert!(!started.status.success());
    for (name, value) in [
        ("ActiveState", "failed"),
        ("ExecMainStatus", "78"),
        ("NRestarts", "0"),
    ] {
        assert_eq!(property(name), value, "{name}");
    }
    machine
        .says("--priority=err", &["config.toml:3", "burts", "burst"])
        .await;
    machine.config("", "");
    sh("systemctl start edgepurge");
    machine.serves("a.css").await;
    // A reload with the same typo keeps what runs.
    machine.config("burts = 3", "");
    sh("systemctl reload edgepurge");
    machine.says("--priority=err", &["ALARM", "burts"]).await;
    machine.config("", "");
    machine.serves("a.css").await;
    sh("systemctl reload edgepurge");
    machine.says("", &["the alarm config is over"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_missing_key_ends_in_words_that_say_where_it_belongs() {
    let machine = Machine::new().await;
    std::fs::remove_file(KEY).unwrap();
    assert!(!tried("systemctl start edgepurge").status.success());
    for (name, value) in [
        ("ActiveState", "failed"),
        ("ExecMainStatus", "78"),
        ("NRestarts", "0"),
    ] {
        assert_eq!(property(name), value, "{name}");
    }
    machine
        .says(
            "--priority=err",
            &["there is no secret key", KEY, "systemctl restart edgepurge"],
        )
        .await;
    put(KEY, &machine.new_key(), 0o600);
    sh("systemctl restart edgepurge");
    machine.serves("a.css").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_wrong_key_from_a_credential_takes_the_restart_that_the_alarm_names() {
    let machine = Machine::new().await;
    put(KEY, &uuid::Uuid::new_v4().to_string(), 0o600);
    sh("systemctl start edgepurge");
    sh(&format!("echo new >{SITE}/a.css"));
    let alarm = machine.alarm("unauthorized").await;
    assert!(
        alarm.contains(KEY) && alarm.contains("systemctl restart edgepurge"),
        "{alarm}"
    );
    assert!(!alarm.contains("by itself"), "{alarm}");
    machine
        .says(
            "--priority=err",
            &["ALARM", "unauthorized", "systemctl restart edgepurge"],
        )
        .await;
    put(KEY, &machine.new_key(), 0o600);
    // Neither time nor a reload renews a credential. That it was replaced is seen, though not what it is.
    let alarm = machine.alarm("credential").await;
    assert!(
        alarm.contains(KEY) && alarm.contains("systemctl restart edgepurge"),
        "{alarm}"
    );
    // Where it can't be seen, a reload says what may be.
    sh("chmod 700 /etc/credstore; systemctl reload edgepurge");
    machine
        .says(
            "--priority=warning",
            &["scw_secret_key", "copies", "systemctl restart edgepurge"],
        )
        .await;
    sh("chmod 711 /etc/credstore");
    assert!(sh("edgepurge status").contains("secret scw_secret_key: the copy that systemd made"));
    sh("systemctl restart edgepurge");
    machine.purged("/a.css").await;
    assert_eq!(alarms(), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_wrong_key_from_a_file_is_replaced_without_a_restart() {
    let machine = Machine::new().await;
    std::fs::remove_file(KEY).unwrap();
    let file = "/etc/edgepurge/key";
    machine.config(&format!("secret_key_file = \"{file}\""), "");
    put(file, &uuid::Uuid::new_v4().to_string(), 0o440);
    // As a platform hands it over: of root, for a group that may read.
    sh(&format!("chgrp edgepurge {file}"));
    sh("systemctl start edgepurge");
    sh(&format!("echo new >{SITE}/a.css"));
    let alarm = machine.alarm("unauthorized").await;
    assert!(
        alarm.contains(file) && alarm.contains("by itself"),
        "{alarm}"
    );
    assert!(!alarm.contains("restart"), "{alarm}");
    put(file, &machine.new_key(), 0o440);
    machine.purged("/a.css").await;
    machine
        .says("--priority=info", &["the alarm unauthorized is over"])
        .await;
    assert_eq!(property("NRestarts"), "0");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_new_secret_counts_after_a_reload_from_a_file_and_after_a_restart_from_a_credential() {
    let machine = Machine::new().await;
    let source = "/etc/edgepurge/token";
    put(source, OLD, 0o600);
    drop_in(&format!("LoadCredential=token:{source}"));
    machine.config("", &route("credential = \"token\""));
    sh("systemctl start edgepurge");
    assert_eq!(deliver(OLD).await, Some(202));
    put(source, NEW, 0o600);
    sh("systemctl reload edgepurge");
    let alarm = machine.alarm("credential").await;
    assert!(
        alarm.contains(source) && alarm.contains("systemctl restart edgepurge"),
        "{alarm}"
    );
    machine
        .says("--priority=err", &["ALARM", "token", source])
        .await;
    assert_eq!(
        (deliver(OLD).await, deliver(NEW).await),
        (Some(202), Some(401))
    );
    sh("systemctl restart edgepurge");
    assert_eq!(
        (deliver(OLD).await, deliver(NEW).await),
        (Some(401), Some(202))
    );
    assert_eq!(alarms(), serde_json::json!([]));
    sh(&format!("chown edgepurge: {source}"));
    machine.config("", &route(&format!("secret_file = \"{source}\"")));
    sh("systemctl reload edgepurge");
    put(source, OLD, 0o600);
    sh("systemctl reload edgepurge");
    until("the secret of the file counts", async || {
        (deliver(OLD).await == Some(202) && deliver(NEW).await == Some(401)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn killed_it_is_back_and_purges_what_changed_meanwhile() {
    let machine = Machine::new().await;
    sh("systemctl start edgepurge");
    machine.serves("a.css").await;
    sh("systemctl kill --signal=KILL edgepurge");
    sh(&format!("echo meanwhile >{SITE}/b.css"));
    machine.purged("/b.css").await;
    assert_eq!(property("NRestarts"), "1");
    assert_eq!(property("ActiveState"), "active");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn one_that_hangs_is_ended_by_the_watchdog_and_started_again() {
    let machine = Machine::new().await;
    drop_in("WatchdogSec=2s\nTimeoutAbortSec=2s");
    sh("systemctl start edgepurge");
    machine.serves("a.css").await;
    sh("systemctl kill --signal=STOP edgepurge");
    machine.is("NRestarts", |count| count == "1").await;
    machine.says("", &["atchdog"]).await;
    machine.serves("b.css").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn a_delivery_starts_it_and_none_is_refused_while_it_restarts() {
    let machine = Machine::new().await;
    put("/etc/credstore/edgepurge.token", OLD, 0o600);
    drop_in("LoadCredential=token:edgepurge.token");
    machine.config("", &route("credential = \"token\""));
    sh("systemctl start edgepurge-webhook.socket");
    assert_eq!(property("ActiveState"), "inactive");
    assert_eq!(deliver(OLD).await, Some(202));
    assert_eq!(property("ActiveState"), "active");
    for _ in 0..3 {
        let mut restart = std::process::Command::new("systemctl")
            .args(["restart", "edgepurge"])
            .spawn()
            .unwrap();
        let mut sent = 0;
        while restart.try_wait().unwrap().is_none() || sent == 0 {
            assert_eq!(
                deliver(OLD).await,
                Some(202),
                "delivery {sent} during a restart"
            );
            sent += 1;
        }
    }
    sh(&format!("echo new >{SITE}/a.css"));
    machine.purged("/a.css").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn deliveries_that_come_to_a_bad_configuration_are_no_loop_and_go_on_with_a_good_one() {
    let machine = Machine::new().await;
    put("/etc/credstore/edgepurge.token", OLD, 0o600);
    drop_in("LoadCredential=token:edgepurge.token");
    machine.config("burts = 3", &route("credential = \"token\""));
    sh("systemctl start edgepurge-webhook.socket");
    assert_eq!(deliver(OLD).await, None);
    machine.is("ActiveState", |state| state == "failed").await;
    assert_eq!(property("ExecMainStatus"), "78");
    // What waits in the socket starts it again and again, until systemd has had enough of that.
    until("the socket has ended", async || {
        let state = sh("systemctl show --value --property=ActiveState edgepurge-webhook.socket");
        (state == "failed").then_some(())
    })
    .await;
    let starts = machine.journal("").matches("burts").count();
    assert!(starts <= 50, "{starts} lines of starts that failed");
    machine.config("", &route("credential = \"token\""));
    sh(
        "systemctl reset-failed edgepurge.service edgepurge-webhook.socket
        systemctl restart edgepurge-webhook.socket edgepurge.service",
    );
    assert_eq!(deliver(OLD).await, Some(202));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn whoever_is_in_the_group_may_use_the_sockets_and_nobody_else() {
    let machine = Machine::new().await;
    put("/etc/credstore/edgepurge.token", OLD, 0o600);
    drop_in("LoadCredential=token:edgepurge.token");
    let socket = "/run/edgepurge/webhook.sock";
    let listen = format!("[webhooks]\nlisten = \"unix:{socket}\"\n");
    machine.config("", &format!("{}{listen}", route("credential = \"token\"")));
    sh("systemctl start edgepurge");
    let status = tried("runuser -u alice -- edgepurge status");
    assert!(status.status.success(), "{status:?}");
    let refused = tried("runuser -u bob -- edgepurge status");
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("permission"), "{said}");
    for (user, may) in [("alice", true), ("bob", false)] {
        for socket in ["/run/edgepurge/admin.sock", socket] {
            let tried = tried(&format!("runuser -u {user} -- test -w {socket}"));
            assert_eq!(tried.status.success(), may, "{user} {socket}");
        }
    }
    sh("runuser -u alice -- edgepurge purge www /by-alice.css --wait");
    machine.purged("/by-alice.css").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the machine that `booted` boots"]
async fn what_looks_wrong_with_a_secret_is_said_by_check_and_at_the_start() {
    let machine = Machine::new().await;
    put(
        "/etc/credstore/edgepurge.token",
        &format!("\u{feff}'{OLD}'\r\n"),
        0o600,
    );
    drop_in("LoadCredential=token:edgepurge.token");
    machine.config("", &route("credential = \"token\""));
    // As root, without systemd: the files that the unit takes them from.
    let checked = tried("edgepurge check");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        checked.status.success() && said.contains("quotes"),
        "{said}"
    );
    assert!(
        said.contains(&format!("the secret key is from: file {KEY}")),
        "{said}"
    );
    sh("systemctl start edgepurge");
    machine
        .says(
            "--priority=warning",
            &["systemd credential token", "quotes"],
        )
        .await;
    assert!(
        !machine.journal("").contains(OLD),
        "a secret is in the journal"
    );
    let mode = std::fs::metadata("/run/edgepurge")
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o750);
}
