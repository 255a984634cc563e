//! Reads `[webhooks]`: where deploy webhooks come in, and what may come.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use toml::de::DeValue;

use super::defaults;
use super::model::{WebhookListen, Webhooks};
use super::range;
use super::reader::Reader;
use super::section::Section;
use super::size;
use super::state::SOCKET_PATH_LIMIT;
use super::value::{Complaint, Value, complain, read_size, text};

const LISTEN_HINT: &str = "write an IP address and a port, such as \"127.0.0.1:8787\", or \"unix:\" and the path \
                           of a socket";

/// The largest body that may be allowed, in bytes.
const MOST_BODY: u64 = 100 << 20;

/// Reads `[webhooks]`.
pub(super) fn read(reader: &mut Reader<'_>, mut section: Section<'_>) -> Webhooks {
    let listen = reader.setting(
        &mut section,
        "listen",
        WebhookListen::Tcp(defaults::WEBHOOKS_LISTEN),
        range::any,
    );
    let body_limit = reader.setting(
        &mut section,
        "body_limit",
        Bytes(defaults::BODY_LIMIT),
        |bytes| {
            if (1..=MOST_BODY).contains(&bytes.0) {
                return Ok(());
            }
            complain("is out of range", "write \"1 B\" to \"100 MiB\"")
        },
    );
    let proxies = reader.list(
        &mut section,
        "trusted_proxies",
        "write a list of networks, such as [\"10.0.0.0/8\"]",
        read_network,
    );
    let from = reader.source(proxies.span.as_ref());
    let trusted_proxies = proxies.value.unwrap_or_default();
    let written: Vec<String> = trusted_proxies.iter().map(IpNet::to_string).collect();
    reader.record(&section, "trusted_proxies", Some(written.into()), from);
    let failed_auth_per_minute = reader.setting(
        &mut section,
        "failed_auth_per_minute",
        defaults::FAILED_AUTH_PER_MINUTE,
        range::any,
    );
    reader.end(&section);
    Webhooks {
        listen: listen.value,
        body_limit: body_limit.value.0,
        trusted_proxies,
        failed_auth_per_minute: failed_auth_per_minute.value,
    }
}

impl Webhooks {
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
fn read_network(value: &DeValue<'_>) -> Result<IpNet, Complaint> {
    const HINT: &str = "write a network such as \"10.0.0.0/8\", or an address";
    let text = text(value, HINT)?;
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
}

impl Value for WebhookListen {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        let text = text(value, LISTEN_HINT)?;
        let Some(path) = text.strip_prefix("unix:") else {
            return text
                .parse()
                .map(Self::Tcp)
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
                format!(
                    "is longer than {SOCKET_PATH_LIMIT} bytes, the most a socket's path can have"
                ),
                "choose a shorter path",
            );
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        })
    }
}

/// A size.
struct Bytes(u64);

impl Value for Bytes {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        read_size(value).map(Self)
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(size::written(self.0))
    }
}
