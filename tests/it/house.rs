//! The rules of the house: who may depend on whom.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The files of a module: `src/name.rs` and everything below `src/name/`.
fn module(name: &str) -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join(format!("{name}.rs"))];
    if src.join(name).is_dir() {
        sources(&src.join(name), &mut files);
    }
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// The crate's modules that a text names: `use crate::x`, `crate::x::y`.
fn names(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn dependence_goes_downwards_only() {
    let allowed: [(&str, &[&str]); 14] = [
        ("core", &["core"]),
        ("credentials", &["core"]),
        ("clock", &["core"]),
        ("store", &["store", "core", "supervise", "clock", "lineage"]),
        ("scaleway", &["scaleway", "core", "clock"]),
        ("sink", &["core", "store"]),
        (
            "origin",
            &["origin", "core", "sink", "supervise", "clock", "lineage"],
        ),
        (
            "webhook",
            &[
                "webhook",
                "core",
                "sink",
                "supervise",
                "clock",
                "socket_file",
            ],
        ),
        ("lineage", &["core"]),
        ("intake", &["core", "sink", "store"]),
        ("explain", &["explain", "core", "intake", "origin"]),
        (
            "engine",
            &[
                "engine",
                "core",
                "store",
                "scaleway",
                "clock",
                "metrics",
                "supervise",
            ],
        ),
        ("verify", &["core"]),
        ("sandbox", &["sandbox", "core", "clock", "supervise"]),
    ];
    for (name, may) in allowed {
        for (path, text) in module(name) {
            // Tests put real parts together.
            if path.components().any(|part| part.as_os_str() == "tests")
                || path.ends_with("tests.rs")
            {
                continue;
            }
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for named in names(text) {
                assert!(
                    may.contains(&named.as_str()),
                    "{}: {name} may not know {named}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_core_is_pure() {
    for (path, text) in module("core") {
        for word in [
            "tokio",
            "std::fs",
            "std::net",
            "SystemTime",
            "Instant",
            "HashMap",
            "async ",
        ] {
            let found = text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(!found, "{}: {word}", path.display());
        }
    }
}

#[test]
fn what_a_webhook_means_is_pure() {
    for (path, text) in module("webhook/kind") {
        for named in names(&text) {
            assert_eq!(
                named,
                "webhook",
                "{}: a kind knows only webhooks",
                path.display()
            );
        }
    }
    for name in [
        "kind",
        "route",
        "verifier",
        "signature",
        "secret",
        "reading",
        "pointer",
        "push",
        "branch",
        "pattern",
        "repository",
        "environment",
        "scope",
    ] {
        for (path, text) in module(&format!("webhook/{name}")) {
            for word in [
                "tokio",
                "std::fs",
                "std::net",
                "SystemTime",
                "Instant",
                "clock",
                "async ",
            ] {
                let found = text
                    .lines()
                    .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
                assert!(!found, "{}: {word}", path.display());
            }
        }
    }
}
