//! What holds in the end: each key's effective value, and where it is from.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Where an effective value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The configuration file.
    File {
        /// Its name, as it was given.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(&'static str),
    /// A profile of the scw config file.
    Profile {
        /// The profile.
        name: String,
        /// The scw config file.
        file: String,
    },
    /// The default.
    Default,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Profile { name, file } => write!(f, "profile {name} of {file}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One key and what holds for it. Never a secret: keys name the files of secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The table that it is in, `pipeline[0].origin[1]`.
    pub section: String,
    /// The key in that table.
    pub name: String,
    /// The value; `None` where it is not set and there is no default.
    pub value: Option<toml::Value>,
    /// Where it is from.
    pub from: Provenance,
}

/// `{"key": "scaleway.burst", "value": 20, "from": "default"}`.
impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("key", &format!("{}.{}", self.section, self.name))?;
        map.serialize_entry("value", &self.value)?;
        map.serialize_entry("from", &self.from.to_string())?;
        map.end()
    }
}

/// The settings as a TOML file that says of each line where it is from.
#[must_use]
pub fn as_toml(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in settings {
        if setting.section != section {
            if !section.is_empty() {
                text.push('\n');
            }
            section = &setting.section;
            text.push_str(&header(section));
        }
        let line = match &setting.value {
            Some(value) => format!("{} = {value}", setting.name),
            None => format!("# {} is not set", setting.name),
        };
        text.push_str(&pad(&line));
        text.push_str(" # ");
        text.push_str(&setting.from.to_string());
        text.push('\n');
    }
    text
}

/// A line with spaces up to where its comment begins.
fn pad(line: &str) -> String {
    format!("{line:<44}")
}

/// `[scaleway]`, or `[[pipeline.origin]]` with the place in a comment.
fn header(section: &str) -> String {
    let path: Vec<&str> = section
        .split('.')
        .map(|part| part.split('[').next().unwrap_or_default())
        .collect();
    let path = path.join(".");
    if section.ends_with(']') {
        return format!("[[{path}]]  # {section}\n");
    }
    format!("[{path}]\n")
}
