use super::*;
use crate::core::mapping::{MappingSettings, Pages, Rule, RulePurge, Template};

const SITE: &str = "11111111-1111-4111-8111-111111111111";

fn rule(pattern: &str, purge: RulePurge) -> Rule {
    Rule {
        patterns: vec![pattern.to_owned()],
        on: Rule::every_kind(),
        purge,
    }
}

/// A pipeline with a site at `/`, its documentation at `/docs/`, and a few rules.
fn pipeline() -> IntakePipeline {
    let twice = ["/list", "/list", "/{name}"].map(|text| Template::parse(text).unwrap());
    let mapping = Mapping::new(MappingSettings {
        rules: vec![
            rule("drafts/**", RulePurge::Nothing),
            rule("404.html", RulePurge::All),
            rule("*.json", RulePurge::Templates(twice.to_vec())),
        ],
        pages: Pages::Directory,
        encoding: Encoding::Both,
    });
    let origin = |prefix: &str| IntakeOrigin {
        url_prefix: UrlPrefix::parse(prefix).unwrap(),
        bucket: false,
    };
    IntakePipeline {
        mapping: mapping.unwrap(),
        origins: BTreeMap::from([
            ("site".into(), origin("/")),
            ("docs".into(), origin("/docs/")),
        ]),
    }
}

fn change(origin: &str, path: &str) -> FileChange {
    FileChange {
        origin: origin.into(),
        path: path.into(),
        kind: Kind::Changed,
        hash: Some([7; 32]),
        former: Some([6; 32]),
        source: Source::Scan,
        detail: "overflow".into(),
        seen: Time::from_millis(5),
    }
}

fn changes(origin: &str, path: &str) -> Vec<NewChange> {
    changes_of(&PipelineId::new(SITE), &pipeline(), change(origin, path)).unwrap()
}

fn assets<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Vec<&'a str> {
    targets
        .into_iter()
        .map(|target| match target {
            Target::Asset(asset) => asset.as_str(),
            Target::All => "all",
        })
        .collect()
}

#[test]
fn a_file_becomes_one_change_for_each_asset_each_with_the_file_behind_it() {
    let changes = changes("docs", "a/index.html");
    assert_eq!(
        assets(changes.iter().map(|change| &change.target)),
        ["/docs/a", "/docs/a/", "/docs/a/index.html"]
    );
    for change in changes {
        assert_eq!(change.pipeline, PipelineId::new(SITE));
        assert_eq!(change.kind, Kind::Changed);
        assert_eq!(change.source, Source::Scan);
        assert_eq!(&*change.detail, "overflow");
        assert_eq!(change.seen, Time::from_millis(5));
        let file = FileFact {
            origin: "docs".into(),
            path: b"a/index.html".to_vec(),
            hash: Some([7; 32]),
            former: Some([6; 32]),
        };
        assert_eq!(change.file, Some(file));
    }
}

#[test]
fn an_all_of_a_rule_says_which_rule() {
    let changes = changes("site", "404.html");
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].target, Target::All);
    assert_eq!(&*changes[0].detail, "rule 2 (404.html)");
    assert!(changes[0].file.is_some());
}

#[test]
fn a_file_of_which_nothing_is_purged_makes_no_change() {
    assert_eq!(changes("site", "drafts/a.html"), []);
}

#[test]
fn an_asset_is_named_once_for_a_file() {
    let changes = changes("site", "a.json");
    assert_eq!(
        assets(changes.iter().map(|change| &change.target)),
        ["/a.json", "/list"]
    );
}

#[test]
fn a_compressed_file_makes_a_change_of_its_base_and_one_of_itself() {
    let changes = changes("docs", "b.css.gz");
    assert_eq!(
        assets(changes.iter().map(|c| &c.target)),
        ["/docs/b.css", "/docs/b.css.gz"]
    );
    let file = changes.iter().map(|c| &c.file.as_ref().unwrap().path[..]);
    assert!(file.eq([b"b.css.gz"; 2]));
}

#[test]
fn an_unknown_origin_is_an_error_and_not_a_silent_loss() {
    let id = PipelineId::new(SITE);
    let error = changes_of(&id, &pipeline(), change("blog", "a.html")).unwrap_err();
    assert!(matches!(error, SinkError::UnknownOrigin { .. }), "{error}");
}

fn asked(texts: &[&str]) -> AskedTargets {
    AskedTargets::Assets(texts.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_asked_for_may_be_a_path_or_a_url_and_is_purged_once() {
    let texts = [
        "/a b.html",
        "https://www.example.com/a%20b.html#top",
        "/x[1].png",
        "/go?to=http://example.com",
        "/%e6%97%a5/",
        "/c%2B%2B",
    ];
    let targets = targets_of(asked(&texts), Encoding::Both).unwrap();
    assert_eq!(
        assets(&targets),
        [
            "/%e6%97%a5/",
            "/a%20b.html",
            "/c%2B%2B",
            "/go?to=http://example.com",
            "/x%5B1%5D.png",
            "/x%5b1%5d.png",
            "/x[1].png"
        ]
    );
    let targets = targets_of(asked(&["/x[1].png"]), Encoding::Canonical).unwrap();
    assert_eq!(assets(&targets), ["/x[1].png"]);
    let exactly = AskedTargets::Exactly(vec!["/x[1]+.png".to_owned()]);
    let targets = targets_of(exactly, Encoding::Both).unwrap();
    assert_eq!(assets(&targets), ["/x[1]+.png"]);
    let targets = targets_of(AskedTargets::All, Encoding::Both).unwrap();
    assert_eq!(assets(&targets), ["all"]);
}

#[test]
fn every_bad_asset_is_named_at_once() {
    let error = targets_of(asked(&["a", "/ok", "ftp://b/c", "/d/../e"]), Encoding::Both);
    let error = error.unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].starts_with("\"a\" does not start with `/`"));
    assert!(lines[1].starts_with("\"ftp://b/c\" is not a URL"));
    assert!(lines[2].starts_with("\"/d/../e\" has a `.` or `..` segment"));
}

#[test]
fn asking_for_nothing_is_an_error() {
    let error = targets_of(asked(&[]), Encoding::Both).unwrap_err();
    assert!(matches!(error, AskError::Empty));
}
