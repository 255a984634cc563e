//! The commands, as a person types them.

use edgepurge::sandbox::{Fault, Operation};

use crate::bench::{Bench, PIPELINE, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn purge_waits_until_it_is_done() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "a");
    bench.start().await;
    bench.fetch("/a.css").await;
    let purged = bench
        .run(&[
            "purge",
            "www",
            "/a.css",
            "https://example.com/b%7Ec?x=1",
            "--wait",
        ])
        .await;
    assert!(purged.status.success(), "{purged:?}");
    assert!(
        text(&purged.stdout).starts_with("purged 2 assets of www"),
        "{purged:?}"
    );
    assert_eq!(bench.purges(), ["/a.css", "/b%7Ec?x=1"]);
    assert_eq!(bench.fetch("/a.css").await.1, "miss");

    let all = bench.json(&["purge", PIPELINE, "--all", "--wait"]).await;
    assert_eq!(all["done"], 1, "{all}");
    assert_eq!(bench.purges(), ["*", "/a.css", "/b%7Ec?x=1"]);

    for wrong in [
        &["purge", "www"][..],
        &["purge", "www", "/a", "--all"],
        &["purge", "nobody", "/a"],
        &["purge", "www", "a/../b"],
        &["purge", "www", "/none/*.css"],
    ] {
        let refused = bench.run(wrong).await;
        let code = refused.status.code();
        assert!(matches!(code, Some(1 | 2)), "{wrong:?}: {refused:?}");
        assert!(!refused.stderr.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_is_the_api_as_it_is_with_and_without_a_daemon() {
    let mut bench = Bench::new().await;
    bench.config();
    let created = bench
        .json(&[
            "requests",
            "create",
            "--pipeline-id",
            PIPELINE,
            "--asset",
            "/x",
            "--wait",
        ])
        .await;
    assert_eq!(created["status"], "done");
    assert_eq!(created["assets"], serde_json::json!(["/x"]));

    bench.start().await;
    let created = bench
        .json(&[
            "requests",
            "create",
            "--pipeline-id",
            PIPELINE,
            "--asset",
            "/y",
            "--asset",
            "/z",
            "--wait",
        ])
        .await;
    assert_eq!(created["status"], "done");
    let id = created["id"].as_str().unwrap();
    assert_eq!(bench.json(&["requests", "get", id]).await["id"], id);
    let listed = bench
        .json(&[
            "requests",
            "list",
            "--pipeline-id",
            PIPELINE,
            "--order-by",
            "created_at_desc",
        ])
        .await;
    assert_eq!(listed["total_count"], 2);
    assert_eq!(listed["purge_requests"][0]["id"], id);
    let paged = bench
        .json(&["requests", "list", "--page", "2", "--page-size", "1"])
        .await;
    assert_eq!(paged["purge_requests"].as_array().unwrap().len(), 1);
    let all = bench
        .json(&["requests", "list", "--page-size", "1", "--all-pages"])
        .await;
    assert_eq!(all["purge_requests"].as_array().unwrap().len(), 2);
    let other = "77777777-7777-4777-8777-777777777777";
    for filter in ["--pipeline-id", "--project-id", "--organization-id"] {
        let none = bench.json(&["requests", "list", filter, other]).await;
        assert_eq!(none["total_count"], 0, "{filter}");
    }
    // Recorded as manual, and tracked, since a daemon runs.
    let history = until("the history has it settled", async || {
        let status = bench.status().await;
        (status["settled"] == true).then_some(status)
    })
    .await;
    assert_eq!(history["pipelines"][0]["failed_assets"], 0);

    let unknown = bench.run(&["requests", "get", other]).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let neither = bench
        .run(&["requests", "create", "--pipeline-id", PIPELINE])
        .await;
    assert_eq!(neither.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_need_the_daemon_exit_75_without_it() {
    let bench = Bench::new().await;
    bench.config();
    for command in [&["status"][..], &["purge", "www", "/a"]] {
        let output = bench.run(command).await;
        assert_eq!(output.status.code(), Some(75), "{command:?}");
        assert!(text(&output.stderr).contains("systemctl start edgepurge"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_answers_over_tcp_and_refuses_strangers() {
    let mut bench = Bench::new().await;
    bench.write("index.html", "one");
    bench.start().await;
    let started = bench.log();
    let address = started
        .split("admin=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("the log names the address");
    let get = async |path: &str, host: &str| {
        let request = reqwest::Client::new()
            .get(format!("http://{address}{path}"))
            .header("host", host);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for path in ["/healthz", "/readyz", "/api/v1/status", "/api/v1/requests"] {
        assert_eq!(get(path, "localhost").await.0, 200, "{path}");
    }
    let (status, metrics) = get("/metrics", "localhost").await;
    assert_eq!(status, 200);
    for metric in [
        "edgepurge_indexed_files{pipeline=\"www\"} 1",
        "edgepurge_changes_total{pipeline=\"www\",source=\"watch\"} 0",
        "edgepurge_queued_assets{pipeline=\"www\"} 0",
        "edgepurge_build_info{",
    ] {
        assert!(metrics.contains(metric), "{metric} in\n{metrics}");
    }
    assert_eq!(get("/api/v1/status", "evil.example").await.0, 421);
    let purge = reqwest::Client::new()
        .post(format!("http://{address}/api/v1/purge"))
        .json(&serde_json::json!({"pipeline": "www", "all": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(purge.status().as_u16(), 403, "no token, no change over TCP");
    for change in ["pause", "resume", "retry", "drop", "scan"] {
        let post = reqwest::Client::new()
            .post(format!("http://{address}/api/v1/{change}"))
            .json(&serde_json::json!({"pipeline": "www"}));
        assert_eq!(
            post.send().await.unwrap().status().as_u16(),
            403,
            "{change}"
        );
    }
    assert!(bench.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_error() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let program = env!("CARGO_BIN_EXE_edgepurge");
    let config = bench.path("config.toml");
    let line = format!(
        "'{program}' --config '{}' --format json status | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}",
        config.display()
    );
    let output = tokio::process::Command::new("bash")
        .args(["-c", &line])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_in_no_log_no_answer_and_no_database() {
    use secrecy::ExposeSecret as _;
    let mut bench = Bench::new().await;
    bench.log_level = "trace".to_owned();
    let key = bench.sandbox.secret_key();
    let key = key.expose_secret();
    bench.start().await;
    let refusal = format!(r#"{{"message":"you sent {key}"}}"#);
    bench.sandbox.script(
        Fault::Refuse {
            status: 400,
            body: refusal,
        }
        .on(Operation::Create),
    );
    bench.write("a.css", "a");
    until("the refusal is logged", async || {
        bench.log().contains("you sent [secret]").then_some(())
    })
    .await;
    bench.settle().await;
    assert!(bench.log().contains("X-Request-Id") || bench.log().contains("request_id"));
    assert_eq!(bench.terminate().await, Some(0));

    let mut looked_at = 0;
    for directory in [bench.path(""), bench.path("state")] {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("secret_key") {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes
                    .windows(key.len())
                    .any(|window| window == key.as_bytes());
                assert!(!found, "{} has the key", path.display());
                looked_at += 1;
            }
        }
    }
    // The configuration, the log and two databases.
    assert!(looked_at >= 4, "{looked_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_can_complete_it_and_every_command_has_a_manual_page() {
    let bench = Bench::new().await;
    let script = bench.run(&["completions", "bash"]).await;
    assert!(script.status.success(), "{script:?}");
    let file = bench.path("completions.bash");
    std::fs::write(&file, &script.stdout).unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_edgepurge"));
    let programs = format!("{}:/usr/bin:/bin", binary.parent().unwrap().display());
    let completed = |words: &str| {
        let asks = format!(
            ". {}; COMP_WORDS=(edgepurge {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _clap_complete_edgepurge edgepurge \"${{COMP_WORDS[COMP_CWORD]}}\"; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        let shell = std::process::Command::new("bash")
            .args(["-c", &asks])
            .env("PATH", &programs)
            .output()
            .unwrap();
        text(&shell.stdout).trim().replace('\n', " ")
    };
    assert_eq!(completed("de"), "demo deploy");
    // Pipelines are those of the configuration that the line names.
    let config = bench.config();
    let config = config.display();
    assert_eq!(completed(&format!("--config {config} status w")), "www");
    assert_eq!(completed(&format!("purge --config={config} w")), "www");
    assert_eq!(completed("--config /nowhere.toml pause w"), "");

    let pages = bench.path("man");
    let written = bench.run(&["man", pages.to_str().unwrap()]).await;
    assert!(written.status.success(), "{written:?}");
    let help = text(&bench.run(&["help"]).await.stdout);
    let commands = help.lines().skip_while(|line| *line != "Set up:").skip(1);
    let mut found = 0;
    for line in commands.take_while(|line| *line != "Options:") {
        // A text that goes on in the next line is further to the right.
        let listed = line
            .strip_prefix("  ")
            .filter(|rest| !rest.starts_with(' '));
        let Some(name) = listed.and_then(|rest| rest.split_whitespace().next()) else {
            continue;
        };
        if name != "help" {
            let page = std::fs::read_to_string(pages.join(format!("edgepurge-{name}.1"))).unwrap();
            for section in [
                "SYNOPSIS",
                "EXIT STATUS",
                "FILES",
                "ENVIRONMENT",
                "SEE ALSO",
            ] {
                let header = [format!(".SH {section}"), format!(".SH \"{section}\"")];
                let has = page
                    .lines()
                    .any(|line| header.iter().any(|one| one == line));
                assert!(has, "{name}: {section}");
            }
            found += 1;
        }
    }
    assert!(found > 10, "{help}");
    let page = std::fs::read_to_string(pages.join("edgepurge-status.1")).unwrap();
    let file = "\n\\fI/etc/edgepurge/config.toml\\fR\n";
    assert!(page.contains(file), "{page}");
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!page.contains(control), "{page:?}");
    let page = std::fs::read_to_string(pages.join("edgepurge.toml.5")).unwrap();
    for header in [".SH [state]", ".SH [[pipeline.webhook]]"] {
        assert!(page.lines().any(|line| line == header), "{page}");
    }
    let gone_after = "Value: a duration, 0s to 1h. Default: \"2s\".";
    assert!(page.contains(gone_after), "{page}");
    // What roff does not understand is a warning, and lost in the page.
    match std::process::Command::new("groff")
        .args(["-man", "-ww", "-Tutf8", "-z"])
        .arg(pages.join("edgepurge.toml.5"))
        .arg(pages.join("edgepurge-status.1"))
        .output()
    {
        Ok(checked) => assert_eq!(text(&checked.stderr), ""),
        Err(_) => crate::bench::skip(
            "there is no groff, which tells whether a manual page is well written",
        ),
    }
}
