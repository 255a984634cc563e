//! `[webhooks]` and `[[pipeline.webhook]]`.

use std::os::unix::fs::PermissionsExt as _;

use super::certificate::CertificateFiles;
use super::*;
use crate::webhook::{Kind, Origins, Purge};

/// A webhook of [`PIPELINE`] with an origin, from line 6 on: its header, then these lines.
pub(super) fn hook(lines: &str) -> String {
    origin(&format!(
        "[[pipeline.webhook]]\nroute = \"/hooks/www\"\n{lines}"
    ))
}

pub(super) const SECRET: &str = "secret_file = \"/etc/s\"\n";

#[test]
fn a_webhook_needs_little() {
    let config = config(&hook(&format!("kind = \"github\"\n{SECRET}")));
    let webhook = &config.pipelines[0].webhooks[0];
    assert_eq!(
        webhook.settings.kind,
        Kind::new(&crate::webhook::kind::github::SENDER)
    );
    assert_eq!(webhook.settings.path, "/hooks/www");
    assert_eq!(webhook.settings.origins, Origins::Directories);
    assert_eq!(webhook.settings.purge, None);
    assert_eq!(webhook.settings.dedupe.as_secs(), 600);
    assert_eq!(webhook.secrets, [SecretPlace::File("/etc/s".into())]);
    assert!(config.warnings.iter().all(|w| !w.key.contains("webhook")));
}

#[test]
fn what_is_wrong_with_a_webhook_has_its_place() {
    check(
        &hook("kind = \"github\"\n"),
        &[
            "c.toml:6:1: pipeline[0].webhook[0].secret_file: is missing; hint: without a secret anybody could \
           purge: name a file (or a systemd credential, with credential) that holds it; for a listener that only \
           this machine reaches, auth = \"none\" will do",
        ],
    );
    check(
        &hook(&format!(
            "kind = \"gitlab\"\n{SECRET}auth = \"signature\"\nevents = []\nbranches = [\"\"]\npurge = \"/a\"\nfiles_root = \"../x\"\n"
        )),
        &[
            "c.toml:10:8: pipeline[0].webhook[0].auth: \"signature\" is not a way to authenticate this kind; \
             hint: write one of \"token\", \"signing_token\" or \"none\"",
            "c.toml:11:10: pipeline[0].webhook[0].events: [] is empty, so that nothing would count; hint: list \
             at least one, or remove the line",
            "c.toml:12:13: pipeline[0].webhook[0].branches[0]: \"\" is not a name; hint: remove it",
            "c.toml:13:9: pipeline[0].webhook[0].purge: \"/a\" is not a list; hint: write it in brackets, [\"/a\"]",
            "c.toml:14:14: pipeline[0].webhook[0].files_root: \"../x\" is not a folder of a repository; hint: \
             write a folder of the repository, such as \"public/\"",
        ],
    );
    check(
        &hook(&format!(
            "kind = \"github\"\n{SECRET}signature_header = \"X\"\nexternal_path = \"/a\"\ndelai = \"1s\"\nevents = [\"pushes\"]\n"
        )),
        &[
            "c.toml:10:20: pipeline[0].webhook[0].signature_header: is not a key of kind = \"github\"; hint: \
             remove the line; it belongs to \"generic\"",
            "c.toml:11:17: pipeline[0].webhook[0].external_path: is not a key of kind = \"github\"; hint: remove \
             the line; it belongs to \"contentful\"",
            "c.toml:12:1: pipeline[0].webhook[0].delai: is not a key that is known here; hint: did you mean delay?",
            "c.toml:13:10: pipeline[0].webhook[0].events: holds \"pushes\", which is not an event that kind = \
             \"github\" knows; hint: known are push, workflow_run, deployment_status, page_build, status, check_run, check_suite, release, \
             package, registry_package",
        ],
    );
}

#[test]
fn a_route_is_a_plain_path() {
    for bad in [
        "hooks", "/", "/a/", "/a//b", "/../a", "/a?b", "/{a}", "/a%20", "/*",
    ] {
        let toml = origin(&format!(
            "[[pipeline.webhook]]\nroute = \"{bad}\"\nkind = \"github\"\n{SECRET}"
        ));
        let found = problems_in(&toml, &Environment::default());
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
        assert!(found[0].contains("route"), "{found:?}");
    }
}

#[test]
fn a_route_without_a_secret_says_so_and_is_local() {
    let open = hook("kind = \"generic\"\nauth = \"none\"\n");
    let found = config(&open);
    assert!(found.pipelines[0].webhooks[0].settings.kind.is_open());
    assert!(found.warnings.iter().any(|w| w.key.ends_with("auth")));
    let local = format!("[webhooks]\nlisten = \"unix:/run/w.sock\"\n{open}");
    assert!(
        config(&local).pipelines[0].webhooks[0]
            .settings
            .kind
            .is_open()
    );

    let reachable = format!("[webhooks]\nlisten = \"0.0.0.0:8787\"\n{open}");
    check(
        &reachable,
        &[
            "c.toml:11:8: pipeline[0].webhook[0].auth: \"none\" lets every machine purge: webhooks.listen can be \
           reached from others; hint: give the route a secret, or listen on 127.0.0.1 or a unix socket",
        ],
    );
    check(
        &hook(&format!("kind = \"generic\"\nauth = \"none\"\n{SECRET}")),
        &[
            "c.toml:10:15: pipeline[0].webhook[0].secret_file: is there, and auth = \"none\" says that no secret \
           is needed; hint: remove one of the two",
        ],
    );
}

#[test]
fn purging_at_a_push_is_warned_of() {
    let warnings = |lines: &str| -> Vec<String> {
        config(&hook(&format!("kind = \"github\"\n{SECRET}{lines}")))
            .warnings
            .iter()
            .filter(|w| w.key.contains("webhook"))
            .map(|w| w.why.clone())
            .collect()
    };
    let old = "the edge would cache the old bytes again";
    for lines in [
        "events = [\"push\"]\npurge = \"files\"\n",
        "events = [\"push\"]\npurge = \"all\"\n",
        "events = [\"deployment_status\", \"push\"]\npurge = [\"/\"]\n",
    ] {
        let found = warnings(lines);
        assert!(found.len() == 1 && found[0].contains(old), "{found:?}");
    }
    for lines in [
        "events = [\"push\"]\npurge = \"files\"\ndelay = \"2m\"\n",
        "events = [\"push\"]\npurge = \"scan\"\n",
        "events = [\"deployment_status\"]\npurge = \"all\"\n",
        "",
    ] {
        assert_eq!(warnings(lines), Vec::<String>::new(), "{lines}");
    }
    assert!(warnings("purge = \"files\"\n")[0].contains("lists files"));
    let gitlab = |more: &str| {
        let lines = format!(
            "kind = \"gitlab\"\n{SECRET}events = [\"push\"]\npurge = \"files\"\ndelay = \"2m\"\n{more}"
        );
        config(&hook(&lines))
            .warnings
            .iter()
            .filter(|w| w.why.contains("forced"))
            .count()
    };
    assert_eq!(gitlab(""), 1);
    assert_eq!(gitlab("assume_no_force_push = true\n"), 0);
}

#[test]
fn what_a_kind_can_not_do_is_refused() {
    for (lines, key) in [
        ("kind = \"netlify\"\npurge = \"files\"\n", "purge"),
        ("kind = \"sanity\"\nevents = [\"a\"]\n", "events"),
        ("kind = \"s3\"\nbranches = [\"a\"]\n", "branches"),
        ("kind = \"generic\"\nbranches = [\"a\"]\n", "branches"),
        ("kind = \"generic\"\nevents = [\"a\"]\n", "events"),
        ("kind = \"standard\"\nrepository = \"a/b\"\n", "repository"),
    ] {
        let found = problems_in(&hook(&format!("{lines}{SECRET}")), &Environment::default());
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(
            found[0].contains(&format!("webhook[0].{key}: ")),
            "{found:?}"
        );
    }
    let without = pipeline(&format!(
        "[[pipeline.webhook]]\nroute = \"/w\"\nkind = \"github\"\n{SECRET}purge = \"scan\"\n"
    ));
    let found = problems_in(&without, &Environment::default());
    assert!(found[0].contains("no origin to scan"), "{found:?}");
}

#[test]
fn a_signature_that_is_described_badly() {
    for (lines, what) in [
        ("", "signature_header: is missing"),
        (
            "signature_header = \"a b\"\n",
            "is not the name of a header",
        ),
        (
            "signature_header = \"X\"\nsigned = \"{timestamp}.{body}\"\n",
            "nothing says where",
        ),
        (
            "signature_header = \"X\"\ntimestamp_header = \"T\"\nsigned = \"{body}\"\n",
            "does not have {timestamp}",
        ),
        (
            "signature_header = \"X\"\nsigned = \"body\"\n",
            "does not have {body}",
        ),
        (
            "signature_header = \"X\"\nsigned = \"{body}{body}\"\n",
            "{body} twice",
        ),
        (
            "signature_header = \"X\"\nsigned = \"{id}{body}\"\n",
            "a brace",
        ),
        (
            "signature_header = \"X\"\ntimestamp_field = \"t\"\n",
            "needs a signature_prefix",
        ),
        (
            "signature_header = \"X\"\nsignature_prefix = \"a=\"\ntimestamp_field = \"t\"\ntimestamp_header = \"T\"\n",
            "so is timestamp_header",
        ),
        (
            "signature_header = \"X\"\ntimestamp_unit = \"ms\"\n",
            "without timestamp_header",
        ),
        (
            "signature_header = \"X\"\nsignature_digest = \"md5\"\n",
            "signature_digest",
        ),
        (
            "signature_header = \"X\"\npaths = \"a\"\n",
            "is not a JSON pointer",
        ),
        (
            "signature_header = \"X\"\nid = \"/a~2\"\n",
            "is not a JSON pointer",
        ),
        ("signature_header = \"X\"\npaths = []\n", "one to eight"),
    ] {
        let toml = hook(&format!(
            "kind = \"generic\"\nauth = \"hmac\"\n{SECRET}{lines}"
        ));
        let found = problems_in(&toml, &Environment::default());
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].contains(what), "{lines}: {found:?}");
    }
}

#[test]
fn a_token_that_is_described_badly() {
    let generic = "kind = \"generic\"\n";
    for (lines, what) in [
        ("auth = \"token\"\n", "token_header: is missing"),
        (
            "auth = \"token\"\ntoken_header = \"a:b\"\n",
            "is not the name of a header",
        ),
        (
            "auth = \"token\"\ntoken_header = \"X\"\ntoken_prefix = \" a\"\n",
            "token_prefix: holds a character",
        ),
        (
            "auth = \"token\"\ntoken_header = \"X\"\nsignature_header = \"X\"\n",
            "signature_header: belongs to auth = \"hmac\"",
        ),
        (
            "auth = \"basic\"\ntoken_header = \"X\"\n",
            "token_header: belongs to auth = \"token\"",
        ),
        (
            "token_prefix = \"X\"\n",
            "token_prefix: belongs to auth = \"token\"",
        ),
        (
            "key_encoding = \"raw\"\n",
            "key_encoding: is not a key of kind = \"generic\"",
        ),
    ] {
        let found = problems_in(
            &hook(&format!("{generic}{SECRET}{lines}")),
            &Environment::default(),
        );
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].contains(what), "{lines}: {found:?}");
    }
    let odd = hook(&format!("kind = \"s3\"\n{SECRET}key_encoding = \"url\"\n"));
    let found = problems_in(&odd, &Environment::default());
    assert!(
        found.len() == 1 && found[0].contains("key_encoding"),
        "{found:?}"
    );
    for lines in [
        "auth = \"basic\"\n",
        "auth = \"token\"\ntoken_header = \"X\"\ntoken_prefix = \"Token \"\n",
    ] {
        let found = problems_in(
            &hook(&format!("{generic}{SECRET}{lines}")),
            &Environment::default(),
        );
        assert_eq!(found, Vec::<String>::new(), "{lines}");
    }
}

#[test]
fn the_listener() {
    let config = config(
        "[webhooks]\nlisten = \"unix:/run/w.sock\"\nbody_limit = \"1 MiB\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nfailed_auth_per_minute = 5\n",
    );
    assert_eq!(
        config.webhooks.listen,
        WebhookListen::Unix("/run/w.sock".into())
    );
    assert_eq!(config.webhooks.body_limit, 1 << 20);
    let proxies: Vec<String> = config
        .webhooks
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    check(
        "[webhooks]\nlisten = \"8787\"\nbody_limit = \"1 GiB\"\ntrusted_proxies = [\"10.0.0.1/8\", \"proxy\"]\nfailed_auth_per_minute = 0\nport = 1\n",
        &[
            "c.toml:2:10: webhooks.listen: \"8787\" is not an IP address with a port; hint: write an IP address \
             and a port, such as \"127.0.0.1:8787\", or \"unix:\" and the path of a socket",
            "c.toml:3:14: webhooks.body_limit: \"1 GiB\" is out of range; hint: write \"1 B\" to \"100 MiB\"",
            "c.toml:4:20: webhooks.trusted_proxies[0]: \"10.0.0.1/8\" has bits set behind its prefix; hint: \
             write \"10.0.0.0/8\"",
            "c.toml:4:34: webhooks.trusted_proxies[1]: \"proxy\" is not a network; hint: write a network such as \
             \"10.0.0.0/8\", or an address",
            "c.toml:5:26: webhooks.failed_auth_per_minute: 0 would let nothing through; hint: write at least 1",
            "c.toml:6:1: webhooks.port: is not a key that is known here; hint: remove it; known here are \
             body_limit, failed_auth_per_minute, listen, tls_certificate_file, \
             tls_key_file, trusted_proxies",
        ],
    );
}

#[test]
fn assets_are_canonical() {
    let config = config(&hook(&format!(
        "kind = \"vercel\"\n{SECRET}purge = [\"/a b\", \"/c?d=1\"]\n"
    )));
    let Some(Purge::Assets(assets)) = &config.pipelines[0].webhooks[0].settings.purge else {
        panic!("assets");
    };
    let texts: Vec<&str> = assets
        .iter()
        .map(crate::core::asset::Asset::as_str)
        .collect();
    assert_eq!(texts, ["/a%20b", "/c?d=1"]);
}

/// Makes the route of a configuration whose secrets are in files with these contents and modes.
fn route_of(kind: &str, files: &[(&str, u32)]) -> Result<crate::webhook::Route, String> {
    let directory = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for (at, (content, mode)) in files.iter().enumerate() {
        let path = directory.path().join(at.to_string());
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        names.push(format!("\"{}\"", path.display()));
    }
    let toml = hook(&format!(
        "kind = \"{kind}\"\nsecret_file = [{}]\n",
        names.join(", ")
    ));
    let config = config(&toml);
    config.pipelines[0].webhooks[0]
        .route(&Environment::default())
        .map_err(|problems| problems.to_string())
}

#[test]
fn a_secret_that_is_not_fit_is_refused_and_never_shown() {
    let long = "planted-0123456789";
    assert!(route_of("github", &[(long, 0o600)]).is_ok());
    assert!(route_of("github", &[(long, 0o600), ("planted-another-one\n", 0o600)]).is_ok());
    for (kind, files, why) in [
        ("github", vec![("", 0o600)], "shorter than 16"),
        ("github", vec![("planted\n", 0o600)], "shorter than 16"),
        (
            "github",
            vec![("                    ", 0o600)],
            "shorter than 16",
        ),
        ("github", vec![(long, 0o644)], "others than the owner"),
        ("github", vec![(long, 0o600), (long, 0o600)], "twice"),
        ("standard", vec![(long, 0o600)], "whsec_"),
        ("standard", vec![("whsec_cGxhbnRlZA==", 0o600)], "24 to 64"),
        ("contentful", vec![(long, 0o600)], "exactly 64"),
        ("s3", vec![("planted 0123456789", 0o600)], "a space"),
    ] {
        let problem = route_of(kind, &files).unwrap_err();
        assert!(problem.contains(why), "{kind}: {problem}");
        assert!(!problem.contains("planted"), "{problem}");
    }
}

#[test]
fn a_secret_may_be_a_systemd_credential() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("hook"), "0123456789abcdef").unwrap();
    let config = config(&hook("kind = \"github\"\ncredential = \"hook\"\n"));
    let webhook = &config.pipelines[0].webhooks[0];
    let there = environment(&[("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())]);
    assert!(webhook.route(&there).is_ok());
    let problem = webhook.route(&Environment::default()).unwrap_err();
    assert!(
        problem.to_string().contains("webhook[0].credential"),
        "{problem}"
    );
    check(
        &hook("kind = \"github\"\ncredential = \"../hook\"\n"),
        &[
            "c.toml:9:14: pipeline[0].webhook[0].credential: is not the name of a credential; hint: write the \
           name that LoadCredential= has, of letters, digits, `.`, `_` and `-`",
        ],
    );
}

#[test]
fn a_certificate_and_its_key_go_together() {
    check(
        &format!("[webhooks]\ntls_key_file = \"/etc/key\"\n{PIPELINE}"),
        &[
            "c.toml:2:16: webhooks.tls_key_file: \"/etc/key\" goes with tls_certificate_file, which is not there; \
             hint: name both files, or leave tls_key_file out for plain HTTP behind a proxy",
        ],
    );
    check(
        &format!("[webhooks]\ntls_certificate_file = \"/etc/c\"\n{PIPELINE}"),
        &[
            "c.toml:2:24: webhooks.tls_certificate_file: \"/etc/c\" goes with tls_key_file, which is not there; \
             hint: name both files, or leave tls_certificate_file out for plain HTTP behind a proxy",
        ],
    );
    let both = "[webhooks]\ntls_certificate_file = \"/etc/c\"\ntls_key_file = \"/etc/key\"\n";
    let both = config(&format!("{both}{PIPELINE}"));
    let files = both.webhooks.certificate_files().unwrap();
    assert_eq!(files.certificate, Path::new("/etc/c"));
    assert_eq!(files.key, Path::new("/etc/key"));
    assert_eq!(config(PIPELINE).webhooks.certificate_files(), None);
}

#[test]
fn what_is_wrong_with_either_file_is_said_of_both() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "secret-0123456789").unwrap();
    let mode =
        |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let files = CertificateFiles {
        certificate: directory.path().join("certificate"),
        key: key.clone(),
    };
    let said = || files.read().unwrap_err().to_string();
    let both = said();
    assert!(both.contains("webhooks.tls_certificate_file: "), "{both}");
    assert!(both.contains("can't be opened"), "{both}");
    assert!(
        both.contains("webhooks.tls_key_file: others than the owner"),
        "{both}"
    );
    assert!(both.contains("chmod 600"), "{both}");
    mode(0o600);
    std::fs::write(&files.certificate, "secret-0123456789").unwrap();
    let none = said();
    assert!(
        none.contains("tls_certificate_file: the file holds no certificate in PEM"),
        "{none}"
    );
    assert!(!none.contains("secret-"), "{none}");
}
