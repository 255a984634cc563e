//! What is wrong with a delivery that is not authentic: which header, and by how much its time is off.
//! For the log only. It never holds the value of a header, which may be a secret.

use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

use crate::webhook::auth::headers::{hint, one};
use crate::webhook::auth::refused::Refused;
use crate::webhook::auth::signature::{Mac, Scheme, StampPlace, stamp_in};
use crate::webhook::auth::timestamp::{TOLERANCE, Unit, off};
use crate::webhook::kind::{SENDERS, Sender, bitbucket};
use crate::webhook::payload::content::printable;

/// What a line of the log says of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) struct Diagnosis {
    /// What is wrong.
    pub(in crate::webhook) what: String,
    /// What to do about it.
    pub(in crate::webhook) remedy: String,
}

impl Diagnosis {
    pub(in crate::webhook) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// The headers that a scheme reads, and what each has to look like.
fn read_by(scheme: &Scheme, headers: &HeaderMap) -> Vec<HeaderName> {
    match scheme {
        Scheme::Open => vec![ORIGIN],
        Scheme::Bearer | Scheme::Basic => vec![AUTHORIZATION],
        Scheme::Token(name, _) => vec![name.clone()],
        Scheme::Mac(mac) => {
            let stamp = mac.stamp.as_ref().and_then(|stamp| match &stamp.place {
                StampPlace::Header(name) => Some(name.clone()),
                StampPlace::Field(_) => None,
            });
            [mac.header.clone()].into_iter().chain(stamp).collect()
        }
        Scheme::Own(protocol, _) => (protocol.reads)(headers),
    }
}

/// What the header that proves who sent it has to hold.
fn form(scheme: &Scheme) -> String {
    match scheme {
        Scheme::Open => "nothing".to_owned(),
        Scheme::Bearer => "`Bearer`, a space, and the secret".to_owned(),
        Scheme::Basic => "`Basic`, a space, and name and password in base64".to_owned(),
        Scheme::Token(_, prefix) if prefix.is_empty() => "the secret".to_owned(),
        Scheme::Token(_, prefix) => format!("`{prefix}` and the secret"),
        Scheme::Mac(mac) => mac_form(mac),
        Scheme::Own(protocol, _) => protocol.written.to_owned(),
    }
}

fn mac_form(mac: &Mac) -> String {
    let prefix = match mac.prefix.as_str() {
        "" => String::new(),
        prefix => format!("`{prefix}` and "),
    };
    let (bytes, encoding) = (mac.digest.length(), mac.encoding.as_str());
    format!("{prefix}{bytes} bytes in {encoding}")
}

/// The time that a delivery claims, its header, and its unit.
fn stamp<'h>(scheme: &Scheme, headers: &'h HeaderMap) -> Option<(HeaderName, &'h str, Unit)> {
    let (name, unit) = match scheme {
        Scheme::Mac(mac) => {
            let stamp = mac.stamp.as_ref()?;
            match &stamp.place {
                StampPlace::Header(name) => (name.clone(), stamp.unit),
                StampPlace::Field(name) => {
                    let text = stamp_in(one(headers, &mac.header).ok()?, name).ok()?;
                    return Some((mac.header.clone(), text, stamp.unit));
                }
            }
        }
        Scheme::Own(protocol, _) => (protocol.timestamp?)(headers),
        Scheme::Open | Scheme::Bearer | Scheme::Basic | Scheme::Token(..) => return None,
    };
    let text = one(headers, &name).ok()?;
    Some((name, text, unit))
}

/// What is wrong with a delivery, and what to do.
pub(super) fn of(scheme: &Scheme, why: Refused, headers: &HeaderMap, now_unix: i64) -> Diagnosis {
    if matches!(scheme, Scheme::Open) {
        return Diagnosis::new(
            "it has the header origin, as a page in a browser sends it, and the route takes auth = \"none\"",
            "give the route a secret, or send without that header",
        );
    }
    let mut read = read_by(scheme, headers);
    let with = |wanted: Refused| {
        let wrong = |name: &HeaderName| one(headers, name).err() == Some(wanted);
        let names: Vec<&str> = read
            .iter()
            .filter(|n| wrong(n))
            .map(HeaderName::as_str)
            .collect();
        // A sender may list names of its own.
        printable(&names.join(", "))
    };
    match why {
        Refused::Missing => missing(scheme, &with(why), headers),
        Refused::Twice => {
            let names = match with(why) {
                none if none.is_empty() => "the signature".to_owned(),
                names => format!("the header {names}"),
            };
            Diagnosis::new(
                format!("{names} is there more than once"),
                "let one only pass, the sender's: a proxy on the way may add another",
            )
        }
        Refused::Expired => expired(scheme, headers, now_unix),
        Refused::Malformed => {
            let odd_time = stamp(scheme, headers).and_then(|(name, text, unit)| {
                let number = text.parse::<i64>().is_ok();
                (!number || off(text, unit, now_unix).is_none()).then_some((name, unit))
            });
            if let Some((name, unit)) = odd_time {
                return Diagnosis::new(
                    format!(
                        "the time in the header {name} is no whole number of {} since 1970",
                        unit.as_str()
                    ),
                    "correct the sender, or what the route says of its time (`timestamp_unit`)",
                );
            }
            Diagnosis::new(
                format!(
                    "the header {} is not written as the route reads it",
                    read.swap_remove(0)
                ),
                format!(
                    "it has to hold {}; see that `kind` and `auth` are what the sender has{}",
                    form(scheme),
                    other_kind(headers)
                ),
            )
        }
        Refused::Wrong if scheme.signs() => Diagnosis::new(
            format!(
                "the signature in the header {} is not made of this body with the route's secret",
                read.swap_remove(0)
            ),
            "compare the secret at the sender with the route's (a new one in a systemd credential takes a \
             restart), and see that no proxy changes the body",
        ),
        Refused::Wrong => Diagnosis::new(
            format!(
                "what is in the header {} is not the route's secret",
                read.swap_remove(0)
            ),
            "compare the secret at the sender with the route's (a new one in a systemd credential takes a restart)",
        ),
        Refused::TooLarge => Diagnosis::new(
            "the body is larger than 1 MiB, which an Ed25519 signature is not verified of",
            "let the sender send less, or sign with a shared secret",
        ),
    }
}

fn missing(scheme: &Scheme, names: &str, headers: &HeaderMap) -> Diagnosis {
    if names.is_empty() {
        return Diagnosis::new(
            "the signature's header has no time in it",
            "see that `timestamp_field` is what the sender writes",
        );
    }
    if hint(headers, "x-event-key") == Some(bitbucket::CONNECTION_TEST) {
        return Diagnosis::new(
            format!(
                "the header {names} is missing: Bitbucket Data Center does not sign its connection test"
            ),
            "nothing: the button \"Test connection\" can't succeed, and deliveries are signed where the webhook there has \
             the route's secret",
        );
    }
    Diagnosis::new(
        format!("the header {names} is missing or empty"),
        format!(
            "give the sender the route's secret, and see that no proxy drops the header; a signature or \
             token has to be {}{}",
            form(scheme),
            other_kind(headers)
        ),
    )
}

/// Whose headers a delivery has, where that may be another sender than the route's.
fn other_kind(headers: &HeaderMap) -> String {
    let of = |sender: &Sender| {
        let mut names = sender.known_by.iter();
        let name = names.find(|name| headers.contains_key(**name))?;
        Some(format!(
            "; it has {name}, as kind = \"{}\" sends it",
            sender.name
        ))
    };
    let known = SENDERS.iter().find_map(|sender| of(sender));
    known.unwrap_or_default()
}

fn expired(scheme: &Scheme, headers: &HeaderMap, now_unix: i64) -> Diagnosis {
    let stamped = stamp(scheme, headers).and_then(|(name, text, unit)| {
        let ahead = off(text, unit, now_unix)?;
        let side = if ahead < 0 { "behind" } else { "ahead of" };
        Some(format!(
            "the time in the header {name} is {} s {side} this machine's clock, more than {TOLERANCE} s",
            ahead.unsigned_abs()
        ))
    });
    Diagnosis::new(
        stamped.unwrap_or_else(|| "its time is too far from this machine's clock".to_owned()),
        "set the clocks of both machines by NTP; one that was queued for so long has to be signed anew by its sender",
    )
}
