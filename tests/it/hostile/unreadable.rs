//! What the web server's group may read and edgepurge may not, as it runs as a user of its own. Needs
//! root, which runs the daemon as another user and gives files away.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use super::machine::has;
use crate::bench::{Bench, sh, skip_unprivileged, until};

/// The daemon's user, and the web server's group: this machine knows neither.
const USER: u32 = 61_001;
pub(crate) const WEB: u32 = 61_002;

/// A bench whose daemon runs as [`USER`], and the words that put it into a group.
pub(crate) async fn served() -> Option<Bench> {
    if !rustix::process::geteuid().is_root() {
        skip_unprivileged("only root may run a daemon as another user");
        return None;
    }
    if !has("setpriv") {
        return None;
    }
    let mut bench = Bench::new().await;
    within(&mut bench, "--clear-groups");
    Some(bench)
}

fn within(bench: &mut Bench, groups: &str) {
    let user = [format!("--reuid={USER}"), format!("--regid={USER}")];
    let words = ["setpriv".to_owned(), groups.to_owned()];
    bench.within = words.into_iter().chain(user).collect();
    bench.config();
    let home = bench.path("");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    for name in ["config.toml", "secret_key", "site", "state", "log"] {
        let path = bench.path(name);
        if path.exists() && name != "state" {
            chown(path, Some(USER), Some(USER)).unwrap();
        }
    }
}

pub(crate) fn give(path: &Path, group: u32, mode: u32) {
    chown(path, Some(0), Some(group)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn metric(bench: &Bench, line: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    until(line, async || {
        let socket = tokio::net::UnixStream::connect(bench.path("admin.sock")).await;
        let mut socket = socket.unwrap();
        let ask = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        socket.write_all(ask).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer.contains(line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_the_web_servers_group_is_an_alarm_that_ends_when_edgepurge_joins() {
    let Some(mut bench) = served().await else {
        return;
    };
    bench.write("members/area/a.css", "one");
    bench.write("members/b.css", "one");
    bench.write("open.css", "one");
    give(&bench.site().join("members"), WEB, 0o750);
    bench.start().await;
    let said = bench.alarm("unreadable").await;
    for part in [
        "1 directory",
        "`members`",
        "SupplementaryGroups=61002",
        "ignore",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(bench.of_origin().await["unreadable_directories"], 1);
    metric(
        &bench,
        "edgepurge_unreadable_directories{pipeline=\"www\"} 1",
    )
    .await;
    metric(
        &bench,
        "edgepurge_alarms{pipeline=\"www\",reason=\"unreadable\"} 1",
    )
    .await;
    let told = String::from_utf8(bench.run(&["status"]).await.stdout).unwrap();
    assert!(told.contains("1 directory can't be listed"), "{told}");
    assert!(told.contains("▲ www: unreadable"), "{told}");

    // The operator joins the group.
    assert_eq!(bench.terminate().await, Some(0));
    within(&mut bench, &format!("--groups={WEB}"));
    bench.start().await;
    bench.no_alarm().await;
    metric(
        &bench,
        "edgepurge_unreadable_directories{pipeline=\"www\"} 0",
    )
    .await;
    bench.write("members/area/a.css", "two");
    bench.purged("/members/area/a.css").await;
    // And again without a restart, as the directory changes.
    give(&bench.site().join("members"), 0, 0o700);
    let said = bench.alarm("unreadable").await;
    assert!(!said.contains("SupplementaryGroups"), "{said}");
    bench.write("members/b.css", "two");
    give(&bench.site().join("members"), 0, 0o755);
    bench.no_alarm().await;
    bench.purged("/members/b.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_directory_that_nobody_is_served_can_be_left_out() {
    let Some(mut bench) = served().await else {
        return;
    };
    bench.write("private/a.css", "one");
    bench.write("private/deep/b.css", "one");
    give(&bench.site().join("private/deep"), 0, 0o700);
    bench.start().await;
    let said = bench.alarm("unreadable").await;
    assert!(said.contains("`private/deep`"), "{said}");
    bench.origin = "ignore = [\"/private/deep/\"]".to_owned();
    bench.reload().await;
    bench.no_alarm().await;
    // One that is made and removed again.
    sh(&bench, "mkdir -m 700 site/new site/other");
    let said = bench.alarm("unreadable").await;
    assert!(said.contains("2 directories"), "{said}");
    sh(&bench, "rmdir site/new site/other");
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_a_link_that_opens_by_itself_is_looked_at_by_itself() {
    let Some(mut bench) = served().await else {
        return;
    };
    sh(
        &bench,
        "mkdir -p shared/way/media; echo 1 > shared/way/media/m.css; ln -s ../shared/way/media site/media",
    );
    give(&bench.path("shared/way/media"), WEB, 0o750);
    bench.start().await;
    let said = bench.alarm("unreadable").await;
    assert!(said.contains("`media`"), "{said}");
    give(&bench.path("shared/way/media"), WEB, 0o755);
    bench.no_alarm().await;
    bench.purged("/media/m.css").await;
    sh(&bench, "echo 2 > shared/way/media/m.css");
    until("it is purged once more", async || {
        (bench.purges() == ["/media/m.css"; 2]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_counted_until_they_can_be() {
    let Some(mut bench) = served().await else {
        return;
    };
    for name in ["a.css", "b.css", "c.css"] {
        bench.write(name, "one");
    }
    give(&bench.site().join("a.css"), WEB, 0o640);
    give(&bench.site().join("b.css"), WEB, 0o640);
    bench.start().await;
    let counted = async |bench: &Bench, count: u64| {
        until(&format!("{count} are counted"), async || {
            (bench.of_origin().await["unreadable_files"] == count).then_some(())
        })
        .await;
    };
    counted(&bench, 2).await;
    metric(&bench, "edgepurge_unreadable_files{pipeline=\"www\"} 2").await;
    let told = String::from_utf8(bench.run(&["status"]).await.stdout).unwrap();
    assert!(
        told.contains("2 files can't be read, the first is a.css"),
        "{told}"
    );
    bench.no_alarm().await;
    // Nothing was lost for that: size and times tell.
    fs::write(bench.site().join("b.css"), "two two").unwrap();
    bench.purged("/b.css").await;
    give(&bench.site().join("b.css"), WEB, 0o644);
    counted(&bench, 1).await;
    // Also after a start, with the group and without.
    assert_eq!(bench.terminate().await, Some(0));
    bench.start().await;
    counted(&bench, 1).await;
    assert_eq!(bench.terminate().await, Some(0));
    within(&mut bench, &format!("--groups={WEB}"));
    bench.start().await;
    counted(&bench, 0).await;
    bench.rested().await;
    let before = bench.purges().len();
    // Compared by content from now on: the same bytes are no change.
    let same = Command::new("touch")
        .arg(bench.site().join("a.css"))
        .status();
    assert!(same.unwrap().success());
    bench.rested().await;
    assert_eq!(bench.purges().len(), before);
}

/// What `check` warns of, each as `KEY WHY; HINT`.
async fn warnings(bench: &Bench) -> Vec<String> {
    let checked = bench.run(&["--format", "json", "check"]).await;
    assert!(checked.status.success(), "{checked:?}");
    let found: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    let warnings = found["warnings"].as_array().unwrap().iter();
    let text = |one: &serde_json::Value| {
        let part = |name: &str| one[name].as_str().unwrap().to_owned();
        format!("{} {}; {}", part("key"), part("why"), part("hint"))
    };
    warnings.map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_the_roots_as_the_daemons_user_and_names_the_group() {
    let Some(mut bench) = served().await else {
        return;
    };
    bench.write("members/a.css", "one");
    bench.write("b.css", "one");
    bench.write("c.css", "one");
    bench.write("own/d.css", "one");
    bench.start().await;
    assert_eq!(warnings(&bench).await, Vec::<String>::new());

    give(&bench.site().join("members"), WEB, 0o750);
    give(&bench.site().join("b.css"), WEB, 0o640);
    give(&bench.site().join("own"), 0, 0o700);
    let found = warnings(&bench).await;
    let [group, closed, unread] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert!(
        group.starts_with("pipeline[0].origin[0].web_group is not set"),
        "{group}"
    );
    assert!(
        group.contains("2 files or directories") && group.ends_with("web_group = \"61002\""),
        "{group}"
    );
    for part in [
        "pipeline[0].origin[0].root has 2 directories",
        "by uid 61001",
        "`members`",
        "SupplementaryGroups=61002",
    ] {
        assert!(closed.contains(part), "{part}: {closed}");
    }
    for part in [
        "1 files that can't be read",
        "`b.css`",
        "SupplementaryGroups=61002",
    ] {
        assert!(unread.contains(part), "{part}: {unread}");
    }
    // What the configuration says of it is taken in.
    bench.origin = format!("web_group = {WEB}\nignore = [\"/own/\", \"/members/\", \"b.css\"]");
    bench.config();
    assert_eq!(warnings(&bench).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_files_that_the_daemons_user_can_t_read_and_whose_they_are() {
    let Some(mut bench) = served().await else {
        return;
    };
    bench.write("a.css", "one");
    bench.start().await;
    assert_eq!(bench.terminate().await, Some(0));
    let closed = bench.path("closed");
    fs::create_dir(&closed).unwrap();
    let token = closed.join("token");
    fs::write(&token, "0123456789abcdef").unwrap();
    give(&token, 0, 0o600);
    bench.admin = format!("token_file = \"{}\"", token.display());
    let (config, key) = (bench.config(), bench.path("secret_key"));
    let file = |key: &str, path: &Path, whose: &str, remedy: &str| {
        let path = path.display();
        format!(
            "{key} {path} can't be read by uid {USER}, whom the daemon runs as: it is {whose}; {remedy}"
        )
    };
    let chgrp = |path: &Path| {
        let path = path.display();
        format!("chgrp {USER} {path}; chmod 640 {path}")
    };
    give(&closed, 0, 0o711);
    let of_token = file(
        "admin.token_file",
        &token,
        "root:root, mode 0600",
        &chgrp(&token),
    );
    assert_eq!(warnings(&bench).await, [of_token]);

    // A directory above, which is named instead.
    give(&closed, 0, 0o700);
    let found = warnings(&bench).await;
    let [found] = found.as_slice() else {
        panic!("{found:#?}");
    };
    let closed_shown = closed.display();
    for part in [
        format!("{closed_shown} is root:root, mode 0700;"),
        format!("chmod o+x {closed_shown}, or for it alone: setfacl -m u:{USER}:x"),
    ] {
        assert!(found.contains(&part), "{part}: {found}");
    }

    // What is said is the cure.
    give(&closed, 0, 0o711);
    give(&token, USER, 0o640);
    give(&config, 0, 0o600);
    give(&key, 0, 0o600);
    let whose = "root:root, mode 0600";
    assert_eq!(
        warnings(&bench).await,
        [
            file("", &config, whose, &chgrp(&config)),
            file("scaleway.secret_key_file", &key, whose, &chgrp(&key)),
        ]
    );
    give(&config, USER, 0o640);
    give(&key, USER, 0o640);
    // The root, and what is above it, in the same words.
    give(&bench.site(), WEB, 0o750);
    let found = warnings(&bench).await.join("\n");
    assert!(
        found.contains("pipeline[0].origin[0].root ")
            && found.contains("it is root:61002, mode 0750"),
        "{found}"
    );
    assert!(found.contains("SupplementaryGroups=61002"), "{found}");
    give(&bench.site(), 0, 0o755);
    assert_eq!(warnings(&bench).await, Vec::<String>::new());
    chown(&key, Some(USER), Some(USER)).unwrap();
    bench.start().await;
    bench.no_alarm().await;
}
