//! What a complete listing lacks: gone, where the guard agrees (`core/loss.rs`) and the bucket itself says that
//! it has no such object.

use super::compare::{Headers, Known, judge};
use super::headers::BATCH;
use super::storage::Storage;
use super::walker::{Broken, Walker};
use crate::core::change::Kind;
use crate::core::loss::Verdict;
use crate::core::time::Time;
use crate::origin::index::{Edit, Row};
use crate::origin::status::{Held, shown};
use crate::s3::{Head, S3Error};

impl<S: Storage> Walker<S> {
    /// Judges what the listing that just ended lacks.
    pub(super) fn judge_absent(&mut self, accept_loss: bool) -> Result<(), Broken> {
        let now = self.clock.now();
        // All at once: a listing may take longer than what the guard takes for one moment.
        self.guard.came(std::mem::take(&mut self.came), now);
        if accept_loss {
            self.guard.accept(now);
        } else if let Some(until) = self.guard.held_until() {
            let held = self.index().count_absent_until(until)?;
            self.guard.is_over(held, true, now);
        }
        self.put_back(now)?;
        let (files, absent) = self.index().counts()?;
        let judged = match self.guard.judged_until() {
            Some(until) => self.index().count_absent_until(until)?,
            None => 0,
        };
        let open = absent.saturating_sub(judged);
        if open > 0 {
            self.guard.may_go(files.saturating_sub(absent), open, now);
        }
        let mut after = Vec::new();
        loop {
            let rows = self.index().absent_after(&after, BATCH as usize)?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.path);
            self.confirm(rows, now)?;
        }
        self.commit()?;
        self.count_held()
    }

    /// Asks for some of the objects that are not judged yet, and puts back what the bucket has: a listing that
    /// is not whole is no loss. Where they are more than that, it is broken off and made again.
    fn put_back(&mut self, now: Time) -> Result<(), Broken> {
        let mut some = Vec::new();
        let mut after = Vec::new();
        while some.len() <= BATCH as usize {
            let mut rows = self.index().absent_after(&after, BATCH as usize)?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.path);
            rows.retain(|row| {
                let since = row.entry.absent.unwrap_or(now);
                self.guard.verdict(since, now) == Verdict::Judge
            });
            some.append(&mut rows);
        }
        let more = some.len() > BATCH as usize;
        some.truncate(BATCH as usize);
        let paths: Vec<&[u8]> = some.iter().map(|row| row.path.as_slice()).collect();
        let heads = self.heads(&paths)?;
        let there: Vec<(&Row, Head)> = { some.iter().zip(heads) }
            .filter_map(|(row, head)| Some((row, head?)))
            .collect();
        for (row, head) in &there {
            self.return_to(row, head)?;
        }
        self.commit()?;
        if more && !there.is_empty() {
            let why = "it lacks objects that the bucket has".to_owned();
            return Err(Broken::Storage(S3Error::Malformed(why)));
        }
        Ok(())
    }

    /// Asks for objects that may go; those that the bucket does not have are gone.
    fn confirm(&mut self, mut rows: Vec<Row>, now: Time) -> Result<(), Broken> {
        rows.retain(|row| {
            let since = row.entry.absent.unwrap_or(now);
            self.guard.verdict(since, now) == Verdict::Gone
        });
        let paths: Vec<&[u8]> = rows.iter().map(|row| row.path.as_slice()).collect();
        let heads = self.heads(&paths)?;
        for (row, head) in rows.iter().zip(heads) {
            if let Some(head) = head {
                self.return_to(row, &head)?;
                continue;
            }
            let edit = Edit::new(&row.path, Some(row), None);
            let change = self.change(&row.path, Some(row), None, Kind::Gone);
            self.batch.add(edit, Some(change));
            self.commit_if_full()?;
        }
        Ok(())
    }

    /// An object that the listing lacks and the bucket has: the listing was not whole, or it came meanwhile.
    fn return_to(&mut self, row: &Row, head: &Head) -> Result<(), Broken> {
        self.guard.back(self.clock.now());
        let headers = Headers::of(head);
        let known = Known::read(&row.entry);
        let now = Known::of(&head.object).with(Some(headers));
        let verdict = judge(Some(&known), &now, None);
        self.take(&row.path, Some(row), now, verdict)
    }

    /// Counts what is held, for the status.
    pub(super) fn count_held(&mut self) -> Result<(), Broken> {
        let held = if self.guard.is_holding() {
            let first = self.index().some_absent(1)?.pop();
            Some(Held {
                files: self.index().counts()?.1,
                first: shown(&first.unwrap_or_default()),
                unmounted: None,
            })
        } else {
            None
        };
        self.report.set_held(held);
        Ok(())
    }
}
