//! `edgepurge check`, as far as it goes without asking the API: says everything that is wrong with
//! a configuration, and what holds in the end. Prints nothing itself.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::buckets::{self, Bucket};
use crate::cli::style::{BAD, BUSY, WARN, styled};
use crate::clock::Clock;
use crate::config::{Config, Environment, Part, Problem, Problems, Setting, as_toml};
use crate::webhook::CertificateFacts;

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON document with stable keys.
    Json,
}

/// What a check has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// For standard output.
    pub(super) stdout: String,
    /// For standard error.
    pub(super) stderr: String,
    /// The exit code: 0, or [`Problems::EXIT_CODE`].
    pub(super) exit_code: u8,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// Whether there is no problem.
    ok: bool,
    /// The configuration file.
    file: String,
    problems: &'a [Problem],
    warnings: &'a [Problem],
    /// Where the API's secret key is from; `null` for the sandbox and where there is none.
    secret_key: Option<String>,
    /// The certificate of the webhook listener, where TLS is on and it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a CertificateFacts>,
    /// What the listings of buckets cost.
    #[serde(skip_serializing_if = "<[Bucket]>::is_empty")]
    buckets: &'a [Bucket],
    /// With `print` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a [Setting]>,
}

/// What was found elsewhere.
#[derive(Debug, Default)]
pub(super) struct More {
    pub(super) warnings: Vec<Problem>,
    pub(super) buckets: Vec<Bucket>,
}

/// Checks a configuration file and the secrets it names; with `print`, also prints each key's
/// effective value and where it is from. Never prints a secret.
#[must_use]
pub(super) fn check(
    path: &Path,
    environment: &Environment,
    print: bool,
    format: Format,
    more: More,
) -> Checked {
    let (config, mut problems) = match Config::load(path, environment) {
        Ok(config) => (Some(config), Vec::new()),
        Err(problems) => (None, problems.into_list()),
    };
    let now = Clock::start().now();
    let (mut secret_key, mut certificate, mut due) = (None, None, None);
    if let Some(config) = &config {
        match config.scaleway.secret_key(environment) {
            Ok(key) => secret_key = key.map(|key| key.source.to_string()),
            Err(found) => problems.extend(found.into_list()),
        }
        let database = config.state.check_database(environment);
        for found in [database, config.admin.token().map(drop)] {
            problems.extend(found.err().into_iter().flat_map(Problems::into_list));
        }
        let origins = config.pipelines.iter().flat_map(|one| &one.origins);
        let buckets = origins.filter(|origin| origin.takes_keys());
        let unusable = buckets.filter_map(|one| one.keys(&config.scaleway, environment).err());
        // What many buckets want is one problem, and so is what the API wants as well.
        for problem in unusable.flat_map(Problems::into_list) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        if let Some(files) = config.webhooks.certificate_files() {
            match files.read() {
                Ok(read) => {
                    due = files.warning(&read, now);
                    certificate = Some(read.facts);
                }
                Err(found) => problems.extend(found.into_list()),
            }
        }
        for webhook in config.pipelines.iter().flat_map(|p| &p.webhooks) {
            if let Err(found) = webhook.route(environment) {
                problems.extend(found.into_list());
            }
        }
    }
    let exit_code = if problems.is_empty() {
        0
    } else {
        Problems::EXIT_CODE
    };
    let (mut warnings, settings) = config.as_ref().map_or((Vec::new(), None), |config| {
        (
            config.warnings.clone(),
            print.then_some(config.settings.as_slice()),
        )
    });
    if let Some(config) = &config {
        warnings.extend(config.secret_warnings(environment));
    }
    warnings.extend(due);
    warnings.extend(more.warnings);
    let (stdout, stderr) = match format {
        Format::Json => {
            let document = Document {
                ok: problems.is_empty(),
                file: path.display().to_string(),
                problems: &problems,
                warnings: &warnings,
                secret_key,
                certificate: certificate.as_ref(),
                buckets: &more.buckets,
                settings,
            };
            (as_json(&document), String::new())
        }
        Format::Text => {
            let key = secret_key.map(|source| format!("the secret key is from: {source}"));
            let certificate = certificate.map(|facts| {
                let validity = facts.validity(now);
                format!("the certificate of the webhook listener is for {facts}; {validity}")
            });
            let facts = key.into_iter().chain(certificate);
            let facts = facts.chain(buckets::lines(&more.buckets));
            (
                settings.map(as_toml).unwrap_or_default(),
                as_text(path, &problems, &warnings, facts),
            )
        }
    };
    Checked {
        stdout,
        stderr,
        exit_code,
    }
}

fn as_json(document: &Document<'_>) -> String {
    // Strings, numbers and lists can always be written; were it otherwise, a reader of the document
    // would rather see an error than nothing.
    serde_json::to_string_pretty(document)
        .unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string())
        + "\n"
}

fn as_text(
    path: &Path,
    problems: &[Problem],
    warnings: &[Problem],
    facts: impl Iterator<Item = String>,
) -> String {
    let file = std::fs::read_to_string(path).ok();
    let file = file.and_then(|text| text.parse::<toml::Table>().ok());
    let shown = |problem: &Problem, word, style| {
        let paint = |part, text: &str| match part {
            Part::Word => styled(style, text),
            Part::Frame => styled(BUSY, text),
        };
        let mut problem = problem.clone();
        problem.key = spoken(&problem.key, file.as_ref());
        problem.diagnostic(word, paint) + "\n"
    };
    let problems_shown = problems.iter().map(|one| shown(one, "error", BAD));
    let warnings_shown = warnings.iter().map(|one| shown(one, "warning", WARN));
    let mut lines: Vec<String> = problems_shown.chain(warnings_shown).collect();
    lines.extend(facts);
    lines.push(match problems.len() {
        0 => format!("{}: no problems", path.display()),
        many => {
            let (path, s) = (path.display(), if many == 1 { "" } else { "s" });
            format!(
                "{path}: {many} problem{s}; correct the file, then again: edgepurge --config {path} check"
            )
        }
    });
    lines.join("\n") + "\n"
}

/// A key with pipelines and origins by their names: `pipeline "www", origin[0].root`. As it is where the
/// file can't be read, or has no name there.
fn spoken(key: &str, file: Option<&toml::Table>) -> String {
    let mut table = file;
    let mut spoken = String::new();
    for part in key.split('.') {
        let index = part.strip_suffix(']').and_then(|part| part.split_once('['));
        let below = index.and_then(|(list, at)| {
            let list = table?.get(list)?.as_array()?;
            list.get(at.parse::<usize>().ok()?)?.as_table()
        });
        let name = below.and_then(|table| table.get("name")?.as_str());
        let named = spoken.ends_with('"');
        spoken += match (spoken.is_empty(), named) {
            (true, _) => "",
            (_, true) => ", ",
            _ => ".",
        };
        match (index, name) {
            (Some((list, _)), Some(name)) => {
                write!(spoken, "{list} \"{}\"", name.escape_debug()).unwrap_or_default();
            }
            _ => spoken += part,
        }
        table = below;
    }
    spoken
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// Checks this text, and cuts the directory it is in from the result.
    fn checked(toml: &str, variables: &[(&str, &str)], print: bool, format: Format) -> Checked {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, toml).unwrap();
        let environment = variables.iter().copied().collect();
        let checked = check(&path, &environment, print, format, More::default());
        let cut = |text: String| text.replace(&format!("{}/", directory.path().display()), "");
        Checked {
            stdout: cut(checked.stdout),
            stderr: cut(anstream::adapter::strip_str(&checked.stderr).to_string()),
            exit_code: checked.exit_code,
        }
    }

    const KEY: (&str, &str) = ("SCW_SECRET_KEY", "5ec7e75e-c7e7-4ec7-8ec7-5ec7e75ec7e7");

    const PIPELINE: &str =
        "[[pipeline]]\nname = \"www\"\nid = \"22222222-2222-4222-8222-222222222222\"\n";

    #[test]
    fn a_good_file_says_so_and_where_the_key_is_from() {
        let found = checked(PIPELINE, &[KEY], false, Format::Text);
        assert_eq!(
            found,
            Checked {
                stdout: String::new(),
                stderr: "the secret key is from: environment variable SCW_SECRET_KEY\n\
                         config.toml: no problems\n"
                    .to_owned(),
                exit_code: 0,
            }
        );
    }

    #[test]
    fn a_bad_file_ends_with_78_and_shows_each_place() {
        let found = checked("[scaleway]\nburst = 0\n", &[KEY], true, Format::Text);
        assert_eq!(
            found,
            Checked {
                stdout: String::new(),
                stderr: "error: scaleway.burst: 0 would let nothing through\n \
                         --> config.toml:2:9\n  |\n2 | burst = 0\n  |         ^\n  \
                         = help: write at least 1\n\nconfig.toml: 1 problem; correct the file, then again: edgepurge \
                         --config config.toml check\n"
                    .to_owned(),
                exit_code: 78,
            }
        );
    }

    #[test]
    fn a_missing_key_and_an_open_token_are_both_said() {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
        let toml = format!("[admin]\ntoken_file = \"{}\"\n{PIPELINE}", token.display());
        let found = checked(&toml, &[], false, Format::Text);
        assert_eq!(found.exit_code, 78);
        assert!(found.stderr.contains("there is no secret key"), "{found:?}");
        assert!(found.stderr.contains("chmod 600"), "{found:?}");
        assert!(found.stderr.contains("config.toml: 2 problems; "));
    }

    #[test]
    fn a_problem_names_the_pipeline_and_the_origin_that_it_is_about() {
        let toml = format!(
            "{PIPELINE}[[pipeline.origin]]\nname = \"site\"\nroot = \"x\"\n[[pipeline.rule]]\nmatch = [\"\"]\n"
        );
        let found = checked(&toml, &[KEY], false, Format::Text).stderr;
        let said = "error: pipeline \"www\", origin \"site\", root: \"x\" is not an absolute path";
        assert!(found.contains(said), "{found}");
        assert!(
            found.contains("error: pipeline \"www\", rule[0].match"),
            "{found}"
        );
    }

    #[test]
    fn the_id_of_the_example_is_no_pipeline_s_at_the_vendor() {
        let toml = PIPELINE.replace(
            "22222222-2222-4222-8222-222222222222",
            crate::config::EXAMPLE_ID,
        );
        let found = checked(&toml, &[KEY], false, Format::Text);
        assert_eq!(found.exit_code, 0, "{found:?}");
        let said = "warning: pipeline \"www\", id: \"11111111-1111-4111-8111-111111111111\" is the id of the example";
        assert!(found.stderr.contains(said), "{found:?}");
        let sandbox = format!("[scaleway]\napi_url = \"sandbox\"\n{toml}");
        let found = checked(&sandbox, &[], false, Format::Text);
        assert!(!found.stderr.contains("warning"), "{found:?}");
    }

    #[test]
    fn the_effective_values_go_to_standard_output() {
        let found = checked(PIPELINE, &[KEY], true, Format::Text);
        assert!(found.stdout.starts_with("[scaleway]\napi_url = "));
        assert!(!found.stdout.contains(KEY.1));
    }

    #[test]
    fn the_json_document_has_stable_keys() {
        let parse = |found: &Checked| -> serde_json::Value {
            assert!(found.stderr.is_empty());
            serde_json::from_str(&found.stdout).unwrap()
        };
        let good = checked(PIPELINE, &[KEY], true, Format::Json);
        let document = parse(&good);
        assert_eq!(document["ok"], true);
        assert_eq!(
            document["secret_key"],
            "environment variable SCW_SECRET_KEY"
        );
        assert_eq!(document["settings"][0]["key"], "scaleway.api_url");
        assert!(!good.stdout.contains(KEY.1));

        let bad = checked("[scaleway]\nburst = 0\n", &[KEY], false, Format::Json);
        assert_eq!(bad.exit_code, 78);
        assert_eq!(
            parse(&bad),
            serde_json::json!({
                "ok": false, "file": "config.toml", "warnings": [], "secret_key": null,
                "problems": [{
                    "place": "config.toml", "line": 2, "column": 9, "key": "scaleway.burst",
                    "value": "0", "why": "would let nothing through", "hint": "write at least 1",
                }],
            })
        );
    }
}
