//! Until when a certificate is valid, and the addresses that it names: the fields that `rustls` and `webpki` keep
//! for themselves. Reads as much of DER as that takes, strictly.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::core::time::Time;

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version, which certificates of version 1 do not have.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// The object identifier of the extension with the names, 2.5.29.17 (RFC 5280, 4.2.1.6).
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// The name that is an address.
const ADDRESS: u8 = 0x87;

/// What is read of a certificate.
#[derive(Debug)]
pub(super) struct Fields {
    /// The first moment at which it is valid.
    pub(super) valid_from: Time,
    /// The last one.
    pub(super) valid_until: Time,
    /// The addresses among its names.
    pub(super) addresses: Vec<IpAddr>,
}

/// Reads a certificate; `None` where the bytes are none in DER (RFC 5280, 4.1).
pub(super) fn of(certificate: &[u8]) -> Option<Fields> {
    let (certificate, after) = expect(SEQUENCE, certificate)?;
    let (signed, _) = expect(SEQUENCE, certificate)?;
    let serial = match element(signed)? {
        (VERSION, _, rest) => rest,
        _ => signed,
    };
    let (_, algorithm) = expect(INTEGER, serial)?;
    let (_, issuer) = expect(SEQUENCE, algorithm)?;
    let (_, validity) = expect(SEQUENCE, issuer)?;
    let (validity, subject) = expect(SEQUENCE, validity)?;
    let (valid_from, rest) = time(validity)?;
    let (valid_until, rest) = time(rest)?;
    (after.is_empty() && rest.is_empty()).then(|| Fields {
        valid_from,
        valid_until,
        addresses: addresses(subject).unwrap_or_default(),
    })
}

/// The addresses that a certificate names, from its subject on; `None` where it has no such names.
fn addresses(subject: &[u8]) -> Option<Vec<IpAddr>> {
    let (_, key) = expect(SEQUENCE, subject)?;
    let (_, rest) = expect(SEQUENCE, key)?;
    let (_, extensions) = elements(rest).find(|(tag, _)| *tag == EXTENSIONS)?;
    let (extensions, _) = expect(SEQUENCE, extensions)?;
    let names = elements(extensions).find_map(|(_, extension)| {
        let mut parts = elements(extension);
        let is_wanted = parts.next()? == (OBJECT_IDENTIFIER, ALTERNATIVE_NAMES);
        // Whether it is critical may stand between.
        is_wanted.then(|| parts.last())?
    });
    let (names, _) = expect(SEQUENCE, names?.1)?;
    let addresses = elements(names).filter(|(tag, _)| *tag == ADDRESS);
    Some(
        addresses
            .filter_map(|(_, octets)| address(octets))
            .collect(),
    )
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let either = four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    either.ok()
}

/// The tags and contents of all elements, as far as they are sound.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(bytes)?;
        bytes = rest;
        Some((tag, content))
    })
}

/// The content of an element with this tag, and what follows it.
fn expect(wanted: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// The tag and the content of an element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = { digits.iter() }.fold(0, |length, digit| length << 8 | usize::from(*digit));
        // DER has one way to write a length, and no certificate has 16 MiB.
        let shortest = *digits.first()? > 0 && length >= 0x80 && digits.len() <= 3;
        (shortest.then_some(length)?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// A time, `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, and what follows it.
fn time(bytes: &[u8]) -> Option<(Time, &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let century = match tag {
        UTC_TIME if text < "50" => "20",
        UTC_TIME => "19",
        GENERALIZED_TIME => "",
        _ => return None,
    };
    let text = format!("{century}{text}");
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    // What has no end is written as the last second of the year 9999, which is later than any timestamp.
    let time = TimeZone::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX);
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    Some((Time::from_millis(seconds * 1_000), rest))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::webhook::tls::tests::made;

    static SOUND: LazyLock<Vec<u8>> =
        LazyLock::new(|| made("20260102030405Z", "20490102030405Z").der);

    fn shown(fields: &Fields) -> [String; 2] {
        [fields.valid_from, fields.valid_until].map(|time| time.to_string())
    }

    #[test]
    fn a_certificate_is_valid_between_its_two_times_in_either_form() {
        for (from, until, wanted) in [
            (
                "20260102030405Z",
                "20490102030405Z",
                ["2026-01-02T03:04:05", "2049-01-02T03:04:05"],
            ),
            (
                "19700101000000Z",
                "20500101000000Z",
                ["1970-01-01T00:00:00", "2050-01-01T00:00:00"],
            ),
            // Before what a time can be, and no end at all.
            (
                "19500101000000Z",
                "99991231235959Z",
                ["1970-01-01T00:00:00", "9999-12-30T22:00:00"],
            ),
        ] {
            let made = made(from, until);
            let found = shown(&of(&made.der).expect("a validity"));
            for (found, wanted) in found.iter().zip(wanted) {
                assert!(found.starts_with(wanted), "{found} {wanted}");
            }
            for end in 0..made.der.len() {
                assert!(of(&made.der[..end]).is_none(), "the first {end} bytes");
            }
        }
    }

    #[test]
    fn a_time_in_another_form_is_none() {
        let of = |tag: u8, text: &str| {
            let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
            bytes.extend_from_slice(text.as_bytes());
            time(&bytes).map(|(time, _)| time.to_string())
        };
        let good = Some("2026-12-31T23:59:59.000Z".to_owned());
        assert_eq!(of(UTC_TIME, "261231235959Z"), good);
        assert_eq!(of(GENERALIZED_TIME, "20261231235959Z"), good);
        for (tag, text) in [
            (UTC_TIME, "2612312359Z"),
            (UTC_TIME, "261231235959"),
            (UTC_TIME, "261231235959+0000"),
            (UTC_TIME, "20261231235959Z"),
            (UTC_TIME, "261331235959Z"),
            (UTC_TIME, "+61231235959Z"),
            (GENERALIZED_TIME, "20260230000000Z"),
            (GENERALIZED_TIME, "20261231235959.5Z"),
            (GENERALIZED_TIME, "-0261231235959Z"),
            (INTEGER, "261231235959Z"),
            (UTC_TIME, ""),
        ] {
            assert_eq!(of(tag, text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            of(&bytes);
        }

        #[test]
        fn no_damage_is_too_strange(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut der = SOUND.clone();
            let at = at.index(der.len());
            der[at] = byte;
            of(&der);
        }
    }
}
