//! The client of one bucket: signs, sends, and reads the answer within bounds.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::DATE;
use reqwest::{Method, Response, StatusCode, redirect, retry};
use rusty_s3::{Credentials, S3Action, UrlStyle};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::error::S3Error;
use super::object::{Head, Page, Position, http_date};
use super::website;
use crate::clock::Clock;
use crate::core::website::Website;

/// No page is longer: 1,000 keys of 1,024 bytes, each byte written as three.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// A connection that is not there by then will not come.
const MAX_CONNECT: Duration = Duration::from_secs(10);
/// How long a signature is valid: so far may this machine's clock be behind.
const VALID: Duration = Duration::from_hours(1);
/// A server's clock that differs by less is not followed.
const SKEW_MS: i64 = 60_000;
/// How many calls are made at once.
const AT_ONCE: usize = 8;

/// The keys of a bucket.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The access key: which key it is.
    pub access: SecretString,
    /// The secret key, which signs.
    pub secret: SecretString,
}

/// Reads the keys, from wherever they are by then; or says why there are none.
pub type KeyReader = Arc<dyn Fn() -> Result<Keys, String> + Send + Sync>;

/// A bucket, and how it is reached.
#[derive(Clone)]
pub struct BucketSettings {
    /// The server: scheme, host, port, and perhaps a path.
    pub endpoint: Url,
    /// The region that signatures name.
    pub region: String,
    /// The bucket's name.
    pub name: String,
    /// What the keys begin with that are listed; may be empty.
    pub prefix: String,
    /// How long one call may take, from connecting to the last byte.
    pub timeout: Duration,
    /// Where the keys are from.
    pub keys: KeyReader,
}

impl fmt::Debug for BucketSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketSettings")
            .field("endpoint", &self.endpoint.as_str())
            .field("region", &self.region)
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL of the bucket can't be made.
    #[error("the endpoint {0} is no address of a server")]
    Endpoint(String),
    /// TLS or the system's certificates could not be set up.
    #[error("the HTTP client can't be set up: {0}; are the CA certificates of the system there?")]
    Http(#[source] reqwest::Error),
}

/// A bucket.
pub struct Bucket {
    http: reqwest::Client,
    signer: rusty_s3::Bucket,
    settings: BucketSettings,
    credentials: RwLock<Option<Credentials>>,
    clock: Clock,
    /// How far the server's clock is ahead of this machine's, in milliseconds.
    skew_ms: AtomicI64,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl Bucket {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// When the endpoint is none, or TLS can't be set up.
    pub fn new(settings: BucketSettings, clock: Clock) -> Result<Self, SetupError> {
        let (name, region) = (settings.name.clone(), settings.region.clone());
        let endpoint = settings.endpoint.clone();
        // Path style works with every name, and with a server that is reached by an address.
        let signer = rusty_s3::Bucket::new(endpoint, UrlStyle::Path, name, region)
            .map_err(|_| SetupError::Endpoint(settings.endpoint.to_string()))?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("edgepurge/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .timeout(settings.timeout)
            .connect_timeout(MAX_CONNECT.min(settings.timeout / 2));
        if settings.endpoint.scheme() == "http" {
            // Only loopback addresses may be that.
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().map_err(SetupError::Http)?,
            signer,
            settings,
            credentials: RwLock::default(),
            clock,
            skew_ms: AtomicI64::new(0),
        })
    }

    /// What the keys begin with that are listed.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// How far the server's clock is ahead of this machine's, in seconds; 0 where that is less than a minute, or not
    /// known yet.
    #[must_use]
    pub fn skew_s(&self) -> i64 {
        self.skew_ms.load(Ordering::Relaxed) / 1_000
    }

    /// Pages of listings, each at the place of its position. They are asked for at once.
    pub async fn pages(&self, positions: &[Position]) -> Vec<Result<Page, S3Error>> {
        at_once(positions.iter().map(|position| self.page(position))).await
    }

    /// A page of a listing. For the first one, the keys are read again.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn page(&self, position: &Position) -> Result<Page, S3Error> {
        let credentials = match position {
            Position::Start => self.read_keys()?,
            Position::After(_) | Position::Token(_) => self.credentials()?,
        };
        let mut action = self.signer.list_objects_v2(Some(&credentials));
        action.with_prefix(self.prefix());
        match position {
            Position::Start => {}
            Position::After(key) => action.with_start_after(key),
            Position::Token(token) => action.with_continuation_token(token),
        }
        Page::read(&self.document(&action).await?)
    }

    /// The website configuration, for which the keys are read again; `None`: the bucket is no website.
    ///
    /// # Errors
    /// Why it is not known.
    pub async fn website(&self) -> Result<Option<Website>, S3Error> {
        let credentials = self.read_keys()?;
        // The crate has no such call: it is a GET of the bucket itself.
        let mut action = self.signer.get_object(Some(&credentials), "");
        action.query_mut().insert("website", "");
        match self.document(&action).await {
            Err(error) if error.code() == Some("NoSuchWebsiteConfiguration") => Ok(None),
            document => website::read(&document?).map(Some),
        }
    }

    /// Gets a document.
    async fn document<'a>(&self, action: &impl S3Action<'a>) -> Result<String, S3Error> {
        let response = self.send(Method::GET, action).await?;
        let status = response.status();
        let body = read_body(response).await?;
        let body = String::from_utf8(body)
            .map_err(|_| S3Error::Malformed("it is not UTF-8".to_owned()))?;
        if !status.is_success() {
            return Err(S3Error::of_answer(status, &body));
        }
        Ok(body)
    }

    /// The headers of these objects, each answer at the place of its key. Several are asked for at once.
    pub async fn heads(&self, keys: &[String]) -> Vec<Result<Head, S3Error>> {
        at_once(keys.iter().map(|key| self.head(key))).await
    }

    async fn head(&self, key: &str) -> Result<Head, S3Error> {
        let credentials = self.credentials()?;
        let action = self.signer.head_object(Some(&credentials), key);
        let response = self.send(Method::HEAD, &action).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Err(S3Error::Missing),
            status if status.is_success() => Head::read(key, response.headers()),
            status => Err(S3Error::of_answer(status, "")),
        }
    }

    async fn send<'a>(
        &self,
        method: Method,
        action: &impl S3Action<'a>,
    ) -> Result<Response, S3Error> {
        let now = i64::try_from(self.clock.now().millis()).unwrap_or(i64::MAX);
        let signed_at = now.saturating_add(self.skew_ms.load(Ordering::Relaxed));
        let time = jiff::Timestamp::from_millisecond(signed_at).unwrap_or_default();
        let url = action.sign_with_time(VALID, &time);
        let response = self.http.request(method, url).send().await;
        let response = response.map_err(S3Error::of_transport)?;
        let date = response.headers().get(DATE).and_then(|date| {
            let nanoseconds = http_date(date.to_str().ok()?)?;
            Some(nanoseconds / 1_000_000)
        });
        if let Some(date) = date
            && (date - signed_at).abs() > SKEW_MS
        {
            self.skew_ms.store(date - now, Ordering::Relaxed);
            tracing::warn!(
                "the clock of {} is {} s ahead of this machine's (negative: behind): requests are signed with its \
                 time; set the clock of this machine",
                self.settings.endpoint,
                (date - now) / 1_000
            );
            if response.status() == StatusCode::FORBIDDEN {
                return Err(S3Error::Busy(
                    "that the time of the signature is wrong".to_owned(),
                ));
            }
        }
        Ok(response)
    }

    fn read_keys(&self) -> Result<Credentials, S3Error> {
        let keys = (self.settings.keys)().map_err(S3Error::Keys)?;
        let credentials =
            Credentials::new(keys.access.expose_secret(), keys.secret.expose_secret());
        let mut kept = self.credentials.write();
        let kept = kept.as_mut().unwrap_or_else(|error| error.get_mut());
        **kept = Some(credentials.clone());
        Ok(credentials)
    }

    fn credentials(&self) -> Result<Credentials, S3Error> {
        let kept = self.credentials.read();
        let kept = kept.unwrap_or_else(PoisonError::into_inner).clone();
        kept.map_or_else(|| self.read_keys(), Ok)
    }
}

/// The answers to calls, in their order; a few are made at once.
async fn at_once<T>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let calls = futures_util::stream::iter(calls).buffered(AT_ONCE);
    calls.collect().await
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, S3Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(S3Error::of_transport)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(S3Error::Malformed("it is longer than 8 MiB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
