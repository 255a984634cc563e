//! `config.example.toml` is the full list of settings, and true.

use super::*;
use crate::webhook::kind::SENDERS;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// A setting that is right on some machines only.
fn of_a_machine(setting: &str) -> bool {
    setting.starts_with("profile") || setting.starts_with("web_group")
}

/// The example with the settings that are left out put in, where `take` says so.
fn with(take: impl Fn(&str) -> bool) -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') && take(setting) => {
                setting
            }
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn it_holds_the_defaults() {
    let example = config(EXAMPLE);
    let plain = config(&format!(
        "{PIPELINE}[[pipeline.origin]]\nname = \"site\"\nroot = \"/srv/www/current\"\n"
    ));
    assert_eq!(example.scaleway, plain.scaleway);
    assert_eq!(example.state, plain.state);
    assert_eq!(example.webhooks, plain.webhooks);
    assert_eq!(example.admin, plain.admin);
    assert_eq!(example.pipelines, plain.pipelines);
}

#[test]
fn what_is_left_out_of_it_is_valid() {
    let config = config(&with(|setting| !of_a_machine(setting)));
    let plain = super::config("");
    assert_eq!(config.scaleway.api_url, plain.scaleway.api_url);
    assert_eq!(config.state.directory, plain.state.directory);
    assert!(config.state.database_url_file.is_some());
    assert_eq!(config.admin.socket, plain.admin.socket);
    assert_eq!(config.pipelines[0].rules.len(), 2);
    let kinds: std::collections::BTreeSet<&str> = config.pipelines[0]
        .webhooks
        .iter()
        .map(|webhook| webhook.settings.kind.as_str())
        .collect();
    assert_eq!(
        kinds.len(),
        SENDERS.len(),
        "a block for every kind: {kinds:?}"
    );
    let warnings: Vec<String> = config.warnings.iter().map(Problem::summary).collect();
    assert!(
        !warnings.iter().any(|w| w.contains("webhook")),
        "{warnings:?}"
    );
    assert!(config.admin.token_file.is_some());
    assert!(config.scaleway.secret_key_file.is_some());
    assert!(config.pipelines[0].project_id.is_some());
    assert!(config.pipelines[0].verify.is_some());
}

#[test]
fn every_block_of_the_documents_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|ext| ext == "md"));
    let text: String = std::iter::once(root.join("README.md"))
        .chain(pages)
        .map(|page| std::fs::read_to_string(page).unwrap())
        .collect();
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(blocks.len() >= 5, "{}", blocks.len());
    for block in blocks {
        let begins = block.trim_start();
        let above = match begins.split(']').next().unwrap_or_default() {
            "[[pipeline" | "[webhooks" => String::new(),
            // A part of a pipeline that has an origin.
            _ => origin(""),
        };
        let found = config(&format!("{above}{block}"));
        let wrong = |warning: &&Problem| warning.key.contains("webhook");
        assert_eq!(
            found.warnings.iter().find(wrong).map(Problem::summary),
            None
        );
    }
}

#[test]
fn every_setting_that_there_is_has_a_line_in_it() {
    let all = with(|setting| !of_a_machine(setting));
    for setting in config(&all).settings {
        let line = format!("{} = ", setting.name);
        let there = EXAMPLE
            .lines()
            .any(|l| l.trim_start_matches('#').starts_with(&line));
        assert!(there, "{} is not in the example", setting.name);
    }
}

#[test]
fn the_example_of_every_kind_is_a_route_of_it_alone() {
    for sender in SENDERS {
        let found = config(&format!("{}{}", origin(""), sender.example));
        let routes = &found.pipelines[0].webhooks;
        let kinds: Vec<&str> = routes
            .iter()
            .map(|route| route.settings.kind.as_str())
            .collect();
        assert_eq!(kinds, [sender.name]);
        for key in sender.keys {
            let table = crate::config::webhook::table();
            let there = table.keys.iter().any(|one| one.name == *key);
            assert!(there, "{key} of {} is no key of a webhook", sender.name);
        }
    }
}

#[test]
fn every_key_is_known_to_belong_where_it_is_read() {
    let all = with(|setting| !of_a_machine(setting));
    let settings = config(&all).settings;
    let read: std::collections::BTreeSet<(String, String)> = settings
        .into_iter()
        .map(|s| (without_indices(&s.section), s.name))
        .collect();
    let known = keys::tables()
        .into_iter()
        .flat_map(|table| {
            let path = table.path().to_owned();
            let keys = table.keys.into_iter();
            keys.map(move |key| (path.clone(), key.name.to_owned()))
        })
        .collect();
    assert_eq!(read, known);
}

fn without_indices(section: &str) -> String {
    let bare = |part: &str| part.split('[').next().unwrap_or_default().to_owned();
    section.split('.').map(bare).collect::<Vec<_>>().join(".")
}

/// A setting of the example: its table's path, the key, the text of its value, and the comments on its
/// line and right above it.
struct Line {
    table: String,
    key: String,
    value: String,
    comment: String,
}

/// Every setting of the example, also those that are left out.
fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut table, mut above) = (String::new(), String::new());
    for line in EXAMPLE.lines() {
        let setting = line.strip_prefix('#').unwrap_or(line);
        if setting.starts_with('[') {
            table = setting.trim_matches(['[', ']']).to_owned();
            above.clear();
        } else if setting.starts_with(' ') || setting.is_empty() {
            above = if setting.is_empty() {
                String::new()
            } else {
                above + setting
            };
            // What stands to the right goes on below.
            if let (Some(last), true) = (lines.last_mut(), line.starts_with("  ")) {
                let last: &mut Line = last;
                last.comment.push_str(setting);
            }
        } else if let Some((key, rest)) = setting.split_once(" = ") {
            let (value, comment) = rest.split_once(" #").unwrap_or((rest, ""));
            lines.push(Line {
                table: table.clone(),
                key: key.to_owned(),
                value: value.trim().to_owned(),
                comment: format!("{above} {comment}"),
            });
            above.clear();
        }
    }
    lines
}

#[test]
fn it_says_default_range_unit_and_variable_of_every_key_and_has_no_other() {
    let lines: Vec<Line> = lines();
    let tables = keys::tables();
    for line in &lines {
        let mut known = tables.iter().filter(|table| table.path() == line.table);
        let there = known.any(|table| table.keys.iter().any(|key| key.name == line.key));
        assert!(there, "{}.{} is no key", line.table, line.key);
    }
    for table in &tables {
        for key in &table.keys {
            let what = format!("{}.{}", table.path(), key.name);
            let mut said = lines
                .iter()
                .filter(|line| line.table == table.path() && line.key == key.name);
            let said = said.next().unwrap_or_else(|| panic!("{what} is missing"));
            let says = |text: &str| said.comment.to_lowercase().contains(&text.to_lowercase());
            if let keys::Absent::Default(value) = &key.absent
                && !says("left out: nothing")
            {
                let written: toml::Table = format!("x = {}", said.value).parse().unwrap();
                assert_eq!(shortest(&written["x"]), shortest(value), "{what}");
            }
            if let Some((least, most)) = key.shape.range() {
                let both = says(&format!("{least} to {most}"));
                assert!(both || says(&format!("up to {most}")), "{what}: to {most}");
            }
            if let Some(unit) = unit(&key.shape) {
                assert!(says(unit), "{what}: {unit}");
            }
            if let Some(variable) = key.environment {
                assert!(says(variable), "{what}: {variable}");
            }
        }
    }
}

/// A value with its duration, if it is one, in the largest unit.
fn shortest(value: &toml::Value) -> toml::Value {
    let duration = value.as_str().and_then(duration::parse);
    duration.map_or_else(|| value.clone(), |time| duration::written(time).into())
}

fn unit(shape: &shape::Shape) -> Option<&str> {
    match shape {
        shape::Shape::Number { unit, .. } => Some(unit),
        shape::Shape::Any(shapes) => shapes.iter().find_map(unit),
        _ => None,
    }
}
