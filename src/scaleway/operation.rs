//! The calls there are, by name, and what observes each.

use std::time::Duration;

/// The operations, as the label of metrics.
pub const OPERATIONS: [&str; 6] = [
    Operation::Create.as_str(),
    Operation::Get.as_str(),
    Operation::List.as_str(),
    Operation::GetPipeline.as_str(),
    Operation::ListPipelines.as_str(),
    Operation::ListBackends.as_str(),
];

/// What can come of a call, as the label of metrics: `ok`, or the class of a
/// [`Refusal`](crate::core::purge::Refusal).
pub const CLASSES: [&str; 10] = [
    "ok",
    "rate_limited",
    "transient",
    "unknown_outcome",
    "unauthorized",
    "forbidden",
    "unready",
    "unclear",
    "not_found",
    "invalid",
];

/// Observes every call that was made: the seam to the metrics.
pub trait Observer: Send + Sync {
    /// One call ended. `operation` is one of [`OPERATIONS`], `class` one of [`CLASSES`]; `took`
    /// runs from sending to the last byte of the answer, without the wait for the ceiling.
    fn call(&self, operation: &'static str, class: &'static str, took: Duration);
}

/// A call to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Get,
    List,
    GetPipeline,
    ListPipelines,
    ListBackends,
}

impl Operation {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::GetPipeline => "get_pipeline",
            Self::ListPipelines => "list_pipelines",
            Self::ListBackends => "list_backends",
        }
    }

    /// What was tried, to go on after "could not".
    pub(super) const fn aim(self) -> &'static str {
        match self {
            Self::Create => "create a purge request",
            Self::Get => "get the purge request",
            Self::List => "list the purge requests",
            Self::GetPipeline => "get the pipeline",
            Self::ListPipelines => "list the pipelines",
            Self::ListBackends => "list the backends of the pipeline",
        }
    }
}
