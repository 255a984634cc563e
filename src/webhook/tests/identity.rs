//! Which deliveries are the same one again: only those whose signature covers what names them.

use super::bench::*;
use super::senders::*;
use crate::webhook::kind::generic;
use crate::webhook::*;

/// Signs, verifies and reads.
fn delivery(route: &Route, sender: Sender, more: &[(&'static str, &str)], body: &str) -> Delivery {
    let mut sent = sender.sign(body.as_bytes());
    sent.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let sent = map(&sent);
    let authentic = verify(route, &sent, body.as_bytes(), NOW).unwrap();
    route
        .read(&sent, &authentic, Some(body.as_bytes()))
        .unwrap()
}

#[test]
fn a_repeated_scan_is_never_a_duplicate() {
    for sender in [
        Sender::GenericBearer,
        Sender::GenericHmac,
        Sender::Stripe,
        Sender::Ghost,
    ] {
        let found = delivery(&sender.route(), sender, &[], r#"{"scan":true}"#);
        assert_eq!(found.dedupe_key, None, "{sender:?}");
    }
}

#[test]
fn an_id_that_nobody_signs_names_a_delivery_but_is_no_duplicate() {
    let body = r#"{"object_kind":"push","ref":"refs/heads/main","before":"1","after":"2"}"#;
    for (sender, header, event) in [
        (
            Sender::GitlabToken,
            "idempotency-key",
            ("x-gitlab-event", "Push Hook"),
        ),
        (Sender::Gitea, "x-gitea-delivery", ("x-gitea-event", "push")),
        (
            Sender::Forgejo,
            "x-forgejo-delivery",
            ("x-forgejo-event", "push"),
        ),
    ] {
        let mut settings = settings(sender.kind());
        settings.events = Some(vec!["push".to_owned()]);
        let route = Route::new(settings, &[sender.secret(1).into()]).unwrap();
        let found = delivery(&route, sender, &[(header, "f6266f16-1bf3"), event], body);
        assert_eq!(&*found.event, "f6266f16-1bf3");
        assert_eq!(found.dedupe_key, None, "{sender:?}");
    }
}

#[test]
fn a_signed_id_is_one() {
    for sender in [Sender::Standard, Sender::Svix, Sender::Ed25519] {
        let one = delivery(&sender.route(), sender, &[], r#"{"scan":true}"#);
        let two = delivery(&sender.route(), sender, &[], r#"{"all":true}"#);
        assert_eq!(&*one.event, ID);
        assert!(one.dedupe_key.is_some());
        assert_eq!(one.dedupe_key, two.dedupe_key);
        let mut elsewhere = settings(sender.kind());
        elsewhere.path = "/hooks/other".to_owned();
        let other = Route::new(elsewhere, &[sender.configured(&sender.secret(1)).into()]).unwrap();
        let three = delivery(&other, sender, &[], r#"{"scan":true}"#);
        assert_ne!(one.dedupe_key, three.dedupe_key, "another route's");
    }
    let found = delivery(
        &Sender::GitlabSigning.route(),
        Sender::GitlabSigning,
        &[],
        r#"{"object_kind":"deployment","status":"success"}"#,
    );
    assert!(found.dedupe_key.is_some());
    let found = delivery(&Sender::Contentful.route(), Sender::Contentful, &[], "{}");
    assert!(found.dedupe_key.is_some());
    assert_eq!(&*found.event, "key-1");
}

#[test]
fn a_signed_body_that_names_its_event_is_known_by_its_digest() {
    let run = |id: u32| {
        format!(
            r#"{{"action":"completed","workflow_run":{{"id":{id},"conclusion":"success","head_branch":"main"}}}}"#
        )
    };
    let event = [("x-github-event", "workflow_run")];
    let route = Sender::Github.route();
    let github = |more: &[(&'static str, &str)], id: u32| {
        delivery(
            &route,
            Sender::Github,
            &[&event[..], more].concat(),
            &run(id),
        )
    };
    let one = github(&[("x-github-delivery", "a")], 1);
    // A replay under another id is still the same.
    let again = github(&[("x-github-delivery", "b")], 1);
    assert!(one.dedupe_key.is_some());
    assert_eq!(one.dedupe_key, again.dedupe_key);
    assert_ne!(one.dedupe_key, github(&[], 2).dedupe_key);

    // Sent before by another sender as another event, it asks for nothing, and is not remembered.
    let disguised = delivery(
        &route,
        Sender::Github,
        &[("x-github-event", "ping")],
        &run(1),
    );
    assert_eq!(disguised.dedupe_key, None);
    let mut branch = settings(Kind::new(&kind::github::SENDER));
    branch.branches = vec!["other".to_owned()];
    let branch = Route::new(branch, &[Sender::Github.secret(1).into()]).unwrap();
    let elsewhere = delivery(&branch, Sender::Github, &event, &run(1));
    assert_eq!(elsewhere.dedupe_key, None);

    // The time of a push distinguishes it from the same push later.
    let push = |time: &str| {
        let body = format!(
            r#"{{"ref":"refs/heads/main","before":"1","after":"2","repository":{{{time}}}}}"#
        );
        let mut settings = settings(Kind::new(&kind::github::SENDER));
        settings.events = Some(vec!["push".to_owned()]);
        let route = Route::new(settings, &[Sender::Github.secret(1).into()]).unwrap();
        delivery(&route, Sender::Github, &[("x-github-event", "push")], &body).dedupe_key
    };
    assert!(push(r#""pushed_at":1"#).is_some());
    assert_ne!(push(r#""pushed_at":1"#), push(r#""pushed_at":2"#));
    assert_eq!(push(""), None);

    let vercel = |id: &str, more: &str| {
        let body = format!(r#"{{"id":"{id}","type":"deployment.promoted"{more}}}"#);
        delivery(&Sender::Vercel.route(), Sender::Vercel, &[], &body).dedupe_key
    };
    assert_eq!(vercel("1", ""), vercel("1", r#","createdAt":1"#));
    assert_ne!(vercel("1", ""), vercel("2", ""));

    // Sanity signs the time: the same body later is another event.
    let sanity = |time: i64| {
        let sent =
            map(&Sender::Sanity.sign_with(&Sender::Sanity.secret(1), &time.to_string(), b"{}"));
        let route = Sender::Sanity.route();
        let authentic = verify(&route, &sent, b"{}", NOW).unwrap();
        route
            .read(&sent, &authentic, Some(b"{}"))
            .unwrap()
            .dedupe_key
    };
    assert!(sanity(NOW * 1000).is_some());
    assert_ne!(sanity(NOW * 1000), sanity(NOW * 1000 + 1));
}

#[test]
fn an_id_in_a_body_counts_where_the_body_is_signed() {
    let fields = generic::Fields {
        id: Pointer::parse("/id"),
        ..generic::Fields::default()
    };
    for (sender, signed) in [(Sender::Stripe, true), (Sender::GenericBearer, false)] {
        let route = route(sender.kind().reading(fields.clone()), &sender.secret(1));
        let one = delivery(&route, sender, &[], r#"{"id":"evt_1","scan":true}"#);
        let two = delivery(&route, sender, &[], r#"{"id":"evt_2","scan":true}"#);
        assert_eq!(&*one.event, "evt_1");
        assert_eq!(one.dedupe_key.is_some(), signed);
        assert_eq!(one.dedupe_key == two.dedupe_key, !signed);
    }
}

#[test]
fn the_name_of_a_delivery_is_a_plain_token() {
    let route = Sender::GenericBearer.route();
    let of = |id: &str| {
        let found = delivery(
            &route,
            Sender::GenericBearer,
            &[("idempotency-key", id)],
            r#"{"scan":true}"#,
        );
        found.event.to_string()
    };
    assert_eq!(of("run-17.2:a_B"), "run-17.2:a_B");
    let digest = of("");
    assert_eq!(digest.len(), 64);
    for bad in ["a b", "a/b", "../x", "a?b", "%41", &"x".repeat(129)] {
        assert_eq!(of(bad), digest, "{bad}");
    }
    assert_eq!(of(&"x".repeat(128)).len(), 128);
}

#[test]
fn a_rotation_of_secrets_makes_no_other_delivery() {
    let body = r#"{"ref":"refs/heads/main","before":"1","after":"2","repository":{"pushed_at":7}}"#;
    let mut found = std::collections::BTreeSet::new();
    for (configured, signs) in [
        (&[1][..], 1),
        (&[2, 1], 1),
        (&[1, 2], 1),
        (&[2, 1], 2),
        (&[2], 2),
    ] {
        let mut settings = settings(Sender::Github.kind());
        settings.events = Some(vec!["push".to_owned()]);
        let secret = |number: &u8| Sender::Github.secret(*number).into();
        let secrets: Vec<secrecy::SecretString> = configured.iter().map(secret).collect();
        let route = Route::new(settings, &secrets).unwrap();
        let mut sent = Sender::Github.sign_with(&Sender::Github.secret(signs), "", body.as_bytes());
        sent.push(("x-github-event", "push".to_owned()));
        let sent = map(&sent);
        let authentic = verify(&route, &sent, body.as_bytes(), NOW).unwrap();
        let one = route
            .read(&sent, &authentic, Some(body.as_bytes()))
            .unwrap();
        found.insert((one.event, one.dedupe_key.unwrap()));
    }
    assert_eq!(found.len(), 1, "{found:?}");
}
