//! Why an origin could not be started, or its files not be compared.

use super::index::IndexError;
use super::tree::ignore::PatternError;

/// Why an origin could not be started.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// A pattern is not gitignore syntax: correct the configuration.
    #[error(transparent)]
    Ignore(#[from] PatternError),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// There is nothing to compare with.
    #[error("the origin {} was not indexed yet; start the daemon and wait until `status` says watching", .0.display())]
    NotIndexed(std::path::PathBuf),
    /// The root can't be read.
    #[error("the root {} can't be read: {error}", root.display())]
    Root {
        /// The root.
        root: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A bucket does not give what it is asked for.
    #[error("the bucket {bucket} can't be read: {error}{}", error.remedy())]
    Unlisted {
        /// Its name.
        bucket: String,
        /// Why.
        error: crate::s3::S3Error,
    },
    /// The client of a bucket can't be made.
    #[error(transparent)]
    Bucket(#[from] crate::s3::SetupError),
    /// The system gave no thread: starting again is the cure.
    #[error("the system gave no thread for the origin: {0}")]
    Thread(#[from] std::io::Error),
}

impl OriginError {
    /// Whether the same may work in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unlisted { error, .. } => error.is_passing(),
            Self::NotIndexed(_) | Self::Root { .. } | Self::Thread(_) => true,
            Self::Ignore(_) | Self::Index(_) | Self::Bucket(_) => false,
        }
    }
}
