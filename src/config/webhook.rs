//! Reads `[[pipeline.webhook]]`: who may tell of deploys, where its secrets are, and what its
//! deliveries purge.

mod fields;
mod kinds;
mod purge;
mod scope;
mod secrets;
mod signature;

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
use super::value::{Complaint, a_type, complain};

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
    let open = kind.as_ref().is_some_and(Kind::is_open);
    let secrets = secrets::read(reader, section, kind.is_some(), open);
    if open {
        check_open(reader, section, around.listener);
    }
    let scope = scope::read(reader, section, kind.as_ref());
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
    let Some(kind) = kind else {
        reader.end(section);
        return None;
    };
    kinds::refuse_others(reader, section, &kind);
    reader.end(section);
    scope::check(reader, section, &scope, &kind);
    purge::check(
        reader,
        section,
        &purge::Choice {
            kind: &kind,
            purge: &purge,
            events: &scope.events,
            workflows: scope.workflows.span.is_some(),
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
            repositories: scope.repositories.value.unwrap_or_default(),
            events: scope.events.value,
            branches: scope.branches.value.unwrap_or_default(),
            workflows: scope.workflows.value.unwrap_or_default(),
            environments: scope.environments.value.unwrap_or_default(),
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
