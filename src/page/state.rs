//! How it stands with a pipeline in a word, and the order of trouble.

use maud::{Markup, html};

use crate::admin::api::{PipelineStatus, Status};
use crate::core::alarm::Alarm;

/// The state of a pipeline, or of all; the worst is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Fresh,
    Paused,
    Working,
    Starting,
    Trouble,
}

impl State {
    /// The state of a pipeline.
    pub(super) fn of(status: &Status, pipeline: &PipelineStatus) -> Self {
        let waits = !pipeline.causes.is_empty();
        // What is about all pipelines is the trouble of those that it holds back.
        let troubles = |alarm: &Alarm| alarm.pipeline.is_some() || (alarm.reason.stalls() && waits);
        if alarms(status, &pipeline.name).any(troubles) {
            Self::Trouble
        } else if pipeline.origins.iter().any(|origin| !origin.armed) {
            Self::Starting
        } else if pipeline.paused {
            Self::Paused
        } else if waits {
            Self::Working
        } else {
            Self::Fresh
        }
    }

    /// The state of all.
    pub(super) fn of_all(status: &Status) -> Self {
        let each = status.pipelines.iter().map(|one| Self::of(status, one));
        let alarmed = status.alarms.first().map(|_| Self::Trouble);
        each.chain(alarmed).max().unwrap_or(Self::Fresh)
    }

    /// The word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Paused => "paused",
            Self::Working => "working",
            Self::Starting => "starting",
            Self::Trouble => "trouble",
        }
    }

    /// The shape that stands beside the word, so that colour is never all.
    const fn shape(self) -> &'static str {
        match self {
            Self::Fresh => "●",
            Self::Paused => "❚❚",
            Self::Working => "◐",
            Self::Starting => "◌",
            Self::Trouble => "▲",
        }
    }

    /// The state as it is shown.
    pub(super) fn mark(self) -> Markup {
        html! {
            span class={ "state " (self.as_str()) } {
                span aria-hidden="true" { (self.shape()) } " " (self.as_str())
            }
        }
    }
}

/// The alarms of a pipeline, and those of all pipelines.
pub(super) fn alarms<'a>(status: &'a Status, pipeline: &'a str) -> impl Iterator<Item = &'a Alarm> {
    let ours = move |alarm: &&Alarm| alarm.pipeline.as_ref().is_none_or(|of| of == pipeline);
    status.alarms.iter().filter(ours)
}
