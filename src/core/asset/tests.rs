use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;

fn of_path(path: &str) -> String {
    Asset::of_path(path.as_bytes()).to_string()
}

#[test]
fn a_files_name_means_nothing_but_itself() {
    for (path, asset) in [
        ("", "/"),
        ("index.html", "/index.html"),
        ("a b.html", "/a%20b.html"),
        ("100%.html", "/100%25.html"),
        ("a%20b.html", "/a%2520b.html"),
        ("what?.html", "/what%3F.html"),
        ("#1.html", "/%231.html"),
        (
            "a+b=c&d,e;f:g@h!i$j'k(l)m*n~o",
            "/a+b=c&d,e;f:g@h!i$j'k(l)m*n~o",
        ),
        ("café/é.html", "/caf%C3%A9/%C3%A9.html"),
        ("a[1]|b^c.html", "/a%5B1%5D%7Cb%5Ec.html"),
        ("a//b/", "/a/b/"),
        ("back\\slash", "/back%5Cslash"),
        ("new\nline", "/new%0Aline"),
    ] {
        assert_eq!(of_path(path), asset, "{path}");
    }
    assert_eq!(Asset::of_path(b"\xff\xfe.html").as_str(), "/%FF%FE.html");
}

#[test]
fn what_a_person_writes_becomes_canonical() {
    for (text, asset) in [
        ("/", "/"),
        ("/a b", "/a%20b"),
        ("/a%20b", "/a%20b"),
        ("/%7euser/%41", "/~user/A"),
        ("/a%2fb%2Bc", "/a%2Fb%2Bc"),
        ("/100%", "/100%25"),
        ("/100%zz", "/100%25zz"),
        ("/café", "/caf%C3%A9"),
        ("/x?v=1&w=a b", "/x?v=1&w=a%20b"),
        ("/x?", "/x?"),
        ("/x?u=http://y/?z", "/x?u=http://y/?z"),
    ] {
        assert_eq!(Asset::parse(text).unwrap().as_str(), asset, "{text}");
    }
}

#[test]
fn what_is_no_asset_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", "does not begin with `/`"),
        ("a", "does not begin with `/`"),
        ("https://x/", "does not begin with `/`"),
        ("//a", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a/../b", "`..` segment"),
        ("/a/%2e%2E/b", "`..` segment"),
        ("/./a", "`..` segment"),
        ("/a\\b", "backslash"),
        ("/a\u{0}b", "control character"),
        ("/a\r\nb", "control character"),
        ("/a#b", "fragment"),
    ] {
        let error = Asset::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
    let long = format!("/{}", "a".repeat(9_000));
    assert_eq!(Asset::parse(&long), Err(AssetError::TooLong(9_001)));
}

#[test]
fn a_url_is_its_path_and_query() {
    let parse = |url| Asset::parse_url(url).unwrap().to_string();
    assert_eq!(parse("https://example.com"), "/");
    assert_eq!(parse("http://example.com:8080/a/b?c=d#e"), "/a/b?c=d");
    assert!(Asset::parse_url("ftp://example.com/a").is_err());
    assert!(Asset::parse_url("example.com/a").is_err());
}

proptest! {
    #[test]
    fn a_path_on_disk_becomes_a_canonical_asset_and_back(path: Vec<u8>) {
        let asset = Asset::of_path(&path);
        let text = asset.as_str();
        prop_assert!(text.starts_with('/'));
        prop_assert!(!text.contains("//"));
        prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()));
        let normal: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|s| !s.is_empty()).collect();
        let mut decoded: Vec<u8> = percent_decode_str(text).collect();
        if path.last() == Some(&b'/') && decoded.len() > 1 {
            decoded.pop();
        }
        let joined = normal.join(&b'/');
        prop_assert_eq!(&decoded[1..], &joined[..]);
        let dots = normal.iter().any(|s| *s == b"." || *s == b"..");
        if !dots && text.len() < LONGEST {
            prop_assert_eq!(Asset::parse(text).unwrap(), asset);
        }
    }

    #[test]
    fn parsing_is_idempotent(text in "/[ -~é%?/]{0,40}") {
        if let Ok(asset) = Asset::parse(&text) {
            prop_assert_eq!(Asset::parse(asset.as_str()).unwrap(), asset);
        }
    }

    #[test]
    fn the_browser_form_is_what_a_browser_makes_of_the_name(name in "[ -~&&[^/\\\\%?#]]{1,20}é?") {
        prop_assume!(name != "." && name != "..");
        let asset = Asset::of_path(name.as_bytes());
        let form = asset.browser_form().unwrap_or_else(|| asset.clone());
        // A link with exactly these characters in it; spaces at its ends would be trimmed.
        prop_assume!(name.trim() == name);
        let url = url::Url::parse(&format!("http://h/{name}")).unwrap();
        prop_assert_eq!(form.as_str(), url.path());
        prop_assert_eq!(form.browser_form(), None);
    }
}
