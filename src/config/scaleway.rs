//! `[scaleway]`: where the API is, and the limits towards it.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::effective::Provenance;
use super::keys::table;
use super::model::ApiUrl;
use super::problem::Problem;
use super::range::{DAY, MINUTE, SECOND, nonzero};
use super::reader::Reader;
use super::scw_profile::{self, ScwProfile};
use super::section::{Held, Section};
use super::server;
use super::shape::Shape;
use super::syntax::{Syntax, parsed, time};
use super::value::{Complaint, number, path};

/// The API, where neither the file nor the environment nor a profile names another.
const API_URL: &str = "https://api.scaleway.com";

table! {
    /// The API, and the limits towards it.
    "[scaleway]" => Scaleway, ScalewayKeys {
        /// Where the API is; `sandbox` is the embedded simulator, which needs no key. https, unless on loopback.
        /// Left out: the environment, then the scw profile, then the default.
        api_url: ApiUrl = own(read_api_url, usual_url()), api_url(), env "SCW_API_URL";
        /// The file that holds the API key's secret.
        secret_key_file: PathBuf = optional(), path();
        /// The file that holds the API key's access key, which only buckets need.
        access_key_file: PathBuf = optional(), path();
        /// The profile of the scw config file. Left out: the environment, then the file's `active_profile`.
        profile: Option<String> = own(read_profile), profile(), env "SCW_PROFILE";
        /// All calls to the API together.
        requests_per_second: NonZeroU32 = default(nonzero(10)), number(1..=1000, "calls per second");
        /// Calls at once after a time of rest.
        burst: NonZeroU32 = default(nonzero(20)), number(1..=10_000, "calls");
        /// Purge requests not yet settled.
        max_in_flight: usize = default(50), number(1..=10_000, "purge requests");
        /// How long one call may take.
        request_timeout: Duration = default(30 * SECOND), time(SECOND / 10..=10 * MINUTE);
        /// How long a purge request may be pending; then there is one more request, then an alarm.
        track_timeout: Duration = default(10 * MINUTE), time(SECOND..=DAY);
    }
}

/// Reads the section.
pub(super) fn read(reader: &mut Reader<'_>, mut section: Section<'_>) -> Scaleway {
    let keys = ScalewayKeys::read(reader, &mut section);
    let (request, track) = (&keys.request_timeout, &keys.track_timeout);
    if !request.refused
        && !track.refused
        && track.value < request.value
        && let Some(span) = track.span.as_ref().or(request.span.as_ref())
    {
        reader.report_key(
            &section.key("track_timeout"),
            span,
            "is shorter than request_timeout: no purge request could ever be tracked",
            "make track_timeout longer, ten minutes is usual",
        );
    }
    reader.end(&section);
    keys.complete()
}

fn profile() -> Syntax<String> {
    let hint = "write the name of a profile of the scw config file, in quotes";
    let take = |text: &str| Ok(text.to_owned());
    parsed(
        Shape::text("the name of a profile"),
        hint,
        take,
        String::clone,
    )
}

/// The profile that was chosen: by the file, or else by `SCW_PROFILE`.
fn read_profile(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Held<Option<String>> {
    let given = reader.given(section, key, &profile());
    let from_environment = reader.environment().get("SCW_PROFILE");
    let (name, from) = match (given.value, &given.span, from_environment) {
        (Some(name), Some(span), _) => (Some(name), reader.in_file(span)),
        (None, None, Some(name)) => (
            Some(name.to_owned()),
            Provenance::Environment("SCW_PROFILE"),
        ),
        _ => (None, Provenance::Default),
    };
    reader.record(section, key, name.clone().map(Into::into), from);
    Held {
        value: name,
        span: given.span,
        refused: false,
    }
}

/// The scw profile: the chosen one, or else the active one unless only a choice counts. What is wrong
/// with it is reported where it was chosen.
fn scw(reader: &mut Reader<'_>, section: &Section<'_>, only_chosen: bool) -> Option<ScwProfile> {
    let environment = reader.environment();
    let given = Reader::peek(section, "profile", &profile());
    let span = given.span.as_ref();
    let by_environment = environment.get("SCW_PROFILE").filter(|_| span.is_none());
    let chosen = given.value.as_deref().or(by_environment);
    if only_chosen && chosen.is_none() {
        return None;
    }
    match scw_profile::load(environment, chosen) {
        Ok(found) => found,
        Err(scw_profile::ProfileError::NotThere { why, hint }) => {
            let key = section.key("profile");
            if let Some(span) = span {
                reader.report(&key, span, &Complaint { why, hint });
            } else {
                let problem = Problem::of_variable("SCW_PROFILE", &key, &why, &hint);
                reader.report_elsewhere(problem);
            }
            None
        }
        Err(scw_profile::ProfileError::File(problem)) => {
            reader.report_elsewhere(*problem);
            None
        }
    }
}

/// The first of: file, environment, profile, default.
fn read_api_url(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Held<ApiUrl> {
    let environment = reader.environment();
    let given = reader.given(section, key, &api_url());
    let path = section.key(key);
    let (url, from) = if let Some(span) = &given.span {
        // What chose a profile is looked at all the same.
        if given.value != Some(ApiUrl::Sandbox) {
            scw(reader, section, true);
        }
        (given.value, reader.in_file(span))
    } else if let Some(text) = environment.get("SCW_API_URL") {
        scw(reader, section, true);
        let parsed = parse_api_url(text).map_err(|Complaint { why, hint }| {
            Problem::of_variable("SCW_API_URL", &path, &format!("the value {why}"), &hint)
        });
        (kept(reader, parsed), Provenance::Environment("SCW_API_URL"))
    } else if let Some((scw, text)) =
        scw(reader, section, false).and_then(|mut scw| scw.api_url.take().map(|url| (scw, url)))
    {
        let parsed = parse_api_url(&text).map_err(|Complaint { why, hint }| {
            let why = format!("the api_url of profile {} {why}", scw.name);
            Problem::of_file(&scw.file, &path, &why, &hint)
        });
        let from = Provenance::Profile {
            name: scw.name.clone(),
            file: scw.file.display().to_string(),
        };
        (kept(reader, parsed), from)
    } else {
        (Some(usual_url()), Provenance::Default)
    };
    // Where it was refused, there is a problem, and what stands in for it is dropped.
    let url = url.unwrap_or(ApiUrl::Sandbox);
    reader.record(section, key, Some(api_url().written(&url)), from);
    Held {
        value: url,
        span: given.span,
        refused: false,
    }
}

/// Whether it is the vendor's API.
pub(super) fn is_usual(url: &ApiUrl) -> bool {
    *url == usual_url()
}

/// The default.
fn usual_url() -> ApiUrl {
    parse_api_url(API_URL).unwrap_or(ApiUrl::Sandbox)
}

fn kept<T>(reader: &mut Reader<'_>, parsed: Result<T, Problem>) -> Option<T> {
    parsed
        .map_err(|problem| reader.report_elsewhere(problem))
        .ok()
}

fn api_url() -> Syntax<ApiUrl> {
    let shape = Shape::pattern("a URL, or \"sandbox\"", "^sandbox$|^[a-zA-Z]+:");
    parsed(shape, HINT, parse_api_url, |url| url.as_str().to_owned())
}

const HINT: &str = "write \"https://api.scaleway.com\", or \"sandbox\" to try edgepurge out";

fn parse_api_url(text: &str) -> Result<ApiUrl, Complaint> {
    if text == "sandbox" {
        return Ok(ApiUrl::Sandbox);
    }
    server::parse(text, "the secret key", HINT).map(ApiUrl::Server)
}
