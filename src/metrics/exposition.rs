//! The two forms that metrics are written in, and which of them a scraper asks for.

use std::fmt::Write as _;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

/// How metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' own text format, version 0.0.4: what every tool reads.
    #[default]
    Text,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// What an `Accept` header asks for. Text where it names neither form.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let mut best = (0, Self::Text);
        for entry in accept.split(',') {
            if let Some((quality, form)) = entry_of(entry)
                // Of two that are wanted as much, the first counts.
                && quality > best.0
            {
                best = (quality, form);
            }
        }
        best.1
    }

    /// The `Content-Type` of the answer.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes what is registered, in this order.
    pub(super) fn write(self, registries: [&Registry; 2]) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        for registry in registries {
            encode_registry(&mut text, registry)?;
        }
        encode_eof(&mut text)?;
        match self {
            Self::OpenMetrics => Ok(text),
            Self::Text => classic(&text),
        }
    }
}

/// One entry of an `Accept` header: how much it is wanted, in thousandths, and which form it means.
fn entry_of(entry: &str) -> Option<(u16, Exposition)> {
    let mut parts = entry.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let (mut quality, mut version) = (1_000, None);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = thousandths(value)?,
            "version" => version = Some(value.to_owned()),
            _ => {}
        }
    }
    let is = |known: &str| version.as_deref().is_none_or(|version| version == known);
    let form = match media.as_str() {
        "application/openmetrics-text" if is("1.0.0") => Exposition::OpenMetrics,
        "application/*" => Exposition::OpenMetrics,
        "text/plain" if is("0.0.4") => Exposition::Text,
        "text/*" | "*/*" => Exposition::Text,
        _ => return None,
    };
    Some((quality, form))
}

/// `1`, `0.5`, `0.001`.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = digits.then(|| format!("{part:0<3}").parse().ok())??;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

/// The text format says of a counter what `OpenMetrics` says of its family: there the family is named
/// without `_total`, and the series with it.
fn classic(open_metrics: &str) -> Result<String, std::fmt::Error> {
    let mut text = String::with_capacity(open_metrics.len() + 1_024);
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(help) = line.strip_prefix("# HELP ") else {
            if line != "# EOF" {
                writeln!(text, "{line}")?;
            }
            continue;
        };
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        let kind = lines.next_if(|next| next.starts_with("# TYPE "));
        let kind = kind
            .and_then(|kind| kind.rsplit(' ').next())
            .unwrap_or("untyped");
        let total = if kind == "counter" { "_total" } else { "" };
        writeln!(
            text,
            "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}"
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_form_that_it_wants_most() {
        use Exposition::{OpenMetrics, Text};
        for (accept, wanted) in [
            ("", Text),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Text),
            ("text/plain; version=0.0.4", Text),
            ("application/openmetrics-text", OpenMetrics),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                OpenMetrics,
            ),
            (
                "Application/OpenMetrics-Text;version=\"1.0.0\"",
                OpenMetrics,
            ),
            // A version of it that is not spoken.
            (
                "application/openmetrics-text; version=2.0.0, text/plain;q=0.1",
                Text,
            ),
            ("application/openmetrics-text; version=0.0.1", Text),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.5", Text),
            ("application/openmetrics-text;q=0, */*", Text),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=nonsense", Text),
            ("text/plain, application/openmetrics-text", Text),
            // Prometheus 2.42, and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OpenMetrics,
            ),
        ] {
            assert_eq!(Exposition::accepted(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn in_the_text_format_a_counter_is_named_as_its_series_are() {
        let open = "# HELP a_changes Changes.\n# TYPE a_changes counter\na_changes_total{x=\"y\"} 1\n\
                    # HELP a_queue Queued.\n# TYPE a_queue gauge\na_queue 7\n# EOF\n";
        assert_eq!(
            classic(open).unwrap(),
            "# HELP a_changes_total Changes.\n# TYPE a_changes_total counter\na_changes_total{x=\"y\"} 1\n\
             # HELP a_queue Queued.\n# TYPE a_queue gauge\na_queue 7\n"
        );
    }
}
