//! Looks through the roots as the daemon does: by a process of its own that runs as its user, so that
//! whatever decides about access is asked, and a filesystem that hangs is left behind.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, getgrouplist, setgid, setgroups, setuid};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::cli::{Failure, output};
use crate::config::{Config, Problem};
use crate::daemon;
use crate::origin::{Access, FollowSymlinks, OriginSettings, access};

/// One root is looked through for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// systemd answers within this, or is not there.
const SYSTEMD: Duration = Duration::from_secs(2);
/// The unit, and the user in it.
const UNIT: &str = "edgepurge.service";
const USER: &str = "edgepurge";

/// A root, and the user that it is looked through as; left out: the user of this process.
#[derive(Debug, Serialize, Deserialize)]
struct Look {
    user: Option<User>,
    root: PathBuf,
    follow: FollowSymlinks,
    ignore: Vec<String>,
}

/// The daemon's user.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Becomes the user, looks through the root, and writes what was found to stdout.
pub(super) fn look(json: &str) -> Result<ExitCode, Failure> {
    let look: Look =
        serde_json::from_str(json).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(user) = &look.user {
        turn_into(user)
            .map_err(|error| Failure::failed(format!("can't run as uid {}: {error}", user.uid)))?;
    }
    output::json(&access(&look.root, look.follow, &look.ignore)?)?;
    Ok(ExitCode::SUCCESS)
}

fn turn_into(user: &User) -> nix::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setgid(Gid::from_raw(user.gid))?;
    setuid(Uid::from_raw(user.uid))
}

/// What the daemon will not be able to read, and whose right to read it does not count yet.
pub(super) async fn warnings(config: &Config) -> Vec<Problem> {
    let me = nix::unistd::geteuid();
    let user = if me.is_root() {
        daemons_user(config).await
    } else {
        None
    };
    let is_daemon = owner(config).is_some_and(|(uid, _)| uid == me.as_raw());
    let mut found = Vec::new();
    for (at, pipeline) in config.pipelines.iter().enumerate() {
        let origins = pipeline.origins.iter().enumerate();
        let directories = origins.filter(|(_, origin)| origin.root.is_some());
        let settings = daemon::origins(config, pipeline);
        for ((nth, _), settings) in directories.zip(settings) {
            let place = Place {
                config,
                section: format!("pipeline[{at}].origin[{nth}]"),
                settings: &settings,
            };
            let seen = place.ask(None).await;
            if settings.web_group.is_none() {
                found.extend(seen.as_ref().ok().and_then(|seen| place.group(seen)));
            }
            let (uid, seen) = match &user {
                Some(user) => (user.uid, place.ask(Some(user.clone())).await),
                None if is_daemon => (me.as_raw(), seen),
                None => continue,
            };
            found.extend(place.unread(uid, seen));
        }
    }
    found
}

/// The user of the unit, where systemd knows it; else whose the state is; else who is called like it.
async fn daemons_user(config: &Config) -> Option<User> {
    let by_name = |name: &str| nix::unistd::User::from_name(name).ok().flatten();
    let unit = unit().await;
    if let Some((name, more)) = unit
        && let Some(user) = by_name(&name)
    {
        let mut found = of(&user);
        let more = more.split_whitespace().filter_map(|group| {
            let named = || Group::from_name(group).ok().flatten();
            group.parse().ok().or_else(|| Some(named()?.gid.as_raw()))
        });
        found.groups.extend(more);
        return Some(found);
    }
    if let Some((uid, gid)) = owner(config).filter(|(uid, _)| *uid != 0) {
        let known = nix::unistd::User::from_uid(Uid::from_raw(uid))
            .ok()
            .flatten();
        let unknown = User {
            uid,
            gid,
            groups: vec![gid],
        };
        return Some(known.map_or(unknown, |user| of(&user)));
    }
    by_name(USER).map(|user| of(&user))
}

fn of(user: &nix::unistd::User) -> User {
    let name = CString::new(user.name.as_str()).unwrap_or_default();
    let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
    User {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    }
}

/// Whose the state directory is.
fn owner(config: &Config) -> Option<(u32, u32)> {
    let found = std::fs::metadata(&config.state.directory).ok()?;
    Some((found.uid(), found.gid()))
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

/// An origin in the configuration.
struct Place<'c> {
    config: &'c Config,
    section: String,
    settings: &'c OriginSettings,
}

impl Place<'_> {
    async fn ask(&self, user: Option<User>) -> Result<Access, String> {
        let look = Look {
            user,
            root: self.settings.root.clone(),
            follow: self.settings.follow_symlinks,
            ignore: self.settings.ignore.clone(),
        };
        let json = serde_json::to_string(&look).map_err(|error| error.to_string())?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command
            .args(["check", "--look", &json])
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let Ok(told) = tokio::time::timeout(PATIENCE, command.output()).await else {
            return Err(format!("not within {} s", PATIENCE.as_secs()));
        };
        let told = told.map_err(|error| error.to_string())?;
        serde_json::from_slice(&told.stdout)
            .map_err(|_| String::from_utf8_lossy(&told.stderr).trim().to_owned())
    }

    fn problem(&self, key: &str, why: &str, hint: &str) -> Problem {
        let key = format!("{}.{key}", self.section);
        Problem::of_file(&self.config.file, &key, why, hint)
    }

    /// The group that may read most of what others may not.
    fn group(&self, seen: &Access) -> Option<Problem> {
        // root's own is what only root reads.
        let groups = seen.groups.iter().filter(|(gid, _)| **gid != 0);
        let (gid, sample) = groups.max_by_key(|(_, sample)| sample.count)?;
        let group = called(*gid);
        Some(self.problem(
            "web_group",
            &format!(
                "is not set, and group {group} may read what not everybody may: {} files or directories, the first is `{}`; a 403 that the edge keeps of them is not purged when the group may read them at last",
                sample.count,
                sample.first.escape_debug()
            ),
            &format!("where the web server is in that group, write web_group = \"{group}\""),
        ))
    }

    /// What the daemon's user can't read.
    fn unread(&self, uid: u32, seen: Result<Access, String>) -> Vec<Problem> {
        let user = nix::unistd::User::from_uid(Uid::from_raw(uid))
            .ok()
            .flatten();
        let user = user.map_or_else(|| format!("uid {uid}"), |user| user.name);
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => {
                let why =
                    format!("can't be looked through as {user}, whom the daemon runs as: {why}");
                return vec![self.problem(
                    "root",
                    &why,
                    "see to its filesystem, or look again later",
                )];
            }
        };
        let among = if seen.truncated { " at least" } else { "" };
        let mut problems = Vec::new();
        for (sample, what, then) in [
            (
                &seen.closed,
                "directories that can't be listed",
                "what changes there is not noticed",
            ),
            (
                &seen.unread,
                "files that can't be read",
                "they are compared by size and times",
            ),
        ] {
            if sample.count == 0 {
                continue;
            }
            let first = match sample.first.as_str() {
                "" => "the root itself".to_owned(),
                first => format!("`{}`", first.escape_debug()),
            };
            let why = format!(
                "has {}{among} {what} by {user}, whom the daemon runs as; the first is {first}: {then}",
                sample.count
            );
            let path = self.settings.root.join(&sample.first);
            problems.push(self.problem("root", &why, &hint(&path)));
        }
        problems
    }
}

/// How the daemon gets at a path.
fn hint(path: &Path) -> String {
    let found = std::fs::metadata(path).ok();
    let group = found.filter(|found| found.mode() & 0o040 != 0 && found.gid() != 0);
    let join = group.map_or_else(String::new, |found| {
        format!(
            "let it join the group, with SupplementaryGroups={} below [Service] in `systemctl edit edgepurge`; or ",
            called(found.gid())
        )
    });
    format!("{join}chmod or setfacl it, or put what nobody is served into `ignore`")
}

/// A group's name, or its number where it has none.
fn called(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}
