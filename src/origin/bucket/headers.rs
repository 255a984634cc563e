//! The headers of objects: asked for at a bounded pace, and read in the background for what is new, so that an
//! object that is written again with the same bytes can be compared.

use std::time::Duration;

use super::compare::{Headers, Known, Verdict, judge, same_time};
use super::storage::Storage;
use super::tries::ask;
use super::walker::{Broken, Walker};
use crate::core::change::Kind;
use crate::core::time::Time;
use crate::origin::index::Row;
use crate::s3::{Head, S3Error};

/// Objects asked for together.
pub(super) const BATCH: u32 = 100;
/// Objects whose headers are remembered in memory, until they are settled.
const UNSETTLED: usize = 10_000;
/// After this, headers are read again that might still have changed behind the same time.
const YOUNG: Duration = Duration::from_secs(2);
/// The wait after headers could not be read.
const AGAIN: Duration = Duration::from_mins(1);

impl<S: Storage> Walker<S> {
    /// The headers of objects, each at the place of its path; `None`: the bucket says that it has no such object.
    pub(super) fn heads(&mut self, paths: &[&[u8]]) -> Result<Vec<Option<Head>>, Broken> {
        let mut heads = Vec::with_capacity(paths.len());
        for paths in paths.chunks(BATCH as usize) {
            let wait = self.paced.since(self.clock.now());
            if !self.committer.inbox.pause(wait) {
                return Err(Broken::Stopping);
            }
            let took = self.pace.object * u32::try_from(paths.len()).unwrap_or(BATCH);
            self.paced = self.clock.now().after(took);
            let prefix = self.storage.prefix();
            let keys = paths.iter().map(|path| {
                // A path that is no UTF-8 is of a file that was here before; no bucket has such a key.
                format!("{prefix}{}", String::from_utf8_lossy(path))
            });
            let keys: Vec<String> = keys.collect();
            heads.append(&mut self.ask_for(&keys)?);
        }
        Ok(heads)
    }

    fn ask_for(&mut self, keys: &[String]) -> Result<Vec<Option<Head>>, Broken> {
        let (storage, inbox) = (&self.storage, &self.committer.inbox);
        let report = &mut self.report;
        let pause = |wait| inbox.pause(wait);
        let heads = ask(keys, self.pace.busy, pause, |keys| {
            report.called(keys.len() as u64);
            storage.heads(keys)
        })?;
        let heads = heads.into_iter().map(|head| match head {
            Ok(head) => Ok(Some(head)),
            Err(S3Error::Missing) => Ok(None),
            Err(error) => Err(Broken::Storage(error)),
        });
        heads.collect()
    }

    /// Reads the headers of some objects whose headers are not known.
    pub(super) fn read_headers(&mut self, now: Time) -> Result<(), Broken> {
        let rows = self.index().some_unread(&self.headers_after, BATCH)?;
        let Some(last) = rows.last() else {
            self.headers_after.clear();
            self.count()?;
            // What is left without being young is gone, or can't be read: the next listing says more.
            self.headers_at = std::mem::take(&mut self.young).then(|| now.after(YOUNG));
            return Ok(());
        };
        let after = last.path.clone();
        let paths: Vec<&[u8]> = rows.iter().map(|row| row.path.as_slice()).collect();
        match self.heads(&paths) {
            Ok(heads) => {
                for (row, head) in rows.iter().zip(heads) {
                    self.learn(row, head)?;
                }
                self.commit()?;
                self.headers_after = after;
                self.headers_at = Some(now);
            }
            Err(Broken::Storage(error)) => {
                tracing::warn!(origin = %self.settings.name, "headers can't be read: {error}");
                self.report.set_trouble(&error);
                self.headers_after.clear();
                self.headers_at = Some(now.after(AGAIN));
            }
            Err(end) => return Err(end),
        }
        let unread = self.index().count_unread()?;
        self.report.set_unread(unread);
        Ok(())
    }

    fn learn(&mut self, row: &Row, head: Option<Head>) -> Result<(), Broken> {
        // What is gone is found by the next listing.
        let Some(head) = head else { return Ok(()) };
        let headers = Headers::of(&head);
        let known = Known::read(&row.entry);
        let mut now = Known::of(&head.object).with(Some(headers));
        if same_time(known.modified_ns, now.modified_ns) {
            // That of a listing is the finer one.
            now.modified_ns = known.modified_ns;
        }
        let verdict = self.judge_read(&row.path, Some(&known), &now, headers);
        self.young |= verdict == Verdict::Later;
        self.take(&row.path, Some(row), now, verdict)
    }

    /// Judges an object whose headers were read. Those that were read before and could still change behind the same
    /// time are compared too.
    pub(super) fn judge_read(
        &mut self,
        path: &[u8],
        known: Option<&Known>,
        now: &Known,
        headers: Headers,
    ) -> Verdict {
        let mut verdict = judge(known, now, Some(headers));
        let former = self.unsettled.remove(path);
        if matches!(verdict, Verdict::Later | Verdict::Remember)
            && former.is_some_and(|former| former != headers.digest)
        {
            verdict = Verdict::Purge(Kind::Changed);
        }
        let may_change = matches!(verdict, Verdict::Later | Verdict::Purge(_));
        if may_change && !headers.settled && self.unsettled.len() < UNSETTLED {
            self.unsettled.insert(path.to_vec(), headers.digest);
        }
        verdict
    }
}
