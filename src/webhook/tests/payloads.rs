//! What forges send, and routes for it.
//!
//! Payloads are as the senders' own sources make them: Forgejo 15 (`modules/structs/hook.go`, `action.go`,
//! `modules/webhook/type.go`), Gitea's main branch of 2026 (`modules/structs/hook.go`,
//! `services/convert/action.go`), GitLab's main branch of 2025 (`lib/gitlab/data_builder/*.rb`), GitHub's
//! examples in `octokit/webhooks` 7, Bitbucket Cloud's REST API 2.0 (`commitstatus`).

use serde_json::{Value, json};

use super::bench::settings;
use crate::webhook::*;

pub(super) const SCAN: Wish = Wish::Scan { because: None };

/// A route with these events (none: the kind's own), which changes.
pub(super) fn scoped(
    kind: Kind,
    events: &[&str],
    change: impl FnOnce(&mut RouteSettings),
) -> RouteSettings {
    let mut settings = settings(kind);
    if !events.is_empty() {
        settings.events = Some(events.iter().map(|event| (*event).to_owned()).collect());
    }
    change(&mut settings);
    settings
}

pub(super) fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// The `Repository` of Gitea and Forgejo, as far as it could matter.
pub(super) fn repository() -> Value {
    json!({
        "id": 7, "owner": {"id": 2, "login": "acme"}, "name": "site", "full_name": "acme/site",
        "private": true, "fork": false, "html_url": "https://forge.example.com/acme/site",
        "ssh_url": "ssh://git@forge.example.com/acme/site.git",
        "clone_url": "https://forge.example.com/acme/site.git", "default_branch": "main",
    })
}

pub(super) fn gitlab_project() -> Value {
    json!({
        "id": 30, "name": "site", "web_url": "https://gitlab.example.com/Acme/web/site",
        "git_ssh_url": "git@gitlab.example.com:Acme/web/site.git",
        "git_http_url": "https://gitlab.example.com/Acme/web/site.git", "namespace": "web",
        "path_with_namespace": "Acme/web/site", "default_branch": "main",
    })
}
