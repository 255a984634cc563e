//! What a service tells: systemd when it is ready and what it waits for, the log when an alarm begins and
//! ends, an operator how a secret is renewed and what looks wrong with one. As far as that takes no systemd.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use secrecy::ExposeSecret as _;

use crate::bench::{Bench, SHOP, skip_unprivileged, until};
use crate::hostile::machine::{Mount, Systemd};

/// Runs the daemon with more variables.
fn with(bench: &mut Bench, variables: &[(&str, &str)]) {
    let variables = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    bench.within = ["env".to_owned()].into_iter().chain(variables).collect();
}

fn lines<'a>(log: &'a str, words: &[&str]) -> Vec<&'a str> {
    let all = |line: &&str| words.iter().all(|word| line.contains(word));
    log.lines().filter(all).collect()
}

async fn logged(bench: &Bench, words: &[&str]) -> String {
    until(&format!("the log says {words:?}"), async || {
        lines(&bench.log(), words)
            .first()
            .map(|line| (*line).to_owned())
    })
    .await
}

async fn ready(bench: &Bench) -> (u16, String) {
    let socket = bench.path("admin.sock");
    let client = reqwest::Client::builder()
        .unix_socket(socket)
        .build()
        .unwrap();
    let answer = client.get("http://localhost/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_root_holds_up_neither_start_nor_reload_and_is_said_once() {
    let mut bench = Bench::new().await;
    let mut systemd = Systemd::of(&mut bench);
    let shop = bench.path("shop");
    bench.origin = format!(
        "[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n[[pipeline.origin]]\nroot = \"{}\"",
        shop.display()
    );
    bench.start().await;
    systemd.hears_ready(1).await;
    systemd.hears("STATUS=1 alarm: shop: root_missing").await;
    assert_eq!(ready(&bench).await, (200, "ready\n".to_owned()));
    bench.reload().await;
    systemd.hears_ready(2).await;
    bench.write("a.css", "new");
    bench.purged("/a.css").await;

    fs::create_dir(&shop).unwrap();
    fs::write(shop.join("b.css"), "new").unwrap();
    let over = logged(
        &bench,
        &["the alarm root_missing is over", "pipeline=\"shop\""],
    )
    .await;
    assert!(
        over.contains("INFO") && over.contains("reason=\"root_missing\""),
        "{over}"
    );
    systemd.hears("STATUS=fresh; ").await;
    let log = bench.log();
    let began = lines(&log, &["ERROR", "ALARM", "root_missing", "shop"]);
    assert_eq!(began.len(), 1, "{began:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_each_part_is_an_error_that_begins_and_an_info_that_ends() {
    let mut bench = Bench::new().await;
    for number in 0..50 {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.start().await;
    // The configuration, the planner, an origin.
    let good = fs::read_to_string(bench.path("config.toml")).unwrap();
    fs::write(bench.path("config.toml"), good.replace("root =", "rout =")).unwrap();
    bench.hangup("the one of before stays").await;
    fs::write(bench.path("config.toml"), &good).unwrap();
    bench.sandbox.revoke_key();
    bench.write("a.css", "new");
    bench.alarm("unauthorized").await;
    bench.run(&["pause", "www"]).await;
    for number in 0..50 {
        fs::remove_file(bench.site().join(format!("{number}.css"))).unwrap();
    }
    bench.alarm("loss").await;
    for reason in ["config", "unauthorized", "loss"] {
        let begun = logged(&bench, &["ERROR", "ALARM", &format!("reason=\"{reason}\"")]).await;
        assert!(begun.contains("ALARM: "), "{begun}");
    }
    for number in 0..50 {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.sandbox.restore_key();
    bench.run(&["resume", "www"]).await;
    bench.run(&["retry", "www"]).await;
    bench.reload().await;
    for reason in ["config", "unauthorized", "loss"] {
        logged(&bench, &["INFO", &format!("the alarm {reason} is over")]).await;
    }
    let log = bench.log();
    assert_eq!(
        lines(&log, &["ERROR", "ALARM", "reason=\"loss\""]).len(),
        1,
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_told_with_what_makes_a_new_one_count() {
    for (place, words, never) in [
        ("file", vec!["secret_key", "by itself"], "restart"),
        (
            "credential",
            vec!["scw_secret_key", "systemctl restart edgepurge"],
            "by itself",
        ),
    ] {
        let mut bench = Bench::new().await;
        let key = bench.sandbox.secret_key().expose_secret().to_owned();
        let directory = bench.path("edgepurge.service");
        fs::create_dir(&directory).unwrap();
        if place == "credential" {
            fs::write(directory.join("scw_secret_key"), &key).unwrap();
            with(
                &mut bench,
                &[("CREDENTIALS_DIRECTORY", directory.to_str().unwrap())],
            );
        }
        bench.start().await;
        bench.sandbox.revoke_key();
        bench.write("a.css", "new");
        let alarm = bench.alarm("unauthorized").await;
        for word in words {
            assert!(alarm.contains(word), "{place}: {word} in {alarm}");
        }
        assert!(!alarm.contains(never), "{place}: {alarm}");
        assert!(!alarm.contains(&key), "the alarm has the key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_that_credentials_are_copies_and_so_does_the_status() {
    let mut bench = Bench::new().await;
    let directory = bench.path("edgepurge-of-nobody.service");
    fs::create_dir(&directory).unwrap();
    let key = bench.sandbox.secret_key();
    fs::write(directory.join("scw_secret_key"), key.expose_secret()).unwrap();
    with(
        &mut bench,
        &[("CREDENTIALS_DIRECTORY", directory.to_str().unwrap())],
    );
    bench.start().await;
    let status = bench.status().await;
    assert_eq!(status["credentials"][0]["name"], "scw_secret_key");
    assert_eq!(status["credentials"][0]["changed"], serde_json::Value::Null);
    let text = bench.run(&["status"]).await.stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("secret scw_secret_key: the copy that systemd made"),
        "{text}"
    );
    let said = ["WARN", "scw_secret_key", "systemctl restart edgepurge"];
    assert_eq!(lines(&bench.log(), &said), Vec::<&str>::new());
    bench.reload().await;
    logged(&bench, &said).await;

    // A systemd that renews them at a reload makes new files.
    let before = lines(&bench.log(), &said).len();
    let copy = directory.join("scw_secret_key");
    let file = fs::File::options().write(true).open(&copy).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    bench.reload().await;
    assert_eq!(lines(&bench.log(), &said).len(), before);
}

/// What `check` says of a configuration with a token whose file is this.
async fn checked(bench: &Bench, token: &[u8], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let path = bench.path("token");
    fs::write(&path, token).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut check = bench.command(&["check"]);
    check.envs(variables.iter().copied());
    let output = check.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let token = String::from_utf8_lossy(token).trim().to_owned();
    assert!(!said.contains(&token), "{said}");
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_each_secret_that_looks_wrong() {
    const TOKEN: &str = "7hJk2mNp9qRs4tVw";
    let bench = Bench::new().await;
    let config = format!(
        "[admin]\ntoken_file = \"{}\"\n[[pipeline]]\nname = \"www\"\nid = \"{SHOP}\"\n",
        bench.path("token").display()
    );
    fs::write(bench.path("config.toml"), config).unwrap();
    let good = [("SCW_SECRET_KEY", "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")];
    for fine in [
        TOKEN.to_owned(),
        format!("{TOKEN}\n"),
        format!("\u{feff}{TOKEN}\r\n"),
        format!("{TOKEN}\r"),
    ] {
        let (code, said) = checked(&bench, fine.as_bytes(), &good).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("warning"), "{fine:?}: {said}");
    }
    for (token, word) in [
        (format!("{TOKEN} \n"), "space"),
        (format!("{TOKEN}\n\n"), "line break"),
        (format!("\u{feff}\u{feff}{TOKEN}"), "blank"),
        (format!("\"{TOKEN}\"\n"), "quotes"),
        (format!("ADMIN_TOKEN={TOKEN}\n"), "NAME="),
        (format!("Bearer {TOKEN}\n"), "scheme"),
    ] {
        let (code, said) = checked(&bench, token.as_bytes(), &good).await;
        let warned = warned(&said, &["admin.token_file", word]);
        assert_eq!((code, warned), (Some(0), 1), "{token:?}: {said}");
    }
    let (code, said) = checked(&bench, b"\xff\xfea\0b\0c\0", &good).await;
    assert!(code == Some(78) && said.contains("UTF-16"), "{said}");
    for (key, word) in [
        ("\"0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d\"", "quotes"),
        ("SCW0A1B2C3D4E5F6G7HZ", "access key"),
        ("0a1b2c3d4e5f4a6b8c7d9e0f", "no UUID"),
    ] {
        let (code, said) = checked(&bench, TOKEN.as_bytes(), &[("SCW_SECRET_KEY", key)]).await;
        let warned = warned(&said, &["SCW_SECRET_KEY", word]);
        assert_eq!((code, warned), (Some(0), 1), "{key}: {said}");
        assert!(!said.contains(key), "{said}");
    }
}

/// How many warnings of `check` have all of these words.
fn warned(said: &str, words: &[&str]) -> usize {
    let warnings = said
        .split("\n\n")
        .filter(|one| one.starts_with("warning: "));
    let has = |one: &&str| words.iter().all(|word| one.contains(word));
    warnings.filter(has).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_root_gave_to_a_group_is_taken_and_one_for_everybody_is_not() {
    if !rustix::process::geteuid().is_root() {
        return skip_unprivileged("only root may give a file to a group");
    }
    let bench = Bench::new().await;
    let config = bench.config();
    let key = bench.path("secret_key");
    let given = |mode, group| {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        chown(&key, Some(0), Some(group)).unwrap();
    };
    for (mode, group, fit) in [
        (0o440, 4711, true),
        (0o640, 4711, true),
        (0o440, 0, false),
        (0o444, 4711, false),
    ] {
        given(mode, group);
        let output = bench.run(&["check"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        let code = if fit { 0 } else { 78 };
        assert_eq!(output.status.code(), Some(code), "{mode:o} {group}: {said}");
        assert_eq!(said.contains("chmod 600"), !fit, "{said}");
    }
    // Mounted read-only, as in a container, where nobody can change it: the platform has to.
    let mounted = bench.path("mounted");
    fs::create_dir(&mounted).unwrap();
    let options = ["-o", "bind,ro", bench.path("").to_str().unwrap()].map(str::to_owned);
    given(0o440, 0);
    let Ok(mount) = Mount::new(&options.each_ref().map(String::as_str), &mounted) else {
        return skip_unprivileged("this root may not mount");
    };
    let text = fs::read_to_string(&config).unwrap();
    let there = mounted.join("secret_key").display().to_string();
    fs::write(&config, text.replace(key.to_str().unwrap(), &there)).unwrap();
    let output = bench.run(&["check"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    given(0o444, 0);
    let output = bench.run(&["check"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("defaultMode") && !said.contains("chmod"),
        "{said}"
    );
    mount.off().await;
}
