//! One sender of each kind, which signs as its vendor's documentation says. What it signs is also
//! what the vendors' own libraries sign, see `tests/it/signers.rs`.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::bench::*;
use crate::webhook::*;

/// A sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Sender {
    Github,
    GitlabToken,
    GitlabSigning,
    Gitea,
    Forgejo,
    Bitbucket,
    Standard,
    Svix,
    Ed25519,
    S3,
    Cloudevents,
    Contentful,
    Sanity,
    Netlify,
    Vercel,
    GenericBearer,
    GenericToken,
    GenericBasic,
    GenericHmac,
    Stripe,
    Ghost,
}

pub(in crate::webhook) const ALL: [Sender; 21] = [
    Sender::Github,
    Sender::GitlabToken,
    Sender::GitlabSigning,
    Sender::Gitea,
    Sender::Forgejo,
    Sender::Bitbucket,
    Sender::Standard,
    Sender::Svix,
    Sender::Ed25519,
    Sender::S3,
    Sender::Cloudevents,
    Sender::Contentful,
    Sender::Sanity,
    Sender::Netlify,
    Sender::Vercel,
    Sender::GenericBearer,
    Sender::GenericToken,
    Sender::GenericBasic,
    Sender::GenericHmac,
    Sender::Stripe,
    Sender::Ghost,
];

/// Headers as a sender sends them.
pub(in crate::webhook) type Sent = Vec<(&'static str, String)>;

pub(in crate::webhook) const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

pub(in crate::webhook) fn map(sent: &Sent) -> axum::http::HeaderMap {
    let list: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (*n, v.as_str())).collect();
    headers(&list)
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().to_vec()
}

pub(in crate::webhook) fn sha256_hex(key: &[u8], parts: &[&[u8]]) -> String {
    HEXLOWER.encode(&mac(hmac::HMAC_SHA256, key, parts))
}

fn whsec(secret: &str) -> Vec<u8> {
    BASE64
        .decode(secret.trim_start_matches("whsec_").as_bytes())
        .unwrap()
}

fn key_pair(secret: &str) -> Ed25519KeyPair {
    let seed = super::super::auth::secret::sha256(secret.as_bytes());
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
}

/// The JWS of a body; `head` and `claims` are JSON.
pub(in crate::webhook) fn jws(secret: &str, head: &str, claims: &str) -> String {
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", encode(head), encode(claims));
    let tag = mac(hmac::HMAC_SHA256, secret.as_bytes(), &[signed.as_bytes()]);
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&tag))
}

impl Sender {
    /// The kind that receives it.
    pub(in crate::webhook) fn kind(self) -> Kind {
        let mac = |mac| Kind::new(&kind::generic::SENDER).with(Scheme::Mac(mac));
        let stamp = |place, unit| Some(Stamp { place, unit });
        let field = || StampPlace::Field("t".to_owned());
        let text = |text: &str| Piece::Text(text.to_owned());
        match self {
            Self::Github => Kind::new(&kind::github::SENDER),
            Self::GitlabToken => Kind::new(&kind::gitlab::SENDER),
            Self::GitlabSigning => {
                Kind::new(&kind::gitlab::SENDER).with(Scheme::Own(&kind::standard::HMAC, None))
            }
            Self::Gitea => Kind::new(&kind::gitea::GITEA),
            Self::Forgejo => Kind::new(&kind::gitea::FORGEJO),
            Self::Bitbucket => Kind::new(&kind::bitbucket::SENDER),
            Self::Standard | Self::Svix => Kind::new(&kind::standard::SENDER),
            Self::Ed25519 => {
                Kind::new(&kind::standard::SENDER).with(Scheme::Own(&kind::standard::ED25519, None))
            }
            Self::S3 => Kind::new(&kind::s3::SENDER),
            Self::Cloudevents => {
                let mut kind = Kind::new(&kind::cloudevents::SENDER);
                kind.options.allowed_origins = vec!["eventgrid.azure.net".to_owned()];
                kind
            }
            Self::Contentful => Kind::new(&kind::contentful::SENDER),
            Self::Sanity => Kind::new(&kind::sanity::SENDER),
            Self::Netlify => Kind::new(&kind::netlify::SENDER),
            Self::Vercel => Kind::new(&kind::vercel::SENDER),
            Self::GenericBearer => Kind::new(&kind::generic::SENDER),
            Self::GenericToken => {
                let token = Scheme::Token("x-token".parse().unwrap(), "Token ".to_owned());
                Kind::new(&kind::generic::SENDER).with(token)
            }
            Self::GenericBasic => Kind::new(&kind::generic::SENDER).with(Scheme::Basic),
            Self::GenericHmac => mac(Mac {
                header: "x-signature".parse().unwrap(),
                prefix: "sha512=".to_owned(),
                encoding: Encoding::Base64,
                digest: Digest::Sha512,
                stamp: stamp(
                    StampPlace::Header("x-timestamp".parse().unwrap()),
                    Unit::Seconds,
                ),
                around: (vec![text("v0:"), Piece::Timestamp, text(":")], Vec::new()),
            }),
            Self::Stripe => mac(Mac {
                header: "stripe-signature".parse().unwrap(),
                prefix: "v1=".to_owned(),
                encoding: Encoding::Hex,
                digest: Digest::Sha256,
                stamp: stamp(field(), Unit::Seconds),
                around: (vec![Piece::Timestamp, text(".")], Vec::new()),
            }),
            Self::Ghost => mac(Mac {
                header: "x-ghost-signature".parse().unwrap(),
                prefix: "sha256=".to_owned(),
                encoding: Encoding::Hex,
                digest: Digest::Sha256,
                stamp: stamp(field(), Unit::Milliseconds),
                around: (Vec::new(), vec![Piece::Timestamp]),
            }),
        }
    }

    /// A secret of this kind of sender; another for each `number`.
    pub(in crate::webhook) fn secret(self, number: u8) -> String {
        match self {
            Self::GitlabSigning | Self::Standard | Self::Svix => {
                let key: Vec<u8> = (0..32).map(|byte| byte ^ number).collect();
                format!("whsec_{}", BASE64.encode(&key))
            }
            Self::Contentful => format!("0123456789abcde{number}").repeat(4),
            Self::GenericBasic => format!("sender:a-secret: of sender {number}"),
            _ => format!("a-secret-of-sender-{number}"),
        }
    }

    /// What the receiver has of a secret: itself, or the public half.
    pub(in crate::webhook) fn configured(self, secret: &str) -> String {
        if self == Self::Ed25519 {
            let key = key_pair(secret);
            return format!("whpk_{}", BASE64.encode(key.public_key().as_ref()));
        }
        secret.to_owned()
    }

    pub(in crate::webhook) fn route(self) -> Route {
        route(self.kind(), &self.configured(&self.secret(1)))
    }

    /// Whether its signature covers the body.
    pub(in crate::webhook) fn signs(self) -> bool {
        !matches!(
            self,
            Self::GitlabToken
                | Self::S3
                | Self::Cloudevents
                | Self::GenericBearer
                | Self::GenericToken
                | Self::GenericBasic
        )
    }

    /// The header that has its token or signature.
    pub(in crate::webhook) fn header(self) -> &'static str {
        match self {
            Self::Github => "x-hub-signature-256",
            Self::GitlabToken => "x-gitlab-token",
            Self::GitlabSigning | Self::Standard | Self::Ed25519 => "webhook-signature",
            Self::Gitea => "x-gitea-signature",
            Self::Forgejo => "x-forgejo-signature",
            Self::Bitbucket => "x-hub-signature",
            Self::Svix => "svix-signature",
            Self::S3 | Self::Cloudevents | Self::GenericBearer | Self::GenericBasic => {
                "authorization"
            }
            Self::GenericToken => "x-token",
            Self::Contentful => "x-contentful-signature",
            Self::Sanity => "sanity-webhook-signature",
            Self::Netlify => "x-webhook-signature",
            Self::Vercel => "x-vercel-signature",
            Self::GenericHmac => "x-signature",
            Self::Stripe => "stripe-signature",
            Self::Ghost => "x-ghost-signature",
        }
    }

    /// The unit of its timestamp, where it signs one.
    pub(in crate::webhook) fn unit(self) -> Option<i64> {
        match self {
            Self::GitlabSigning
            | Self::Standard
            | Self::Svix
            | Self::Ed25519
            | Self::GenericHmac
            | Self::Stripe => Some(1),
            Self::Contentful | Self::Sanity | Self::Ghost => Some(1000),
            _ => None,
        }
    }

    /// Signs a body at [`NOW`].
    pub(in crate::webhook) fn sign(self, body: &[u8]) -> Sent {
        let stamp = (NOW * self.unit().unwrap_or(1)).to_string();
        self.sign_with(&self.secret(1), &stamp, body)
    }

    /// Signs a body with a secret and whatever a timestamp is written as.
    #[expect(clippy::too_many_lines, reason = "one arm for each sender")]
    pub(in crate::webhook) fn sign_with(self, secret: &str, stamp: &str, body: &[u8]) -> Sent {
        let key = secret.as_bytes();
        let header = self.header();
        let t = stamp.as_bytes();
        let standard = |family: [&'static str; 2], signature: String| -> Sent {
            vec![
                (family[0], ID.to_owned()),
                (family[1], stamp.to_owned()),
                (header, signature),
            ]
        };
        match self {
            Self::Github | Self::Bitbucket => {
                vec![(header, format!("sha256={}", sha256_hex(key, &[body])))]
            }
            Self::Gitea | Self::Forgejo => vec![(header, sha256_hex(key, &[body]))],
            Self::GitlabToken => vec![(header, secret.to_owned())],
            Self::S3 | Self::GenericBearer => vec![(header, format!("Bearer {secret}"))],
            Self::GenericToken => vec![(header, format!("Token {secret}"))],
            Self::GenericBasic => vec![(header, format!("Basic {}", BASE64.encode(key)))],
            Self::Cloudevents => vec![
                (header, format!("Bearer {secret}")),
                ("ce-id", "1".to_owned()),
                ("ce-source", "/site".to_owned()),
                ("ce-specversion", "1.0".to_owned()),
                ("ce-type", "com.example.deployed".to_owned()),
            ],
            Self::GitlabSigning | Self::Standard | Self::Svix => {
                let parts: [&[u8]; 5] = [ID.as_bytes(), b".", t, b".", body];
                let tag = mac(hmac::HMAC_SHA256, &whsec(secret), &parts);
                let names = if self == Self::Svix {
                    ["svix-id", "svix-timestamp"]
                } else {
                    ["webhook-id", "webhook-timestamp"]
                };
                standard(names, format!("v1,{}", BASE64.encode(&tag)))
            }
            Self::Ed25519 => {
                let message = [ID.as_bytes(), b".", t, b".", body].concat();
                let signature = BASE64.encode(key_pair(secret).sign(&message).as_ref());
                standard(
                    ["webhook-id", "webhook-timestamp"],
                    format!("v1a,{signature}"),
                )
            }
            Self::Contentful => {
                let mut listed: Sent = vec![
                    (
                        "content-type",
                        "application/vnd.contentful.management.v1+json".to_owned(),
                    ),
                    ("x-contentful-idempotency-key", "key-1".to_owned()),
                    ("x-contentful-signed-headers", String::new()),
                    ("x-contentful-timestamp", stamp.to_owned()),
                    (
                        "x-contentful-topic",
                        "ContentManagement.Entry.publish".to_owned(),
                    ),
                ];
                let names: Vec<&str> = listed.iter().map(|(name, _)| *name).collect();
                listed[2].1 = names.join(",");
                contentful(secret, "/hooks/www", listed, body)
            }
            Self::Sanity => {
                let tag = mac(hmac::HMAC_SHA256, key, &[t, b".", body]);
                let tag = BASE64URL_NOPAD.encode(&tag);
                vec![(header, format!("t={stamp},v1={tag}"))]
            }
            Self::Netlify => {
                let digest = HEXLOWER.encode(&super::super::auth::secret::sha256(body));
                let claims = format!(r#"{{"iss":"netlify","sha256":"{digest}"}}"#);
                vec![(
                    header,
                    jws(secret, r#"{"alg":"HS256","typ":"JWT"}"#, &claims),
                )]
            }
            Self::Vercel => {
                let tag = mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key, &[body]);
                vec![(header, HEXLOWER.encode(&tag))]
            }
            Self::GenericHmac => {
                let tag = mac(hmac::HMAC_SHA512, key, &[b"v0:", t, b":", body]);
                vec![
                    ("x-timestamp", stamp.to_owned()),
                    (header, format!("sha512={}", BASE64.encode(&tag))),
                ]
            }
            Self::Stripe => {
                let tag = sha256_hex(key, &[t, b".", body]);
                vec![(header, format!("t={stamp},v1={tag}"))]
            }
            Self::Ghost => {
                let tag = sha256_hex(key, &[body, t]);
                vec![(header, format!("sha256={tag}, t={stamp}"))]
            }
        }
    }
}

/// Signs the headers that are given and the body, as Contentful does.
pub(in crate::webhook) fn contentful(
    secret: &str,
    path: &str,
    mut listed: Sent,
    body: &[u8],
) -> Sent {
    let lines: Vec<String> = listed.iter().map(|(n, v)| format!("{n}:{v}")).collect();
    let before = format!("POST\n{path}\n{}\n", lines.join(";"));
    let tag = sha256_hex(secret.as_bytes(), &[before.as_bytes(), body]);
    listed.push(("x-contentful-signature", tag));
    listed
}
