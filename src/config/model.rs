//! The configuration as plain typed data. It holds no secret, only where secrets are.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::webhook::RouteSettings;

use super::effective::Setting;
use super::pipeline::Pipeline;
use super::problem::Problem;
use super::scaleway::Scaleway;
use super::state::{Admin, State};
use super::webhook_listener::Webhooks;

/// A whole configuration, without problems.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The API and the limits towards it.
    pub scaleway: Scaleway,
    /// Where things are kept, and how long.
    pub state: State,
    /// Status page, metrics, control socket.
    pub admin: Admin,
    /// The listener of deploy webhooks.
    pub webhooks: Webhooks,
    /// The pipelines, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// What is suspicious but may be meant.
    pub warnings: Vec<Problem>,
    /// Every key's effective value, and where it is from.
    pub settings: Vec<Setting>,
}

/// Where the purge API is, or the server of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiUrl {
    /// The embedded simulator; no key is needed.
    Sandbox,
    /// A server: `https`, or `http` on loopback.
    Server(Url),
}

impl ApiUrl {
    /// The URL without a `/` at its end, as paths are appended to it; `sandbox` for the simulator.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Server(url) => url.as_str().trim_end_matches('/'),
        }
    }
}

/// Where deliveries come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookListen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket at this path, absolute.
    Unix(PathBuf),
}

/// `[[pipeline.webhook]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The route; [`Webhook::route`] reads its secrets and makes it.
    pub settings: RouteSettings,
    /// Where its secrets are: at least one, unless the route is open.
    pub secrets: Vec<SecretPlace>,
    /// Its section, `pipeline[0].webhook[0]`, for problems with its secrets.
    pub section: String,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a file, which others than the owner can't read.
    File(PathBuf),
    /// The systemd credential of this name.
    Credential(String),
}

/// A group of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As it is written: its name, or its number.
    pub name: String,
    /// Its number.
    pub id: u32,
}

/// A whole percentage from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// Half.
    pub const HALF: Self = Self(50);

    /// A percentage; `None` above 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 {
            Some(Self(percent))
        } else {
            None
        }
    }

    /// The number, from 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}
