//! What a route purges, and what is suspicious about that.

use std::time::Duration;

use crate::config::problem::printable;
use crate::config::reader::Reader;
use crate::config::section::{Given, Section};
use crate::config::shape::Shape;
use crate::config::syntax::{Syntax, list, parsed};
use crate::config::value::{Complaint, complain};
use crate::core::asset::Asset;
use crate::webhook::{Kind, Origins, Purge};

use super::scope;

const HINT: &str =
    "write \"scan\", \"files\", \"all\", or a list of assets such as [\"/\", \"/feed.xml\"]";

/// What a route purges.
pub(super) fn syntax() -> Syntax<Purge> {
    let parse = |text: &str| {
        Asset::parse(text)
            .or_else(|error| complain("is not an asset", format!("it {}", error.problem)))
    };
    let shape = Shape::pattern("an asset", "^/");
    let asset = parsed(shape, "write the asset in quotes", parse, Asset::to_string);
    let assets =
        list(HINT, asset).filled("is empty", "list at least one asset, or remove the route");
    let parse = |text: &str| match text {
        "scan" => Ok(Purge::Scan),
        "files" => Ok(Purge::Files),
        "all" => Ok(Purge::All),
        asset if asset.starts_with('/') => complain(
            "is not a list",
            format!("write it in brackets, [\"{}\"]", printable(asset)),
        ),
        _ => complain("is not a word that is known here", HINT),
    };
    let written = |purge: &Purge| match purge {
        Purge::Scan => "scan",
        Purge::Files => "files",
        _ => "all",
    };
    let words = Shape::Words(vec!["scan", "files", "all"]);
    parsed(words, HINT, parse, written).or_list(assets, Purge::Assets, |purge| match purge {
        Purge::Assets(assets) => Some(assets),
        _ => None,
    })
}

/// A folder of a repository, with a `/` at its end.
pub(super) fn files_root() -> Syntax<String> {
    const HINT: &str = "write a folder of the repository, such as \"public/\"";
    let parse = |root: &str| {
        let bare = root.strip_suffix('/').unwrap_or(root);
        let odd = |part: &str| matches!(part, "" | "." | "..");
        if bare.split('/').any(odd) || bare.chars().any(|c| c.is_control() || c == '\\') {
            return complain("is not a folder of a repository", HINT);
        }
        Ok(format!("{bare}/"))
    };
    let shape = Shape::pattern("a folder", "^[^/]");
    parsed(shape, HINT, parse, String::clone)
}

/// What has to fit together.
pub(super) struct Choice<'c> {
    pub(super) kind: &'c Kind,
    pub(super) purge: &'c Given<Purge>,
    pub(super) events: &'c Given<Vec<String>>,
    /// Whether it is said which workflows count.
    pub(super) workflows: bool,
    pub(super) delay: Duration,
    pub(super) origins: Origins,
    /// Whether the origins are watched, at least one of them.
    pub(super) watched: bool,
}

/// Reports what can't work, and warns of what would make the edge cache old bytes again.
pub(super) fn check(reader: &mut Reader<'_>, section: &Section<'_>, choice: &Choice<'_>) {
    let kind = choice.kind.as_str();
    let purge = match (&choice.purge.value, &choice.purge.span) {
        (None, Some(_)) => return,
        (Some(purge), _) => purge.clone(),
        (None, None) => Purge::default_of(choice.kind, choice.origins),
    };
    let at_purge = |reader: &mut Reader<'_>, why: String, hint: &str| {
        if let Some(span) = &choice.purge.span {
            let hint = hint.to_owned();
            reader.report(&section.key("purge"), span, &Complaint { why, hint });
        }
    };
    if purge == Purge::Scan && choice.origins == Origins::None {
        let why = "can't be: the pipeline has no origin to scan".to_owned();
        at_purge(reader, why, "write \"all\", or a list of assets");
        return;
    }
    if purge == Purge::Files && !choice.kind.sender.lists_files {
        let why = format!("can't be: deliveries of kind = \"{kind}\" list no files");
        at_purge(reader, why, "write \"scan\", \"all\", or a list of assets");
        return;
    }
    let known = choice.kind.sender.events;
    if known.is_empty() {
        return;
    }
    let events = scope::events(choice.events, choice.kind);
    if events.iter().any(|event| !known.contains(event)) {
        return;
    }
    let push = events
        .iter()
        .find(|event| choice.kind.sender.push_events.contains(event));
    let span = choice.events.span.clone();
    let span = span.unwrap_or_else(|| section.span().clone());
    match push {
        None if purge == Purge::Files => {
            let why = "name none that lists files, and purge is \"files\": every delivery widens";
            reader.warn(&section.key("events"), &span, why, "write purge = \"scan\"");
        }
        Some(_) if purge == Purge::Files && choice.kind.distrusts_lists() => {
            let why = "count a push that may have been forced, so that its list of files is never trusted, and \
                       purge is \"files\"";
            let hint = "write assume_no_force_push = true where the branch is protected, or purge = \"scan\"";
            reader.warn(&section.key("events"), &span, why, hint);
        }
        _ => {}
    }
    let run = events
        .iter()
        .find(|event| choice.kind.sender.run_events.contains(event));
    let compares = match &purge {
        Purge::Scan => true,
        Purge::Files => choice.origins != Origins::None,
        Purge::All | Purge::Assets(_) => false,
    };
    if let (Some(run), false, false) = (run, choice.workflows, compares) {
        let why = format!(
            "count {run}, which tells of every run that succeeds, of tests too: each of them purges, whether \
             something was deployed or not"
        );
        let hint = "name those that deploy, such as workflows = [\"deploy.yml\"]";
        reader.warn(&section.key("events"), &span, &why, hint);
    }
    match push {
        Some(push) if choice.delay.is_zero() && (purge != Purge::Scan || !choice.watched) => {
            let why = format!(
                "count {push}, which is sent before the deploy, and delay is 0s: the edge would cache the old \
                 bytes again"
            );
            let hint = "choose an event that is sent after the deploy, or a delay that is longer than a deploy";
            reader.warn(&section.key("events"), &span, &why, hint);
        }
        _ => {}
    }
}
