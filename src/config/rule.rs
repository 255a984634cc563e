//! Reads `[[pipeline.rule]]`: which files a rule is about, and what is purged for them.

use globset::GlobBuilder;
use toml::de::DeValue;

use crate::core::change::Kind;
use crate::core::mapping::Template;

use super::glob::may_match;
use super::model::{Rule, RulePurge};
use super::problem::printable;
use super::reader::Reader;
use super::section::{Given, Section};
use super::value::{Complaint, Value, Words as _, complain, text};

/// What a template may hold in braces.
const PLACEHOLDERS: [&str; 5] = ["path", "dir", "name", "stem", "ext"];

const PURGE_HINT: &str =
    "write \"all\", \"nothing\", or a list of assets such as [\"/{path}\", \"/feed.xml\"]";

/// Reads the rules of a pipeline.
pub(super) fn read_all(reader: &mut Reader<'_>, pipeline: &mut Section<'_>) -> Vec<Rule> {
    reader
        .tables(pipeline, "rule")
        .into_iter()
        .filter_map(|section| read(reader, section))
        .collect()
}

fn read(reader: &mut Reader<'_>, mut section: Section<'_>) -> Option<Rule> {
    let globs = reader.list(
        &mut section,
        "match",
        "write a list of globs, such as [\"posts/*.json\"]",
        read_glob,
    );
    if globs.span.is_none() {
        let hint = "say which files the rule is about, such as match = [\"posts/*.json\"]";
        reader.missing(&section, "match", hint);
    }
    let globs = filled(reader, &section, "match", globs, "list at least one glob");
    record(reader, &section, "match", &globs, |globs| {
        globs.clone().into()
    });

    let on = reader.list(
        &mut section,
        "on",
        "write a list of \"new\", \"changed\" and \"gone\"",
        Kind::read,
    );
    let on = filled(
        reader,
        &section,
        "on",
        on,
        "list at least one, or leave the line out",
    );
    let all: Vec<Kind> = Kind::WORDS.iter().map(|(_, kind)| *kind).collect();
    let on = reader.held(on, all);
    let words: Vec<toml::Value> = on.value.iter().map(Value::written).collect();
    let from = reader.source(on.span.as_ref());
    reader.record(&section, "on", Some(words.into()), from);

    let purge = read_purge(reader, &mut section);
    record(reader, &section, "purge", &purge, |purge| match purge {
        RulePurge::All => "all".into(),
        RulePurge::Nothing => "nothing".into(),
        // As they are sent.
        RulePurge::Assets(templates) => {
            let sent = templates.iter().map(|text| {
                Template::parse(text).map_or_else(|_| text.clone(), |sent| sent.to_string())
            });
            sent.collect::<Vec<_>>().into()
        }
    });
    reader.end(&section);
    let mut on = on.value;
    on.sort_unstable();
    on.dedup();
    Some(Rule {
        globs: globs.value?,
        on,
        purge: purge.value?,
    })
}

fn read_purge(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Given<RulePurge> {
    let Some(raw) = Reader::raw(section, "purge") else {
        reader.missing(section, "purge", PURGE_HINT);
        return Given {
            value: None,
            span: None,
        };
    };
    if raw.get_ref().is_array() {
        let list = reader.list(section, "purge", PURGE_HINT, read_template);
        let list = filled(
            reader,
            section,
            "purge",
            list,
            "to purge nothing, write \"nothing\"",
        );
        return Given {
            value: list.value.map(RulePurge::Assets),
            span: list.span,
        };
    }
    reader.given(section, "purge", |raw| match text(raw, PURGE_HINT)? {
        "all" => Ok(RulePurge::All),
        "nothing" => Ok(RulePurge::Nothing),
        text if text.starts_with('/') => complain(
            "is not a list",
            format!("write it in brackets, [\"{text}\"]"),
        ),
        _ => complain("is not a word that is known here", PURGE_HINT),
    })
}

/// The list, unless it is empty, which is reported.
fn filled<T>(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    mut given: Given<Vec<T>>,
    hint: &str,
) -> Given<Vec<T>> {
    if given.value.as_ref().is_some_and(Vec::is_empty)
        && let Some(span) = &given.span
    {
        let complaint = Complaint {
            why: "is empty".to_owned(),
            hint: hint.to_owned(),
        };
        reader.report(&section.key(key), span, &complaint);
        given.value = None;
    }
    given
}

fn record<T>(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    given: &Given<T>,
    written: impl Fn(&T) -> toml::Value,
) {
    let from = reader.source(given.span.as_ref());
    reader.record(section, key, given.value.as_ref().map(written), from);
}

fn read_glob(value: &DeValue<'_>) -> Result<String, Complaint> {
    let glob = text(value, "write the glob in quotes")?;
    if glob.is_empty() {
        return complain("is empty and matches nothing", "remove it");
    }
    if glob.starts_with('/') {
        return complain(
            "begins with / and would match nothing",
            "write it without: globs are about paths below the origin's root",
        );
    }
    if let Some(directory) = glob.strip_suffix('/') {
        return complain(
            "ends with / and would match nothing: globs are about files",
            format!("write \"{}/**\"", printable(directory)),
        );
    }
    if glob.starts_with('!') {
        return complain(
            "begins with !, which takes nothing back here",
            "write a rule of its own above this one for what is to be left out; a ! that is meant is written [!]",
        );
    }
    may_match(glob)?;
    match GlobBuilder::new(glob).literal_separator(true).build() {
        Ok(_) => Ok(glob.to_owned()),
        Err(error) => complain(
            format!("is not a glob: {}", error.kind()),
            "use *, **, ?, [a-z] and {a,b}",
        ),
    }
}

fn read_template(value: &DeValue<'_>) -> Result<String, Complaint> {
    let template = text(value, "write the asset in quotes")?;
    if !template.starts_with('/') {
        return complain(
            "does not begin with /",
            "write an absolute path as visitors ask for it, such as \"/{path}\"",
        );
    }
    if template.chars().any(|c| c.is_control() || c == '#') {
        return complain("holds a character that no URL has", "remove it");
    }
    let known = || {
        let names: Vec<String> = PLACEHOLDERS
            .iter()
            .map(|name| format!("{{{name}}}"))
            .collect();
        format!("known are {}", names.join(" "))
    };
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (_, from_brace) = rest.split_at(at);
        let Some((name, after)) = from_brace.strip_prefix('{').and_then(|r| r.split_once('}'))
        else {
            return complain("has a brace without its partner", known());
        };
        if !PLACEHOLDERS.contains(&name) {
            let name = printable(name);
            return complain(format!("holds {{{name}}}, which is not known"), known());
        }
        rest = after;
    }
    Ok(template.to_owned())
}
