//! GitHub's own examples, changed in one thing at a time into what happens to real repositories.
//! Each is what GitHub's schema allows, so that what is believed of it is what GitHub may send.

use super::*;

const REPOSITORY: &str = "Codertocat/Hello-World";
const COMMIT: &str = "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c";

/// What a variant has to mean.
enum Meaning {
    Files(&'static [&'static str]),
    /// A scan, for a reason that holds this.
    Widened(&'static str),
    Scan,
    /// Nothing, for a reason that holds this.
    Nothing(&'static str),
}
use Meaning::{Files, Nothing, Scan, Widened};

struct Variant {
    event: &'static str,
    what: &'static str,
    /// Where it changes the example, and into what.
    changes: Vec<(&'static str, Value)>,
    meaning: Meaning,
}

/// A commit as pushes list them, with these files.
fn commit(mut like: Value, added: &[&str], modified: &[&str], removed: &[&str]) -> Value {
    like["added"] = json!(added);
    like["modified"] = json!(modified);
    like["removed"] = json!(removed);
    like
}

fn push(what: &'static str, changes: Vec<(&'static str, Value)>, meaning: Meaning) -> Variant {
    Variant {
        event: "push",
        what,
        changes,
        meaning,
    }
}

/// Pushes whose lists are complete.
fn listed(like: &Value) -> Vec<Variant> {
    let of = |added: &[&str], modified: &[&str], removed: &[&str]| {
        commit(like.clone(), added, modified, removed)
    };
    let one = || json!([of(&[], &["public/a.html"], &[])]);
    vec![
        push(
            "several commits",
            vec![(
                "/commits",
                json!([
                    of(
                        &["public/neu/ä b.html"],
                        &["public/a.html"],
                        &["public/old.css"]
                    ),
                    of(&["README.md"], &["public/a.html"], &[]),
                ]),
            )],
            Files(&["a.html", "neu/ä b.html", "old.css"]),
        ),
        push(
            "a rename",
            vec![(
                "/commits",
                json!([of(&["public/new.html"], &[], &["public/old.html"])]),
            )],
            Files(&["new.html", "old.html"]),
        ),
        push(
            "nothing of the site",
            vec![("/commits", json!([of(&[], &["README.md"], &[])]))],
            Nothing("files_root"),
        ),
        push(
            "another branch",
            vec![("/commits", one()), ("/ref", json!("refs/heads/draft"))],
            Nothing("draft"),
        ),
        push(
            "another repository",
            vec![
                ("/commits", one()),
                ("/repository/full_name", json!("other/site")),
            ],
            Nothing("another repository"),
        ),
    ]
}

/// Pushes whose lists may lack something.
fn in_doubt(like: &Value) -> Vec<Variant> {
    let of = |added: &[&str], modified: &[&str], removed: &[&str]| {
        commit(like.clone(), added, modified, removed)
    };
    let one = || json!([of(&[], &["public/a.html"], &[])]);
    let many: Vec<String> = (0..3000).map(|n| format!("public/{n}.html")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    vec![
        push(
            "a new branch",
            vec![("/commits", one()), ("/created", json!(true))],
            Widened("new"),
        ),
        push(
            "forced",
            vec![("/commits", one()), ("/forced", json!(true))],
            Widened("forced"),
        ),
        push(
            "deleted",
            vec![
                ("/commits", json!([])),
                ("/deleted", json!(true)),
                ("/after", json!("0".repeat(40))),
                ("/head_commit", Value::Null),
            ],
            Nothing("deleted"),
        ),
        push(
            "no commits",
            vec![("/commits", json!([]))],
            Widened("no commits"),
        ),
        push(
            "a commit too large for GitHub to list in time",
            vec![(
                "/commits",
                json!([of(&[], &["public/a.html"], &[]), of(&[], &[], &[])]),
            )],
            Widened("no files"),
        ),
        push(
            "as many commits as GitHub lists",
            vec![(
                "/commits",
                json!(vec![of(&[], &["public/a.html"], &[]); 2048]),
            )],
            Widened("more commits"),
        ),
        push(
            "as many files as GitHub lists",
            vec![("/commits", json!([of(&many, &[], &[])]))],
            Widened("more files"),
        ),
        push(
            "a path out of the site",
            vec![(
                "/commits",
                json!([of(&["public/a.html", "public/../../etc/x"], &[], &[])]),
            )],
            Widened("refused"),
        ),
        push(
            "a path with the colours of a terminal",
            vec![(
                "/commits",
                json!([of(&["public/\u{1b}[31m.html"], &[], &[])]),
            )],
            Widened("refused"),
        ),
        push(
            "SHA-256, a new branch",
            vec![("/commits", one()), ("/before", json!("0".repeat(64)))],
            Widened("new"),
        ),
    ]
}

fn deploys() -> Vec<Variant> {
    let mut all = Vec::new();
    for (conclusion, meaning) in [
        ("success", Scan),
        ("failure", Nothing("successful")),
        ("cancelled", Nothing("successful")),
        ("skipped", Nothing("successful")),
    ] {
        all.push(Variant {
            event: "workflow_run",
            what: conclusion,
            changes: vec![
                ("/workflow_run/conclusion", json!(conclusion)),
                ("/workflow_run/head_repository/full_name", json!(REPOSITORY)),
            ],
            meaning,
        });
    }
    all.push(Variant {
        event: "workflow_run",
        what: "of a fork",
        changes: vec![
            ("/workflow_run/conclusion", json!("success")),
            (
                "/workflow_run/head_repository/full_name",
                json!("other/fork"),
            ),
        ],
        meaning: Nothing("fork"),
    });
    for (state, reference, meaning) in [
        ("success", "main", Scan),
        // A deployment of a commit names no branch.
        ("success", COMMIT, Scan),
        ("success", "draft", Nothing("draft")),
        ("pending", "main", Nothing("successful")),
        ("failure", "main", Nothing("successful")),
        ("error", "main", Nothing("successful")),
    ] {
        all.push(Variant {
            event: "deployment_status",
            what: state,
            changes: vec![
                ("/deployment_status/state", json!(state)),
                ("/deployment/ref", json!(reference)),
                ("/deployment/sha", json!(COMMIT)),
            ],
            meaning,
        });
    }
    all
}

/// What every variant has in common, so that only its own change counts.
fn base(event: &str, example: &Value) -> Value {
    let mut base = example.clone();
    base["repository"]["full_name"] = json!(REPOSITORY);
    match event {
        "push" => {
            base["ref"] = json!("refs/heads/main");
            base["before"] = json!(COMMIT);
            for flag in ["created", "deleted", "forced"] {
                base[flag] = json!(false);
            }
        }
        "workflow_run" => base["workflow_run"]["head_branch"] = json!("main"),
        _ => {}
    }
    base
}

#[tokio::test]
async fn what_github_may_send_means_what_it_has_to() {
    let asked = [
        ("push", "push$event"),
        ("workflow_run", "workflow_run$completed"),
        ("deployment_status", "deployment_status$created"),
    ];
    let wanted = asked.map(|(event, _)| json!({"kind": "examples", "event": event}));
    let Some(examples) = signed(&wanted).await else {
        return;
    };
    let example = |at: usize, good: &dyn Fn(&Value) -> bool| {
        let list = examples[at]["examples"].as_array().unwrap();
        list.iter().rfind(|e| good(e)).unwrap().clone()
    };
    let push = example(0, &|e| e["commits"] != json!([]));
    let run = example(1, &|e| e["action"] == "completed");
    let status = example(2, &|_| true);
    let mut variants = listed(&push["commits"][0]);
    variants.extend(in_doubt(&push["commits"][0]));
    variants.extend(deploys());
    let bodies: Vec<String> = variants
        .iter()
        .map(|variant| {
            let example = match variant.event {
                "push" => &push,
                "workflow_run" => &run,
                _ => &status,
            };
            let mut body = base(variant.event, example);
            for (at, value) in &variant.changes {
                *body.pointer_mut(at).expect(at) = value.clone();
            }
            body.to_string()
        })
        .collect();
    let checks: Vec<Value> = variants
        .iter()
        .zip(&bodies)
        .map(|(variant, body)| {
            let (_, definition) = asked.iter().find(|(e, _)| *e == variant.event).unwrap();
            json!({"kind": "check", "definition": definition, "body": body})
        })
        .collect();
    let checked = signed(&checks).await.unwrap();
    let signs: Vec<Value> = bodies
        .iter()
        .map(|body| json!({"kind": "github", "secret": SECRET, "body": body}))
        .collect();
    let signatures = signed(&signs).await.unwrap();
    let route = Route::new(
        RouteSettings {
            repositories: vec![REPOSITORY.to_owned()],
            branches: vec!["main".to_owned()],
            events: Some(asked.iter().map(|(event, _)| (*event).to_owned()).collect()),
            purge: Some(Purge::Files),
            files_root: "public/".to_owned(),
            ..settings(Kind::new(&kind::github::SENDER))
        },
        &[SECRET.into()],
    )
    .unwrap();
    for (at, (variant, body)) in variants.iter().zip(&bodies).enumerate() {
        let told = format!("{}: {}", variant.event, variant.what);
        assert_eq!(
            checked[at]["valid"], true,
            "{told}: {}",
            checked[at]["errors"]
        );
        let mut sent = headers(&signatures[at]);
        sent.insert("x-github-event", HeaderValue::from_static(variant.event));
        let authentic = verify(&route, &sent, body.as_bytes()).unwrap();
        let delivery = route.read(&sent, &authentic, Some(body.as_bytes()));
        let wish = delivery.unwrap_or_else(|e| panic!("{told}: {e}")).wish;
        let right = match (&variant.meaning, &wish) {
            (Files(list), Wish::Files(found)) => {
                let list: Vec<&[u8]> = list.iter().map(|file| file.as_bytes()).collect();
                *found == list
            }
            (Scan, Wish::Scan { because: Some(why) }) => why.contains("lists no files"),
            (Widened(word), Wish::Scan { because: Some(why) }) => why.contains(word),
            (Nothing(word), Wish::Nothing(why)) => why.contains(word),
            _ => false,
        };
        assert!(right, "{told}: {wish:?}");
    }
}
