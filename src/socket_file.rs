//! Unix sockets at a path, bound in place of one at which no process answers any more; and sockets that
//! outlive those who serve them.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Binds a socket that its owner and group may connect to. A file at which no process answers is
/// replaced; the caller holds the state directory's lock, so that no other daemon is starting.
///
/// # Errors
/// When a process answers there, something else is there, or the directory can't be written to.
pub(crate) async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // What is not a socket is another program's file.
            let socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
            if !socket || UnixStream::connect(path).await.is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    // The owner and the group may connect; the unit decides who the group is.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// A second handle of a listening socket: it stays bound until both are closed.
///
/// # Errors
/// When the system gives no more files.
pub(crate) fn second_tcp(listener: &TcpListener) -> io::Result<TcpListener> {
    let second = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
    TcpListener::from_std(second)
}

/// As [`second_tcp`], of a Unix socket.
///
/// # Errors
/// When the system gives no more files.
pub(crate) fn second_unix(listener: &UnixListener) -> io::Result<UnixListener> {
    let second = std::os::unix::net::UnixListener::from(listener.as_fd().try_clone_to_owned()?);
    UnixListener::from_std(second)
}

/// Whether sockets stay bound when those who serve them stop: others will, in the same process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stays(Arc<AtomicBool>);

impl Stays {
    /// From now on they stay.
    pub(crate) fn stay(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn holds(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
