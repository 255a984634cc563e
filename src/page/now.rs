//! `GET /`: is everything fresh, and if not, why, and what is to be done.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Html;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Frame;
use super::state::State as Word;
use super::text::{age, counted, number, segment};
use super::visitor::{PageError, Visitor};
use super::{Page, buttons, live};
use crate::admin::AdminError;
use crate::admin::api::{PipelineStatus, Status};
use crate::core::alarm::Alarm;

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
        div id="alarms" data-live { (alarms(status.alarms.iter(), "")) }
        (tiles(&status))
        (pipelines(&status, &visitor, &query.q))
        section id="recent" data-live {
            h2 { "Latest changes " small { "noticed, sent, purged" } }
            (recent)
        }
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
pub(super) fn alarms<'a>(alarms: impl Iterator<Item = &'a Alarm>, base: &str) -> Markup {
    let alarms: Vec<&Alarm> = alarms.collect();
    html! {
        @for alarm in alarms.iter().take(ALARMS) {
            section class="alarm" {
                h2 {
                    span aria-hidden="true" { "▲ " }
                    @if let Some(pipeline) = &alarm.pipeline {
                        a href={ (base) "p/" (segment(pipeline)) } { (pipeline) } ": "
                    }
                    (alarm.reason.as_str())
                }
                p { (alarm.text) }
            }
        }
        @if alarms.len() > ALARMS {
            p { "and " (counted(alarms.len() - ALARMS, "more alarm")) ": each is on the page of its pipeline" }
        }
    }
}

fn tiles(status: &Status) -> Markup {
    let planned = || status.pipelines.iter().map(|one| &one.planned);
    let waiting: usize = planned().map(|one| one.queued_assets).sum();
    let oldest = planned().filter_map(|one| one.oldest_queued).min();
    let flying: usize = planned().map(|one| one.in_flight).sum();
    let failed: u64 = status.pipelines.iter().map(|one| one.failed_assets).sum();
    let origins = || status.pipelines.iter().flat_map(|one| &one.origins);
    let drift: u64 = origins().map(|one| one.drift_total).sum();
    let files: u64 = origins().map(|one| one.indexed_files).sum();
    html! {
        dl id="tiles" data-live {
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
            div { dt { "API rate" } dd { (format!("{:.1}", status.api_rate_limit)) " " small { "calls a second" } } }
            div {
                dt { "Files" }
                dd { (number(files)) " " small { (number(drift)) " missed by watching" } }
            }
        }
    }
}

fn pipelines(status: &Status, visitor: &Visitor, filter: &str) -> Markup {
    let mut shown: Vec<(Word, &PipelineStatus)> = status
        .pipelines
        .iter()
        .filter(|pipeline| pipeline.name.contains(filter))
        .map(|pipeline| (Word::of(status, pipeline), pipeline))
        .collect();
    shown.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.name.cmp(&other.name)));
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
                        @for title in ["Pipeline", "State", "Waiting", "In flight", "Files", "Action"] {
                            th scope="col" { (title) }
                        }
                    }
                }
                tbody {
                    @for (state, pipeline) in shown.iter().take(PIPELINES) {
                        (row(status, *state, pipeline, visitor))
                    }
                }
            }
            @if found == 0 { p class="empty" { "No pipeline has this in its name." } }
            @if found > PIPELINES { p { (counted(found - PIPELINES, "more pipeline")) ": filter by name" } }
        }
    }
}

fn row(status: &Status, state: Word, pipeline: &PipelineStatus, visitor: &Visitor) -> Markup {
    let (planned, name) = (&pipeline.planned, &pipeline.name);
    let files: u64 = pipeline.origins.iter().map(|one| one.indexed_files).sum();
    html! {
        tr {
            th scope="row" { a href={ "p/" (segment(name)) } { (name) } }
            td data-label="State" { (state.mark()) }
            td data-label="Waiting" {
                @if planned.queued_assets > 0 { (number(planned.queued_assets)) " " }
                @if let Some(oldest) = planned.oldest_queued { "for " (age(status.now, oldest)) " " }
                @for cause in pipeline.causes.iter().take(CAUSES) { span class="cause" { (cause.text) } }
            }
            td data-label="In flight" { @if planned.in_flight > 0 { (number(planned.in_flight)) } }
            td data-label="Files" { (number(files)) }
            td class="act" { (buttons::of_row(pipeline, visitor)) }
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
                        @let refused: u64 = route.refusals.values().sum();
                        @if refused > 0 {
                            span class="cause bad" {
                                "refused: "
                                @for (nth, (why, count)) in route.refusals.iter().filter(|(_, n)| **n > 0).enumerate() {
                                    @if nth > 0 { ", " } (why) " × " (number(*count))
                                }
                            }
                        }
                    }
                }
            }
            @if webhooks.unknown_calls > 0 {
                p class="cause" { (counted(webhooks.unknown_calls, "call")) " of no route since the start" }
            }
        }
    }
}
