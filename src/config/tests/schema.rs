//! The JSON schema takes what the configuration takes, and refuses what it can know to be wrong.
//! `tests/run` has the validator, ajv.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use super::*;

/// A validator with the schema; `None` where there is none on this machine.
static VALIDATOR: LazyLock<Option<Mutex<Validator>>> = LazyLock::new(Validator::start);

struct Validator {
    _process: Child,
    documents: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Validator {
    fn start() -> Option<Mutex<Self>> {
        let modules = std::env::var_os("EDGEPURGE_TEST_NODE_MODULES")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/schema.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .env("NODE_MODULES", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut documents = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        writeln!(documents, "{}", schema()).unwrap();
        Some(Mutex::new(Self {
            _process: process,
            documents,
            answers,
        }))
    }
}

/// Whether the schema takes a text, and else why not; `None` where there is no validator.
pub(super) fn by_schema(toml: &str) -> Option<Result<(), String>> {
    let mut validator = VALIDATOR.as_ref()?.lock().unwrap();
    let document: toml::Table = toml.parse().ok()?;
    let document = serde_json::to_string(&document).unwrap();
    writeln!(validator.documents, "{document}").unwrap();
    let mut answer = String::new();
    validator.answers.read_line(&mut answer).unwrap();
    match answer.trim_end() {
        "valid" => Some(Ok(())),
        "" => panic!("the validator gave up"),
        wrong => Some(Err(wrong.to_owned())),
    }
}

/// Says that the schema refuses a text, where there is a validator.
#[track_caller]
pub(super) fn refused_by_schema(toml: &str) {
    if let Some(answer) = by_schema(toml) {
        assert!(answer.is_err(), "the schema takes\n{toml}");
    }
}

#[test]
fn wrong_configurations_do_not_fit_the_schema() {
    let webhook = "[[pipeline.webhook]]\nroute = \"/hooks/www\"\nsecret_file = \"/etc/secret\"\n";
    for lines in [
        "[scaleway]\nbrust = 3\n",
        "[scaleway]\nburst = 0\n",
        "[scaleway]\nrequests_per_second = 1001\n",
        "[state]\nretention = \"30\"\n",
        "[state]\nretention = 30\n",
        "[state]\nnode = \"web 1\"\n",
        "[webhooks]\nbody_limit = \"25\"\n",
        "[admin]\nlisten = \"on\"\n",
        "[other]\n",
        "[[pipeline]]\nname = \"www\"\n",
        "[[pipeline]]\nname = \"w w\"\nid = \"11111111-1111-4111-8111-111111111111\"\n",
        "[[pipeline]]\nname = \"www\"\nid = \"1\"\n",
        "[pipeline]\nname = \"www\"\nid = \"11111111-1111-4111-8111-111111111111\"\n",
    ] {
        assert!(!problems_in(lines, &Environment::default()).is_empty());
        refused_by_schema(lines);
    }
    for lines in [
        "max_assets = 0\n".to_owned(),
        "all_above = \"always\"\n".to_owned(),
        "all_above = 100001\n".to_owned(),
        "pages = \"exactly\"\n".to_owned(),
        "hot_interval = \"on\"\n".to_owned(),
        "[pipeline.verify]\n".to_owned(),
        "[[pipeline.origin]]\nname = \"site\"\n".to_owned(),
        "[[pipeline.origin]]\nroot = \"www\"\n".to_owned(),
        "[[pipeline.origin]]\nroot = \"/srv/www\"\nmax_loss = \"101%\"\n".to_owned(),
        "[[pipeline.origin]]\nroot = \"/srv/www\"\nurl_prefix = \"static/\"\n".to_owned(),
        "[[pipeline.rule]]\nmatch = []\npurge = \"all\"\n".to_owned(),
        "[[pipeline.rule]]\nmatch = [\"*\"]\npurge = \"/\"\n".to_owned(),
        "[[pipeline.rule]]\nmatch = [\"*\"]\non = [\"asked\"]\npurge = \"all\"\n".to_owned(),
        format!("{webhook}kind = \"svn\"\n"),
        format!("{webhook}kind = \"github\"\nauth = \"bearer\"\n"),
        format!("{webhook}kind = \"github\"\nkey_encoding = \"raw\"\n"),
        format!("{webhook}kind = \"s3\"\nassume_no_force_push = true\n"),
        format!("{webhook}kind = \"generic\"\nid = \"id\"\n"),
        format!("{webhook}kind = \"github\"\npurge = [\"a.html\"]\n"),
    ] {
        let toml = pipeline(&lines);
        assert!(
            !problems_in(&toml, &Environment::default()).is_empty(),
            "{toml}"
        );
        refused_by_schema(&toml);
    }
}

#[test]
fn there_is_a_validator_where_no_test_may_be_skipped() {
    if std::env::var_os("EDGEPURGE_TEST_SKIPS_NONE").is_some() {
        assert_eq!(by_schema(PIPELINE), Some(Ok(())));
    }
}

#[test]
fn the_schema_describes_every_key_with_its_default() {
    let schema = schema();
    let hot = &schema["properties"]["pipeline"]["items"]["properties"]["hot_interval"];
    assert_eq!(hot["default"], "10s");
    let text = hot["description"].as_str().unwrap();
    assert!(text.ends_with("1s to 1d."), "{text}");
    let kind = &schema["properties"]["pipeline"]["items"]["properties"]["webhook"]["items"];
    assert_eq!(kind["properties"]["kind"]["enum"][0], "github");
    for table in keys::tables() {
        assert!(!table.about.is_empty(), "{}", table.header);
        for key in table.keys {
            assert!(key.about.ends_with('.'), "{}: {}", key.name, key.about);
        }
    }
}
