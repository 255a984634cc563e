//! Explains: what a file's change would purge and why, and which files an asset stands for. Asks
//! the same mapping that is at work; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::asset::Asset;
use crate::core::change::{Kind, PipelineId};
use crate::core::mapping::{Decided, Effect, Mapped};
use crate::intake::{IntakeOrigin, IntakePipeline};
use crate::origin::{self, FollowSymlinks, OriginError};

mod glob;

pub use glob::{GlobError, is_glob};

/// How many files of an asset are named.
const NAMED: usize = 20;

/// A configuration, as it can be explained.
#[derive(Clone, Debug)]
pub struct Explainer {
    /// The state directory.
    pub state: PathBuf,
    /// The configuration file, as it was given.
    pub file: PathBuf,
    /// The pipelines, in the order of the file.
    pub pipelines: Vec<Explained>,
}

/// A pipeline, as it can be explained.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its id.
    pub id: PipelineId,
    /// Its name.
    pub name: Arc<str>,
    /// Its mapping and origins.
    pub known: IntakePipeline,
    /// The host of its `edge_url`, where verify is on.
    pub edge_host: Option<String>,
    /// The roots of its origins, by the origin's name.
    pub roots: BTreeMap<Arc<str>, Root>,
    /// The line of each rule in the configuration file.
    pub lines: Vec<Option<usize>>,
}

/// The root of an origin.
#[derive(Clone, Debug)]
pub struct Root {
    /// What it is.
    pub place: Place,
    /// What is ignored below it, besides the built-in list.
    pub ignore: Vec<String>,
    /// The line of that in the configuration file.
    pub line: Option<usize>,
}

/// What the root of an origin is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory.
    Directory {
        /// Its path.
        path: PathBuf,
        /// Which links below it are followed.
        follow: FollowSymlinks,
    },
    /// A bucket.
    Bucket {
        /// Its name.
        name: String,
        /// What the keys begin with that are served.
        prefix: String,
    },
}

/// What the address of an object begins with.
const OBJECT: &str = "s3://";

/// The host of a URL; `None` where the text is none.
#[must_use]
pub fn host_of(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let web = matches!(url.scheme(), "http" | "https");
    url.host_str().filter(|_| web).map(str::to_owned)
}

/// Why a file, or an object of a bucket, that is not there is not purged.
#[must_use]
pub fn absent(since: &str, bucket: bool) -> String {
    let (gone, held) = if bucket {
        (
            "once a listing that comes to its end lacks it",
            "objects (max_loss), which is held back until the objects",
        )
    } else {
        (
            "after gone_after",
            "files (max_loss) or a filesystem that is not mounted any more, which are held back until the files",
        )
    };
    format!(
        "absent since {since}, and not purged: it counts as gone {gone}, but for a sudden loss of many {held} are back \
         or `edgepurge scan PIPELINE --apply --accept-loss`; `edgepurge status` says which"
    )
}

/// What a change of a file would purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileExplained {
    /// The pipeline's name.
    pub pipeline: String,
    /// The origin's name.
    pub origin: String,
    /// The path below its root.
    pub path: String,
    /// The bucket that it is an object of; `None`: it is a file.
    #[serde(default)]
    pub bucket: Option<String>,
    /// Whether there is such a file now; of an object, whether it is remembered.
    pub exists: bool,
    /// Why a key is no path, so that it is left out.
    #[serde(default)]
    pub refused: Option<String>,
    /// Whether it is left out, so that nothing is ever purged for it.
    pub ignored: bool,
    /// What leaves it out.
    pub ignored_by: Option<IgnoredBy>,
    /// Since when it is absent, and not taken for gone; `None` also where the index can't be read.
    pub absent: Option<String>,
    /// Whether its content is not known yet; `false` also where the index can't be read.
    pub unread: bool,
    /// The link on its way that is not followed, so that nothing is purged for this name of it.
    pub not_followed: Option<String>,
    /// How it is diverged from those of other nodes; only a daemon knows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diverged: Vec<String>,
    /// For each kind of change, what decides and what is purged.
    pub on: BTreeMap<Kind, Verdict>,
}

/// What leaves a file out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredBy {
    /// The pattern, in gitignore syntax.
    pub pattern: String,
    /// Whether it is on the built-in list, and not in the configuration file.
    pub built_in: bool,
    /// The line of `ignore` in the configuration file.
    pub line: Option<usize>,
    /// What the pattern matches: the file, or a directory above it.
    pub matched: String,
}

/// What decides about a change, and what is purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The rule's number, from 1; `None`: the built-in mapping.
    pub rule: Option<usize>,
    /// The pattern of it that matches.
    pub pattern: Option<String>,
    /// Its line in the configuration file.
    pub line: Option<usize>,
    /// Whether everything is purged.
    pub all: bool,
    /// The assets that are purged; none where everything or nothing is.
    pub assets: Vec<String>,
    /// What is left out, since no request can name it.
    pub refused: Vec<String>,
}

/// Which files an asset stands for, as far as they are indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetFiles {
    /// The origin and path of each file whose change purges it.
    pub files: Vec<(String, String)>,
    /// The files that answer at it and of which a rule purges something else: everything, nothing, or
    /// other assets.
    #[serde(default)]
    pub ruled: Vec<Ruled>,
    /// Those of `files` that are absent and not taken for gone, with the time since when.
    pub absent: BTreeMap<String, String>,
    /// The origins that are buckets.
    #[serde(default)]
    pub buckets: BTreeSet<String>,
    /// Whether there are more than are named.
    pub truncated: bool,
    /// The spelling that a change of theirs purges, where it purges this one not.
    pub purged_as: Option<String>,
    /// Origins that are not indexed yet, so that their files are not known.
    pub unindexed: Vec<String>,
}

impl FileExplained {
    /// Whether a change of it purges anything.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !self.ignored && self.not_followed.is_none() && self.refused.is_none()
    }

    /// What it is.
    #[must_use]
    pub const fn noun(&self) -> &'static str {
        match self.bucket {
            Some(_) => "object",
            None => "file",
        }
    }

    /// What `unread` is about.
    #[must_use]
    pub const fn unread_noun(&self) -> &'static str {
        match self.bucket {
            Some(_) => "headers are",
            None => "content is",
        }
    }
}

impl AssetFiles {
    /// Whether all files are known and none has to do with the asset.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.files.is_empty() && self.ruled.is_empty() && self.unindexed.is_empty()
    }
}

/// A file of which a rule does not purge what it answers at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruled {
    /// The origin's name.
    pub origin: String,
    /// The path below its root.
    pub path: String,
    /// What the rule purges.
    pub verdict: Verdict,
}

impl Explainer {
    /// The pipeline of this name or id.
    #[must_use]
    pub fn pipeline(&self, name: &str) -> Option<&Explained> {
        let mut pipelines = self.pipelines.iter();
        pipelines.find(|one| &*one.name == name || one.id.as_str() == name)
    }

    /// The pipelines that an asset may be of: those whose `edge_url` has the host of its URL, or else all.
    #[must_use]
    pub fn of_host(&self, host: Option<&str>) -> Vec<&Explained> {
        let all = || self.pipelines.iter();
        let serving = |one: &&Explained| host.is_some() && one.edge_host.as_deref() == host;
        let found: Vec<_> = all().filter(serving).collect();
        if found.is_empty() {
            all().collect()
        } else {
            found
        }
    }

    /// Explains a file by its absolute path, in every origin that it lies in; or by a path below any root, which is
    /// the key of an object where the origin is a bucket; or an object by its address, `s3://BUCKET/KEY`.
    ///
    /// # Errors
    /// When a pattern of what is ignored is wrong.
    pub fn file(&self, path: &Path) -> Result<Vec<FileExplained>, OriginError> {
        let mut found = Vec::new();
        for pipeline in &self.pipelines {
            for (name, root) in &pipeline.roots {
                let Some(origin) = pipeline.known.origins.get(name) else {
                    continue;
                };
                let Some(below) = root.below(path) else {
                    continue;
                };
                let below = match below {
                    Ok(below) => below,
                    Err((key, why)) => {
                        let refused = FileExplained {
                            path: key,
                            refused: Some(why),
                            ..pipeline.blank(name, root)
                        };
                        found.push(refused);
                        continue;
                    }
                };
                let mut file = pipeline.file(name, origin, root, &below)?;
                // Without the right to read the index, the rest stands all the same.
                if let Ok(known) = origin::remembered_file(&self.state, &pipeline.id, name, &below)
                {
                    file.remember(known);
                }
                found.push(file);
            }
        }
        Ok(found)
    }

    /// Whether an absolute path lies below the root of an origin.
    #[must_use]
    pub fn is_file(&self, path: &Path) -> bool {
        let roots = self.pipelines.iter().flat_map(|one| one.roots.values());
        path.is_absolute() && { roots }.any(|root| root.below(path).is_some())
    }

    /// Whether what is given is an asset: an absolute URL path that is below no root, or a URL.
    #[must_use]
    pub fn is_asset(&self, given: &str) -> bool {
        let path = Path::new(given);
        let url = given.contains("://") && !given.starts_with(OBJECT);
        (url && path.is_relative()) || (path.is_absolute() && !self.is_file(path))
    }
}

impl Root {
    /// The path below it, as bytes; `None` for what is not of this root. The error: a key that is no path, and why.
    fn below(&self, path: &Path) -> Option<Result<Vec<u8>, (String, String)>> {
        let (name, prefix) = match &self.place {
            Place::Directory { path: root, .. } => return below(root, path).map(Ok),
            Place::Bucket { name, prefix } => (name, prefix),
        };
        let given = path.to_str().filter(|_| path.is_relative())?;
        let key = match given.strip_prefix(OBJECT) {
            Some(address) => address.strip_prefix(name.as_str())?.strip_prefix('/')?,
            None => given,
        };
        let below = origin::path_of_key(prefix, key)?;
        Some(
            below
                .map(<[u8]>::to_vec)
                .map_err(|why| (key.to_owned(), why)),
        )
    }
}

impl FileExplained {
    /// Takes what the index has of it.
    fn remember(&mut self, known: Option<origin::Remembered>) {
        if self.bucket.is_some() {
            self.exists = known.is_some_and(|known| known.absent.is_none());
        }
        if let Some(known) = known {
            self.absent = known.absent.map(|since| since.to_string());
            self.unread = !known.read;
        }
    }
}

/// The path below a root, as bytes. A root may lie behind links, and so may the path.
fn below(root: &Path, path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    let rest = if path.is_relative() {
        path.to_owned()
    } else if let Ok(rest) = path.strip_prefix(root) {
        rest.to_owned()
    } else {
        // The file itself may be gone; its directory says where it was.
        let directory = path.parent()?.canonicalize().ok()?;
        let root = root.canonicalize().ok()?;
        directory.strip_prefix(root).ok()?.join(path.file_name()?)
    };
    let plain = rest
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    let bytes = rest.as_os_str().as_bytes();
    (plain && !bytes.is_empty()).then(|| bytes.to_vec())
}

impl Explained {
    /// What is to be said where the pipeline is known by another host than that of a URL.
    #[must_use]
    pub fn other_host(&self, host: &str) -> Option<String> {
        let edge = self.edge_host.as_deref().filter(|edge| *edge != host)?;
        Some(format!(
            "edge_url of {} has the host {edge}, and not {host}: this is what is known of the path",
            self.name
        ))
    }

    fn file(
        &self,
        name: &str,
        origin: &IntakeOrigin,
        root: &Root,
        path: &[u8],
    ) -> Result<FileExplained, OriginError> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut file = self.blank(name, root);
        let mut is_dir = false;
        if let Place::Directory {
            path: root_path,
            follow,
        } = &root.place
        {
            let real = root_path.join(std::ffi::OsStr::from_bytes(path));
            (file.exists, is_dir) = (real.is_file(), real.is_dir());
            let link = origin::not_followed(root_path, *follow, &root.ignore, path)?;
            file.not_followed = link.map(|link| String::from_utf8_lossy(&link).into_owned());
        }
        let ignored = origin::ignored_by(&root.ignore, path, is_dir)?;
        let on = [Kind::New, Kind::Changed, Kind::Gone];
        let on = on.map(|kind| (kind, self.verdict(origin, path, kind)));
        Ok(FileExplained {
            path: String::from_utf8_lossy(path).into_owned(),
            ignored: ignored.is_some(),
            ignored_by: ignored.map(|by| IgnoredBy {
                pattern: by.pattern,
                built_in: by.built_in,
                line: root.line.filter(|_| !by.built_in),
                matched: String::from_utf8_lossy(&by.matched).into_owned(),
            }),
            on: on.into_iter().collect(),
            ..file
        })
    }

    /// A file or object of an origin, of which nothing is known yet.
    fn blank(&self, name: &str, root: &Root) -> FileExplained {
        FileExplained {
            pipeline: self.name.to_string(),
            origin: name.to_owned(),
            path: String::new(),
            bucket: match &root.place {
                Place::Directory { .. } => None,
                Place::Bucket { name, .. } => Some(name.clone()),
            },
            exists: true,
            refused: None,
            ignored: false,
            ignored_by: None,
            absent: None,
            unread: false,
            not_followed: None,
            diverged: Vec::new(),
            on: BTreeMap::new(),
        }
    }

    fn verdict(&self, origin: &IntakeOrigin, path: &[u8], kind: Kind) -> Verdict {
        let mapping = &self.known.mapping;
        self.verdict_of(mapping.effect(&origin.url_prefix, path, kind))
    }

    fn verdict_of(&self, mapped: Mapped) -> Verdict {
        let (rule, pattern) = match mapped.decided {
            Decided::Rule { index, pattern } => (Some(index), Some(pattern)),
            Decided::BuiltIn => (None, None),
        };
        let assets = match &mapped.effect {
            Effect::Assets(assets) => assets.iter().map(ToString::to_string).collect(),
            Effect::All | Effect::Nothing => Vec::new(),
        };
        Verdict {
            rule: rule.map(|index| index + 1),
            pattern,
            line: rule.and_then(|index| self.lines.get(index).copied().flatten()),
            all: mapped.effect == Effect::All,
            assets,
            refused: mapped.refused.iter().map(ToString::to_string).collect(),
        }
    }

    /// Which indexed files an asset stands for, however it is spelled. Looks at all of them.
    ///
    /// # Errors
    /// When the index can't be read.
    pub fn files_of(&self, state: &Path, asset: &Asset) -> Result<AssetFiles, OriginError> {
        let mut found = AssetFiles::default();
        let canonical = asset.canonical();
        for (name, origin) in &self.known.origins {
            let indexed = origin::remembered(state, &self.id, name, |path, absent| {
                let mapping = &self.known.mapping;
                let mapped = mapping.effect(&origin.url_prefix, path, Kind::Asked);
                let has =
                    |asset| matches!(&mapped.effect, Effect::Assets(all) if all.contains(asset));
                let exactly = has(asset);
                let leads = exactly || has(&canonical);
                if !leads && mapped.decided != Decided::BuiltIn && found.ruled.len() < NAMED {
                    let own = mapping.own(&origin.url_prefix, path);
                    if own.contains(asset) || own.contains(&canonical) {
                        found.ruled.push(Ruled {
                            origin: name.to_string(),
                            path: String::from_utf8_lossy(path).into_owned(),
                            verdict: self.verdict_of(mapped),
                        });
                    }
                    return Ok(());
                }
                if leads && !exactly {
                    found.purged_as = Some(canonical.to_string());
                }
                if leads && found.files.len() < NAMED {
                    let path = String::from_utf8_lossy(path).into_owned();
                    found
                        .absent
                        .extend(absent.map(|since| (path.clone(), since.to_string())));
                    found.files.push((name.to_string(), path));
                } else if leads {
                    found.truncated = true;
                }
                Ok::<(), OriginError>(())
            })?;
            if origin.bucket.is_some() {
                found.buckets.insert(name.to_string());
            }
            if !indexed {
                found.unindexed.push(name.to_string());
            }
        }
        Ok(found)
    }

    /// The assets that a change of a file purges.
    fn assets_of(&self, origin: &IntakeOrigin, path: &[u8]) -> BTreeSet<Asset> {
        let mapping = &self.known.mapping;
        let mapped = mapping.effect(&origin.url_prefix, path, Kind::Asked);
        match mapped.effect {
            Effect::Assets(assets) => assets,
            Effect::All | Effect::Nothing => BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_object_is_explained_by_what_a_bucket_has() {
        assert!(absent("then", false).contains("gone_after"));
        let object = absent("then", true);
        for word in ["gone_after", "files", "filesystem"] {
            assert!(!object.contains(word), "{object}");
        }
        assert!(object.contains("max_loss"), "{object}");
    }
}
