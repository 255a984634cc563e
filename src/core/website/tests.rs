use super::*;
use crate::core::mapping::{Encoding, MappingSettings, Pages, Rule, RulePurge, Template};

fn website(index: &str, error: &str) -> Website {
    Website {
        index: Some(index.to_owned()),
        error: Some(error.to_owned()),
        rules: false,
    }
}

/// The rules of a configuration.
fn read(text: &str) -> Vec<Rule> {
    let table: toml::Table = text.parse().unwrap();
    let rules = &table
        .get("pipeline")
        .and_then(|pipeline| pipeline.get("rule"));
    let rules = rules.and_then(toml::Value::as_array).cloned();
    let texts = |value: &toml::Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter();
        all.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let rule = |rule: toml::Value| Rule {
        patterns: texts(&rule["match"]),
        on: Rule::every_kind(),
        purge: match &rule["purge"] {
            toml::Value::String(_) => RulePurge::All,
            templates => {
                let texts = texts(templates).into_iter();
                let templates = texts.map(|text| Template::parse(&text).unwrap());
                RulePurge::Templates(templates.collect())
            }
        },
    };
    rules.unwrap_or_default().into_iter().map(rule).collect()
}

fn missing(website: &Website, rules: &str, pages: Pages) -> Vec<String> {
    let rules = read(rules);
    let encoding = Encoding::Both;
    let mapping = Mapping::new(MappingSettings {
        rules,
        pages,
        encoding,
    })
    .unwrap();
    website.uncovered(&mapping, &UrlPrefix::parse("/").unwrap(), "")
}

#[test]
fn the_rules_of_a_website_cover_it_whatever_its_documents_are_called() {
    for (index, error, without) in [
        ("index.html", "404.html", 1),
        ("home.htm", "errors/oops.html", 2),
        ("[x]{1}.html", "*a!\\\"?.html", 2),
    ] {
        let website = website(index, error);
        let pages = Pages::Directory;
        assert_eq!(
            missing(&website, "", pages).len(),
            without,
            "{index} {error}"
        );
        let rules = website.rules();
        assert_eq!(missing(&website, &rules, pages), [""; 0], "{index} {error}");
    }
}

#[test]
fn what_is_missing_says_what_to_write() {
    let found = missing(&website("index.html", "oops.html"), "", Pages::Exact);
    assert_eq!(
        found,
        [
            "index.html answers for its folder, which is not purged with it: write pages = \"directory\"",
            "oops.html answers for every URL that is missing, and no rule purges everything with it: write a \
             [[pipeline.rule]] with match = [\"oops.html\"] and purge = \"all\"",
        ]
    );
}

#[test]
fn an_error_document_that_is_not_served_needs_no_rule() {
    let mapping = Mapping::new(MappingSettings::default()).unwrap();
    let prefix = UrlPrefix::parse("/").unwrap();
    let website = website("index.html", "oops.html");
    assert_eq!(website.uncovered(&mapping, &prefix, "site/"), [""; 0]);
}

#[test]
fn a_rule_for_the_error_document_is_for_it_alone() {
    let rules = website("index.html", "*.html").rules();
    let other = website("index.html", "a.html");
    assert_eq!(missing(&other, &rules, Pages::Directory).len(), 1);
}

#[test]
fn what_a_website_does_not_have_needs_no_rule() {
    assert_eq!(Website::default().rules(), "");
    assert_eq!(missing(&Website::default(), "", Pages::Exact), [""; 0]);
}
