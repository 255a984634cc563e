//! Certificates that `openssl` made, as an operator may have them.

use std::process::Command;

use super::*;
use CertificateError as Error;

/// A certificate in both forms.
pub(in crate::webhook) struct Made {
    pub(in crate::webhook) der: Vec<u8>,
    pub(in crate::webhook) pem: String,
}

/// Runs a script with the key `key.pem` (P-256) and a configuration of an authority in its directory, and
/// gives what it prints.
fn openssl(script: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let prepare = r"
        set -e
        openssl ecparam -name prime256v1 -genkey -noout -out key.pem
        printf '%s\n' '[ca]' 'default_ca=a' '[a]' 'new_certs_dir=.' 'database=index' 'serial=serial' 'default_md=sha256' \
            'policy=p' 'x509_extensions=e' '[p]' 'commonName=supplied' \
            '[e]' 'subjectAltName=DNS:purge.example.com,DNS:*.example.org,IP:192.0.2.1,IP:2001:db8::1' \
            '[req]' 'distinguished_name=n' 'x509_extensions=x' '[n]' '[x]' 'basicConstraints=CA:FALSE' >ca.cnf
        : >index
    ";
    let output = Command::new("sh")
        .args(["-c", &format!("{prepare}{script}")])
        .current_dir(&directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output.stdout
}

/// A certificate that is valid between these times, signed by its own key.
pub(in crate::webhook) fn made(from: &str, until: &str) -> Made {
    let pem = openssl(&format!(
        "openssl req -new -key key.pem -subj /CN=purge.example.com -config ca.cnf -out request
         openssl ca -config ca.cnf -batch -selfsign -rand_serial -keyfile key.pem -in request -out certificate \
             -notext -startdate {from} -enddate {until}
         cat certificate key.pem"
    ));
    let pem = String::from_utf8(pem).unwrap();
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    Made {
        der: der.to_vec(),
        pem,
    }
}

fn read(pem: &str) -> Result<CertificateFacts, CertificateError> {
    Certificate::from_pem(pem, pem).map(|certificate| certificate.facts)
}

#[test]
fn names_and_times_are_those_of_the_first_certificate() {
    let made = made("20260101000000Z", "20260401120000Z");
    let facts = read(&made.pem).unwrap();
    assert_eq!(
        facts.names,
        [
            "purge.example.com",
            "*.example.org",
            "192.0.2.1",
            "2001:db8::1"
        ]
    );
    assert_eq!(
        facts.to_string(),
        "purge.example.com, *.example.org, 192.0.2.1, 2001:db8::1"
    );
    assert_eq!(facts.valid_until.to_string(), "2026-04-01T12:00:00.000Z");
}

#[test]
fn a_certificate_may_name_addresses_alone_or_nothing() {
    for (extensions, wanted) in [
        ("-addext subjectAltName=IP:192.0.2.7", vec!["192.0.2.7"]),
        (
            "-addext subjectAltName=critical,IP:::1,email:a@example.com,IP:127.0.0.1",
            vec!["::1", "127.0.0.1"],
        ),
        ("-addext keyUsage=digitalSignature", vec![]),
    ] {
        let pem = openssl(&format!(
            "openssl req -x509 -key key.pem -subj /CN=a -days 9 -config ca.cnf {extensions}; cat key.pem"
        ));
        let facts = read(&String::from_utf8(pem).unwrap()).unwrap();
        assert_eq!(facts.names, wanted, "{extensions}");
        let none = facts.to_string() == "no host name and no address";
        assert_eq!(none, wanted.is_empty(), "{facts}");
    }
}

#[test]
fn each_form_of_a_key_is_read() {
    for make in [
        "openssl genrsa -traditional -out key.pem 2048",
        "openssl genrsa -out key.pem 2048",
        "openssl ecparam -name secp384r1 -genkey -noout -out key.pem",
        "openssl genpkey -algorithm ED25519 -out key.pem",
    ] {
        let pem = openssl(&format!(
            "{make}; openssl req -x509 -key key.pem -subj /CN=a -days 9 -config ca.cnf; cat key.pem"
        ));
        let pem = String::from_utf8(pem).unwrap();
        assert_eq!(read(&pem).map(|facts| facts.names), Ok(vec![]), "{make}");
    }
}

#[test]
fn what_is_no_pair_says_which_file_and_never_what_it_holds() {
    let (one, other) = (
        made("20260101000000Z", "20260401000000Z").pem,
        made("20260101000000Z", "20260401000000Z").pem,
    );
    let mangled = one.replacen("MI", "!!", 1);
    let end = one.find("-----BEGIN EC").unwrap();
    let (certificate, key) = one.split_at(end);
    let cut = &key[..key.len() / 2];
    let garbage = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let locked = openssl("openssl pkey -in key.pem -aes256 -passout pass:x");
    let locked = String::from_utf8(locked).unwrap();
    for (chain, key, wanted) in [
        ("", key, Error::NoCertificate),
        (key, key, Error::NoCertificate),
        (&mangled, key, Error::NoCertificate),
        (certificate, "", Error::NoKey),
        (certificate, certificate, Error::NoKey),
        (certificate, cut, Error::NoKey),
        (certificate, &locked, Error::NoKey),
        (certificate, garbage, Error::Key),
        (certificate, &other, Error::OtherKey),
    ] {
        let error = Certificate::from_pem(chain, key).unwrap_err();
        assert_eq!(error, wanted, "{chain}{key}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let certificate = garbage.replace("PRIVATE KEY", "CERTIFICATE");
    let error = Certificate::from_pem(&certificate, key).unwrap_err();
    assert!(matches!(error, Error::Certificate(_)), "{error:?}");
    let shown = format!("{:?}", Certificate::from_pem(&one, &one).unwrap());
    assert!(shown.starts_with("CertificateFacts {"), "{shown}");
}

#[test]
fn the_end_is_told_two_weeks_before_or_in_the_last_third() {
    let of = |days: u64, now: u64| {
        let at = |day: u64| Time::ZERO.after(Duration::from_secs(day * DAY));
        let facts = CertificateFacts {
            names: Vec::new(),
            valid_from: at(100),
            valid_until: at(100 + days),
        };
        (facts.validity(at(100 + now)), facts.is_due(at(100 + now)))
    };
    let told = |text: &str, due| (text.to_owned(), due);
    assert_eq!(of(90, 55), told("valid until 1970-07-10, 35 days", false));
    assert_eq!(of(90, 76), told("valid until 1970-07-10, 14 days", false));
    assert_eq!(of(90, 77), told("valid until 1970-07-10, 13 days", true));
    assert_eq!(of(90, 89), told("valid until 1970-07-10, 1 day", true));
    assert_eq!(of(90, 92), told("expired on 1970-07-10, 2 days ago", true));
    assert_eq!(of(6, 4), told("valid until 1970-04-17, 2 days", false));
    assert_eq!(of(6, 5), told("valid until 1970-04-17, 1 day", true));
    let early = CertificateFacts {
        names: Vec::new(),
        valid_from: Time::from_millis(DAY * 1_000),
        valid_until: Time::from_millis(DAY * 100_000),
    };
    assert_eq!(early.validity(Time::ZERO), "not valid before 1970-01-02");
    assert!(early.is_due(Time::ZERO));
}
