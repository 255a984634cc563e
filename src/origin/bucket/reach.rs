//! Whether a bucket can be listed and read with its key: for `check`, which remembers nothing.

use super::BucketOrigin;
use crate::clock::Clock;
use crate::origin::error::OriginError;
use crate::s3::{Bucket, Position, S3Error};

/// How a bucket answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Whether it has objects, so that the right to read one was tried.
    pub objects: bool,
    /// How far the server's clock is ahead of this machine's, in seconds; 0 where that is less than a minute.
    pub skew_s: i64,
}

/// Lists one page of a bucket, and asks for the headers of its first object.
///
/// # Errors
/// What is refused, or does not answer.
pub async fn reach(settings: &BucketOrigin, clock: Clock) -> Result<Reach, OriginError> {
    let bucket = Bucket::new(settings.bucket.clone(), clock)?;
    let unlisted = |error| OriginError::Unlisted {
        bucket: settings.bucket.name.clone(),
        error,
    };
    let page = match bucket.page(&Position::Start).await {
        // The clock of the server is known now.
        Err(S3Error::Busy(_)) if bucket.skew_s() != 0 => bucket.page(&Position::Start).await,
        page => page,
    };
    let first = page.map_err(unlisted)?.objects.into_iter().next();
    let objects = first.is_some();
    if let Some(object) = first {
        let heads = bucket.heads(&[object.key]).await;
        for head in heads {
            // It may have been deleted meanwhile.
            if let Err(error) = head
                && error != S3Error::Missing
            {
                return Err(unlisted(error));
            }
        }
    }
    Ok(Reach {
        objects,
        skew_s: bucket.skew_s(),
    })
}
