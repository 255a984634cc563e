//! Every kind of problem, with its place, what was written, why, and what to do.

use super::*;

#[test]
fn an_empty_file_is_no_problem_but_says_that_nothing_will_be_done() {
    let config = config("");
    let warnings: Vec<String> = config.warnings.iter().map(Problem::summary).collect();
    assert_eq!(
        warnings,
        [
            "c.toml:1:1: pipeline: is missing: nothing is watched, and nothing purged but by \
             `requests create`; hint: add a [[pipeline]]"
        ]
    );
}

#[test]
fn unknown_keys_and_sections() {
    check(
        "[scaleway]\nbrust = 3\n[scalaway]\n",
        &[
            "c.toml:2:1: scaleway.brust: is not a key that is known here; hint: did you mean burst?",
            "c.toml:3:2: scalaway: is not a key that is known here; hint: did you mean scaleway?",
        ],
    );
    check(
        "[state]\ncolour = 1\n",
        &[
            "c.toml:2:1: state.colour: is not a key that is known here; hint: remove it; known here \
             are database_url_file, directory, node, retention",
        ],
    );
    check(
        &origin("rot = 1\n[[pipeline.rule]]\nmatch = [\"a\"]\npurge = \"all\"\nno = []\n"),
        &[
            "c.toml:6:1: pipeline[0].origin[0].rot: is not a key that is known here; hint: did you mean root?",
            "c.toml:10:1: pipeline[0].rule[0].no: is not a key that is known here; hint: did you mean on?",
        ],
    );
}

#[test]
fn keys_below_the_wrong_header() {
    check(
        &origin("max_assets = 3\nburst = 2\n"),
        &[
            "c.toml:6:1: pipeline[0].origin[0].max_assets: is not a key that is known here; hint: it \
             belongs below [[pipeline]], before the next header",
            "c.toml:7:1: pipeline[0].origin[0].burst: is not a key that is known here; hint: it \
             belongs below [scaleway], before the next header",
        ],
    );
}

#[test]
fn missing_keys() {
    check(
        "[[pipeline]]\n[[pipeline.origin]]\n[[pipeline.rule]]\n",
        &[
            "c.toml:1:1: pipeline[0].name: is missing; hint: give the pipeline a name, such as name = \"www\"",
            "c.toml:1:1: pipeline[0].id: is missing; hint: write the pipeline's id; the Scaleway \
             console shows it, and `scw edge-services pipeline list`",
            "c.toml:2:1: pipeline[0].origin[0].root: is missing; hint: name the directory that the \
             pipeline serves, such as root = \"/srv/www\", or its bucket, such as bucket = \"my-site\"",
            "c.toml:3:1: pipeline[0].rule[0].match: is missing; hint: say which files the rule is \
             about, such as match = [\"posts/*.json\"]",
            "c.toml:3:1: pipeline[0].rule[0].purge: is missing; hint: write \"all\", \"nothing\", or a \
             list of assets such as [\"/{path}\", \"/feed.xml\"]",
        ],
    );
}

#[test]
fn wrong_types() {
    check(
        &pipeline(
            "max_assets = \"five\"\ndebounce = 5\nmax_wait = 1.5\npages = true\nall_above = \"many\"\n",
        ),
        &[
            "c.toml:4:14: pipeline[0].max_assets: \"five\" is not a whole number; hint: write a number without quotes",
            "c.toml:5:12: pipeline[0].debounce: 5 has no unit; hint: write a whole number and a unit, \
             ms, s, m, h or d, in quotes, such as \"30s\"",
            "c.toml:6:12: pipeline[0].max_wait: 1.5 is a number with a fraction, not a string; hint: \
             write a whole number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"",
            "c.toml:7:9: pipeline[0].pages: true is a boolean, not a string; hint: write one of \
             \"exact\", \"directory\" or \"clean\"",
            "c.toml:8:13: pipeline[0].all_above: \"many\" is neither a whole number nor \"never\"; \
             hint: write 1 to 100000 without quotes, or \"never\"",
        ],
    );
    check(
        "scaleway = 3\nstate = [1]\n[[admin]]\nlisten = \"never\"\n[pipeline]\nname = \"a b\"\n",
        &[
            "c.toml:1:12: scaleway: 3 is a whole number, not a table; hint: write [scaleway] on a line of its own",
            "c.toml:2:9: state: [1] is a list, not a table; hint: write [state] on a line of its own",
            "c.toml:3:1: admin: is a list of tables, not a table; hint: write [admin] once",
            "c.toml:4:10: admin.listen: \"never\" is not an IP address with a port; hint: write an IP \
             address and a port, such as \"127.0.0.1:9787\", or \"off\"",
            "c.toml:5:1: pipeline: is one table, not a list of tables; hint: write [[pipeline]], with two brackets",
            "c.toml:5:1: pipeline[0].id: is missing; hint: write the pipeline's id; the Scaleway \
             console shows it, and `scw edge-services pipeline list`",
            "c.toml:6:8: pipeline[0].name: \"a b\" is not a name; hint: use letters, digits, `.`, `_` \
             and `-`, a letter or digit first",
        ],
    );
    check(
        "pipeline = \"www\"\n",
        &[
            "c.toml:1:12: pipeline: \"www\" is a string, not a list of tables; hint: write [[pipeline]] on a line of its own",
        ],
    );
    check(
        &origin("ignore = \"*.tmp\"\n"),
        &[
            "c.toml:6:10: pipeline[0].origin[0].ignore: \"*.tmp\" is a string, not a list; hint: write \
           a list of patterns, such as [\"*.tmp\", \".git/\"]",
        ],
    );
}

/// A kind of webhook that has this key.
fn kind_with(key: &str) -> &'static str {
    match key {
        "assume_no_force_push" => "\"gitlab\"",
        "allowed_origins" => "\"cloudevents\"",
        "external_path" => "\"contentful\"",
        "repository" | "events" | "branches" | "workflows" | "environments" => "\"github\"",
        _ => "\"generic\"",
    }
}

/// A file with each table once, in which this key of this table has this value.
fn with_value(table: &str, key: &str, value: &str) -> String {
    let needed = [
        ("[[pipeline]]", "name", "\"www\""),
        (
            "[[pipeline]]",
            "id",
            "\"11111111-1111-4111-8111-111111111111\"",
        ),
        (
            "[pipeline.verify]",
            "edge_url",
            "\"https://www.example.com\"",
        ),
        ("[[pipeline.origin]]", "root", "\"/srv/www\""),
        ("[[pipeline.rule]]", "match", "[\"a\"]"),
        ("[[pipeline.rule]]", "purge", "\"all\""),
        ("[[pipeline.webhook]]", "route", "\"/hooks/www\""),
        ("[[pipeline.webhook]]", "kind", kind_with(key)),
        ("[[pipeline.webhook]]", "secret_file", "\"/etc/s\""),
    ];
    let signature = ["sign", "timestamp"]
        .iter()
        .any(|start| key.starts_with(start));
    let needed_too = [
        ("[[pipeline.webhook]]", "auth", "\"hmac\""),
        (
            "[[pipeline.webhook]]",
            "signature_header",
            "\"X-Signature\"",
        ),
        ("[[pipeline.webhook]]", "signature_prefix", "\"v1=\""),
        ("[[pipeline.webhook]]", "timestamp_field", "\"t\""),
    ];
    let needed_too = needed_too.iter().filter(|(_, name, _)| {
        signature && !(key == "timestamp_header" && *name == "timestamp_field")
    });
    let needed: Vec<_> = needed.iter().chain(needed_too).collect();
    let mut lines = Vec::new();
    for header in keys::tables().map(|table| table.header) {
        lines.push(header.to_owned());
        for (_, name, needed) in needed.iter().filter(|(of, ..)| *of == header) {
            if (header, *name) != (table, key) {
                lines.push(format!("{name} = {needed}"));
            }
        }
        if header == table {
            lines.push(format!("{key} = {value}"));
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn every_key_refuses_what_is_of_another_type_and_says_nothing_else() {
    for table in keys::tables() {
        let (header, names) = (table.header, table.keys.iter().map(|key| key.name));
        for name in names {
            for value in ["2026-01-01", "{}", "0.5", "[[]]", "true"] {
                if (name, value) == ("assume_no_force_push", "true") {
                    continue;
                }
                let toml = with_value(header, name, value);
                let found = Config::parse(Path::new("c.toml"), &toml, &Environment::default());
                let problems = found.expect_err(&toml).into_list();
                assert_eq!(problems.len(), 1, "{toml}{problems:?}");
                assert!(problems[0].key.contains(name), "{toml}{problems:?}");
                let line = toml.lines().position(|l| l == format!("{name} = {value}"));
                assert_eq!(problems[0].line, line.map(|at| at + 1), "{toml}");
                assert!(!problems[0].hint.is_empty());
                schema::refused_by_schema(&toml);
            }
        }
    }
}

#[test]
fn numbers_out_of_range() {
    check(
        "[scaleway]\nrequests_per_second = 0\nburst = -5\nmax_in_flight = 99999999999999999999\n",
        &[
            "c.toml:2:23: scaleway.requests_per_second: 0 would let nothing through; hint: write at least 1",
            "c.toml:3:9: scaleway.burst: -5 is below zero; hint: write a number that is not negative",
            "c.toml:4:17: scaleway.max_in_flight: 99999999999999999999 is too large; hint: write a smaller number",
        ],
    );
    check(
        &pipeline("max_assets = 0\nall_above = 0\n"),
        &[
            "c.toml:4:14: pipeline[0].max_assets: 0 is out of range; hint: write 1 to 1000",
            "c.toml:5:13: pipeline[0].all_above: 0 is out of range; hint: write 1 to 100000",
        ],
    );
    check(
        "[scaleway]\nrequest_timeout = \"1ms\"\n[state]\nretention = \"9999d\"\n",
        &[
            "c.toml:2:19: scaleway.request_timeout: \"1ms\" is out of range; hint: write \"100ms\" to \"10m\"",
            "c.toml:4:13: state.retention: \"9999d\" is out of range; hint: write \"1s\" to \"3650d\"",
        ],
    );
}

#[test]
fn ids_that_are_no_uuid() {
    let hint = "hint: write it as the Scaleway console shows it, such as \
                \"11111111-1111-4111-8111-111111111111\"";
    check(
        "[[pipeline]]\nname = \"www\"\nid = \"www\"\nproject_id = \"{11111111-1111-4111-8111-111111111111}\"\n",
        &[
            &format!("c.toml:3:6: pipeline[0].id: \"www\" is not a UUID; {hint}"),
            &format!(
                "c.toml:4:14: pipeline[0].project_id: \"{{11111111-1111-4111-8111-111111111111}}\" is not a UUID; {hint}"
            ),
        ],
    );
}

#[test]
fn words_that_are_not_known() {
    check(
        &origin("compare = \"contents\"\nwatch = \"inotify\"\n"),
        &[
            "c.toml:6:11: pipeline[0].origin[0].compare: \"contents\" is not a word that is known here; \
             hint: did you mean \"content\"? Else write one of \"content\" or \"metadata\"",
            "c.toml:7:9: pipeline[0].origin[0].watch: \"inotify\" is not a word that is known here; \
             hint: write one of \"auto\", \"poll\" or \"off\"",
        ],
    );
}

#[test]
fn durations_percentages_paths_and_patterns() {
    check(
        &origin(
            "rescan = \"1 hour\"\nmax_loss = \"101%\"\nurl_prefix = \"static\"\nignore = [\"ok\", \"\", \"{a\", 3]\n",
        ),
        &[
            "c.toml:6:10: pipeline[0].origin[0].rescan: \"1 hour\" is not a duration; hint: write a \
             whole number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"",
            "c.toml:7:12: pipeline[0].origin[0].max_loss: \"101%\" is not a percentage; hint: write a \
             whole number from 0 to 100 and %, in quotes, such as \"50%\"",
            "c.toml:8:14: pipeline[0].origin[0].url_prefix: \"static\" does not begin and end with /; \
             hint: write the path that the files are served below, such as \"/\" or \"/static/\"",
            "c.toml:9:17: pipeline[0].origin[0].ignore[1]: \"\" ignores nothing; hint: remove it; a # \
             at the front is written \\#",
            "c.toml:9:21: pipeline[0].origin[0].ignore[2]: \"{a\" is not a pattern in gitignore syntax: \
             unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?); hint: close what is open, \
             write ranges as [a-z], and a [, { or \\ that is meant as \\[, \\{ or \\\\",
            "c.toml:9:27: pipeline[0].origin[0].ignore[3]: 3 is a whole number, not a string; hint: \
             write the pattern in quotes",
        ],
    );
    check(
        &pipeline("[[pipeline.origin]]\nroot = \"www\"\nurl_prefix = \"/a/../\"\n"),
        &[
            "c.toml:5:8: pipeline[0].origin[0].root: \"www\" is not an absolute path; hint: write the \
             whole path, from / on, in quotes",
            "c.toml:6:14: pipeline[0].origin[0].url_prefix: \"/a/../\" is not in its shortest form; \
             hint: write the path that the files are served below, such as \"/\" or \"/static/\"",
        ],
    );
}

#[test]
fn a_group_is_one_of_this_machine_or_a_number() {
    let hint = "hint: write the name or the number of the group that the web server runs as, such as \
                \"www-data\" or \"nginx\"; `id -g -n USER` tells it";
    for (value, why) in [
        ("\"no such group\"", "is no group of this machine"),
        ("\"\"", "is no group of this machine"),
        ("4294967296", "is too large for the number of a group"),
        ("true", "is a boolean, not a string"),
    ] {
        check(
            &origin(&format!("web_group = {value}\n")),
            &[&format!(
                "c.toml:6:13: pipeline[0].origin[0].web_group: {value} {why}; {hint}"
            )],
        );
    }
    for (value, id) in [("33", 33), ("\"33\"", 33), ("\"root\"", 0)] {
        let config = config(&origin(&format!("web_group = {value}\n")));
        let group = config.pipelines[0].origins[0].web_group.as_ref();
        assert_eq!(group.map(|group| group.id), Some(id), "{value}");
    }
}

#[test]
fn rules() {
    check(
        &origin(
            "[[pipeline.rule]]\nmatch = [\"/a\", \"[a\", \"\"]\non = [\"asked\", \"new\"]\n\
             purge = [\"feed.xml\", \"/{pth}\", \"/{path\", \"/}\", \"/#a\", 3]\n\
             [[pipeline.rule]]\nmatch = []\non = []\npurge = []\n\
             [[pipeline.rule]]\nmatch = \"a\"\npurge = \"everything\"\n\
             [[pipeline.rule]]\nmatch = [\"a\"]\npurge = \"/a\"\n",
        ),
        &[
            "c.toml:7:10: pipeline[0].rule[0].match[0]: \"/a\" begins with / and would match nothing; \
             hint: write it without: globs are about paths below the origin's root",
            "c.toml:7:16: pipeline[0].rule[0].match[1]: \"[a\" is not a glob: unclosed character class; \
             missing ']'; hint: use *, **, ?, [a-z] and {a,b}",
            "c.toml:7:22: pipeline[0].rule[0].match[2]: \"\" is empty and matches nothing; hint: remove it",
            "c.toml:8:7: pipeline[0].rule[0].on[0]: \"asked\" is not a word that is known here; hint: \
             write one of \"new\", \"changed\" or \"gone\"",
            "c.toml:9:10: pipeline[0].rule[0].purge[0]: \"feed.xml\" does not begin with /; hint: write \
             an absolute path as visitors ask for it, such as \"/{path}\"",
            "c.toml:9:22: pipeline[0].rule[0].purge[1]: \"/{pth}\" holds {pth}, which is not known; \
             hint: known are {path} {dir} {name} {stem} {ext}",
            "c.toml:9:32: pipeline[0].rule[0].purge[2]: \"/{path\" has a brace without its partner; \
             hint: known are {path} {dir} {name} {stem} {ext}",
            "c.toml:9:42: pipeline[0].rule[0].purge[3]: \"/}\" has a brace without its partner; hint: \
             known are {path} {dir} {name} {stem} {ext}",
            "c.toml:9:48: pipeline[0].rule[0].purge[4]: \"/#a\" holds a character that no URL has; hint: remove it",
            "c.toml:9:55: pipeline[0].rule[0].purge[5]: 3 is a whole number, not a string; hint: write the asset in quotes",
            "c.toml:11:9: pipeline[0].rule[1].match: [] is empty; hint: list at least one glob",
            "c.toml:12:6: pipeline[0].rule[1].on: [] is empty; hint: list at least one, or leave the line out",
            "c.toml:13:9: pipeline[0].rule[1].purge: [] is empty; hint: to purge nothing, write \"nothing\"",
            "c.toml:15:9: pipeline[0].rule[2].match: \"a\" is a string, not a list; hint: write a list of \
             globs, such as [\"posts/*.json\"]",
            "c.toml:16:9: pipeline[0].rule[2].purge: \"everything\" is not a word that is known here; hint: \
             write \"all\", \"nothing\", or a list of assets such as [\"/{path}\", \"/feed.xml\"]",
            "c.toml:19:9: pipeline[0].rule[3].purge: \"/a\" is not a list; hint: write it in brackets, [\"/a\"]",
        ],
    );
}

#[test]
fn what_must_be_unique() {
    let twice = format!("{PIPELINE}{PIPELINE}");
    check(
        &twice,
        &[
            "c.toml:5:8: pipeline[1].name: \"www\" is there already, in line 2; hint: each may be there once",
            "c.toml:6:6: pipeline[1].id: \"11111111-1111-4111-8111-111111111111\" is there already, in \
             line 3; hint: each may be there once",
        ],
    );
    // Letter case does not make another id.
    check(
        "[[pipeline]]\nname = \"a\"\nid = \"aaaaaaaa-1111-4111-8111-111111111111\"\n\
         [[pipeline]]\nname = \"b\"\nid = \"AAAAAAAA-1111-4111-8111-111111111111\"\n",
        &[
            "c.toml:6:6: pipeline[1].id: \"AAAAAAAA-1111-4111-8111-111111111111\" is there already, in \
           line 3; hint: each may be there once",
        ],
    );
    check(
        &origin(
            "[[pipeline.origin]]\nroot = \"/srv/other\"\n[[pipeline.origin]]\nname = \"/\"\nroot = \"/srv/third\"\n",
        ),
        &[
            "c.toml:6:1: pipeline[0].origin[1].name: is missing, and the default, url_prefix, is the name of \
             the origin in line 4; hint: give each origin a name of its own",
            "c.toml:9:8: pipeline[0].origin[2].name: \"/\" is there already, in line 4; hint: each may be there once",
        ],
    );
    let other = "[[pipeline]]\nname = \"b\"\nid = \"22222222-1111-4111-8111-111111111111\"\n";
    let hook = "[[pipeline.webhook]]\nroute = \"/hooks/www\"\nkind = \"github\"\nsecret_file = \"/etc/s\"\n";
    check(
        &format!("{PIPELINE}{hook}{other}{hook}"),
        &[
            "c.toml:12:9: pipeline[1].webhook[0].route: \"/hooks/www\" is there already, in line 5; hint: each may be there once",
        ],
    );
}

#[test]
fn the_same_origin_in_two_pipelines_is_fine() {
    let other = "[[pipeline]]\nname = \"b\"\nid = \"22222222-1111-4111-8111-111111111111\"\n\
                 [[pipeline.origin]]\nroot = \"/srv/www\"\n";
    check(&format!("{}{other}", origin("")), &[]);
}

#[test]
fn settings_that_contradict_each_other() {
    check(
        &pipeline("debounce = \"20s\"\n"),
        &[
            "c.toml:4:12: pipeline[0].debounce: \"20s\" is longer than max_wait, which is 10s; hint: make \
           debounce shorter or max_wait longer",
        ],
    );
    check(
        &pipeline("max_wait = \"100ms\"\n"),
        &[
            "c.toml:4:12: pipeline[0].max_wait: \"100ms\" is shorter than debounce, which is 500ms; hint: \
           make debounce shorter or max_wait longer",
        ],
    );
    check(
        "[scaleway]\ntrack_timeout = \"2s\"\n",
        &[
            "c.toml:2:17: scaleway.track_timeout: is shorter than request_timeout: no purge request could \
           ever be tracked; hint: make track_timeout longer, ten minutes is usual",
        ],
    );
    check(
        "[admin]\nlisten = \"0.0.0.0:9787\"\n",
        &[
            "c.toml:2:10: admin.listen: \"0.0.0.0:9787\" can be reached from other machines, and there is \
           no token_file; hint: set token_file, or listen on 127.0.0.1",
        ],
    );
    check(
        &format!("[state]\ndirectory = \"/srv/www/state\"\n{}", origin("")),
        &[
            "c.toml:7:8: pipeline[0].origin[0].root: \"/srv/www\" holds the state directory, \
           /srv/www/state; hint: move state.directory out of what is served",
        ],
    );
}

#[test]
fn a_refused_value_causes_no_second_problem() {
    check(
        &pipeline("debounce = \"20s\"\nmax_wait = \"soon\"\n"),
        &[
            "c.toml:5:12: pipeline[0].max_wait: \"soon\" is not a duration; hint: write a whole number \
           and a unit, ms, s, m, h or d, in quotes, such as \"30s\"",
        ],
    );
}

#[test]
fn urls_of_the_api() {
    let hint = "hint: write \"https://api.scaleway.com\", or \"sandbox\" to try edgepurge out";
    for (url, problem) in [
        ("", format!("\"\" is not a URL; {hint}")),
        ("api.scaleway.com", format!("\"api.scaleway.com\" is not a URL; {hint}")),
        ("ftp://a.example", format!("\"ftp://a.example\" is not an https URL; {hint}")),
        (
            "http://api.scaleway.com",
            "\"http://api.scaleway.com\" would send the secret key without encryption; hint: write \
             https://; http is only for loopback addresses"
                .to_owned(),
        ),
        (
            "https://a.example/?b",
            "\"https://a.example/?b\" has a query or a fragment; hint: remove everything from ? or # on"
                .to_owned(),
        ),
        ("unix:/run/x", format!("\"unix:/run/x\" names no host; {hint}")),
    ] {
        check(
            &format!("[scaleway]\napi_url = \"{url}\"\n"),
            &[&format!("c.toml:2:11: scaleway.api_url: {problem}")],
        );
    }
}

#[test]
fn a_socket_path_that_the_kernel_would_refuse() {
    let path = format!("/{}", "s".repeat(107));
    let found = problems_in(
        &format!("[admin]\nsocket = \"{path}\"\n"),
        &Environment::default(),
    );
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("is longer than 107 bytes"), "{found:?}");
}

#[test]
fn the_name_of_a_node_and_a_url_in_place_of_its_file() {
    check(
        "[state]\ndatabase_url_file = \"/etc/url\"\nnode = \"Web 1\"\n",
        &[
            "c.toml:3:8: state.node: \"Web 1\" is not the name of a node; hint: write 1 to 63 of a-z, 0-9, `.` and `-`, \
             such as node = \"web-1\"",
        ],
    );
    check(
        "[state]\ndatabase_url_file = \"postgres://u:p@host/db\"\n",
        &[
            "c.toml:2:21: state.database_url_file: is a URL, which may hold a password; hint: write it into a file \
             with mode 0600, and the path of that file here",
        ],
    );
    check(
        &pipeline(
            "all_after = \"5\"\nrepurge_after = \"soon\"\nmax_assets = 0\n[pipeline.verify]\ntimeout = \"1s\"\n",
        ),
        &[
            "c.toml:4:13: pipeline[0].all_after: \"5\" is not a duration; hint: write a whole \
             number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"",
            "c.toml:5:17: pipeline[0].repurge_after: \"soon\" is not a duration; hint: write a whole \
             number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"",
            "c.toml:6:14: pipeline[0].max_assets: 0 is out of range; hint: write 1 to 1000",
            "c.toml:7:1: pipeline[0].verify.edge_url: is missing; hint: say where visitors fetch the \
             site, such as edge_url = \"https://www.example.com\"",
        ],
    );
}

#[test]
fn what_follows_on_a_purge() {
    check(
        &pipeline(
            "repurge_after = \"2d\"\nhot_interval = \"0s\"\n[pipeline.verify]\nedge_url = \"https://a.example/blog/\"\n\
             timeout = \"1ms\"\nmax_bytes_per_hour = \"1 kB\"\nmax_bytes = 3\n",
        ),
        &[
            "c.toml:4:17: pipeline[0].repurge_after: \"2d\" is out of range; hint: write \"1s\" to \"1d\"",
            "c.toml:5:16: pipeline[0].hot_interval: \"0s\" is out of range; hint: write \"1s\" to \"1d\"",
            "c.toml:7:12: pipeline[0].verify.edge_url: \"https://a.example/blog/\" has a path; hint: write \
             scheme and host, such as \"https://www.example.com\"; the assets are its paths",
            "c.toml:8:11: pipeline[0].verify.timeout: \"1ms\" is out of range; hint: write \"100ms\" to \"10m\"",
            "c.toml:9:22: pipeline[0].verify.max_bytes_per_hour: \"1 kB\" is out of range; hint: write \
             \"1 MiB\" to \"1048576 GiB\"",
            "c.toml:10:1: pipeline[0].verify.max_bytes: is not a key that is known here; hint: remove \
             it; known here are edge_url, max_bytes_per_hour, timeout",
        ],
    );
    for (url, why) in [
        (
            "www.example.com",
            "is not a URL (relative URL without a base)",
        ),
        ("ftp://www.example.com", "is neither https nor http"),
        ("https://u@www.example.com", "has a user"),
        ("https://www.example.com?a", "has a query"),
    ] {
        let text = pipeline(&format!("[pipeline.verify]\nedge_url = \"{url}\"\n"));
        let found = problems_in(&text, &Environment::default());
        assert!(found[0].contains(why), "{found:?}");
    }
}

#[test]
fn a_root_that_is_not_there_is_only_a_warning() {
    let toml = pipeline("[[pipeline.origin]]\nroot = \"/no/such/root\"\n");
    let config = config(&toml.replace(
        crate::config::EXAMPLE_ID,
        "22222222-2222-4222-8222-222222222222",
    ));
    let warnings: Vec<String> = config.warnings.iter().map(Problem::summary).collect();
    assert_eq!(
        warnings,
        [
            "c.toml:5:8: pipeline[0].origin[0].root: \"/no/such/root\" is not a directory that can be seen \
          now; nothing is purged until it is; hint: create it, or correct the path"
        ]
    );
}

#[test]
fn rules_without_an_origin_are_only_a_warning() {
    let config = config(&pipeline(
        "[[pipeline.rule]]\nmatch = [\"a\"]\npurge = \"all\"\n",
    ));
    assert_eq!(
        config.warnings[0].summary(),
        "c.toml:1:1: pipeline[0].rule: [[pipeline]] will never match: the pipeline has no origin; hint: \
         add a [[pipeline.origin]], or remove the rules"
    );
}

/// The mapping reads it when the daemon starts: too late to say where it is written.
#[test]
fn a_template_that_can_be_no_asset_is_a_problem_of_the_file() {
    check(
        &origin("[[pipeline.rule]]\nmatch = [\"*\"]\npurge = [\"/a/../{path}\"]\n"),
        &[
            "c.toml:8:10: pipeline[0].rule[0].purge[0]: \"/a/../{path}\" is not an asset; hint: it has a `.` or \
             `..` segment: write the path that is left when it is resolved",
        ],
    );
}
