//! How it stands with a pipeline, as it is shown, and the order of trouble.

use maud::{Markup, html};

use crate::admin::api::{State, Status};
use crate::core::alarm::Alarm;

/// The shape that stands beside the word, so that colour is never all.
const fn shape(state: State) -> &'static str {
    match state {
        State::Fresh => "●",
        State::Paused => "❚❚",
        State::Working => "◐",
        State::Starting => "◌",
        State::Trouble => "▲",
    }
}

/// A state as it is shown.
pub(super) fn mark(state: State) -> Markup {
    html! {
        span class={ "state " (state.as_str()) } {
            span aria-hidden="true" { (shape(state)) } " " (state.as_str())
        }
    }
}

/// The alarms of a pipeline, and those of all pipelines.
pub(super) fn alarms<'a>(status: &'a Status, pipeline: &'a str) -> impl Iterator<Item = &'a Alarm> {
    let ours = move |alarm: &&Alarm| alarm.pipeline.as_ref().is_none_or(|of| of == pipeline);
    status.alarms.iter().filter(ours)
}
