//! `[[pipeline.webhook]]`: which sender may report deploys, where its secrets are, and what its
//! deliveries purge.

mod fields;
mod kinds;
mod purge;
mod scope;
mod secrets;
mod signature;

use std::time::Duration;

use axum::http::HeaderName;

use crate::core::change::PipelineId;
use crate::origin::WatchMode;
use crate::webhook::kind::{Sender, s3};
use crate::webhook::{Digest, Encoding, Kind, Origins, Pointer, Purge, RouteSettings, Unit};

use super::keys::{Table, table};
use super::model::{SecretPlace, Webhook};
use super::origin::Origin;
use super::range::{DAY, MINUTE};
use super::reader::Reader;
use super::section::{Given, Section};
use super::shape::Shape;
use super::syntax::time;
use super::unique::Unique;
use super::value::{Complaint, boolean, complain, line, words};
use super::webhook_listener::Webhooks;

table! {
    /// Zero or more: deploy webhooks. A route has one kind, which says how its deliveries are authenticated and
    /// what they mean; nothing that a sender sends changes that.
    "[[pipeline.webhook]]" => WebhookKeys {
        /// The path that the sender is given; unique. Letters, digits, `/`, `.`, `_` and `-`.
        route: String = required("write the path that the sender is given, such as route = \"/hooks/www\""),
            line().checked(Shape::pattern("a path", "^(/[A-Za-z0-9._-]+)+$"), |route| check_route(route));
        /// Who sends.
        kind: &'static Sender = required(&kinds::hint()), kinds::kind();
        /// How deliveries are authenticated. Left out: as the kind does it. `none` needs no secret, and a listener
        /// that only this machine reaches.
        auth: &'static str = elsewhere(), kinds::auth(kinds::every_auth());
        /// A file that only its owner can read; a list is a rotation, of which any is good.
        secret_file: Vec<SecretPlace> = optional(), secrets::files();
        /// The name of a systemd credential; a list is a rotation.
        credential: Vec<SecretPlace> = optional(), secrets::credentials();
        /// What else is about another one is ignored. Forges: owner/name, or the address that it is cloned from;
        /// s3: the bucket; contentful: the space; netlify, vercel: the site's or project's name or id;
        /// cloudevents: the source; generic, standard: what is at `repository_pointer`.
        repository: Vec<String> = elsewhere(), scope::repositories(None);
        /// The kind's own names. Left out: what is sent after the deploy, where the kind has such.
        events: Vec<String> = optional(), scope::names(|_| Ok(()));
        /// As main, refs/heads/main or release/*; `*` and `?` stop at a `/`, `**` does not. Left out: all. What
        /// names no branch always counts.
        branches: Vec<String> = optional(), scope::names(scope::branch);
        /// Only the ends of these runs count: the name or file of a workflow, or the sender's like. Left out: every
        /// run that succeeds and that no pull request started.
        workflows: Vec<String> = optional(), scope::names(|_| Ok(()));
        /// Of the events about deployments, only those to these environments count. Left out: what the
        /// sender calls production, and github-pages.
        environments: Vec<String> = optional(), scope::names(|_| Ok(()));
        /// What a delivery purges: scan (what is really new), files (what it lists), all, or these assets. Left out:
        /// scan where there are origins.
        purge: Purge = optional(), purge::syntax();
        /// The folder of the repository that is the origin's root. Left out: all of it.
        files_root: String = optional(), purge::files_root();
        /// Between a delivery and the change that it makes.
        delay: Duration = default(Duration::ZERO), time(Duration::ZERO..=DAY);
        /// A delivery that is repeated within this time changes nothing once the first is done; 0s is never.
        dedupe: Duration = default(10 * MINUTE), time(Duration::ZERO..=30 * DAY);
        /// Whether a push is taken for one that was not forced, so that its list of files counts: true where the
        /// branch is protected from that.
        assume_no_force_push: bool = default(false), boolean();
        /// The origins that are let in where a sender asks by OPTIONS first.
        allowed_origins: Vec<String> = elsewhere(), kinds::origins();
        /// How a record spells the key of its object: auto (by its eventSource), form or raw.
        key_encoding: s3::Keys = default(s3::Keys::default()), words();
        /// The path that the sender was given, where a proxy changes it: it is signed too.
        external_path: String = optional(), kinds::external_path();
        /// The header that has the token.
        token_header: HeaderName = required(
            "name the header that has the token, such as token_header = \"X-Token\""
        ), signature::header();
        /// What stands before the token in its header.
        token_prefix: String = default(String::new()), signature::token_prefix();
        /// The header that has the signature.
        signature_header: HeaderName = required(
            "name the header that has the signature, such as signature_header = \"X-Signature\""
        ), signature::header();
        /// What stands before the signature in its header.
        signature_prefix: String = default(String::new()), signature::signature_prefix();
        /// How the signature is written.
        signature_encoding: Encoding = default(Encoding::default()), words();
        /// The hash of the signature; sha1 is for senders that have nothing better.
        signature_digest: Digest = default(Digest::default()), words();
        /// The header that has the timestamp. Left out: none. More than 300 s off is refused.
        timestamp_header: HeaderName = optional(), signature::header();
        /// The field of the signature's header, a list with commas, that has the timestamp.
        timestamp_field: String = optional(), signature::field();
        /// The unit of the timestamp.
        timestamp_unit: Unit = default(Unit::default()), words();
        /// What is signed. Left out: `{timestamp}.{body}` with a timestamp, else `{body}`.
        signed: signature::Signed = elsewhere(), signature::signed(true);
        /// Where the body lists the files: JSON pointers, in which `*` stands for every element of a list.
        paths: Vec<Pointer> = optional(), fields::pointers();
        /// Where it names what `repository` is compared with.
        repository_pointer: Pointer = optional(), fields::pointer();
        /// Where it names the branch, or a full ref.
        branch: Pointer = optional(), fields::pointer();
        /// Where it names the event.
        event: Pointer = optional(), fields::pointer();
        /// Where it has what names the delivery, for `dedupe`.
        id: Pointer = optional(), fields::pointer();
    }
}

pub(super) use kinds::auths;

/// The table, with the kinds that have each key.
pub(super) fn table() -> Table {
    let mut table = WebhookKeys::table();
    for key in &mut table.keys {
        key.kinds = kinds::having(key.name);
    }
    table
}

/// What the webhooks of a pipeline have to know besides their own sections.
pub(super) struct Around<'a> {
    /// Where the listener can be reached from.
    pub(super) listener: &'a Webhooks,
    /// The pipeline.
    pub(super) pipeline: PipelineId,
    /// The pipeline's origins.
    pub(super) origins: &'a [Origin],
    /// What it serves, with origins of the file that are refused.
    pub(super) serves: Origins,
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
    let route = WebhookKeys::route(reader, section);
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
    let purge = WebhookKeys::purge(reader, section);
    let files_root = WebhookKeys::files_root(reader, section);
    let delay = WebhookKeys::delay(reader, section);
    let dedupe = WebhookKeys::dedupe(reader, section);
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
            origins: around.serves,
            watched: around
                .origins
                .iter()
                .any(|o| o.root.is_some() && o.watch != WatchMode::Off),
        },
    );
    Some(Webhook {
        settings: RouteSettings {
            path: route.value?,
            pipeline: around.pipeline.clone(),
            origins: around.serves,
            kind,
            repositories: scope.repositories.value.unwrap_or_default(),
            events: scope.events.value,
            branches: scope.branches.value.unwrap_or_default(),
            workflows: scope.workflows.value.unwrap_or_default(),
            environments: scope.environments.value.unwrap_or_default(),
            purge: purge.value,
            files_root: complete(files_root).ok()?.unwrap_or_default(),
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

/// An open route needs no secret, so that only programs of this machine may reach it.
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
