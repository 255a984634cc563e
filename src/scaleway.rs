//! The vendor's API: purge requests and pipelines of Scaleway Edge Services. The vendor's words
//! stay here; the rest of the crate sees [`Refusal`](crate::core::purge::Refusal) and
//! [`RemoteStatus`](crate::core::purge::RemoteStatus).
//!
//! A [`Client`] makes one call for one method, under a hard ceiling of calls per second, and
//! says what came of it, classed by what must be done about it. It never tries again, follows a
//! redirect, or decides what to send: when to try again is the planner's to say, because only a
//! wait that is stored outlives a crash.

mod backend;
mod ceiling;
mod client;
mod endpoint;
mod meaning;
mod operation;
mod printable;
mod refusal;
mod wire;

pub use backend::{Backend, Backends, BucketBackend, PipelinePage, StagedPipeline};
pub use client::{Client, ClientError, ClientSettings, PAGE_SIZE, Reply};
pub use endpoint::{Endpoint, EndpointError};
pub use operation::{CLASSES, OPERATIONS, Observer};
pub(crate) use printable::printable;
pub(crate) use refusal::transport_causes;
pub use wire::{CreateTarget, ListPage, ListQuery, OrderBy, Pipeline, PurgeRequest};
