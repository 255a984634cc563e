//! `GET /`: is everything fresh, and if not, why, and what is to be done.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Html;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Frame;
use super::one::paused;
use super::state;
use super::text::{age, counted, moment, name, number, segment, span};
use super::visitor::{PageError, Visitor};
use super::{Page, buttons, live};
use crate::admin::AdminError;
use crate::admin::api::{Cause, CauseWord, PipelineStatus, Status};
use crate::core::alarm::Alarm;
use crate::core::planner::HotAsset;
use crate::core::time::Time;
use crate::webhook::{LastRefusal, RouteStatus};

/// Pipelines on the page, at most; a filter shows the others.
const PIPELINES: usize = 200;
/// From how many on there is a filter.
const FILTERED: usize = 10;
/// Alarms that are shown whole, at most.
const ALARMS: usize = 20;
/// Causes of waiting in a row.
const CAUSES: usize = 2;

#[derive(Debug, Default, Deserialize)]
pub(super) struct NowQuery {
    /// Only pipelines with this in their names.
    #[serde(default)]
    q: String,
}

/// `GET /`
pub(super) async fn now(
    State(page): State<Arc<Page>>,
    visitor: Visitor,
    Query(query): Query<NowQuery>,
) -> Result<Html<String>, PageError> {
    let status = status(&page).await?;
    let recent = live::recent(&page, &status, None, "").await?;
    let frame = Frame {
        title: "Now",
        at: "",
        base: "",
        status: Some(&status),
        visitor: &visitor,
    };
    let content = html! {
        h1 class="unseen" { "Now" }
        div id="alarms" data-live { (alarms(status.alarms.iter(), status.now, "")) }
        (tiles(&status))
        (pipelines(&status, &visitor, &query.q))
        section id="recent" data-live {
            h2 { "Latest changes " small { "noticed, sent, purged" } }
            (recent)
        }
        (nodes(&status))
        (routes(&status))
    };
    Ok(frame.show(&page, &content))
}

/// The status of all.
pub(super) async fn status(page: &Page) -> Result<Status, AdminError> {
    let status = page.admin.status().await;
    status.ok_or_else(|| {
        AdminError::Unavailable("the engine or the store does not answer".to_owned())
    })
}

/// Alarms, each with what it is about.
pub(super) fn alarms<'a>(alarms: impl Iterator<Item = &'a Alarm>, now: Time, base: &str) -> Markup {
    let alarms: Vec<&Alarm> = alarms.collect();
    html! {
        @for alarm in alarms.iter().take(ALARMS) { (of_alarm(alarm, now, base)) }
        @if alarms.len() > ALARMS {
            p { "and " (counted(alarms.len() - ALARMS, "more alarm")) ": each is on the page of its pipeline" }
        }
    }
}

/// An alarm: what it means, since when, why, and what to do.
fn of_alarm(alarm: &Alarm, now: Time, base: &str) -> Markup {
    html! {
        section class="alarm" {
            h2 {
                span aria-hidden="true" { "▲ " }
                @if let Some(node) = &alarm.node { (node) ": " }
                @if let Some(pipeline) = &alarm.pipeline {
                    a href={ (base) "p/" (segment(pipeline)) } { (pipeline) } ": "
                }
                (alarm.meaning)
            }
            p class="since" {
                @if let Some(since) = alarm.since {
                    "since " (moment(since)) " (" (age(now, since)) ") · "
                }
                code { (alarm.reason.as_str()) }
                @if let Some(place) = &alarm.place { " · " code { (place) } }
            }
            p { (commands(&alarm.text)) }
            p { b { "Do: " } (commands(&alarm.remedy)) }
        }
    }
}

/// A text with its commands, which stand between backquotes.
pub(super) fn commands(text: &str) -> Markup {
    html! {
        @for (nth, part) in text.split('`').enumerate() {
            @if nth % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn tiles(status: &Status) -> Markup {
    let planned = || status.pipelines.iter().map(|one| &one.planned);
    let waiting: usize = planned().map(|one| one.queued_assets).sum();
    let oldest = status
        .pipelines
        .iter()
        .filter_map(|one| one.oldest.as_ref());
    let oldest = oldest.map(|oldest| oldest.seen).min();
    let flying: usize = planned().map(|one| one.in_flight).sum();
    let failed: u64 = status.pipelines.iter().map(|one| one.failed_assets).sum();
    let origins = || status.pipelines.iter().flat_map(|one| &one.origins);
    let drift: u64 = origins().map(|one| one.drift_total).sum();
    let files: u64 = origins().map(|one| one.indexed_files).sum();
    html! {
        dl id="tiles" data-live {
            div {
                dt { "From change to fresh" }
                dd {
                    @match slowest(status) {
                        Some(p95) => { (span(p95)) " " small { "p95 of 24 h, the slowest pipeline" } }
                        None => { "–" " " small { "no change became fresh in 24 h" } }
                    }
                }
            }
            div {
                dt { "Waiting" }
                dd {
                    (number(waiting)) " "
                    small { @match oldest { Some(at) => { "oldest " (age(status.now, at)) }, None => "assets" } }
                }
            }
            div { dt { "In flight" } dd { (number(flying)) " " small { "requests" } } }
            div class=[(failed > 0).then_some("bad")] {
                dt { "Failed" } dd { (number(failed)) " " small { "assets" } }
            }
            div {
                dt { "API rate" }
                dd {
                    @if status.leads {
                        (format!("{:.1}", status.api_rate_limit)) " "
                        small {
                            (status.api_rate())
                            @if let Some(since) = status.api_limits_since { ", since " (moment(since)) }
                        }
                    } @else {
                        small { "called by the leader" }
                    }
                }
            }
            div {
                dt { "Files" }
                dd { (number(files)) " " small { (number(drift)) " missed by watching" } }
            }
        }
    }
}

/// The largest of the pipelines' 95th percentiles.
fn slowest(status: &Status) -> Option<Duration> {
    let each = status.pipelines.iter();
    let slowest = each.filter_map(|one| one.recent.fresh_p95_ms).max();
    slowest.map(Duration::from_millis)
}

fn pipelines(status: &Status, visitor: &Visitor, filter: &str) -> Markup {
    let named = status
        .pipelines
        .iter()
        .filter(|one| one.name.contains(filter));
    let mut shown: Vec<&PipelineStatus> = named.collect();
    shown.sort_by(|one, other| {
        let trouble = other.state.cmp(&one.state);
        trouble.then_with(|| one.name.cmp(&other.name))
    });
    let found = shown.len();
    html! {
        section {
            h2 id="pipelines-title" { "Pipelines " small { (found) ", trouble first" } }
            @if status.pipelines.len() > FILTERED || !filter.is_empty() {
                form class="filter" method="get" role="search" {
                    label { "Name " input type="search" name="q" value=(filter); }
                    button { "Filter" }
                }
            }
            table id="pipelines" data-live aria-labelledby="pipelines-title" {
                thead {
                    tr {
                        @for title in ["Pipeline", "State", "Waiting, and why", "In flight", "Fresh after", "Purged today", "Files", "Action"] {
                            th scope="col" { (title) }
                        }
                    }
                }
                tbody {
                    @for pipeline in shown.iter().take(PIPELINES) { (row(status, pipeline, visitor)) }
                }
            }
            @if found == 0 { p class="empty" { "No pipeline has this in its name." } }
            @if found > PIPELINES { p { (counted(found - PIPELINES, "more pipeline")) ": filter by name" } }
        }
    }
}

fn row(status: &Status, pipeline: &PipelineStatus, visitor: &Visitor) -> Markup {
    let (planned, name) = (&pipeline.planned, &pipeline.name);
    let files: u64 = pipeline.origins.iter().map(|one| one.indexed_files).sum();
    html! {
        tr {
            th scope="row" { a href={ "p/" (segment(name)) } { (name) } }
            td data-label="State" { (state::mark(pipeline.state)) }
            td data-label="Waiting" { (waiting(status, pipeline)) }
            td data-label="In flight" { @if planned.in_flight > 0 { (number(planned.in_flight)) } }
            td data-label="Fresh after" { (fresh_after(pipeline)) }
            td data-label="Purged today" { (today(pipeline)) }
            td data-label="Files" { (number(files)) }
            td class="act" { (buttons::of_row(pipeline, visitor)) }
        }
    }
}

/// What waits, how long, and why; what an alarm says stands there already.
fn waiting(status: &Status, pipeline: &PipelineStatus) -> Markup {
    let planned = &pipeline.planned;
    let said = |cause: &&Cause| {
        let alarms = state::alarms(status, &pipeline.name);
        let mut texts = alarms.map(|alarm| alarm.text.as_str());
        texts.any(|text| text.contains(&*cause.text) || cause.text.contains(text))
    };
    // The numbers and the pauses stand there whole.
    let stands = |cause: &&Cause| {
        matches!(
            cause.word,
            CauseWord::Queued | CauseWord::InFlight | CauseWord::Paused
        )
    };
    let shown = pipeline.causes.iter();
    let shown = shown.filter(|cause| !said(cause) && !stands(cause));
    html! {
        @if planned.queued_assets > 0 { (counted(planned.queued_assets, "asset")) " " }
        @if let Some(all) = planned.queued_all { "everything (" (all.as_str()) ") " }
        @if let Some(oldest) = &pipeline.oldest { "for " (age(status.now, oldest.seen)) " " }
        @for pause in &planned.pauses { span class="cause" { (paused(status.now, pause, &pipeline.name)) } }
        @for hot in planned.hot.iter().take(CAUSES) { span class="cause" { (of_hot(hot)) } }
        @for cause in shown.take(CAUSES) { span class="cause" { (why(status.now, cause)) } }
        @for alarm in state::alarms(status, &pipeline.name).filter(|one| one.pipeline.is_some()) {
            span class="cause bad" { (alarm.reason.as_str()) }
        }
    }
}

/// An asset that changes all the time.
pub(super) fn of_hot(hot: &HotAsset) -> Markup {
    html! { (name(&hot.asset)) ", since " (moment(hot.since)) ": " (hot) }
}

/// A cause of waiting, and when it is over by itself.
pub(super) fn why(now: Time, cause: &Cause) -> Markup {
    html! {
        (cause.text)
        @if let Some(until) = cause.until.filter(|until| *until > now) { ", for " (span(until.since(now))) " more" }
    }
}

/// The percentiles of a day.
pub(super) fn fresh_after(pipeline: &PipelineStatus) -> Markup {
    let recent = &pipeline.recent;
    let shown = |millis: u64| span(Duration::from_millis(millis));
    html! {
        @if let (Some(p50), Some(p95)) = (recent.fresh_p50_ms, recent.fresh_p95_ms) {
            (shown(p50)) " " small { "p95 " (shown(p95)) }
        }
    }
}

/// What was purged since midnight.
pub(super) fn today(pipeline: &PipelineStatus) -> Markup {
    let recent = &pipeline.recent;
    html! {
        @if recent.requests_today > 0 {
            (number(recent.assets_today)) " "
            small {
                "in " (counted(recent.requests_today, "request"))
                @if recent.all_today > 0 { ", " (number(recent.all_today)) "× everything" }
            }
        }
    }
}

/// The nodes that share the queue.
fn nodes(status: &Status) -> Markup {
    html! {
        @if !status.nodes.is_empty() {
            section id="nodes" data-live {
                h2 { "Nodes" }
                @if let Some(at) = status.nodes_as_of {
                    p { "As of " (moment(at)) ": PostgreSQL does not answer." }
                }
                ul {
                    @for node in &status.nodes {
                        li {
                            b { (node.name) } " " (node.state.as_str())
                            @if !node.state.is_live() { " since " (moment(node.since)) " (" (age(status.now, node.since)) ")" }
                            @for said in node.said() { " · " (said) }
                        }
                    }
                    @for trees in status.pipelines.iter().flat_map(|one| &one.trees) {
                        li {
                            (trees.pipeline) ", origin " (trees.origin) ": "
                            (trees.said(|time| time.to_string()))
                        }
                    }
                }
            }
        }
    }
}

/// The webhook routes, and what they refused.
pub(super) fn routes(status: &Status) -> Markup {
    let Some(webhooks) = &status.webhooks else {
        return html! {};
    };
    html! {
        section id="routes" data-live {
            h2 { "Webhooks " small { a href="deliveries" { "deliveries" } } }
            ul {
                @for route in &webhooks.routes {
                    li {
                        code { (route.route) } " " (route.kind) " → " (route.pipeline) ": "
                        @match &route.last {
                            Some(last) => { "last delivery " (age(status.now, last.at)) " ago" }
                            None => "no delivery since the start",
                        }
                        @if let Some(refusal) = &route.last_refusal { (refused(status.now, route, refusal)) }
                    }
                }
            }
            @if webhooks.unknown_calls > 0 {
                p class="cause" { (counted(webhooks.unknown_calls, "call")) " of no route since the start" }
            }
            @if webhooks.failed_handshakes > 0 {
                p class="cause" { (counted(webhooks.failed_handshakes, "failed TLS handshake")) " since the start" }
            }
        }
    }
}

/// What a route refused: plain where a delivery was taken since.
fn refused(now: Time, route: &RouteStatus, refusal: &LastRefusal) -> Markup {
    let over = route.refusal_is_over();
    html! {
        span class={ "cause" @if !over { " bad" } } {
            "refused: " (route.refused()) " since " (moment(refusal.since)) " (" (age(now, refusal.since)) ")"
            @if over { ", and a delivery was taken since" }
        }
        span class="cause" {
            "the last from " (refusal.client) " at " (moment(refusal.at)) ": " (name(&refusal.what))
        }
        @if !over { span { b { "Do: " } (commands(&refusal.remedy)) } }
    }
}
