//! The environment, read once in one place and then an argument like any other.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Every variable that the configuration looks at.
const NAMES: [&str; 13] = [
    "EDGEPURGE_TOKEN",
    "JOURNAL_STREAM",
    "SCW_API_URL",
    "SCW_ACCESS_KEY",
    "SCW_SECRET_KEY",
    "SCW_S3_ENDPOINT",
    "SCW_PROFILE",
    "SCW_CONFIG_PATH",
    "XDG_CONFIG_HOME",
    "HOME",
    "CREDENTIALS_DIRECTORY",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
];

/// The environment variables that the configuration and the commands look at. An empty one counts as not set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process, as it is now. A variable that is not UTF-8 counts as not
    /// set.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn of_process() -> Self {
        NAMES
            .into_iter()
            .filter_map(|name| Some((name, std::env::var(name).ok()?)))
            .collect()
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A variable as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.get(name).map(Path::new)
    }

    /// The first directory of a variable in which systemd lists directories, separated by `:`.
    pub(super) fn first_directory(&self, name: &str) -> Option<PathBuf> {
        let first = self.get(name)?.split(':').next()?;
        (!first.is_empty()).then(|| PathBuf::from(first))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(variables.map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// Names only: one of the values is a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
