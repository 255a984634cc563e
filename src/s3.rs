//! Object Storage, by the S3 API: lists the objects of a bucket, and asks for the headers of one. The crate
//! `rusty-s3` signs and reads, `reqwest` sends. Knows neither index nor assets, and decides nothing.

mod client;
mod error;
mod object;
mod website;

pub use client::{Bucket, BucketSettings, KeyReader, Keys, SetupError};
pub use error::S3Error;
pub use object::{Head, Object, Page, Position};
