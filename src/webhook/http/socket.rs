//! Where deliveries come in: TCP, a Unix socket, or what systemd hands over.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use crate::socket_file::{self, Stays};

/// Connections that the system may have made before they are taken: of more, it drops the first packet,
/// and who sent it tries again after a second.
const BACKLOG: i32 = 1_024;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At a TCP address.
    Tcp(SocketAddr),
    /// At a Unix socket.
    Unix(PathBuf),
}

/// A bound socket. Connections wait in it until they are served.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Bound sockets; nothing is answered before they are served.
#[derive(Debug)]
pub struct Sockets {
    pub(super) bound: Vec<Socket>,
    /// The socket file that was made here, and has to be removed.
    pub(super) made: Option<PathBuf>,
    /// Whether they stay bound when their listener stops.
    pub(super) stays: Stays,
    /// Whether they are systemd's, and take connections while no daemon runs.
    pub from_systemd: bool,
}

impl Sockets {
    /// Binds. Sockets from systemd win: they outlive the process, so that a restart refuses no connection.
    ///
    /// # Errors
    /// When the address is taken, or what systemd hands over is no listening socket.
    pub async fn bind(listen: &Listen) -> io::Result<Self> {
        let inherited = inherited()?;
        if !inherited.is_empty() {
            return Ok(Self {
                bound: inherited,
                made: None,
                stays: Stays::default(),
                from_systemd: true,
            });
        }
        let (socket, made) = match listen {
            Listen::Tcp(address) => {
                let tcp = TcpListener::bind(address).await?;
                // It listens already, with the library's 128: this makes room for more.
                rustix::net::listen(&tcp, BACKLOG)?;
                (Socket::Tcp(tcp), None)
            }
            Listen::Unix(path) => (
                Socket::Unix(socket_file::bind(path).await?),
                Some(path.clone()),
            ),
        };
        Ok(Self {
            bound: vec![socket],
            made,
            stays: Stays::default(),
            from_systemd: false,
        })
    }

    /// The same sockets once more, to be served by others once [`Sockets::staying`] was called and
    /// those that serve these have stopped.
    ///
    /// # Errors
    /// When the system gives no more files.
    pub fn again(&self) -> io::Result<Self> {
        let second = |socket: &Socket| {
            Ok::<_, io::Error>(match socket {
                Socket::Tcp(tcp) => Socket::Tcp(socket_file::second_tcp(tcp)?),
                Socket::Unix(unix) => Socket::Unix(socket_file::second_unix(unix)?),
            })
        };
        Ok(Self {
            bound: self.bound.iter().map(second).collect::<Result<_, _>>()?,
            made: self.made.clone(),
            stays: Stays::default(),
            from_systemd: self.from_systemd,
        })
    }

    /// Lets the listener of these sockets stop without closing them.
    pub fn staying(&self) -> impl Fn() + Send + Sync + use<> {
        let stays = self.stays.clone();
        move || stays.stay()
    }

    /// The first address that other machines may reach.
    ///
    /// # Errors
    /// When a socket's address can't be read.
    pub fn public(&self) -> io::Result<Option<SocketAddr>> {
        for socket in &self.bound {
            if let Socket::Tcp(tcp) = socket {
                let address = tcp.local_addr()?;
                if !address.ip().to_canonical().is_loopback() {
                    return Ok(Some(address));
                }
            }
        }
        Ok(None)
    }

    /// The addresses, to be shown.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.bound.iter().map(Socket::address).collect()
    }
}

impl Socket {
    fn address(&self) -> String {
        let unknown = |error: &io::Error| format!("? ({error})");
        match self {
            Self::Tcp(tcp) => tcp
                .local_addr()
                .map_or_else(|error| unknown(&error), |address| address.to_string()),
            Self::Unix(unix) => unix.local_addr().map_or_else(
                |error| unknown(&error),
                |address| {
                    let path = address.as_pathname().unwrap_or(Path::new(""));
                    format!("unix:{}", path.display())
                },
            ),
        }
    }
}

/// The sockets of `LISTEN_FDS`.
fn inherited() -> io::Result<Vec<Socket>> {
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..given.len() {
        let socket = if let Ok(Some(tcp)) = given.take_tcp_listener(at) {
            tcp.set_nonblocking(true)?;
            Socket::Tcp(TcpListener::from_std(tcp)?)
        } else if let Some(unix) = given.take_unix_listener(at)? {
            unix.set_nonblocking(true)?;
            Socket::Unix(UnixListener::from_std(unix)?)
        } else {
            continue;
        };
        sockets.push(socket);
    }
    Ok(sockets)
}
