//! What `[[pipeline.webhook]]` says of senders, and what of it can never match.

use super::webhooks::{SECRET, hook};
use super::*;

/// Problems and warnings of a webhook with these lines.
fn said(lines: &str) -> (Vec<String>, Vec<String>) {
    let toml = hook(&format!("{SECRET}{lines}"));
    let problems = problems_in(&toml, &Environment::default());
    let warnings = if problems.is_empty() {
        let config = config(&toml);
        config.warnings.iter().map(ToString::to_string).collect()
    } else {
        Vec::new()
    };
    let of_webhooks = |text: &String| text.contains("webhook[");
    (problems, warnings.into_iter().filter(of_webhooks).collect())
}

#[test]
fn events_that_a_kind_never_sends_are_warned_of() {
    for (kind, event, like) in [
        ("s3", "ObjectCreate:*", "s3:ObjectCreated:*"),
        ("s3", "s3:objectcreated:Put", "s3:ObjectCreated:*"),
        ("s3", "PutObject", "s3:ObjectCreated:*"),
        ("vercel", "succeeded", "deployment.succeeded"),
        ("vercel", "deployments.succeeded", "deployment.succeeded"),
        (
            "vercel",
            "rolling-release.*",
            "project.rolling-release.completed",
        ),
    ] {
        let lines = format!("kind = \"{kind}\"\npurge = \"all\"\nevents = [\"{event}\"]\n");
        let (problems, warnings) = said(&lines);
        assert_eq!(problems, Vec::<String>::new(), "{event}");
        let told = warnings
            .iter()
            .any(|w| w.contains(event) && w.contains(like));
        assert!(told, "{event}: {warnings:?}");
    }
    for (kind, event) in [
        ("s3", "s3:ObjectCreated:Put"),
        ("s3", "ObjectRemoved:*"),
        ("s3", "s3:*"),
        ("s3", "*"),
        ("s3", "Object*"),
        ("vercel", "deployment.*"),
        ("vercel", "deployment-ready"),
        ("vercel", "project.rolling-release.started"),
        // It sends these too, whatever they may be good for.
        ("vercel", "domain.certificate.renew"),
        ("vercel", "flag.*"),
        ("vercel", "project-removed"),
        ("vercel", "*"),
    ] {
        let lines = format!("kind = \"{kind}\"\npurge = \"all\"\nevents = [\"{event}\"]\n");
        let nothing: (Vec<String>, Vec<String>) = Default::default();
        assert_eq!(said(&lines), nothing, "{event}");
    }
}

#[test]
fn how_a_bucket_shows_its_secret_and_where_a_body_names_its_repository() {
    let generic = "kind = \"generic\"\npurge = \"all\"\n";
    let hmac =
        "auth = \"hmac\"\nsignature_header = \"Authorization\"\nsignature_prefix = \"HMAC \"\n";
    for good in [
        "kind = \"s3\"\nauth = \"basic\"\n".to_owned(),
        "kind = \"s3\"\nauth = \"token\"\ntoken_header = \"Authorization\"\n".to_owned(),
        "kind = \"cloudevents\"\npurge = \"all\"\nauth = \"basic\"\nrepository_pointer = \"/a\"\n"
            .to_owned(),
        format!("{generic}repository_pointer = \"/a/*/b\"\nrepository = [\"x\", \"y\"]\n"),
        format!("{generic}{hmac}"),
    ] {
        assert_eq!(said(&good).0, Vec::<String>::new(), "{good}");
    }
    for (bad, what) in [
        (
            format!("{generic}repository = \"x\"\n"),
            "repository_pointer = \"/…\"",
        ),
        (
            format!("{generic}repository_pointer = \"a\"\n"),
            "is not a JSON pointer",
        ),
        (
            "kind = \"s3\"\nrepository_pointer = \"/a\"\n".to_owned(),
            "repository_pointer: is not a key of kind = \"s3\"",
        ),
        ("kind = \"s3\"\nauth = \"hmac\"\n".to_owned(), "\"basic\""),
        (
            "kind = \"s3\"\nauth = \"token\"\n".to_owned(),
            "token_header: is missing",
        ),
        (
            "kind = \"s3\"\ntoken_header = \"X\"\n".to_owned(),
            "belongs to auth = \"token\"",
        ),
    ] {
        let (problems, _) = said(&bad);
        assert!(
            problems.len() == 1 && problems[0].contains(what),
            "{bad}: {problems:?}"
        );
    }
}
