//! What nodes that share a queue have to have alike.

use std::collections::BTreeMap;

use super::*;

/// The digests of a configuration with these lines.
fn digests_of(scaleway: &str, origin: &str, rule: &str) -> BTreeMap<String, String> {
    let text = format!(
        "[scaleway]\n{scaleway}\n[[pipeline]]\nname = \"www\"\nid = \"{EXAMPLE_ID}\"\n\
         [[pipeline.origin]]\n{origin}\n[[pipeline.rule]]\n{rule}\n"
    );
    digests(&config(&text))
}

#[test]
fn a_digest_has_what_nodes_must_have_alike_and_not_what_is_their_own() {
    let (root, rule) = ("root = \"/srv/a\"", "match = [\"*.css\"]\npurge = \"all\"");
    let one = digests_of("secret_key_file = \"/a\"", root, rule);
    assert_eq!(one.keys().collect::<Vec<_>>(), ["limits", "pipeline www"]);
    let elsewhere = "root = \"/srv/b\"\nwatch = \"poll\"";
    assert_eq!(digests_of("secret_key_file = \"/b\"", elsewhere, rule), one);
    // What is written though it is the default is the same.
    assert_eq!(
        digests_of("secret_key_file = \"/a\"\nburst = 20", root, rule),
        one
    );
    let limits = digests_of("secret_key_file = \"/a\"\nburst = 21", root, rule);
    assert_ne!(limits["limits"], one["limits"]);
    assert_eq!(limits["pipeline www"], one["pipeline www"]);
    let nothing = "match = [\"*.css\"]\npurge = \"nothing\"";
    let rules = digests_of("secret_key_file = \"/a\"", root, nothing);
    assert_ne!(rules["pipeline www"], one["pipeline www"]);
}
