//! What a bucket that is a website makes stale beyond the URL of an object: an index document answers for its
//! folder, and the error document for every URL that is missing. As rules of the configuration: `init` writes them,
//! `check --online` says which are missing.

use crate::config::{Origin, Pipeline};
use crate::core::change::Kind;
use crate::core::mapping::{Effect, Mapping, MappingSettings, UrlPrefix};
use crate::core::website::Website;

/// The index documents that the built-in mapping knows.
const USUAL: [&str; 3] = ["index.html", "index.htm", "index.xhtml"];

/// The rules that a website needs, as the configuration has them; each ends with a new line.
pub(super) fn rules(website: &Website) -> String {
    let mut rules = String::new();
    let index = website.index.as_deref().filter(|one| !USUAL.contains(one));
    if let Some(index) = index {
        rules += &rule(
            "An index document answers for its folder too",
            &[index, &format!("**/{index}")],
            "[\"/{path}\", \"/{dir}/\", \"/{dir}\"]",
        );
    }
    if let Some(error) = website.error.as_deref() {
        rules += &rule(
            "It answers for every URL that is missing",
            &[error],
            "\"all\"",
        );
    }
    rules
}

fn rule(about: &str, patterns: &[&str], purge: &str) -> String {
    let quoted = { patterns.iter() }.map(|one| toml::Value::from(literal(one)).to_string());
    let patterns = quoted.collect::<Vec<_>>().join(", ");
    format!("\n# {about}.\n[[pipeline.rule]]\nmatch = [{patterns}]\npurge = {purge}\n")
}

/// A pattern that matches this path alone, but for a leading `**/`.
fn literal(path: &str) -> String {
    let (any, path) = match path.strip_prefix("**/") {
        Some(path) => ("**/", path),
        None => ("", path),
    };
    let mut pattern = any.to_owned();
    for c in path.chars() {
        if "*?[]{}\\!".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// What of a website the mapping of a pipeline does not purge.
pub(super) fn uncovered(pipeline: &Pipeline, origin: &Origin, website: &Website) -> Vec<String> {
    let mapping = Mapping::new(MappingSettings {
        rules: pipeline.rules.clone(),
        pages: pipeline.pages,
        encoding: pipeline.encoding,
    });
    let (Ok(mapping), Ok(prefix)) = (mapping, UrlPrefix::parse(&origin.url_prefix)) else {
        // The configuration was checked with the same parsers.
        return Vec::new();
    };
    let effect = |path: &str| {
        mapping
            .effect(&prefix, path.as_bytes(), Kind::Changed)
            .effect
    };
    let mut found = Vec::new();
    if let Some(index) = &website.index {
        let folder = prefix.asset(b"folder/").ok();
        let purges = match effect(&format!("folder/{index}")) {
            Effect::All => true,
            Effect::Assets(assets) => folder.is_some_and(|folder| assets.contains(&folder)),
            Effect::Nothing => false,
        };
        if !purges {
            found.push(format!(
                "{index} answers for its folder, which is not purged with it: write pages = \"directory\", or this \
                 rule"
            ));
        }
    }
    // The error document is one of the whole bucket, which may be more than is served.
    let error = website.error.as_deref();
    if let Some(error) = error.and_then(|key| key.strip_prefix(&origin.prefix))
        && effect(error) != Effect::All
    {
        found.push(format!(
            "{error} answers for every URL that is missing, and no rule purges everything with it: write this rule"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Environment};

    fn website(index: &str, error: &str) -> Website {
        Website {
            index: Some(index.to_owned()),
            error: Some(error.to_owned()),
            rules: false,
        }
    }

    fn missing(website: &Website, rules: &str) -> usize {
        let text = format!(
            "[[pipeline]]\nname = \"www\"\nid = \"22222222-2222-4222-8222-222222222222\"\n\
             [[pipeline.origin]]\nbucket = \"my-site\"\nregion = \"fr-par\"\n{rules}"
        );
        let config = Config::parse(Path::new("c.toml"), &text, &Environment::default());
        let config = config.unwrap_or_else(|problems| panic!("{text}: {problems}"));
        let pipeline = &config.pipelines[0];
        uncovered(pipeline, &pipeline.origins[0], website).len()
    }

    #[test]
    fn the_rules_of_a_website_cover_it_whatever_its_documents_are_called() {
        for (index, error, without) in [
            ("index.html", "404.html", 1),
            ("home.htm", "errors/oops.html", 2),
            ("[x]{1}.html", "*a!\\\"?.html", 2),
        ] {
            let website = website(index, error);
            assert_eq!(missing(&website, ""), without, "{index} {error}");
            assert_eq!(missing(&website, &rules(&website)), 0, "{index} {error}");
        }
    }

    #[test]
    fn a_rule_for_the_error_document_is_for_it_alone() {
        let website = website("index.html", "*.html");
        let other = super::tests::website("index.html", "a.html");
        assert_eq!(missing(&other, &rules(&website)), 1);
    }

    #[test]
    fn what_a_website_does_not_have_needs_no_rule() {
        assert_eq!(rules(&Website::default()), "");
        assert_eq!(missing(&Website::default(), ""), 0);
    }
}
