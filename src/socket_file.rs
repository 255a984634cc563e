//! Unix sockets at a path: bound in place of one that nobody answers at any more.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::net::{UnixListener, UnixStream};

/// Binds a socket that its owner and group may connect to. A file that nobody answers at is
/// replaced; the caller holds the state directory's lock, so that nobody else is starting.
///
/// # Errors
/// When somebody answers there, or the directory can't be written to.
pub(crate) async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).await.is_ok() {
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
