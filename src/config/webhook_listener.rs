//! `[webhooks]`: where deploy webhooks come in, and what may come.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::certificate::CertificateFiles;
use super::keys::table;
use super::model::WebhookListen;
use super::range::nonzero;
use super::reader::Reader;
use super::section::Section;
use super::shape::Shape;
use super::state::SOCKET_PATH_LIMIT;
use super::syntax::{Syntax, bytes, list, parsed};
use super::value::{Complaint, complain, number, path};

const LISTEN_HINT: &str = "write an IP address and a port, such as \"127.0.0.1:8787\", or \"unix:\" and the path \
                           of a socket";

table! {
    /// Where deploy webhooks come in, for the routes of [[pipeline.webhook]]. Nothing has to listen while no
    /// pipeline has a webhook.
    "[webhooks]" => Webhooks, WebhooksKeys {
        /// Where deliveries come in, unless systemd hands over a socket: an address, or `unix:` and a path.
        listen: WebhookListen =
            default(WebhookListen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)))), listen();
        /// The largest body; the default is what GitHub sends at most.
        body_limit: u64 = default(25 << 20), bytes(1..=100 << 20);
        /// The networks of the proxies whose word about the client is believed (X-Forwarded-For, Forwarded).
        trusted_proxies: Vec<IpNet> = default(Vec::new()), list(
            "write a list of networks, such as [\"10.0.0.0/8\"]",
            network(),
        );
        /// Failed authentications of one client in a minute; an authentic delivery is never refused for its rate.
        failed_auth_per_minute: NonZeroU32 = default(nonzero(30)), number(1..=u64::from(u32::MAX), "failures");
        /// The file of the certificate and its chain, in PEM form, for HTTPS without a proxy; read again when it
        /// changes. Without it and `tls_key_file`, deliveries come in plain HTTP.
        tls_certificate_file: PathBuf = optional(), path();
        /// The file of its private key, in PEM form without a passphrase, which others than the owner can't read.
        tls_key_file: PathBuf = optional(), path();
    }
}

/// Reads `[webhooks]`.
pub(super) fn read(reader: &mut Reader<'_>, mut section: Section<'_>) -> Webhooks {
    let keys = WebhooksKeys::read(reader, &mut section);
    let certificate = ("tls_certificate_file", &keys.tls_certificate_file);
    let key = ("tls_key_file", &keys.tls_key_file);
    for ((name, given), (other, missing)) in [(certificate, key), (key, certificate)] {
        if let (Some(_), Some(span), None) = (&given.value, &given.span, &missing.span) {
            let why = format!("goes with {other}, which is not there");
            let hint =
                format!("name both files, or leave {name} out for plain HTTP behind a proxy");
            let complaint = Complaint { why, hint };
            reader.report(&section.key(name), span, &complaint);
        }
    }
    reader.end(&section);
    keys.complete()
}

impl Webhooks {
    /// The files of the certificate; `None` for plain HTTP.
    #[must_use]
    pub fn certificate_files(&self) -> Option<CertificateFiles> {
        Some(CertificateFiles {
            certificate: self.tls_certificate_file.clone()?,
            key: self.tls_key_file.clone()?,
        })
    }

    /// Whether only this machine's processes can reach the listener.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.listen {
            WebhookListen::Tcp(address) => address.ip().is_loopback(),
            WebhookListen::Unix(_) => true,
        }
    }
}

/// A network, or one address.
fn network() -> Syntax<IpNet> {
    const HINT: &str = "write a network such as \"10.0.0.0/8\", or an address";
    let parse = |text: &str| {
        let network = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        match network {
            Ok(network) if network.trunc() == network => Ok(network),
            Ok(network) => complain(
                "has bits set behind its prefix",
                format!("write \"{}\"", network.trunc()),
            ),
            Err(_) => complain("is not a network", HINT),
        }
    };
    let shape = Shape::pattern("a network", "^[0-9a-fA-F.:]+(/[0-9]+)?$");
    parsed(shape, HINT, parse, IpNet::to_string)
}

/// Where a listener may be.
fn listen() -> Syntax<WebhookListen> {
    let shape = Shape::pattern(
        "an IP address with a port, or `unix:` and a path",
        "^unix:/|:[0-9]+$",
    );
    parsed(shape, LISTEN_HINT, parse_listen, |listen| match listen {
        WebhookListen::Tcp(address) => address.to_string(),
        WebhookListen::Unix(path) => format!("unix:{}", path.display()),
    })
}

fn parse_listen(text: &str) -> Result<WebhookListen, Complaint> {
    let Some(path) = text.strip_prefix("unix:") else {
        return text
            .parse()
            .map(WebhookListen::Tcp)
            .or_else(|_| complain("is not an IP address with a port", LISTEN_HINT));
    };
    if !Path::new(path).is_absolute() || path.contains('\0') {
        return complain(
            "does not name an absolute path",
            "write it from / on, such as \"unix:/run/edgepurge/webhook.sock\"",
        );
    }
    if path.len() > SOCKET_PATH_LIMIT {
        return complain(
            format!("is longer than {SOCKET_PATH_LIMIT} bytes, the most a socket's path can have"),
            "choose a shorter path",
        );
    }
    Ok(WebhookListen::Unix(PathBuf::from(path)))
}
