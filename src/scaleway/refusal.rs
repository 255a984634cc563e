//! From an answer, or the lack of one, to a [`Refusal`]: what must be done about it.
//!
//! The status decides, then the `type` of the body where it is known. Two families of bodies
//! exist, typed and untyped; neither is relied on.

use std::error::Error as _;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

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
    let said = said(&document, body);
    let why = |hint: &str| {
        let said = if said.is_empty() {
            String::new()
        } else {
            format!(": {said}")
        };
        format!(
            "could not {}: the API answered {}{said}{hint}{}",
            operation.aim(),
            status.as_u16(),
            request_id_note(request_id(headers).as_deref()),
        )
    };
    match (status.as_u16(), operation) {
        (429, _) => Refusal::RateLimited {
            retry_after: retry_after(headers, now).or_else(|| reset_seconds(&document)),
        },
        (502 | 504, Operation::Create) => Refusal::UnknownOutcome(why("; it may have been made")),
        (401, _) => Refusal::Unauthorized(why("; the secret key is not accepted")),
        (403, _) => Refusal::Forbidden(why(
            "; the key needs EdgeServicesFullAccess in the pipeline's project",
        )),
        (404, Operation::Create) => {
            Refusal::Forbidden(why("; there is no such pipeline for this key"))
        }
        (404, Operation::Get | Operation::GetPipeline) => Refusal::NotFound(why("")),
        (408 | 425 | 500.., _) => Refusal::Transient(why("")),
        (409 | 423, _) if document["type"] != "already_exists" => Refusal::Transient(why("")),
        (300..=399, _) => Refusal::Invalid(why(&format!(
            "; redirect refused{}; check `api_url`",
            header(headers, LOCATION.as_str())
                .map(|to| format!(" (to {})", printable(&to)))
                .unwrap_or_default()
        ))),
        _ => Refusal::Invalid(why("")),
    }
}

/// The refusal that a call without an answer is.
pub(super) fn of_transport(operation: Operation, error: reqwest::Error) -> Refusal {
    // The URL says nothing that the reader does not know, and holds an id.
    let error = error.without_url();
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    let why = format!("could not {}: {}", operation.aim(), printable(&causes));
    if error.is_builder() {
        Refusal::Invalid(why)
    } else if operation == Operation::Create && !error.is_connect() {
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
/// make no wait that nobody asked for.
fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let text = header(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(http_date(&text)?.since(date(headers).unwrap_or(now)))
}

fn reset_seconds(document: &Value) -> Option<Duration> {
    document["reset_seconds"].as_u64().map(Duration::from_secs)
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
        return printable(&String::from_utf8_lossy(body));
    };
    let mut parts = vec![message.to_owned()];
    for key in [
        "help_message",
        "reason",
        "resource",
        "precondition",
        "current_state",
    ] {
        if let Some(text) = document[key].as_str().filter(|text| !text.is_empty()) {
            parts.push(match key {
                "help_message" => text.to_owned(),
                _ => format!("{} {text}", key.replace('_', " ")),
            });
        }
    }
    for detail in document["details"].as_array().into_iter().flatten() {
        let words: Vec<&str> = [
            "argument_name",
            "action",
            "resource",
            "reason",
            "help_message",
        ]
        .iter()
        .filter_map(|key| detail[key].as_str())
        .filter(|text| !text.is_empty())
        .collect();
        parts.push(words.join(" "));
    }
    printable(&parts.join("; "))
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
            (Create, 500, "transient"),
            (Create, 503, "transient"),
            (Create, 502, "unknown_outcome"),
            (Create, 504, "unknown_outcome"),
            (Get, 502, "transient"),
            (List, 504, "transient"),
            (Create, 401, "unauthorized"),
            (Create, 403, "forbidden"),
            (Create, 404, "forbidden"),
            (Get, 404, "not_found"),
            (GetPipeline, 404, "not_found"),
            (List, 404, "invalid"),
            (Create, 400, "invalid"),
            (Create, 412, "invalid"),
            (Create, 422, "invalid"),
            (Create, 408, "transient"),
            (Create, 409, "transient"),
            (Create, 301, "invalid"),
            (Get, 307, "invalid"),
        ] {
            let refusal = answer(operation, status, "");
            assert_eq!(refusal.class(), class, "{operation:?} {status}: {refusal}");
        }
        let exists = r#"{"message":"it is there","type":"already_exists"}"#;
        assert_eq!(answer(Create, 409, exists).class(), "invalid");
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
                .contains("redirect refused (to https://login.example/); check `api_url`"),
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
    }
}
