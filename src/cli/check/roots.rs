//! Whether the daemon's user can read the roots, and whose right to read them does not count yet.

use std::path::Path;

use super::look::{Look, Seen, denial, join_group, whose};
use super::user::{User, group_name};
use crate::config::{Config, Problem};
use crate::daemon;
use crate::origin::{Access, OriginSettings, Sample};

/// A warning for what the daemon's user, where it is known, will not be able to read, and for the web server's
/// group.
pub(super) async fn warnings(config: &Config, user: Option<&User>) -> Vec<Problem> {
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
                found.extend(
                    seen.as_ref()
                        .ok()
                        .and_then(|seen| place.group(&seen.access)),
                );
            }
            if let Some(user) = user {
                found.extend(place.unread(user, place.ask(Some(user)).await));
            }
        }
    }
    found
}

/// An origin in the configuration.
struct Place<'c> {
    config: &'c Config,
    section: String,
    settings: &'c OriginSettings,
}

impl Place<'_> {
    async fn ask(&self, user: Option<&User>) -> Result<Seen, String> {
        let look = Look {
            user: user.cloned(),
            path: self.settings.root.clone(),
            walk: Some((self.settings.follow_symlinks, self.settings.ignore.clone())),
        };
        look.ask().await
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
        let group = group_name(*gid);
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
    fn unread(&self, user: &User, seen: Result<Seen, String>) -> Vec<Problem> {
        let root = &self.settings.root;
        let name = user.spoken();
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => {
                let why =
                    format!("can't be looked through as {name}, whom the daemon runs as: {why}");
                return vec![self.problem(
                    "root",
                    &why,
                    "see to its filesystem, or look again later",
                )];
            }
        };
        if let Some(by) = &seen.denied_by {
            let (why, hint) = denial(root, by, user);
            return vec![self.problem("root", &why, &hint)];
        }
        let among = if seen.access.truncated {
            " at least"
        } else {
            ""
        };
        let samples = [
            (
                &seen.access.closed,
                "directories that can't be listed",
                "what changes there is not noticed",
            ),
            (
                &seen.access.unread,
                "files that can't be read",
                "they are compared by size and times",
            ),
        ];
        let samples = samples.into_iter().filter(|(sample, ..)| sample.count > 0);
        let problem = |(sample, what, then): (&Sample, &str, &str)| {
            let path = root.join(&sample.first);
            let why = format!(
                "has {}{among} {what} by {name}, whom the daemon runs as; the first is `{}` ({}): {then}",
                sample.count,
                sample.first.escape_debug(),
                whose(&path)
            );
            self.problem("root", &why, &hint(&path))
        };
        samples.map(problem).collect()
    }
}

/// How the daemon gets at a path below a root.
fn hint(path: &Path) -> String {
    let join = join_group(path).map_or_else(String::new, |join| format!("{join}; or "));
    format!("{join}chmod or setfacl it, or put what nobody is served into `ignore`")
}
