//! What differs between a bucket and its index now: a listing that remembers nothing, queues nothing, and works
//! with or without a running daemon.

use std::path::{Path, PathBuf};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::BucketOrigin;
use super::compare::{Headers, Known, Listed, Pair, Verdict, judge};
use super::headers::BATCH;
use super::range::Range;
use super::storage::{Remote, Storage};
use super::tries::ask;
use super::walker::{Broken, Pace};
use crate::clock::Clock;
use crate::core::change::Kind;
use crate::origin::error::OriginError;
use crate::origin::index::{Index, OriginIndex, Row};
use crate::origin::queries::Difference;
use crate::origin::tree::ignore::Ignore;
use crate::s3::{Bucket, Head, Position, S3Error};

/// Compares a bucket with its index in a state directory, and hands over each difference, in the order of the paths.
/// Returns how many objects there are. Blocks.
///
/// # Errors
/// When there is no complete index yet, it can't be read, or the bucket can't be; and what `tell` fails with.
pub fn bucket_differences<E: From<OriginError>>(
    settings: &BucketOrigin,
    state_dir: &Path,
    clock: Clock,
    runtime: Handle,
    tell: impl FnMut(Difference) -> Result<(), E>,
) -> Result<u64, E> {
    let index = Index::read_of(state_dir, &settings.pipeline, &settings.name);
    let index = index.map_err(OriginError::from)?;
    let bucket = &settings.bucket;
    let not_indexed = || OriginError::NotIndexed(PathBuf::from(&bucket.name));
    let comparison = Comparison {
        storage: Remote {
            bucket: Bucket::new(bucket.clone(), clock).map_err(OriginError::from)?,
            runtime: runtime.clone(),
            // The command ends when its process does.
            stopping: CancellationToken::new(),
        },
        index: index.ok_or_else(not_indexed)?,
        ignore: Ignore::new(&settings.ignore).map_err(OriginError::from)?,
        name: &bucket.name,
        runtime,
        pace: Pace::default(),
    };
    comparison.run(tell)
}

struct Comparison<'a, S> {
    storage: S,
    index: OriginIndex,
    ignore: Ignore,
    /// The bucket's name.
    name: &'a str,
    runtime: Handle,
    pace: Pace,
}

/// What only the headers of an object tell apart: it was written again, or the listing lacks it.
type Open = (Row, Option<Listed>);

impl<S: Storage> Comparison<'_, S> {
    fn run<E: From<OriginError>>(
        &self,
        mut tell: impl FnMut(Difference) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut range = Range::whole();
        let mut objects = 0;
        while let Some(next) = range.next().cloned() {
            self.page(&mut range, next)?;
            while let Some(pairs) = range.pairs(&self.index).map_err(OriginError::from)? {
                objects += pairs.iter().filter(|pair| pair.listed.is_some()).count() as u64;
                for difference in self.differences(pairs)? {
                    tell(difference)?;
                }
            }
        }
        Ok(objects)
    }

    /// Takes the next page.
    fn page(&self, range: &mut Range, next: Position) -> Result<(), OriginError> {
        for page in self.ask(&[next], |next| self.storage.pages(next))? {
            let taken = page.and_then(|page| range.take(page, self.storage.prefix(), &self.ignore));
            taken.map_err(|error| self.unlisted(error))?;
        }
        Ok(())
    }

    fn differences(&self, pairs: Vec<Pair>) -> Result<Vec<Difference>, OriginError> {
        let (mut found, mut open) = (Vec::new(), Vec::new());
        for Pair { row, listed } in pairs {
            let Some(listed) = listed else {
                open.extend(row.map(|row| (row, None)));
                continue;
            };
            let known = row.as_ref().map(|row| Known::read(&row.entry));
            match (judge(known.as_ref(), &Known::of(&listed.object), None), row) {
                (Verdict::Purge(kind), _) => found.push(Difference {
                    kind,
                    path: listed.path,
                }),
                (Verdict::Ask, Some(row)) => open.push((row, Some(listed))),
                _ => {}
            }
        }
        open.retain(|(row, _)| !self.ignore.matches(&row.path, false));
        for open in open.chunks(BATCH as usize) {
            self.by_headers(open, &mut found)?;
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn by_headers(&self, open: &[Open], found: &mut Vec<Difference>) -> Result<(), OriginError> {
        let prefix = self.storage.prefix();
        let key = |(row, _): &Open| format!("{prefix}{}", String::from_utf8_lossy(&row.path));
        let keys: Vec<String> = open.iter().map(key).collect();
        let heads = self.ask(&keys, |keys| self.storage.heads(keys))?;
        for ((row, listed), head) in open.iter().zip(heads) {
            let kind = match head {
                Ok(head) => kind_of(row, listed.as_ref(), &head),
                Err(S3Error::Missing) => Some(Kind::Gone),
                Err(error) => return Err(self.unlisted(error)),
            };
            found.extend(kind.map(|kind| Difference {
                kind,
                path: row.path.clone(),
            }));
        }
        Ok(())
    }

    fn ask<A: Clone, T>(
        &self,
        questions: &[A],
        call: impl FnMut(&[A]) -> Result<Vec<Result<T, S3Error>>, Broken>,
    ) -> Result<Vec<Result<T, S3Error>>, OriginError> {
        let pause = |wait| {
            self.runtime.block_on(tokio::time::sleep(wait));
            true
        };
        ask(questions, self.pace.busy, pause, call).map_err(|broken| match broken {
            Broken::Index(error) => error.into(),
            Broken::Storage(error) => self.unlisted(error),
            Broken::Stopping => self.unlisted(S3Error::Unreachable("it was stopped".to_owned())),
        })
    }

    fn unlisted(&self, error: S3Error) -> OriginError {
        OriginError::Unlisted {
            bucket: self.name.to_owned(),
            error,
        }
    }
}

/// What it means that the headers of an object are these; `listed`: as the listing has it.
fn kind_of(row: &Row, listed: Option<&Listed>, head: &Head) -> Option<Kind> {
    let headers = Headers::of(head);
    let object = listed.map_or(&head.object, |listed| &listed.object);
    let now = Known::of(object).with(Some(headers));
    match judge(Some(&Known::read(&row.entry)), &now, Some(headers)) {
        Verdict::Purge(kind) => Some(kind),
        _ => None,
    }
}
