//! Looks at a path as the daemon does: by a process of its own that runs as its user, so that
//! whatever decides about access is asked, and a filesystem that hangs is left behind.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::Access as Right;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::user::{User, group_name, user_name};
use crate::cli::{Failure, output};
use crate::origin::{Access, FollowSymlinks, access};

/// One path is looked at for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file or a root, and the user that looks at it; left out: the user of this process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) user: Option<User>,
    pub(super) path: PathBuf,
    /// How a root is looked through; left out for a file.
    pub(super) walk: Option<(FollowSymlinks, Vec<String>)>,
}

/// What the user sees.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The file or directory that keeps it from the path.
    pub(super) denied_by: Option<PathBuf>,
    /// What is below a root.
    pub(super) access: Access,
}

/// Becomes the user, looks at the path, and writes what was seen to stdout.
pub(super) fn look(json: &str) -> Result<ExitCode, Failure> {
    let look: Look =
        serde_json::from_str(json).map_err(|error| Failure::usage(error.to_string()))?;
    // Before this process is the user's, who may not get as far as the end of a link.
    let real = fs::canonicalize(&look.path).unwrap_or_else(|_| look.path.clone());
    if let Some(user) = &look.user {
        { user.assume() }
            .map_err(|error| Failure::failed(format!("can't run as uid {}: {error}", user.uid)))?;
    }
    let denied_by = denies(&real).or_else(|| denies(&look.path));
    let access = match &look.walk {
        Some((follow, ignore)) if denied_by.is_none() => access(&look.path, *follow, ignore)?,
        _ => Access::default(),
    };
    output::json(&Seen {
        denied_by: denied_by.map(Path::to_owned),
        access,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What keeps this process from reading a path: the first directory that it can't pass, or the path itself.
fn denies(path: &Path) -> Option<&Path> {
    let denies =
        |path: &Path, right| rustix::fs::access(path, right) == Err(rustix::io::Errno::ACCESS);
    let closed = path
        .ancestors()
        .skip(1)
        .filter(|directory| denies(directory, Right::EXEC_OK));
    closed
        .last()
        .or_else(|| denies(path, Right::READ_OK).then_some(path))
}

impl Look {
    /// Has a process look.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask(&self) -> Result<Seen, String> {
        let json = serde_json::to_string(self).map_err(|error| error.to_string())?;
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
}

/// Why a user can't read a path, and how it can.
pub(super) fn denial(path: &Path, by: &Path, user: &User) -> (String, String) {
    let name = user_name(user.uid);
    let (path_shown, by_shown) = (shown(path), shown(by));
    let what = if by == path { "it" } else { &by_shown };
    let why = format!(
        "{path_shown} can't be read by {}, whom the daemon runs as: {what} is {}",
        user.spoken(),
        whose(by)
    );
    let found = fs::metadata(by).ok();
    let is_directory = found.as_ref().is_some_and(fs::Metadata::is_dir);
    let is_root_s = found.is_some_and(|found| found.uid() == 0);
    let hint = match (join_group(by), is_directory, is_root_s) {
        (Some(join), ..) => join,
        (None, true, _) => {
            let right = if by == path { "rx" } else { "x" };
            format!(
                "chmod o+{right} {by_shown}, or for it alone: setfacl -m u:{name}:{right} {by_shown}"
            )
        }
        (None, false, true) => {
            let group = group_name(user.gid);
            format!("chgrp {group} {by_shown}; chmod 640 {by_shown}")
        }
        (None, false, false) => format!(
            "name a copy that it may read: install -m 600 -o {name} {by_shown} /etc/edgepurge/"
        ),
    };
    (why, hint)
}

/// How the daemon joins the group that may read a file or enter a directory, where one may.
pub(super) fn join_group(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let right = if found.is_dir() { 0o010 } else { 0o040 };
    (found.mode() & right != 0 && found.gid() != 0).then(|| {
        format!(
            "let it join the group, with SupplementaryGroups={} below [Service] in `systemctl edit edgepurge`",
            group_name(found.gid())
        )
    })
}

/// The owner, group and mode of a path, as `root:www-data, mode 0750`.
pub(super) fn whose(path: &Path) -> String {
    let shown = |found: fs::Metadata| {
        let (user, group) = (user_name(found.uid()), group_name(found.gid()));
        format!("{user}:{group}, mode {:04o}", found.mode() & 0o7777)
    };
    fs::metadata(path).map_or_else(|error| error.to_string(), shown)
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}
