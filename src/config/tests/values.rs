//! What a file without problems means.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::core::change::Kind;
use crate::core::mapping::{Encoding, Pages, Rule, RulePurge, Template};
use crate::origin::{Compare, FollowSymlinks, WatchMode};

use super::*;

#[test]
fn every_key_can_be_set() {
    let config = config(
        r#"
[scaleway]
api_url = "http://127.0.0.1:8080/base/"
secret_key_file = "/etc/key"
requests_per_second = 3
burst = 4
max_in_flight = 5
request_timeout = "6s"
track_timeout = "7m"
[state]
directory = "/var/lib/other"
retention = "8d"
[admin]
listen = "off"
socket = "/run/other.sock"
token_file = "/etc/token"
[[pipeline]]
name = "www"
id = "AAAAAAAA-1111-4111-8111-111111111111"
project_id = "22222222-2222-4222-8222-222222222222"
max_assets = 9
debounce = "1s"
max_wait = "1m"
all_above = "never"
all_after = "never"
all_cooldown = "10m"
pages = "clean"
encoding = "canonical"
repurge_after = "30s"
hot_interval = "2m"
[pipeline.verify]
edge_url = "https://www.example.com:8443/"
timeout = "5s"
max_bytes_per_hour = "3 MiB"
[[pipeline.origin]]
name = "site"
root = "/srv/www"
url_prefix = "/static/"
compare = "metadata"
watch = "poll"
rescan = "2h"
write_wait = "3s"
gone_after = "4s"
max_loss = "5%"
follow_symlinks = "root"
web_group = "root"
ignore = ["*.tmp", "!keep.tmp"]
[[pipeline.rule]]
match = ["posts/**", "{a,b}.html"]
on = ["gone", "new"]
purge = ["/{dir}/{name}", "/{stem}.{ext}?full=1"]
[[pipeline.rule]]
match = ["*"]
purge = "nothing"
"#,
    );
    let scaleway = &config.scaleway;
    assert_eq!(scaleway.api_url.as_str(), "http://127.0.0.1:8080/base");
    assert_eq!(
        scaleway.secret_key_file.as_deref(),
        Some(Path::new("/etc/key"))
    );
    assert_eq!(scaleway.requests_per_second, NonZeroU32::new(3).unwrap());
    assert_eq!(scaleway.burst, NonZeroU32::new(4).unwrap());
    assert_eq!(scaleway.max_in_flight, 5);
    assert_eq!(scaleway.request_timeout, Duration::from_secs(6));
    assert_eq!(scaleway.track_timeout, Duration::from_mins(7));
    assert_eq!(config.state.directory, Path::new("/var/lib/other"));
    assert_eq!(config.state.retention, Duration::from_hours(8 * 24));
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.admin.socket, Path::new("/run/other.sock"));
    assert_eq!(
        config.admin.token_file.as_deref(),
        Some(Path::new("/etc/token"))
    );

    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.name, "www");
    assert_eq!(pipeline.id.as_str(), "aaaaaaaa-1111-4111-8111-111111111111");
    assert_eq!(
        pipeline.project_id.as_deref(),
        Some("22222222-2222-4222-8222-222222222222")
    );
    assert_eq!(pipeline.max_assets, 9);
    assert_eq!(pipeline.debounce, Duration::from_secs(1));
    assert_eq!(pipeline.max_wait, Duration::from_mins(1));
    assert_eq!(pipeline.all_above, None);
    assert_eq!(pipeline.all_after, None);
    assert_eq!(pipeline.all_cooldown, Duration::from_mins(10));
    assert_eq!(pipeline.pages, Pages::Clean);
    assert_eq!(pipeline.encoding, Encoding::Canonical);
    assert_eq!(pipeline.repurge_after, Some(Duration::from_secs(30)));
    assert_eq!(pipeline.hot_interval, Some(Duration::from_mins(2)));
    assert_eq!(
        pipeline.verify,
        Some(Verify {
            edge_url: "https://www.example.com:8443".parse().unwrap(),
            timeout: Duration::from_secs(5),
            max_bytes_per_hour: 3 << 20,
        })
    );
    assert_eq!(
        pipeline.origins,
        [Origin {
            name: "site".to_owned(),
            root: Some("/srv/www".into()),
            bucket: None,
            region: None,
            prefix: String::new(),
            poll: Duration::from_mins(5),
            endpoint: None,
            access_key_file: None,
            secret_key_file: None,
            url_prefix: "/static/".to_owned(),
            compare: Compare::Metadata,
            watch: WatchMode::Poll,
            rescan: Duration::from_hours(2),
            write_wait: Duration::from_secs(3),
            gone_after: Duration::from_secs(4),
            max_loss: Percent::new(5).unwrap(),
            follow_symlinks: FollowSymlinks::Root,
            web_group: Some(Group {
                name: "root".to_owned(),
                id: 0,
            }),
            ignore: vec!["*.tmp".to_owned(), "!keep.tmp".to_owned()],
        }]
    );
    let templates =
        ["/{dir}/{name}", "/{stem}.{ext}?full=1"].map(|text| Template::parse(text).unwrap());
    assert_eq!(
        pipeline.rules,
        [
            Rule {
                patterns: vec!["posts/**".to_owned(), "{a,b}.html".to_owned()],
                on: [Kind::New, Kind::Gone].into(),
                purge: RulePurge::Templates(templates.to_vec()),
            },
            Rule {
                patterns: vec!["*".to_owned()],
                on: Rule::every_kind(),
                purge: RulePurge::Nothing,
            },
        ]
    );
}

#[test]
fn an_origin_is_named_after_its_prefix() {
    let config = config(&origin(
        "url_prefix = \"/a/\"\n[[pipeline.origin]]\nroot = \"/b\"\n",
    ));
    let names: Vec<&str> = config.pipelines[0]
        .origins
        .iter()
        .map(|o| o.name.as_str())
        .collect();
    assert_eq!(names, ["/a/", "/"]);
}

#[test]
fn the_sandbox_is_no_url() {
    let config = config("[scaleway]\napi_url = \"sandbox\"\n");
    assert_eq!(config.scaleway.api_url, ApiUrl::Sandbox);
}

#[test]
fn plain_http_is_for_loopback_only() {
    for url in [
        "http://localhost:1",
        "http://127.9.9.9",
        "http://[::1]:8080",
    ] {
        config(&format!("[scaleway]\napi_url = \"{url}\"\n"));
    }
    for url in [
        "http://localhost.example",
        "http://[::2]",
        "http://10.0.0.1",
    ] {
        let found = problems_in(
            &format!("[scaleway]\napi_url = \"{url}\"\n"),
            &Environment::default(),
        );
        assert_eq!(found.len(), 1, "{url}");
    }
}

#[test]
fn a_listener_for_others_is_fine_with_a_token() {
    let config = config("[admin]\nlisten = \"[::]:9787\"\ntoken_file = \"/etc/token\"\n");
    assert_eq!(config.admin.listen.unwrap().to_string(), "[::]:9787");
}
