//! Where each value may come from, and which place wins.

use std::path::PathBuf;

use super::*;

/// A scw config file in a directory of its own.
fn scw(yaml: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, yaml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

fn from(config: &Config, key: &str) -> String {
    let setting = config
        .settings
        .iter()
        .find(|s| format!("{}.{}", s.section, s.name) == key);
    setting.unwrap().from.to_string()
}

#[test]
fn the_url_of_the_api_is_from_file_then_variable_then_profile_then_default() {
    let (_directory, scw) = scw("api_url: https://profile.example\nunknown_key: [1]\n");
    let profile = ("SCW_CONFIG_PATH", scw.as_str());
    let variable = ("SCW_API_URL", "https://variable.example");
    let file = "[scaleway]\napi_url = \"https://file.example\"\n";
    for (toml, variables, url, place) in [
        (
            file,
            vec![variable, profile],
            "https://file.example",
            "c.toml:2".to_owned(),
        ),
        (
            "",
            vec![variable, profile],
            "https://variable.example",
            "environment variable SCW_API_URL".to_owned(),
        ),
        (
            "",
            vec![profile],
            "https://profile.example",
            format!("profile default of {scw}"),
        ),
        ("", vec![], "https://api.scaleway.com", "default".to_owned()),
        (
            "",
            vec![("SCW_API_URL", "")],
            "https://api.scaleway.com",
            "default".to_owned(),
        ),
    ] {
        let config = config_in(toml, &environment(&variables));
        assert_eq!(config.scaleway.api_url.as_str(), url);
        assert_eq!(from(&config, "scaleway.api_url"), place);
    }
}

#[test]
fn the_profile_is_from_file_then_variable_then_active_profile_then_root() {
    let yaml = "api_url: https://root.example\nprofiles:\n  a:\n    api_url: https://a.example\n  \
                b:\n    api_url: https://b.example\n  c:\n    api_url: https://c.example\n  empty: {}\n";
    let (_directory, without_active) = scw(yaml);
    let (_directory, with_active) = scw(&format!("active_profile: c\n{yaml}"));
    let file = "[scaleway]\nprofile = \"a\"\n";
    for (toml, variables, path, url) in [
        (file, Some("b"), &with_active, "https://a.example"),
        ("", Some("b"), &with_active, "https://b.example"),
        ("", None, &with_active, "https://c.example"),
        ("", None, &without_active, "https://root.example"),
        ("", Some("default"), &with_active, "https://root.example"),
        ("", Some("empty"), &with_active, "https://root.example"),
    ] {
        let variables: Environment = [("SCW_CONFIG_PATH", path.as_str())]
            .into_iter()
            .chain(variables.map(|name| ("SCW_PROFILE", name)))
            .collect();
        let config = config_in(toml, &variables);
        assert_eq!(config.scaleway.api_url.as_str(), url);
    }
}

#[test]
fn the_scw_file_is_looked_for_where_scw_looks() {
    let home = tempfile::tempdir().unwrap();
    let put = |path: &str, url: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("api_url: {url}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let explicit = put("explicit.yaml", "https://explicit.example");
    put("xdg/scw/config.yaml", "https://xdg.example");
    put(".config/scw/config.yml", "https://home.example");
    let xdg = home.path().join("xdg");
    let all = [
        ("SCW_CONFIG_PATH", explicit.as_str()),
        ("XDG_CONFIG_HOME", xdg.to_str().unwrap()),
        ("HOME", home.path().to_str().unwrap()),
    ];
    for (skip, url) in [
        (0, "https://explicit.example"),
        (1, "https://xdg.example"),
        (2, "https://home.example"),
        (3, "https://api.scaleway.com"),
    ] {
        let config = config_in("", &environment(&all[skip..]));
        assert_eq!(config.scaleway.api_url.as_str(), url);
    }
}

#[test]
fn what_is_wrong_with_a_profile_is_said_where_it_was_chosen() {
    let (_directory, scw) = scw("profiles:\n  a: {}\n");
    let file = "[scaleway]\nprofile = \"b\"\n";
    let hint = format!("hint: add it to {scw}, or choose another");
    assert_eq!(
        problems_in(file, &environment(&[("SCW_CONFIG_PATH", &scw)])),
        [format!(
            "c.toml:2:11: scaleway.profile: \"b\" is not a profile of the scw config file; {hint}"
        )]
    );
    assert_eq!(
        problems_in(
            "",
            &environment(&[("SCW_CONFIG_PATH", &scw), ("SCW_PROFILE", "b")])
        ),
        [format!(
            "environment variable SCW_PROFILE: scaleway.profile: is not a profile of the scw config file; {hint}"
        )]
    );
    assert_eq!(
        problems_in(file, &Environment::default()),
        [
            "c.toml:2:11: scaleway.profile: \"b\" is chosen, but there is no scw config file; hint: set \
          SCW_CONFIG_PATH to the file, or remove the choice of a profile"
        ]
    );
    assert_eq!(
        problems_in("", &environment(&[("SCW_CONFIG_PATH", "/no/such/file")])),
        [
            "environment variable SCW_CONFIG_PATH: scaleway.profile: /no/such/file can't be read or is \
          not there; hint: correct the path, or unset the variable"
        ]
    );
}

#[test]
fn a_bad_value_outside_the_file_is_a_problem_too() {
    assert_eq!(
        problems_in("", &environment(&[("SCW_API_URL", "http://a.example")])),
        [
            "environment variable SCW_API_URL: scaleway.api_url: the value would send the secret key \
          without encryption; hint: write https://; http is only for loopback addresses"
        ]
    );
    let (_directory, scw) = scw("api_url: nonsense\n");
    assert_eq!(
        problems_in("", &environment(&[("SCW_CONFIG_PATH", &scw)])),
        [format!(
            "{scw}: scaleway.api_url: the api_url of profile default is not a URL; hint: write \
             \"https://api.scaleway.com\", or \"sandbox\" to try edgepurge out"
        )]
    );
    assert_eq!(
        problems_in("", &environment(&[("STATE_DIRECTORY", "state")])),
        [
            "environment variable STATE_DIRECTORY: state.directory: state is not an absolute path; hint: \
          let systemd set it, or unset it"
        ]
    );
}

#[test]
fn directories_are_from_file_then_systemd_then_default() {
    let systemd = environment(&[
        ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
        ("RUNTIME_DIRECTORY", "/run/a"),
    ]);
    let file = "[state]\ndirectory = \"/f\"\n[admin]\nsocket = \"/f.sock\"\n";
    for (toml, environment, state, socket) in [
        (file, &systemd, "/f", "/f.sock"),
        ("", &systemd, "/var/lib/a", "/run/a/admin.sock"),
        (
            "",
            &Environment::default(),
            "/var/lib/edgepurge",
            "/run/edgepurge/admin.sock",
        ),
    ] {
        let config = config_in(toml, environment);
        assert_eq!(config.state.directory, PathBuf::from(state));
        assert_eq!(config.admin.socket, PathBuf::from(socket));
    }
}

#[test]
fn the_effective_values_say_where_each_is_from() {
    let environment = environment(&[("STATE_DIRECTORY", "/var/lib/a")]);
    let toml = format!("[scaleway]\nburst = 7\n{}", origin("rescan = \"120s\"\n"));
    let config = config_in(&toml, &environment);
    let text = as_toml(&config.settings);
    for line in [
        "api_url = \"https://api.scaleway.com\"         # default",
        "# secret_key_file is not set                 # default",
        "burst = 7                                    # c.toml:2",
        "directory = \"/var/lib/a\"                     # environment variable STATE_DIRECTORY",
        "[[pipeline]]  # pipeline[0]",
        "all_after = \"5m\"                             # default",
        "[[pipeline.origin]]  # pipeline[0].origin[0]",
        "name = \"/\"                                   # default",
        "rescan = \"2m\"                                # c.toml:8",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nnot in\n{text}");
    }
    assert!(text.starts_with("[scaleway]\napi_url"));
    // What is printed is a configuration with the same meaning.
    let again = config_in(&text, &Environment::default());
    assert_eq!(again.scaleway, config.scaleway);
    assert_eq!(again.state, config.state);
    assert_eq!(again.admin, config.admin);
    assert_eq!(again.pipelines, config.pipelines);
    let json = serde_json::to_value(&config.settings).unwrap();
    let burst = serde_json::json!({"key": "scaleway.burst", "value": 7, "from": "c.toml:2"});
    assert!(json.as_array().unwrap().contains(&burst), "{json}");
}
