//! What all pages share: the head, the ways to the others, the state of all, and the foot.

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use super::Page;
use super::assets::VERSION;
use super::state::mark;
use super::text::{age, counted, moment};
use super::visitor::Visitor;
use crate::admin::api::Status;

/// The pages that are always a step away.
const WAYS: [(&str, &str); 4] = [
    ("", "Now"),
    ("history", "History"),
    ("deliveries", "Deliveries"),
    ("why", "Why?"),
];

/// A page around its content.
pub(super) struct Frame<'p> {
    /// Its title.
    pub(super) title: &'p str,
    /// Its address below the root of the page.
    pub(super) at: &'p str,
    /// The way back to that root.
    pub(super) base: &'static str,
    /// The status; `None` where it must not be shown.
    pub(super) status: Option<&'p Status>,
    /// Who reads it.
    pub(super) visitor: &'p Visitor,
}

impl Frame<'_> {
    /// The whole page.
    pub(super) fn show(&self, page: &Page, content: &Markup) -> Html<String> {
        let alarms = self.status.map_or(0, |status| status.alarms.len());
        let whole = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title {
                        @if alarms > 0 { "(" (alarms) ") " }
                        (self.title) " · edgepurge · " (page.host)
                    }
                    link rel="icon" type="image/svg+xml" href={ (self.base) "icon.svg?" (*VERSION) };
                    link rel="stylesheet" href={ (self.base) "page.css?" (*VERSION) };
                    script src={ (self.base) "page.js?" (*VERSION) } defer {}
                    @if self.status.is_some() {
                        noscript { meta http-equiv="refresh" content="5"; }
                    }
                }
                body data-events=[self.status.map(|_| format!("{}events", self.base))] {
                    a class="skip" href="#main" { "To the content" }
                    (self.header(page))
                    main id="main" tabindex="-1" {
                        (self.said(page))
                        (content)
                    }
                    @if let Some(status) = self.status { (self.footer(status)) }
                }
            }
        };
        Html(whole.into_string())
    }

    fn header(&self, page: &Page) -> Markup {
        html! {
            header {
                p class="brand" { a href={ (self.base) "." } { "edgepurge" } " " span { (page.host) } }
                @if let Some(status) = self.status {
                    p id="state" data-live role="status" { (summary(status)) }
                }
                nav aria-label="Pages" {
                    (ways(self.base, self.at))
                    @if let Some(session) = &self.visitor.session {
                        form method="post" action={ (self.base) "logout" } {
                            input type="hidden" name="form" value=(session.form);
                            button class="plain" title={ "logged in as " (session.who) } { "Log out" }
                        }
                    } @else if self.visitor.may_log_in {
                        a href={ (self.base) "login" }
                            aria-current=[(self.at == "login").then_some("page")] { "Log in" }
                    }
                }
                @if self.status.is_some() { p id="stream" hidden {} }
            }
        }
    }

    /// What the last action came to.
    fn said(&self, page: &Page) -> Markup {
        let reader = Some(self.visitor).filter(|visitor| !visitor.script);
        let session = reader.and_then(|visitor| visitor.session.as_ref());
        let said = session.and_then(|session| page.sessions.said(&session.id));
        html! {
            @if let Some(said) = said {
                @if said.done {
                    p class="said" role="status" { (said.text) }
                } @else {
                    p class="said refused" role="alert" { "Not done: " (said.text) }
                }
            }
        }
    }

    fn footer(&self, status: &Status) -> Markup {
        html! {
            footer id="foot" data-live data-now=(status.now.to_string()) {
                "edgepurge " (status.version) ", up " (age(status.now, status.started))
                " · " code { (status.config_file.display()) } ", read " (moment(status.config_read))
                " · API " (status.api_url)
                " · made " (moment(status.now))
                " · " a href={ (self.base) "metrics" } { "metrics" }
                " · " a href={ (self.base) "api/v1/status" } { "status as JSON" }
            }
        }
    }
}

/// The ways to the pages, from one of them.
pub(super) fn ways(base: &str, at: &str) -> Markup {
    html! {
        @for (to, name) in WAYS {
            a href={ (base) @if to.is_empty() { "." } @else { (to) } }
                aria-current=[(to == at).then_some("page")] { (name) }
        }
    }
}

/// The state of all, in a line.
fn summary(status: &Status) -> Markup {
    html! {
        (mark(status.state)) " "
        @match status.alarms.len() {
            0 => { (counted(status.pipelines.len(), "pipeline")) }
            alarms => { (counted(alarms, "alarm")) }
        }
    }
}
