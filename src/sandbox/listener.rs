//! A loopback listener whose connections can be cut, as a network cuts them: without an answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::supervise::{Fault, Supervisor};

/// How long connections may go on when the process stops.
const GRACE: Duration = Duration::from_secs(1);

/// Listens on a loopback port; 0 for any.
pub(super) async fn bind(port: u16, what: &str) -> io::Result<(Loopback, SocketAddr)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let context = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("the sandbox's {what} can't listen on {address}: {error}"),
        )
    };
    let listener = TcpListener::bind(address).await.map_err(context)?;
    let address = listener.local_addr().map_err(context)?;
    Ok((Loopback(listener), address))
}

/// Serves until the process stops.
pub(super) fn serve(supervisor: &Supervisor, name: &'static str, from: Loopback, router: Router) {
    let stopping = supervisor.stopping();
    supervisor.spawn(name, async move {
        let service = router.into_make_service_with_connect_info::<Cut>();
        let served = axum::serve(from, service)
            .with_graceful_shutdown(stopping.clone().cancelled_owned())
            .into_future();
        tokio::select! {
            ended = served => ended.map_err(|error| Fault {
                task: name.to_owned(),
                message: error.to_string(),
            }),
            () = async {
                stopping.cancelled().await;
                tokio::time::sleep(GRACE).await;
            } => Ok(()),
        }
    });
}

/// Cuts one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// From now on nothing is written any more, and the connection closes.
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Connected<IncomingStream<'_, Loopback>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Loopback>) -> Self {
        stream.io().cut.clone()
    }
}

/// The listener.
#[derive(Debug)]
pub(super) struct Loopback(TcpListener);

impl Listener for Loopback {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let cut = Cut::default();
        (Connection { stream, cut }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that can be cut.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    cut: Cut,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
