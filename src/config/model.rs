//! The configuration as plain typed data. It holds no secret, only where secrets are.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::core::change::{Kind, PipelineId};
use crate::core::mapping::{Encoding, Pages};
use crate::webhook::RouteSettings;

use super::effective::Setting;
use super::problem::Problem;

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

/// `[scaleway]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaleway {
    /// Where the API is.
    pub api_url: ApiUrl,
    /// The file that holds the secret key.
    pub secret_key_file: Option<PathBuf>,
    /// The profile of the scw config file, where one was chosen by the file or `SCW_PROFILE`.
    pub profile: Option<String>,
    /// Calls per second, all of them together.
    pub requests_per_second: NonZeroU32,
    /// Calls at once after a time of rest.
    pub burst: NonZeroU32,
    /// Purge requests not yet settled.
    pub max_in_flight: usize,
    /// How long one call may take.
    pub request_timeout: Duration,
    /// How long a purge request may be pending.
    pub track_timeout: Duration,
}

/// Where the purge API is.
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

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The directory of the databases.
    pub directory: PathBuf,
    /// How long the history is kept.
    pub retention: Duration,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The TCP listener; `None` turns it off.
    pub listen: Option<SocketAddr>,
    /// The control socket.
    pub socket: PathBuf,
    /// The file that holds the token of changing calls over TCP; always there when `listen` is
    /// not on loopback.
    pub token_file: Option<PathBuf>,
}

/// `[webhooks]`. Nothing has to listen while no pipeline has a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// Where deliveries come in, unless systemd hands over a socket.
    pub listen: WebhookListen,
    /// The largest body, in bytes.
    pub body_limit: u64,
    /// The proxies whose word about the client is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Failed authentications per client and minute.
    pub failed_auth_per_minute: NonZeroU32,
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

/// `[[pipeline]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name, unique.
    pub name: String,
    /// Its id at Scaleway, unique; lower case with hyphens.
    pub id: PipelineId,
    /// The project that it has to belong to.
    pub project_id: Option<String>,
    /// Assets per purge request, at least 1.
    pub max_assets: usize,
    /// A batch closes when no change came for this long.
    pub debounce: Duration,
    /// A batch closes this long after its first change; not below `debounce`.
    pub max_wait: Duration,
    /// A batch of more assets becomes one `all`; `None` is `never`.
    pub all_above: Option<usize>,
    /// A backlog that would need longer than this to drain becomes one `all`; `None` is `never`.
    pub all_after: Option<Duration>,
    /// Between two `all` requests.
    pub all_cooldown: Duration,
    /// The URLs of HTML files.
    pub pages: Pages,
    /// The spellings of a path.
    pub encoding: Encoding,
    /// What was purged is purged once more so much later; `None` is `off`.
    pub repurge_after: Option<Duration>,
    /// An asset that changes all the time is purged at most this often; `None` is `off`.
    pub hot_interval: Option<Duration>,
    /// How it is looked at through the edge, if it is.
    pub verify: Option<Verify>,
    /// The directories that it serves.
    pub origins: Vec<Origin>,
    /// The rules; the first that matches holds.
    pub rules: Vec<Rule>,
    /// The routes of its deploy webhooks; each path is there once in the whole configuration.
    pub webhooks: Vec<Webhook>,
}

/// `[pipeline.verify]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Where visitors fetch the site: scheme, host and port.
    pub edge_url: Url,
    /// Of one fetch, from connecting to the last byte.
    pub timeout: Duration,
    /// Bytes read through the edge in an hour, at most.
    pub max_bytes_per_hour: u64,
}

/// `[[pipeline.origin]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// The directory, absolute. It may not exist now.
    pub root: PathBuf,
    /// What its paths begin with as assets; begins and ends with `/`.
    pub url_prefix: String,
    /// What tells that a file changed.
    pub compare: Compare,
    /// How changes are noticed.
    pub watch: WatchMode,
    /// Time between two background scans.
    pub rescan: Duration,
    /// How long a file that is being written is waited for.
    pub write_wait: Duration,
    /// How long a file must be absent to count as gone.
    pub gone_after: Duration,
    /// More than this part of the files gone at once is an alarm.
    pub max_loss: Percent,
    /// Which symlinks are followed.
    pub follow_symlinks: FollowSymlinks,
    /// The web server's group, whose right to read counts beside everybody's.
    pub web_group: Option<Group>,
    /// Patterns in gitignore syntax, each valid.
    pub ignore: Vec<String>,
}

/// What tells that a file changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compare {
    /// The hash of its content.
    #[default]
    Content,
    /// Size and times.
    Metadata,
}

/// How changes of an origin are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchMode {
    /// By file events where the file system has them, else by polling.
    #[default]
    Auto,
    /// By looking again and again.
    Poll,
    /// Only by scans and webhooks.
    Off,
}

/// Which symlinks of an origin are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowSymlinks {
    /// All.
    #[default]
    Any,
    /// Those whose target is below the root.
    Root,
    /// None.
    No,
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

/// `[[pipeline.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Globs over paths below an origin's root, each valid, at least one.
    pub globs: Vec<String>,
    /// The kinds of changes it holds for, at least one; never [`Kind::Asked`].
    pub on: Vec<Kind>,
    /// What is purged.
    pub purge: RulePurge,
}

/// What a rule purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePurge {
    /// The whole pipeline.
    All,
    /// Nothing.
    Nothing,
    /// These assets: templates that begin with `/` and hold only known placeholders, at least one.
    Assets(Vec<String>),
}
