//! Where each key belongs, for those who wrote one below the wrong header. TOML makes that easy:
//! whatever follows `[[pipeline.origin]]` is the origin's.

/// The keys of each table; a test compares them with what is read.
pub(super) const TABLES: [(&str, &[&str]); 9] = [
    (
        "[scaleway]",
        &[
            "api_url",
            "secret_key_file",
            "profile",
            "requests_per_second",
            "burst",
            "max_in_flight",
            "request_timeout",
            "track_timeout",
        ],
    ),
    ("[state]", &["directory", "retention"]),
    (
        "[webhooks]",
        &[
            "listen",
            "body_limit",
            "trusted_proxies",
            "failed_auth_per_minute",
        ],
    ),
    ("[admin]", &["listen", "socket", "token_file"]),
    (
        "[[pipeline]]",
        &[
            "name",
            "id",
            "project_id",
            "max_assets",
            "debounce",
            "max_wait",
            "all_above",
            "all_after",
            "all_cooldown",
            "pages",
            "encoding",
            "repurge_after",
            "hot_interval",
        ],
    ),
    (
        "[pipeline.verify]",
        &["edge_url", "timeout", "max_bytes_per_hour"],
    ),
    (
        "[[pipeline.origin]]",
        &[
            "name",
            "root",
            "url_prefix",
            "compare",
            "watch",
            "rescan",
            "write_wait",
            "gone_after",
            "max_loss",
            "follow_symlinks",
            "web_group",
            "ignore",
        ],
    ),
    ("[[pipeline.rule]]", &["match", "on", "purge"]),
    (
        "[[pipeline.webhook]]",
        &[
            "route",
            "kind",
            "auth",
            "secret_file",
            "credential",
            "repository",
            "events",
            "branches",
            "workflows",
            "environments",
            "purge",
            "files_root",
            "delay",
            "dedupe",
            "assume_no_force_push",
            "allowed_origins",
            "key_encoding",
            "external_path",
            "token_header",
            "token_prefix",
            "signature_header",
            "signature_prefix",
            "signature_encoding",
            "signature_digest",
            "timestamp_header",
            "timestamp_field",
            "timestamp_unit",
            "signed",
            "paths",
            "repository_pointer",
            "branch",
            "event",
            "id",
        ],
    ),
];

/// The header that a key belongs below, where there is just one.
pub(super) fn home(key: &str) -> Option<&'static str> {
    let mut homes = TABLES
        .iter()
        .filter(|(_, keys)| keys.contains(&key))
        .map(|(header, _)| *header);
    homes.next().filter(|_| homes.next().is_none())
}
