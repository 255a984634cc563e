//! Not enough watches, or none at all. The limits are those of a user namespace of the daemon's own, so
//! that no other program notices.

use std::process::Command;

use super::machine::has;
use crate::bench::{Bench, skip_unprivileged, until};

/// A daemon in a namespace where a limit is this.
pub(crate) async fn limited(limit: &str, value: &str) -> Option<Bench> {
    if !has("unshare") || !has("nsenter") {
        return None;
    }
    let user = ["--user", "--map-root-user"];
    let probe = Command::new("unshare").args(user).arg("true").output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        skip_unprivileged("this user may not make user namespaces");
        return None;
    }
    let mut bench = Bench::new().await;
    let set = format!("echo {value} > /proc/sys/user/{limit}; exec \"$@\"");
    bench.within = ["unshare"]
        .iter()
        .chain(&user)
        .chain(&["sh", "-ec", &set, "sh"])
        .map(|word| (*word).to_owned())
        .collect();
    Some(bench)
}

/// The operator raises it.
fn raise(bench: &Bench, limit: &str) {
    let set = format!("echo 1000 > /proc/sys/user/{limit}");
    let pid = bench.pid().to_string();
    let raised = Command::new("nsenter")
        .args([
            "--user",
            "--preserve-credentials",
            "--target",
            &pid,
            "sh",
            "-ec",
            &set,
        ])
        .output()
        .unwrap();
    assert!(raised.status.success(), "{raised:?}");
}

/// What `GET /readyz` answers.
async fn ready(bench: &Bench) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::UnixStream::connect(bench.path("admin.sock"))
        .await
        .unwrap();
    let ask = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(ask).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_of_watches_the_rest_is_polled_and_the_sysctl_is_named() {
    let Some(mut bench) = limited("max_inotify_watches", "20").await else {
        return;
    };
    let names: Vec<String> = (0..40).map(|n| format!("{n:02}/page.css")).collect();
    for name in &names {
        bench.write(name, "one");
    }
    bench.start().await;
    let said = bench.alarm("watch_limit").await;
    assert!(said.contains("fs.inotify.max_user_watches"), "{said}");
    let origin = bench.of_origin().await;
    assert_eq!(origin["polling"], true);
    let watched = origin["watched_directories"].as_u64().unwrap();
    assert!((1..20).contains(&watched), "{origin}");
    assert!(
        origin["unwatched_directories"].as_u64().unwrap() > 20,
        "{origin}"
    );

    for name in &names {
        bench.write(name, "two");
    }
    // A directory that is made meanwhile, and filled.
    bench.write("new/deep/page.css", "new");
    bench.rested().await;
    let mut expected: Vec<_> = names.iter().map(|name| format!("/{name}")).collect();
    expected.push("/new/deep/page.css".to_owned());
    assert_eq!(bench.purges(), expected);
    // Without anybody who waits for it, too.
    bench.write("39/page.css", "three");
    bench.write("00/page.css", "three");
    until("the poll finds them", async || {
        (bench.purges().len() == 43).then_some(())
    })
    .await;
    assert_eq!(bench.of_origin().await["drift"], 0);

    raise(&bench, "max_inotify_watches");
    bench.no_alarm().await;
    until("everything is watched", async || {
        let origin = bench.of_origin().await;
        (origin["polling"] == false && origin["watched_directories"] == 43).then_some(())
    })
    .await;
    bench.write("39/page.css", "four");
    bench.purged("/39/page.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_inotify_instance_the_origin_is_ready_and_polled_until_there_is_one() {
    let Some(mut bench) = limited("max_inotify_instances", "0").await else {
        return;
    };
    bench.write("a.css", "one");
    bench.start().await;
    let said = bench.alarm("watch").await;
    assert!(said.contains("fs.inotify.max_user_instances"), "{said}");
    let answer = ready(&bench).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let origin = bench.of_origin().await;
    assert_eq!(
        (&origin["polling"], &origin["watched_directories"]),
        (&true.into(), &0.into())
    );
    bench.write("a.css", "two");
    until("the poll finds it", async || {
        (bench.purges() == ["/a.css"]).then_some(())
    })
    .await;
    // Whoever waits for a deploy is not held up by the tries for a watch.
    bench.write("b/b.css", "new");
    bench.rested().await;
    assert_eq!(bench.purges(), ["/a.css", "/b/b.css"]);

    raise(&bench, "max_inotify_instances");
    bench.no_alarm().await;
    until("it is watched", async || {
        let origin = bench.of_origin().await;
        (origin["polling"] == false && origin["watched_directories"] == 2).then_some(())
    })
    .await;
    bench.write("b/b.css", "more");
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css", "/b/b.css", "/b/b.css"]);
}
