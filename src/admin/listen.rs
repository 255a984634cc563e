//! The two doors: TCP and the socket.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use super::peer::Peer;
use super::{Admin, Door, PageRoutes, Token, router};
use crate::socket_file::{self, Stays};
use crate::supervise::{Fault, Supervisor};

/// The bound doors; nothing is answered before [`Listeners::serve`].
#[derive(Debug)]
pub struct Listeners {
    tcp: Option<TcpListener>,
    socket: UnixListener,
    path: PathBuf,
    stays: Stays,
}

impl Listeners {
    /// Binds the socket, and TCP where it is wanted. A socket file without a listener is
    /// replaced; the caller holds the state directory's lock, so that no other daemon is starting.
    ///
    /// # Errors
    /// When an address is taken or a directory is missing; the error names it.
    pub async fn bind(tcp: Option<SocketAddr>, socket: &Path) -> io::Result<Self> {
        let tcp = match tcp {
            None => None,
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .map_err(|error| named(&error, &format!("admin.listen {address}")))?,
            ),
        };
        Ok(Self {
            tcp,
            socket: socket_file::bind(socket)
                .await
                .map_err(|error| named(&error, &format!("admin.socket {}", socket.display())))?,
            path: socket.to_owned(),
            stays: Stays::default(),
        })
    }

    /// The same doors once more, to be served once those that serve these were asked to stop with
    /// [`Listeners::staying`], and have.
    ///
    /// # Errors
    /// When the system gives no more files.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self {
            tcp: self.tcp.as_ref().map(socket_file::second_tcp).transpose()?,
            socket: socket_file::second_unix(&self.socket)?,
            path: self.path.clone(),
            stays: Stays::default(),
        })
    }

    /// Lets the server of these sockets stop without closing them.
    pub fn staying(&self) -> impl Fn() + Send + Sync + use<> {
        let stays = self.stays.clone();
        move || stays.stay()
    }

    /// Where TCP listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Serves until the supervisor stops, then removes the socket file.
    pub fn serve(
        self,
        admin: &Arc<Admin>,
        page: &PageRoutes,
        token: Option<Token>,
        supervisor: &Supervisor,
    ) {
        if let Some(tcp) = self.tcp
            && let Ok(address) = tcp.local_addr()
        {
            let door = Door::Tcp { address, token };
            let routes = router(Arc::clone(admin), page.clone(), door)
                .into_make_service_with_connect_info::<Peer>();
            let stopping = supervisor.stopping();
            supervisor.spawn("admin", async move {
                axum::serve(tcp, routes)
                    .with_graceful_shutdown(stopping.cancelled_owned())
                    .await
                    .map_err(|error| fault("admin", &error))
            });
        }
        let routes = router(Arc::clone(admin), page.clone(), Door::Socket)
            .into_make_service_with_connect_info::<Peer>();
        let stopping = supervisor.stopping();
        supervisor.spawn("admin socket", async move {
            let served = axum::serve(self.socket, routes)
                .with_graceful_shutdown(stopping.cancelled_owned())
                .await;
            if !self.stays.holds()
                && let Err(error) = std::fs::remove_file(&self.path)
            {
                tracing::debug!("{} stays behind: {error}", self.path.display());
            }
            served.map_err(|error| fault("admin socket", &error))
        });
    }
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn fault(task: &str, error: &io::Error) -> Fault {
    Fault {
        task: task.to_owned(),
        message: error.to_string(),
    }
}
