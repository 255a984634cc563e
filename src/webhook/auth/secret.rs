//! A route's secrets in the forms that comparing needs: MAC keys and digests. The texts themselves
//! are not kept, so that nothing here can print them.

use std::collections::BTreeSet;
use std::fmt;

use data_encoding::BASE64;
use ring::digest::{self, SHA256};
use ring::hmac;
use ring::signature::ED25519_PUBLIC_KEY_LEN;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::{Choice, ConstantTimeEq as _};

use super::refused::Refused;

/// The most secrets of one route: each costs a MAC over every body.
pub const MAX_SECRETS: usize = 4;

/// The fewest bytes of a secret.
pub(in crate::webhook) const MIN_BYTES: usize = 16;

/// The fewest different bytes of a secret; refuses placeholders such as `xxxxxxxxxxxxxxxx`.
const MIN_DIFFERENT: usize = 5;

/// What a secret's text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Form {
    /// Itself: its bytes are the key.
    Text,
    /// Itself, sent as it is in a header.
    Token,
    /// Itself, `NAME:PASSWORD`.
    Basic,
    /// Itself, and it has exactly so many bytes.
    Exactly(usize),
    /// `whsec_`, then the key in base64.
    Whsec,
    /// `whpk_`, then an Ed25519 public key in base64.
    Whpk,
}

/// What comes of a secret's text.
enum Key {
    Secret(Zeroizing<Vec<u8>>),
    Public(Vec<u8>),
}

impl Form {
    /// What of a text has to be secret.
    fn secret(self, text: &str) -> &str {
        match (self, text.split_once(':')) {
            (Self::Basic, Some((_, password))) => password,
            _ => text,
        }
    }

    fn key(self, text: &str) -> Result<Key, SecretError> {
        match self {
            Self::Text => {}
            Self::Token if text.bytes().all(|byte| byte.is_ascii_graphic()) => {}
            Self::Token => return Err(SecretError::NotToken),
            Self::Basic if is_basic(text) => {}
            Self::Basic => return Err(SecretError::NotBasic),
            Self::Exactly(length) if text.len() == length => {}
            Self::Exactly(length) => return Err(SecretError::Length(length)),
            Self::Whsec => {
                // Some senders show it as they write their signatures.
                return decoded(text.strip_prefix("v1,").unwrap_or(text), "whsec_")
                    .filter(|key| (24..=64).contains(&key.len()))
                    .map(|key| Key::Secret(key.into()))
                    .ok_or(SecretError::NotWhsec);
            }
            Self::Whpk => {
                return decoded(text, "whpk_")
                    .filter(|key| key.len() == ED25519_PUBLIC_KEY_LEN)
                    .map(Key::Public)
                    .ok_or(SecretError::NotWhpk);
            }
        }
        Ok(Key::Secret(text.as_bytes().to_vec().into()))
    }
}

/// Why a text can't be the secret of a route. Never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none.
    #[error("there is no secret")]
    None,
    /// There are too many.
    #[error("there are more than {MAX_SECRETS} secrets")]
    TooMany,
    /// It is empty, or nearly so.
    #[error("the secret is shorter than {MIN_BYTES} bytes")]
    Short,
    /// It is the same few characters again and again.
    #[error(
        "the secret looks like a placeholder: it has fewer than {MIN_DIFFERENT} different characters"
    )]
    Placeholder,
    /// It has a length that the kind's secrets don't have.
    #[error("the secret has to have exactly {0} characters")]
    Length(usize),
    /// It is not what a Standard Webhooks sender shows.
    #[error(
        "the secret has to be whsec_ and then 24 to 64 bytes in base64, as the sender shows it"
    )]
    NotWhsec,
    /// It is not a public key.
    #[error("the key has to be whpk_ and then 32 bytes in base64, as the sender shows it")]
    NotWhpk,
    /// It can't be sent in a header.
    #[error(
        "the secret holds a space or another character that a header may not carry unchanged; a word before the \
         token, such as Bearer, does not belong to it"
    )]
    NotToken,
    /// It is not what Basic authentication sends.
    #[error(
        "the secret has to be NAME:PASSWORD, with a name of its own before the first colon and no control character"
    )]
    NotBasic,
    /// The route takes deliveries without one.
    #[error("the route has auth = \"none\", and also a secret")]
    Unused,
    /// Two are the same.
    #[error("the secret is there twice")]
    Twice,
}

/// The secrets of one route, any of which is good: more than one is a rotation.
#[derive(Clone)]
pub(in crate::webhook) struct Secrets {
    keys: Vec<hmac::Key>,
    public: Vec<Vec<u8>>,
    /// SHA-256 of each text, by which a bearer token is known.
    digests: Vec<[u8; 32]>,
}

impl Secrets {
    /// Takes the secrets of a route.
    pub(in crate::webhook) fn new(
        texts: &[SecretString],
        form: Form,
        algorithm: hmac::Algorithm,
    ) -> Result<Self, SecretError> {
        for text in texts {
            let text = text.expose_secret();
            let secret = form.secret(text);
            if secret.len() < MIN_BYTES || secret.trim().is_empty() {
                return Err(SecretError::Short);
            }
            let key = form.key(text)?;
            let bytes = match &key {
                Key::Secret(_) if form == Form::Basic => secret.as_bytes(),
                Key::Secret(bytes) => &bytes[..],
                Key::Public(bytes) => bytes,
            };
            if bytes.iter().collect::<BTreeSet<_>>().len() < MIN_DIFFERENT {
                return Err(SecretError::Placeholder);
            }
        }
        Self::of_any_length(texts, form, algorithm)
    }

    /// As [`Secrets::new`], but takes short secrets too: those of published test vectors.
    pub(in crate::webhook) fn of_any_length(
        texts: &[SecretString],
        form: Form,
        algorithm: hmac::Algorithm,
    ) -> Result<Self, SecretError> {
        if texts.is_empty() {
            return Err(SecretError::None);
        }
        if texts.len() > MAX_SECRETS {
            return Err(SecretError::TooMany);
        }
        let mut secrets = Self {
            keys: Vec::new(),
            public: Vec::new(),
            digests: Vec::new(),
        };
        for text in texts {
            let text = text.expose_secret();
            let digest = sha256(text.as_bytes());
            if secrets.digests.contains(&digest) {
                return Err(SecretError::Twice);
            }
            secrets.digests.push(digest);
            match form.key(text)? {
                Key::Secret(key) => secrets.keys.push(hmac::Key::new(algorithm, &key)),
                Key::Public(key) => secrets.public.push(key),
            }
        }
        Ok(secrets)
    }

    /// A MAC to be fed, for each secret.
    pub(super) fn contexts(&self) -> Vec<hmac::Context> {
        self.keys.iter().map(hmac::Context::with_key).collect()
    }

    /// The public keys.
    pub(in crate::webhook) fn public(&self) -> &[Vec<u8>] {
        &self.public
    }

    /// Whether a token is one of the secrets. Takes the same time whichever it is, and whatever
    /// their lengths; `Err` is compared too, with nothing.
    pub(in crate::webhook) fn knows(&self, token: Result<&str, Refused>) -> Result<(), Refused> {
        let digest = sha256(token.unwrap_or_default().as_bytes());
        let known = self
            .digests
            .iter()
            .fold(Choice::from(0), |known, one| known | one.ct_eq(&digest));
        token?;
        if bool::from(known) {
            Ok(())
        } else {
            Err(Refused::Wrong)
        }
    }
}

/// Whether a text is name and password, as RFC 7617 has them.
fn is_basic(text: &str) -> bool {
    let name = text.split_once(':').map_or("", |(name, _)| name);
    !name.is_empty() && !text.chars().any(char::is_control)
}

fn decoded(text: &str, prefix: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.strip_prefix(prefix)?.as_bytes()).ok()
}

/// The SHA-256 of some bytes.
pub(in crate::webhook) fn sha256(bytes: &[u8]) -> [u8; 32] {
    fixed(&digest::digest(&SHA256, bytes))
}

/// A SHA-256 as an array.
pub(in crate::webhook) fn fixed(digest: &digest::Digest) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest.as_ref());
    array
}

/// How many there are, and nothing else.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.digests.len())
    }
}
