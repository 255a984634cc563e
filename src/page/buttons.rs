//! The buttons of a pipeline: forms that [`act`](super::act) takes.

use maud::{Markup, html};

use super::session::Session;
use super::visitor::Visitor;
use crate::admin::api::PipelineStatus;

/// A button that is a form of its own, with what else it asks for.
fn form(
    base: &str,
    session: &Session,
    pipeline: &str,
    (action, label): (&str, &str),
    more: &Markup,
) -> Markup {
    html! {
        form method="post" action={ (base) "do" } {
            input type="hidden" name="form" value=(session.form);
            input type="hidden" name="pipeline" value=(pipeline);
            @if base.is_empty() { input type="hidden" name="from" value="now"; }
            (more)
            button name="action" value=(action) { (label) }
        }
    }
}

/// What a pipeline needs now, in its row.
pub(super) fn of_row(pipeline: &PipelineStatus, visitor: &Visitor) -> Markup {
    let Some(session) = &visitor.session else {
        return html! {};
    };
    let name = &pipeline.name;
    html! {
        @if pipeline.paused { (form("", session, name, ("resume", "Resume"), &html! {})) }
        @if pipeline.failed_assets > 0 { (form("", session, name, ("retry", "Retry"), &html! {})) }
    }
}

/// Everything that can be done with a pipeline.
pub(super) fn of_pipeline(pipeline: &PipelineStatus, visitor: &Visitor) -> Markup {
    let name = &pipeline.name;
    let Some(session) = &visitor.session else {
        return html! {
            @if visitor.may_log_in {
                p { a href="../login" { "Log in" } " to pause, resume, retry, scan, purge or drop." }
            } @else {
                p {
                    "Nothing can be changed here, since the configuration has no " code { "admin.token_file" }
                    ". On this machine: " code { "edgepurge pause " (name) } " and the like."
                }
            }
        };
    };
    let held = pipeline.origins.iter().any(|origin| origin.held.is_some());
    let typed = html! {
        label { "Type " b { (name) } " " input name="confirm" required autocomplete="off"; }
    };
    let button = |action, label, more: &Markup| form("../", session, name, (action, label), more);
    let none = html! {};
    html! {
        div class="actions" {
            @if pipeline.paused { (button("resume", "Resume", &none)) }
            @if pipeline.failed_assets > 0 { (button("retry", "Retry what failed", &none)) }
            @if !pipeline.origins.is_empty() { (button("scan", "Scan now", &none)) }
        }
        details {
            summary { "Pause…" }
            (button("pause", "Pause", &html! {
                p { "Changes queue meanwhile, and none is lost." }
                label { "Minutes " small { "empty: until resumed" } input name="minutes" inputmode="numeric" pattern="[0-9]*"; }
                label { "Reason " input name="reason" maxlength="200"; }
            }))
        }
        details {
            summary { "Purge assets…" }
            (button("purge", "Purge", &html! {
                label { "Assets or URLs, one a line " textarea name="assets" rows="4" required placeholder="/blog/" {} }
            }))
        }
        details class="danger" {
            summary { "Purge everything…" }
            (button("purge_all", "Purge everything", &html! {
                p { "The whole cache is emptied, and the origin has to serve every visitor anew." }
                (typed)
            }))
        }
        @if held {
            details class="danger" {
                summary { "Accept the loss…" }
                (button("accept_loss", "Scan, and purge what is gone", &html! {
                    p { "What is gone counts as deleted, and is purged." }
                }))
            }
        }
        details class="danger" {
            summary { "Drop the queue…" }
            (button("drop", "Drop the queue", &html! {
                p { "What is queued or failed is forgotten, and stays stale at the edge until it changes again." }
                (typed)
            }))
        }
    }
}
