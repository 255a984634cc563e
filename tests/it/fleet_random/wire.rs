//! The way of one node to the database: a socket that can be cut. What was sent before is not lost then: it arrives
//! when the wire is whole again, as on a network.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// A socket that is named as those of `PostgreSQL` are.
const SOCKET: &str = ".s.PGSQL.5432";

pub(super) struct Wire {
    home: tempfile::TempDir,
    /// The socket of the server that it leads to.
    server: Arc<Mutex<PathBuf>>,
    connections: Arc<AtomicUsize>,
    cut: watch::Sender<bool>,
}

impl Wire {
    /// A wire to the socket of a server.
    pub(super) fn to(server: PathBuf) -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(home.path().join(SOCKET)).unwrap();
        let (cut, is_cut) = watch::channel(false);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let server = Arc::new(Mutex::new(server));
        let leads = Arc::clone(&server);
        tokio::spawn(async move {
            let mut closed = is_cut.clone();
            let serve = async {
                while let Ok((node, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    let to = leads.lock().unwrap().clone();
                    tokio::spawn(connect(node, to, is_cut.clone()));
                }
            };
            tokio::select! {
                () = serve => {}
                // The wire is gone.
                _ = closed.wait_for(|_| false) => {}
            }
        });
        Self {
            home,
            server,
            connections,
            cut,
        }
    }

    /// The directory that a URL names as the host.
    pub(super) fn host(&self) -> &Path {
        self.home.path()
    }

    /// New connections are to the socket of this server.
    pub(super) fn lead_to(&self, server: PathBuf) {
        *self.server.lock().unwrap() = server;
    }

    /// Whether its node goes by it.
    pub(super) fn is_used(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    /// Nothing gets through from now on, or it does again.
    pub(super) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn connect(node: UnixStream, server: PathBuf, cut: watch::Receiver<bool>) {
    // A server that does not run: the node's connection ends.
    let Ok(server) = UnixStream::connect(server).await else {
        return;
    };
    let (from_node, to_node) = node.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        carry(from_node, to_server, cut.clone()),
        carry(from_server, to_node, cut)
    );
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16_384];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        let whole = cut.wait_for(|cut| !*cut).await.is_ok();
        if !whole || read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
