//! The objects of a bucket, and how it serves them to an edge. Pure: time is a parameter.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue};

use super::origin::{Page, content_type};
use crate::core::time::Time;
use crate::core::website::Website;

/// How many objects at most.
const MAX_OBJECTS: usize = 100_000;
/// How many bytes at most, of all objects together.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// The longest key, in bytes.
const MAX_KEY: usize = 1_024;
/// The header of an object that makes a website redirect to elsewhere.
const REDIRECT: HeaderName = HeaderName::from_static("x-amz-website-redirect-location");

/// How a bucket of the sandbox is to be. Its objects can be read without a key; to list it takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// Its name.
    pub name: String,
    /// The region that signatures have to name.
    pub region: String,
    /// Its website configuration; `None`: it is no website.
    pub website: Option<Website>,
    /// The most keys of one page of a listing.
    pub page: usize,
}

impl BucketSettings {
    /// A bucket that is no website, with pages of 1,000 keys.
    #[must_use]
    pub fn new(name: &str, region: &str) -> Self {
        Self {
            name: name.to_owned(),
            region: region.to_owned(),
            website: None,
            page: 1_000,
        }
    }
}

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) body: Bytes,
    /// It has the form of that of a multipart upload, which is no hash of the bytes.
    pub(super) etag: String,
    pub(super) modified: Time,
    /// The headers that it was put with, and a content type.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) region: String,
    pub(super) website: Option<Website>,
    pub(super) page: usize,
    objects: BTreeMap<String, Object>,
    bytes: usize,
}

/// A page of a listing.
pub(super) struct Listed<'b> {
    pub(super) objects: Vec<(&'b str, &'b Object)>,
    /// Whether more follow.
    pub(super) truncated: bool,
}

impl Bucket {
    pub(super) fn new(settings: BucketSettings) -> Self {
        Self {
            region: settings.region,
            website: settings.website,
            page: settings.page.max(1),
            objects: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Puts an object in the place of the one before; `false` where there is no room, or no such key.
    pub(super) fn put(
        &mut self,
        key: &str,
        body: Bytes,
        mut headers: Vec<(HeaderName, HeaderValue)>,
        now: Time,
    ) -> bool {
        let before = self.get(key).map_or(0, |object| object.body.len());
        let bytes = self.bytes - before + body.len();
        let full = self.objects.len() >= MAX_OBJECTS && !self.objects.contains_key(key);
        if key.is_empty() || key.len() > MAX_KEY || full || bytes > MAX_BYTES {
            return false;
        }
        let named = |name: &HeaderName| headers.iter().any(|(found, _)| found == name);
        if !named(&axum::http::header::CONTENT_TYPE) {
            let of_name = HeaderValue::from_static(content_type(key.as_ref()));
            headers.push((axum::http::header::CONTENT_TYPE, of_name));
        }
        let etag = format!("\"{}-1\"", &blake3::hash(&body).to_hex()[..32]);
        let object = Object {
            body,
            etag,
            modified: now,
            headers,
        };
        self.objects.insert(key.to_owned(), object);
        self.bytes = bytes;
        true
    }

    pub(super) fn delete(&mut self, key: &str) {
        if let Some(object) = self.objects.remove(key) {
            self.bytes -= object.body.len();
        }
    }

    /// The objects whose keys begin with `prefix` and come after `after`, in the order of their bytes.
    pub(super) fn list(&self, prefix: &str, after: &str, most: usize) -> Listed<'_> {
        let from = if after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let rest = self.objects.range::<str, _>((from, Bound::Unbounded));
        let mut rest = rest.take_while(|(key, _)| key.starts_with(prefix));
        let most = most.min(self.page);
        let found = rest.by_ref().take(most);
        let objects = found.map(|(key, object)| (key.as_str(), object)).collect();
        Listed {
            objects,
            truncated: rest.next().is_some(),
        }
    }

    /// What an edge gets at a URL path, percent-encoded as a client wrote it.
    pub(super) fn serve(&self, path: &str, website: bool) -> Page {
        let key = path.strip_prefix('/').unwrap_or(path);
        let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
        match &self.website {
            Some(site) if website => self.serve_website(site, &key),
            _ => match self.get(&key) {
                Some(object) => page(200, object),
                None => Page::text(404, "NoSuchKey\n"),
            },
        }
    }

    /// As a website: the index at every level, redirects, and the error document for what is missing.
    fn serve_website(&self, site: &Website, key: &str) -> Page {
        let index = site.index.as_deref().unwrap_or_default();
        let folder = key.is_empty() || key.ends_with('/');
        let wanted = if folder {
            format!("{key}{index}")
        } else {
            key.to_owned()
        };
        if let Some(object) = self.get(&wanted) {
            let mut served = page(200, object);
            let to = object.headers.iter().find(|(name, _)| *name == REDIRECT);
            if let Some(to) = to.and_then(|(_, to)| to.to_str().ok()) {
                served.status = 301;
                served.location = Some(to.to_owned());
                served.body = Bytes::new();
            }
            return served;
        }
        if !folder && self.get(&format!("{key}/{index}")).is_some() {
            let mut moved = Page::text(302, "Found\n");
            moved.location = Some(format!("/{key}/"));
            return moved;
        }
        match site.error.as_deref().and_then(|error| self.get(error)) {
            Some(error) => page(404, error),
            None => Page::text(404, "NoSuchKey\n"),
        }
    }
}

fn page(status: u16, object: &Object) -> Page {
    Page {
        status,
        headers: object.headers.clone(),
        location: None,
        etag: Some(object.etag.clone()),
        body: object.body.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000);

    fn bucket(keys: &[&str]) -> Bucket {
        let mut bucket = Bucket::new(BucketSettings::new("site", "fr-par"));
        for key in keys {
            let body = Bytes::copy_from_slice(key.as_bytes());
            assert!(bucket.put(key, body, Vec::new(), NOW), "{key}");
        }
        bucket
    }

    fn website(index: &str, error: &str) -> Website {
        Website {
            index: Some(index.to_owned()),
            error: Some(error.to_owned()),
            rules: false,
        }
    }

    #[test]
    fn a_listing_has_each_key_once_whatever_the_size_of_its_pages() {
        let keys = ["a", "b/1", "b/2", "b/3", "b0", "c"];
        let bucket = bucket(&keys);
        for size in 1..8 {
            for (prefix, expected) in [("", &keys[..]), ("b/", &keys[1..4]), ("z", &[])] {
                let (mut after, mut found) = (String::new(), Vec::new());
                loop {
                    let page = bucket.list(prefix, &after, size);
                    found.extend(page.objects.iter().map(|(key, _)| (*key).to_owned()));
                    if !page.truncated {
                        break;
                    }
                    found.last().unwrap().clone_into(&mut after);
                }
                assert_eq!(found, expected, "{prefix} by {size}");
            }
        }
    }

    #[test]
    fn a_website_has_an_index_at_every_level_and_an_error_document() {
        let mut bucket = bucket(&["home.htm", "a/home.htm", "a/b", "oops.html"]);
        bucket.website = Some(website("home.htm", "oops.html"));
        let get = |path: &str, website: bool| {
            let page = bucket.serve(path, website);
            let body = String::from_utf8(page.body.to_vec()).unwrap();
            (page.status, page.location.unwrap_or(body))
        };
        for (path, status, text) in [
            ("/", 200, "home.htm"),
            ("/home.htm", 200, "home.htm"),
            ("/a/", 200, "a/home.htm"),
            ("/a", 302, "/a/"),
            ("/a/b", 200, "a/b"),
            ("/a/c", 404, "oops.html"),
            ("/c/", 404, "oops.html"),
        ] {
            assert_eq!(get(path, true), (status, text.to_owned()), "{path}");
        }
        let missing = (404, "NoSuchKey\n".to_owned());
        assert_eq!(get("/", false), missing);
        assert_eq!(get("/a/c", false), missing);
        assert_eq!(get("/a/b", false), (200, "a/b".to_owned()));
    }

    #[test]
    fn an_object_may_redirect_and_its_headers_are_served() {
        let mut bucket = bucket(&[]);
        bucket.website = Some(website("index.html", "404.html"));
        let to = (REDIRECT, HeaderValue::from_static("/new.html"));
        let cache = HeaderValue::from_static("max-age=5");
        let cache = (axum::http::header::CACHE_CONTROL, cache);
        bucket.put("old.html", Bytes::new(), vec![to], NOW);
        bucket.put("new.html", Bytes::new(), vec![cache.clone()], NOW);
        let old = bucket.serve("/old.html", true);
        assert_eq!(
            (old.status, old.location.as_deref()),
            (301, Some("/new.html"))
        );
        assert_eq!(bucket.serve("/old.html", false).status, 200);
        let new = bucket.serve("/new.html", true);
        assert!(new.headers.contains(&cache), "{new:?}");
        assert!(
            new.headers
                .iter()
                .any(|(_, value)| value == "text/html; charset=utf-8")
        );
    }

    #[test]
    fn it_is_bounded() {
        let mut bucket = bucket(&["a"]);
        let large = Bytes::from(vec![0; MAX_BYTES]);
        assert!(!bucket.put("b", large.clone(), Vec::new(), NOW));
        assert!(
            bucket.put("a", large, Vec::new(), NOW),
            "in the place of what was there"
        );
        assert!(!bucket.put(&"k".repeat(MAX_KEY + 1), Bytes::new(), Vec::new(), NOW));
        assert!(!bucket.put("", Bytes::new(), Vec::new(), NOW));
        bucket.delete("a");
        assert_eq!(bucket.bytes, 0);
    }
}
