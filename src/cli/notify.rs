//! `edgepurge notify URL`: calls a webhook route of another machine's edgepurge, and waits until the edge is
//! fresh. For deploys and CI jobs; needs no configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use reqwest::{RequestBuilder, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

use super::moment::counted;
use super::progress::Line;
use super::wait::texts;
use super::{Failure, Format, Global, output};
use crate::clock::Clock;
use crate::config::{Environment, read_secret};
use crate::core::backoff::Backoff;
use crate::core::delivery::{DeliveryProgress, DeliveryRecord, Phase, Reason};
use crate::core::time::Time;
use crate::scaleway::{printable, transport_causes};

/// A call that has no answer by then is made again. Longer than [`POLL`].
const CALL: Duration = Duration::from_secs(30);
/// How long an answer may wait for the end of the delivery: so old is what is shown of it at most.
const POLL: Duration = Duration::from_secs(5);
/// The least time between two questions: a daemon may answer each at once.
const PAUSE: Duration = Duration::from_secs(1);
/// Where the token is, if no file is named.
const TOKEN: &str = "EDGEPURGE_TOKEN";

#[derive(Debug, Args)]
pub(super) struct NotifyArgs {
    /// The route, as its callers reach it: <https://purge.example.com/hooks/www>.
    url: Url,
    /// The file with the route's token; left out: the environment's `EDGEPURGE_TOKEN`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Have the origins scanned, and purge what differs (default).
    #[arg(long, group = "work")]
    scan: bool,
    /// Purge everything.
    #[arg(long, group = "work")]
    all: bool,
    /// Purge this file or directory of the origin; of a bucket, look at this object. May be repeated.
    #[arg(long = "path", value_name = "PATH", group = "work")]
    paths: Vec<String>,
    /// Purge what this file lists, a path on each line; `-` is stdin. Of a bucket, what is listed is looked at. An empty
    /// list has the origins scanned: the sender may have lost it.
    #[arg(long, value_name = "FILE", group = "work")]
    paths_from: Option<PathBuf>,
    /// Wait until the edge is fresh.
    #[arg(long)]
    wait: bool,
    /// Give up after so long, with exit code 75.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::config::parse_duration)]
    timeout: Duration,
}

/// What a route answers to a delivery.
#[derive(Debug, Deserialize)]
struct Answer {
    /// The name of the delivery; it is on disk.
    event: Option<String>,
    /// Why nothing is done.
    ignored: Option<String>,
    #[serde(default)]
    changes: u64,
}

/// What a route answers where it refuses a call.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
}

pub(super) async fn notify(global: &Global, args: NotifyArgs) -> Result<ExitCode, Failure> {
    let route = Route::new(args.url.clone(), token(&args)?)?;
    let paths = match &args.paths_from {
        Some(file) => read_paths(file)?,
        None => args.paths,
    };
    let body = if args.all {
        json!({ "all": true })
    } else if paths.is_empty() {
        json!({ "scan": true })
    } else {
        json!({ "paths": paths })
    };
    // The same for each try, so that a delivery counts once however often it is sent.
    let id = Uuid::new_v4().to_string();
    let mut line = Line::new();
    let mut tries = Tries::until(args.timeout);
    let post = || {
        let call = route.call(reqwest::Method::POST, route.url.clone());
        call.header("Idempotency-Key", &id).json(&body)
    };
    let answer: Answer = tries.answered(&mut line, &post).await?;
    let Some(event) = answer.event else {
        let why = answer.ignored.unwrap_or_default();
        line.end();
        match global.format {
            Format::Json => output::json(&json!({ "ignored": why }))?,
            Format::Text => output::line(&format!("ignored: {why}"))?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    if !args.wait {
        line.end();
        match global.format {
            Format::Json => output::json(&json!({ "event": event, "changes": answer.changes }))?,
            Format::Text => output::line(&format!("taken as {event}"))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let progress = until_ended(&route, &event, &mut tries, &mut line).await?;
    line.end();
    match global.format {
        Format::Json => output::json(&progress)?,
        Format::Text => output::line(&summary(&progress))?,
    }
    if progress.phase == Phase::Failed {
        return Err(Failure::failed(reasons(&progress.record)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks until the delivery has ended.
async fn until_ended(
    route: &Route,
    event: &str,
    tries: &mut Tries,
    line: &mut Line,
) -> Result<DeliveryProgress, Failure> {
    let mut url = route.url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.push(event);
    }
    let mut phase = None;
    loop {
        let get = || route.call(reqwest::Method::GET, url.clone());
        let asked = tries.clock.now();
        let progress: DeliveryProgress = tries.answered(line, &get).await?;
        if progress.has_ended() {
            return Ok(progress);
        }
        let causes = texts(&progress.causes, tries.clock.now());
        tries.waiting = match causes.as_str() {
            "" => summary(&progress),
            causes => format!("{}; it waits: {causes}", summary(&progress)),
        };
        if phase.replace(progress.phase) == Some(progress.phase) {
            line.say(&tries.waiting);
        } else {
            line.say_now(&tries.waiting);
        }
        tries.sleep_until(asked.after(PAUSE)).await?;
        // The first answer came at once, so that there is something to show.
        url.set_query(Some(&format!("wait={}s", POLL.as_secs())));
    }
}

/// How far a delivery is, in a line.
fn summary(progress: &DeliveryProgress) -> String {
    let record = &progress.record;
    let counts = [
        (record.done, "purged"),
        (record.submitted, "sent"),
        (record.queued, "waiting"),
        (record.failed, "failed"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts = counts.map(|(count, what)| format!("{count} {what}"));
    let requests = (progress.requests > 0).then(|| counted(progress.requests, "request"));
    let all: Vec<String> = counts.chain(requests).collect();
    let word = progress.phase.as_str();
    if all.is_empty() {
        return word.to_owned();
    }
    format!("{word}: {}", all.join(", "))
}

/// Why a delivery failed, in the API's words.
fn reasons(record: &DeliveryRecord) -> String {
    let line = |reason: &Reason| {
        let assets = match reason.assets.as_slice() {
            [] => "everything".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        format!("\n  {assets}: {}", reason.why)
    };
    let lines: String = record.reasons.iter().map(line).collect();
    format!(
        "{} of the changes are not purged{lines}\n\
         when its cause is gone, on the machine of the origin: edgepurge retry PIPELINE",
        record.failed
    )
}

/// The lines of a file that are not empty; `-` is stdin.
fn read_paths(file: &Path) -> Result<Vec<String>, Failure> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text =
        text.map_err(|error| Failure::usage(format!("--paths-from {}: {error}", file.display())))?;
    let lines = text.lines().filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// The token, from a file or the environment, never from the command line, which other users can read.
fn token(args: &NotifyArgs) -> Result<SecretString, Failure> {
    match &args.token_file {
        Some(file) => read_secret(file)
            .map_err(|error| Failure::usage(format!("--token-file {}: {error}", file.display()))),
        None => match Environment::of_process().get(TOKEN) {
            Some(token) if !token.trim().is_empty() => Ok(token.trim().to_owned().into()),
            _ => Err(Failure::usage(format!(
                "there is no token: set {TOKEN}, or name its file with --token-file; it is the secret of the route"
            ))),
        },
    }
}

/// A route of another machine.
struct Route {
    http: reqwest::Client,
    url: Url,
    token: SecretString,
}

impl Route {
    fn new(url: Url, token: SecretString) -> Result<Self, Failure> {
        let loopback = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(Failure::usage(format!(
                "{url}: has to begin with https://, since the token goes there; http:// may be used on loopback only"
            )));
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("edgepurge/", env!("CARGO_PKG_VERSION")))
            // A redirect could carry the token elsewhere.
            .redirect(redirect::Policy::none())
            .timeout(CALL);
        if loopback {
            http = http.no_proxy();
        }
        let http = http
            .build()
            .map_err(|error| Failure::failed(format!("TLS can't be set up: {error}")))?;
        Ok(Self { http, url, token })
    }

    fn call(&self, method: reqwest::Method, url: Url) -> RequestBuilder {
        let call = self.http.request(method, url);
        call.bearer_auth(self.token.expose_secret())
    }
}

/// Calls that are tried again until the time is over.
struct Tries {
    clock: Clock,
    end: Time,
    after: Duration,
    failures: u32,
    /// What was waited for last.
    waiting: String,
    rng: fastrand::Rng,
}

impl Tries {
    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

    fn until(after: Duration) -> Self {
        let clock = Clock::start();
        Self {
            clock,
            end: clock.now().after(after),
            after,
            failures: 0,
            waiting: String::new(),
            rng: fastrand::Rng::new(),
        }
    }

    /// Calls until there is an answer that trying again would not change.
    async fn answered<T: DeserializeOwned>(
        &mut self,
        line: &mut Line,
        call: &impl Fn() -> RequestBuilder,
    ) -> Result<T, Failure> {
        loop {
            let tried =
                tokio::time::timeout_at(self.clock.instant(self.end), attempt(call())).await;
            let Ok(tried) = tried else {
                return Err(self.over());
            };
            let (why, asked) = match tried {
                Ok(answer) => {
                    self.failures = 0;
                    return Ok(answer);
                }
                Err(Unanswered::Refused(failure)) => return Err(failure),
                Err(Unanswered::Again(why, asked)) => (why, asked),
            };
            self.failures += 1;
            self.waiting = format!("{why}; tried again");
            line.say(&self.waiting);
            let backoff = Self::BACKOFF.wait(self.failures, &mut self.rng);
            let wait = asked.unwrap_or(backoff);
            self.sleep_until(self.clock.now().after(wait)).await?;
        }
    }

    async fn sleep_until(&self, then: Time) -> Result<(), Failure> {
        tokio::time::sleep_until(self.clock.instant(then.min(self.end))).await;
        if then < self.end {
            Ok(())
        } else {
            Err(self.over())
        }
    }

    fn over(&self) -> Failure {
        let waiting = match self.waiting.as_str() {
            "" => "no answer",
            text => text,
        };
        Failure::temporary(format!(
            "not over within {} s: {waiting}; what was taken goes on, see `edgepurge status` on the machine of the origin",
            self.after.as_secs()
        ))
    }
}

/// Why a call has no answer that counts.
enum Unanswered {
    /// Trying again would change nothing.
    Refused(Failure),
    /// It is tried again, after the time that the server asked for.
    Again(String, Option<Duration>),
}

async fn attempt<T: DeserializeOwned>(call: RequestBuilder) -> Result<T, Unanswered> {
    let unheard = |error| Unanswered::Again(transport_causes(error), None);
    let response = call.send().await.map_err(unheard)?;
    let status = response.status();
    let asked = response.headers().get(reqwest::header::RETRY_AFTER);
    let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok());
    let asked = asked.map(|seconds: u64| Duration::from_secs(seconds.clamp(1, 60)));
    let body = response.bytes().await.map_err(unheard)?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| {
            Unanswered::Refused(Failure::failed(format!(
                "{status}, but no answer of edgepurge: {}; is this the URL of a route?",
                printable(&String::from_utf8_lossy(&body))
            )))
        });
    }
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    let words = if refusal.error.is_empty() {
        printable(&String::from_utf8_lossy(&body))
    } else {
        refusal.error
    };
    let again = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    if again {
        return Err(Unanswered::Again(format!("{status}: {words}"), asked));
    }
    let advice = match status {
        StatusCode::UNAUTHORIZED => {
            "; is it the token of this route? The log of edgepurge says what is wrong"
        }
        StatusCode::NOT_FOUND => "; `route` of [[pipeline.webhook]] has to be the path of the URL",
        status if status.is_redirection() => {
            "; a redirect is not followed: use the URL that it leads to"
        }
        _ => "",
    };
    Err(Unanswered::Refused(Failure::failed(format!(
        "{status}: {words}{advice}"
    ))))
}
