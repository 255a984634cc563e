//! The certificate at work, and its renewal: who renews a certificate does not say so, hence its files are
//! looked at. While they can't be read the certificate of before stays, and `status` has why.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::core::time::Time;
use crate::webhook::tls::{Certificate, CertificateFacts};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Reads the files; an error says which file, why, and what to do.
pub type CertificateReader = Box<dyn Fn() -> Result<Certificate, String> + Send + Sync>;

/// The listener's certificate, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The one at work.
    #[serde(flatten)]
    pub facts: CertificateFacts,
    /// Why it is not that of the files, where they can't be read.
    #[serde(default)]
    pub failure: Option<String>,
}

impl CertificateStatus {
    /// What an operator should act on.
    #[must_use]
    pub fn alarm(&self, now: Time) -> Option<String> {
        let (facts, validity) = (&self.facts, self.facts.validity(now));
        match &self.failure {
            Some(why) => Some(format!(
                "the webhook listener can't take its certificate from the files, and keeps the one of before \
                 ({facts}; {validity}): {why}"
            )),
            None => facts
                .is_due(now)
                .then(|| format!("the certificate of the webhook listener ({facts}): {validity}")),
        }
    }
}

/// Identifies the content of a file without reading it: device, inode, and ctime.
type Mark = Option<(u64, u64, i64, i64)>;

fn mark(file: &Path) -> Mark {
    let of = fs::metadata(file).ok()?;
    Some((of.dev(), of.ino(), of.ctime(), of.ctime_nsec()))
}

/// The certificate at work, and the files that it comes from.
pub struct CurrentCertificate {
    files: [PathBuf; 2],
    read: CertificateReader,
    state: Mutex<State>,
}

struct State {
    certificate: Certificate,
    /// The files as they were when it was read.
    taken: [Mark; 2],
    /// The files as they were at the last look.
    seen: [Mark; 2],
    failure: Option<String>,
}

impl std::fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CurrentCertificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl CurrentCertificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// As the reader.
    pub fn open(files: [PathBuf; 2], read: CertificateReader) -> Result<Self, String> {
        let taken = files.each_ref().map(|file| mark(file));
        let state = State {
            certificate: read()?,
            taken,
            seen: taken,
            failure: None,
        };
        Ok(Self {
            files,
            read,
            state: Mutex::new(state),
        })
    }

    /// As `status` shows it.
    pub(super) fn status(&self) -> CertificateStatus {
        let state = self.lock();
        CertificateStatus {
            facts: state.certificate.facts.clone(),
            failure: state.failure.clone(),
        }
    }

    /// What the next connection is accepted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.lock().certificate.server))
    }

    /// Looks at the files until everything stops.
    pub(super) async fn renew(self: Arc<Self>, clock: Clock, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let current = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || current.look(clock.now())).await;
            if let Err(error) = looked {
                tracing::error!("the files of the certificate can't be looked at: {error}");
            }
        }
    }

    /// Takes the certificate of the files, if they were changed.
    fn look(&self, now: Time) {
        // Before they are read, so that what is written meanwhile is another content at the next look.
        let marks = self.files.each_ref().map(|file| mark(file));
        if self.lock().taken == marks {
            return;
        }
        let read = (self.read)();
        let mut state = self.lock();
        match read {
            Ok(certificate) => {
                let facts = &certificate.facts;
                let validity = facts.validity(now);
                tracing::info!(
                    "the certificate of the webhook listener is read again: {facts}; {validity}"
                );
                state.certificate = certificate;
                state.taken = marks;
                state.failure = None;
            }
            // The two files are written one after the other: they have until the next look to fit.
            Err(why) if state.seen == marks => state.failure = Some(why),
            Err(_) => {}
        }
        state.seen = marks;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::tls::tests::made;

    #[test]
    fn two_files_that_are_written_one_after_the_other_are_no_failure() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["certificate", "key"].map(|name| directory.path().join(name));
        let [old, new] =
            ["20300101000000Z", "20310101000000Z"].map(|until| made("20260101000000Z", until).pem);
        let write = |at: usize, text: &str| {
            // A new file each time, as who renews a certificate leaves it.
            fs::write(directory.path().join("new"), text).unwrap();
            fs::rename(directory.path().join("new"), &files[at]).unwrap();
        };
        write(0, &old);
        write(1, &old);
        let [chain, key] = files.clone();
        let read = move || {
            let [chain, key] =
                [&chain, &key].map(|file| fs::read_to_string(file).unwrap_or_default());
            Certificate::from_pem(&chain, &key).map_err(|error| error.to_string())
        };
        let current = CurrentCertificate::open(files.clone(), Box::new(read)).unwrap();
        let looked = || {
            current.look(Time::ZERO);
            let status = current.status();
            let year: String = status
                .facts
                .valid_until
                .to_string()
                .chars()
                .take(4)
                .collect();
            (year, status.failure)
        };
        let at_work = |year: &str| (year.to_owned(), None);
        assert_eq!(looked(), at_work("2030"));
        write(0, &new);
        assert_eq!(looked(), at_work("2030"), "its key is about to come");
        let failed = Some("holds the key of another certificate".to_owned());
        assert_eq!(
            looked(),
            ("2030".to_owned(), failed.clone()),
            "it has not come"
        );
        write(1, &new);
        assert_eq!(looked(), at_work("2031"));
        fs::remove_file(&files[1]).unwrap();
        assert_eq!(looked(), at_work("2031"));
        assert!(looked().1.is_some(), "it is gone");
        write(1, &old);
        assert!(
            looked().1.is_some(),
            "once it is known, it stays so until both fit"
        );
        write(0, &old);
        assert_eq!(looked(), at_work("2030"));
    }

    #[test]
    fn the_alarm_says_what_is_shown_until_when() {
        let facts = CertificateFacts {
            names: vec!["purge.example.com".to_owned()],
            valid_from: Time::ZERO,
            valid_until: Time::ZERO.after(Duration::from_hours(90 * 24)),
        };
        let mut status = CertificateStatus {
            facts,
            failure: None,
        };
        let at = |days: u64| Time::ZERO.after(Duration::from_hours(days * 24));
        assert_eq!(status.alarm(at(60)), None);
        let soon = "the certificate of the webhook listener (purge.example.com): valid until 1970-04-01, 5 days";
        assert_eq!(status.alarm(at(85)).as_deref(), Some(soon));
        status.failure = Some("key.pem: why; hint: what".to_owned());
        let text = status.alarm(at(60)).unwrap();
        assert!(text.contains("30 days): key.pem: why; hint"), "{text}");
    }
}
