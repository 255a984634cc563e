//! What must be refused: everything that real receivers once believed, for every kind.

use axum::http::HeaderValue;

use super::bench::*;
use super::senders::*;
use crate::webhook::*;

const BODY: &[u8] = br#"{"ref": "refs/heads/main", "scan": true}"#;

#[track_caller]
fn refused(sender: Sender, sent: &Sent, body: &[u8], why: &str) -> Refused {
    let found = verify(&sender.route(), &map(sent), body, NOW);
    match found {
        Ok(_) => panic!("{sender:?} believes: {why}: {sent:?}"),
        Err(refused) => refused,
    }
}

/// The headers with the one that has the signature changed.
fn with(sender: Sender, sent: &Sent, change: impl Fn(&str) -> String) -> Sent {
    let mut sent = sent.clone();
    for (name, value) in &mut sent {
        if *name == sender.header() {
            *value = change(value);
        }
    }
    sent
}

#[test]
fn a_header_that_is_missing_or_empty_or_there_twice() {
    for sender in ALL {
        let good = sender.sign(BODY);
        for (name, value) in &good {
            if sender == Sender::Cloudevents && name.starts_with("ce-") {
                continue;
            }
            let mut without = good.clone();
            without.retain(|(other, _)| other != name);
            assert_eq!(
                refused(sender, &without, BODY, "one missing"),
                Refused::Missing
            );
            let mut empty = without.clone();
            empty.push((name, String::new()));
            assert_eq!(refused(sender, &empty, BODY, "one empty"), Refused::Missing);
            for second in [value.as_str(), "", "x"] {
                let mut twice = good.clone();
                twice.push((name, second.to_owned()));
                assert_eq!(refused(sender, &twice, BODY, "one twice"), Refused::Twice);
            }
        }
        assert_eq!(refused(sender, &Vec::new(), BODY, "none"), Refused::Missing);
    }
}

/// What is done to a signature.
type Change = fn(&str) -> String;

#[test]
fn a_signature_that_is_cut_or_longer_or_changed() {
    for sender in ALL {
        let good = sender.sign(BODY);
        let changes: [(&str, Change); 12] = [
            ("one digit less", |v| v[..v.len() - 1].to_owned()),
            ("one digit more", |v| format!("{v}0")),
            ("only the prefix", |v| {
                v.split_inclusive(['=', ',', ' '])
                    .next()
                    .unwrap_or("")
                    .to_owned()
            }),
            ("a letter before", |v| format!("x{v}")),
            ("a letter after", |v| format!("{v}x")),
            ("sha1=", |v| {
                format!("sha1={}", v.rsplit('=').next().unwrap_or_default())
            }),
            ("another scheme", |v| {
                v.replace("sha256=", "sha512=")
                    .replace("sha512=", "md5=")
                    .replace("v1", "v2")
                    .replace("Bearer ", "Basic ")
                    + "!"
            }),
            ("turned round", |v| v.chars().rev().collect()),
            ("zeros", |v| v.chars().map(|_| '0').collect()),
            ("nothing", |_| " ".to_owned()),
            ("a list of two", |v| format!("{v};{v}")),
            ("twice in one", |v| format!("{v}{v}")),
        ];
        for (why, change) in changes {
            let sent = with(sender, &good, change);
            // A token has no prefix.
            if sent != good {
                refused(sender, &sent, BODY, why);
            }
        }
    }
}

#[test]
fn a_signature_in_upper_case_is_another_spelling() {
    for sender in [
        Sender::Github,
        Sender::Gitea,
        Sender::Bitbucket,
        Sender::Vercel,
        Sender::Contentful,
    ] {
        let sent = with(sender, &sender.sign(BODY), |value| {
            let (prefix, hex) = value.split_once('=').unwrap_or(("", value));
            let equals = if prefix.is_empty() { "" } else { "=" };
            format!("{prefix}{equals}{}", hex.to_ascii_uppercase())
        });
        refused(sender, &sent, BODY, "upper case");
    }
}

#[test]
fn headers_that_are_not_text() {
    for sender in ALL {
        let good = sender.sign(BODY);
        for (name, value) in &good {
            if name.starts_with("ce-") {
                continue;
            }
            let mut sent = map(&good);
            let mut bytes = value.as_bytes().to_vec();
            bytes.push(0xff);
            sent.insert(*name, HeaderValue::from_bytes(&bytes).unwrap());
            assert!(
                verify(&sender.route(), &sent, BODY, NOW).is_err(),
                "{sender:?} {name}"
            );
        }
    }
}

#[test]
fn another_body() {
    for sender in ALL.into_iter().filter(|sender| sender.signs()) {
        let good = sender.sign(BODY);
        let bodies: [(&str, Vec<u8>); 7] = [
            ("a newline more", [BODY, b"\n"].concat()),
            (
                "re-encoded JSON",
                br#"{"ref":"refs/heads/main","scan":true}"#.to_vec(),
            ),
            ("none", Vec::new()),
            ("a byte less", BODY[..BODY.len() - 1].to_vec()),
            ("a NUL before", [b"\0", BODY].concat()),
            ("not UTF-8", [BODY, b"\xff"].concat()),
            ("a byte order mark", ["\u{feff}".as_bytes(), BODY].concat()),
        ];
        for (why, body) in bodies {
            assert_eq!(refused(sender, &good, &body, why), Refused::Wrong);
        }
    }
}

/// The value in one case, but for where that matters.
fn folded(sender: Sender, value: &str) -> String {
    match sender {
        // The word of the scheme may be in any case.
        Sender::S3 | Sender::Cloudevents | Sender::GenericBearer | Sender::GenericBasic => value
            .split_once(' ')
            .map_or_else(String::new, |(word, token)| {
                format!("{} {token}", word.to_ascii_lowercase())
            }),
        // And so may hexadecimal digits, where the kind does not say.
        Sender::Stripe | Sender::Ghost => {
            let parts = value.split_inclusive(['=', ',']);
            parts
                .map(|part| match part.len() {
                    64.. => part.to_ascii_lowercase(),
                    _ => part.to_owned(),
                })
                .collect()
        }
        _ => value.to_owned(),
    }
}

#[test]
fn any_bit_that_is_another_in_what_is_signed() {
    for sender in ALL {
        let route = sender.route();
        let good = sender.sign(BODY);
        if sender.signs() {
            for at in 0..BODY.len() * 8 {
                let mut body = BODY.to_vec();
                body[at / 8] ^= 1 << (at % 8);
                let found = verify(&route, &map(&good), &body, NOW);
                assert_eq!(found, Err(Refused::Wrong), "{sender:?} bit {at}");
            }
        }
        for (name, value) in &good {
            if name.starts_with("ce-") {
                continue;
            }
            for at in 0..value.len() * 8 {
                let mut bytes = value.clone().into_bytes();
                bytes[at / 8] ^= 1 << (at % 8);
                let Ok(changed) = HeaderValue::from_bytes(&bytes) else {
                    continue;
                };
                let same = String::from_utf8(bytes)
                    .is_ok_and(|other| folded(sender, &other) == folded(sender, value));
                let mut sent = map(&good);
                sent.insert(*name, changed);
                let found = verify(&route, &sent, BODY, NOW);
                assert_eq!(found.is_ok(), same, "{sender:?} {name} bit {at}: {found:?}");
            }
        }
    }
}

#[test]
fn another_routes_secret() {
    for sender in ALL {
        let stamp = (NOW * sender.unit().unwrap_or(1)).to_string();
        let sent = sender.sign_with(&sender.secret(2), &stamp, BODY);
        assert_eq!(
            refused(sender, &sent, BODY, "another secret"),
            Refused::Wrong
        );
        // The empty secret, as receivers without one have computed it.
        if sender.signs() && !sender.secret(1).starts_with("whsec_") {
            let sent = sender.sign_with("", &stamp, BODY);
            assert_eq!(
                refused(sender, &sent, BODY, "the empty secret"),
                Refused::Wrong
            );
        }
    }
}

#[test]
fn a_timestamp_that_is_off_or_written_oddly() {
    for sender in ALL {
        let Some(unit) = sender.unit() else {
            continue;
        };
        let at = |stamp: &str| {
            let sent = sender.sign_with(&sender.secret(1), stamp, BODY);
            verify(&sender.route(), &map(&sent), BODY, NOW)
        };
        for good in [NOW - 300, NOW, NOW + 300] {
            assert!(at(&(good * unit).to_string()).is_ok(), "{sender:?} {good}");
        }
        let now = (NOW * unit).to_string();
        for bad in [
            ((NOW - 300) * unit - 1).to_string(),
            ((NOW + 300) * unit + 1).to_string(),
            (NOW * unit * 1000).to_string(),
            (NOW / 1000).to_string(),
            "0".to_owned(),
            i64::MIN.to_string(),
            i64::MAX.to_string(),
            u64::MAX.to_string(),
            format!("+{now}"),
            format!("-{now}"),
            format!("0{now}"),
            format!("{now}.0"),
            format!("{now}e0"),
            format!("{now:0>20}"),
            "9".repeat(20),
            "0x65534200".to_owned(),
            "now".to_owned(),
        ] {
            assert!(at(&bad).is_err(), "{sender:?} {bad}");
        }
    }
}

#[test]
fn clocks_at_the_end_of_time_do_not_panic() {
    for sender in ALL {
        for now in [i64::MIN, -1, 0, i64::MAX] {
            let sent = sender.sign(BODY);
            let found = verify(&sender.route(), &map(&sent), BODY, now);
            assert_eq!(found.is_ok(), sender.unit().is_none(), "{sender:?}");
        }
    }
}

#[test]
fn a_weaker_algorithm_than_the_routes() {
    // SHA-1 over the same body with the right secret, in the header for SHA-256.
    let key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Sender::Github.secret(1).as_bytes(),
    );
    let sha1 = data_encoding::HEXLOWER.encode(ring::hmac::sign(&key, BODY).as_ref());
    for prefix in ["sha1=", "sha256=", ""] {
        for sender in [Sender::Github, Sender::Bitbucket, Sender::Gitea] {
            let sent = vec![(sender.header(), format!("{prefix}{sha1}"))];
            refused(sender, &sent, BODY, "SHA-1");
        }
    }
    // The old header alone is nothing.
    let sent = vec![("x-hub-signature", format!("sha1={sha1}"))];
    assert_eq!(
        refused(Sender::Github, &sent, BODY, "only SHA-1"),
        Refused::Missing
    );
}

#[test]
fn standard_webhooks_lists() {
    let sender = Sender::Standard;
    let good = sender.sign(BODY);
    let signature = good[2].1.clone();
    let wrong = format!("v1,{}", data_encoding::BASE64.encode(&[0; 32]));
    let list = |text: String| with(sender, &good, |_| text.clone());
    let believed = |text: String| verify(&sender.route(), &map(&list(text)), BODY, NOW).is_ok();
    assert!(believed(format!("{wrong} {signature}")));
    assert!(believed(format!("{signature} {wrong}")));
    assert!(believed(format!(
        "v1a,{} {signature}",
        data_encoding::BASE64.encode(&[0; 64])
    )));
    assert!(!believed(format!("{wrong} {wrong}")));
    assert!(!believed("v1,".to_owned()));
    assert!(!believed("v1".to_owned()));
    assert!(!believed(format!("{signature},{signature}")));
    assert!(!believed(signature.replace("v1,", "v1a,")));
    assert!(!believed(signature.replace("v1,", "v2,")));
    assert!(!believed(signature.replace("v1,", "")));
    assert!(!believed(vec![wrong; 17].join(" ") + " " + &signature));
    // Of both families: which would the parts before this one have believed?
    let mut both = good.clone();
    both.push(("svix-signature", signature.clone()));
    assert_eq!(
        refused(sender, &both, BODY, "both families"),
        Refused::Twice
    );
    // A dot in the id moves the border to the timestamp.
    let mut dotted = good;
    dotted[0].1 = format!("{ID}.{NOW}");
    refused(sender, &dotted, BODY, "a dot in the id");
}

#[test]
fn stripes_lists() {
    let sender = Sender::Stripe;
    let good = sender.sign(BODY);
    let (stamp, signature) = good[0].1.split_once(',').unwrap();
    let zeros = "0".repeat(64);
    let believed = |text: String| {
        verify(
            &sender.route(),
            &map(&with(sender, &good, |_| text.clone())),
            BODY,
            NOW,
        )
        .is_ok()
    };
    assert!(believed(format!("{signature},{stamp}")));
    assert!(believed(format!(
        "{stamp}, v0={zeros}, v1={zeros}, {signature}"
    )));
    assert!(!believed(format!("{stamp},v0={}", &signature[3..])));
    assert!(!believed(format!("{stamp},v1={zeros}")));
    assert!(!believed(format!("{stamp},{stamp},{signature}")));
    assert!(!believed(format!("{stamp},{signature},v1=")));
    assert!(!believed(signature.to_owned()));
}

#[test]
fn an_hmac_with_the_public_key_is_not_an_ed25519_signature() {
    let public = Sender::Ed25519.configured(&Sender::Ed25519.secret(1));
    let forged =
        Sender::Standard.sign_with(&public.replace("whpk_", "whsec_"), &NOW.to_string(), BODY);
    refused(Sender::Ed25519, &forged, BODY, "HMAC with the public key");
    let renamed = with(Sender::Ed25519, &forged, |v| v.replace("v1,", "v1a,"));
    refused(Sender::Ed25519, &renamed, BODY, "the same by another name");
    let sent = headers(&[("authorization", &format!("Bearer {public}"))]);
    assert!(
        !Sender::Ed25519.route().may_ask(&sent),
        "everybody knows it"
    );
}

#[test]
fn an_ed25519_body_that_can_not_be_kept_is_refused() {
    let body = vec![b' '; 2 << 20];
    let sent = Sender::Ed25519.sign(&body);
    let found = verify(&Sender::Ed25519.route(), &map(&sent), &body, NOW);
    assert_eq!(found, Err(Refused::TooLarge));
}

#[test]
fn a_jws_that_chooses_its_own_algorithm() {
    let secret = Sender::Netlify.secret(1);
    let digest = data_encoding::HEXLOWER.encode(&super::super::auth::secret::sha256(BODY));
    let claims = format!(r#"{{"iss":"netlify","sha256":"{digest}"}}"#);
    let hs256 = r#"{"alg":"HS256"}"#;
    let send = |token: String| vec![("x-webhook-signature", token)];
    let good = send(jws(&secret, hs256, &claims));
    assert!(verify(&Sender::Netlify.route(), &map(&good), BODY, NOW).is_ok());
    for (head, claims) in [
        (r#"{"alg":"none"}"#, claims.as_str()),
        (r#"{"alg":"RS256"}"#, &claims),
        (r#"{"alg":"HS512"}"#, &claims),
        (r#"{"alg":"hs256"}"#, &claims),
        (r#"{"alg":"HS256","alg":"none"}"#, &claims),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims),
        (r#"["HS256"]"#, &claims),
        ("{}", &claims),
        (hs256, r#"{"iss":"netlify"}"#),
        (hs256, &claims.replace("netlify", "other")),
        (hs256, &claims.replace(&digest, &digest.to_uppercase())),
        (hs256, &claims.replace(&digest, &digest[..62])),
        (hs256, "[]"),
    ] {
        let token = jws(&secret, head, claims);
        refused(Sender::Netlify, &send(token), BODY, head);
    }
    let token = jws(&secret, hs256, &claims);
    let unsigned = token.rsplit_once('.').unwrap().0;
    for bad in [
        format!("{unsigned}."),
        unsigned.to_owned(),
        format!("{token}.{token}"),
        format!("{token}="),
        ".".to_owned(),
        "..".to_owned(),
    ] {
        refused(Sender::Netlify, &send(bad.clone()), BODY, &bad);
    }
}

#[test]
fn gitlab_where_one_of_token_and_signature_is_wrong() {
    let secret = Sender::GitlabSigning.secret(1);
    let token = ("x-gitlab-token", secret.clone());
    let good = Sender::GitlabSigning.sign(BODY);
    // The right token does not make up for a missing or wrong signature.
    refused(
        Sender::GitlabSigning,
        &vec![token.clone()],
        BODY,
        "only the token",
    );
    let mut wrong = with(Sender::GitlabSigning, &good, |_| {
        format!("v1,{}", data_encoding::BASE64.encode(&[1; 32]))
    });
    wrong.push(token);
    refused(
        Sender::GitlabSigning,
        &wrong,
        BODY,
        "token and a wrong signature",
    );
    // And a signature does not make up for a wrong token.
    let mut wrong = good;
    wrong.push(("x-gitlab-token", "another-token-0123".to_owned()));
    refused(
        Sender::GitlabToken,
        &wrong,
        BODY,
        "signature and a wrong token",
    );
}

#[test]
fn contentful_that_does_not_sign_what_is_believed() {
    let secret = Sender::Contentful.secret(1);
    let all = Sender::Contentful.sign(BODY);
    let listed: Sent = all
        .into_iter()
        .filter(|(n, _)| *n != "x-contentful-signature")
        .collect();
    let signed = |names: &[&str]| {
        let mut some: Sent = listed
            .iter()
            .filter(|(n, _)| names.contains(n))
            .cloned()
            .collect();
        for (name, value) in &mut some {
            if *name == "x-contentful-signed-headers" {
                *value = names.join(",");
            }
        }
        let mut sent = super::senders::contentful(&secret, "/hooks/www", some, BODY);
        for (name, value) in &listed {
            if !names.contains(name) {
                let value = if *name == "x-contentful-signed-headers" {
                    names.join(",")
                } else {
                    value.clone()
                };
                sent.push((name, value));
            }
        }
        verify(&Sender::Contentful.route(), &map(&sent), BODY, NOW)
    };
    let [list, time, topic] = [
        "x-contentful-signed-headers",
        "x-contentful-timestamp",
        "x-contentful-topic",
    ];
    assert!(signed(&[list, time, topic]).is_ok());
    for some in [
        &[list, topic][..],
        &[list, time],
        &[time, topic],
        &[list],
        &[],
    ] {
        assert!(signed(some).is_err(), "{some:?}");
    }
    // Another path than the one that was given to Contentful.
    let sent = super::senders::contentful(&secret, "/other", listed, BODY);
    assert!(verify(&Sender::Contentful.route(), &map(&sent), BODY, NOW).is_err());
}

#[test]
fn every_secret_of_a_rotation_is_good_and_no_other() {
    for sender in ALL {
        let texts: Vec<secrecy::SecretString> = [1, 2]
            .map(|number| sender.configured(&sender.secret(number)).into())
            .into();
        let route = Route::new(settings(sender.kind()), &texts).unwrap();
        let stamp = (NOW * sender.unit().unwrap_or(1)).to_string();
        for (number, good) in [(1, true), (2, true), (3, false)] {
            let sent = sender.sign_with(&sender.secret(number), &stamp, BODY);
            let found = verify(&route, &map(&sent), BODY, NOW);
            assert_eq!(found.is_ok(), good, "{sender:?} {number}");
        }
    }
}

#[test]
fn secrets_that_are_not_fit() {
    let new = |sender: Sender, secrets: &[&str]| {
        let texts: Vec<secrecy::SecretString> = secrets.iter().map(|s| (*s).into()).collect();
        Route::new(settings(sender.kind()), &texts).map(drop)
    };
    for sender in ALL {
        assert_eq!(new(sender, &[]), Err(SecretError::None));
        for short in ["", "short", "               ", "                    "] {
            assert!(new(sender, &[short]).is_err(), "{sender:?} {short:?}");
        }
        let one = sender.configured(&sender.secret(1));
        assert_eq!(new(sender, &[&one]), Ok(()));
        let same = match sender {
            Sender::GitlabSigning | Sender::Standard | Sender::Svix => {
                format!("whsec_{}", data_encoding::BASE64.encode(&[0; 32]))
            }
            Sender::Ed25519 => format!("whpk_{}", data_encoding::BASE64.encode(&[0; 32])),
            Sender::GenericBasic => format!("a-long-name:{}", "xy".repeat(32)),
            _ => "xy".repeat(32),
        };
        assert_eq!(
            new(sender, &[&same]),
            Err(SecretError::Placeholder),
            "{sender:?}"
        );
        assert_eq!(new(sender, &[&one, &one]), Err(SecretError::Twice));
    }
    let five = [
        "0123456789abcde1",
        "0123456789abcde2",
        "0123456789abcde3",
        "0123456789abcde4",
        "0123456789abcde5",
    ];
    assert_eq!(new(Sender::Github, &five), Err(SecretError::TooMany));
    let open = opened(settings(Kind::new(&kind::github::SENDER)));
    assert_eq!(
        Route::new(open, &["0123456789abcdef".into()]).map(drop),
        Err(SecretError::Unused)
    );
}

#[test]
fn an_open_route_takes_everybody() {
    let open = opened(settings(Kind::new(&kind::github::SENDER)));
    let route = Route::new(open, &[]).unwrap();
    assert!(verify(&route, &headers(&[]), BODY, NOW).is_ok());
    assert!(route.may_ask(&headers(&[])));
}

#[test]
fn nothing_prints_a_secret() {
    for sender in ALL {
        let secret = sender.configured(&sender.secret(1));
        let route = route(sender.kind(), &secret);
        let sent = map(&sender.sign(BODY));
        let verifier = route.verifier(&sent, NOW);
        let printed = format!("{route:?} {verifier:?}");
        assert!(!printed.contains(&secret), "{printed}");
    }
}
