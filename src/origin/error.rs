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
    /// The client of a bucket can't be made.
    #[error(transparent)]
    Bucket(#[from] crate::s3::SetupError),
    /// The system gave no thread: starting again is the cure.
    #[error("the system gave no thread for the origin: {0}")]
    Thread(#[from] std::io::Error),
}
