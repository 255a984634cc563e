//! The keys of `[[pipeline.origin]]` that are of a bucket, and what they mean together.

use std::path::PathBuf;

use url::Url;

use super::model::ApiUrl;
use super::origin::Origin;
use super::reader::Reader;
use super::section::Section;
use super::server;
use super::shape::Shape;
use super::syntax::{Syntax, parsed};
use super::value::complain;

/// What an origin serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'o> {
    /// A directory.
    Directory(&'o PathBuf),
    /// A bucket.
    Bucket {
        /// Its name.
        name: &'o str,
        /// Its region.
        region: &'o str,
        /// Its server; `None`: the sandbox.
        endpoint: Option<Url>,
    },
}

impl Origin {
    /// Whether it is a bucket that takes keys to read it.
    #[must_use]
    pub fn takes_keys(&self) -> bool {
        self.bucket.is_some() && self.endpoint != Some(ApiUrl::Sandbox)
    }

    /// What it serves; `None` for one that was refused.
    #[must_use]
    pub fn place(&self) -> Option<Place<'_>> {
        if let Some(root) = &self.root {
            return Some(Place::Directory(root));
        }
        let (name, region) = (self.bucket.as_deref()?, self.region.as_deref()?);
        let endpoint = match &self.endpoint {
            Some(ApiUrl::Sandbox) => None,
            Some(ApiUrl::Server(endpoint)) => Some(endpoint.clone()),
            None => Some(Url::parse(&format!("https://s3.{region}.scw.cloud")).ok()?),
        };
        Some(Place::Bucket {
            name,
            region,
            endpoint,
        })
    }
}

pub(super) fn name() -> Syntax<String> {
    const HINT: &str = "write the name of the bucket, such as bucket = \"my-site\"";
    let shape = Shape::pattern("the name of a bucket", "^[A-Za-z0-9._-]{3,255}$");
    let parse = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (3..=255).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(text.to_owned());
        }
        complain("is not the name of a bucket", HINT)
    };
    parsed(shape, HINT, parse, String::clone)
}

pub(super) fn region() -> Syntax<String> {
    const HINT: &str = "write the region of the bucket, such as region = \"fr-par\"";
    let shape = Shape::pattern("the name of a region", "^[a-z0-9-]{2,63}$");
    let parse = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (2..=63).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(text.to_owned());
        }
        complain("is not the name of a region", HINT)
    };
    parsed(shape, HINT, parse, String::clone)
}

pub(super) fn prefix() -> Syntax<String> {
    const HINT: &str = "write what the keys begin with, such as prefix = \"site/\"";
    let shape = Shape::pattern("a prefix that ends with `/`, or nothing", "^$|^[^/].*/$");
    let parse = |text: &str| {
        if !text.is_empty() && (!text.ends_with('/') || text.starts_with('/')) {
            return complain("does not end with /, or begins with one", HINT);
        }
        if text
            .split('/')
            .rev()
            .skip(1)
            .any(|part| matches!(part, "" | "." | ".."))
            && !text.is_empty()
        {
            return complain("has a part that no URL has", HINT);
        }
        Ok(text.to_owned())
    };
    parsed(shape, HINT, parse, String::clone)
}

pub(super) fn endpoint() -> Syntax<ApiUrl> {
    const HINT: &str = "write the server of the bucket without the bucket's name, such as \"https://s3.fr-par.scw.cloud\"";
    let parse = |text: &str| match text {
        "sandbox" => Ok(ApiUrl::Sandbox),
        text => server::parse(text, "signatures and keys of objects", HINT).map(ApiUrl::Server),
    };
    let shape = Shape::pattern("a URL, or \"sandbox\"", "^sandbox$|^[a-zA-Z]+:");
    parsed(shape, HINT, parse, |url| {
        url.as_str().trim_end_matches('/').to_owned()
    })
}

/// Reports what can't stand together: an origin is a directory or a bucket, and each has keys of its own.
/// `sandbox`: whether the API is the sandbox.
pub(super) fn check(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    endpoint: Option<&ApiUrl>,
    sandbox: bool,
) {
    if endpoint == Some(&ApiUrl::Sandbox) && !sandbox {
        let why = "is the sandbox, and the API is not";
        let hint = "write api_url = \"sandbox\" in [scaleway], or leave it out for Scaleway's server in the region";
        refuse(reader, section, "endpoint", why, hint);
    }
    match (section.has("root"), section.has("bucket")) {
        (true, true) => {
            let why = "stands beside a root, and an origin is a directory or a bucket";
            let hint = "remove one of them, or write a second [[pipeline.origin]]";
            refuse(reader, section, "bucket", why, hint);
        }
        (false, false) => {
            let hint = "name the directory that the pipeline serves, such as root = \"/srv/www\", or its \
                        bucket, such as bucket = \"my-site\"";
            reader.missing(section, "root", hint);
        }
        (true, false) => {
            let why = "is of a bucket, and this is a directory";
            others(reader, section, &OF_BUCKETS, why);
        }
        (false, true) => {
            if !section.has("region") {
                let hint = "write the region that the bucket is in, such as region = \"fr-par\"";
                reader.missing(section, "region", hint);
            }
            let why = "is of a directory, and this is a bucket";
            others(reader, section, &OF_DIRECTORIES, why);
            pair(reader, section);
        }
    }
}

/// Keys that only a bucket has.
const OF_BUCKETS: [&str; 6] = [
    "region",
    "prefix",
    "poll",
    "endpoint",
    "access_key_file",
    "secret_key_file",
];
/// Keys that only a directory has.
const OF_DIRECTORIES: [&str; 7] = [
    "compare",
    "watch",
    "rescan",
    "write_wait",
    "gone_after",
    "follow_symlinks",
    "web_group",
];

/// Reports a key that can't stand there, if nothing else is wrong with it.
fn refuse(reader: &mut Reader<'_>, section: &Section<'_>, name: &str, why: &str, hint: &str) {
    let key = section.key(name);
    if let Some(span) = section.place(name).filter(|_| !reader.is_refused(&key)) {
        reader.report_key(&key, &span, why, hint);
    }
}

/// Reports keys that have no meaning for this sort of origin, and forgets their defaults.
fn others(reader: &mut Reader<'_>, section: &Section<'_>, names: &[&str], why: &str) {
    for name in names {
        refuse(reader, section, name, why, "remove it");
    }
    reader.forget(section, names);
}

/// Reports a key of a pair without the other.
fn pair(reader: &mut Reader<'_>, section: &Section<'_>) {
    let (access, secret) = ("access_key_file", "secret_key_file");
    for (one, other) in [(access, secret), (secret, access)] {
        if !section.has(other) {
            let why = format!("stands without {other}, and the two are a pair");
            let hint = format!("add {other}, or remove it to use the keys of [scaleway]");
            refuse(reader, section, one, &why, &hint);
        }
    }
}
