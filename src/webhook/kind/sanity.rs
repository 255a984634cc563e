//! Sanity: HMAC-SHA256 of `timestamp.body` in base64 for URLs, with a timestamp in milliseconds.
//! The body is whatever the hook's projection makes; `{"paths": ..}` lists files.

use axum::http::HeaderName;
use serde::de::IgnoredAny;

use crate::webhook::auth::headers::hint;
use crate::webhook::auth::signature::{Digest, Encoding, Mac, Piece, Scheme, Stamp, StampPlace};
use crate::webhook::auth::timestamp::Unit;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::parse_any;
use crate::webhook::payload::reading::{Ask, Identity, Input, Reading};

use super::generic::{self, Fields};
use super::{Named, Options, Sender, signature};

/// Sanity.
pub static SENDER: Sender = Sender {
    example: r#"# Sanity: a GROQ-powered webhook with a secret. A projection may list files for purge = "files":
# {"paths": [slug.current + ".html"]}
[[pipeline.webhook]]
route = "/hooks/sanity"
kind = "sanity"
credential = "sanity_secret"
purge = "all"
"#,
    known_by: &["sanity-webhook-signature"],
    repository: Named::Never,
    branch: Named::Never,
    event: Named::Never,
    ..Sender::new("sanity", &[signature(|| Scheme::Mac(mac()))], read)
};

fn mac() -> Mac {
    Mac {
        header: HeaderName::from_static("sanity-webhook-signature"),
        prefix: "v1=".to_owned(),
        encoding: Encoding::Base64Url,
        digest: Digest::Sha256,
        stamp: Some(Stamp {
            place: StampPlace::Field("t".to_owned()),
            unit: Unit::Milliseconds,
        }),
        around: (
            vec![Piece::Timestamp, Piece::Text(".".to_owned())],
            Vec::new(),
        ),
    }
}

fn read(input: &Input<'_>, _: &Options) -> Result<Reading, Unreadable> {
    let mut reading = if input.files {
        generic::of_body(input, &Fields::default(), input.body, None)?
    } else {
        let _: IgnoredAny = parse_any(input.body)?;
        Reading::of("sanity", Ask::Unlisted("not asked for"))
    };
    reading.id = hint(input.headers, "idempotency-key").map(str::to_owned);
    // The time of the event, to the millisecond, is signed with it.
    reading.identity = Identity::SignedBytes;
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::kind::Kind;
    use crate::webhook::tests::bench::{holds, route};

    #[test]
    fn what_its_library_signs_is_believed() {
        holds(
            &route(Kind::new(&SENDER), "test"),
            &[(
                "sanity-webhook-signature",
                "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0",
            )],
            r#"{"_id":"resume"}"#,
            1_633_519_811,
        );
    }
}
