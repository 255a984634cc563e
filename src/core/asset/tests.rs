use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn of(path: &str) -> String {
    Asset::of_path(path.as_bytes()).unwrap().to_string()
}

fn parsed(text: &str) -> String {
    Asset::parse(text).unwrap().to_string()
}

fn problem(text: &str) -> AssetProblem {
    Asset::parse(text).unwrap_err().problem
}

fn decoded(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

#[test]
fn a_file_name_is_encoded_once_byte_by_byte() {
    for (path, asset) in [
        ("blog/index.html", "/blog/index.html"),
        ("", "/"),
        ("docs/", "/docs/"),
        ("a b.html", "/a%20b.html"),
        ("100%.txt", "/100%25.txt"),
        ("a%20b.html", "/a%2520b.html"),
        ("what?.txt", "/what%3F.txt"),
        ("c#.md", "/c%23.md"),
        ("c++.md", "/c++.md"),
        ("café.html", "/caf%C3%A9.html"),
        ("cafe\u{301}.html", "/cafe%CC%81.html"),
        ("~me/(1)!,*;'@:&=$.txt", "/~me/(1)!,*;'@:&=$.txt"),
        (
            "a[1]|{x}^`\"<>.txt",
            "/a%5B1%5D%7C%7Bx%7D%5E%60%22%3C%3E.txt",
        ),
        ("back\\slash", "/back%5Cslash"),
        ("line\nbreak", "/line%0Abreak"),
        (".well-known/security.txt", "/.well-known/security.txt"),
        ("...", "/..."),
    ] {
        assert_eq!(of(path), asset, "{path:?}");
    }
}

#[test]
fn a_name_that_is_not_utf_8_keeps_its_bytes() {
    let asset = Asset::of_path(b"caf\xe9/\xff.html").unwrap();
    assert_eq!(asset.as_str(), "/caf%E9/%FF.html");
}

#[test]
fn a_path_that_no_file_has_is_refused() {
    for (path, expected) in [
        (&b"/a"[..], AssetProblem::EmptySegment),
        (b"a//b", AssetProblem::EmptySegment),
        (b"a/../b", AssetProblem::DotSegment),
        (b".", AssetProblem::DotSegment),
        (b"a\0b", AssetProblem::Control),
        (&[b'a'; MAX_ASSET_BYTES], AssetProblem::TooLong),
    ] {
        assert_eq!(Asset::of_path(path).unwrap_err().problem, expected);
    }
    assert!(Asset::of_path(&[b'a'; MAX_ASSET_BYTES - 1]).is_ok());
}

#[test]
fn what_a_person_writes_stays_as_it_is_but_for_what_can_not_be_sent() {
    for (text, asset, canonical) in [
        ("/", "/", "/"),
        ("/a/b.html", "/a/b.html", "/a/b.html"),
        ("/a b.html", "/a%20b.html", "/a%20b.html"),
        ("/a%20b.html", "/a%20b.html", "/a%20b.html"),
        ("/%7euser/%41", "/%7euser/%41", "/~user/A"),
        ("/caf%c3%a9", "/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9", "/caf%C3%A9"),
        ("/a%2fb", "/a%2fb", "/a%2Fb"),
        ("/c%2B%2b/", "/c%2B%2b/", "/c++/"),
        ("/100%", "/100%25", "/100%25"),
        ("/100%zz", "/100%25zz", "/100%25zz"),
        ("/100%é", "/100%25%C3%A9", "/100%25%C3%A9"),
        ("/%%41", "/%25%41", "/%25A"),
        ("/a[1]|b", "/a[1]|b", "/a%5B1%5D%7Cb"),
        ("/a{1}<^>", "/a%7B1%7D%3C%5E%3E", "/a%7B1%7D%3C%5E%3E"),
        ("/%e6?q=%e6", "/%e6?q=%e6", "/%E6?q=%e6"),
    ] {
        assert_eq!(parsed(text), asset, "{text:?}");
        let asset = Asset::parse(text).unwrap();
        assert_eq!(asset.canonical().as_str(), canonical, "{text:?}");
    }
}

#[test]
fn a_query_is_kept_as_it_was_written() {
    for (text, asset) in [
        ("/feed.xml?full=1", "/feed.xml?full=1"),
        ("/a?", "/a?"),
        ("/a?b=/c//d/../?e", "/a?b=/c//d/../?e"),
        ("/a?q=%7eb+c", "/a?q=%7eb+c"),
        ("/a?q=b c&d=é", "/a?q=b%20c&d=%C3%A9"),
        ("/a?100%", "/a?100%25"),
        ("/a?b[]={c}|'^", "/a?b[]={c}|'^"),
        ("/a?\"<b>\"", "/a?%22%3Cb%3E%22"),
    ] {
        assert_eq!(parsed(text), asset, "{text:?}");
    }
}

#[test]
fn what_is_no_asset_is_refused_with_the_reason() {
    for (text, expected) in [
        ("", AssetProblem::Empty),
        ("a/b", AssetProblem::NotAbsolute),
        ("?a", AssetProblem::NotAbsolute),
        ("https://example.com/a", AssetProblem::NotAbsolute),
        ("//example.com/a", AssetProblem::EmptySegment),
        ("/a//b", AssetProblem::EmptySegment),
        ("/a/.", AssetProblem::DotSegment),
        ("/../a", AssetProblem::DotSegment),
        ("/a/%2e%2E/b", AssetProblem::DotSegment),
        ("/a\\b", AssetProblem::Backslash),
        ("/a\tb", AssetProblem::Control),
        ("/a?b\r\nHost: c", AssetProblem::Control),
        ("/a%00", AssetProblem::Control),
        ("/a#b", AssetProblem::Fragment),
        ("/a?b#c", AssetProblem::Fragment),
    ] {
        assert_eq!(problem(text), expected, "{text:?}");
    }
    let long = format!("/{}", "é".repeat(MAX_ASSET_BYTES / 6 + 1));
    assert_eq!(problem(&long), AssetProblem::TooLong);
}

#[test]
fn an_error_shows_what_was_given_and_what_to_write() {
    let error = Asset::parse("blog/").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"blog/\" does not start with `/`: write an absolute URL path such as `/blog/index.html`"
    );
    let error = Asset::of_path(&vec![b'x'; 20_000]).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn a_url_from_a_browser_gives_its_path_and_query() {
    for (url, asset) in [
        ("https://www.example.com", "/"),
        ("https://www.example.com/blog/?p=1#top", "/blog/?p=1"),
        ("HTTP://user@example.com:8080/a%20b/../c", "/c"),
        ("https://example.com/a|b/café", "/a|b/caf%C3%A9"),
        ("https://example.com/%e6%97%a5/%7E", "/%e6%97%a5/%7E"),
    ] {
        assert_eq!(Asset::parse_url(url).unwrap().as_str(), asset, "{url}");
    }
    for url in ["/a", "example.com/a", "ftp://example.com/a", "https://", ""] {
        let error = Asset::parse_url(url).unwrap_err();
        assert_eq!(error.problem, AssetProblem::NotHttpUrl, "{url}");
    }
    let error = Asset::parse_url("https://example.com/a//b").unwrap_err();
    assert_eq!(error.problem, AssetProblem::EmptySegment);
    assert_eq!(error.given, "https://example.com/a//b");
}

#[test]
fn links_spell_a_name_in_a_few_known_ways() {
    for (asset, others) in [
        ("/a-b_c.d/1.html", &[][..]),
        ("/a b.html", &[]),
        ("/日", &["/%e6%97%a5"]),
        ("/мир/", &["/%d0%bc%d0%b8%d1%80/"]),
        ("/c++", &["/c%2B%2B", "/c%2b%2b"]),
        ("/a@2x.png", &["/a%402x.png"]),
        ("/it's", &["/it%27s"]),
        ("/a (1).pdf", &["/a%20%281%29.pdf"]),
        ("/~me", &["/%7Eme", "/%7eme"]),
        ("/a,b", &["/a%2Cb", "/a%2cb"]),
        (
            "/1:2;3=$4&5!*",
            &[
                "/1%3A2%3B3%3D%244%265!*",
                "/1%3A2%3B3%3D%244%265%21%2A",
                "/1%3a2%3b3%3d%244%265%21%2a",
                "/1:2;3=$4&5%21%2A",
                "/1:2%3B3=$4&5%21%2A",
            ],
        ),
        (
            "/日(+)",
            &[
                "/%e6%97%a5(+)",
                "/%e6%97%a5%28+%29",
                "/%E6%97%A5(%2B)",
                "/%E6%97%A5%28%2B%29",
                "/%e6%97%a5%28%2b%29",
                "/%E6%97%A5%28+%29",
            ],
        ),
        // As browsers send what is written as it is.
        ("/a[1]", &["/a%5B1%5D", "/a%5b1%5d"]),
        ("/a%5B1%5D", &["/a[1]", "/a%5b1%5d"]),
        ("/100%25%5E%60%7B", &["/100%25%5e%60%7b"]),
        ("/a?b[]={c}", &["/a?b%5B%5D=%7Bc%7D"]),
        ("/a?b%5B%5D=c", &["/a?b[]=c"]),
        ("/x?it's", &["/x?it%27s"]),
        // Spelled out.
        ("/%e6%97%a5", &[]),
        ("/c%2B%2B", &[]),
        ("/%E6%97%a5+", &[]),
        ("/a%2fb", &[]),
        ("/a%2Fb", &["/a%2fb"]),
    ] {
        let asset = Asset::parse(asset).unwrap();
        let spellings = asset.spellings();
        let found: Vec<&str> = spellings[1..].iter().map(Asset::as_str).collect();
        assert_eq!(spellings[0], asset);
        assert_eq!(found, others, "{asset}");
    }
    let long = Asset::parse(&format!("/{}", "+".repeat(MAX_ASSET_BYTES - 1))).unwrap();
    assert_eq!(long.spellings(), [long]);
}

#[test]
fn a_name_costs_as_many_assets_as_the_readme_says() {
    let count = |name: &str| Asset::of_path(name.as_bytes()).unwrap().spellings().len();
    for name in ["a-b_c.d 1", "100%", "\"#`"] {
        assert_eq!(count(name), 1, "{name}");
    }
    for name in ["'", "(1)", "!", "&", "@", "$", "日本", "мир", "é"] {
        assert_eq!(count(name), 2, "{name}");
    }
    for name in ["+", ",", ":", ";", "=", "*", "~", "[", "|"] {
        assert_eq!(count(name), 3, "{name}");
    }
    assert_eq!(count("日'(+,;=:@&$!*)~[1]|"), 10);
}

#[test]
fn a_decomposed_name_has_a_composed_one() {
    for (path, composed) in [
        ("cafe\u{301}/a b", Some("/caf%C3%A9/a%20b")),
        ("\u{1112}\u{1161}\u{11ab}", Some("/%ED%95%9C")),
        ("caf\u{e9}", None),
        ("plain", None),
        ("\u{212a}", Some("/K")),
    ] {
        let asset = Asset::of_path(path.as_bytes()).unwrap();
        let found = asset.composed();
        assert_eq!(found.as_ref().map(Asset::as_str), composed, "{path}");
    }
    assert_eq!(Asset::of_path(b"e\xcc\x81\xff").unwrap().composed(), None);
    let query = Asset::parse("/e\u{301}?q=e%CC%81").unwrap();
    assert_eq!(query.composed().unwrap().as_str(), "/%C3%A9?q=e%CC%81");
    assert_eq!(Asset::parse("/e%cc%81").unwrap().composed(), None);
}

/// Any path that a file system could hold: segments of any bytes but `/` and NUL.
fn file_path() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        4 => proptest::sample::select(&b"%?# +~'.[]|\\^{}azAZ09%2eF\xc3\xa9"[..]),
    ];
    let segment = vec(byte, 1..8)
        .prop_map(|bytes| -> Vec<u8> {
            bytes
                .into_iter()
                .map(|byte| if matches!(byte, 0 | b'/') { b'_' } else { byte })
                .collect()
        })
        .prop_filter("dot segments are no names", |name| {
            name != b"." && name != b".."
        });
    vec(segment, 1..5).prop_map(|segments| segments.join(&b'/'))
}

/// Text that looks like what people write.
fn written() -> impl Strategy<Value = String> {
    "/([a-z%2EF7?./~ é|'\\[]{0,3}|%[0-9a-fA-F]{2}|\\PC){0,12}"
}

/// The path and query that a browser sends for a link, but for the caret: the `url` crate encodes
/// it in a path only in versions after 2.5.8, browsers always have.
fn sent_by_a_browser(link: &str) -> String {
    let url = url::Url::parse(&format!("https://example.com{link}")).unwrap();
    let path = url.path().replace('^', "%5E");
    match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

proptest! {
    #[test]
    fn an_asset_of_a_file_is_well_formed_and_names_exactly_that_file(path in file_path()) {
        let asset = Asset::of_path(&path).unwrap();
        let text = asset.as_str();
        prop_assert!(text.starts_with('/'));
        prop_assert!(!text.contains("//"));
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b)));
        prop_assert_eq!(&decoded(text)[1..], &path[..]);
    }

    #[test]
    fn a_canonical_asset_is_parsed_as_itself(path in file_path()) {
        let asset = Asset::of_path(&path).unwrap();
        prop_assert_eq!(Asset::parse(asset.as_str()), Ok(asset));
    }

    #[test]
    fn parsing_twice_is_parsing_once(text in written()) {
        if let Ok(asset) = Asset::parse(&text) {
            prop_assert_eq!(Asset::parse(asset.as_str()), Ok(asset));
        }
    }

    #[test]
    fn every_spelling_stands_for_the_same_bytes_and_there_are_few(text in written()) {
        if let Ok(asset) = Asset::parse(&text) {
            let spellings = asset.spellings();
            prop_assert_eq!(&spellings[0], &asset);
            prop_assert!(spellings.len() <= MAX_SPELLINGS);
            let distinct: std::collections::BTreeSet<&Asset> = spellings.iter().collect();
            prop_assert_eq!(distinct.len(), spellings.len());
            for spelling in &spellings {
                prop_assert_eq!(decoded(spelling.as_str()), decoded(asset.as_str()));
                let path = |asset: &Asset| asset.canonical().as_str().split('?').next().map(str::to_owned);
                prop_assert_eq!(path(spelling), path(&asset));
                // A person can ask for each of them.
                prop_assert_eq!(Asset::parse(spelling.as_str()), Ok(spelling.clone()));
            }
        }
    }

    #[test]
    fn a_file_has_the_spelling_of_each_known_encoder(path in file_path()) {
        let asset = Asset::of_path(&path).unwrap();
        let spellings = asset.spellings();
        let has = |raw: &[u8], lower: bool| {
            let mut link = String::from("/");
            for &byte in &path {
                let escape = if lower { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
                match byte {
                    b'/' | b'-' | b'.' | b'_' => link.push(char::from(byte)),
                    _ if byte.is_ascii_alphanumeric() || raw.contains(&byte) => link.push(char::from(byte)),
                    _ => link.push_str(&escape),
                }
            }
            spellings.iter().any(|one| one.as_str() == link)
        };
        for (raw, lower) in [
            (&b"!*'()~"[..], false),
            (b"~", false),
            (b"", false),
            (b"", true),
            (b"~!*'()$&+,;=:@", true),
            (b"~!*$&+,;=:@", true),
            (b"~$&+,;=:@", false),
            (b"~$&+=:@", false),
        ] {
            prop_assert!(has(raw, lower), "{asset}: {raw:?}");
        }
    }

    #[test]
    fn what_a_browser_sends_is_a_spelling_where_a_link_encodes_as_little_as_it_may(
        path in file_path().prop_filter_map("links are text", |path| String::from_utf8(path).ok())
            .prop_filter("browsers drop these from links", |path| !path.contains(|c: char| c.is_ascii_control())),
    ) {
        let mut link = String::from("/");
        for character in path.chars() {
            match character {
                '%' => link.push_str("%25"),
                '?' => link.push_str("%3F"),
                '#' => link.push_str("%23"),
                '\\' => link.push_str("%5C"),
                // A browser trims a link's ends.
                ' ' => link.push_str("%20"),
                other => link.push(other),
            }
        }
        let spellings = Asset::of_path(path.as_bytes()).unwrap().spellings();
        let sent = sent_by_a_browser(&link);
        prop_assert!(spellings.iter().any(|one| one.as_str() == sent), "{sent}: {spellings:?}");
    }
}
