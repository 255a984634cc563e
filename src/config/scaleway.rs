//! Reads `[scaleway]`: where the API is, and the limits towards it.

use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;
use url::{Host, Url};

use super::defaults;
use super::effective::Provenance;
use super::environment::Environment;
use super::model::{ApiUrl, Scaleway};
use super::problem::Problem;
use super::range::{self, DAY, MINUTE, SECOND};
use super::reader::Reader;
use super::scw_profile::{self, ScwProfile};
use super::section::{Given, Section};
use super::value::{Complaint, complain, text};

/// Reads the section.
pub(super) fn read(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    environment: &Environment,
) -> Scaleway {
    let given_url = reader.given(&mut section, "api_url", read_api_url);
    let known_here = given_url.span.is_some() || environment.get("SCW_API_URL").is_some();
    let sandbox = given_url.value == Some(ApiUrl::Sandbox);

    let chosen = reader.given(&mut section, "profile", |raw| {
        text(
            raw,
            "write the name of a profile of the scw config file, in quotes",
        )
        .map(str::to_owned)
    });
    let (profile, profile_from) =
        profile_name(reader, chosen.value, chosen.span.as_ref(), environment);
    let scw = if sandbox || (known_here && profile.is_none()) {
        None
    } else {
        scw(
            reader,
            &section,
            profile.as_deref(),
            chosen.span.as_ref(),
            environment,
        )
    };

    let api_url = api_url(reader, &section, given_url, environment, scw.as_ref());
    let secret_key_file = reader.optional(&mut section, "secret_key_file", range::any);
    let shown = profile.clone().map(toml::Value::String);
    reader.record(&section, "profile", shown, profile_from);

    let requests_per_second = reader.setting(
        &mut section,
        "requests_per_second",
        defaults::REQUESTS_PER_SECOND,
        |rate| range::number(1..=1000)(&rate.get()),
    );
    let burst = reader.setting(&mut section, "burst", defaults::BURST, |burst| {
        range::number(1..=10_000)(&burst.get())
    });
    let max_in_flight = reader.setting(
        &mut section,
        "max_in_flight",
        defaults::MAX_IN_FLIGHT,
        range::number(1..=10_000),
    );
    let request_timeout = reader.setting(
        &mut section,
        "request_timeout",
        defaults::REQUEST_TIMEOUT,
        range::time(Duration::from_millis(100)..=10 * MINUTE),
    );
    let track_timeout = reader.setting(
        &mut section,
        "track_timeout",
        defaults::TRACK_TIMEOUT,
        range::time(SECOND..=DAY),
    );
    if !request_timeout.refused
        && !track_timeout.refused
        && track_timeout.value < request_timeout.value
        && let Some(span) = track_timeout.span.or(request_timeout.span)
    {
        reader.report_key(
            &section.key("track_timeout"),
            &span,
            "is shorter than request_timeout: no purge request could ever be tracked",
            "make track_timeout longer, ten minutes is usual",
        );
    }
    reader.end(&section);
    Scaleway {
        api_url,
        secret_key_file: secret_key_file.value,
        profile,
        requests_per_second: requests_per_second.value,
        burst: burst.value,
        max_in_flight: max_in_flight.value,
        request_timeout: request_timeout.value,
        track_timeout: track_timeout.value,
    }
}

/// The profile that somebody chose: the file, or else `SCW_PROFILE`.
fn profile_name(
    reader: &Reader<'_>,
    chosen: Option<String>,
    span: Option<&Range<usize>>,
    environment: &Environment,
) -> (Option<String>, Provenance) {
    match (chosen, span, environment.get("SCW_PROFILE")) {
        (Some(name), Some(span), _) => (Some(name), reader.in_file(span)),
        (None, None, Some(name)) => (
            Some(name.to_owned()),
            Provenance::Environment("SCW_PROFILE"),
        ),
        _ => (None, Provenance::Default),
    }
}

/// The scw profile. What is wrong with it is reported where it was chosen.
fn scw(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    profile: Option<&str>,
    span: Option<&Range<usize>>,
    environment: &Environment,
) -> Option<ScwProfile> {
    match scw_profile::load(environment, profile) {
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
fn api_url(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    given: Given<ApiUrl>,
    environment: &Environment,
    scw: Option<&ScwProfile>,
) -> ApiUrl {
    let key = section.key("api_url");
    let candidate = if let Some(span) = &given.span {
        (given.value, reader.in_file(span))
    } else if let Some(text) = environment.get("SCW_API_URL") {
        let parsed = parse_api_url(text).map_err(|Complaint { why, hint }| {
            Problem::of_variable("SCW_API_URL", &key, &format!("the value {why}"), &hint)
        });
        (kept(reader, parsed), Provenance::Environment("SCW_API_URL"))
    } else if let Some((scw, text)) = scw.and_then(|scw| Some((scw, scw.api_url.as_deref()?))) {
        let parsed = parse_api_url(text).map_err(|Complaint { why, hint }| {
            let why = format!("the api_url of profile {} {why}", scw.name);
            Problem::of_file(&scw.file, &key, &why, &hint)
        });
        let from = Provenance::Profile {
            name: scw.name.clone(),
            file: scw.file.display().to_string(),
        };
        (kept(reader, parsed), from)
    } else {
        (parse_api_url(defaults::API_URL).ok(), Provenance::Default)
    };
    // Where it was refused, a problem says so, and nobody sees what stands in for it.
    let url = candidate.0.unwrap_or(ApiUrl::Sandbox);
    let shown = toml::Value::String(url.as_str().to_owned());
    reader.record(section, "api_url", Some(shown), candidate.1);
    url
}

fn kept<T>(reader: &mut Reader<'_>, parsed: Result<T, Problem>) -> Option<T> {
    parsed
        .map_err(|problem| reader.report_elsewhere(problem))
        .ok()
}

fn read_api_url(value: &DeValue<'_>) -> Result<ApiUrl, Complaint> {
    parse_api_url(text(value, HINT)?)
}

const HINT: &str = "write \"https://api.scaleway.com\", or \"sandbox\" to try edgepurge out";

fn parse_api_url(text: &str) -> Result<ApiUrl, Complaint> {
    if text == "sandbox" {
        return Ok(ApiUrl::Sandbox);
    }
    let Ok(url) = Url::parse(text) else {
        return complain("is not a URL", HINT);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return complain(
            "holds a user name or password",
            "remove it; the key is sent in a header of its own",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return complain(
            "has a query or a fragment",
            "remove everything from ? or # on",
        );
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return complain("names no host", HINT),
    };
    match url.scheme() {
        "https" => Ok(ApiUrl::Server(url)),
        "http" if loopback => Ok(ApiUrl::Server(url)),
        "http" => complain(
            "would send the secret key without encryption",
            "write https://; http is only for loopback addresses",
        ),
        _ => complain("is not an https URL", HINT),
    }
}
