//! What a delivery's headers claim: which bytes were signed, and the signatures over them. Each
//! scheme is a value, fixed by the configuration; nothing a sender sends chooses among them.

use std::fmt;

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, HeaderName};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::hmac;

use super::headers::one;
use super::refused::Refused;
use super::secret::Form;
use super::timestamp::{self, Unit};

/// The most signatures that one header may list: senders list one for each of their own keys.
pub(in crate::webhook) const MAX_SIGNATURES: usize = 16;

/// The bytes of an Ed25519 signature.
pub(in crate::webhook) const ED25519_LENGTH: usize = 64;

/// How a route's deliveries are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all; only for a listener that others can't reach.
    Open,
    /// The secret itself, as `Authorization: Bearer`.
    Bearer,
    /// The secret itself, in a header of its own, behind this prefix.
    Token(HeaderName, String),
    /// Name and password, `NAME:PASSWORD`, as `Authorization: Basic`.
    Basic,
    /// A MAC over the body, perhaps with a timestamp.
    Mac(Mac),
    /// The scheme of one kind, which its file describes, and the path that its sender signs, where
    /// that is not the route's.
    Own(&'static Protocol, Option<String>),
}

/// Says which of the headers of a delivery has the timestamp, and in which unit.
type TimestampHeader = fn(&HeaderMap) -> (HeaderName, Unit);

/// A signature scheme that only one kind describes.
pub struct Protocol {
    /// Its name; no other has it.
    pub(in crate::webhook) name: &'static str,
    /// What the secrets' texts stand for.
    pub(in crate::webhook) form: Form,
    /// What a signature is made over.
    pub(in crate::webhook) signed: Signed,
    /// What the headers of a delivery to this path claim, at this time in seconds since 1970.
    pub(in crate::webhook) claim: fn(&str, &HeaderMap, i64) -> Result<Claim, Refused>,
    /// The headers that `claim` reads, of these that a delivery has.
    pub(in crate::webhook) reads: fn(&HeaderMap) -> Vec<HeaderName>,
    /// The header of the timestamp, and its unit; `None` where nothing has a time.
    pub(in crate::webhook) timestamp: Option<TimestampHeader>,
    /// What the signature's header has to hold, in words.
    pub(in crate::webhook) written: &'static str,
}

/// What a signature of a [`Protocol`] is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Signed {
    /// The claim and the body, by HMAC-SHA256.
    Body,
    /// The claim, by HMAC-SHA256; the claim has the body's digest.
    Digest,
    /// The claim and the body, by Ed25519, which needs both in one piece.
    Whole,
}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Protocol {}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A MAC in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mac {
    /// The header that has it.
    pub header: HeaderName,
    /// What stands before it.
    pub prefix: String,
    /// How it is written.
    pub encoding: Encoding,
    /// What it is made with.
    pub digest: Digest,
    /// Where its timestamp is, where it has one.
    pub stamp: Option<Stamp>,
    /// What is signed before the body, and after it.
    pub around: (Vec<Piece>, Vec<Piece>),
}

/// Where a signed timestamp is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Where it is.
    pub place: StampPlace,
    /// What it counts.
    pub unit: Unit,
}

/// See [`Stamp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StampPlace {
    /// In a header of its own.
    Header(HeaderName),
    /// In the signature's header, `NAME=` in a list that is separated by commas.
    Field(String),
}

/// A part of what is signed besides the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Text(String),
    /// The timestamp, as it was sent.
    Timestamp,
}

/// How bytes are written in a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, lower case.
    HexLower,
    /// Hexadecimal, either case.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64 for URLs, without padding.
    Base64Url,
}

/// The hash function of a MAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// Only for senders that have nothing better.
    Sha1,
    /// The usual one.
    #[default]
    Sha256,
    /// The long one.
    Sha512,
}

impl Digest {
    /// The MAC with this hash function.
    pub(in crate::webhook) fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// The MAC's length in bytes.
    pub(in crate::webhook) fn length(self) -> usize {
        self.algorithm().digest_algorithm().output_len()
    }
}

impl Encoding {
    /// How that is called.
    pub(in crate::webhook) const fn as_str(self) -> &'static str {
        match self {
            Self::HexLower => "lower-case hexadecimal",
            Self::Hex => "hexadecimal",
            Self::Base64 => "base64",
            Self::Base64Url => "base64 for URLs",
        }
    }

    /// The bytes, if they are written in their only form and are `length` bytes.
    pub(in crate::webhook) fn decode(self, text: &str, length: usize) -> Option<Vec<u8>> {
        let encoding = match self {
            Self::HexLower => &HEXLOWER,
            Self::Hex => &HEXLOWER_PERMISSIVE,
            Self::Base64 => &BASE64,
            Self::Base64Url => &BASE64URL_NOPAD,
        };
        let bytes = encoding.decode(text.as_bytes()).ok()?;
        (bytes.len() == length).then_some(bytes)
    }
}

/// What the headers of a delivery claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::webhook) struct Claim {
    /// What is signed before the body.
    pub(in crate::webhook) before: Vec<u8>,
    /// What is signed after the body.
    pub(in crate::webhook) after: Vec<u8>,
    /// The signatures, of which one has to be right; each as long as they are.
    pub(in crate::webhook) signatures: Vec<Vec<u8>>,
    /// An id that is signed.
    pub(in crate::webhook) id: Option<String>,
    /// The body's digest, where that is what is signed; then `before` is all of what is signed.
    pub(in crate::webhook) body: Option<[u8; 32]>,
}

impl Scheme {
    /// The MAC's hash function.
    pub(in crate::webhook) fn digest(&self) -> Digest {
        match self {
            Self::Mac(mac) => mac.digest,
            _ => Digest::Sha256,
        }
    }

    /// The bytes of a signature.
    pub(super) fn signature_length(&self) -> usize {
        if self.has_public_key() {
            return ED25519_LENGTH;
        }
        self.digest().length()
    }

    /// What a signature is made over; `None` where nothing is signed.
    pub(in crate::webhook) fn signed(&self) -> Option<Signed> {
        match self {
            Self::Open | Self::Bearer | Self::Token(..) | Self::Basic => None,
            Self::Mac(_) => Some(Signed::Body),
            Self::Own(protocol, _) => Some(protocol.signed),
        }
    }

    /// Whether the configured key is public, and so no secret.
    pub(in crate::webhook) fn has_public_key(&self) -> bool {
        self.signed() == Some(Signed::Whole)
    }

    /// What the secrets' texts stand for.
    pub(in crate::webhook) fn form(&self) -> Form {
        match self {
            Self::Open | Self::Mac(_) => Form::Text,
            Self::Bearer | Self::Token(..) => Form::Token,
            Self::Basic => Form::Basic,
            Self::Own(protocol, _) => protocol.form,
        }
    }

    /// Whether a signature covers the body.
    pub(in crate::webhook) fn signs(&self) -> bool {
        self.signed().is_some()
    }

    /// What the headers of a delivery to the route at `path` claim; nothing for schemes that do not
    /// sign.
    pub(in crate::webhook) fn claim(
        &self,
        path: &str,
        headers: &HeaderMap,
        now_unix: i64,
    ) -> Result<Claim, Refused> {
        match self {
            // A page in a browser on this machine reaches a listener that only this machine reaches.
            Self::Open if headers.contains_key(ORIGIN) => Err(Refused::Malformed),
            Self::Open | Self::Bearer | Self::Token(..) | Self::Basic => Ok(Claim::default()),
            Self::Mac(mac) => mac.claim(headers, now_unix),
            Self::Own(protocol, external) => {
                (protocol.claim)(external.as_deref().unwrap_or(path), headers, now_unix)
            }
        }
    }
}

impl Mac {
    /// A MAC over the body and nothing else, in lower-case hexadecimal.
    pub(in crate::webhook) fn of_body(header: &'static str, prefix: &str) -> Self {
        Self {
            header: HeaderName::from_static(header),
            prefix: prefix.to_owned(),
            encoding: Encoding::HexLower,
            digest: Digest::Sha256,
            stamp: None,
            around: (Vec::new(), Vec::new()),
        }
    }

    fn claim(&self, headers: &HeaderMap, now_unix: i64) -> Result<Claim, Refused> {
        let value = one(headers, &self.header)?;
        let mut stamp = "";
        if let Some(Stamp { place, unit }) = &self.stamp {
            stamp = match place {
                StampPlace::Header(name) => one(headers, name)?,
                StampPlace::Field(name) => stamp_in(value, name)?,
            };
            timestamp::check(stamp, *unit, now_unix)?;
        }
        let signature = |text: &str| {
            let bytes = self.encoding.decode(text, self.digest.length());
            bytes.ok_or(Refused::Malformed)
        };
        let listed = matches!(
            self.stamp,
            Some(Stamp {
                place: StampPlace::Field(_),
                ..
            })
        );
        if listed && fields(value).any(str::is_empty) {
            return Err(Refused::Malformed);
        }
        let signatures: Vec<Vec<u8>> = if listed {
            // Other fields are other schemes, which are not configured.
            let ours = fields(value).filter_map(|f| f.strip_prefix(self.prefix.as_str()));
            ours.take(MAX_SIGNATURES + 1)
                .map(signature)
                .collect::<Result<_, _>>()?
        } else {
            let text = value.strip_prefix(self.prefix.as_str());
            vec![signature(text.ok_or(Refused::Malformed)?)?]
        };
        if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
            return Err(Refused::Malformed);
        }
        let (before, after) = &self.around;
        Ok(Claim {
            before: filled(before, stamp),
            after: filled(after, stamp),
            signatures,
            ..Claim::default()
        })
    }
}

/// The timestamp in a signature's header.
pub(in crate::webhook) fn stamp_in<'h>(value: &'h str, name: &str) -> Result<&'h str, Refused> {
    let mut stamps = fields(value).filter_map(|f| field(f, name));
    let stamp = stamps.next().ok_or(Refused::Missing)?;
    if stamps.next().is_some() {
        return Err(Refused::Twice);
    }
    Ok(stamp)
}

fn fields(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|field| field.trim_matches(' '))
}

fn field<'f>(field: &'f str, name: &str) -> Option<&'f str> {
    field.strip_prefix(name)?.strip_prefix('=')
}

fn filled(pieces: &[Piece], timestamp: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Timestamp => timestamp.as_bytes(),
        });
    }
    bytes
}
