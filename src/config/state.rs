//! Reads `[state]` and `[admin]`: where the daemon keeps things, and where it can be reached.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::defaults;
use super::effective::Provenance;
use super::environment::Environment;
use super::model::{Admin, State};
use super::not_yet;
use super::problem::Problem;
use super::range::{self, DAY, SECOND};
use super::reader::Reader;
use super::section::Section;
use super::value::{Complaint, Value as _, complain, text};

/// The longest path of a Unix socket, in bytes, which the kernel sets.
pub(super) const SOCKET_PATH_LIMIT: usize = 107;

/// Reads `[state]`.
pub(super) fn read_state(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    environment: &Environment,
) -> State {
    let directory = directory(
        reader,
        &mut section,
        environment,
        &DirectoryKey {
            name: "directory",
            variable: "STATE_DIRECTORY",
            below: "",
            default: defaults::STATE_DIRECTORY,
        },
        range::any,
    );
    let retention = reader.setting(
        &mut section,
        "retention",
        defaults::RETENTION,
        range::time(SECOND..=3650 * DAY),
    );
    not_yet::key(reader, &mut section, "database_url_file");
    not_yet::key(reader, &mut section, "node");
    reader.end(&section);
    State {
        directory,
        retention: retention.value,
    }
}

/// Reads `[admin]`.
pub(super) fn read_admin(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    environment: &Environment,
) -> Admin {
    let given = reader.given(&mut section, "listen", read_listen);
    let listen = reader.held(given, Some(defaults::ADMIN_LISTEN));
    let shown = listen
        .value
        .map_or_else(|| "off".to_owned(), |address| address.to_string());
    let from = reader.source(listen.span.as_ref());
    reader.record(&section, "listen", Some(toml::Value::String(shown)), from);

    let socket = directory(
        reader,
        &mut section,
        environment,
        &DirectoryKey {
            name: "socket",
            variable: "RUNTIME_DIRECTORY",
            below: defaults::ADMIN_SOCKET_NAME,
            default: defaults::ADMIN_SOCKET_DIRECTORY,
        },
        |path| {
            if path.as_os_str().len() > SOCKET_PATH_LIMIT {
                return complain(
                    format!(
                        "is longer than {SOCKET_PATH_LIMIT} bytes, the most a socket's path can have"
                    ),
                    "choose a shorter path",
                );
            }
            Ok(())
        },
    );
    let token_file = reader.optional(&mut section, "token_file", range::any);
    if let (Some(address), Some(span)) = (listen.value, &listen.span)
        && !address.ip().is_loopback()
        && token_file.span.is_none()
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
    Admin {
        listen: listen.value,
        socket,
        token_file: token_file.value,
    }
}

/// A path with a default in a directory that systemd names.
struct DirectoryKey {
    name: &'static str,
    variable: &'static str,
    /// The file in that directory; empty for the directory itself.
    below: &'static str,
    default: &'static str,
}

/// The first of: file, environment, default.
fn directory(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    environment: &Environment,
    key: &DirectoryKey,
    check: impl Fn(&PathBuf) -> Result<(), Complaint>,
) -> PathBuf {
    let given = reader.given(section, key.name, |raw| {
        let path = PathBuf::read(raw)?;
        check(&path).map(|()| path)
    });
    let in_directory = |directory: &Path| match key.below {
        "" => directory.to_owned(),
        file => directory.join(file),
    };
    let (path, from) = if let Some(span) = &given.span {
        (given.value.unwrap_or_default(), reader.in_file(span))
    } else if let Some(directory) = environment.first_directory(key.variable) {
        let path = in_directory(&directory);
        let checked = if directory.is_absolute() {
            check(&path)
        } else {
            complain("is not an absolute path", "let systemd set it, or unset it")
        };
        if let Err(Complaint { why, hint }) = checked {
            let why = format!("{} {why}", path.display());
            let at = section.key(key.name);
            reader.report_elsewhere(Problem::of_variable(key.variable, &at, &why, &hint));
        }
        (path, Provenance::Environment(key.variable))
    } else {
        (in_directory(Path::new(key.default)), Provenance::Default)
    };
    reader.record(section, key.name, Some(path.written()), from);
    path
}

fn read_listen(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Complaint> {
    match text(value, LISTEN_HINT)? {
        "off" => Ok(None),
        address => parse_address(address).map(Some),
    }
}

const LISTEN_HINT: &str = "write an IP address and a port, such as \"127.0.0.1:9787\", or \"off\"";

/// An IP address with a port.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, Complaint> {
    text.parse()
        .or_else(|_| complain("is not an IP address with a port", LISTEN_HINT))
}
