//! Reads `[[pipeline.webhook]]`: who may tell of deploys, where its secrets are, and what its
//! deliveries purge.

mod fields;
mod kinds;
mod purge;
mod secrets;
mod signature;

use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use crate::core::change::PipelineId;
use crate::webhook::{Kind, RouteSettings};

use super::defaults;
use super::model::{Origin, WatchMode, Webhook, Webhooks};
use super::range::{self, DAY};
use super::reader::Reader;
use super::section::{Given, Section};
use super::unique::Unique;
use super::value::{Complaint, a_type, complain, text};

/// What the webhooks of a pipeline have to know besides their own sections.
pub(super) struct Around<'a> {
    /// Where the listener can be reached from.
    pub(super) listener: &'a Webhooks,
    /// The pipeline.
    pub(super) pipeline: PipelineId,
    /// The pipeline's origins.
    pub(super) origins: &'a [Origin],
    /// Whether the pipeline has an origin in the file, even one that is refused.
    pub(super) has_origins: bool,
}

/// Reads the webhooks of a pipeline.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    pipeline: &mut Section<'_>,
    around: &Around<'_>,
    routes: &mut Unique,
) -> Vec<Webhook> {
    reader
        .tables(pipeline, "webhook")
        .into_iter()
        .filter_map(|section| read(reader, section, around, routes))
        .collect()
}

fn read(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    around: &Around<'_>,
    routes: &mut Unique,
) -> Option<Webhook> {
    let section = &mut section;
    let route = reader.required(
        section,
        "route",
        "write the path that the sender is given, such as route = \"/hooks/www\"",
        |route: &String| check_route(route),
    );
    if let (Some(value), Some(span)) = (&route.value, &route.span) {
        routes.add(reader, &section.key("route"), value, span);
    }
    let kind = kinds::read(reader, section);
    let open = kind.as_ref().is_some_and(|(_, open)| *open);
    let secrets = secrets::read(reader, section, kind.is_some(), open);
    if open {
        check_open(reader, section, around.listener);
    }
    let repository = reader.optional(section, "repository", range::any);
    let events = names(reader, section, "events");
    let branches = names(reader, section, "branches");
    let purge = purge::read(reader, section);
    let files_root = purge::read_files_root(reader, section);
    let delay = reader.setting(
        section,
        "delay",
        Duration::ZERO,
        range::time(Duration::ZERO..=DAY),
    );
    let dedupe = reader.setting(
        section,
        "dedupe",
        defaults::DEDUPE,
        range::time(Duration::ZERO..=30 * DAY),
    );
    let Some((kind, _)) = kind else {
        // Which other keys there may be depends on it.
        return None;
    };
    kinds::refuse_others(reader, section, &kind);
    reader.end(section);
    if repository.span.is_some() && !kind.names_repository() {
        unnamed(
            reader,
            section,
            "repository",
            repository.span.as_ref(),
            &kind,
            "repository",
        );
    }
    if events.span.is_some() && !kind.names_event() {
        unnamed(
            reader,
            section,
            "events",
            events.span.as_ref(),
            &kind,
            "event",
        );
    }
    if branches.span.is_some() && !kind.names_branch() {
        unnamed(
            reader,
            section,
            "branches",
            branches.span.as_ref(),
            &kind,
            "branch",
        );
    }
    check_events(reader, section, &events, &kind);
    purge::check(
        reader,
        section,
        &purge::Choice {
            kind: &kind,
            purge: &purge,
            events: &events,
            delay: delay.value,
            has_origins: around.has_origins,
            watched: around.origins.iter().any(|o| o.watch != WatchMode::Off),
        },
    );
    Some(Webhook {
        settings: RouteSettings {
            path: route.value?,
            pipeline: around.pipeline.clone(),
            has_origins: around.has_origins,
            kind,
            open,
            repository: repository.value,
            events: events.value,
            branches: branches.value.unwrap_or_default(),
            purge: purge.value,
            files_root: files_root?,
            delay: delay.value,
            dedupe: dedupe.value,
        },
        secrets: secrets?,
        section: section.path.clone(),
    })
}

/// A route has one spelling, and nothing that a proxy might change.
fn check_route(route: &str) -> Result<(), Complaint> {
    const HINT: &str =
        "write a path such as \"/hooks/www\", of letters, digits, `/`, `.`, `_` and `-`";
    let good = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let Some(path) = route.strip_prefix('/') else {
        return complain("does not begin with /", HINT);
    };
    if route.len() > 200 || !path.split('/').all(good) {
        return complain("is not a path that a route can have", HINT);
    }
    Ok(())
}

/// Anybody may send to an open route, so that nobody else must reach it.
fn check_open(reader: &mut Reader<'_>, section: &Section<'_>, listener: &Webhooks) {
    let Some(raw) = section.table.and_then(|table| table.get("auth")) else {
        return;
    };
    if !listener.is_local() {
        let complaint = Complaint {
            why: "lets every machine purge: webhooks.listen can be reached from others".to_owned(),
            hint: "give the route a secret, or listen on 127.0.0.1 or a unix socket".to_owned(),
        };
        reader.report(&section.key("auth"), &raw.span(), &complaint);
        return;
    }
    reader.warn(
        &section.key("auth"),
        &raw.span(),
        "lets every program on this machine purge, and whoever a proxy lets through",
        "give the route a secret",
    );
}

/// A list of names, at least one; `*` may end one.
fn names(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Given<Vec<String>> {
    let names = reader.list(
        section,
        key,
        "write a list of names in quotes and brackets",
        |raw| {
            let name = text(raw, "write each name in quotes")?;
            if name.is_empty() || name.chars().any(char::is_control) {
                return complain("is not a name", "remove it");
            }
            Ok(name.to_owned())
        },
    );
    let mut names = names;
    if names.value.as_ref().is_some_and(Vec::is_empty) {
        if let Some(span) = &names.span {
            let complaint = Complaint {
                why: "is empty, so that nothing would count".to_owned(),
                hint: "list at least one, or remove the line".to_owned(),
            };
            reader.report(&section.key(key), span, &complaint);
        }
        names.value = None;
    }
    let from = reader.source(names.span.as_ref());
    reader.record(section, key, names.value.clone().map(Into::into), from);
    names
}

fn unnamed(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    span: Option<&Range<usize>>,
    kind: &Kind,
    what: &str,
) {
    let Some(span) = span else {
        return;
    };
    let kind = kind.as_str();
    let hint = match (kind, what) {
        ("generic" | "standard" | "cloudevents", "branch") => {
            "say where in the body it is, with branch = \"/…\""
        }
        ("generic" | "standard", "event") => "say where in the body it is, with event = \"/…\"",
        _ => "remove the line",
    };
    let why = format!("can't be looked at: deliveries of kind = \"{kind}\" name no {what}");
    reader.report_key(&section.key(key), span, &why, hint);
}

fn check_events(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    events: &Given<Vec<String>>,
    kind: &Kind,
) {
    let (Some(names), Some(span), Some(known)) = (&events.value, &events.span, kind.known_events())
    else {
        return;
    };
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        let name = super::problem::printable(name);
        let why = format!(
            "holds \"{name}\", which is not an event that kind = \"{}\" knows",
            kind.as_str()
        );
        let hint = format!("known are {}", known.join(", "));
        reader.report_key(&section.key("events"), span, &why, &hint);
    }
}

/// A value that was refused, and reported.
struct Refused;

/// The value, or nothing where the key is absent.
fn complete<T>(given: Given<T>) -> Result<Option<T>, Refused> {
    if given.value.is_none() && given.span.is_some() {
        return Err(Refused);
    }
    Ok(given.value)
}

/// One text, or a list of texts, each read by `read`.
fn one_or_more<T>(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    hint: &str,
    read: impl Fn(&str) -> Result<T, Complaint>,
) -> Given<Vec<T>> {
    let item = |raw: &DeValue<'_>| {
        raw.as_str().map_or_else(
            || complain(format!("is {}, not a string", a_type(raw)), hint),
            &read,
        )
    };
    let is_list = Reader::raw(section, key).is_some_and(|raw| raw.get_ref().is_array());
    if is_list {
        return reader.list(section, key, hint, item);
    }
    let given = reader.given(section, key, item);
    Given {
        value: given.value.map(|value| vec![value]),
        span: given.span,
    }
}
