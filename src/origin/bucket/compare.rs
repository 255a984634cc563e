//! What an object means beside its row in the index. Pure: no network, no clock, no database.

use crate::core::change::{ContentHash, Kind};
use crate::core::etag;
use crate::core::time::Time;
use crate::origin::index::known::Confidence;
use crate::origin::index::{Entry, Row};
use crate::origin::tree::fingerprint::Stat;
use crate::s3::{Head, Object};

const SECOND: i64 = 1_000_000_000;

/// Headers that were read so soon after the object was written may be followed by others with the same time,
/// which has whole seconds in headers; in nanoseconds. A second more than that, for servers of several machines.
const YOUNG: i64 = 2 * SECOND;

/// An object as the index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// A digest of its `ETag`.
    pub(super) etag: ContentHash,
    /// Its size in bytes.
    pub(super) size: u64,
    /// When it was written, in nanoseconds since the Unix epoch.
    pub(super) modified_ns: i64,
    /// A digest of its headers; `None` until they are read.
    pub(super) headers: Option<i64>,
    /// Since when listings lack it.
    pub(super) absent: Option<Time>,
}

/// The headers of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    /// A digest of them.
    pub(super) digest: i64,
    /// Whether other headers would have another time.
    pub(super) settled: bool,
}

/// What is to be done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as remembered.
    Same,
    /// Its headers say whether it changed: they are to be asked for.
    Ask,
    /// Its headers are to be asked for again later, since they may still change behind the same time.
    Later,
    /// It is to be remembered as it is now, and a cache has it right.
    Remember,
    /// It is to be purged, and remembered as it is now.
    Purge(Kind),
}

/// What it means that an object is as it is now, and was as the row says. `headers`: where they were asked for.
pub(super) fn judge(known: Option<&Known>, object: &Known, headers: Option<Headers>) -> Verdict {
    let Some(known) = known else {
        return Verdict::Purge(Kind::New);
    };
    let same_bytes = known.etag == object.etag && known.size == object.size;
    let same_time = same_time(known.modified_ns, object.modified_ns);
    if known.absent.is_some() && !(same_bytes && same_time) {
        // It was gone and is back: an edge may keep the 404 of the meantime.
        return Verdict::Purge(Kind::New);
    }
    if !same_bytes {
        return Verdict::Purge(Kind::Changed);
    }
    match (known.headers, headers) {
        (Some(old), Some(new)) if old != new.digest => Verdict::Purge(Kind::Changed),
        (None, _) if !same_time => Verdict::Purge(Kind::Changed),
        (Some(_), None) if !same_time => Verdict::Ask,
        (_, Some(new)) if !new.settled => Verdict::Later,
        (None, Some(_)) => Verdict::Remember,
        _ if !same_time || known.absent.is_some() => Verdict::Remember,
        _ => Verdict::Same,
    }
}

/// Whether two times may be the same one: where one of them has whole seconds, only those count.
pub(super) fn same_time(one: i64, other: i64) -> bool {
    let whole = |time: i64| time.rem_euclid(SECOND) == 0;
    one == other
        || ((whole(one) || whole(other)) && one.div_euclid(SECOND) == other.div_euclid(SECOND))
}

impl Headers {
    pub(super) fn of(head: &Head) -> Self {
        // As much of it as a column of the index holds.
        let digest = head.headers.first_chunk().copied().unwrap_or_default();
        Self {
            digest: i64::from_le_bytes(digest),
            settled: head.date_ns.saturating_sub(head.object.modified_ns) >= YOUNG,
        }
    }
}

impl Known {
    /// An object whose headers are not read.
    pub(super) fn of(object: &Object) -> Self {
        Self {
            etag: etag::content(&object.etag),
            size: object.size,
            modified_ns: object.modified_ns,
            headers: None,
            absent: None,
        }
    }

    /// The same with these headers, if they stand.
    pub(super) fn with(self, headers: Option<Headers>) -> Self {
        let headers = headers.filter(|headers| headers.settled);
        Self {
            headers: headers.map(|headers| headers.digest),
            ..self
        }
    }

    /// As a row of the index has it.
    pub(super) fn read(entry: &Entry) -> Self {
        Self {
            // A row without a hash is of a file that was here before: no object is like it.
            etag: entry.hash.unwrap_or_default(),
            size: entry.stat.size,
            modified_ns: entry.stat.mtime_ns,
            headers: (entry.known == Confidence::Surely).then_some(entry.stat.ctime_ns),
            absent: entry.absent,
        }
    }

    /// What the index is to have.
    pub(super) fn entry(self) -> Entry {
        Entry {
            known: match self.headers {
                Some(_) => Confidence::Surely,
                None => Confidence::Unread,
            },
            stat: Stat {
                size: self.size,
                mtime_ns: self.modified_ns,
                ctime_ns: self.headers.unwrap_or_default(),
                links: 1,
                ..Stat::default()
            },
            readable: true,
            hash: Some(self.etag),
            former: None,
            absent: self.absent,
        }
    }
}

/// An object of a listing, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) path: Vec<u8>,
    pub(super) object: Object,
}

/// What is remembered of a path and what is listed of it; one of them at least.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) row: Option<Row>,
    pub(super) listed: Option<Listed>,
}

/// Brings rows and objects together. Both are in the order of their paths, and cover the same range of paths.
pub(super) fn merge(rows: Vec<Row>, listed: Vec<Listed>) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(rows.len().max(listed.len()));
    let mut rows = rows.into_iter().peekable();
    for listed in listed {
        while let Some(row) = rows.next_if(|row| row.path < listed.path) {
            let row = Some(row);
            pairs.push(Pair { row, listed: None });
        }
        pairs.push(Pair {
            row: rows.next_if(|row| row.path == listed.path),
            listed: Some(listed),
        });
    }
    pairs.extend(rows.map(|row| Pair {
        row: Some(row),
        listed: None,
    }));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Known = Known {
        etag: [1; 32],
        size: 7,
        modified_ns: 10 * SECOND,
        headers: Some(5),
        absent: None,
    };

    const fn read(digest: i64, settled: bool) -> Headers {
        Headers { digest, settled }
    }

    #[test]
    fn other_bytes_are_a_change_whatever_the_time() {
        let time = OLD.modified_ns;
        for modified_ns in [time, time - SECOND, time + SECOND] {
            let etag = [2; 32];
            let other = Known {
                etag,
                modified_ns,
                ..OLD
            };
            let verdict = judge(Some(&OLD), &other, None);
            assert_eq!(verdict, Verdict::Purge(Kind::Changed));
        }
        let longer = Known { size: 8, ..OLD };
        let verdict = judge(Some(&OLD), &longer, None);
        assert_eq!(verdict, Verdict::Purge(Kind::Changed));
        assert_eq!(judge(None, &OLD, None), Verdict::Purge(Kind::New));
    }

    #[test]
    fn the_same_bytes_at_another_time_are_a_change_only_with_other_headers() {
        for time in [9 * SECOND, 11 * SECOND] {
            let again = Known {
                modified_ns: time,
                ..OLD
            };
            let judged = |known: &Known, headers| judge(Some(known), &again, headers);
            assert_eq!(judged(&OLD, None), Verdict::Ask);
            assert_eq!(judged(&OLD, Some(read(5, true))), Verdict::Remember);
            assert_eq!(judged(&OLD, Some(read(5, false))), Verdict::Later);
            assert_eq!(
                judged(&OLD, Some(read(6, true))),
                Verdict::Purge(Kind::Changed)
            );
            assert_eq!(
                judged(&OLD, Some(read(6, false))),
                Verdict::Purge(Kind::Changed)
            );
            // Nothing to compare with.
            let unread = Known {
                headers: None,
                ..OLD
            };
            assert_eq!(judged(&unread, None), Verdict::Purge(Kind::Changed));
        }
    }

    #[test]
    fn what_a_listing_lacked_was_missing_only_if_it_was_written_again() {
        let absent = Known {
            absent: Some(Time::from_millis(1)),
            ..OLD
        };
        assert_eq!(judge(Some(&absent), &OLD, None), Verdict::Remember);
        let again = Known {
            modified_ns: 11 * SECOND,
            ..OLD
        };
        let verdict = judge(Some(&absent), &again, None);
        assert_eq!(verdict, Verdict::Purge(Kind::New));
    }

    #[test]
    fn headers_are_learned_when_no_others_can_have_the_same_time() {
        let unread = Known {
            headers: None,
            ..OLD
        };
        assert_eq!(judge(Some(&unread), &OLD, None), Verdict::Same);
        let learned = judge(Some(&unread), &OLD, Some(read(5, true)));
        assert_eq!(learned, Verdict::Remember);
        assert_eq!(
            judge(Some(&unread), &OLD, Some(read(5, false))),
            Verdict::Later
        );
        assert_eq!(OLD.with(Some(read(5, false))).headers, None);
    }

    #[test]
    fn a_time_in_whole_seconds_is_the_same_as_a_finer_one_of_that_second() {
        assert!(same_time(10 * SECOND, 10 * SECOND + 999));
        assert!(same_time(10 * SECOND + 5, 10 * SECOND));
        assert!(!same_time(10 * SECOND + 5, 10 * SECOND + 6));
        assert!(!same_time(10 * SECOND, 11 * SECOND));
    }

    #[test]
    fn an_object_is_remembered_as_it_is() {
        for headers in [None, Some(-3)] {
            let absent = Some(Time::from_millis(4));
            let known = Known {
                headers,
                absent,
                ..OLD
            };
            assert_eq!(Known::read(&known.entry()), known);
        }
    }
}
