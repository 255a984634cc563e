//! Secrets: where they are from, when they are refused, and that no output has one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use secrecy::ExposeSecret as _;

use super::*;

/// A directory with one key in each place that may hold one.
struct Places {
    directory: tempfile::TempDir,
}

impl Places {
    fn new() -> Self {
        let places = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        places.put("scw_secret_key", "key-of-the-credential\n", 0o644);
        places.put("file", "key-of-the-file-00\n", 0o600);
        places.put(
            "config.yaml",
            "secret_key: key-of-the-root-00\nprofiles:\n  p:\n    secret_key: key-of-the-profile\n",
            0o600,
        );
        places
    }

    fn put(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// The key where these of the places are given (credential, file, variable, scw file), and its
    /// source with the directory cut out.
    fn key(
        &self,
        [credential, file, variable, scw]: [bool; 4],
    ) -> Result<(String, String), String> {
        let directory = self.path("");
        let scw_path = self.path("config.yaml");
        let mut variables = Vec::new();
        if credential {
            variables.push(("CREDENTIALS_DIRECTORY", directory.as_str()));
        }
        if variable {
            variables.push(("SCW_SECRET_KEY", "key-of-the-variable"));
        }
        if scw {
            variables.push(("SCW_CONFIG_PATH", &scw_path));
        }
        let file = if file {
            format!("secret_key_file = \"{}\"\n", self.path("file"))
        } else {
            String::new()
        };
        self.read(
            &format!("[scaleway]\napi_url = \"https://a.example\"\n{file}"),
            &variables,
        )
    }

    fn read(&self, toml: &str, variables: &[(&str, &str)]) -> Result<(String, String), String> {
        let environment = environment(variables);
        let cut = |text: String| text.replace(&self.path(""), "");
        let key = config_in(toml, &environment)
            .scaleway
            .secret_key(&environment);
        match key {
            Ok(key) => {
                let key = key.expect("a key");
                Ok((
                    key.value.expose_secret().to_owned(),
                    cut(key.source.to_string()),
                ))
            }
            Err(problems) => Err(cut(problems.to_string())),
        }
    }
}

#[test]
fn the_first_place_that_has_a_key_wins() {
    let places = Places::new();
    for (places_with_key, key, source) in [
        (
            [true, true, true, true],
            "key-of-the-credential",
            "systemd credential scw_secret_key",
        ),
        ([false, true, true, true], "key-of-the-file-00", "file file"),
        (
            [false, false, true, true],
            "key-of-the-variable",
            "environment variable SCW_SECRET_KEY",
        ),
        (
            [false, false, false, true],
            "key-of-the-root-00",
            "profile default of config.yaml",
        ),
    ] {
        let found = places.key(places_with_key);
        assert_eq!(found, Ok((key.to_owned(), source.to_owned())));
    }
    let message = places.key([false, false, false, false]).unwrap_err();
    assert!(message.contains("there is no secret key"), "{message}");
}

#[test]
fn a_credentials_directory_without_the_key_is_passed_over() {
    let places = Places::new();
    std::fs::remove_file(places.path("scw_secret_key")).unwrap();
    assert_eq!(
        places.key([true, true, false, false]).unwrap().0,
        "key-of-the-file-00"
    );
}

#[test]
fn the_chosen_profile_has_the_key() {
    let places = Places::new();
    let scw = places.path("config.yaml");
    let found = places.read(
        "[scaleway]\nprofile = \"p\"\n",
        &[("SCW_CONFIG_PATH", &scw)],
    );
    assert_eq!(
        found,
        Ok((
            "key-of-the-profile".to_owned(),
            "profile p of config.yaml".to_owned()
        ))
    );
}

#[test]
fn how_a_key_is_renewed_depends_on_where_it_is_from() {
    let profile = SecretSource::Profile {
        name: "p".to_owned(),
        file: "/root/.config/scw/config.yaml".into(),
    };
    for (source, place, restart) in [
        (
            SecretSource::Credential("scw_secret_key".to_owned()),
            "/etc/credstore/",
            true,
        ),
        (
            SecretSource::Variable("SCW_SECRET_KEY"),
            "SCW_SECRET_KEY",
            true,
        ),
        (SecretSource::File("/run/key".into()), "/run/key", false),
        (profile, "config.yaml", false),
    ] {
        let renewal = source.renewal();
        assert!(renewal.contains(place), "{renewal}");
        assert_eq!(renewal.contains("systemctl restart"), restart, "{renewal}");
        assert_eq!(renewal.contains("by itself"), !restart, "{renewal}");
    }
}

#[test]
fn a_replaced_key_is_read_again() {
    let places = Places::new();
    assert_eq!(
        places.key([false, true, false, false]).unwrap().0,
        "key-of-the-file-00"
    );
    places.put("file", "key-of-the-file-01", 0o600);
    assert_eq!(
        places.key([false, true, false, false]).unwrap().0,
        "key-of-the-file-01"
    );
}

#[test]
fn the_sandbox_needs_no_key_and_takes_one_that_is_given() {
    let config = config("[scaleway]\napi_url = \"sandbox\"\n");
    let key = |variables: &[(&str, &str)]| {
        let environment = environment(variables);
        let found = config.scaleway.secret_key(&environment).unwrap();
        found.map(|secret| secret.value.expose_secret().to_owned())
    };
    assert_eq!(key(&[]), None);
    let given = "9f0c8f2a-5d5e-4c53-9d3c-2f6f3c0e7a11";
    assert_eq!(key(&[("SCW_SECRET_KEY", given)]).as_deref(), Some(given));
}

#[test]
fn an_unfit_key_is_refused_and_the_next_place_is_not_tried() {
    let places = Places::new();
    let refused = |text: &str, mode: u32| {
        places.put("file", text, mode);
        places.key([false, true, true, true]).unwrap_err()
    };
    assert_eq!(
        refused("0123456789abcdef\n", 0o640),
        "file: scaleway.secret_key_file: others than the owner may read or write the file; hint: chmod 600 file"
    );
    assert!(refused("0123456789abcdef", 0o602).contains("chmod 600"));
    assert_eq!(
        refused("0123456789abcde\n", 0o600),
        "file file: scaleway.secret_key_file: the secret is shorter than 16 bytes; hint: write the whole secret, or make a longer one"
    );
    assert!(refused("0123456789 abcdef\n", 0o600).contains("holds a space"));
    assert!(refused("0123456789abcdef\n\n", 0o600).contains("a line break"));
    assert!(refused(&"a".repeat(64 * 1024 + 1), 0o600).contains("is larger than 64 KiB"));
    std::fs::remove_file(places.path("file")).unwrap();
    assert!(
        places
            .key([false, true, true, true])
            .unwrap_err()
            .contains("can't be opened: No such file")
    );
    std::fs::create_dir(places.path("file")).unwrap();
    assert!(
        places
            .key([false, true, true, true])
            .unwrap_err()
            .contains("is not a regular file")
    );
}

#[test]
fn exactly_sixteen_bytes_are_enough_and_one_newline_is_not_part_of_it() {
    let places = Places::new();
    for text in [
        "0123456789abcdef",
        "0123456789abcdef\n",
        "0123456789abcdef\r\n",
    ] {
        places.put("file", text, 0o600);
        assert_eq!(
            places.key([false, true, false, false]).unwrap().0,
            "0123456789abcdef"
        );
    }
}

#[test]
fn a_key_in_an_open_scw_file_is_refused() {
    let places = Places::new();
    let path = places.path("config.yaml");
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let message = places.key([false, false, false, true]).unwrap_err();
    assert!(message.contains("others than the owner"), "{message}");
    // For its URL alone it may be open.
    config_in("", &environment(&[("SCW_CONFIG_PATH", &path)]));
}

#[test]
fn the_token_of_the_admin_listener() {
    let places = Places::new();
    let load = || {
        let toml = format!("[admin]\ntoken_file = \"{}\"\n", places.path("file"));
        config(&toml).admin.token()
    };
    assert_eq!(
        load().unwrap().unwrap().value.expose_secret(),
        "key-of-the-file-00"
    );
    places.put("file", "short", 0o600);
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .contains("shorter than 16 bytes")
    );
    assert!(config("").admin.token().unwrap().is_none());
}

/// A secret that is planted wherever a person might put one, and must not come out anywhere.
const PLANTED: &str = "5ec7e75e-c7e7-4ec7-8ec7-5ec7e75ec7e7";

#[test]
fn a_secret_pasted_into_the_file_is_never_shown() {
    for toml in [
        format!("[scaleway]\nsecret_key = \"{PLANTED}\"\n"),
        format!("[scaleway]\nsecret_key = {PLANTED}\n"),
        format!("[scaleway]\nsecret_key = \"{PLANTED}\n"),
        format!("[scaleway]\nsecret_key_file = \"{PLANTED}\"\n"),
        format!("[scaleway]\nsecret_key_file = [\"{PLANTED}\"]\n"),
        format!("[scaleway]\napi_url = \"https://{PLANTED}@a.example\"\n"),
        format!("[scaleway]\napi_url = \"http://u:{PLANTED}@a.example\"\n"),
        format!("scaleway = {{ SECRET_KEY = \"{PLANTED}\", burst = 0 }}\n"),
        format!("scaleway = {{ burst = 0, secret_key_file = \"{PLANTED}\" }}\n"),
        format!("[admin]\ntoken = \"{PLANTED}\"\ntoken_file = \"{PLANTED}\"\n"),
        format!("[state]\ndatabase_url_file = \"postgres://u:{PLANTED}@host/db\"\n"),
        format!(
            "{PIPELINE}[[pipeline.webhook]]\nsecret = \"{PLANTED}\"\nsecret_file = 3\ncredential = [\"{PLANTED}\", 3]\n"
        ),
        format!("{PIPELINE}[[pipeline.webhook]]\nsecret_file = [\n  \"{PLANTED}\",\n  3,\n]\n"),
        format!("[scaleway]\nsecret_key = \"\"\"\n{PLANTED}\n\"\"\"\n"),
        format!("[scaleway]\nsecret_key =\n{PLANTED}\n"),
        format!("[scaleway]\nburst = {{ secret = \"{PLANTED}\" }}\n"),
        format!("[[scaleway]]\nsecret_key = \"{PLANTED}\"\n"),
    ] {
        let problems = Config::parse(Path::new("c.toml"), &toml, &Environment::default());
        let problems = problems.expect_err(&toml);
        for output in [
            problems.to_string(),
            format!("{problems:?}"),
            serde_json::to_string(&problems).unwrap(),
        ] {
            assert!(!output.contains(PLANTED), "{toml}\n{output}");
        }
    }
}

#[test]
fn a_pasted_secret_is_told_where_it_belongs() {
    check(
        "[scaleway]\nsecret_key = \"0123456789abcdef\"\n",
        &[
            "c.toml:2:1: scaleway.secret_key: is not a key that is known here; hint: a secret is never \
           written here: put it into a file that only its reader can read, and name that file",
        ],
    );
}

#[test]
fn a_secret_in_its_own_place_is_never_shown() {
    let places = Places::new();
    let scw = places.path("config.yaml");
    places.put("config.yaml", &format!("secret_key: {PLANTED}\n"), 0o600);
    let environment = environment(&[("SCW_SECRET_KEY", PLANTED), ("SCW_CONFIG_PATH", &scw)]);
    let config = config_in("", &environment);
    let key = config.scaleway.secret_key(&environment).unwrap().unwrap();
    let mut outputs = vec![
        format!("{environment:?}"),
        format!("{config:?}"),
        format!("{key:?}"),
        key.source.to_string(),
        as_toml(&config.settings),
        serde_json::to_string(&config.settings).unwrap(),
    ];
    for yaml in [
        format!("secret_key: {PLANTED}: {PLANTED}\n"),
        format!("secret_key: \"{PLANTED}\n"),
        format!("- {PLANTED}\n"),
        format!("secret_key: *{PLANTED}\n"),
        format!("{PLANTED}: 1\n{PLANTED}: 2\n"),
        PLANTED.to_owned(),
    ] {
        places.put("config.yaml", &yaml, 0o600);
        let environment = super::environment(&[("SCW_CONFIG_PATH", &scw)]);
        let problems = Config::parse(Path::new("c.toml"), "", &environment).expect_err(&yaml);
        outputs.push(format!("{problems}{problems:?}"));
    }
    for output in outputs {
        assert!(!output.contains(PLANTED), "{output}");
    }
}

#[test]
fn a_database_url_is_refused_with_its_place_and_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database_url");
    let text = format!("[state]\ndatabase_url_file = \"{}\"\n", path.display());
    let state = super::config(&text).state;
    let read = |url: &str, mode| {
        std::fs::write(&path, url).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
        state.database_url(&Environment::default())
    };
    let found = read("postgres://u:planted@127.0.0.1/edge\n", 0o600).unwrap();
    assert_eq!(found.unwrap().0.to_string(), "edge on 127.0.0.1");
    for (url, mode, why) in [
        (
            "postgres://u:planted@host/edge",
            0o644,
            "others than the owner",
        ),
        ("postgres://u:planted@host", 0o600, "names no database"),
        (
            "mysql://u:planted@host/edge",
            0o600,
            "is no URL of PostgreSQL",
        ),
    ] {
        let problem = read(url, mode).unwrap_err().to_string();
        for word in [why, "database_url"] {
            assert!(problem.contains(word), "{problem}");
        }
        assert!(!problem.contains("planted"), "{problem}");
    }
}
