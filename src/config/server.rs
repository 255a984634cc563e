//! The URL of a server that keys or signatures are sent to.

use url::{Host, Url};

use super::value::{Complaint, complain};

/// Reads a URL that is https, or http on loopback. `sends` is what is sent there, `hint` what to write.
pub(super) fn parse(text: &str, sends: &str, hint: &str) -> Result<Url, Complaint> {
    let Ok(url) = Url::parse(text) else {
        return complain("is not a URL", hint);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return complain(
            "holds a user name or password",
            "remove it; what authenticates is the key",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return complain(
            "has a query or a fragment",
            "remove everything from ? or # on",
        );
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return complain("names no host", hint),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => complain(
            format!("would send {sends} without encryption"),
            "write https://; http is only for loopback addresses",
        ),
        _ => complain("is not an https URL", hint),
    }
}
