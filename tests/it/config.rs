//! A bad configuration: exit 78, with everything that is wrong at once.

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn check_accepts_a_good_config_and_prints_it() {
    let bench = Bench::new().await;
    bench.config();
    let check = bench.run(&["check"]).await;
    assert!(check.status.success(), "{check:?}");
    let print = bench.run(&["check", "--print"]).await;
    let printed = String::from_utf8(print.stdout).unwrap();
    assert!(printed.contains("max_assets"), "{printed}");
    let online = bench.run(&["check", "--online"]).await;
    assert!(online.status.success(), "{online:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_said_at_once_with_its_place_and_exit_78() {
    let bench = Bench::new().await;
    bench.config();
    let text = "[scaleway]\nrequests_per_secnd = 5\nburst = \"many\"\n\
                [[pipeline]]\nname = \"www\"\nid = \"no uuid\"\ndebounce = \"soon\"\n";
    std::fs::write(bench.path("config.toml"), text).unwrap();
    for command in ["check", "run"] {
        let output = bench.run(&[command]).await;
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for problem in [
            "config.toml:2:1",
            "requests_per_second",
            "config.toml:3:9",
            "config.toml:6:6",
            "config.toml:7:12",
        ] {
            assert!(said.contains(problem), "{problem} in\n{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_another_project_is_refused() {
    let mut bench = Bench::new().await;
    bench.pipeline = "project_id = \"99999999-9999-4999-8999-999999999999\"".to_owned();
    bench.config();
    for command in [&["run"][..], &["check", "--online"]] {
        let output = bench.run(command).await;
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("project"), "{said}");
    }
}

#[test]
fn the_binary_has_no_secret_in_its_arguments() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_edgepurge"))
        .args(["run", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"));
    for option in options {
        let secret = ["key", "secret", "token", "password"]
            .iter()
            .any(|word| option.contains(word));
        assert!(!secret, "{option}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_a_configuration_that_check_accepts_and_overwrites_none() {
    let bench = Bench::new().await;
    let id = "77777777-7777-4777-8777-777777777777";
    let site = bench.site().display().to_string();
    let made = bench
        .run(&["init", "--pipeline-id", id, "--root", &site])
        .await;
    assert!(made.status.success(), "{made:?}");
    // Only the key is a person's to give.
    let key = "88888888-8888-4888-8888-888888888888";
    let check = bench
        .command(&["check"])
        .env("SCW_SECRET_KEY", key)
        .output();
    let check = check.await.unwrap();
    assert!(check.status.success(), "{check:?}");
    let written = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    assert!(written.contains(&format!("id = \"{id}\"")), "{written}");
    let again = bench.run(&["init"]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let after = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    assert_eq!(after, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_key_of_a_bucket_may_be_in_the_environment() {
    let mut bench = Bench::new().await;
    bench.place = Some("bucket = \"my-site\"\nregion = \"fr-par\"".to_owned());
    bench.config();
    let without = bench.run(&["check"]).await;
    assert_eq!(without.status.code(), Some(78), "{without:?}");
    let mut check = bench.command(&["check"]);
    let check = check.env("SCW_ACCESS_KEY", "SCWXXXXXXXXXXXXXXXXX").output();
    let check = check.await.unwrap();
    assert!(check.status.success(), "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_gets_a_schema_that_takes_what_is_shipped() {
    let bench = Bench::new().await;
    bench.config();
    let schema = bench.run(&["schema"]).await;
    assert!(schema.status.success(), "{schema:?}");
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    let Some(modules) = std::env::var_os("EDGEPURGE_TEST_NODE_MODULES") else {
        crate::bench::skip("EDGEPURGE_TEST_NODE_MODULES has no ajv; tests/run does");
        return;
    };
    let example = include_str!("../../config.example.toml");
    let used = example.lines().map(|line| match line.strip_prefix('#') {
        Some(left_out) if !left_out.starts_with(' ') => left_out,
        _ => line,
    });
    let used = used.collect::<Vec<_>>().join("\n");
    let ours = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    let misspelt = example.replacen("debounce", "debunce", 1);
    let mut lines = format!("{schema}\n");
    for text in [example, &used, &ours, &misspelt] {
        let document: toml::Table = text.parse().unwrap();
        lines += &serde_json::to_string(&document).unwrap();
        lines.push('\n');
    }
    let input = bench.path("documents");
    std::fs::write(&input, lines).unwrap();
    let validated = std::process::Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/schema.mjs"))
        .env("NODE_MODULES", modules)
        .stdin(std::fs::File::open(&input).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8(validated.stdout).unwrap();
    let refused = "/pipeline/0 must NOT have additional properties";
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["valid", "valid", "valid", refused]
    );
}
