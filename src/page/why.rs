//! `GET /why?q=`: why a URL, an asset or a file was purged, or not; from the event to the verdict at the
//! edge. It is what `edgepurge explain` tells.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Html;
use maud::{Markup, html};

use super::Page;
use super::frame::Frame;
use super::history::{Asked, choice};
use super::now::{commands, status};
use super::text::{self, encoded, moment, name, span};
use super::visitor::{PageError, Visitor};
use crate::admin::AdminError;
use crate::admin::api::{AssetExplained, ExplainAnswer, ExplainQuery};
use crate::admin::explain::explain;
use crate::admin::input::Query;
use crate::explain::{AssetFiles, FileExplained, Verdict, absent};
use crate::store::{AssetPurge, Cause};

/// Assets of a file that are shown with their history.
const ASSETS: usize = 5;

/// `GET /why`
pub(super) async fn why(
    State(page): State<Arc<Page>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Html<String>, PageError> {
    let asked = Asked::of(query);
    let (wanted, pipeline) = (asked.get("q").trim(), asked.get("pipeline"));
    let status = status(&page).await?;
    let names = status.pipelines.iter().map(|one| one.name.clone());
    let content = html! {
        h1 { "Why was it purged, or not?" }
        form class="filter why" method="get" role="search" {
            label {
                "URL, path or file "
                input type="search" name="q" value=(wanted) autofocus[wanted.is_empty()]
                    placeholder="https://www.example.com/blog/ or posts/a.json";
            }
            @if status.pipelines.len() > 1 { (choice("Pipeline", "pipeline", names, pipeline)) }
            button { "Explain" }
        }
        @if wanted.is_empty() {
            p class="empty" {
                "An address of the site, or a file below a root: what it was purged for, when, in which request, and what "
                "the edge had afterwards."
            }
        } @else {
            (explained(&page, wanted, pipeline).await)
        }
    };
    let frame = Frame {
        title: "Why?",
        at: "why",
        base: "",
        status: Some(&status),
        visitor: &visitor,
    };
    Ok(frame.show(&page, &content))
}

/// The explanation, or why there is none.
async fn explained(page: &Page, wanted: &str, pipeline: &str) -> Markup {
    match look(page, wanted, pipeline).await {
        Ok(found) => {
            let config = &page.admin.explainer.file;
            html! {
                @for file in &found.files { (of_file(file, config)) }
                (of_assets(&found.assets, config))
            }
        }
        Err(error) => html! { p class="said refused" role="alert" { (error) } },
    }
}

/// What lies below a root is a file, as for the command.
async fn look(page: &Page, wanted: &str, pipeline: &str) -> Result<ExplainAnswer, AdminError> {
    let path = Path::new(wanted);
    let asset = page.admin.explainer.is_asset(wanted);
    let query = ExplainQuery {
        pipeline: (!pipeline.is_empty()).then(|| pipeline.to_owned()),
        asset: asset.then(|| wanted.to_owned()),
        path: (!asset).then(|| path.to_owned()),
        history_only: false,
    };
    let mut found = explain(page.admin(), Query(query)).await?.0;
    if !asset && found.files.is_empty() {
        return Err(AdminError::NotFound(
            "this lies below the root of no origin, and is no absolute URL path".to_owned(),
        ));
    }
    for (pipeline, asset) in assets_of(&found.files) {
        let query = ExplainQuery {
            pipeline: Some(pipeline),
            asset: Some(asset),
            path: None,
            history_only: true,
        };
        found
            .assets
            .extend(explain(page.admin(), Query(query)).await?.0.assets);
    }
    Ok(found)
}

/// The assets of files, with their pipelines: the first ones.
fn assets_of(files: &[FileExplained]) -> Vec<(String, String)> {
    let mapped = files.iter().filter(|file| file.counts());
    let mut assets = BTreeSet::new();
    for file in mapped {
        for asset in file.on.values().flat_map(|verdict| &verdict.assets) {
            assets.insert((file.pipeline.clone(), asset.clone()));
        }
    }
    assets.into_iter().take(ASSETS).collect()
}

fn of_file(file: &FileExplained, config: &Path) -> Markup {
    html! {
        section class="explained" {
            h2 { @if file.bucket.is_some() { "Object " } @else { "File " } (name(&file.path)) " " small { "of " (file.pipeline) ", origin " (file.origin) } }
            @if let Some(why) = &file.refused {
                p class="answer" { "Left out, since browsers and servers do not agree on its URL: " (why) "." }
            } @else if let Some(by) = &file.ignored_by {
                p class="answer" {
                    "Ignored: nothing is purged for it, since " (name(&by.pattern)) " "
                    @match (by.built_in, by.line) {
                        (true, _) => "on the built-in list",
                        (false, Some(line)) => { "in ignore, " (config.display()) ":" (line) }
                        (false, None) => "in ignore",
                    }
                    " matches " (name(&by.matched)) "."
                }
            } @else if let Some(link) = &file.not_followed {
                p class="answer" {
                    "Behind the link " (name(link)) ", which is not followed, since links lead there in too many ways, "
                    "or round and round: nothing is purged for this name."
                }
            } @else {
                @match &file.absent {
                    Some(since) => { p class="answer" { (commands(&absent(since, file.bucket.is_some()))) } }
                    None if !file.exists => { p { "There is no such " (file.noun()) " now." } }
                    None => {}
                }
                @if file.unread {
                    p { "Its " (file.unread_noun()) " not read yet: until then every sign of a write is a change." }
                }
                @if !file.diverged.is_empty() {
                    p { "Diverged: " (file.diverged.join(", ")) "; each change of it is purged, and not waited for." }
                }
                ul { (verdicts(file, config)) }
            }
        }
    }
}

/// What each kind of change purges; kinds that purge the same are one line.
fn verdicts(file: &FileExplained, config: &Path) -> Markup {
    let mut shown: Vec<(&Verdict, Vec<&str>)> = Vec::new();
    for (kind, verdict) in &file.on {
        match shown.iter_mut().find(|(other, _)| *other == verdict) {
            Some((_, kinds)) => kinds.push(kind.as_str()),
            None => shown.push((verdict, vec![kind.as_str()])),
        }
    }
    html! {
        @for (verdict, kinds) in shown {
            li {
                b { (kinds.join(", ")) } ": "
                (of_verdict(verdict, config))
            }
        }
    }
}

fn of_verdict(verdict: &Verdict, config: &Path) -> Markup {
    html! {
        @match (verdict.rule, &verdict.pattern) {
            (Some(rule), Some(pattern)) => {
                "rule " (rule) " (" (name(pattern))
                @if let Some(line) = verdict.line { ", " (config.display()) ":" (line) }
                ") purges "
            }
            _ => "the built-in mapping purges ",
        }
        @if verdict.all { "everything" }
        @else if verdict.assets.is_empty() { "nothing" }
        @for asset in &verdict.assets { a href={ "why?q=" (encoded(asset)) } { (name(asset)) } " " }
        @for refused in &verdict.refused {
            span class="cause" { "left out, since no request can name it: " (name(refused)) }
        }
    }
}

/// Assets; those of which a pipeline knows nothing are one line.
fn of_assets(assets: &[AssetExplained], config: &Path) -> Markup {
    let (known, unknown): (Vec<_>, Vec<_>) = assets.iter().partition(|one| one.is_known());
    html! {
        @for one in known { (of_asset(one, config)) }
        @if let Some(first) = unknown.first() {
            section class="explained" {
                p {
                    (name(&first.asset)) " stands for no file that is indexed, and no purge of it is in the history, in "
                    (unknown.iter().map(|one| one.pipeline.as_str()).collect::<Vec<_>>().join(", ")) "."
                }
                @for other in unknown.iter().filter_map(|one| one.other_host.as_ref()) { p class="cause" { (other) } }
            }
        }
    }
}

fn of_asset(one: &AssetExplained, config: &Path) -> Markup {
    let history = one.history.iter();
    let waiting: Vec<&Cause> = history
        .clone()
        .flat_map(|history| &history.waiting)
        .collect();
    let purges: Vec<&AssetPurge> = history.flat_map(|history| &history.purges).collect();
    html! {
        section class="explained" {
            h2 { (name(&one.asset)) " " small { "of " (one.pipeline) } }
            (answer(&waiting, &purges))
            @if let Some(other) = &one.other_host { p class="cause" { (other) } }
            @if let Some(files) = &one.stands_for { (stands_for(files, config)) }
            ol class="trail" {
                @for cause in waiting {
                    li { b class=[(cause.stage == "failed").then_some("bad")] { (cause.stage) } ": " (of_cause(cause)) }
                }
                @if !one.not_yet_on.is_empty() { li { "not yet on " (one.not_yet_on.join(", ")) } }
                @for purge in purges { li { (of_purge(purge)) } }
            }
        }
    }
}

/// The answer in a sentence.
fn answer(waiting: &[&Cause], purges: &[&AssetPurge]) -> Markup {
    html! {
        p class="answer" {
            @match (waiting.first(), purges.first()) {
                (Some(cause), _) if cause.stage == "queued" => {
                    "It changed and waits for its purge since " (moment(cause.seen)) "."
                }
                (Some(cause), _) => { "A change of it is " (cause.stage) ": the edge may be stale." }
                (None, Some(purge)) => {
                    @match purge.request.settled_at {
                        Some(at) => { "It was purged last at " (moment(at)) ": " (purge.request.status) "." }
                        None => "Its purge is in flight.",
                    }
                    @if let Some(seen) = &purge.verified { " The edge was " (seen.verdict.as_str()) " afterwards." }
                }
                (None, None) => "No change and no purge of it is in the history.",
            }
        }
    }
}

fn stands_for(files: &AssetFiles, config: &Path) -> Markup {
    html! {
        ul {
            @for (origin, path) in &files.files {
                li {
                    "stands for " a href={ "why?q=" (encoded(path)) } { (name(path)) } ", origin " (origin)
                    @if let Some(since) = files.absent.get(path) {
                        span class="cause" { (commands(&absent(since, files.buckets.contains(origin)))) }
                    }
                }
            }
            @if let Some(canonical) = &files.purged_as {
                li { "is another spelling of " (name(canonical)) ": changes purge that and not this" }
            }
            @if files.truncated { li { "and for more files" } }
            @for ruled in &files.ruled {
                li { (name(&ruled.path)) ", origin " (ruled.origin) ", answers there: " (of_verdict(&ruled.verdict, config)) }
            }
            @if files.files.is_empty() && files.ruled.is_empty() { li { "stands for no file that is indexed" } }
            @for origin in &files.unindexed { li { "origin " (origin) " is not indexed yet" } }
        }
    }
}

/// A purge, step by step.
fn of_purge(purge: &AssetPurge) -> Markup {
    let request = &purge.request;
    let bad = !matches!(&*request.status, "done" | "submitting" | "accepted");
    html! {
        ol class="steps" {
            @if let Some(cause) = &purge.cause {
                li { (of_cause(cause)) }
            }
            li {
                (moment(request.created_at)) " request #" (request.id)
                @if let Some(reason) = &request.reason { " of everything (" (reason) ")" }
                @if request.attempt > 0 { ", attempt " (request.attempt + 1) }
                @if let Some(id) = &request.remote_id { " " span class="id" { (text::id(id)) } }
            }
            @if let Some(at) = request.settled_at {
                li {
                    (moment(at)) " " b class=[bad.then_some("bad")] { (request.status) }
                    ", " (span(at.since(request.first_seen))) " after the first change"
                    @if !request.why.is_empty() { span class="cause" { (request.why) } }
                }
            } @else {
                li { (request.status) }
            }
            @if let Some(seen) = &purge.verified {
                li {
                    (moment(seen.at)) " the edge was " b { (seen.verdict.as_str()) }
                    @if !seen.why.is_empty() { ": " (name(&seen.why)) }
                }
            }
        }
    }
}

/// Why it was to be purged: a file, a delivery, an operator.
fn of_cause(cause: &Cause) -> Markup {
    html! {
        (moment(cause.seen)) " "
        @if let Some((origin, path)) = &cause.file { (name(path)) " " (cause.kind.as_str()) ", origin " (origin) " " }
        @if let Some((route, event)) = &cause.delivery { "delivery " (text::id(event)) " at " (name(route)) " " }
        "(" (cause.source.as_str()) @if !cause.detail.is_empty() { ", " (name(&cause.detail)) } ")"
    }
}
