//! Whether the daemon's user can read the files that the daemon reads beside the origins: the configuration,
//! and those that it names.

use std::path::{Path, PathBuf};

use super::look::{Look, denial};
use super::user::User;
use crate::config::{Config, Problem, Setting};

/// A warning for each that the user can't read. None for what can't be found out, nor where this process runs as
/// that user, and so fails to read them itself.
pub(super) async fn warnings(config: &Config, user: Option<&User>) -> Vec<Problem> {
    let Some(user) = user.filter(|user| !user.is_here()) else {
        return Vec::new();
    };
    let named = config.settings.iter().flat_map(files);
    let mut found = Vec::new();
    for (key, path) in std::iter::once((String::new(), config.file.clone())).chain(named) {
        let look = Look {
            user: Some(user.clone()),
            path,
            walk: None,
        };
        let seen = look.ask().await.ok();
        if let Some(by) = seen.and_then(|seen| seen.denied_by) {
            let (why, hint) = denial(&look.path, &by, user);
            found.push(Problem::of_file(&config.file, &key, &why, &hint));
        }
    }
    found
}

/// The files that a setting names, with its key.
fn files(setting: &Setting) -> Vec<(String, PathBuf)> {
    let values = match &setting.value {
        Some(toml::Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    let is_file = setting.name.ends_with("_file");
    let paths = values
        .iter()
        .filter(|_| is_file)
        .filter_map(toml::Value::as_str);
    let key = || format!("{}.{}", setting.section, setting.name);
    paths
        .map(|path| (key(), Path::new(path).to_owned()))
        .collect()
}
