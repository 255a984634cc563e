//! The edge probe: fetches an asset as a visitor without a history would, and returns what came as a
//! hash. What that means is decided in [`core::verify`](crate::core::verify).

use std::future::Future;
use std::time::Duration;

use md5::{Digest as _, Md5};
use reqwest::header::ETAG;
use reqwest::{StatusCode, redirect, retry};
use url::{Host, Url};

use crate::core::asset::Asset;
use crate::core::etag;
use crate::core::verify::Answer;

/// A connection that is not there by then will not come.
const MAX_CONNECT: Duration = Duration::from_secs(10);

/// What is set aside at once for an answer that does not say how long it is.
const PIECE: u64 = 256 << 10;

/// The bytes that may be fetched. What is taken is gone, also over a crash, until it is given back.
pub trait Allowance: Sync {
    /// Takes so many bytes, or what is left; how many.
    fn take(&self, bytes: u64) -> impl Future<Output = u64> + Send;

    /// Gives back what was not needed.
    fn give_back(&self, bytes: u64);

    /// More came than was taken.
    fn owe(&self, bytes: u64);
}

/// Fetches through the edge of one pipeline. It keeps no cookies, follows no redirects, and asks for
/// no compressed form.
#[derive(Clone, Debug)]
pub struct Edge {
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
    objects: bool,
}

/// Why there is no probe.
#[derive(Debug, thiserror::Error)]
#[error(
    "the HTTP client for the edge can't be set up: {0}; are the CA certificates of the system there?"
)]
pub struct EdgeError(#[source] reqwest::Error);

impl Edge {
    /// A probe of the edge at `base`: scheme, host and port. `timeout` is of one fetch, from
    /// connecting to the last byte; `objects`: an origin is a bucket. Nothing is sent yet.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(base: Url, timeout: Duration, objects: bool) -> Result<Self, EdgeError> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("edgepurge/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .timeout(timeout)
            .connect_timeout(MAX_CONNECT.min(timeout));
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().map_err(EdgeError)?,
            base,
            timeout,
            objects,
        })
    }

    /// Fetches an asset, as far as the allowance goes: one that says to be larger is not read.
    pub async fn fetch(&self, asset: &Asset, allowance: &impl Allowance) -> Answer {
        let Some(url) = self.url(asset) else {
            return Answer::Unread("no URL has this spelling".to_owned());
        };
        let mut response = match self.http.get(url).send().await {
            Ok(response) => response,
            Err(error) => return self.silent(&error),
        };
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Answer::Silent(format!("the edge answers {}", status.as_u16()));
        }
        let mut read = Read {
            allowance,
            taken: 0,
            bytes: 0,
        };
        if let Some(length) = response.content_length()
            && !read.may(length, length).await
        {
            return too_much();
        }
        let etag = response.headers().get(ETAG);
        let etag = etag.and_then(|etag| Some(etag::content(etag.to_str().ok()?)));
        let mut hash = blake3::Hasher::new();
        let mut md5 = self.objects.then(Md5::new);
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    hash.update(&piece);
                    if let Some(md5) = &mut md5 {
                        md5.update(&piece);
                    }
                    read.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                    if !read.may(read.bytes, PIECE).await {
                        return too_much();
                    }
                }
                Ok(None) => break,
                Err(error) => return self.silent(&error),
            }
        }
        // The ETag of an object that was uploaded in one part.
        let objects = md5.map(|md5| etag::content(&hex(&md5.finalize())));
        Answer::Body {
            status: status.as_u16(),
            hash: *hash.finalize().as_bytes(),
            objects: objects.map_or_else(Vec::new, |own| etag.into_iter().chain([own]).collect()),
            bytes: read.bytes,
        }
    }

    /// The address of an asset; `None` where it would become another on the way.
    fn url(&self, asset: &Asset) -> Option<Url> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{asset}")).ok()?;
        let path = url.path();
        let sent = url
            .query()
            .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        (sent == asset.as_str()).then_some(url)
    }

    fn silent(&self, error: &reqwest::Error) -> Answer {
        Answer::Silent(if error.is_timeout() {
            format!(
                "the edge gave no whole answer within {} s",
                self.timeout.as_secs_f64()
            )
        } else if error.is_connect() {
            format!("the edge can't be reached: {}", root_of(error))
        } else {
            format!("the edge broke off its answer: {}", root_of(error))
        })
    }
}

/// An answer that is being read.
struct Read<'a, A: Allowance> {
    allowance: &'a A,
    taken: u64,
    bytes: u64,
}

impl<A: Allowance> Read<'_, A> {
    /// Sees that so many bytes are taken, and at least `step` more than before where some are missing.
    async fn may(&mut self, bytes: u64, step: u64) -> bool {
        let missing = bytes.saturating_sub(self.taken);
        if missing > 0 {
            self.taken += self.allowance.take(missing.max(step)).await;
        }
        self.taken >= bytes
    }
}

impl<A: Allowance> Drop for Read<'_, A> {
    fn drop(&mut self) {
        self.allowance
            .give_back(self.taken.saturating_sub(self.bytes));
        self.allowance.owe(self.bytes.saturating_sub(self.taken));
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.flatten().collect()
}

fn too_much() -> Answer {
    Answer::Unread("it is larger than max_bytes_per_hour leaves".to_owned())
}

/// What is behind an error: that of the TLS library, or of the system.
fn root_of(error: &reqwest::Error) -> String {
    let mut root: &dyn std::error::Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests;
