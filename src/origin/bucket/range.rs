//! A range of the keys of a listing: takes its pages in order, and brings their objects together with the rows
//! of the index.

use std::mem;

use super::compare::{Listed, Pair, merge};
use super::keys::{Refused, path_of};
use crate::origin::index::{IndexError, OriginIndex};
use crate::origin::tree::ignore::Ignore;
use crate::s3::{Page, Position, S3Error};

/// Rows of the index that are read at once.
const ROWS: usize = 1_000;
/// Ranges that are listed at once.
const AT_ONCE: u64 = 4;

/// In how many ranges so many objects are listed, of which each has `least` objects at least.
pub(super) fn ranges(objects: u64, least: u64) -> u64 {
    (objects / least.max(1)).clamp(1, AT_ONCE)
}

/// A range, and the place that its listing has come to.
#[derive(Debug)]
pub(super) struct Range {
    /// Where the next page begins; `None`: there is none.
    next: Option<Position>,
    /// The last key that was listed, or that it begins after.
    last: Option<String>,
    /// The last key of it; `None`: it goes to the end of the bucket.
    end: Option<String>,
    /// Rows up to here were compared.
    after: Vec<u8>,
    /// What is to be compared of the page that was taken.
    page: Option<Taken>,
}

/// What is left of a page.
#[derive(Debug)]
struct Taken {
    listed: Vec<Listed>,
    /// The last path of its rows; `None`: there is no last one.
    until: Option<Vec<u8>>,
}

/// Why a page is none.
pub(super) fn malformed(why: &str) -> S3Error {
    S3Error::Malformed(why.to_owned())
}

impl Range {
    /// All keys.
    pub(super) const fn whole() -> Self {
        Self {
            next: Some(Position::Start),
            last: None,
            end: None,
            after: Vec::new(),
            page: None,
        }
    }

    /// All keys, in ranges of about the same number of objects, but not less than `least`, by what the index
    /// has.
    pub(super) fn split(
        index: &OriginIndex,
        prefix: &str,
        least: u64,
    ) -> Result<Vec<Self>, IndexError> {
        let files = index.files()?;
        let count = ranges(files, least);
        let mut ranges = vec![Self::whole()];
        for nth in 1..count {
            let Some(after) = index.nth(files * nth / count)? else {
                break;
            };
            // A path that is no UTF-8 is of a file that was here before.
            let Ok(path) = str::from_utf8(&after) else {
                continue;
            };
            let key = format!("{prefix}{path}");
            if let Some(before) = ranges.last_mut() {
                before.end = Some(key.clone());
            }
            ranges.push(Self {
                next: Some(Position::After(key.clone())),
                last: Some(key),
                after,
                ..Self::whole()
            });
        }
        Ok(ranges)
    }

    /// Which page comes next; `None`: it is listed to its end.
    pub(super) const fn next(&self) -> Option<&Position> {
        self.next.as_ref()
    }

    /// Whether the server knows nothing of ranges: its first page begins before this one.
    pub(super) fn is_passed_over(&self, page: &Page) -> bool {
        let first = page.objects.first().map(|object| &object.key);
        matches!(&self.next, Some(Position::After(start)) if first.is_some_and(|key| key <= start))
    }

    /// Takes the page that comes next, and returns the keys of it that are no paths.
    pub(super) fn take(
        &mut self,
        page: Page,
        prefix: &str,
        ignore: &Ignore,
    ) -> Result<Vec<String>, S3Error> {
        if page.objects.is_empty() && page.next.is_some() {
            return Err(malformed("a page is empty and not the last one"));
        }
        self.next = page.next.map(Position::Token);
        let (mut listed, mut refused) = (Vec::with_capacity(page.objects.len()), Vec::new());
        for object in page.objects {
            if self.last.as_ref().is_some_and(|last| *last >= object.key) {
                return Err(malformed("its keys are not in the order of their bytes"));
            }
            if self.end.as_ref().is_some_and(|end| object.key > *end) {
                // The next range has it.
                self.next = None;
                break;
            }
            self.last = Some(object.key.clone());
            match path_of(prefix, &object.key) {
                Ok(path) if ignore.matches(path, false) => {}
                Ok(path) => {
                    let path = path.to_vec();
                    listed.push(Listed { path, object });
                }
                Err(Refused::Foreign) => return Err(malformed("it has keys without the prefix")),
                Err(Refused::Slashes | Refused::Dots) => refused.push(object.key),
            }
        }
        let last = match self.next {
            Some(_) => self.last.as_ref(),
            None => self.end.as_ref(),
        };
        let until = last.map(|key| key.as_bytes()[prefix.len()..].to_vec());
        self.page = Some(Taken { listed, until });
        Ok(refused)
    }

    /// Some pairs of the page that was taken; `None`: that was all.
    pub(super) fn pairs(&mut self, index: &OriginIndex) -> Result<Option<Vec<Pair>>, IndexError> {
        let Some(page) = &mut self.page else {
            return Ok(None);
        };
        let rows = index.rows_after(&self.after, page.until.as_deref(), ROWS)?;
        let listed = match rows.last() {
            Some(row) if rows.len() == ROWS => {
                let end = &row.path;
                let rest = page.listed.partition_point(|one| one.path <= *end);
                let rest = page.listed.split_off(rest);
                self.after.clone_from(end);
                mem::replace(&mut page.listed, rest)
            }
            _ => {
                self.after = page.until.take().unwrap_or_default();
                mem::take(&mut self.page).map_or_else(Vec::new, |page| page.listed)
            }
        };
        Ok(Some(merge(rows, listed)))
    }
}
