//! `[state]` and `[admin]`: where the daemon keeps things, and where it can be reached.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::table;
use super::range::{DAY, SECOND};
use super::reader::Reader;
use super::section::Section;
use super::shape::Shape;
use super::syntax::{Syntax, parsed, time};
use super::value::{Complaint, PATH, complain, path};

/// The longest path of a Unix socket, in bytes, which the kernel sets.
pub(super) const SOCKET_PATH_LIMIT: usize = 107;

table! {
    /// What the daemon keeps.
    "[state]" => State, StateKeys {
        /// The directory of the databases.
        directory: PathBuf = directory("STATE_DIRECTORY", "", "/var/lib/edgepurge"), path();
        /// How long the history of changes and requests is kept.
        retention: Duration = default(30 * DAY), time(SECOND..=3650 * DAY);
        /// The file that holds the URL of a database, `postgres://USER:PASSWORD@HOST/DATABASE`, which keeps queue
        /// and history in place of queue.db. Only its owner may read it. In place of the file, the systemd credential `database_url`.
        database_url_file: PathBuf = optional(), url_file();
        /// What this node is called among those that share the database; the host name where it is left out.
        node: String = optional(), node();
    }
}

table! {
    /// Status page, metrics, control socket.
    "[admin]" => Admin, AdminKeys {
        /// The TCP listener of status page, metrics and health.
        listen: Option<SocketAddr> = default(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9787)))),
            address().or_word("off");
        /// The control socket, guarded by file permission.
        socket: PathBuf = directory("RUNTIME_DIRECTORY", "admin.sock", "/run/edgepurge"), socket();
        /// The file that holds the token of changing calls over TCP; without it nothing can be changed there.
        /// Required where `listen` is not on loopback, and then for reading too.
        token_file: PathBuf = optional(), path();
    }
}

/// Reads `[state]`.
pub(super) fn read_state(reader: &mut Reader<'_>, mut section: Section<'_>) -> State {
    let keys = StateKeys::read(reader, &mut section);
    reader.end(&section);
    keys.complete()
}

/// The path of a file that holds a URL, and not the URL.
fn url_file() -> Syntax<PathBuf> {
    const HINT: &str = "write it into a file with mode 0600, and the path of that file here";
    let parse = |text: &str| {
        if text.contains("://") {
            return complain("is a URL, which may hold a password", HINT);
        }
        if !Path::new(text).is_absolute() || text.contains('\0') {
            return complain("is not an absolute path", HINT);
        }
        Ok(PathBuf::from(text))
    };
    parsed(PATH, HINT, parse, |path| path.display().to_string())
}

/// The name of a node, which is a host name.
fn node() -> Syntax<String> {
    const HINT: &str = "write 1 to 63 of a-z, 0-9, `.` and `-`, such as node = \"web-1\"";
    let shape = Shape::pattern("the name of a node", "^[a-z0-9.-]{1,63}$");
    let parse = |text: &str| {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if (1..=63).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(text.to_owned());
        }
        complain("is not the name of a node", HINT)
    };
    parsed(shape, HINT, parse, String::clone)
}

/// Reads `[admin]`.
pub(super) fn read_admin(reader: &mut Reader<'_>, mut section: Section<'_>) -> Admin {
    let keys = AdminKeys::read(reader, &mut section);
    if let (Some(address), Some(span)) = (keys.listen.value, &keys.listen.span)
        && !address.ip().is_loopback()
        && keys.token_file.span.is_none()
    {
        reader.report(
            &section.key("listen"),
            span,
            &Complaint {
                why: "can be reached from other machines, and there is no token_file".to_owned(),
                hint: "set token_file, or listen on 127.0.0.1".to_owned(),
            },
        );
    }
    reader.end(&section);
    keys.complete()
}

/// The path of a Unix socket.
fn socket() -> Syntax<PathBuf> {
    path().checked(PATH, |path| {
        if path.as_os_str().len() > SOCKET_PATH_LIMIT {
            return complain(
                format!(
                    "is longer than {SOCKET_PATH_LIMIT} bytes, the most a socket's path can have"
                ),
                "choose a shorter path",
            );
        }
        Ok(())
    })
}

const LISTEN_HINT: &str = "write an IP address and a port, such as \"127.0.0.1:9787\", or \"off\"";

/// An IP address with a port.
fn address() -> Syntax<SocketAddr> {
    let shape = Shape::pattern(
        "an IP address with a port",
        "^[0-9.]+:[0-9]+$|^\\[.*\\]:[0-9]+$",
    );
    let parse = |text: &str| {
        text.parse()
            .or_else(|_| complain("is not an IP address with a port", LISTEN_HINT))
    };
    parsed(shape, LISTEN_HINT, parse, SocketAddr::to_string)
}
