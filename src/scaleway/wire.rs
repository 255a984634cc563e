//! The API's documents. Reading them is tolerant: a field may be null, absent or new, and a status
//! word that is not known is [`RemoteStatus::Unknown`], never done.

use serde::{Deserialize, Deserializer, Serialize};

use crate::core::purge::RemoteStatus;
use crate::core::time::Time;

/// What a create call purges: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateTarget {
    /// These assets, as absolute paths.
    Assets(Vec<String>),
    /// Everything of the pipeline.
    All,
}

/// The body of a create call.
#[derive(Debug, Serialize)]
pub(super) struct CreateBody<'a> {
    pub(super) pipeline_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) assets: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) all: Option<bool>,
}

/// A purge request, as the API returns it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PurgeRequest {
    /// The API's id for it; empty where the API gave none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub id: String,
    /// Whose cache; empty where the API gave none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub pipeline_id: String,
    /// The API's own word for its status, known or not.
    #[serde(default, rename = "status", deserialize_with = "null_as_default")]
    pub status_word: String,
    /// The assets it purges; empty for an `all`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub assets: Vec<String>,
    /// Whether it purges everything.
    #[serde(default, deserialize_with = "null_as_default")]
    pub all: bool,
    /// When it was made, by the API's clock.
    #[serde(default, deserialize_with = "timestamp")]
    pub created_at: Option<Time>,
    /// When it last changed, by the API's clock.
    #[serde(default, deserialize_with = "timestamp")]
    pub updated_at: Option<Time>,
}

impl PurgeRequest {
    /// What [`PurgeRequest::status_word`] means.
    #[must_use]
    pub fn status(&self) -> RemoteStatus {
        match self.status_word.as_str() {
            "pending" => RemoteStatus::Pending,
            "done" => RemoteStatus::Done,
            "error" => RemoteStatus::Error,
            _ => RemoteStatus::Unknown,
        }
    }
}

/// One page of the list of purge requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListPage {
    /// The purge requests of this page.
    #[serde(default, deserialize_with = "null_as_default")]
    pub purge_requests: Vec<PurgeRequest>,
    /// How many there are on all pages together.
    #[serde(default, deserialize_with = "null_as_default")]
    pub total_count: u64,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// Oldest first: what the API does unasked.
    #[default]
    CreatedAtAsc,
    /// Newest first.
    CreatedAtDesc,
}

impl OrderBy {
    /// The API's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAtAsc => "created_at_asc",
            Self::CreatedAtDesc => "created_at_desc",
        }
    }
}

/// What a list call asks for. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListQuery {
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "order_word")]
    pub order_by: Option<OrderBy>,
    /// Which page, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// How many on one page; more than 100 is not known to work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// Only of this organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// Only of this project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Only of this pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
}

/// A pipeline, as far as `init` and `check --online` ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Pipeline {
    /// Its id.
    #[serde(default, deserialize_with = "null_as_default")]
    pub id: String,
    /// Its name at the vendor's.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// The project that it belongs to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub project_id: String,
    /// The API's word for its state: `ready`, `error`, `pending`, `warning`, `locked`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub status: String,
}

pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A time that cannot be read is as good as none: nothing is decided by it alone.
fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .and_then(time_of))
}

/// A timestamp as a [`Time`]; `None` before 1970.
pub(super) fn time_of(timestamp: jiff::Timestamp) -> Option<Time> {
    u64::try_from(timestamp.as_millisecond())
        .ok()
        .map(Time::from_millis)
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde's serialize_with asks for"
)]
fn order_word<S: serde::Serializer>(
    order: &Option<OrderBy>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    order.map(OrderBy::as_str).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> PurgeRequest {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_full_document_is_read() {
        let request = read(
            r#"{"assets":["/a"],"created_at":"2026-11-23T12:00:56.825798476Z","id":"i",
                "pipeline_id":"p","status":"pending","updated_at":"2026-11-23T12:00:57.825798Z"}"#,
        );
        assert_eq!(request.status(), RemoteStatus::Pending);
        assert_eq!(request.assets, ["/a"]);
        assert!(!request.all);
        assert_eq!(
            request.created_at.unwrap().to_string(),
            "2026-11-23T12:00:56.825Z"
        );
    }

    #[test]
    fn null_absent_and_new_fields_do_no_harm() {
        let sparse = read(r#"{"id":"i","novel":{"a":[1]}}"#);
        let nulls = read(
            r#"{"id":"i","all":null,"assets":null,"created_at":null,"pipeline_id":null,
                "status":null,"updated_at":"soon"}"#,
        );
        assert_eq!(sparse, nulls);
        assert_eq!(sparse.status(), RemoteStatus::Unknown);
        let page: ListPage = serde_json::from_str(r#"{"purge_requests":null}"#).unwrap();
        assert_eq!((page.purge_requests.len(), page.total_count), (0, 0));
    }

    #[test]
    fn a_status_that_is_not_known_is_never_done_and_keeps_its_word() {
        for word in ["unknown_status", "finished", "DONE", "done ", ""] {
            let request = read(&format!(r#"{{"status":"{word}"}}"#));
            assert_eq!(request.status(), RemoteStatus::Unknown, "{word}");
            assert_eq!(request.status_word, word);
        }
    }
}
