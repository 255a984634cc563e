//! Every problem is reported at once: what is wrong with one key hides nothing of another.

use super::*;

/// The key and the reason of each problem, in the order of the file.
fn told(toml: &str) -> Vec<(String, String)> {
    let environment = Environment::default();
    let problems = Config::parse(Path::new("c.toml"), toml, &environment);
    let problems = problems.expect_err("there are problems").into_list();
    problems
        .into_iter()
        .map(|problem| {
            assert!(!problem.hint.is_empty(), "{problem}");
            assert!(problem.line.is_some(), "{problem}");
            let key = problem.key.rsplit('.').next().unwrap().to_owned();
            (key, problem.why)
        })
        .collect()
}

/// The keys of the problems.
fn keys(toml: &str) -> Vec<String> {
    told(toml).into_iter().map(|(key, _)| key).collect()
}

#[test]
fn patterns_that_ignore_nothing_are_told_with_the_reason() {
    for (pattern, why) in [
        ("[a", "unclosed character class"),
        ("cache/[0-9", "unclosed character class"),
        ("![b", "unclosed character class"),
        ("tmp/{a,b", "unclosed alternate group"),
        ("a}", "unopened alternate group"),
        ("[z-a]", "invalid"),
        ("x\\\\", "dangling"),
        ("./cache/", "matches nothing"),
        ("../other", "matches nothing"),
        ("cache//old", "matches nothing"),
        ("!./keep", "matches nothing"),
        ("/", "matches nothing"),
        ("/srv/www/cache", "begins with the root"),
        ("/srv/www/", "begins with the root"),
        ("#comment", "ignores nothing"),
    ] {
        let toml = origin(&format!("ignore = [\"*.bak\", \"{pattern}\"]\n"));
        let told = told(&toml);
        let [(key, reason)] = told.as_slice() else {
            panic!("{pattern}: {told:?}");
        };
        assert_eq!(key, "ignore[1]", "{pattern}");
        assert!(reason.contains(why), "{pattern}: {reason}");
    }
    for pattern in [
        "*.tmp",
        ".git/",
        "/cache",
        "a/**/b",
        "**",
        "[!a]x",
        "[]-]",
        "\\\\[a",
        "{a,b}",
        "!keep.me",
        ".*",
        "...",
        "/srv/wwwold",
        "srv/www",
        "*/",
    ] {
        config(&origin(&format!("ignore = [\"{pattern}\"]\n")));
    }
}

#[test]
fn globs_of_rules_that_match_nothing_are_told() {
    for (glob, why) in [
        ("posts/", "ends with /"),
        ("./a.css", "matches nothing"),
        ("a/../b.css", "matches nothing"),
        ("a//b.css", "matches nothing"),
        ("!a.css", "begins with !"),
        ("{a,b", "unclosed alternate group"),
        ("[a", "unclosed character class"),
        ("a\\\\", "dangling"),
        ("/a", "begins with /"),
    ] {
        let rule = format!("[[pipeline.rule]]\nmatch = [\"ok\", \"{glob}\"]\npurge = \"all\"\n");
        let told = told(&origin(&rule));
        let [(key, reason)] = told.as_slice() else {
            panic!("{glob}: {told:?}");
        };
        assert_eq!(key, "match[1]", "{glob}");
        assert!(reason.contains(why), "{glob}: {reason}");
    }
}

#[test]
fn an_unknown_key_is_told_beside_any_wrong_value_of_its_section() {
    for (section, wrong) in [
        ("[scaleway]\n", "burst = \"many\""),
        ("[scaleway]\n", "api_url = 7"),
        ("[state]\n", "directory = \"state\""),
        ("[webhooks]\n", "body_limit = 25"),
        ("[admin]\n", "listen = \"nowhere\""),
        ("[[pipeline]]\nname = \"www\"\n", "id = \"no uuid\""),
        (
            "[[pipeline]]\nid = \"11111111-1111-4111-8111-111111111111\"\n",
            "name = 5",
        ),
        (PIPELINE, "pages = \"none\""),
        (&pipeline("[pipeline.verify]\n"), "edge_url = \"ftp://a\""),
        (&pipeline("[[pipeline.origin]]\n"), "root = \"here\""),
        (&origin(""), "watch = \"maybe\""),
        (
            &origin("[[pipeline.rule]]\nmatch = [\"a\"]\n"),
            "purge = \"some\"",
        ),
        (&origin("[[pipeline.rule]]\npurge = \"all\"\n"), "match = 3"),
        (&hook("kind = \"github\"\n"), "purge = \"most\""),
        (&hook(""), "kind = \"githib\""),
        (&hook("kind = \"generic\"\n"), "auth = \"hmca\""),
        (&hook("kind = \"gitlab\"\n"), "auth = \"signature\""),
        (&hook("kind = \"generic\"\n"), "paths = \"files\""),
        (
            &hook("kind = \"cloudevents\"\n"),
            "allowed_origins = \"a b\"",
        ),
        (&hook("kind = \"contentful\"\n"), "external_path = \"a?b\""),
        (&hook("kind = \"standard\"\n"), "id = 4"),
    ] {
        let wrong_key = wrong.split(' ').next().unwrap();
        let toml = format!("{section}{wrong}\ncolour_of_it = 1\n");
        let found = keys(&toml);
        assert!(
            found.iter().any(|key| key == "colour_of_it"),
            "{toml}{found:?}"
        );
        let is_wrong = |key: &String| key == wrong_key || key.starts_with(&format!("{wrong_key}["));
        assert!(found.iter().any(is_wrong), "{toml}{found:?}");
        assert_eq!(found.len(), 2, "{toml}{found:?}");
    }
}

/// A webhook with a secret, whose other keys follow.
fn hook(lines: &str) -> String {
    origin(&format!(
        "[[pipeline.webhook]]\nroute = \"/hooks/www\"\nsecret_file = \"/etc/s\"\n{lines}"
    ))
}

#[test]
fn a_webhook_of_an_unknown_kind_has_its_other_keys_read_all_the_same() {
    let lines = "kind = \"girhub\"\nbranch = \"no pointer\"\nsigned = \"{body}\"\n\
                 assume_no_force_push = \"yes\"\ndelay = \"soon\"\npurge = \"most\"\nrepo = \"a/b\"\n";
    assert_eq!(
        keys(&hook(lines)),
        [
            "kind",
            "branch",
            "assume_no_force_push",
            "delay",
            "purge",
            "repo"
        ]
    );
    // No kind at all, and keys of several: which of them is wrong is not known.
    let lines =
        "signature_header = \"X-Signature\"\nsignature_digest = \"md5\"\nexternal_path = \"/a\"\n";
    assert_eq!(keys(&hook(lines)), ["kind", "signature_digest"]);
}

#[test]
fn a_key_of_another_kind_is_told_beside_a_wrong_auth() {
    let lines = "kind = \"gitlab\"\nauth = \"password\"\nsigned = \"{body}\"\n";
    let found = told(&hook(lines));
    assert_eq!(found[0].0, "auth");
    assert_eq!(found[1].0, "signed");
    assert!(found[1].1.contains("is not a key of kind"), "{found:?}");
    // What another auth would need is no problem of its own.
    let lines =
        "kind = \"generic\"\nauth = \"hmca\"\nsignature_header = \"X-S\"\nsigned = \"body\"\n";
    assert_eq!(keys(&hook(lines)), ["auth", "signed"]);
}
