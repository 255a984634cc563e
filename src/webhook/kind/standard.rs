//! Standard Webhooks, and Svix, which has the same under other names: HMAC-SHA256 or Ed25519 over
//! `id.timestamp.body`. The body is read as `generic` reads it.

use axum::http::{HeaderMap, HeaderName};
use data_encoding::BASE64;
use ring::digest::SHA256_OUTPUT_LEN;

use crate::webhook::auth::headers::one;
use crate::webhook::auth::refused::Refused;
use crate::webhook::auth::secret::Form;
use crate::webhook::auth::signature::{
    Claim, ED25519_LENGTH, MAX_SIGNATURES, Protocol, Scheme, Signed,
};
use crate::webhook::auth::timestamp::{self, Unit};
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::reading::{Identity, Input, Reading};

use super::{Auth, DefaultPurge, How, Named, Options, POINTERS, Sender, generic};

/// A sender that follows the Standard Webhooks specification, or that uses Svix.
pub static SENDER: Sender = Sender {
    example: r#"# Standard Webhooks, also those sent through Svix. The secret is whsec_..., or the public key whpk_... with
# auth = "ed25519". The body is read as that of generic.
[[pipeline.webhook]]
route = "/hooks/standard"
kind = "standard"
credential = "standard_secret"
"#,
    keys: &POINTERS,
    known_by: &[WEBHOOK[2], SVIX[2]],
    repository: Named::AtPointer,
    branch: Named::AtPointer,
    event: Named::AtPointer,
    purge: DefaultPurge::Files,
    ..Sender::new("standard", &AUTHS, read)
};

const AUTHS: [Auth; 2] = [
    // With a shared secret, `whsec_…`: signatures `v1`.
    Auth {
        name: "hmac",
        how: How::Fixed(|| Scheme::Own(&HMAC, None)),
    },
    // With a key of which the public half is configured, `whpk_…`: signatures `v1a`.
    Auth {
        name: "ed25519",
        how: How::Fixed(|| Scheme::Own(&ED25519, None)),
    },
];

/// How Standard Webhooks signs with a shared secret.
pub static HMAC: Protocol = Protocol {
    name: "standard",
    form: Form::Whsec,
    signed: Signed::Body,
    claim: |_, headers, now_unix| claim(headers, now_unix, "v1,", SHA256_OUTPUT_LEN),
    reads: |headers| names(headers).into(),
    timestamp: Some(timestamp_header),
    written: "`v1,` and 32 bytes in base64",
};

/// How it signs with a key of which the public half is configured.
pub static ED25519: Protocol = Protocol {
    name: "standard_ed25519",
    form: Form::Whpk,
    signed: Signed::Whole,
    claim: |_, headers, now_unix| claim(headers, now_unix, "v1a,", ED25519_LENGTH),
    reads: |headers| names(headers).into(),
    timestamp: Some(timestamp_header),
    written: "`v1a,` and 64 bytes in base64",
};

/// The longest id of a message.
const MAX_ID_BYTES: usize = 256;

/// Id, timestamp and signature.
const WEBHOOK: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
/// The same of Svix.
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

/// The names of the headers that have id, timestamp and signature.
fn names(headers: &HeaderMap) -> [HeaderName; 3] {
    // The signature decides; where there is none, what else there is.
    let svix = match SVIX.map(|name| headers.contains_key(name)) {
        [.., true] => !headers.contains_key(WEBHOOK[2]),
        has => has.contains(&true) && !WEBHOOK.iter().any(|name| headers.contains_key(*name)),
    };
    let names = if svix { SVIX } else { WEBHOOK };
    names.map(HeaderName::from_static)
}

fn timestamp_header(headers: &HeaderMap) -> (HeaderName, Unit) {
    let [_, name, _] = names(headers);
    (name, Unit::Seconds)
}

/// What the headers claim, of which signatures that begin with `version` count.
fn claim(
    headers: &HeaderMap,
    now_unix: i64,
    version: &str,
    length: usize,
) -> Result<Claim, Refused> {
    if headers.contains_key(WEBHOOK[2]) && headers.contains_key(SVIX[2]) {
        return Err(Refused::Twice);
    }
    let [id, timestamp, signature] = names(headers);
    let signature = one(headers, &signature)?;
    let timestamp = one(headers, &timestamp)?;
    let id = one(headers, &id)?;
    // A dot in the id would move the border between it and the timestamp.
    if id.len() > MAX_ID_BYTES || id.contains('.') {
        return Err(Refused::Malformed);
    }
    timestamp::check(timestamp, Unit::Seconds, now_unix)?;
    let mut signatures = Vec::new();
    for one in signature.split(' ') {
        if let Some(encoded) = one.strip_prefix(version) {
            let bytes = BASE64.decode(encoded.as_bytes());
            let bytes = bytes.map_err(|_| Refused::Malformed)?;
            if bytes.len() != length || signatures.len() == MAX_SIGNATURES {
                return Err(Refused::Malformed);
            }
            signatures.push(bytes);
        }
    }
    if signatures.is_empty() {
        return Err(Refused::Malformed);
    }
    Ok(Claim {
        before: format!("{id}.{timestamp}.").into_bytes(),
        signatures,
        id: Some(id.to_owned()),
        ..Claim::default()
    })
}

fn read(input: &Input<'_>, options: &Options) -> Result<Reading, Unreadable> {
    let mut reading = generic::of_body(input, &options.fields, input.body, None)?;
    if reading.identity == Identity::None {
        reading.identity = Identity::SignedId;
    }
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::kind::Kind;
    use crate::webhook::tests::bench::{headers, holds, route, verify};

    #[test]
    fn published_signatures_are_believed() {
        let route_of = |secret: &str| route(Kind::new(&SENDER), secret);
        holds(
            &route_of("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
            &[
                ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
                ("webhook-timestamp", "1649367553"),
                (
                    "webhook-signature",
                    "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
                ),
            ],
            r#"{"email":"test@example.com","username":"test_user"}"#,
            1_649_367_553,
        );
        let other = route_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let sent = |signature: &'static str| {
            [
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", signature),
            ]
        };
        let body = r#"{"test": 2432232314}"#;
        holds(
            &other,
            &sent("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            body,
            1_614_265_330,
        );
        // One character of it is another, and one bit too many is set in another way to write it.
        for wrong in [
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
        ] {
            let found = verify(
                &other,
                &headers(&sent(wrong)),
                body.as_bytes(),
                1_614_265_330,
            );
            assert!(found.is_err(), "{wrong}");
        }
    }
}
