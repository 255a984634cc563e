//! Every default, with its unit, in one place. `config.example.toml` says the same; a test
//! compares the two.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU32;
use std::time::Duration;

use super::model::Percent;

/// The API, where neither the file nor the environment nor a profile names another.
pub(super) const API_URL: &str = "https://api.scaleway.com";
/// Calls per second.
pub(super) const REQUESTS_PER_SECOND: NonZeroU32 = at_least_one(10);
/// Calls at once.
pub(super) const BURST: NonZeroU32 = at_least_one(20);
/// Purge requests.
pub(super) const MAX_IN_FLIGHT: usize = 50;
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const TRACK_TIMEOUT: Duration = Duration::from_mins(10);

pub(super) const STATE_DIRECTORY: &str = "/var/lib/edgepurge";
pub(super) const RETENTION: Duration = Duration::from_hours(30 * 24);

pub(super) const ADMIN_LISTEN: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9787));
pub(super) const ADMIN_SOCKET_DIRECTORY: &str = "/run/edgepurge";
pub(super) const ADMIN_SOCKET_NAME: &str = "admin.sock";

pub(super) const WEBHOOKS_LISTEN: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8787));
/// Bytes: what GitHub sends at most.
pub(super) const BODY_LIMIT: u64 = 25 << 20;
pub(super) const FAILED_AUTH_PER_MINUTE: NonZeroU32 = at_least_one(30);
pub(super) const DEDUPE: Duration = Duration::from_mins(10);

/// Assets: what the Scaleway console takes at most.
pub(super) const MAX_ASSETS: usize = 5;
pub(super) const DEBOUNCE: Duration = Duration::from_millis(500);
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10);
/// Assets.
pub(super) const ALL_ABOVE: usize = 2000;
/// To drain a backlog.
pub(super) const ALL_AFTER: Duration = Duration::from_mins(5);
pub(super) const ALL_COOLDOWN: Duration = Duration::from_mins(1);
pub(super) const HOT_INTERVAL: Duration = Duration::from_secs(10);

pub(super) const VERIFY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes in an hour.
pub(super) const VERIFY_BYTES: u64 = 100 << 20;

pub(super) const URL_PREFIX: &str = "/";
pub(super) const RESCAN: Duration = Duration::from_hours(1);
pub(super) const WRITE_WAIT: Duration = Duration::from_mins(1);
pub(super) const GONE_AFTER: Duration = Duration::from_secs(2);
pub(super) const MAX_LOSS: Percent = match Percent::new(50) {
    Some(percent) => percent,
    None => panic!("50 is a percentage"),
};

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => panic!("a default is at least one"),
    }
}
