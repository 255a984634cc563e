//! Origins that are buckets: their keys, what can't stand together, and where their access key is from.

use secrecy::ExposeSecret as _;

use super::*;

/// A bucket of [`PIPELINE`] in three lines, then these, from line 7 on.
fn bucket(lines: &str) -> String {
    pipeline(&format!(
        "[[pipeline.origin]]\nbucket = \"my-site\"\nregion = \"fr-par\"\n{lines}"
    ))
}

#[test]
fn a_bucket_takes_a_name_and_a_region() {
    let config = config(&bucket(""));
    let origin = &config.pipelines[0].origins[0];
    let expected = Place::Bucket {
        name: "my-site",
        region: "fr-par",
        endpoint: Some("https://s3.fr-par.scw.cloud".parse().unwrap()),
    };
    assert_eq!(origin.place(), Some(expected));
    assert_eq!(origin.poll.as_secs(), 300);
    assert_eq!(origin.prefix, "");
}

#[test]
fn an_origin_is_a_directory_or_a_bucket() {
    check(
        &bucket("root = \"/srv/www\"\n"),
        &[
            "c.toml:5:10: pipeline[0].origin[0].bucket: stands beside a root, and an origin is a \
             directory or a bucket; hint: remove one of them, or write a second [[pipeline.origin]]",
        ],
    );
    check(
        &bucket("watch = \"poll\"\naccess_key_file = \"/a\"\n"),
        &[
            "c.toml:7:9: pipeline[0].origin[0].watch: is of a directory, and this is a bucket; hint: \
             remove it",
            "c.toml:8:19: pipeline[0].origin[0].access_key_file: stands without secret_key_file, and the two \
             are a pair; hint: add secret_key_file, or remove it to use the keys of [scaleway]",
        ],
    );
    check(
        &origin("poll = \"1m\"\n"),
        &[
            "c.toml:6:8: pipeline[0].origin[0].poll: is of a bucket, and this is a directory; hint: remove it",
        ],
    );
    check(
        &pipeline("[[pipeline.origin]]\nbucket = \"my-site\"\n"),
        &[
            "c.toml:4:1: pipeline[0].origin[0].region: is missing; hint: write the region that the bucket is in, such \
             as region = \"fr-par\"",
        ],
    );
}

#[test]
fn what_is_no_bucket_is_refused() {
    for line in [
        "prefix = \"site\"",
        "prefix = \"/site/\"",
        "prefix = \"a/../b/\"",
        "prefix = \"a//\"",
        "endpoint = \"http://s3.example.com\"",
        "endpoint = \"https://user@s3.example.com\"",
        "poll = \"2d\"",
    ] {
        let found = problems_in(&bucket(&format!("{line}\n")), &Environment::default());
        assert_eq!(found.len(), 1, "{line}: {found:?}");
    }
    config(&bucket(
        "prefix = \"a/b/\"\nendpoint = \"http://127.0.0.1:9000\"\npoll = \"1s\"\n",
    ));
}

#[test]
fn a_bucket_of_the_sandbox_takes_no_keys_and_the_sandbox_as_the_api() {
    let text = bucket("endpoint = \"sandbox\"\n");
    let config = config(&format!("[scaleway]\napi_url = \"sandbox\"\n{text}"));
    let origin = &config.pipelines[0].origins[0];
    assert!(!origin.takes_keys());
    let Some(Place::Bucket { endpoint: None, .. }) = origin.place() else {
        panic!("{:?}", origin.place());
    };
    check(
        &text,
        &[
            "c.toml:7:12: pipeline[0].origin[0].endpoint: is the sandbox, and the API is not; hint: write api_url = \
             \"sandbox\" in [scaleway], or leave it out for Scaleway's server in the region",
        ],
    );
}

/// Writes a file that its owner alone may read. Returns its path.
fn secret_file(directory: &std::path::Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_access_key_is_from_the_first_place_that_has_one() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| secret_file(directory.path(), name, text);
    let file = put("file", "SCWFILEFILEFILEFILE0\n");
    let scw = put(
        "config.yaml",
        "access_key: SCWPROFILEPROFILE000\nsecret_key: 11111111-1111-4111-8111-111111111111\n",
    );
    put("scw_access_key", "SCWCREDENTIAL0000000\n");
    let secret = ("SCW_SECRET_KEY", "22222222-2222-4222-8222-222222222222");
    let key = |line: &str, variables: &[(&str, &str)]| {
        let variables = [variables, &[secret]].concat();
        let environment = environment(&variables);
        let config = config_in(&format!("[scaleway]\n{line}\n{}", bucket("")), &environment);
        let keys = config.pipelines[0].origins[0].keys(&config.scaleway, &environment);
        keys.map(|(access, _)| access.value.expose_secret().to_owned())
    };
    let file = format!("access_key_file = {file:?}");
    let profile = ("SCW_CONFIG_PATH", scw.as_str());
    let variable = ("SCW_ACCESS_KEY", "SCWVARIABLE000000000");
    let credential = ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap());
    let all = [profile, variable, credential];
    assert_eq!(key(&file, &all).unwrap(), "SCWCREDENTIAL0000000");
    assert_eq!(key(&file, &all[..2]).unwrap(), "SCWFILEFILEFILEFILE0");
    assert_eq!(key("", &all[..2]).unwrap(), "SCWVARIABLE000000000");
    assert_eq!(key("", &all[..1]).unwrap(), "SCWPROFILEPROFILE000");
    let none = key("", &[]).unwrap_err().to_string();
    assert!(none.contains("there is no access key"), "{none}");
}

#[test]
fn a_bucket_of_another_vendor_has_keys_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| secret_file(directory.path(), name, text);
    let access = put("access", "an-access-key-of-theirs");
    let secret = put("secret", "a-secret-key-of-theirs");
    let config = config(&bucket(&format!(
        "endpoint = \"https://s3.example.com\"\naccess_key_file = {access:?}\nsecret_key_file = {secret:?}\n"
    )));
    let keys = config.pipelines[0].origins[0].keys(&config.scaleway, &Environment::default());
    let (access, secret) = keys.unwrap();
    assert_eq!(access.value.expose_secret(), "an-access-key-of-theirs");
    assert_eq!(secret.value.expose_secret(), "a-secret-key-of-theirs");
}
