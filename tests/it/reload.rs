//! Reload by SIGHUP: what changed in the configuration holds, what is wrong keeps the old one, and
//! nothing is lost either way.

use serde_json::{Value, json};

use crate::bench::{Bench, text, until};

const OTHER: &str = "77777777-7777-4777-8777-777777777777";
const STAYS: &str = "the one of before stays";

async fn metrics(bench: &Bench) -> String {
    let client = reqwest::Client::builder()
        .unix_socket(bench.path("admin.sock"))
        .build()
        .unwrap();
    let request = client.get("http://localhost/metrics").send();
    request.await.unwrap().text().await.unwrap()
}

async fn is_armed(bench: &Bench) {
    until("the origin is watched again", async || {
        let status = bench.status().await;
        (status["pipelines"][0]["origins"][0]["armed"] == true).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_running_configuration_and_says_everything_that_is_wrong() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let good = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    let success = "edgepurge_config_reload_success";
    assert!(metrics(&bench).await.contains(&format!("{success} 1")));

    let bad = good.replace("root =", "rot =") + "\ndebounce = 5\n[nonsense]\n";
    std::fs::write(bench.path("config.toml"), bad).unwrap();
    bench.hangup(STAYS).await;
    let log = bench.log();
    for problem in ["rot", "nonsense"] {
        let line = log
            .lines()
            .find(|line| line.contains(STAYS) && line.contains(problem));
        assert!(line.is_some(), "{problem} in\n{log}");
    }
    // The commands read the file too, so they are asked without it.
    std::fs::write(bench.path("config.toml"), &good).unwrap();
    let status = bench.status().await;
    assert_eq!(status["alarms"][0]["reason"], "config", "{status}");
    assert!(metrics(&bench).await.contains(&format!("{success} 0")));
    bench.write("a.css", "new");
    bench.purged("/a.css").await;

    bench.reload().await;
    is_armed(&bench).await;
    assert_eq!(bench.status().await["alarms"], json!([]));
    assert!(metrics(&bench).await.contains(&format!("{success} 1")));
    bench.write("b.css", "new");
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_while_it_runs_is_refused_with_the_way_out() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let good = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    let elsewhere = good
        .replace("/state\"", "/elsewhere\"")
        .replace("127.0.0.1:0", "127.0.0.1:1");
    std::fs::write(bench.path("config.toml"), elsewhere).unwrap();
    bench.hangup(STAYS).await;
    std::fs::write(bench.path("config.toml"), good).unwrap();
    for key in ["state.directory: is", "admin.listen: is"] {
        let log = bench.log();
        let line = log.lines().find(|line| line.contains(key)).expect(key);
        assert!(line.contains("systemctl restart edgepurge"), "{line}");
    }
    // Only what the daemon can't do without was looked at.
    let key = bench.path("secret_key");
    let secret = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    bench.hangup(STAYS).await;
    std::fs::write(&key, secret).unwrap();
    bench.write("a.css", "new");
    bench.purged("/a.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mapping_adds_the_new_assets_of_what_is_queued_and_removes_none() {
    let mut bench = Bench::new().await;
    bench.write("old.css", "one");
    bench.write("drafts/a.html", "one");
    bench.start().await;
    bench.run(&["pause", "www"]).await;
    bench.write("old.css", "two");
    let queued = async |bench: &Bench, count: u64| {
        until(&format!("{count} assets are queued"), async || {
            let status = bench.status().await;
            let pipeline = &status["pipelines"][0];
            (pipeline["queued_assets"] == count).then_some(())
        })
        .await;
    };
    queued(&bench, 1).await;
    bench.pipeline.push_str(
        "\n[[pipeline.rule]]\nmatch = [\"*.css\"]\npurge = [\"/bundle/{stem}\", \"/all.css\"]\n",
    );
    // What leaves by configuration is forgotten, not purged.
    bench.origin = "ignore = [\"drafts/\"]".to_owned();
    bench.reload().await;
    queued(&bench, 3).await;
    bench.reload().await;
    is_armed(&bench).await;
    queued(&bench, 3).await;
    bench.write("new.css", "one");
    queued(&bench, 4).await;
    bench.origin.clear();
    bench.reload().await;
    is_armed(&bench).await;
    let resumed = bench.run(&["resume", "www"]).await;
    assert!(resumed.status.success(), "{resumed:?}");
    bench.settle().await;
    let purged = ["/all.css", "/bundle/new", "/bundle/old", "/old.css"];
    assert_eq!(bench.purges(), purged);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_come_and_go_and_no_change_is_lost_in_between() {
    let mut bench = Bench::new().await;
    for number in 0..20 {
        bench.write(&format!("{number}.css"), "zero");
    }
    bench.start().await;
    let site = bench.path("other");
    std::fs::create_dir(&site).unwrap();
    let other = format!(
        "[[pipeline]]\nname = \"other\"\nid = \"{OTHER}\"\n[[pipeline.origin]]\nroot = \"{}\"\n",
        site.display()
    );
    for round in 1..=4 {
        for number in 0..20 {
            bench.fetch(&format!("/{number}.css")).await;
        }
        bench.origin = if round % 2 == 1 {
            other.clone()
        } else {
            String::new()
        };
        bench.config();
        let text = format!("round {round}");
        bench.write(&format!("{round}.css"), &text);
        bench.reload().await;
        bench.write(&format!("{}.css", round + 10), &text);
        let status = bench.status().await;
        let names: Vec<&Value> = status["pipelines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pipeline| &pipeline["name"])
            .collect();
        assert_eq!(names.len(), 1 + round % 2, "{names:?}");
    }
    bench.settle().await;
    for number in 0..20 {
        let name = format!("{number}.css");
        let origin = std::fs::read_to_string(bench.site().join(&name)).unwrap();
        let (_, _, edge) = bench.fetch(&format!("/{name}")).await;
        assert_eq!(edge, origin, "{name} is stale at the edge");
    }
    assert_eq!(bench.terminate().await, Some(0));
    assert!(
        !bench.path("admin.sock").exists(),
        "the socket goes with the daemon"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_does_not_start_gives_way_to_the_one_of_before() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (scaleway, origin) = (bench.scaleway.clone(), bench.origin.clone());
    let listen = format!(
        "\n[webhooks]\nlisten = \"{}\"\n",
        taken.local_addr().unwrap()
    );
    bench.scaleway.push_str(&listen);
    bench.origin.push_str(
        "\n[[pipeline.webhook]]\nroute = \"/hooks/www\"\nkind = \"generic\"\nauth = \"none\"\n",
    );
    bench.config();
    bench.write("a.css", "new");
    bench.hangup(STAYS).await;
    bench.write("b.css", "new");
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);
    assert_eq!(bench.status().await["alarms"][0]["reason"], "config");

    drop(taken);
    bench.reload().await;
    assert_eq!(
        bench.status().await["webhooks"]["routes"][0]["route"],
        "/hooks/www"
    );
    (bench.scaleway, bench.origin) = (scaleway, origin);
    bench.reload().await;
    assert_eq!(bench.status().await["webhooks"], Value::Null);
    bench.write("c.css", "new");
    bench.purged("/c.css").await;
}

#[tokio::test]
async fn a_file_that_was_refused_keeps_no_command_from_the_daemon_that_runs() {
    let mut bench = Bench::new().await;
    bench.start().await;
    bench.admin = "fleet_wait = \"1s\"".to_owned();
    bench.config();
    bench.hangup("the configuration is not reloaded").await;
    let commands: [&[&str]; 4] = [
        &["pause", "www"],
        &["resume", "www"],
        &["wait", "www"],
        &["status"],
    ];
    for command in commands {
        let done = bench.run(command).await;
        assert_eq!(done.status.code(), Some(0), "{command:?} {done:?}");
        let said = text(&done.stderr);
        for words in [
            "goes on with the configuration of before",
            "admin.fleet_wait",
        ] {
            assert!(said.contains(words), "{command:?}: {said}");
        }
    }
    bench.terminate().await;
    let refused = bench.run(&["status"]).await;
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
}
