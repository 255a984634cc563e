//! What is no TOML, what is no file of text, and how a problem is shown.

use super::*;

#[test]
fn syntax_errors_and_what_is_wrong_elsewhere() {
    check(
        "[scaleway]\nburst = 10 %\n[state]\nretention = \"1 month\"\n",
        &[
            "c.toml:2:9: not TOML: string values must be quoted, expected literal string; hint: write the value in quotes",
            "c.toml:4:13: state.retention: \"1 month\" is not a duration; hint: write a whole number and a \
             unit, ms, s, m, h or d, in quotes, such as \"30s\"",
        ],
    );
    check(
        "[state]\nretention = \"1d\"\nretention = \"2d\"\n",
        &[
            "c.toml:3:1: not TOML: duplicate key; hint: each key and each [section] may be there once; a \
           [[section]] may be repeated",
        ],
    );
    check(
        "[scaleway\nburst = 3\n[state]\nnod = 1\n",
        &[
            "c.toml:1:10: not TOML: unclosed table, expected `]`; hint: close it",
            "c.toml:4:1: state.nod: is not a key that is known here; hint: did you mean node?",
        ],
    );
    check(
        "[state]\nretention = [\"1d\",\n[admin]\nlisten = \"off\"\n",
        &[
            "c.toml:2:13: state.retention: [\"1d\",… is a list, not a string; hint: write a whole \
             number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"",
            "c.toml:3:2: not TOML: string values must be quoted, expected literal string; hint: close \
             the list that begins in a line above, with ]",
        ],
    );
    // The second pipeline's keys are not taken for duplicates of the first one's.
    check(
        &pipeline("[[pipeline]\nname = \"b\"\n"),
        &["c.toml:4:12: not TOML: unclosed array table, expected `]`; hint: close it"],
    );
}

#[test]
fn columns_count_characters() {
    check(
        "state = { \"é\" = 1, retention = \"x\" }\n",
        &[
            "c.toml:1:11: state.é: is not a key that is known here; hint: remove it; known here are \
             database_url_file, directory, node, retention",
            "c.toml:1:32: state.retention: \"x\" is not a duration; hint: write a whole number and a unit, \
             ms, s, m, h or d, in quotes, such as \"30s\"",
        ],
    );
}

#[test]
fn the_line_is_shown_with_the_place_underlined() {
    let toml = pipeline("\tmax_assets = \"five\"  # at most\n");
    let problems = Config::parse(Path::new("c.toml"), &toml, &Environment::default()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "c.toml:4:15: pipeline[0].max_assets: \"five\" is not a whole number; hint: write a number \
         without quotes\n    4 | \tmax_assets = \"five\"  # at most\n      | \t             ^^^^^^"
    );
}

#[test]
fn a_problem_as_json_has_stable_keys() {
    let problems = Config::parse(
        Path::new("c.toml"),
        "[state]\nretention = \"x\"\n",
        &Environment::default(),
    )
    .unwrap_err();
    let json = serde_json::to_value(&problems).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "place": "c.toml", "line": 2, "column": 13, "key": "state.retention", "value": "\"x\"",
            "why": "is not a duration",
            "hint": "write a whole number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"",
        }])
    );
}

#[test]
fn a_file_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let load = |name: &str, bytes: Option<&[u8]>| {
        let path = directory.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let problems = Config::load(&path, &Environment::default()).unwrap_err();
        problems
            .to_string()
            .replace(directory.path().to_str().unwrap(), "")
    };
    let hint = "hint: `edgepurge init` writes one; --config or EDGEPURGE_CONFIG names another";
    assert_eq!(
        load("none.toml", None),
        format!("/none.toml: can't be read: No such file or directory (os error 2); {hint}")
    );
    assert_eq!(
        load("bytes.toml", Some(b"# a\n\xff\n")),
        "/bytes.toml: is not UTF-8: line 2 has a byte that no text has; hint: save the file as UTF-8"
    );
    assert_eq!(
        load("large.toml", Some(&vec![b'\n'; (1 << 20) + 1])),
        format!("/large.toml: is larger than 1 MiB; {hint}")
    );
    assert_eq!(
        load("", None),
        format!("/: can't be read: Is a directory (os error 21); {hint}")
    );
}

proptest::proptest! {
    /// Whatever a file holds, there is an answer, and each problem's place is in the file.
    #[test]
    fn no_text_makes_it_panic(text in "(\\[{0,2}(scaleway|pipeline|pipeline.origin|state)\\]{0,2}|[a-z_]{1,9} = .{0,9}|id = \"é\"|\\PC{0,20}|\n){0,12}") {
        let lines = text.lines().count().max(1);
        if let Err(problems) = Config::parse(Path::new("c.toml"), &text, &Environment::default()) {
            for problem in problems.iter() {
                proptest::prop_assert!(problem.line.is_none_or(|line| line >= 1 && line <= lines + 1));
                proptest::prop_assert!(!problem.to_string().is_empty());
            }
        }
    }
}
