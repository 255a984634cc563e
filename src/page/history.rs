//! `GET /history`: the purge requests, a page at a time. The query has the names of `/api/v1/requests`, so
//! that a link says the same in both places.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Html;
use maud::{Markup, html};
use url::form_urlencoded;

use super::Page;
use super::frame::Frame;
use super::live;
use super::now::status;
use super::text::{self, counted, encoded, moment, name, number, span};
use super::visitor::{PageError, Visitor};
use crate::admin::api::Status;
use crate::admin::history::requests;
use crate::admin::{AdminError, ListQuery};
use crate::core::change::Source;
use crate::core::purge::Outcome;
use crate::store::{RequestRecord, SEARCHED_CHANGES, SEARCHED_REQUESTS};

/// Assets of a request that are named; the others are behind a summary.
const NAMED: usize = 3;

/// The filters of a list as a form sent them: empty ones are none.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    /// Reads the query of a page.
    pub(super) fn of(query: Option<String>) -> Self {
        let query = query.unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of a filter; empty where it is not set.
    pub(super) fn get(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value)
    }

    /// The list that this asks for.
    pub(super) fn list<T: serde::de::DeserializeOwned>(&self) -> Result<ListQuery<T>, AdminError> {
        ListQuery::of(&self.query(None))
    }

    /// The query; with a cursor, that of another page.
    pub(super) fn query(&self, cursor: Option<u64>) -> String {
        let kept = self.0.iter();
        let kept =
            kept.filter(|(name, _)| cursor.is_none() || !matches!(&**name, "cursor" | "page"));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        if let Some(cursor) = cursor {
            query.append_pair("cursor", &cursor.to_string());
        }
        query.finish()
    }
}

/// `GET /history`
pub(super) async fn history(
    State(page): State<Arc<Page>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Html<String>, PageError> {
    let asked = Asked::of(query);
    let status = status(&page).await?;
    let listed = requests(page.admin(), asked.list()?).await?.0;
    let frame = Frame {
        title: "History",
        at: "history",
        base: "",
        status: Some(&status),
        visitor: &visitor,
    };
    let table = List {
        titles: ["Number", "Made", "Pipeline", "Purges", "Status", "Took"],
        empty: "No purge request is like this.",
        older: listed
            .page
            .next
            .map(|next| format!("history?{}", asked.query(Some(next)))),
    };
    let rows = listed.purge_requests.iter().map(|one| row(&status, one));
    let content = html! {
        h1 { "History " small { (counted(listed.page.total_count, "purge request")) } }
        (filter(&status, &asked))
        @if !asked.get("q").is_empty() { p class="empty" { "Looked for in the last " (number(SEARCHED_REQUESTS)) " purge requests." } }
        @if !asked.get("source").is_empty() { p class="empty" { "Looked for in the last " (number(SEARCHED_CHANGES)) " changes." } }
        (list(&table, rows))
    };
    Ok(frame.show(&page, &content))
}

/// A choice of a form.
pub(super) fn choice(
    label: &str,
    key: &str,
    options: impl Iterator<Item = String>,
    chosen: &str,
) -> Markup {
    html! {
        label {
            (label) " "
            select name=(key) {
                option value="" { "all" }
                @for option in options { option selected[option == chosen] { (option) } }
            }
        }
    }
}

/// A page of a list.
pub(super) struct List<const COLUMNS: usize> {
    pub(super) titles: [&'static str; COLUMNS],
    /// What stands in place of no rows.
    pub(super) empty: &'static str,
    /// The link to the next page.
    pub(super) older: Option<String>,
}

/// The section with the rows of a list, which script keeps fresh.
pub(super) fn list<const COLUMNS: usize>(
    list: &List<COLUMNS>,
    rows: impl ExactSizeIterator<Item = Markup>,
) -> Markup {
    html! {
        section id="list" data-live {
            @if rows.len() == 0 {
                p class="empty" { (list.empty) }
            } @else {
                table {
                    thead { tr { @for title in list.titles { th scope="col" { (title) } } } }
                    tbody { @for row in rows { (row) } }
                }
            }
            @if let Some(older) = &list.older { p { a class="next" href=(older) { "Older" } } }
        }
    }
}

fn filter(status: &Status, asked: &Asked) -> Markup {
    let names = status.pipelines.iter().map(|one| one.name.clone());
    let open = ["submitting", "accepted"].into_iter();
    let words = open
        .chain(Outcome::ALL.map(Outcome::as_str))
        .map(str::to_owned);
    html! {
        form class="filter" method="get" role="search" {
            (choice("Pipeline", "pipeline", names, asked.get("pipeline")))
            (choice("Status", "status", words, asked.get("status")))
            (choice("Source", "source", Source::ALL.map(|one| one.as_str().to_owned()).into_iter(), asked.get("source")))
            label { "Asset with " input type="search" name="q" value=(asked.get("q")) placeholder="/blog/"; }
            label { "Since " input name="from" value=(asked.get("from")) placeholder="24h, or 2026-11-29"; }
            // A link may name one asset; the form keeps it.
            @if !asked.get("asset").is_empty() {
                label { "Asset " input type="search" name="asset" value=(asked.get("asset")); }
            }
            button { "Filter" }
        }
    }
}

fn row(status: &Status, request: &RequestRecord) -> Markup {
    let took = request.settled_at.map(|at| at.since(request.first_seen));
    let bad = !matches!(&*request.status, "done" | "submitting" | "accepted");
    html! {
        tr {
            th scope="row" { "#" (request.id) }
            td data-label="Made" { (moment(request.created_at)) }
            td data-label="Pipeline" { (live::pipeline(status, &request.pipeline_id)) }
            td data-label="Purges" {
                @if request.all { "everything: " (request.reason.as_deref().unwrap_or_default()) }
                @for asset in request.assets.iter().take(NAMED) {
                    a href={ "why?q=" (encoded(asset)) } { (name(asset)) } " "
                }
                @if request.assets.len() > NAMED {
                    details {
                        summary { (number(request.assets.len() - NAMED)) " more" }
                        @for asset in request.assets.iter().skip(NAMED) { (name(asset)) " " }
                    }
                }
            }
            td data-label="Status" {
                span class=[bad.then_some("bad")] { (request.status) }
                @if !request.why.is_empty() { span class="cause" { (request.why) } }
                @if let Some(id) = &request.remote_id { span class="cause id" { (text::id(id)) } }
            }
            td data-label="Took" { @if let Some(took) = took { (span(took)) } }
        }
    }
}
