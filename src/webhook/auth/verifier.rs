//! Decides whether a delivery is authentic, while its body streams by. Whatever is wrong with a
//! delivery, the same work is done up to the end, and only then something is said.

use std::fmt;

use axum::http::HeaderMap;
use ring::digest::{self, SHA256};
use ring::{hmac, signature};
use subtle::{Choice, ConstantTimeEq as _};

use super::headers::{basic, bearer, token};
use super::refused::Refused;
use super::secret::{Secrets, fixed};
use super::signature::{Claim, Scheme, Signed};

/// The largest body that is kept to verify an Ed25519 signature, which can't be verified in pieces.
const KEPT_BYTES: usize = 1 << 20;

/// The proof that a delivery was verified; only [`Verifier::finish`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentic {
    body: [u8; 32],
    signed: Option<[u8; 32]>,
    id: Option<String>,
}

impl Authentic {
    /// The SHA-256 of the body.
    #[must_use]
    pub fn body_digest(&self) -> &[u8; 32] {
        &self.body
    }

    /// A digest of everything that is signed; `None` where nothing is.
    pub(in crate::webhook) fn signed_digest(&self) -> Option<&[u8; 32]> {
        self.signed.as_ref()
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
    /// The SHA-256 of the body.
    body: digest::Context,
    /// A MAC for each secret.
    macs: Vec<hmac::Context>,
    /// What is signed, for the scheme that needs it in one piece.
    kept: Vec<u8>,
    too_large: bool,
}

/// Whether the headers have one of the secrets itself, in the way of a scheme that signs nothing.
pub(in crate::webhook) fn shows(
    scheme: &Scheme,
    secrets: &Secrets,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    match scheme {
        Scheme::Bearer => secrets.knows(bearer(headers)),
        Scheme::Token(name, prefix) => secrets.knows(token(headers, name, prefix)),
        Scheme::Basic => {
            let given = basic(headers);
            secrets.knows(given.as_ref().map(|text| text.as_str()).map_err(|why| *why))
        }
        _ => Err(Refused::Missing),
    }
}

impl<'r> Verifier<'r> {
    pub(in crate::webhook) fn new(
        scheme: &'r Scheme,
        secrets: Option<&'r Secrets>,
        path: &str,
        headers: &HeaderMap,
        now_unix: i64,
    ) -> Self {
        let claim = scheme.claim(path, headers, now_unix);
        let token = match (scheme, secrets) {
            (Scheme::Open, None) => Ok(()),
            (_, Some(_)) if scheme.signs() => Ok(()),
            (_, Some(secrets)) => shows(scheme, secrets, headers),
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
        let kept = if scheme.has_public_key() {
            before.to_vec()
        } else {
            Vec::new()
        };
        Self {
            scheme,
            secrets,
            token,
            body: digest::Context::new(&SHA256),
            macs,
            kept,
            too_large: false,
            claim,
        }
    }

    /// Whether the headers alone say that it is not authentic. The body is worth no memory then; the
    /// work on it is the same, and so is the answer.
    pub(in crate::webhook) fn is_hopeless(&self) -> bool {
        self.claim.is_err() || self.token.is_err()
    }

    /// Takes the next bytes of the body, as they came.
    pub fn update(&mut self, chunk: &[u8]) {
        self.body.update(chunk);
        match self.scheme.signed() {
            Some(Signed::Digest) => {}
            Some(Signed::Whole) => {
                if self.kept.len() + chunk.len() > KEPT_BYTES {
                    self.too_large = true;
                    self.kept = Vec::new();
                }
                if !self.too_large {
                    self.kept.extend_from_slice(chunk);
                }
            }
            _ => {
                for mac in &mut self.macs {
                    mac.update(chunk);
                }
            }
        }
    }

    /// Decides, when the body is complete.
    pub fn finish(self) -> Result<Authentic, Refused> {
        let body = fixed(&self.body.finish());
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
        for mut mac in self.macs {
            mac.update(&claim.after);
            let tag = mac.sign();
            for signature in &claim.signatures {
                right |= tag.as_ref().ct_eq(signature);
            }
        }
        if let Some(digest) = &claim.body {
            right &= digest.ct_eq(&body);
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
        if !self.scheme.signs() {
            return Ok(Authentic {
                body,
                signed: None,
                id: None,
            });
        }
        if !bool::from(right) {
            return Err(Refused::Wrong);
        }
        let mut signed = digest::Context::new(&SHA256);
        for part in [&claim.before[..], &claim.after] {
            signed.update(&part.len().to_be_bytes());
            signed.update(part);
        }
        signed.update(&body);
        Ok(Authentic {
            body,
            signed: Some(fixed(&signed.finish())),
            id: claim.id,
        })
    }
}

/// Names the scheme only: a claim may hold parts of a secret.
impl fmt::Debug for Verifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({:?})", self.scheme)
    }
}
