//! Logs to systemd's journal, in its own protocol. `journalctl` shows a message and nothing of its fields,
//! so the message carries them, as a line of the text log does; each is a field of the entry as well.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FormatFields as _;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::{Context, Layer};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// A field of an entry takes so many bytes; the rest is cut off. All of an event's fields fit into a datagram.
const FIELD: usize = 4 * 1024;
/// The same of the message.
const MESSAGE: usize = 64 * 1024;

/// Writes each event as an entry of the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// The machine's journal.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn connect() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let journal = Self {
            socket: UnixDatagram::unbound()?,
            path: path.to_owned(),
        };
        // An empty datagram is no entry. It fails where no journal listens.
        journal.send(&[])?;
        Ok(journal)
    }

    /// Each time by its path: the journal may have been started anew.
    fn send(&self, entry: &[u8]) -> io::Result<()> {
        self.socket.send_to(entry, &self.path).map(drop)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = String::new();
        let formatted = DefaultFields::new().format_fields(Writer::new(&mut message), event);
        if formatted.is_err() {
            event.metadata().name().clone_into(&mut message);
        }
        let metadata = event.metadata();
        let mut entry = Entry::default();
        entry.put("PRIORITY", priority(*metadata.level()));
        entry.put("SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
        entry.put("TARGET", metadata.target());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            entry.put("CODE_FILE", file);
            entry.put("CODE_LINE", &line.to_string());
        }
        entry.put_cut("MESSAGE", &message, MESSAGE);
        event.record(&mut entry);
        if self.send(&entry.0).is_err() {
            // stderr leads to the journal too, or to the terminal.
            drop(writeln!(io::stderr(), "{message}"));
        }
    }
}

/// syslog's numbers.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// An entry: for each field its name, a line end, its length, its bytes, a line end.
#[derive(Default)]
struct Entry(Vec<u8>);

impl Entry {
    fn put(&mut self, name: &str, value: &str) {
        self.put_cut(name, value, FIELD);
    }

    fn put_cut(&mut self, name: &str, value: &str, limit: usize) {
        let value = &value[..value.floor_char_boundary(limit)];
        let length = u64::try_from(value.len()).unwrap_or_default();
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }

    /// A field of the event. Its name is that of the field in capitals behind `F_`, so that it can't be one
    /// of the journal's own.
    fn put_own(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return;
        }
        let name = field.name().chars().map(|c| match c.to_ascii_uppercase() {
            c @ ('A'..='Z' | '0'..='9') => c,
            _ => '_',
        });
        let name: String = "F_".chars().chain(name).collect();
        self.put(&name, value);
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_own(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = String::new();
        // A text takes whatever is written to it.
        write!(text, "{value:?}").unwrap_or_default();
        self.put_own(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// The fields of an entry.
    fn parsed(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
            let name = String::from_utf8(entry[..end].to_vec()).unwrap();
            let (length, rest) = entry[end + 1..].split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap());
            let (value, rest) = rest.split_at(usize::try_from(length).unwrap());
            fields.push((name, String::from_utf8(value.to_vec()).unwrap()));
            entry = rest.strip_prefix(b"\n").unwrap();
        }
        fields
    }

    /// What the journal is sent of what is logged meanwhile.
    fn entries(log: impl FnOnce()) -> Vec<Vec<(String, String)>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let heard = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, log);
        heard.set_nonblocking(true).unwrap();
        let mut entries = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(length) = heard.recv(&mut buffer) {
            // The first datagram only probes whether a journal listens.
            if length > 0 {
                entries.push(parsed(&buffer[..length]));
            }
        }
        entries
    }

    fn of<'a>(entry: &'a [(String, String)], name: &str) -> &'a str {
        let found = entry.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value)
    }

    #[test]
    fn the_message_carries_its_fields_and_the_entry_has_them_too() {
        let found = entries(|| {
            tracing::info!(
                pipeline = "www",
                assets = 3,
                first = Some("/a b.css"),
                "purging"
            );
            tracing::error!(reason = "loss", none = None::<u8>, "two\nlines");
        });
        assert_eq!(
            of(&found[0], "MESSAGE"),
            "purging pipeline=\"www\" assets=3 first=\"/a b.css\""
        );
        for (name, value) in [
            ("PRIORITY", "6"),
            ("F_PIPELINE", "www"),
            ("F_ASSETS", "3"),
            ("F_FIRST", "/a b.css"),
            ("SYSLOG_IDENTIFIER", "edgepurge"),
        ] {
            assert_eq!(of(&found[0], name), value, "{name}");
        }
        assert_eq!(of(&found[1], "PRIORITY"), "3");
        assert!(of(&found[1], "MESSAGE").starts_with("two\nlines reason=\"loss\""));
    }

    #[test]
    fn an_endless_field_is_cut_and_the_entry_still_arrives() {
        let long = "\u{e9}".repeat(100_000);
        let found = entries(|| tracing::warn!(long, "one byte"));
        assert_eq!(of(&found[0], "F_LONG").len(), FIELD);
        assert!(of(&found[0], "MESSAGE").len() > MESSAGE - 2);
    }

    #[test]
    fn without_a_journal_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Journal::at(&directory.path().join("socket")).is_err());
    }
}
