//! What the walker asks of a bucket, on its own thread.

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::walker::Broken;
use crate::core::website::Website;
use crate::s3::{Bucket, Head, Page, S3Error};

/// A bucket, asked from a thread that waits for the answer.
pub(in crate::origin) trait Storage {
    /// What the keys begin with that are listed.
    fn prefix(&self) -> &str;

    /// The page that `token` stands for; `None`: the first.
    ///
    /// # Errors
    /// Why there is none, or that the process is stopping.
    fn page(&self, token: Option<&str>) -> Result<Page, Broken>;

    /// The website configuration; `None`: the bucket is no website.
    ///
    /// # Errors
    /// Why it is not known, or that the process is stopping.
    fn website(&self) -> Result<Option<Website>, Broken>;

    /// The headers of objects, each answer at the place of its key.
    ///
    /// # Errors
    /// That the process is stopping.
    fn heads(&self, keys: &[String]) -> Result<Vec<Result<Head, S3Error>>, Broken>;
}

/// A bucket behind the network.
#[derive(Debug)]
pub(in crate::origin) struct Remote {
    pub(in crate::origin) bucket: Bucket,
    pub(in crate::origin) runtime: Handle,
    pub(in crate::origin) stopping: CancellationToken,
}

impl Remote {
    fn drive<T>(&self, call: impl Future<Output = T>) -> Result<T, Broken> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => Err(Broken::Stopping),
                answer = call => Ok(answer),
            }
        })
    }
}

impl Storage for Remote {
    fn prefix(&self) -> &str {
        self.bucket.prefix()
    }

    fn page(&self, token: Option<&str>) -> Result<Page, Broken> {
        let page = self.drive(self.bucket.page(token))?;
        page.map_err(Broken::Storage)
    }

    fn website(&self) -> Result<Option<Website>, Broken> {
        let website = self.drive(self.bucket.website())?;
        website.map_err(Broken::Storage)
    }

    fn heads(&self, keys: &[String]) -> Result<Vec<Result<Head, S3Error>>, Broken> {
        self.drive(self.bucket.heads(keys))
    }
}
