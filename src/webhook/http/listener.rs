//! The accept loop: connections within limits of number and time. What a connection is allowed is
//! counted from its first moment, so that one that says nothing costs little, and not for long.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::body::BodyLimits;
use super::certificate::{CertificateStatus, CurrentCertificate};
use super::client::Peer;
use super::connections::Connection;
use super::connections::Connections;
use super::deadlines::{Deadlines, RanOut};
use super::handshake::handshake;
use super::server::{Hook, Server, ServerSettings};
use super::socket::{Socket, Sockets};
use super::tally::{RouteStatus, Tallies};
use crate::clock::Clock;
use crate::core::time::Time;
use crate::sink::Deliveries;
use crate::supervise::Supervisor;

/// From the first moment, or the last answer, to a whole head; a TLS handshake is part of it.
const HEAD: Duration = Duration::from_secs(5);
/// Bytes of a head, and of a body that wait to be taken.
const BUFFER: usize = 16 << 10;
/// What every body is given, and how long at most.
const BODY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));
/// Bytes of a body that earn another second.
const RATE: u64 = 64 << 10;
/// Connections in all, where the system allows so many files.
const CONNECTIONS: usize = 1_024;
/// Of that, of one client, unless it is a trusted proxy.
const PER_CLIENT: usize = 256;
/// A connection that is older ends after its answer.
const AGE: Duration = Duration::from_mins(5);
/// How long a client that has just connected may take to begin, once everything stops.
const BEGIN: Duration = Duration::from_secs(2);
/// How long an answer may take once a connection has to end.
const GRACE: Duration = Duration::from_secs(12);
/// How long what a client still sends is swallowed, so that it gets to read its answer.
const LINGER: Duration = Duration::from_secs(2);
/// How long to wait when the system gives no connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A listener at work.
#[derive(Clone)]
pub struct ListenerHandle {
    server: Arc<Server>,
    addresses: Arc<[String]>,
    certificate: Option<Arc<CurrentCertificate>>,
}

impl std::fmt::Debug for ListenerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ListenerHandle({})", self.addresses.join(", "))
    }
}

impl ListenerHandle {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The routes as they are now.
    #[must_use]
    pub fn status(&self) -> Vec<RouteStatus> {
        self.server.status()
    }

    /// How many calls were of no route.
    #[must_use]
    pub fn unknown_calls(&self) -> u64 {
        self.server.unknown_calls()
    }

    /// How many TLS handshakes came to nothing.
    #[must_use]
    pub fn failed_handshakes(&self) -> u64 {
        self.server.failed_handshakes()
    }

    /// The certificate at work, where TLS is on.
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateStatus> {
        Some(self.certificate.as_ref()?.status())
    }

    /// The counts of the routes, to go on with.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.server.tallies()
    }
}

/// Serves until the supervisor stops: then nothing new is taken, and what was taken is answered.
pub fn serve(
    sockets: Sockets,
    hooks: Vec<Hook>,
    tallies: &Tallies,
    settings: ServerSettings,
    deliveries: Arc<dyn Deliveries>,
    clock: Clock,
    supervisor: &Supervisor,
) -> ListenerHandle {
    let certificate = settings.certificate.clone();
    if let Some(certificate) = &certificate {
        let renew = Arc::clone(certificate).renew(clock, supervisor.stopping());
        supervisor.spawn("webhook certificate", renew.map(Ok));
    }
    let (allowance, total) = BODY;
    let limits = BodyLimits {
        bytes: settings.body_limit,
        allowance,
        rate: RATE,
        total,
    };
    let server = Arc::new(Server::new(
        hooks,
        tallies,
        settings,
        limits,
        deliveries,
        supervisor.stopping(),
        clock,
    ));
    let handle = ListenerHandle {
        addresses: sockets.addresses().into(),
        server: Arc::clone(&server),
        certificate: certificate.clone(),
    };
    let connections = Connections::new(connections_at_most(), PER_CLIENT);
    let (mut made, inherited) = (sockets.made, sockets.from_systemd);
    let stays = sockets.stays;
    for socket in sockets.bound {
        let accept = Accept {
            server: Arc::clone(&server),
            connections: connections.clone(),
            certificate: certificate.clone(),
            supervisor: supervisor.clone(),
            stopping: supervisor.stopping(),
            clock,
        };
        let made = made.take();
        let stays = stays.clone();
        supervisor.spawn("webhooks", async move {
            accept.run(&socket).await;
            if stays.holds() {
                return Ok(());
            }
            if !inherited {
                accept.drain(&socket);
            }
            drop(socket);
            if let Some(path) = made
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::debug!("{} stays behind: {error}", path.display());
            }
            Ok(())
        });
    }
    handle
}

/// Half of the files that the process may open: the rest is for the work itself.
fn connections_at_most() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let half = files.map_or(usize::MAX, |files| {
        usize::try_from(files / 2).unwrap_or(usize::MAX)
    });
    CONNECTIONS.min(half)
}

/// What it takes to accept.
struct Accept {
    server: Arc<Server>,
    connections: Connections,
    certificate: Option<Arc<CurrentCertificate>>,
    supervisor: Supervisor,
    stopping: CancellationToken,
    clock: Clock,
}

impl Accept {
    /// Accepts what waits in a socket that no other listener takes over, so that it is not reset.
    fn drain(&self, socket: &Socket) {
        for _ in 0..CONNECTIONS {
            if !matches!(self.accept(socket).now_or_never(), Some(Ok(()))) {
                return;
            }
        }
    }

    async fn run(&self, socket: &Socket) {
        loop {
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = self.accept(socket) => accepted,
            };
            let Err(error) = accepted else {
                if self.connections.is_full() {
                    // The connection that makes room closes its socket before the next is accepted.
                    tokio::task::yield_now().await;
                }
                continue;
            };
            // A connection that was closed before it was accepted is not worth a log line.
            if error.kind() == io::ErrorKind::ConnectionAborted {
                continue;
            }
            tracing::warn!("no connection can be taken now: {error}");
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(EXHAUSTED) => {}
            }
        }
    }

    async fn accept(&self, socket: &Socket) -> io::Result<()> {
        match socket {
            Socket::Tcp(tcp) => {
                let (stream, address) = tcp.accept().await?;
                // Answers are written in one piece; nothing is gained by waiting for more.
                stream.set_nodelay(true).unwrap_or_default();
                self.begin(stream, Peer::Ip(address.ip().to_canonical()));
            }
            Socket::Unix(unix) => {
                let (stream, _) = unix.accept().await?;
                self.begin(stream, Peer::Local);
            }
        }
        Ok(())
    }

    /// Serves a connection, or closes it at once where there are too many.
    fn begin<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (server, clock) = (Arc::clone(&self.server), self.clock);
        let leave = CancellationToken::new();
        let alone = peer.alone(&server.proxies);
        let Some(slot) = self.connections.open(alone, leave.clone()) else {
            tracing::debug!(?peer, "too many connections");
            return;
        };
        let client = Arc::new(Connection {
            peer,
            deadlines: Deadlines::new(clock, HEAD),
            slot,
        });
        let stopping = self.stopping.clone();
        let acceptor = self.certificate.as_ref().map(|current| current.acceptor());
        self.supervisor.spawn("webhook connection", async move {
            tokio::select! {
                biased;
                // At once, whatever it is at: its slot is given away.
                () = leave.cancelled() => tracing::debug!(?peer, "it has to make room"),
                () = async {
                    let Some(acceptor) = acceptor else {
                        return converse(stream, server, client, clock, stopping).await;
                    };
                    // TLS takes much more memory, which a plain connection must not be given too.
                    Box::pin(async {
                        let shaken = handshake(acceptor, stream, &client.deadlines, &stopping, BEGIN);
                        match shaken.await {
                            Ok(stream) => converse(stream, server, client, clock, stopping).await,
                            Err(why) => server.failed_handshake(peer, why),
                        }
                    })
                    .await;
                } => {}
            }
            Ok(())
        });
    }
}

/// Answers the requests of one connection, until it ends or everything stops.
async fn converse<S>(
    stream: S,
    server: Arc<Server>,
    client: Arc<Connection>,
    clock: Clock,
    stopping: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::clone(&client);
    let service = service_fn(move |request| {
        Box::pin(Arc::clone(&server).answer(request, Arc::clone(&shared)))
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(BUFFER)
        // Who has sent a delivery and says that nothing more comes still wants its answer.
        .half_close(true)
        // An answer is small: to copy it behind its head costs less than to send two pieces.
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    let deadlines = &client.deadlines;
    let old = clock.now().after(AGE);
    let mut ended = tokio::select! {
        biased;
        ended = attend(&mut connection, deadlines, clock, old) => ended,
        () = stopping.cancelled() => false,
    };
    if !ended {
        // What a client that has just connected is about to send would be lost, and is not sent again.
        let begins = clock.now().after(BEGIN);
        ended = tokio::select! {
            biased;
            ended = attend(&mut connection, deadlines, clock, begins) => ended,
            // Only `attend` sets it, and `biased` polls that first: this branch needs no waker.
            () = poll_fn(|_| if deadlines.has_begun() { Poll::Ready(()) } else { Poll::Pending }) => false,
        };
    }
    if !ended {
        Pin::new(&mut connection).graceful_shutdown();
        let gone = clock.now().after(GRACE);
        if !attend(&mut connection, deadlines, clock, gone).await {
            return;
        }
    }
    let stream = connection.into_parts().io.into_inner();
    // A client that has not read its response by then will not.
    drop(tokio::time::timeout(LINGER, linger(stream)).await);
}

/// Answers until the connection ends, which it does when a head comes too late: `true`. Or until
/// then: `false`.
async fn attend<S, F>(
    connection: &mut http1::Connection<TokioIo<S>, F>,
    deadlines: &Deadlines,
    clock: Clock,
    until: Time,
) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible> + Unpin,
    F::Future: Unpin,
{
    while clock.now() < until {
        tokio::select! {
            biased;
            // An error was answered, as far as it can be; there is nothing else to do about it.
            _ = poll_fn(|context| connection.poll_without_shutdown(context)) => return true,
            ran_out = deadlines.run_out(until) => match ran_out {
                RanOut::Head => return true,
                // Who reads it finds that out by itself.
                RanOut::Body | RanOut::Nothing => {}
            }
        }
    }
    false
}

/// Says that nothing more comes, and swallows what the client still sends: closing on unread bytes
/// would reset the connection, and with it the answer.
async fn linger<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.shutdown().await?;
    let mut swallowed = vec![0; 4 << 10];
    while stream.read(&mut swallowed).await? > 0 {}
    Ok(())
}
