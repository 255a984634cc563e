use super::*;

fn mapping(rules: Vec<Rule>, pages: Pages) -> Mapping {
    Mapping::new(rules, pages, Encoding::Canonical).unwrap()
}

fn rule(globs: &[&str], on: &[Kind], purge: RulePurge) -> Rule {
    Rule {
        globs: globs.iter().map(ToString::to_string).collect(),
        on: on.to_vec(),
        purge,
    }
}

fn templates(texts: &[&str]) -> RulePurge {
    let parse = |text: &&str| Template::parse(text).unwrap();
    RulePurge::Assets(texts.iter().map(parse).collect())
}

const ANY: [Kind; 3] = [Kind::New, Kind::Changed, Kind::Gone];

fn effect(mapping: &Mapping, prefix: &str, path: &str) -> String {
    match mapping.effect(prefix, path.as_bytes(), Kind::Changed).0 {
        Effect::All => "all".to_owned(),
        Effect::Nothing => "nothing".to_owned(),
        Effect::Assets(assets) => {
            let names: Vec<&str> = assets.iter().map(Asset::as_str).collect();
            names.join(" ")
        }
    }
}

#[test]
fn the_built_in_table() {
    for (path, exact, directory, clean) in [
        (
            "a/index.html",
            "/a/index.html",
            "/a /a/ /a/index.html",
            "/a /a/ /a/index.html",
        ),
        (
            "a/index.htm",
            "/a/index.htm",
            "/a /a/ /a/index.htm",
            "/a /a/ /a/index.htm",
        ),
        (
            "a/index.xhtml",
            "/a/index.xhtml",
            "/a /a/ /a/index.xhtml",
            "/a /a/ /a/index.xhtml",
        ),
        (
            "index.html",
            "/index.html",
            "/ /index.html",
            "/ /index.html",
        ),
        ("a/b.html", "/a/b.html", "/a/b.html", "/a/b /a/b.html /a/b/"),
        ("b.xhtml", "/b.xhtml", "/b.xhtml", "/b /b.xhtml /b/"),
        ("style.css", "/style.css", "/style.css", "/style.css"),
        (
            "myindex.html",
            "/myindex.html",
            "/myindex.html",
            "/myindex /myindex.html /myindex/",
        ),
        (".html", "/.html", "/.html", "/.html"),
        (
            "index.html/x",
            "/index.html/x",
            "/index.html/x",
            "/index.html/x",
        ),
    ] {
        for (pages, assets) in [
            (Pages::Exact, exact),
            (Pages::Directory, directory),
            (Pages::Clean, clean),
        ] {
            let mapping = mapping(Vec::new(), pages);
            assert_eq!(effect(&mapping, "/", path), assets, "{path} {pages:?}");
        }
    }
}

#[test]
fn a_precompressed_sibling_stands_for_its_base_and_for_itself() {
    let mapping = mapping(Vec::new(), Pages::Directory);
    for (path, assets) in [
        ("x.css.gz", "/x.css /x.css.gz"),
        ("x.css.br", "/x.css /x.css.br"),
        ("a/index.html.zst", "/a /a/ /a/index.html /a/index.html.zst"),
        (".gz", "/.gz"),
        ("a/.br", "/a/.br"),
    ] {
        assert_eq!(effect(&mapping, "/", path), assets, "{path}");
    }
}

#[test]
fn an_origin_below_a_prefix() {
    let mapping = mapping(Vec::new(), Pages::Directory);
    assert_eq!(
        effect(&mapping, "/docs/", "index.html"),
        "/docs /docs/ /docs/index.html"
    );
    assert_eq!(effect(&mapping, "/docs/", "a b.css"), "/docs/a%20b.css");
    assert_eq!(effect(&mapping, "/my%20docs/", "x.css"), "/my%20docs/x.css");
}

#[test]
fn the_first_rule_that_matches_path_and_kind_decides() {
    let mapping = mapping(
        vec![
            rule(&["secret/**"], &ANY, RulePurge::Nothing),
            rule(&["templates/**", "404.html"], &ANY, RulePurge::All),
            rule(&["posts/*.json"], &[Kind::Gone], RulePurge::All),
            rule(
                &["posts/*.json"],
                &ANY,
                templates(&["/{path}", "/blog/{stem}/", "/blog/", "/feed.xml?full=1"]),
            ),
        ],
        Pages::Directory,
    );
    for (path, expected) in [
        ("secret/deep/x", "nothing"),
        ("templates/base.html", "all"),
        ("404.html", "all"),
        ("a/404.html", "/a/404.html"),
        ("posts/deep/x.json", "/posts/deep/x.json"),
        (
            "posts/é 1.json",
            "/blog/ /blog/%C3%A9%201/ /feed.xml?full=1 /posts/%C3%A9%201.json",
        ),
    ] {
        assert_eq!(effect(&mapping, "/", path), expected, "{path}");
    }
    let gone = mapping.effect("/", b"posts/x.json", Kind::Gone);
    assert_eq!(gone, (Effect::All, Some(2)));
    assert_eq!(mapping.effect("/", b"x.css", Kind::New).1, None);
}

#[test]
fn templates_take_the_parts_of_a_path() {
    let render = |text: &str, path: &str| {
        let template = Template::parse(text).unwrap();
        template.render(path.as_bytes()).unwrap().to_string()
    };
    let path = "a/b/c.tar.gz";
    assert_eq!(render("/x/{path}", path), "/x/a/b/c.tar.gz");
    assert_eq!(render("/{dir}/list", path), "/a/b/list");
    assert_eq!(render("/{dir}/list", "c.md"), "/list");
    assert_eq!(render("/{name}?raw={ext}", path), "/c.tar.gz?raw=gz");
    assert_eq!(render("/{stem}/", path), "/c.tar/");
    assert_eq!(render("/{stem}.{ext}", ".env"), "/.env.");
    assert_eq!(render("/{stem}", "a?b#c%20+d.md"), "/a%3Fb%23c%2520+d");
    assert_eq!(render("/%2Bkept/{stem}", "x.md"), "/%2Bkept/x");
    assert_eq!(Template::parse("{path}"), Err(TemplateError::NotAbsolute));
    assert_eq!(Template::parse("/{path"), Err(TemplateError::Unclosed));
    assert_eq!(
        Template::parse("/{slug}"),
        Err(TemplateError::Unknown("slug".to_owned()))
    );
}

#[test]
fn a_name_that_a_template_cannot_carry_is_not_lost() {
    let rules = vec![rule(&["**"], &ANY, templates(&["/{stem}/"]))];
    assert_eq!(
        effect(&mapping(rules, Pages::Directory), "/", "..html"),
        "/..html"
    );
}

#[test]
fn both_spellings_are_purged_where_they_differ() {
    let mapping = Mapping::new(Vec::new(), Pages::Directory, Encoding::Both).unwrap();
    assert_eq!(effect(&mapping, "/", "a[1].css"), "/a%5B1%5D.css /a[1].css");
    assert_eq!(effect(&mapping, "/", "plain.css"), "/plain.css");
}

#[test]
fn names_that_are_not_utf_8_are_matched_and_mapped() {
    let rules = vec![rule(&["bin/*"], &ANY, RulePurge::All)];
    let mapping = mapping(rules, Pages::Directory);
    assert_eq!(mapping.effect("/", b"bin/\xff", Kind::New).0, Effect::All);
    let Effect::Assets(assets) = mapping.effect("/", b"\xff.css", Kind::New).0 else {
        panic!("no assets");
    };
    assert_eq!(assets.first().unwrap().as_str(), "/%FF.css");
}
