//! Decides whether a delivery is authentic, while its body streams by. Whatever is wrong with a
//! delivery, the same work is done up to the end, and only then something is said.

use std::fmt;

use axum::http::HeaderMap;
use ring::digest::{self, SHA256};
use ring::{hmac, signature};
use subtle::{Choice, ConstantTimeEq as _};

use super::headers::bearer;
use super::secret::{Secrets, fixed, sha256};
use super::signature::{Claim, Scheme};

/// The largest body that is kept to verify an Ed25519 signature, which can't be verified in pieces.
const KEPT_BYTES: usize = 1 << 20;

/// Why a delivery is not authentic. For the log and the metrics only: an answer never says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A header that has to be there is not, or is empty.
    Missing,
    /// A header that may be there once is there again.
    Twice,
    /// A header that is not written as the kind writes it.
    Malformed,
    /// A timestamp that is too far from now.
    Expired,
    /// The signature or the token is wrong.
    Wrong,
    /// The body is larger than 1 MiB, and its scheme can't verify more.
    TooLarge,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Missing,
        Self::Twice,
        Self::Malformed,
        Self::Expired,
        Self::Wrong,
        Self::TooLarge,
    ];

    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Twice => "twice",
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::Wrong => "wrong",
            Self::TooLarge => "too_large",
        }
    }
}

/// The proof that a delivery was verified; only [`Verifier::finish`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentic {
    digest: [u8; 32],
    signed: bool,
    id: Option<String>,
}

impl Authentic {
    /// A digest of everything that is signed; where nothing is, of the body.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The same; `None` where nothing is signed.
    pub(super) fn signed_digest(&self) -> Option<&[u8; 32]> {
        self.signed.then_some(&self.digest)
    }

    /// The id that the signature covers, where the scheme has one.
    #[must_use]
    pub fn signed_id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// A delivery that is being verified.
pub struct Verifier<'r> {
    scheme: &'r Scheme,
    secrets: Option<&'r Secrets>,
    claim: Result<Claim, Refused>,
    /// What came of comparing tokens, for the schemes that do.
    token: Result<(), Refused>,
    /// The SHA-256 of the body, for schemes without a MAC over it.
    body: Option<digest::Context>,
    /// A MAC for each secret.
    macs: Vec<hmac::Context>,
    /// What is signed, for the scheme that needs it in one piece.
    kept: Vec<u8>,
    too_large: bool,
}

impl<'r> Verifier<'r> {
    pub(super) fn new(
        scheme: &'r Scheme,
        secrets: Option<&'r Secrets>,
        headers: &HeaderMap,
        now_unix: i64,
    ) -> Self {
        let claim = scheme.claim(headers, now_unix);
        let token = match (scheme, secrets) {
            (Scheme::Bearer, Some(secrets)) => secrets.knows(bearer(headers)),
            (Scheme::Token(name), Some(secrets)) => {
                secrets.knows(super::headers::one(headers, name))
            }
            (Scheme::Open, None) => Ok(()),
            (_, Some(_)) if scheme.signs() => Ok(()),
            // A route is never made like that.
            _ => Err(Refused::Missing),
        };
        let mut macs = match secrets {
            Some(secrets) if scheme.signs() => secrets.contexts(),
            _ => Vec::new(),
        };
        let before: &[u8] = claim.as_ref().map_or(&[], |claim| &claim.before);
        for mac in &mut macs {
            mac.update(before);
        }
        let kept = match scheme {
            Scheme::StandardEd25519 => before.to_vec(),
            _ => Vec::new(),
        };
        Self {
            scheme,
            secrets,
            token,
            body: (!scheme.macs_body()).then(|| digest::Context::new(&SHA256)),
            macs,
            kept,
            too_large: false,
            claim,
        }
    }

    /// Whether the headers alone say that it is not authentic. The body is worth no memory then; the
    /// work on it is the same, and so is the answer.
    pub(super) fn is_hopeless(&self) -> bool {
        self.claim.is_err() || self.token.is_err()
    }

    /// Takes the next bytes of the body, as they came.
    pub fn update(&mut self, chunk: &[u8]) {
        if let Some(body) = &mut self.body {
            body.update(chunk);
        }
        if self.scheme.macs_body() {
            for mac in &mut self.macs {
                mac.update(chunk);
            }
        }
        if matches!(self.scheme, Scheme::StandardEd25519) {
            if self.kept.len() + chunk.len() > KEPT_BYTES {
                self.too_large = true;
                self.kept = Vec::new();
            }
            if !self.too_large {
                self.kept.extend_from_slice(chunk);
            }
        }
    }

    /// Decides, when the body is complete.
    pub fn finish(self) -> Result<Authentic, Refused> {
        let body = self.body.map(|body| fixed(&body.finish()));
        // What no claim says is compared all the same, with zeros.
        let nothing;
        let claim = if let Ok(claim) = &self.claim {
            claim
        } else {
            nothing = Claim {
                signatures: vec![vec![0; self.scheme.signature_length()]],
                ..Claim::default()
            };
            &nothing
        };
        let mut right = Choice::from(0);
        let mut first = None;
        for mut mac in self.macs {
            mac.update(&claim.after);
            let tag = mac.sign();
            for signature in &claim.signatures {
                right |= tag.as_ref().ct_eq(signature);
            }
            first.get_or_insert(tag);
        }
        if let Some(claimed) = &claim.body {
            right &= claimed.ct_eq(&body.unwrap_or_default());
        }
        for key in self.secrets.map(Secrets::public).unwrap_or_default() {
            let key = signature::UnparsedPublicKey::new(&signature::ED25519, key);
            for signature in &claim.signatures {
                let good = key.verify(&self.kept, signature).is_ok() && !self.too_large;
                right |= Choice::from(u8::from(good));
            }
        }
        let claim = self.claim?;
        self.token?;
        if self.too_large {
            return Err(Refused::TooLarge);
        }
        let signed = self.scheme.signs();
        if signed && !bool::from(right) {
            return Err(Refused::Wrong);
        }
        let digest = match (body, first) {
            // A MAC is a digest of what it is made of; its own digest can't be used as a signature.
            (None, Some(tag)) => sha256(tag.as_ref()),
            (Some(body), _) if !signed => body,
            (body, _) => {
                let mut all = digest::Context::new(&SHA256);
                for part in [&claim.before[..], &claim.after] {
                    all.update(&part.len().to_be_bytes());
                    all.update(part);
                }
                all.update(&body.unwrap_or_default());
                fixed(&all.finish())
            }
        };
        Ok(Authentic {
            digest,
            signed,
            id: claim.id,
        })
    }
}

/// Which scheme it is of; what a sender claims is nobody's business.
impl fmt::Debug for Verifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({:?})", self.scheme)
    }
}
