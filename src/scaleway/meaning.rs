//! The meaning of an API response: one table from the types of error bodies, as the vendor's SDKs have
//! them, and from statuses, to a [`Class`] (what is done) and a remedy (what the alarm says). The alarm
//! of each class is [`Refusal::alarm`](crate::core::purge::Refusal::alarm).
//!
//! Only a refusal that is surely about the assets of a request is final: 400 or 422,
//! `invalid_arguments`, and every argument that it names is of the assets. Every other refusal may pass:
//! the call is tried again, and the planner learns no size from it.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::operation::Operation;

/// What is done about an answer: [`Refusal`](crate::core::refusal::Refusal) says it for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    RateLimited,
    Transient,
    /// The call may have been carried out, where it creates something.
    Lost,
    Unauthorized,
    Forbidden,
    /// The thing that the call is about is not there.
    Missing,
    /// The thing that the call is about is not there any more.
    Expired,
    Unready,
    Unclear,
    Invalid,
}

/// A class, and what to do about it.
pub(super) type Meaning = (Class, &'static str);

/// What the answers with one of these types mean, and those with one of these statuses and no type
/// that is known.
struct Row(
    &'static [&'static str],
    &'static [RangeInclusive<u16>],
    Class,
    &'static str,
);

const NOT_THE_API: &str =
    "that is not the API's own answer: check `api_url`, and what lies between it and this machine";

/// The first row counts. Some SDKs spell the types with `resource_`.
const TABLE: [Row; 17] = [
    Row(
        &["invalid_arguments", "invalid_request_error"],
        &[400..=400, 413..=414, 422..=422],
        Class::Unclear,
        "it names no asset: check the pipeline's id, and whether max_assets is too large",
    ),
    Row(
        &["denied_authentication"],
        &[401..=401],
        Class::Unauthorized,
        "the secret key is not accepted",
    ),
    Row(
        &["permissions_denied"],
        &[403..=403],
        Class::Forbidden,
        "the key needs EdgeServicesFullAccess in the pipeline's project",
    ),
    Row(
        &["not_found", "resource_not_found", "unknown_resource"],
        &[404..=404],
        Class::Missing,
        "there is no such pipeline for this key: check its id and its project",
    ),
    Row(
        &["quotas_exceeded"],
        &[],
        Class::Unready,
        "a quota of the project or organization is used up: raise it in the console, or wait",
    ),
    Row(
        &["transient_state", "already_exists", "conflict"],
        &[409..=409],
        Class::Unready,
        "something else changes the pipeline now",
    ),
    Row(
        &["expired", "resource_expired"],
        &[410..=410],
        Class::Expired,
        "it is there no more: check the pipeline and its plan in the console",
    ),
    Row(
        &["precondition_failed"],
        &[412..=412, 424..=424, 428..=428],
        Class::Unready,
        "if this does not pass, look at the pipeline, its stages and its plan in the console",
    ),
    Row(
        &["locked", "resource_locked"],
        &[423..=423],
        Class::Unready,
        "if this does not pass, ask the support who has locked the pipeline",
    ),
    Row(
        &["out_of_stock"],
        &[],
        Class::Unready,
        "the vendor lacks room; if this does not pass, ask the support",
    ),
    Row(&["too_many_requests"], &[429..=429], Class::RateLimited, ""),
    Row(
        &[],
        &[402..=402],
        Class::Unready,
        "check the payments of the project",
    ),
    Row(
        &[],
        &[300..=399],
        Class::Transient,
        "redirect refused; check `api_url`",
    ),
    Row(&[], &[408..=408, 425..=425], Class::Transient, ""),
    Row(&[], &[400..=499], Class::Transient, NOT_THE_API),
    // What a gateway says that waited for the API in vain.
    Row(&[], &[502..=502, 504..=504, 520..=524], Class::Lost, ""),
    Row(&[], &[0..=u16::MAX], Class::Transient, ""),
];

/// What an answer means that is no success.
pub(super) fn meaning(operation: Operation, status: u16, body: &[u8], document: &Value) -> Meaning {
    let (class, remedy) = first(status, body, document);
    let creates = operation == Operation::Create;
    match class {
        Class::Lost if !creates => (Class::Transient, remedy),
        // What is wrong with a pipeline is no news of its list, which is asked for again.
        Class::Unready | Class::Expired if operation == Operation::List => {
            (Class::Transient, remedy)
        }
        Class::Missing if creates => (Class::Forbidden, remedy),
        Class::Expired if creates => (Class::Unready, remedy),
        Class::Missing | Class::Expired => (Class::Missing, ""),
        _ => (class, remedy),
    }
}

fn first(status: u16, body: &[u8], document: &Value) -> Meaning {
    if names_assets(status, document) {
        return (Class::Invalid, "");
    }
    // Those who ask to wait, or for a key, mean what they say, whatever the body is.
    let plain = matches!(status, 401 | 408 | 425 | 429);
    if !plain && (400..500).contains(&status) && is_foreign(body, document) {
        return (Class::Transient, NOT_THE_API);
    }
    let named = document["type"].as_str().unwrap_or_default();
    let by_type = |row: &&Row| row.0.contains(&named);
    let by_status = |row: &&Row| row.1.iter().any(|range| range.contains(&status));
    // These mean what they mean, whatever is written below them.
    let whole = matches!(status, 429 | 502 | 504);
    let typed = TABLE.iter().find(by_type).filter(|_| !whole);
    typed
        .or_else(|| TABLE.iter().find(by_status))
        .map_or((Class::Transient, ""), |row| (row.2, row.3))
}

/// Whether the body is surely not the API's: it sends JSON, or nothing.
fn is_foreign(body: &[u8], document: &Value) -> bool {
    !body.trim_ascii().is_empty() && !document.is_object()
}

/// Whether each argument that is wrong is of the assets, and there is one.
fn names_assets(status: u16, document: &Value) -> bool {
    let details = document["details"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    matches!(status, 400 | 422)
        && document["type"] == "invalid_arguments"
        && !details.is_empty()
        && details
            .iter()
            .all(|detail| detail["argument_name"].as_str().is_some_and(is_of_assets))
}

/// `assets`, `assets[3]`, `assets.3`, `target.assets`.
fn is_of_assets(argument: &str) -> bool {
    let mut words = argument.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| matches!(word, "assets" | "asset"))
}
