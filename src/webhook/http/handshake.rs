//! The TLS handshake of a connection, within the time for its first head; and why one came to nothing.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, Error, InvalidMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::deadlines::{Deadlines, RanOut};
use crate::core::time::Time;
use crate::webhook::route::diagnosis::Diagnosis;

/// Why a handshake came to nothing.
pub(super) enum Unfinished {
    /// The client closed the connection, as one does that only tries whether the port is open.
    Left,
    /// It can't go on.
    Failed(Diagnosis),
}

/// Accepts a connection in TLS. Once everything stops, it has so long.
pub(super) async fn handshake<S>(
    acceptor: TlsAcceptor,
    stream: S,
    deadlines: &Deadlines,
    stopping: &CancellationToken,
    begin: Duration,
) -> Result<TlsStream<S>, Unfinished>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stopped = async {
        stopping.cancelled().await;
        tokio::time::sleep(begin).await;
    };
    let late =
        async { while deadlines.run_out(Time::from_millis(u64::MAX)).await != RanOut::Head {} };
    let why = tokio::select! {
        biased;
        accepted = acceptor.accept(stream) => match accepted {
            Ok(stream) => return Ok(stream),
            Err(error) => diagnosis(&error).ok_or(Unfinished::Left)?,
        },
        () = late => Diagnosis::new(
            "the handshake did not come in time",
            "see to the network between the client and this machine",
        ),
        () = stopped => Diagnosis::new("edgepurge stops", "let the sender try again"),
    };
    Err(Unfinished::Failed(why))
}

/// What is wrong with a handshake, and what to do; `None` where the connection was closed.
fn diagnosis(error: &io::Error) -> Option<Diagnosis> {
    let of_tls = error.get_ref()?.downcast_ref()?;
    Some(match of_tls {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Diagnosis::new(
            "the client does not speak TLS",
            "let the sender call https://, not http://",
        ),
        Error::PeerIncompatible(why) => Diagnosis::new(
            format!("the client speaks no TLS that is taken here: {why:?}"),
            "let it speak TLS 1.2 or 1.3",
        ),
        Error::NoApplicationProtocol => Diagnosis::new(
            "the client wants another protocol than HTTP/1.1",
            "let it offer http/1.1 by ALPN, or nothing",
        ),
        Error::AlertReceived(alert) => refused(*alert),
        other => Diagnosis::new(
            format!("the handshake failed: {other}"),
            "see what the client is, and what stands between",
        ),
    })
}

/// The client has said why it does not go on.
fn refused(alert: AlertDescription) -> Diagnosis {
    Diagnosis::new(
        format!("the client refuses the certificate or the connection: {alert:?}"),
        "see that the certificate is for the name that the sender calls, has its chain (certbot: fullchain.pem) and is \
         not expired: `edgepurge check`",
    )
}
