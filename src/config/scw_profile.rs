//! The scw command's config file: finds it, and merges the chosen profile over the root values.
//! Knows only the three keys that are needed here; everything else is left alone.

use std::path::PathBuf;

use secrecy::SecretString;
use serde_yaml_ng::{Mapping, Value};

use super::environment::Environment;
use super::problem::Problem;
use super::secret_file::{self, Content};

/// A profile with the values of the root under it.
#[derive(Debug)]
pub(super) struct ScwProfile {
    /// The scw config file.
    pub(super) file: PathBuf,
    /// The profile, `default` for the root values.
    pub(super) name: String,
    /// Its API URL.
    pub(super) api_url: Option<String>,
    /// Its access key.
    pub(super) access_key: Option<SecretString>,
    /// Its secret key.
    pub(super) secret_key: Option<SecretString>,
    /// Who may read or write the file and should not, and what to do.
    pub(super) exposed: Option<(String, String)>,
}

/// Why there is no profile.
#[derive(Debug)]
pub(super) enum ProfileError {
    /// The profile that was asked for is not there.
    NotThere {
        /// The end of a sentence that begins with its name.
        why: String,
        /// What to do.
        hint: String,
    },
    /// Something is wrong with the file.
    File(Box<Problem>),
}

const KEY: &str = "scaleway.profile";

/// The chosen profile, or else the active one, or else the root values; `None` without a file.
pub(super) fn load(
    environment: &Environment,
    chosen: Option<&str>,
) -> Result<Option<ScwProfile>, ProfileError> {
    let Some(file) = find(environment)? else {
        return match chosen {
            None | Some("default") => Ok(None),
            Some(_) => Err(ProfileError::NotThere {
                why: "is chosen, but there is no scw config file".to_owned(),
                hint: "set SCW_CONFIG_PATH to the file, or remove the choice of a profile"
                    .to_owned(),
            }),
        };
    };
    let Content { text, exposed } = secret_file::read(&file).map_err(|(why, hint)| {
        ProfileError::File(Box::new(Problem::of_file(&file, KEY, &why, &hint)))
    })?;
    // As a loose value first: a typed error would quote the value it can't read, which may be a key.
    let document: Value = serde_yaml_ng::from_str(&text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| {
            format!(" at line {}, column {}", at.line(), at.column())
        });
        file_problem(&file, &format!("the scw config file is not YAML{place}"))
    })?;
    let root = match document {
        Value::Mapping(root) => root,
        Value::Null => Mapping::new(),
        _ => return Err(file_problem(&file, "the scw config file holds no keys")),
    };
    let active = text_of(&root, "active_profile");
    let name = chosen.or(active.as_deref()).unwrap_or("default").to_owned();
    // `default` stands for the root values, as it does for the scw command.
    let profile = root
        .get("profiles")
        .filter(|_| name != "default")
        .and_then(|profiles| profiles.get(name.as_str()))
        .and_then(Value::as_mapping);
    if profile.is_none() && name != "default" {
        let hint = format!("add it to {}, or choose another", file.display());
        return Err(match chosen {
            Some(_) => ProfileError::NotThere {
                why: "is not a profile of the scw config file".to_owned(),
                hint,
            },
            None => file_problem(&file, "active_profile names a profile that is not there"),
        });
    }
    let value = |key| {
        profile
            .and_then(|p| text_of(p, key))
            .or_else(|| text_of(&root, key))
    };
    Ok(Some(ScwProfile {
        api_url: value("api_url"),
        access_key: value("access_key").map(SecretString::from),
        secret_key: value("secret_key").map(SecretString::from),
        exposed,
        file,
        name,
    }))
}

/// The file: where `SCW_CONFIG_PATH` says, or the first that exists of the usual places.
fn find(environment: &Environment) -> Result<Option<PathBuf>, ProfileError> {
    if let Some(path) = environment.path("SCW_CONFIG_PATH") {
        if path.exists() {
            return Ok(Some(path.to_owned()));
        }
        return Err(ProfileError::File(Box::new(Problem::of_variable(
            "SCW_CONFIG_PATH",
            KEY,
            &format!("{} can't be read or is not there", path.display()),
            "correct the path, or unset the variable",
        ))));
    }
    let directories = [
        environment.path("XDG_CONFIG_HOME").map(PathBuf::from),
        environment.path("HOME").map(|home| home.join(".config")),
    ];
    Ok(directories
        .into_iter()
        .flatten()
        .flat_map(|directory| ["config.yaml", "config.yml"].map(|n| directory.join("scw").join(n)))
        .find(|path| path.exists()))
}

/// A value that is a text and not empty.
fn text_of(mapping: &Mapping, key: &str) -> Option<String> {
    mapping
        .get(key)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn file_problem(file: &std::path::Path, why: &str) -> ProfileError {
    let hint = "correct it with `scw config`, or name another file in SCW_CONFIG_PATH";
    ProfileError::File(Box::new(Problem::of_file(file, KEY, why, hint)))
}
