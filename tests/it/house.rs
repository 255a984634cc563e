//! The rules of the house: which room may use which, what stays pure, and that the compiler sees
//! every file. A room is a top module of the library; tests put real parts together and are free.

mod documents;
mod source;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use source::{Program, Source};

/// Every room with those it uses, from the highest to the lowest: a room uses only what stands
/// below it.
const ROOMS: [(&str, &str); 28] = [
    ("main", "cli supervise"),
    (
        "cli",
        "daemon admin explain engine config sandbox webhook origin intake store scaleway supervise telemetry clock core",
    ),
    (
        "daemon",
        "page jobs admin explain fleet engine config sandbox webhook origin s3 intake sink store metrics scaleway \
         credentials supervise clock core",
    ),
    ("page", "admin explain webhook origin intake store core"),
    (
        "jobs",
        "admin fleet engine config origin intake store verify metrics supervise clock core",
    ),
    (
        "admin",
        "explain fleet engine config webhook origin intake store metrics scaleway credentials supervise clock \
         socket_file core",
    ),
    ("explain", "origin intake core"),
    ("fleet", "store supervise clock core"),
    ("engine", "store metrics scaleway supervise clock core"),
    ("config", "webhook origin database core"),
    ("sandbox", "supervise clock core"),
    ("webhook", "sink supervise clock socket_file core"),
    ("origin", "s3 sink lineage supervise clock core"),
    ("s3", "clock core"),
    ("intake", "sink store clock core"),
    ("sink", "core"),
    ("store", "lineage database supervise clock core"),
    ("verify", "core"),
    ("metrics", "scaleway clock core"),
    ("scaleway", "clock core"),
    ("credentials", "core"),
    ("lineage", "core"),
    ("database", ""),
    ("telemetry", ""),
    ("supervise", ""),
    ("clock", "core"),
    ("socket_file", ""),
    ("core", ""),
];

/// The same of the modules of `origin`. None of them uses `origin.rs` itself.
const ORIGIN: [(&str, &str); 9] = [
    (
        "bucket",
        "worker queries index watch tree error status settings",
    ),
    ("worker", "index watch tree error status settings"),
    ("queries", "index tree error settings"),
    ("error", "index tree"),
    ("index", "watch tree settings"),
    ("watch", "tree status settings"),
    ("tree", "settings"),
    ("status", ""),
    ("settings", ""),
];

/// The same of the modules of `webhook`.
const WEBHOOK: [(&str, &str); 6] = [
    ("http", "route kind payload auth tls"),
    ("route", "kind payload auth"),
    ("kind", "payload auth"),
    ("payload", ""),
    ("auth", ""),
    ("tls", ""),
];

/// The modules of `origin::worker` that are methods of the worker itself. Every other is a part that owns its
/// fields, and does not know the worker.
const WORKER: [&str; 5] = ["examine", "follow", "publish", "root", "scan"];

/// What decides has no files, no network, no clock, no tasks, and no order that depends on a seed.
const IMPURE: [&str; 7] = [
    "tokio",
    "std::fs",
    "std::net",
    "SystemTime",
    "Instant",
    "HashMap",
    "async",
];

/// The rooms inside `webhook` that say what a delivery means.
const MEANING: [&str; 4] = ["route", "kind", "payload", "auth"];

static PROGRAM: LazyLock<Program> = LazyLock::new(Program::read);

/// What the modules right below `above` do against their rules; `own` are the files without a module
/// below it.
fn misuses(program: &Program, above: &[&str], table: &[(&str, &str)], own: &[&str]) -> Vec<String> {
    let sources: Vec<&Source> = program.below(above).collect();
    let mut faults = Vec::new();
    for (nth, (part, uses)) in table.iter().enumerate() {
        let below: Vec<&str> = table[nth + 1..].iter().map(|(part, _)| *part).collect();
        let may: BTreeSet<&str> = uses.split_whitespace().collect();
        for used in may.iter().filter(|used| !below.contains(used)) {
            faults.push(format!("{part} stands below {used}"));
        }
        let mut unused = may.clone();
        for source in sources.iter().filter(|source| source.part(above) == *part) {
            for used in source.parts(above) {
                unused.remove(used);
                if used != *part && !may.contains(used) {
                    faults.push(format!("{}: {part} uses {used}", source.path.display()));
                }
            }
        }
        faults.extend(
            unused
                .iter()
                .map(|unused| format!("{part} does not use {unused}")),
        );
    }
    let parts: BTreeSet<&str> = sources.iter().map(|source| source.part(above)).collect();
    let ruled = table.iter().map(|(part, _)| *part);
    let ruled: BTreeSet<&str> = ruled.chain(own.iter().copied()).collect();
    faults.extend(
        parts
            .difference(&ruled)
            .map(|part| format!("{part} has no rule")),
    );
    faults.extend(
        ruled
            .difference(&parts)
            .map(|part| format!("there is no {part}")),
    );
    faults
}

#[test]
fn dependence_goes_downwards_only() {
    let faults = misuses(&PROGRAM, &[], &ROOMS, &["lib"]);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn dependence_inside_origin_goes_downwards_only() {
    let faults = misuses(&PROGRAM, &["origin"], &ORIGIN, &["origin"]);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn dependence_inside_the_webhook_goes_downwards_only() {
    let faults = misuses(&PROGRAM, &["webhook"], &WEBHOOK, &["webhook"]);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_parts_of_an_origins_worker_do_not_know_the_worker() {
    let above = ["origin", "worker"];
    let knows = |source: &&Source| source.parts(&above).contains("Worker");
    let knowing: BTreeSet<&str> = PROGRAM
        .below(&above)
        .filter(knows)
        .map(|source| source.part(&above))
        .collect();
    assert_eq!(knowing, BTreeSet::from(WORKER));
}

#[test]
fn a_circle_inside_a_room_is_seen() {
    for text in [
        "use crate::webhook::kind::Kind;",
        "use super::super::kind;",
        "fn f() { crate::webhook::kind::start() }",
        // What `webhook` passes on has no room there.
        "use crate::webhook::Kind;",
    ] {
        let module = ["webhook", "auth", "signature"].map(str::to_owned).to_vec();
        let program = Program {
            sources: vec![Source::of("signature.rs".into(), module, text)],
            ..Program::default()
        };
        let faults = misuses(&program, &["webhook"], &WEBHOOK, &["webhook"]);
        let found = faults.iter().any(|fault| fault.contains("auth uses"));
        assert!(found, "{text}: {faults:#?}");
    }
}

fn impure(source: &Source, words: &[&str]) -> Vec<String> {
    let found = words.iter().filter(|word| source.uses(word));
    found
        .map(|word| format!("{}: {word}", source.path.display()))
        .collect()
}

#[test]
fn the_core_is_pure() {
    let program = &*PROGRAM;
    let faults: Vec<String> = program
        .below(&["core"])
        .flat_map(|source| impure(source, &IMPURE))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_a_webhook_means_is_pure() {
    let program = &*PROGRAM;
    let impure_here: Vec<&str> = IMPURE.into_iter().chain(["clock"]).collect();
    let mut faults = Vec::new();
    for module in MEANING {
        let path = ["webhook", module];
        let mut sources = program.below(&path).peekable();
        assert!(sources.peek().is_some(), "webhook has no module {module}");
        faults.extend(sources.flat_map(|source| impure(source, &impure_here)));
    }
    for source in program.below(&["webhook", "kind"]) {
        for used in source.rooms().iter().filter(|used| **used != "webhook") {
            faults.push(format!("{}: a kind uses {used}", source.path.display()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_compiler_sees_every_file() {
    let unreached = &PROGRAM.unreached;
    assert!(unreached.is_empty(), "no `mod` leads to {unreached:#?}");
}

/// Words for persons. A comment names the part, the client, or the mode bit (`others`) that it is about.
const PERSONS: [&str; 11] = [
    "anybody",
    "anyone",
    "everybody",
    "everyone",
    "hear",
    "heard",
    "hears",
    "nobody",
    "somebody",
    "someone",
    "whoever",
];

/// The words for persons in the comments of a text.
fn persons(text: &str) -> Vec<&str> {
    let comments = text.lines().filter_map(|line| line.split_once("//"));
    let words = comments.flat_map(|(_, said)| said.split(|letter: char| !letter.is_alphabetic()));
    words
        .filter(|word| PERSONS.contains(&&*word.to_lowercase()))
        .collect()
}

#[test]
fn comments_name_parts_and_not_persons() {
    assert_eq!(persons("f(); // Nobody, whoever."), ["Nobody", "whoever"]);
    assert!(persons("\"somebody\"; // See hearing.").is_empty());
    let mut files = Vec::new();
    source::files(Path::new("src"), &mut files);
    assert!(!files.is_empty());
    let faults: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let found = persons(&text).into_iter();
            let found = found.map(|word| format!("{}: {word}", path.display()));
            found.collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The rooms that a file `src/store/queue.rs` of this text uses.
fn rooms_of(text: &str) -> Vec<String> {
    let module = vec!["store".to_owned(), "queue".to_owned()];
    let source = Source::of("queue.rs".into(), module, text);
    source.rooms().into_iter().map(str::to_owned).collect()
}

#[test]
fn however_a_room_is_used_it_is_seen() {
    for text in [
        "use crate::engine::Engine;",
        "use crate::engine;",
        "use crate::{core::time::Time, engine::{self, Engine}};",
        "use super::super::engine::Engine as E;",
        "fn f() { crate::engine::start() }",
        "fn f(engine: &dyn crate::engine::Journal) {}",
        "struct S { engine: super::super::engine::Engine }",
        "fn f() { tracing::info!(\"{}\", crate::engine::NAME) }",
        "mod inner { use super::super::super::engine::Engine; }",
        "impl S { fn f() -> Vec<Option<crate::engine::E>> { vec![] } }",
        // What comes after the tests counts too.
        "#[cfg(test)] mod tests { use crate::sandbox::S; } use crate::engine::Engine;",
    ] {
        let rooms = rooms_of(text);
        assert!(rooms.contains(&"engine".to_owned()), "{text}: {rooms:?}");
        assert!(!rooms.contains(&"sandbox".to_owned()), "{text}: {rooms:?}");
    }
    for text in [
        "use super::engine::Engine;",
        "/// As [`crate::engine::Engine`] does.\nfn f() {}",
        "fn f() -> &'static str { \"crate::engine::Engine\" }",
        "#[cfg(test)] use crate::engine::Engine;",
        "impl S { #[cfg(test)] fn f() { crate::engine::start() } }",
    ] {
        let rooms = rooms_of(text);
        assert!(!rooms.contains(&"engine".to_owned()), "{text}: {rooms:?}");
    }
}
