//! A listing of the whole bucket, merged with the index page by page.

use serde::{Deserialize, Serialize};

use super::BucketOrigin;
use super::compare::{Headers, Known, Listed, Pair, Verdict, judge, merge, same_time};
use super::keys::{Refused, path_of};
use super::storage::Storage;
use super::walker::{Broken, Walker};
use crate::core::time::Time;
use crate::origin::error::OriginError;
use crate::origin::index::{Edit, OriginIndex, Row};
use crate::origin::status::ScanReason;
use crate::origin::tree::ignore::Ignore;
use crate::s3::{Object, Page, S3Error};

/// Rows of the index that are read at once.
const ROWS: usize = 1_000;
/// How often a page is asked for, when the bucket is busy or silent.
const TRIES: u32 = 4;

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

/// The place that a listing has come to.
#[derive(Default)]
struct Walk {
    /// The last key, and whether there was one.
    last: Option<String>,
    /// The path of it: rows up to here were compared.
    after: Vec<u8>,
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
        let mut walk = Walk::default();
        let mut token = None;
        loop {
            let page = self.page(token.as_deref())?;
            let (empty, next) = (page.objects.is_empty(), page.next);
            let listed = self.paths(page.objects, &mut walk)?;
            self.compare(listed, &mut walk, next.is_some(), began)?;
            self.commit()?;
            self.report.publish();
            match next {
                None => break,
                Some(_) if empty => {
                    return Err(malformed("a page is empty and not the last one"));
                }
                more => token = more,
            }
        }
        if !self.complete || self.former.is_some() {
            let scope = serde_json::to_string(&Scope::of(&self.settings)).unwrap_or_default();
            self.write(|index| index.set_indexed(&scope))?;
            (self.complete, self.former) = (true, None);
        }
        self.judge_absent(accept_loss)
    }

    /// A page, asked for again while the bucket is busy.
    fn page(&mut self, token: Option<&str>) -> Result<Page, Broken> {
        let mut wait = self.waits.busy;
        for _ in 1..TRIES {
            self.report.called(1);
            match self.storage.page(token) {
                Err(Broken::Storage(error)) if error.is_passing() => {}
                answer => return answer,
            }
            if !self.committer.inbox.pause(wait) {
                return Err(Broken::Stopping);
            }
            wait *= 2;
        }
        self.report.called(1);
        self.storage.page(token)
    }

    /// The objects of a page by their paths, without those that are refused or ignored.
    fn paths(&mut self, objects: Vec<Object>, walk: &mut Walk) -> Result<Vec<Listed>, Broken> {
        let mut listed = Vec::with_capacity(objects.len());
        for object in objects {
            if walk.last.as_ref().is_some_and(|last| *last >= object.key) {
                return Err(malformed("its keys are not in the order of their bytes"));
            }
            walk.last = Some(object.key.clone());
            match path_of(self.storage.prefix(), &object.key) {
                Ok(path) if self.ignore.matches(path, false) => {}
                Ok(path) => {
                    let path = path.to_vec();
                    self.report.count_object();
                    listed.push(Listed { path, object });
                }
                Err(Refused::Foreign) => {
                    return Err(malformed("it has keys without the prefix"));
                }
                Err(Refused::Slashes | Refused::Dots) => self.report.refuse(&object.key),
            }
        }
        Ok(listed)
    }

    /// Compares the objects of a page with the rows of the same range; `more`: it is not the last one.
    fn compare(
        &mut self,
        mut listed: Vec<Listed>,
        walk: &mut Walk,
        more: bool,
        began: Time,
    ) -> Result<(), Broken> {
        let prefix = self.storage.prefix().len();
        let last = walk.last.as_ref().filter(|_| more);
        let until = last.map(|key| key.as_bytes()[prefix..].to_vec());
        let mut asks = Vec::new();
        loop {
            let rows = self.index();
            let rows = rows.rows_after(&walk.after, until.as_deref(), ROWS)?;
            let end = match rows.last() {
                Some(row) if rows.len() == ROWS => Some(row.path.clone()),
                _ => None,
            };
            let rest = match &end {
                Some(end) => listed.split_off(listed.partition_point(|one| one.path <= *end)),
                None => Vec::new(),
            };
            for pair in merge(rows, listed) {
                asks.extend(self.look(pair, began)?);
            }
            listed = rest;
            match end {
                Some(end) => walk.after = end,
                None => break,
            }
        }
        walk.after = until.unwrap_or_default();
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

fn malformed(why: &str) -> Broken {
    Broken::Storage(S3Error::Malformed(why.to_owned()))
}
