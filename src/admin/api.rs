//! The documents of the admin API: what is asked, and what is answered. The daemon writes them, and the
//! commands read them. What a part of the daemon shows of itself is a type of that part
//! ([`OriginStatus`](crate::origin::OriginStatus), [`PipelineView`](crate::core::planner::PipelineView)),
//! and is the document as it is.

mod calls;
mod explain;
mod history;
mod status;

pub use crate::core::cause::{Cause, CauseWord};
pub use calls::{
    CountAnswer, DropBody, ForgetBody, OriginScan, PauseAnswer, PauseBody, PurgeAnswer, PurgeBody,
    Refusal, ResumeBody, RetryBody, ScanAnswer, ScanBody, SettledAnswer, SettledQuery, WaitAnswer,
    WaitQuery,
};
pub use explain::{AssetExplained, ExplainAnswer, ExplainQuery, PURGES};
pub use history::{ChangePage, ChangeProgress, ChangeQuery, DeliveryPage, Page, RequestPage};
pub use status::{
    OldestChange, OrphanStatus, PipelineStatus, Pipelines, State, Status, WebhooksStatus,
};
