//! The user that the daemon runs as.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, geteuid, getgrouplist, setgid, setgroups, setuid};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::config::Config;

/// systemd answers within this, or is not there.
const SYSTEMD: Duration = Duration::from_secs(2);
/// The unit, and the user in it.
const UNIT: &str = "edgepurge.service";
const USER: &str = "edgepurge";

/// A user with its groups, by their numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// Whether this process runs as the user.
    pub(super) fn is_here(&self) -> bool {
        self.uid == geteuid().as_raw()
    }

    /// The user's name, or `uid 1000` where it has none.
    pub(super) fn spoken(&self) -> String {
        let name = user_name(self.uid);
        let number = name.bytes().all(|byte| byte.is_ascii_digit());
        if number { format!("uid {name}") } else { name }
    }

    /// Makes this process run as the user.
    ///
    /// # Errors
    /// Where it is neither the user's nor root's.
    pub(super) fn assume(&self) -> nix::Result<()> {
        if self.is_here() {
            return Ok(());
        }
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups)?;
        setgid(Gid::from_raw(self.gid))?;
        setuid(Uid::from_raw(self.uid))
    }

    fn of(user: &nix::unistd::User) -> Self {
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
        Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        }
    }
}

/// The daemon's user, if this process may look with that user's rights. For root it is the user of the unit, else
/// the owner of the state directory, else the user of the usual name; for another user, itself, if it owns the
/// state directory.
pub(super) async fn daemons_user(config: &Config) -> Option<User> {
    let by_name = |name: &str| nix::unistd::User::from_name(name).ok().flatten();
    let owner = state_owner(config);
    if !geteuid().is_root() {
        return owner.filter(User::is_here);
    }
    if let Some((name, more)) = unit().await
        && let Some(user) = by_name(&name)
    {
        let mut found = User::of(&user);
        let more = more.split_whitespace().filter_map(|group| {
            let named = || Group::from_name(group).ok().flatten();
            group.parse().ok().or_else(|| Some(named()?.gid.as_raw()))
        });
        found.groups.extend(more);
        return Some(found);
    }
    let other = owner.clone().filter(|owner| !owner.is_here());
    let named = || by_name(USER).map(|user| User::of(&user));
    other.or_else(named).or(owner)
}

/// Whose the state directory is.
fn state_owner(config: &Config) -> Option<User> {
    let found = std::fs::metadata(&config.state.directory).ok()?;
    let known = nix::unistd::User::from_uid(Uid::from_raw(found.uid()));
    let unknown = User {
        uid: found.uid(),
        gid: found.gid(),
        groups: vec![found.gid()],
    };
    Some(known.ok().flatten().map_or(unknown, |user| User::of(&user)))
}

/// The user of the unit, and the groups that it has beside the user's.
async fn unit() -> Option<(String, String)> {
    let mut systemctl = Command::new("systemctl");
    systemctl
        .args(["show", UNIT, "--property=User,SupplementaryGroups"])
        .kill_on_drop(true);
    let told = tokio::time::timeout(SYSTEMD, systemctl.output()).await;
    let told = String::from_utf8(told.ok()?.ok()?.stdout).ok()?;
    let value = |key: &str| {
        let mut lines = told.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let user = value("User").filter(|user| !user.is_empty())?;
    let more = value("SupplementaryGroups").unwrap_or_default();
    Some((user.to_owned(), more.to_owned()))
}

/// A user's name, or its number where it has none.
pub(super) fn user_name(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(Uid::from_raw(uid));
    let user = user.ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// A group's name, or its number where it has none.
pub(super) fn group_name(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}
