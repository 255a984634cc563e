//! Reads `[pipeline.verify]` and `repurge_after`: what follows on a purge that is done.

use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use super::model::Verify;
use super::range::{self, DAY, MINUTE, SECOND};
use super::reader::Reader;
use super::section::Section;
use super::value::{Complaint, Value, complain, read_size, text};
use super::{defaults, size};

/// Less than this verifies nothing, more is no limit.
const BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 50);

/// Reads the section; `None` where there is none.
pub(super) fn read(reader: &mut Reader<'_>, pipeline: &mut Section<'_>) -> Option<Verify> {
    let mut section = reader.table(pipeline, "verify");
    if !section.is_present() {
        return None;
    }
    let edge_url = reader.required::<EdgeUrl>(
        &mut section,
        "edge_url",
        "say where visitors fetch the site, such as edge_url = \"https://www.example.com\"",
        range::any,
    );
    let timeout = reader.setting(
        &mut section,
        "timeout",
        defaults::VERIFY_TIMEOUT,
        range::time(SECOND / 10..=10 * MINUTE),
    );
    let max_bytes_per_hour = reader.setting(
        &mut section,
        "max_bytes_per_hour",
        Bytes(defaults::VERIFY_BYTES),
        range::any,
    );
    reader.end(&section);
    Some(Verify {
        edge_url: edge_url.value?.0,
        timeout: timeout.value,
        max_bytes_per_hour: max_bytes_per_hour.value.0,
    })
}

/// Reads `repurge_after`; `None` is `off`.
pub(super) fn repurge_after(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
) -> Option<Duration> {
    let after = reader.setting(section, "repurge_after", OrOff(None), range::any);
    after.value.0
}

/// A scheme, a host and a port: paths are the assets'.
#[derive(Debug)]
struct EdgeUrl(Url);

impl Value for EdgeUrl {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        const HINT: &str =
            "write scheme and host, such as \"https://www.example.com\"; the assets are its paths";
        let url = match Url::parse(text(value, HINT)?) {
            Ok(url) => url,
            Err(error) => return complain(format!("is not a URL ({error})"), HINT),
        };
        if !["https", "http"].contains(&url.scheme()) {
            return complain("is neither https nor http", HINT);
        }
        let surplus = [
            (
                !url.username().is_empty() || url.password().is_some(),
                "user",
            ),
            (url.path() != "/", "path"),
            (url.query().is_some(), "query"),
            (url.fragment().is_some(), "fragment"),
        ];
        if let Some((_, what)) = surplus.into_iter().find(|(present, _)| *present) {
            return complain(format!("has a {what}"), HINT);
        }
        Ok(Self(url))
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(self.0.as_str().trim_end_matches('/').to_owned())
    }
}

/// Bytes in an hour.
struct Bytes(u64);

impl Value for Bytes {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        let bytes = read_size(value)?;
        if BYTES.contains(&bytes) {
            return Ok(Self(bytes));
        }
        let (least, most) = (size::written(*BYTES.start()), size::written(*BYTES.end()));
        complain(
            "is out of range",
            format!("write \"{least}\" to \"{most}\""),
        )
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(size::written(self.0))
    }
}

/// A time from a second to a day, or `off`.
pub(super) struct OrOff(pub(super) Option<Duration>);

impl Value for OrOff {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        if value.as_str() == Some("off") {
            return Ok(Self(None));
        }
        let after = Duration::read(value)?;
        range::time(SECOND..=DAY)(&after)?;
        Ok(Self(Some(after)))
    }

    fn written(&self) -> toml::Value {
        self.0.map_or_else(
            || toml::Value::String("off".to_owned()),
            |after| after.written(),
        )
    }
}
