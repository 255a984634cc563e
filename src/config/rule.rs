//! `[[pipeline.rule]]`: which files a rule is about, and what is purged for them.

use globset::GlobBuilder;
use toml::de::DeValue;

use crate::core::change::Kind;
use crate::core::mapping::{Rule, RulePurge, Template, TemplateError};

use super::glob::may_match;
use super::keys::table;
use super::problem::printable;
use super::reader::Reader;
use super::section::Section;
use super::shape::Shape;
use super::syntax::{Syntax, list, parsed, scalar};
use super::value::{Complaint, complain, text, words};

/// What a template may hold in braces.
const PLACEHOLDERS: [&str; 5] = ["path", "dir", "name", "stem", "ext"];

const PURGE_HINT: &str =
    "write \"all\", \"nothing\", or a list of assets such as [\"/{path}\", \"/feed.xml\"]";

table! {
    /// Zero or more, the first match wins; then the built-in mapping that `pages` chooses.
    "[[pipeline.rule]]" => RuleKeys {
        /// Globs over paths below an origin's root; one that matches is enough.
        patterns "match": Vec<String> =
            required("say which files the rule is about, such as match = [\"posts/*.json\"]"), globs();
        /// The kinds of changes that it holds for.
        on: Vec<Kind> = default(vec![Kind::New, Kind::Changed, Kind::Gone]), list(
            "write a list of \"new\", \"changed\" and \"gone\"",
            words(),
        ).filled("is empty", "list at least one, or leave the line out");
        /// What is purged: all, nothing, or these assets, in which `{path}`, `{dir}`, `{name}`, `{stem}` and
        /// `{ext}` stand for those of the file.
        purge: RulePurge = required(PURGE_HINT), purge();
    }
}

/// Reads the rules of a pipeline.
pub(super) fn read_all(reader: &mut Reader<'_>, pipeline: &mut Section<'_>) -> Vec<Rule> {
    reader
        .tables(pipeline, "rule")
        .into_iter()
        .filter_map(|section| read(reader, section))
        .collect()
}

fn read(reader: &mut Reader<'_>, mut section: Section<'_>) -> Option<Rule> {
    let patterns = RuleKeys::patterns(reader, &mut section);
    let on = RuleKeys::on(reader, &mut section);
    let purge = RuleKeys::purge(reader, &mut section);
    reader.end(&section);
    Some(Rule {
        patterns: patterns.value?,
        on: on.value.into_iter().collect(),
        purge: purge.value?,
    })
}

fn globs() -> Syntax<Vec<String>> {
    let glob = scalar(Shape::text("a glob"), read_glob, String::clone);
    list("write a list of globs, such as [\"posts/*.json\"]", glob)
        .filled("is empty", "list at least one glob")
}

/// What a rule purges; assets are written as they are sent.
fn purge() -> Syntax<RulePurge> {
    let asset = Shape::pattern("an asset with placeholders", "^/");
    let asset = scalar(asset, read_template, Template::to_string);
    let assets = list(PURGE_HINT, asset).filled("is empty", "to purge nothing, write \"nothing\"");
    let words = Shape::Words(vec!["all", "nothing"]);
    let parse = |text: &str| match text {
        "all" => Ok(RulePurge::All),
        "nothing" => Ok(RulePurge::Nothing),
        text if text.starts_with('/') => complain(
            "is not a list",
            format!("write it in brackets, [\"{text}\"]"),
        ),
        _ => complain("is not a word that is known here", PURGE_HINT),
    };
    let written = |purge: &RulePurge| match purge {
        RulePurge::All => "all",
        _ => "nothing",
    };
    parsed(words, PURGE_HINT, parse, written).or_list(assets, RulePurge::Templates, |purge| {
        match purge {
            RulePurge::Templates(templates) => Some(templates),
            _ => None,
        }
    })
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

fn read_template(value: &DeValue<'_>) -> Result<Template, Complaint> {
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
    match Template::parse(template) {
        Ok(template) => Ok(template),
        Err(TemplateError::Asset(error)) => {
            complain("is not an asset", format!("it {}", error.problem))
        }
        Err(error) => complain("is not an asset", error.to_string()),
    }
}
