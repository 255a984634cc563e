//! The URL of a `PostgreSQL`: what it may say, and the connections that it leads to.
//!
//! What travels is encrypted and the server's name is checked (`sslmode=verify-full`), or neither
//! (`disable`). A URL that names no mode means `disable` where the server is on this machine, and
//! `verify-full` elsewhere. Modes in between encrypt for a server that may be another, so they count as
//! `verify-full`.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr as _;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, Notification};
use url::form_urlencoded;

mod tls;

/// The port of a server whose URL names none.
const PORT: u16 = 5432;
/// How long it may take to reach one server, its greeting included.
const CONNECT: Duration = Duration::from_secs(5);
/// After so long without an answer of its machine a connection is lost.
const SILENT: Duration = Duration::from_secs(10);
/// The parameters that a URL may have, beside those of TLS.
const PARAMETERS: [&str; 7] = [
    "application_name",
    "connect_timeout",
    "host",
    "password",
    "port",
    "target_session_attrs",
    "user",
];

/// The URL of a database.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    mode: Mode,
    roots: Option<PathBuf>,
    warning: Option<&'static str>,
}

/// How far the way to the server is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    VerifyFull,
}

/// What is wrong with a URL, and what to do. It quotes nothing of what may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub hint: &'static str,
}

/// Why a database can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The certificates of `sslrootcert`, or the system's, can't be used.
    #[error("{0}")]
    Roots(String),
    /// The server is not proved to be the one of the URL, or encrypts nothing.
    #[error("{0}")]
    Untrusted(String),
    /// No server answers, or it refuses.
    #[error(transparent)]
    Server(#[from] tokio_postgres::Error),
}

/// Moves the bytes of a connection, until that ends.
pub type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// Servers and database, without user and password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One port is that of all hosts.
        let ports = self.config.get_ports().iter().cycle().copied().map(Some);
        let ports = ports.chain(std::iter::repeat(None));
        let hosts = self.config.get_hosts().iter().zip(ports);
        let hosts = hosts.map(|(host, port)| {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            };
            let port = port.filter(|port| *port != PORT);
            port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let name = self.config.get_dbname().unwrap_or_default();
        write!(f, "{name} on {hosts}")
    }
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`] when it is none, or says what is not understood.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return refuse(
                "is no URL of PostgreSQL".to_owned(),
                "write postgres://USER:PASSWORD@HOST/DATABASE",
            );
        }
        let (server, query) = text.split_once('?').unwrap_or((text, ""));
        if !has_its_parts(server, query) {
            return unreadable();
        }
        let (mut mode, mut roots, mut warning) = (None, None, None);
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sslmode" => {
                    let found = read_mode(&value)?;
                    mode = Some(found.0);
                    warning = found.1;
                }
                "sslrootcert" => roots = Some(PathBuf::from(&*value)),
                key if PARAMETERS.contains(&key) => drop(rest.append_pair(key, &value)),
                key => {
                    let is_word = key
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                    let shown = if is_word && key.len() <= 40 {
                        format!("`{key}`")
                    } else {
                        "that is no word".to_owned()
                    };
                    return refuse(
                        format!("has a parameter {shown}, which is not known"),
                        "leave it out; known are sslmode, sslrootcert, host, port, user, password, \
                         application_name, connect_timeout and target_session_attrs",
                    );
                }
            }
        }
        // Spaces are written as `%20` here: `+` is none for the parser below.
        let rest = rest.finish().replace('+', "%20");
        let whole = format!("{server}?{rest}");
        let Ok(mut config) = Config::from_str(whole.trim_end_matches('?')) else {
            return unreadable();
        };
        if config.get_user().is_none_or(str::is_empty) {
            return refuse(
                "names no user".to_owned(),
                "write it before the host: postgres://USER:PASSWORD@HOST/DATABASE",
            );
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return refuse(
                "names no database".to_owned(),
                "end it with the database's name: postgres://USER:PASSWORD@HOST/DATABASE",
            );
        }
        if config.get_hosts().is_empty() {
            return refuse(
                "names no host".to_owned(),
                "write the server's name or address, or `?host=/run/postgresql` for a socket",
            );
        }
        let mode = mode.unwrap_or_else(|| {
            if config.get_hosts().iter().all(is_local) {
                Mode::Disable
            } else {
                Mode::VerifyFull
            }
        });
        config
            .ssl_mode(match mode {
                Mode::Disable => SslMode::Disable,
                Mode::VerifyFull => SslMode::Require,
            })
            // Of a failover's two servers, the one that writes.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT)
            .tcp_user_timeout(SILENT)
            .keepalives_idle(SILENT);
        Ok(Self {
            config,
            mode,
            roots,
            warning,
        })
    }

    /// Reads the certificates that it trusts.
    ///
    /// # Errors
    /// [`ConnectError::Roots`].
    pub fn check_roots(&self) -> Result<(), ConnectError> {
        self.tls().map(drop)
    }

    fn tls(&self) -> Result<tls::Tls, ConnectError> {
        match self.mode {
            Mode::Disable => Ok(tls::Tls::none()),
            Mode::VerifyFull => tls::Tls::verifying(self.roots.as_deref()),
        }
    }

    /// What looks wrong with it, though it is understood.
    #[must_use]
    pub const fn warning(&self) -> Option<&'static str> {
        self.warning
    }

    /// Connects. The connection has to be polled for the client to get anything. `name` is what the server
    /// shows of it in `pg_stat_activity`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self, name: &str) -> Result<(Client, Connection), ConnectError> {
        self.listen(name, drop).await
    }

    /// As [`DatabaseUrl::connect`]; each notification that the server sends is handed over.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn listen(
        &self,
        name: &str,
        mut hear: impl FnMut(Notification) + Send + 'static,
    ) -> Result<(Client, Connection), ConnectError> {
        let tls = self.tls()?;
        let mut config = self.config.clone();
        if config.get_application_name().is_none() {
            config.application_name(name);
        }
        let connected = config.connect(tls).await;
        let (client, mut connection) = connected.map_err(|error| match tls::distrust(&error) {
            Some(why) => ConnectError::Untrusted(why),
            None => ConnectError::Server(error),
        })?;
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        let connection = async move {
            while let Some(message) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message? {
                    hear(notification);
                }
            }
            Ok(())
        };
        Ok((client, Box::pin(connection)))
    }
}

/// Whether a URL, with its query, has no sign that stands for something else than it seems to: that of a password
/// which is not written as `%XX` would make a part of it the host or the database, which are shown.
fn has_its_parts(server: &str, query: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic();
    let after_scheme = server.split_once("://").map_or("", |(_, rest)| rest);
    let (user, at) = after_scheme.split_once('@').unwrap_or(("", after_scheme));
    let (_, name) = at.split_once('/').unwrap_or((at, ""));
    let has = |part: &str, signs: &str| part.contains(|c| signs.contains(c));
    server.chars().chain(query.chars()).all(is_plain)
        && !has(user, "/[]")
        && !has(at, "@")
        && !has(name, "/:")
        && !has(query, "@")
}

fn unreadable<T>() -> Result<T, UrlError> {
    refuse(
        "can't be read as a URL of PostgreSQL".to_owned(),
        "write postgres://USER:PASSWORD@HOST/DATABASE, alone and on one line; in user and password, write other \
         characters than letters and digits as %XX: @ is %40, / is %2F, ? is %3F",
    )
}

/// What a word of `sslmode` means, and what looks wrong with it.
fn read_mode(word: &str) -> Result<(Mode, Option<&'static str>), UrlError> {
    match word {
        "disable" => Ok((Mode::Disable, None)),
        "verify-full" => Ok((Mode::VerifyFull, None)),
        "require" | "verify-ca" => Ok((
            Mode::VerifyFull,
            Some(
                "sslmode counts as verify-full: without the check of the name, the server may be another",
            ),
        )),
        _ => refuse(
            "has an sslmode that is not known".to_owned(),
            "write sslmode=verify-full, or sslmode=disable where the way to the server is safe",
        ),
    }
}

fn refuse<T>(why: String, hint: &'static str) -> Result<T, UrlError> {
    Err(UrlError { why, hint })
}

/// Whether a server is on this machine.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address: Option<std::net::IpAddr> = name.parse().ok();
            name == "localhost" || address.is_some_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        DatabaseUrl::parse(text).unwrap_err().why
    }

    #[test]
    fn what_a_url_may_not_say_is_refused_without_its_password() {
        for (text, expected) in [
            ("mysql://u:planted@host/db", "is no URL of PostgreSQL"),
            ("host=db password=planted", "is no URL of PostgreSQL"),
            ("postgres://u:planted@host", "names no database"),
            ("postgres://u:planted@host/", "names no database"),
            ("postgres://u:planted@/db", "names no host"),
            ("postgres://u:planted@host:port/db", "can't be read"),
            (
                "postgres://u:planted@host/db?sslmode=prefer",
                "sslmode that is not known",
            ),
            (
                "postgres://u:planted@host/db?colour=red",
                "parameter `colour`",
            ),
            ("postgres://host/db", "names no user"),
            ("postgres://u:x@planted@host/db", "can't be read"),
            ("postgres://u:x@ss/planted@host/db", "can't be read"),
            ("postgres://u:x/planted@host/db", "can't be read"),
            ("postgres://u:x?planted@host/db", "can't be read"),
            (
                "postgres://u:x?planted@host/db?sslmode=disable",
                "can't be read",
            ),
            ("postgres://u:a b@host/planted", "can't be read"),
            (
                "postgres://u:x@host/db\npostgres://u:planted@host/db",
                "can't be read",
            ),
            (
                "postgres://u:x@host/db?my-pl%61nted=1",
                "which is not known",
            ),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err();
            assert!(error.why.contains(expected), "{text}: {error:?}");
            assert!(!format!("{error:?}").contains("planted"), "{error:?}");
        }
        assert!(!why("postgres://u:planted@host/db?planted").contains('\n'));
    }

    #[test]
    fn the_way_is_encrypted_unless_the_server_is_on_this_machine_or_the_url_says_otherwise() {
        let mode = |text| DatabaseUrl::parse(text).unwrap().mode;
        for (text, expected) in [
            ("postgres://u@db.example/edge", Mode::VerifyFull),
            ("postgres://u@127.0.0.1,db.example/edge", Mode::VerifyFull),
            ("postgres://u@10.0.0.7/edge?sslmode=disable", Mode::Disable),
            (
                "postgres://u@db.example/edge?sslmode=require",
                Mode::VerifyFull,
            ),
            ("postgres://u@localhost/edge", Mode::Disable),
            ("postgresql://u@[::1]:5433/edge", Mode::Disable),
            ("postgres://u@/edge?host=/run/postgresql", Mode::Disable),
            (
                "postgres://u@localhost/edge?sslmode=verify-full",
                Mode::VerifyFull,
            ),
        ] {
            assert_eq!(mode(text), expected, "{text}");
        }
        let warned = |text| DatabaseUrl::parse(text).unwrap().warning().is_some();
        assert!(warned("postgres://u@db.example/edge?sslmode=verify-ca"));
        assert!(!warned("postgres://u@db.example/edge?sslmode=verify-full"));
    }

    #[test]
    fn a_url_is_shown_without_user_and_password() {
        let url = "postgres://user:planted@a:5433,b/edge?sslmode=disable&application_name=a%20b";
        let url = DatabaseUrl::parse(url).unwrap();
        assert_eq!(url.to_string(), "edge on a:5433,b");
        assert_eq!(format!("{url:?}"), "DatabaseUrl(edge on a:5433,b)");
        assert_eq!(url.config.get_password(), Some(b"planted".as_slice()));
        assert_eq!(url.config.get_application_name(), Some("a b"));
    }
}
