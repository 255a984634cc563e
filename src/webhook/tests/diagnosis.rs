//! What the log says of a delivery that is not authentic: which header, and by how much the time is off.

use super::bench::*;
use super::senders::*;
use crate::webhook::route::diagnosis::Diagnosis;

const BODY: &[u8] = br#"{"ref": "refs/heads/main", "scan": true}"#;

/// What is logged of a delivery, which has to be refused; none of its values is logged.
fn said(sender: Sender, sent: &Sent) -> Diagnosis {
    let (route, headers) = (sender.route(), map(sent));
    let refused = verify(&route, &headers, BODY, NOW).expect_err("it is refused");
    let diagnosis = route.diagnosis(refused, &headers, NOW);
    let text = format!("{} {}", diagnosis.what, diagnosis.remedy);
    assert!(!diagnosis.remedy.is_empty(), "{text}");
    for (_, value) in sent.iter().filter(|(_, value)| value.len() > 16) {
        assert!(!text.contains(value.as_str()), "{sender:?}: {text}");
    }
    assert!(!text.contains(&sender.secret(1)), "{sender:?}: {text}");
    diagnosis
}

#[test]
fn the_header_that_is_missing_or_there_twice_is_named() {
    for sender in ALL {
        let good = sender.sign(BODY);
        for (name, _) in good.iter().filter(|(name, _)| !name.starts_with("ce-")) {
            let mut without = good.clone();
            without.retain(|(other, _)| other != name);
            let what = said(sender, &without).what;
            assert!(what.contains("missing"), "{sender:?} {name}: {what}");
            assert!(what.contains(name), "{sender:?} {name}: {what}");
            let mut twice = good.clone();
            twice.push((name, "x".to_owned()));
            let what = said(sender, &twice).what;
            assert!(what.contains("more than once"), "{sender:?} {name}: {what}");
            assert!(what.contains(name), "{sender:?} {name}: {what}");
        }
        let nothing = said(sender, &Vec::new()).what;
        let header = match sender {
            // Nothing shows which of the two families it would have been.
            Sender::Svix => "webhook-signature",
            other => other.header(),
        };
        assert!(nothing.contains(header), "{sender:?}: {nothing}");
    }
}

#[test]
fn a_connection_test_that_its_sender_does_not_sign_is_named() {
    let test = vec![("x-event-key", "diagnostics:ping".to_owned())];
    let found = said(Sender::Bitbucket, &test);
    assert!(
        found.what.contains("does not sign its connection test"),
        "{}",
        found.what
    );
    assert!(found.remedy.starts_with("nothing: "), "{}", found.remedy);
}

#[test]
fn it_is_said_by_how_much_a_clock_is_off() {
    let mut looked_at = 0;
    for sender in ALL {
        let Some(unit) = sender.unit() else {
            continue;
        };
        for (off, says) in [
            (-600, "600 s behind this machine's clock"),
            (600, "600 s ahead of this machine's clock"),
            (-86_400, "86400 s behind"),
            (7_200, "7200 s ahead"),
        ] {
            let stamp = ((NOW + off) * unit).to_string();
            let sent = sender.sign_with(&sender.secret(1), &stamp, BODY);
            let Diagnosis { what, remedy } = said(sender, &sent);
            assert!(what.contains(says), "{sender:?}: {what}");
            assert!(remedy.contains("NTP"), "{sender:?}: {remedy}");
        }
        let odd = sender.sign_with(&sender.secret(1), "tomorrow", BODY);
        let what = said(sender, &odd).what;
        assert!(what.contains("no whole number"), "{sender:?}: {what}");
        looked_at += 1;
    }
    assert!(looked_at > 4);
}

#[test]
fn a_wrong_secret_is_told_from_a_header_that_is_written_otherwise() {
    for sender in ALL {
        let stamp = (NOW * sender.unit().unwrap_or(1)).to_string();
        let wrong = said(sender, &sender.sign_with(&sender.secret(2), &stamp, BODY));
        assert!(
            wrong.what.contains("the route's secret"),
            "{sender:?}: {wrong:?}"
        );
        assert!(wrong.remedy.contains("compare the secret"), "{wrong:?}");
    }
    let sha1 = vec![("x-hub-signature-256", format!("sha1={}", "0".repeat(40)))];
    let odd = said(Sender::Github, &sha1);
    assert!(
        odd.what.contains("x-hub-signature-256 is not written"),
        "{odd:?}"
    );
    assert!(odd.remedy.contains("`sha256=` and 32 bytes"), "{odd:?}");
    let gitlabs = vec![("x-gitlab-token", SECRET.to_owned())];
    let other = said(Sender::Github, &gitlabs);
    assert!(other.remedy.contains("kind = \"gitlab\""), "{other:?}");
}
