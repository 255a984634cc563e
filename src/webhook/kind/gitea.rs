//! Stub.
use crate::webhook::delivery::Unreadable;
use crate::webhook::reading::{Ask, Input, Reading};
pub(in crate::webhook) const GITEA_DEFAULT_EVENTS: [&str; 1] = ["workflow_run"];
pub(in crate::webhook) const FORGEJO_DEFAULT_EVENTS: [&str; 1] = ["action_run_success"];
pub(in crate::webhook) enum Flavour {
    Gitea,
    Forgejo,
}
pub(in crate::webhook) fn read(_: &Input<'_>, _: Flavour, _: bool) -> Result<Reading, Unreadable> {
    Ok(Reading::of("gitea", Ask::Unlisted("")))
}
