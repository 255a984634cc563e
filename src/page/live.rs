//! What changed lately, and what became of it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::Page;
use super::text::{counted, encoded, id, moment, name, span};
use crate::admin::AdminError;
use crate::admin::api::Status;
use crate::core::change::{PipelineId, Seq};
use crate::store::{ChangeFilter, ChangeRecord, RequestFilter, RequestRecord, Slice};

/// So many changes are looked at, and as many requests.
const LOOKED_AT: usize = 200;
/// Of which so many rows are made, at most.
const ROWS: usize = 20;
/// A row names so many assets.
const NAMED: usize = 2;

/// Changes that came for one reason and are at the same point.
struct Row {
    changes: Vec<ChangeRecord>,
    request: Option<RequestRecord>,
}

/// The last changes, of all pipelines or of one.
pub(super) async fn recent(
    page: &Page,
    status: &Status,
    of: Option<&PipelineId>,
    base: &str,
) -> Result<Markup, AdminError> {
    let store = &page.admin.store;
    let last = store.subscribe().borrow().0;
    // With a first number the store counts these rows, and not the whole history.
    let first = of
        .is_none()
        .then(|| last.saturating_sub(2 * LOOKED_AT as u64));
    let changes = store.changes(ChangeFilter {
        first: first.map(Seq),
        pipeline: of.cloned(),
        slice: Slice::first(LOOKED_AT),
        ..ChangeFilter::default()
    });
    let requests = store.requests(RequestFilter {
        pipeline: of.cloned(),
        slice: Slice::first(LOOKED_AT),
        ..RequestFilter::default()
    });
    let (changes, requests) = (changes.await?.rows, requests.await?.rows);
    let requests = requests.into_iter().map(|one| (one.id, one)).collect();
    Ok(show(&rows(changes, &requests), status, base))
}

fn rows(changes: Vec<ChangeRecord>, requests: &BTreeMap<u64, RequestRecord>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for change in changes {
        let same = |row: &&mut Row| {
            let other = &row.changes[0];
            other.pipeline_id == change.pipeline_id
                && other.cause.stage == change.cause.stage
                && other.request == change.request
                && other.cause.source == change.cause.source
                && other.cause.delivery == change.cause.delivery
        };
        if let Some(row) = rows.last_mut().filter(|row| same(row)) {
            row.changes.push(change);
        } else if rows.len() == ROWS {
            break;
        } else {
            let request = change.request.and_then(|id| requests.get(&id)).cloned();
            rows.push(Row {
                changes: vec![change],
                request,
            });
        }
    }
    rows
}

fn show(rows: &[Row], status: &Status, base: &str) -> Markup {
    html! {
        @if rows.is_empty() {
            p class="empty" {
                "Nothing was purged yet. Change a file below a root, and its purge is here within a second."
            }
        } @else {
            ol class="live" {
                @for row in rows { (one(row, status, base)) }
            }
        }
    }
}

fn one(row: &Row, status: &Status, base: &str) -> Markup {
    let newest = &row.changes[0];
    let pipeline = pipeline(status, &newest.pipeline_id);
    html! {
        li {
            span class="when" { (moment(newest.cause.seen)) }
            span class="what" {
                b { (pipeline) } " "
                (assets(&row.changes, base))
                span class="why" { (why(newest)) }
            }
            span class="became" { (became(row)) }
        }
    }
}

/// The name of a pipeline, or its id where it has none any more.
pub(super) fn pipeline(status: &Status, id: &PipelineId) -> String {
    let known = status.pipeline(id.as_str());
    known.map_or_else(|| id.to_string(), |one| one.name.clone())
}

fn assets(changes: &[ChangeRecord], base: &str) -> Markup {
    let mut named: Vec<&Option<String>> = changes.iter().map(|change| &change.asset).collect();
    named.dedup();
    html! {
        @for asset in named.iter().take(NAMED) {
            @match asset {
                Some(asset) => { a href={ (base) "why?q=" (encoded(asset)) } { (name(asset)) } " " }
                None => { "everything " }
            }
        }
        @if named.len() > NAMED { "and " (counted(named.len() - NAMED, "more asset")) " " }
    }
}

/// Why a change was made.
pub(super) fn why(change: &ChangeRecord) -> Markup {
    let cause = &change.cause;
    html! {
        @match (&cause.file, &cause.delivery) {
            (Some((_, path)), _) => { (name(path)) " " (cause.kind.as_str()) }
            (None, Some((route, event))) => { "delivery " (id(event)) " at " (name(route)) }
            (None, None) if cause.detail.is_empty() => { (cause.kind.as_str()) }
            (None, None) => { (cause.detail) }
        }
        " · " (cause.source.as_str())
    }
}

/// How far it is: noticed, sent, purged.
fn became(row: &Row) -> Markup {
    let (seen, stage) = (
        row.changes[0].cause.seen,
        row.changes[0].cause.stage.as_str(),
    );
    let request = row.request.as_ref();
    let settled = request.and_then(|request| request.settled_at);
    let (dots, word) = match stage {
        "queued" => ("●○○", "waits".to_owned()),
        "taken" => ("●●○", "in flight".to_owned()),
        "done" => (
            "●●●",
            match settled {
                Some(at) => format!("purged after {}", span(at.since(seen))),
                None => "purged".to_owned(),
            },
        ),
        other => ("▲", other.to_owned()),
    };
    html! {
        span class={ "steps " (stage) } aria-hidden="true" { (dots) } " " (word)
        @if let Some(id) = row.changes[0].request { " " span class="id" { "#" (id) } }
    }
}
