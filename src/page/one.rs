//! `GET /p/NAME`: all that is known of one pipeline, and what can be done with it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::frame::Frame;
use super::now::{alarms, commands, fresh_after, of_hot, status, today, why};
use super::state;
use super::text::{age, counted, encoded, moment, name as shown, number, span};
use super::visitor::{PageError, Visitor};
use super::{Page, buttons, live};
use crate::admin::AdminError;
use crate::admin::api::{CauseWord, PipelineStatus, Status};
use crate::core::pause::{Holder, Pause};
use crate::core::time::Time;
use crate::origin::OriginStatus;
use crate::store::{ChangeFilter, Slice};

/// Failed assets that are named, at most.
const FAILED: usize = 20;

/// `GET /p/NAME`
pub(super) async fn one(
    State(page): State<Arc<Page>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Html<String>, PageError> {
    let status = status(&page).await.map_err(PageError::below)?;
    let unknown = || {
        let text = "there is no such pipeline in the config";
        PageError::below(AdminError::NotFound(text.to_owned()))
    };
    let pipeline = status.pipeline(&name).ok_or_else(unknown)?;
    let recent = live::recent(&page, &status, Some(&pipeline.id), "../").await;
    let recent = recent.map_err(PageError::below)?;
    let failed = failed(&page, pipeline).await.map_err(PageError::below)?;
    let frame = Frame {
        title: &pipeline.name,
        at: "p",
        base: "../",
        status: Some(&status),
        visitor: &visitor,
    };
    let content = html! {
        div id="one" data-live {
            h1 { (pipeline.name) " " (state::mark(pipeline.state)) }
            (alarms(state::alarms(&status, &pipeline.name), status.now, "../"))
            (queue(&status, pipeline))
            (failed)
        }
        section {
            h2 { "Do" }
            (buttons::of_pipeline(pipeline, &visitor))
        }
        section id="origins" data-live {
            h2 { "Origins" }
            @for origin in &pipeline.origins { (of_origin(status.now, origin)) }
            @if pipeline.origins.is_empty() { p class="empty" { "It has none: webhooks and commands purge it." } }
        }
        section id="recent" data-live {
            h2 {
                "Latest changes "
                small { a href={ "../history?pipeline=" (encoded(&pipeline.name)) } { "all its purge requests" } }
            }
            (recent)
        }
        p class="id" { "id " code { (pipeline.id) } }
    };
    Ok(frame.show(&page, &content))
}

fn queue(status: &Status, pipeline: &PipelineStatus) -> Markup {
    let planned = &pipeline.planned;
    html! {
        section {
            h2 { "Queue" }
            @if pipeline.causes.is_empty() {
                p class="empty" { "Nothing waits: every change that was noticed is purged." }
            }
            ul {
                @for cause in pipeline.causes.iter().filter(|cause| cause.word != CauseWord::Paused) {
                    li { (why(status.now, cause)) }
                }
                @if let Some(oldest) = &pipeline.oldest {
                    li {
                        "the oldest change waits for " (age(status.now, oldest.seen)) ", since " (moment(oldest.seen))
                        @if let Some(change) = &oldest.change { ": " (live::why(change)) }
                    }
                }
                @if pipeline.recent.fresh_p50_ms.is_some() {
                    li { "fresh after " (fresh_after(pipeline)) ", of 24 h" }
                }
                @if pipeline.recent.requests_today > 0 { li { "purged today: " (today(pipeline)) } }
                @if let Some(last) = pipeline.recent.last_purge { li { "last purge " (age(status.now, last)) " ago" } }
                @for pause in &planned.pauses { li { (paused(status.now, pause, &pipeline.name)) } }
                @if let Some(most) = planned.learned_max_assets {
                    li { "the API was found to take " (number(most)) " assets in a request" }
                }
                @for hot in &planned.hot { li { (of_hot(hot)) } }
            }
        }
    }
}

/// A pause: by whom, since when, until when, why, and what ends it.
pub(super) fn paused(now: Time, pause: &Pause, pipeline: &str) -> Markup {
    html! {
        (pause.what()) " since " (moment(pause.since)) " (" (age(now, pause.since)) ")"
        @match (&pause.holder, pause.until) {
            (Holder::Deploy(_), Some(until)) => { ", at least until " (moment(until)) }
            (_, Some(until)) => { ", until " (moment(until)) }
            (_, None) => ", until resumed"
        }
        @if !pause.reason.is_empty() { ": " bdi { (pause.reason) } }
        ". " b { "Do: " } (commands(&pause.remedy(pipeline)))
    }
}

/// What is given up, with the reason.
async fn failed(page: &Page, pipeline: &PipelineStatus) -> Result<Markup, AdminError> {
    if pipeline.failed_assets == 0 {
        return Ok(html! {});
    }
    let filter = ChangeFilter {
        pipeline: Some(pipeline.id.clone()),
        stage: Some("failed".to_owned()),
        slice: Slice::first(FAILED),
        ..ChangeFilter::default()
    };
    let changes = page.admin.store.changes(filter).await?.rows;
    Ok(html! {
        section {
            h2 { "Failed " small { (counted(pipeline.failed_assets, "asset")) " may be stale" } }
            ul {
                @for change in &changes {
                    li {
                        @match &change.asset {
                            Some(asset) => { a href={ "../why?q=" (encoded(asset)) } { (shown(asset)) } }
                            None => "everything",
                        }
                        " since " (moment(change.cause.seen)) ": " (live::why(change))
                    }
                }
            }
        }
    })
}

fn of_origin(now: Time, origin: &OriginStatus) -> Markup {
    let state = match (origin.armed, origin.scanning) {
        (_, true) => "a look at all files runs",
        (true, false) if origin.polling => "polled",
        (true, false) => "watched",
        (false, false) => "not looked at yet",
    };
    let bucket = origin.bucket.as_ref();
    let (refused, unread_headers) = bucket.map_or((0, 0), |bucket| {
        (bucket.refused_keys, bucket.unread_headers)
    });
    let mut facts = vec![
        ("Files", origin.indexed_files),
        ("still to be read", origin.unread_files),
        ("being written", origin.writing_files),
        ("Directories watched", origin.watched_directories),
        ("polled, for want of watches", origin.unwatched_directories),
        (
            "Directories that can't be listed",
            origin.unreadable_directories,
        ),
        ("Files that can't be read", origin.unreadable_files),
        ("Changes that only a scan found", origin.drift_total),
        ("Times that events were lost", origin.lost_events),
        ("Keys that no URL leads to", refused),
        ("Objects whose headers are not read yet", unread_headers),
    ];
    facts.retain(|(what, count)| *count > 0 || *what == "Files");
    html! {
        section class="origin" {
            h3 { (origin.name) " " small { (state) } }
            dl {
                @for (what, count) in facts { div { dt { (what) } dd { (number(count)) } } }
                @if let Some(scan) = &origin.last_scan {
                    div {
                        dt { "Last scan" }
                        dd {
                            (age(now, scan.ended)) " ago " small {
                                (scan.reason.as_str()) ", " (span(std::time::Duration::from_millis(scan.took_ms)))
                                ", " (number(scan.new)) " new, " (number(scan.changed)) " changed, "
                                (number(scan.gone)) " gone"
                            }
                        }
                    }
                }
            }
        }
    }
}
