//! What the walker asks of a bucket, on its own thread.

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::tries::Answer;
use super::walker::Broken;
use crate::core::website::Website;
use crate::s3::{Bucket, Head, Page, Position};

/// A bucket, asked from a thread that waits for the answer.
pub(in crate::origin) trait Storage {
    /// What the keys begin with that are listed.
    fn prefix(&self) -> &str;

    /// Pages of listings, each at the place of its position.
    ///
    /// # Errors
    /// That the process is stopping.
    fn pages(&self, positions: &[Position]) -> Result<Vec<Answer<Page>>, Broken>;

    /// The website configuration; `None`: the bucket is no website.
    ///
    /// # Errors
    /// Why it is not known, or that the process is stopping.
    fn website(&self) -> Result<Option<Website>, Broken>;

    /// The headers of objects, each answer at the place of its key.
    ///
    /// # Errors
    /// That the process is stopping.
    fn heads(&self, keys: &[String]) -> Result<Vec<Answer<Head>>, Broken>;
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

    fn pages(&self, positions: &[Position]) -> Result<Vec<Answer<Page>>, Broken> {
        self.drive(self.bucket.pages(positions))
    }

    fn website(&self) -> Result<Option<Website>, Broken> {
        let website = self.drive(self.bucket.website())?;
        website.map_err(Broken::Storage)
    }

    fn heads(&self, keys: &[String]) -> Result<Vec<Answer<Head>>, Broken> {
        self.drive(self.bucket.heads(keys))
    }
}
