//! A listing of the whole bucket, merged with the index page by page; a large one in several ranges at once.

use serde::{Deserialize, Serialize};

use super::BucketOrigin;
use super::compare::{Headers, Known, Listed, Pair, Verdict, judge, same_time};
use super::range::Range;
use super::storage::Storage;
use super::tries::ask;
use super::walker::{Broken, Walker};
use crate::core::time::Time;
use crate::origin::error::OriginError;
use crate::origin::index::{Edit, OriginIndex, Row};
use crate::origin::status::ScanReason;
use crate::origin::tree::ignore::Ignore;
use crate::s3::{Page, Position, S3Error};

/// Which keys count, as the configuration says. Keys that enter or leave by it are not purged.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Scope {
    ignore: Vec<String>,
}

impl Scope {
    fn of(settings: &BucketOrigin) -> Self {
        Self {
            ignore: settings.ignore.clone(),
        }
    }
}

/// What the index ignores that is complete, where that is not what is ignored now.
pub(super) fn former(
    index: &OriginIndex,
    settings: &BucketOrigin,
) -> Result<Option<Ignore>, OriginError> {
    let scope = index.scope()?;
    let scope = scope.and_then(|text| serde_json::from_str::<Scope>(&text).ok());
    let scope = scope.filter(|scope| *scope != Scope::of(settings));
    let ignore = scope.map(|scope| Ignore::new(&scope.ignore));
    Ok(ignore.transpose()?)
}

impl<S: Storage> Walker<S> {
    /// Lists the bucket, and answers what asked for it. What is found before it breaks off is kept; only a
    /// complete listing finds what is gone.
    pub(super) fn list(&mut self, began: Time) -> Result<(), Broken> {
        let asked = self.requests.iter().map(|request| request.reason).max();
        let reason = asked.unwrap_or(if self.report.is_armed() {
            ScanReason::Poll
        } else {
            ScanReason::Start
        });
        let accept_loss = self.requests.iter().any(|request| request.accept_loss);
        let waiting = self.requests.len();
        self.read_website()?;
        self.detail = reason.as_str().into();
        self.report.begin(reason);
        let sink = std::sync::Arc::clone(&self.committer.sink);
        sink.scanning(&self.settings.pipeline, true);
        let walked = self.walk(began, accept_loss);
        let committed = self.commit();
        sink.scanning(&self.settings.pipeline, false);
        self.report.end();
        committed?;
        walked?;
        self.count()?;
        let held = self.guard.is_holding();
        let summary = self.report.summary(reason, held, began, self.clock.now());
        if let Some(observer) = &self.settings.observer {
            observer.scanned(summary.ended.since(began));
        }
        self.report.publish();
        for request in self.requests.drain(..waiting) {
            // What has given up needs no answer.
            request.answer.send(summary).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads how the bucket is served, for the status. That it can't be read hinders no listing.
    fn read_website(&mut self) -> Result<(), Broken> {
        self.report.called(1);
        match self.storage.website() {
            Ok(website) => self.report.set_website(website),
            Err(Broken::Storage(error)) => self.report.set_website_trouble(&error),
            Err(end) => return Err(end),
        }
        Ok(())
    }

    fn walk(&mut self, began: Time, accept_loss: bool) -> Result<(), Broken> {
        let least = self.pace.range;
        let mut ranges = Range::split(self.index(), self.storage.prefix(), least)?;
        loop {
            let next = ranges.iter().filter_map(Range::next);
            let next: Vec<Position> = next.cloned().collect();
            if next.is_empty() {
                break;
            }
            let pages = self.pages(&next)?;
            let mut open: Vec<&mut Range> = ranges.iter_mut().collect();
            open.retain(|range| range.next().is_some());
            if { open.iter().zip(&pages) }.any(|(range, page)| range.is_passed_over(page)) {
                self.pace.range = u64::MAX;
                return self.walk(began, accept_loss);
            }
            for (range, page) in open.into_iter().zip(pages) {
                self.compare(range, page, began)?;
            }
            self.commit()?;
            self.report.publish();
        }
        if !self.complete || self.former.is_some() {
            let scope = serde_json::to_string(&Scope::of(&self.settings)).unwrap_or_default();
            self.write(|index| index.set_indexed(&scope))?;
            (self.complete, self.former) = (true, None);
        }
        self.judge_absent(accept_loss)
    }

    /// The next page of each range.
    fn pages(&mut self, next: &[Position]) -> Result<Vec<Page>, Broken> {
        let (storage, inbox) = (&self.storage, &self.committer.inbox);
        let report = &mut self.report;
        let pause = |wait| inbox.pause(wait);
        let pages = ask(next, self.pace.busy, pause, |next| {
            report.called(next.len() as u64);
            storage.pages(next)
        })?;
        let pages: Result<_, S3Error> = pages.into_iter().collect();
        pages.map_err(Broken::Storage)
    }

    /// Compares the objects of a page with the rows of the same range.
    fn compare(&mut self, range: &mut Range, page: Page, began: Time) -> Result<(), Broken> {
        let refused = range.take(page, self.storage.prefix(), &self.ignore);
        for key in refused.map_err(Broken::Storage)? {
            self.report.refuse(&key);
        }
        let mut asks = Vec::new();
        while let Some(pairs) = range.pairs(self.index())? {
            for pair in pairs {
                asks.extend(self.look(pair, began)?);
            }
        }
        self.ask(asks)
    }

    /// Takes what a listing says of a path; returns it where the headers decide.
    fn look(&mut self, pair: Pair, began: Time) -> Result<Option<(Row, Listed)>, Broken> {
        match (pair.row, pair.listed) {
            (Some(row), None) => {
                self.miss(&row, began)?;
                Ok(None)
            }
            (row, Some(listed)) => {
                self.report.count_object();
                let known = row.as_ref().map(|row| Known::read(&row.entry));
                let now = Known::of(&listed.object);
                let verdict = judge(known.as_ref(), &now, None);
                if verdict == Verdict::Ask {
                    return Ok(row.map(|row| (row, listed)));
                }
                self.take(&listed.path, row.as_ref(), now, verdict)?;
                Ok(None)
            }
            (None, None) => Ok(None),
        }
    }

    /// A row whose object the listing lacks: it waits for the end of the listing.
    fn miss(&mut self, row: &Row, began: Time) -> Result<(), Broken> {
        if self.ignore.matches(&row.path, false) {
            self.batch.add(Edit::new(&row.path, Some(row), None), None);
        } else if row.entry.absent.is_none() {
            let mut entry = row.entry.clone();
            entry.absent = Some(began);
            let edit = Edit::new(&row.path, Some(row), Some(entry));
            self.batch.add(edit, None);
            self.guard.missed(began);
        }
        self.commit_if_full()
    }

    /// Asks for the headers of objects that were written again with the same bytes.
    fn ask(&mut self, asks: Vec<(Row, Listed)>) -> Result<(), Broken> {
        if asks.is_empty() {
            return Ok(());
        }
        let paths: Vec<&[u8]> = asks.iter().map(|(_, one)| one.path.as_slice()).collect();
        let heads = self.heads(&paths)?;
        for ((row, listed), head) in asks.into_iter().zip(heads) {
            // What went since then is found by the next listing.
            let Some(head) = head else { continue };
            let headers = Headers::of(&head);
            // Its time is the finer one.
            let same = head.object.etag == listed.object.etag
                && same_time(head.object.modified_ns, listed.object.modified_ns);
            let object = if same { &listed.object } else { &head.object };
            let known = Known::read(&row.entry);
            let now = Known::of(object).with(Some(headers));
            let verdict = judge(Some(&known), &now, Some(headers));
            if verdict == Verdict::Remember {
                self.report.count_unchanged();
            }
            self.take(&listed.path, Some(&row), now, verdict)?;
        }
        Ok(())
    }
}
