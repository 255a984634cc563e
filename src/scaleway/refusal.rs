//! From an answer, or the lack of one, to a [`Refusal`]: its class as `meaning` has it, in the API's
//! words.

use std::error::Error as _;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use super::meaning::{Class, meaning};
use super::operation::Operation;
use super::printable::printable;
use super::wire::time_of;
use crate::core::purge::Refusal;
use crate::core::time::Time;

/// The refusal that an answer with another status than 2xx is.
pub(super) fn of_answer(
    operation: Operation,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
) -> Refusal {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let (class, remedy) = meaning(operation, status.as_u16(), body, &document);
    let said = said(&document, body);
    let part = |lead: &str, text: &str| match text {
        "" => String::new(),
        text => format!("{lead}{text}"),
    };
    let why = format!(
        "could not {}: the API answered {}{}{}{}{}",
        operation.aim(),
        status.as_u16(),
        part(": ", &said),
        part("; ", remedy),
        redirect_note(status, headers),
        request_id_note(request_id(headers).as_deref()),
    );
    match class {
        Class::RateLimited => Refusal::RateLimited {
            retry_after: retry_after(headers, now).or_else(|| reset(&document, headers, now)),
        },
        Class::Transient => Refusal::Transient(why),
        Class::Lost => Refusal::UnknownOutcome(format!("{why}; it may have been made")),
        Class::Unauthorized => Refusal::Unauthorized(why),
        Class::Forbidden => Refusal::Forbidden(why),
        Class::Missing | Class::Expired => Refusal::NotFound(why),
        Class::Unready => Refusal::Unready(why),
        Class::Unclear => Refusal::Unclear(why),
        Class::Invalid => Refusal::Invalid(why),
    }
}

/// Where a redirect leads to.
fn redirect_note(status: StatusCode, headers: &HeaderMap) -> String {
    header(headers, LOCATION.as_str())
        .filter(|_| status.is_redirection())
        .map(|to| format!(" (it leads to {})", printable(&to)))
        .unwrap_or_default()
}

/// Why a call has no answer, with all causes, on one line.
pub(crate) fn transport_causes(error: reqwest::Error) -> String {
    // The URL says nothing that the reader does not know, and may hold an id.
    let error = error.without_url();
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    printable(&causes)
}

/// The refusal that a call without an answer is.
pub(super) fn of_transport(operation: Operation, error: reqwest::Error) -> Refusal {
    let sent = !error.is_connect() && !error.is_builder();
    let causes = transport_causes(error);
    let why = format!("could not {}: {causes}", operation.aim());
    if operation == Operation::Create && sent {
        Refusal::UnknownOutcome(format!("{why}; it may have been made"))
    } else {
        Refusal::Transient(why)
    }
}

/// The refusal that a 2xx answer is which says nothing that can be used.
pub(super) fn unusable(operation: Operation, headers: &HeaderMap, why: &str) -> Refusal {
    let why = format!(
        "could not {}: the answer can't be used: {}{}",
        operation.aim(),
        printable(why),
        request_id_note(request_id(headers).as_deref()),
    );
    if operation == Operation::Create {
        Refusal::UnknownOutcome(format!("{why}; it may have been made"))
    } else {
        Refusal::Transient(why)
    }
}

/// The API's own id of the call, to be quoted to its support.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    header(headers, "x-request-id").map(|id| printable(&id))
}

/// The `Date` of an answer.
pub(super) fn date(headers: &HeaderMap) -> Option<Time> {
    header(headers, DATE.as_str()).and_then(|date| http_date(&date))
}

fn request_id_note(id: Option<&str>) -> String {
    id.map(|id| format!(" (X-Request-Id: {id})"))
        .unwrap_or_default()
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// Seconds, or a date. A date counts from the answer's own date, so that two clocks that differ
/// make no wait longer than a bound.
fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let text = header(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(http_date(&text)?.since(date(headers).unwrap_or(now)))
}

/// The wait that a typed body asks for: seconds, or a time.
fn reset(document: &Value, headers: &HeaderMap, now: Time) -> Option<Duration> {
    if let Some(seconds) = document["reset_seconds"].as_u64() {
        return Some(Duration::from_secs(seconds));
    }
    let at = document["reset_at"]
        .as_str()?
        .parse()
        .ok()
        .and_then(time_of)?;
    Some(at.since(date(headers).unwrap_or(now)))
}

fn http_date(text: &str) -> Option<Time> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text.trim())
        .ok()
        .and_then(time_of)
}

/// What the body says, in the API's words.
fn said(document: &Value, body: &[u8]) -> String {
    let Some(message) = document["message"].as_str() else {
        return printable(title(&String::from_utf8_lossy(body)));
    };
    let mut parts = vec![message.to_owned()];
    for key in [
        "help_message",
        "reason",
        "resource",
        "resource_id",
        "precondition",
        "current_state",
        "expired_since",
    ] {
        if let Some(text) = document[key].as_str().filter(|text| !text.is_empty()) {
            parts.push(match key {
                "help_message" => text.to_owned(),
                _ => format!("{} {text}", key.replace('_', " ")),
            });
        }
    }
    let details = document["details"].as_array();
    parts.extend(details.into_iter().flatten().map(detail));
    printable(&parts.join("; "))
}

/// One detail: an argument that is wrong, a permission that is missing, a quota that is used up.
fn detail(detail: &Value) -> String {
    let words = [
        "argument_name",
        "action",
        "resource",
        "reason",
        "help_message",
    ];
    let words = words.iter().filter_map(|key| detail[key].as_str());
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    if let (Some(current), Some(quota)) = (detail["current"].as_u64(), detail["quota"].as_u64()) {
        words.push(format!("{current} of {quota}"));
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// Of a page for people, its title is enough.
fn title(text: &str) -> &str {
    let title = text.split_once("<title>");
    title.map_or(text, |(_, rest)| {
        rest.split_once("</title>").map_or(rest, |(title, _)| title)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    const NOW: Time = Time::from_millis(784_111_777_000);

    fn answer(operation: Operation, status: u16, body: &str) -> Refusal {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("r-1"));
        of_answer(
            operation,
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
            NOW,
        )
    }

    #[test]
    fn each_status_is_classed_by_what_must_be_done() {
        use Operation::{Create, Get, GetPipeline, List};
        for (operation, status, class) in [
            (Create, 429, "rate_limited"),
            (List, 429, "rate_limited"),
            (Create, 500, "transient"),
            (Create, 503, "transient"),
            (Create, 599, "transient"),
            (Create, 502, "unknown_outcome"),
            (Create, 504, "unknown_outcome"),
            (Create, 524, "unknown_outcome"),
            (Get, 502, "transient"),
            (List, 504, "transient"),
            (Create, 401, "unauthorized"),
            (Get, 401, "unauthorized"),
            (Create, 402, "unready"),
            (Create, 403, "forbidden"),
            (Create, 404, "forbidden"),
            (Get, 404, "not_found"),
            (Get, 410, "not_found"),
            (GetPipeline, 404, "not_found"),
            (List, 404, "not_found"),
            (Create, 400, "unclear"),
            (Get, 400, "unclear"),
            (Create, 413, "unclear"),
            (Create, 422, "unclear"),
            (Create, 405, "transient"),
            (Create, 407, "transient"),
            (Create, 408, "transient"),
            (Create, 415, "transient"),
            (Create, 418, "transient"),
            (Create, 425, "transient"),
            (Create, 451, "transient"),
            (Create, 409, "unready"),
            (Create, 410, "unready"),
            (Create, 412, "unready"),
            (Create, 423, "unready"),
            (Create, 424, "unready"),
            (Get, 412, "unready"),
            (List, 412, "transient"),
            (Create, 301, "transient"),
            (Get, 307, "transient"),
        ] {
            let refusal = answer(operation, status, "");
            assert_eq!(refusal.class(), class, "{operation:?} {status}: {refusal}");
        }
    }

    #[test]
    fn the_type_of_a_body_says_more_than_its_status() {
        for (status, word, class) in [
            (400, "invalid_arguments", "unclear"),
            (400, "invalid_request_error", "unclear"),
            (403, "quotas_exceeded", "unready"),
            (429, "quotas_exceeded", "rate_limited"),
            (409, "transient_state", "unready"),
            (409, "already_exists", "unready"),
            (400, "already_exists", "unready"),
            (404, "not_found", "forbidden"),
            (404, "resource_not_found", "forbidden"),
            (404, "unknown_resource", "forbidden"),
            (423, "locked", "unready"),
            (403, "resource_locked", "unready"),
            (403, "permissions_denied", "forbidden"),
            (503, "out_of_stock", "unready"),
            (410, "expired", "unready"),
            (403, "resource_expired", "unready"),
            (401, "denied_authentication", "unauthorized"),
            (403, "denied_authentication", "unauthorized"),
            (412, "precondition_failed", "unready"),
            (400, "precondition_failed", "unready"),
            (429, "too_many_requests", "rate_limited"),
            (403, "too_many_requests", "rate_limited"),
            (504, "transient_state", "unknown_outcome"),
            (409, "a_new_type", "unready"),
            (400, "a_new_type", "unclear"),
            (418, "a_new_type", "transient"),
        ] {
            let body = format!(r#"{{"message":"because","type":"{word}"}}"#);
            let refusal = answer(Operation::Create, status, &body);
            assert_eq!(refusal.class(), class, "{status} {word}: {refusal}");
        }
    }

    #[test]
    fn only_what_names_the_assets_is_final() {
        let named = |status, names: &[&str]| {
            let details: Vec<Value> = names
                .iter()
                .map(|name| serde_json::json!({"argument_name": name, "reason": "constraint"}))
                .collect();
            let body = serde_json::json!({
                "details": details, "message": "invalid argument(s)", "type": "invalid_arguments",
            });
            answer(Operation::Create, status, &body.to_string()).class()
        };
        for names in [
            &["assets"][..],
            &["assets[3]", "assets[4]"],
            &["target.assets"],
            &["assets.0"],
        ] {
            assert_eq!(named(400, names), "invalid", "{names:?}");
        }
        for names in [
            &["pipeline_id"][..],
            &["assets", "pipeline_id"],
            &["target"],
            &["all"],
            &["my_assets"],
            &[""],
            &[],
        ] {
            assert_eq!(named(400, names), "unclear", "{names:?}");
        }
        assert_eq!(named(412, &["assets"]), "unclear");
        assert_eq!(named(503, &["assets"]), "unclear");
        for body in [
            "{\"message\":\"assets are wrong\"}",
            "{\"details\":{\"assets\":1},\"type\":\"invalid_arguments\"}",
            "[\"assets\"]",
        ] {
            let refusal = answer(Operation::Create, 400, body);
            assert_ne!(refusal.class(), "invalid", "{refusal}");
        }
    }

    #[test]
    fn an_answer_that_is_not_the_api_s_says_nothing_about_a_pipeline() {
        let page = "<html><head><title>403 Forbidden</title></head><body>nginx</body></html>";
        for status in [400, 403, 404, 405, 409, 412, 413, 423] {
            for operation in [Operation::Create, Operation::Get, Operation::List] {
                for body in [page, "RBAC: access denied"] {
                    let refusal = answer(operation, status, body);
                    assert_eq!(refusal.class(), "transient", "{status}: {refusal}");
                    assert!(refusal.to_string().contains("`api_url`"), "{refusal}");
                }
            }
        }
        let text = answer(Operation::Create, 403, page).to_string();
        assert!(text.contains("answered 403: 403 Forbidden;"), "{text}");
        assert_eq!(answer(Operation::Create, 429, page).class(), "rate_limited");
        assert_eq!(answer(Operation::Create, 401, page).class(), "unauthorized");
    }

    #[test]
    fn the_api_s_words_and_its_request_id_are_repeated() {
        let typed = r#"{"details":[{"argument_name":"assets","help_message":"must begin with /","reason":"constraint"}],"message":"invalid argument(s)","type":"invalid_arguments"}"#;
        assert_eq!(
            answer(Operation::Create, 400, typed).to_string(),
            "could not create a purge request: the API answered 400: invalid argument(s); \
             assets constraint must begin with / (X-Request-Id: r-1)"
        );
        let denied = r#"{"message":"authentication is denied","method":"api_key","reason":"not_found","type":"denied_authentication"}"#;
        assert_eq!(
            answer(Operation::Get, 401, denied).to_string(),
            "could not get the purge request: the API answered 401: authentication is denied; \
             reason not_found; the secret key is not accepted (X-Request-Id: r-1)"
        );
        let quota = r#"{"details":[{"current":10,"quota":10,"resource":"purge_requests"}],"message":"quota(s) exceeded","type":"quotas_exceeded"}"#;
        let text = answer(Operation::Create, 403, quota).to_string();
        assert!(text.contains("purge_requests 10 of 10; a quota"), "{text}");
        let unusable = r#"{"help_message":"the pipeline is being deployed","message":"precondition is not respected","precondition":"resource_not_usable","type":"precondition_failed"}"#;
        let text = answer(Operation::Create, 412, unusable).to_string();
        assert!(
            text.contains("the pipeline is being deployed; precondition resource_not_usable;"),
            "{text}"
        );
        assert_eq!(
            answer(Operation::Get, 404, r#"{"message":"Not Found"}"#).to_string(),
            "could not get the purge request: the API answered 404: Not Found (X-Request-Id: r-1)"
        );
        assert!(
            answer(Operation::Get, 500, "<h1>bad\x1b[1m</h1>")
                .to_string()
                .contains("<h1>bad [1m</h1>")
        );
    }

    #[test]
    fn an_endless_error_is_cut_short() {
        let refusal = answer(Operation::Create, 400, &"x".repeat(100_000));
        assert!(refusal.to_string().len() < 1_300);
    }

    #[test]
    fn a_redirect_says_where_to_and_what_to_check() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static("https://login.example/"));
        let refusal = of_answer(Operation::List, StatusCode::FOUND, &headers, b"", NOW);
        assert!(
            refusal
                .to_string()
                .contains("redirect refused; check `api_url` (it leads to https://login.example/)"),
            "{refusal}"
        );
    }

    fn wait(
        retry: Option<&'static str>,
        date: Option<&'static str>,
        body: &str,
    ) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(RETRY_AFTER, retry), (DATE, date)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        match of_answer(
            Operation::Create,
            StatusCode::TOO_MANY_REQUESTS,
            &headers,
            body.as_bytes(),
            NOW,
        ) {
            Refusal::RateLimited { retry_after } => retry_after,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_wait_that_is_asked_for_is_read_in_every_form() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(wait(None, None, ""), None);
        assert_eq!(wait(Some("7"), None, ""), seconds(7));
        // NOW is 08:49:37; the answer's own date wins over it.
        let then = Some("Sun, 06 Nov 1994 08:49:47 GMT");
        assert_eq!(wait(then, None, ""), seconds(10));
        assert_eq!(
            wait(then, Some("Sun, 06 Nov 1994 08:49:45 GMT"), ""),
            seconds(2)
        );
        let past = Some("Sun, 06 Nov 1994 08:00:00 GMT");
        assert_eq!(wait(past, None, ""), seconds(0));
        assert_eq!(wait(Some("soon"), None, ""), None);
        assert_eq!(
            wait(None, None, r#"{"message":"slow","reset_seconds":3}"#),
            seconds(3)
        );
        assert_eq!(
            wait(None, None, r#"{"reset_at":"1994-11-06T08:49:41.000Z"}"#),
            seconds(4)
        );
        assert_eq!(wait(None, None, r#"{"reset_at":"soon"}"#), None);
    }
}
