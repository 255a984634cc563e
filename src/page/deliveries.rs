//! `GET /deliveries`: what senders delivered and what became of it, and what was refused.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Html;
use maud::{Markup, html};

use super::Page;
use super::frame::Frame;
use super::history::{Asked, List, choice, list};
use super::live;
use super::now::{routes, status};
use super::text::{id, moment, name, number};
use super::visitor::{PageError, Visitor};
use crate::admin::api::Status;
use crate::admin::history::deliveries as list_of;
use crate::store::ListedDelivery;

/// `GET /deliveries`
pub(super) async fn deliveries(
    State(page): State<Arc<Page>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Html<String>, PageError> {
    let asked = Asked::of(query);
    let status = status(&page).await?;
    let listed = list_of(page.admin(), asked.list()?).await?.0;
    let frame = Frame {
        title: "Deliveries",
        at: "deliveries",
        base: "",
        status: Some(&status),
        visitor: &visitor,
    };
    let names = status.pipelines.iter().map(|one| one.name.clone());
    let paths = status.webhooks.iter().flat_map(|one| &one.routes);
    let paths = paths.map(|route| route.route.clone());
    let table = List {
        titles: ["Event", "Came", "Route", "Says", "State", "Changes"],
        empty: "No authentic delivery is like this. What is refused is counted above, and is in the log.",
        older: listed
            .page
            .next
            .map(|next| format!("deliveries?{}", asked.query(Some(next)))),
    };
    let rows = listed.deliveries.iter().map(|one| row(&status, one));
    let content = html! {
        h1 { "Deliveries " small { (number(listed.page.total_count)) " authentic" } }
        (routes(&status))
        form class="filter" method="get" role="search" {
            (choice("Pipeline", "pipeline", names, asked.get("pipeline")))
            (choice("Route", "route", paths, asked.get("route")))
            button { "Filter" }
        }
        (list(&table, rows))
    };
    Ok(frame.show(&page, &content))
}

fn row(status: &Status, delivery: &ListedDelivery) -> Markup {
    let record = &delivery.record;
    let counts = [
        ("queued", record.queued),
        ("in flight", record.submitted),
        ("purged", record.done),
        ("failed", record.failed),
    ];
    html! {
        tr {
            th scope="row" { (id(&record.event)) }
            td data-label="Came" { (moment(record.at)) }
            td data-label="Route" { code { (delivery.route) } " → " (live::pipeline(status, &delivery.pipeline_id)) }
            td data-label="Says" { (name(&record.what)) }
            td data-label="State" {
                span class=[(record.failed > 0).then_some("bad")] { (record.state.as_str()) }
                @if !record.without.is_empty() { span class="cause" { "not scanned, being silent: " (record.without) } }
                @for reason in &record.reasons { span class="cause" { (reason.stage) ": " (reason.why) } }
            }
            td data-label="Changes" {
                @for (word, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                    (number(count)) " " (word) " "
                }
            }
        }
    }
}
