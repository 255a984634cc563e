use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn rule(patterns: &[&str], purge: RulePurge) -> Rule {
    Rule {
        patterns: patterns.iter().map(ToString::to_string).collect(),
        on: Rule::every_kind(),
        purge,
    }
}

fn templates(texts: &[&str]) -> RulePurge {
    RulePurge::Templates(texts.iter().map(|t| Template::parse(t).unwrap()).collect())
}

fn mapping(rules: Vec<Rule>, pages: Pages) -> Mapping {
    Mapping::new(MappingSettings {
        rules,
        pages,
        encoding: Encoding::Both,
    })
    .unwrap()
}

fn changed(mapping: &Mapping, prefix: &str, path: &str) -> Mapped {
    let prefix = UrlPrefix::parse(prefix).unwrap();
    mapping.effect(&prefix, path.as_bytes(), Kind::Changed)
}

fn assets(effect: &Effect) -> Vec<&str> {
    match effect {
        Effect::Assets(assets) => assets.iter().map(Asset::as_str).collect(),
        other => panic!("not assets: {other:?}"),
    }
}

/// Prefix, file, and what `exact`, `directory` and `clean` purge.
type Row = (&'static str, &'static str, [&'static [&'static str]; 3]);

const TABLE: &[Row] = &[
    (
        "/",
        "a/index.html",
        [
            &["/a/index.html"],
            &["/a", "/a/", "/a/index.html"],
            &["/a", "/a/", "/a/index", "/a/index.html"],
        ],
    ),
    (
        "/",
        "a/b/index.xhtml",
        [
            &["/a/b/index.xhtml"],
            &["/a/b", "/a/b/", "/a/b/index.xhtml"],
            &["/a/b", "/a/b/", "/a/b/index.xhtml"],
        ],
    ),
    (
        "/",
        "index.html",
        [
            &["/index.html"],
            &["/", "/index.html"],
            &["/", "/index", "/index.html"],
        ],
    ),
    (
        "/",
        "index.htm",
        [&["/index.htm"], &["/", "/index.htm"], &["/", "/index.htm"]],
    ),
    (
        "/docs/",
        "index.html",
        [
            &["/docs/index.html"],
            &["/docs", "/docs/", "/docs/index.html"],
            &["/docs", "/docs/", "/docs/index", "/docs/index.html"],
        ],
    ),
    (
        "/docs/",
        "a/index.html",
        [
            &["/docs/a/index.html"],
            &["/docs/a", "/docs/a/", "/docs/a/index.html"],
            &["/docs/a", "/docs/a/", "/docs/a/index", "/docs/a/index.html"],
        ],
    ),
    (
        "/",
        "a/b.html",
        [
            &["/a/b.html"],
            &["/a/b.html"],
            &["/a/b", "/a/b.html", "/a/b/"],
        ],
    ),
    (
        "/docs/",
        "b.html",
        [
            &["/docs/b.html"],
            &["/docs/b.html"],
            &["/docs/b", "/docs/b.html", "/docs/b/"],
        ],
    ),
    ("/", "a/b.htm", [&["/a/b.htm"]; 3]),
    ("/", "a/style.css", [&["/a/style.css"]; 3]),
    (
        "/",
        "404.html",
        [
            &["/404.html"],
            &["/404.html"],
            &["/404", "/404.html", "/404/"],
        ],
    ),
    ("/", "a/.html", [&["/a/.html"]; 3]),
    (
        "/",
        "my-index.html",
        [
            &["/my-index.html"],
            &["/my-index.html"],
            &["/my-index", "/my-index.html", "/my-index/"],
        ],
    ),
    // Compressed siblings map as what they are a copy of, and as themselves.
    (
        "/",
        "a/style.css.gz",
        [&["/a/style.css", "/a/style.css.gz"]; 3],
    ),
    (
        "/",
        "a/style.css.br",
        [&["/a/style.css", "/a/style.css.br"]; 3],
    ),
    ("/", "a/list.zst", [&["/a/list", "/a/list.zst"]; 3]),
    (
        "/",
        "old.tar.gz.zst",
        [&["/old.tar.gz", "/old.tar.gz.zst"]; 3],
    ),
    ("/", "a/list.xz", [&["/a/list.xz"]; 3]),
    (
        "/docs/",
        "a/index.html.br",
        [
            &["/docs/a/index.html", "/docs/a/index.html.br"],
            &[
                "/docs/a",
                "/docs/a/",
                "/docs/a/index.html",
                "/docs/a/index.html.br",
            ],
            &[
                "/docs/a",
                "/docs/a/",
                "/docs/a/index",
                "/docs/a/index.html",
                "/docs/a/index.html.br",
            ],
        ],
    ),
    ("/", "a/.gz", [&["/a/.gz"]; 3]),
];

#[test]
fn every_row_of_the_built_in_table_holds() {
    for (prefix, file, by_pages) in TABLE {
        let modes = [Pages::Exact, Pages::Directory, Pages::Clean];
        for (pages, expected) in modes.into_iter().zip(by_pages) {
            let mapped = changed(&mapping(vec![], pages), prefix, file);
            assert_eq!(
                assets(&mapped.effect),
                *expected,
                "{file} below {prefix}, {pages:?}"
            );
            assert_eq!(mapped.decided, Decided::BuiltIn);
            assert_eq!(mapped.refused, []);
        }
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mapping = mapping(
        vec![
            rule(&["assets/**"], RulePurge::Nothing),
            rule(&["templates/**", "404.html"], RulePurge::All),
            rule(&["**/*.json"], templates(&["/first"])),
            rule(&["posts/*.json"], templates(&["/second"])),
        ],
        Pages::Directory,
    );
    let of = |path| changed(&mapping, "/", path);

    assert_eq!(of("assets/a.json").effect, Effect::Nothing);
    assert_eq!(of("templates/deep/er/base.tmpl").effect, Effect::All);
    let error_page = of("404.html");
    assert_eq!(error_page.effect, Effect::All);
    assert_eq!(error_page.decided.to_string(), "rule 2 (404.html)");
    assert_eq!(assets(&of("blog/404.html").effect), ["/blog/404.html"]);
    assert_eq!(assets(&of("posts/a.json").effect), ["/first"]);
    let other = of("posts/a.txt");
    assert_eq!(assets(&other.effect), ["/posts/a.txt"]);
    assert_eq!(other.decided.to_string(), "the built-in mapping");
}

#[test]
fn a_star_stays_within_a_directory() {
    let mapping = mapping(
        vec![rule(&["posts/*.json", "*.md"], RulePurge::Nothing)],
        Pages::Directory,
    );
    assert_eq!(
        changed(&mapping, "/", "posts/a.json").effect,
        Effect::Nothing
    );
    assert_eq!(changed(&mapping, "/", "a.md").effect, Effect::Nothing);
    for path in ["posts/2024/a.json", "posts/a.jsonl", "docs/a.md"] {
        assert_eq!(
            changed(&mapping, "/", path).decided,
            Decided::BuiltIn,
            "{path}"
        );
    }
}

#[test]
fn a_rule_matches_below_the_root_whatever_the_prefix_and_whatever_the_bytes() {
    let mapping = mapping(vec![rule(&["a/*.html"], RulePurge::All)], Pages::Directory);
    assert_eq!(changed(&mapping, "/docs/", "a/b.html").effect, Effect::All);
    let prefix = UrlPrefix::default();
    let mapped = mapping.effect(&prefix, b"a/\xff\xfe.html", Kind::New);
    assert_eq!(mapped.effect, Effect::All);
}

#[test]
fn a_rule_is_passed_over_for_changes_that_it_is_not_on() {
    let mut on_gone = rule(&["*.css"], RulePurge::All);
    on_gone.on = BTreeSet::from([Kind::Gone]);
    let mut on_new = rule(&["*.css"], RulePurge::Nothing);
    on_new.on = BTreeSet::from([Kind::New]);
    let mapping = mapping(vec![on_gone, on_new], Pages::Directory);
    let effect = |kind| mapping.effect(&UrlPrefix::default(), b"a.css", kind).effect;
    assert_eq!(effect(Kind::Gone), Effect::All);
    assert_eq!(effect(Kind::New), Effect::Nothing);
    assert_eq!(assets(&effect(Kind::Changed)), ["/a.css"]);
    assert_eq!(
        effect(Kind::Asked),
        Effect::All,
        "asked: whatever `on` says"
    );
}

#[test]
fn a_compressed_sibling_follows_the_rules_of_its_base_file_after_its_own() {
    let mapping = mapping(
        vec![
            rule(&["posts/*.json"], templates(&["/blog/{stem}/"])),
            rule(&["private/*.gz"], RulePurge::Nothing),
            rule(&["404.html"], RulePurge::All),
        ],
        Pages::Directory,
    );
    let of = |path| changed(&mapping, "/", path);
    let sibling = of("posts/a.json.br");
    assert_eq!(assets(&sibling.effect), ["/blog/a/", "/posts/a.json.br"]);
    assert_eq!(sibling.decided.to_string(), "rule 1 (posts/*.json)");
    assert_eq!(of("private/a.css.gz").effect, Effect::Nothing);
    assert_eq!(of("404.html.gz").effect, Effect::All);
}

#[test]
fn templates_are_filled_in_from_the_path_below_the_root() {
    for (template, file, asset) in [
        ("/{path}", "posts/a.json", "/posts/a.json"),
        ("/docs/{path}", "posts/a.json", "/docs/posts/a.json"),
        ("/blog/{stem}/", "posts/a.json", "/blog/a/"),
        ("/{dir}/{name}", "x/y/a.json", "/x/y/a.json"),
        ("/{dir}/{name}", "a.json", "/a.json"),
        ("/{dir}/", "a.json", "/"),
        ("/x/{dir}/{dir}/y", "a.json", "/x/y"),
        ("/{stem}.{ext}", "x/app.min.js", "/app.min.js"),
        ("/{stem}-{ext}", ".htaccess", "/.htaccess-"),
        ("/{stem}.{ext}", "Makefile", "/Makefile."),
        ("/feed.xml?full=1", "posts/a.json", "/feed.xml?full=1"),
        (
            "/a?p={path}",
            "x y/a&b=c+é.json",
            "/a?p=x%20y/a%26b%3Dc%2B%C3%A9.json",
        ),
        ("/a?{dir}//{dir}", "a.json", "/a?//"),
        ("/{name}", "100%?#.txt", "/100%25%3F%23.txt"),
        ("/{name}", "a%20b.html", "/a%2520b.html"),
        ("/%7e%2f%{ext}", "a.41", "/%7e%2f%2541"),
        ("/caf%c3%a9 {name}", "é", "/caf%c3%a9%20%C3%A9"),
        ("/%7B{name}%7d", "a", "/%7Ba%7d"),
    ] {
        let expanded = Template::parse(template).unwrap().expand(file.as_bytes());
        assert_eq!(expanded.unwrap().as_str(), asset, "{template} of {file}");
    }
}

#[test]
fn a_template_that_could_never_be_an_asset_is_refused() {
    for (template, words) in [
        ("", "is empty"),
        ("{path}", "does not start with `/`"),
        ("blog/", "does not start with `/`"),
        ("/a//{name}", "`//`"),
        ("/../{name}", "`..`"),
        ("/{name}#top", "#fragment"),
        ("/{nme}", "no placeholder `{nme}`"),
        ("/{}", "no placeholder `{}`"),
        ("/{name", "unpaired brace"),
        ("/name}", "unpaired brace"),
        ("/{{name}}", "unpaired brace"),
    ] {
        let error = Template::parse(template).unwrap_err().to_string();
        assert!(error.contains(words), "{template}: {error}");
    }
}

#[test]
fn a_name_that_no_request_could_spell_is_told_and_the_rest_is_purged() {
    let mapping = mapping(
        vec![rule(&["**/*.x"], templates(&["/{stem}/", "/list"]))],
        Pages::Clean,
    );
    let mapped = changed(&mapping, "/", "a/..x");
    assert_eq!(assets(&mapped.effect), ["/list"]);
    assert_eq!(mapped.refused.len(), 1);

    let mapped = changed(&mapping, "/", &"é".repeat(2000));
    assert_eq!(assets(&mapped.effect), [""; 0]);
    assert!(mapped.refused[0].to_string().contains("8 KiB"));
}

#[test]
fn other_spellings_are_purged_only_with_encoding_both() {
    let settings = |encoding| MappingSettings {
        rules: vec![
            rule(&["*.json"], templates(&["/x?id[]={stem}"])),
            rule(&["*.md"], templates(&["/%e6%97%a5/{stem}", "/日/{stem}"])),
        ],
        encoding,
        ..MappingSettings::default()
    };
    let both = Mapping::new(settings(Encoding::Both)).unwrap();
    let canonical = Mapping::new(settings(Encoding::Canonical)).unwrap();
    for (file, more, only) in [
        (
            "a[1] b.txt",
            &["/a%5B1%5D%20b.txt", "/a%5b1%5d%20b.txt", "/a[1]%20b.txt"][..],
            &["/a%5B1%5D%20b.txt"][..],
        ),
        (
            "e\u{301}.css",
            &["/%C3%A9.css", "/%c3%a9.css", "/e%CC%81.css", "/e%cc%81.css"],
            &["/e%CC%81.css"],
        ),
        ("7.json", &["/x?id%5B%5D=7", "/x?id[]=7"], &["/x?id[]=7"]),
        // What a rule spells out is purged so, and what it does not in every spelling.
        (
            "a+.md",
            &[
                "/%E6%97%A5/a%2B",
                "/%E6%97%A5/a+",
                "/%e6%97%a5/a%2b",
                "/%e6%97%a5/a+",
            ],
            &["/%E6%97%A5/a+", "/%e6%97%a5/a+"],
        ),
    ] {
        assert_eq!(assets(&changed(&both, "/", file).effect), more, "{file}");
        assert_eq!(
            assets(&changed(&canonical, "/", file).effect),
            only,
            "{file}"
        );
    }
}

#[test]
fn a_file_answers_at_every_spelling_of_its_bytes_and_not_of_others() {
    let mapping = mapping(vec![], Pages::Directory);
    let own = mapping.answers_at(&UrlPrefix::default(), "e\u{301}/index.html".as_bytes());
    let own: Vec<&str> = own.iter().map(Asset::as_str).collect();
    assert_eq!(
        own,
        [
            "/e%CC%81/",
            "/e%CC%81/index.html",
            "/e%cc%81/",
            "/e%cc%81/index.html"
        ]
    );
}

#[test]
fn every_wrong_pattern_is_reported_with_its_place() {
    let settings = MappingSettings {
        rules: vec![
            rule(&["a/**", "b/[", "/c"], RulePurge::All),
            rule(&["d/"], RulePurge::All),
        ],
        ..MappingSettings::default()
    };
    let errors = Mapping::new(settings).unwrap_err();
    let places: Vec<_> = errors
        .iter()
        .map(|error| match error {
            MappingError::Pattern { rule, pattern, .. } => (*rule, *pattern),
            MappingError::Patterns(why) => panic!("{why}"),
        })
        .collect();
    assert_eq!(places, [(0, 1), (0, 2), (1, 0)]);
    assert!(
        errors[0]
            .to_string()
            .starts_with("rule 1: the pattern \"b/[\" is not a glob")
    );
    assert!(errors[1].to_string().contains("leave out the first `/`"));
}

#[test]
fn a_pattern_that_could_never_match_is_refused() {
    for pattern in ["", "/a", "a/", "./a", "a/../b", "a//b"] {
        let error = parse_pattern(pattern).unwrap_err();
        assert!(matches!(error, PatternError::Never { .. }), "{pattern}");
    }
    for pattern in [
        "**",
        "a",
        "*.{css,js}",
        "[a-c]/?.txt",
        "**/.well-known/*",
        "\\*",
    ] {
        assert!(parse_pattern(pattern).is_ok(), "{pattern}");
    }
}

#[test]
fn a_prefix_gets_its_slash_and_its_one_spelling() {
    for (text, prefix) in [
        ("/", "/"),
        ("/docs", "/docs/"),
        ("/docs/", "/docs/"),
        ("/café/", "/caf%C3%A9/"),
    ] {
        assert_eq!(UrlPrefix::parse(text).unwrap().as_str(), prefix);
    }
    for text in ["", "docs/", "/a//b/", "/a?b", "/../", "/a#b/"] {
        assert!(UrlPrefix::parse(text).is_err(), "{text}");
    }
    let file = UrlPrefix::parse("/caf%c3%a9")
        .unwrap()
        .asset("é".as_bytes());
    assert_eq!(file.unwrap().as_str(), "/caf%C3%A9/%C3%A9");
}

proptest! {
    /// Whatever a file is called: its own spelling is purged, every asset is one that
    /// `Asset::parse` would take, and nothing panics.
    #[test]
    fn every_file_is_purged_at_least_as_itself(
        names in vec(vec(1..=255u8, 1..12), 1..4),
        ending in proptest::sample::select(vec!["", ".html", "/index.html", ".css.gz", ".tar.zst"]),
        prefix in proptest::sample::select(vec!["/", "/docs/"]),
        pages in proptest::sample::select(vec![Pages::Exact, Pages::Directory, Pages::Clean]),
    ) {
        let names: Vec<_> = names
            .into_iter()
            .map(|name| name.iter().map(|&b| if b == b'/' { b'_' } else { b }).collect::<Vec<_>>())
            .filter(|name| name != b"." && name != b"..")
            .collect();
        prop_assume!(!names.is_empty());
        let path = [&names.join(&b'/')[..], ending.as_bytes()].concat();
        let prefix = UrlPrefix::parse(prefix).unwrap();
        let mapped = mapping(vec![], pages).effect(&prefix, &path, Kind::Changed);
        let Effect::Assets(assets) = mapped.effect else {
            return Err(TestCaseError::fail("no rule, and not assets"));
        };
        prop_assert!(assets.contains(&prefix.asset(&path).unwrap()));
        for asset in assets {
            prop_assert!(asset.as_str().starts_with(prefix.as_str().trim_end_matches('/')));
            prop_assert!(Asset::parse(asset.as_str()).is_ok(), "{asset}");
        }
    }

    #[test]
    fn a_template_never_yields_what_is_no_asset(
        file in vec(1..=255u8, 1..40),
        template in "/([a-z%?.]|\\{(path|dir|name|stem|ext)\\}|/\\{(dir|ext)\\}){0,6}",
    ) {
        if let Ok(template) = Template::parse(&template)
            && let Ok(asset) = template.expand(&file)
        {
            prop_assert_eq!(Asset::parse(asset.as_str()), Ok(asset));
        }
    }
}
