//! systemd's credentials are copies of secrets, made when the unit starts; a reload does not renew them.
//! This reports which are in use, what each is a copy of, and whether that was changed since.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::core::time::Time;
use source::Source;

mod source;

/// Of a secret so much is compared, in bytes.
const LIMIT: u64 = 64 * 1024;

/// The credentials that the configuration uses.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    directory: PathBuf,
    names: Vec<String>,
    sources: BTreeMap<String, Source>,
    /// When the copies that were read were made.
    copied: Vec<Option<Time>>,
}

/// A credential, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name.
    pub name: String,
    /// When systemd made the copy that is in use.
    pub copied: Option<Time>,
    /// The file that it is a copy of, where the unit says so.
    pub source: Option<PathBuf>,
    /// Whether that was changed since; `None` where it can't be seen.
    pub changed: Option<bool>,
}

impl Credentials {
    /// The credentials of these names in systemd's directory, `/run/credentials/UNIT`.
    #[must_use]
    pub fn new(directory: &Path, names: Vec<String>) -> Self {
        let unit = directory.file_name().unwrap_or_default().to_string_lossy();
        let sources = if names.is_empty() {
            BTreeMap::new()
        } else {
            source::of_unit(&unit, Path::new("/"))
        };
        let copied = names.iter().map(|name| copied(&directory.join(name)));
        Self {
            directory: directory.to_owned(),
            copied: copied.collect(),
            names,
            sources,
        }
    }

    /// Each of them, as it is now.
    #[must_use]
    pub fn look(&self) -> Vec<Credential> {
        let look = |name: &String| {
            let copy = self.directory.join(name);
            let copied = copied(&copy);
            let source = self.sources.get(name);
            Credential {
                name: name.clone(),
                copied,
                source: source.map(|source| source.path.clone()),
                changed: source
                    .zip(copied)
                    .and_then(|(source, copied)| source.changed(&copy, copied)),
            }
        };
        self.names.iter().map(look).collect()
    }

    /// Logs after a reload which secrets are still the same copies, where the process can't see whether their
    /// sources were replaced. Where it can see that, there is an alarm.
    pub fn tell_reloaded(&self, before: &Self) {
        let stayed = |of: &Credential| {
            let mut before = before.names.iter().zip(&before.copied);
            before.any(|(name, copied)| *name == of.name && *copied == of.copied)
        };
        let unseen = self.look().into_iter();
        let unseen = unseen.filter(|of| of.changed.is_none() && stayed(of));
        let names: Vec<String> = unseen.map(|of| of.name).collect();
        if !names.is_empty() {
            tracing::warn!(
                credentials = names.join(", "),
                "secrets from systemd are the copies that it made when the unit started, a reload does not renew \
                 them; if one was replaced: systemctl restart edgepurge"
            );
        }
    }
}

impl Credential {
    /// The alarm of one whose source was changed.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        let (true, Some(source)) = (self.changed?, &self.source) else {
            return None;
        };
        let copied = self
            .copied
            .map_or_else(String::new, |at| format!(" at {at}"));
        Some(format!(
            "the secret {} is out of date: {} was changed after systemd had copied it{copied}, and the copy is \
             in use, also after a reload; the old secret counts until: systemctl restart edgepurge",
            self.name,
            source.display()
        ))
    }
}

impl Source {
    /// Whether it was changed after it was copied: by its content, or by its times where that can't be read.
    fn changed(&self, copy: &Path, copied: Time) -> Option<bool> {
        if !self.encrypted
            && let (Ok(source), Ok(copy)) = (read(&self.path), read(copy))
        {
            return Some(!bool::from(source.ct_eq(&copy)));
        }
        let source = fs::metadata(&self.path).ok()?;
        // A directory is copied file by file, and a socket answers anew each time.
        source.is_file().then(|| {
            let written = time(source.mtime(), source.mtime_nsec());
            let put_there = time(source.ctime(), source.ctime_nsec());
            written.max(put_there) > copied
        })
    }
}

/// When a copy was made.
fn copied(copy: &Path) -> Option<Time> {
    let metadata = fs::metadata(copy).ok()?;
    Some(time(metadata.mtime(), metadata.mtime_nsec()))
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Zeroizing::new(Vec::new());
    fs::File::open(path)?
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map(|_| bytes)
}

fn time(seconds: i64, nanoseconds: i64) -> Time {
    let millis = seconds
        .saturating_mul(1_000)
        .saturating_add(nanoseconds / 1_000_000);
    Time::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "deploy_token";

    /// A credential that was copied from a file of this directory.
    fn copied(directory: &Path, encrypted: bool) -> Credentials {
        let source = directory.join("source");
        fs::write(&source, "the old secret").unwrap();
        fs::write(directory.join(NAME), "the old secret").unwrap();
        let source = Source {
            path: source,
            encrypted,
        };
        Credentials {
            directory: directory.to_owned(),
            names: vec![NAME.to_owned()],
            copied: Vec::new(),
            sources: [(NAME.to_owned(), source)].into(),
        }
    }

    #[test]
    fn a_source_with_another_secret_is_an_alarm_that_names_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = copied(directory.path(), false);
        assert_eq!(credentials.look()[0].changed, Some(false));
        // The same bytes, written anew, are no other secret.
        fs::write(directory.path().join("source"), "the old secret").unwrap();
        assert_eq!(credentials.look()[0].alarm(), None);
        fs::write(directory.path().join("source"), "the new secret").unwrap();
        let alarm = credentials.look()[0].alarm().unwrap();
        for word in [NAME, "source", "systemctl restart edgepurge"] {
            assert!(alarm.contains(word), "{alarm}");
        }
        assert!(!alarm.contains("new secret"), "{alarm}");
    }

    #[test]
    fn what_can_t_be_read_is_told_by_its_times_and_what_can_t_be_seen_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = copied(directory.path(), true);
        let source = directory.path().join("source");
        let set = |seconds| {
            let file = fs::File::options().write(true).open(&source).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        };
        let copy = fs::metadata(directory.path().join(NAME)).unwrap();
        set(u64::try_from(copy.mtime()).unwrap() + 60);
        assert_eq!(credentials.look()[0].changed, Some(true));
        fs::remove_file(&source).unwrap();
        assert_eq!(credentials.look()[0].changed, None);
        assert_eq!(credentials.look()[0].alarm(), None);
    }
}
