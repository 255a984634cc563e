//! Names of repositories: in the forms that people write, and in those that forges send.

/// How a forge writes the names of repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forge {
    /// What is between the owner and the name.
    pub groups: Groups,
    /// Whether the addresses of Bitbucket Data Center are among them.
    pub data_center: bool,
}

/// Whether there may be more before a repository's name than its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Never.
    Never,
    /// Groups in groups.
    Always,
    /// Where the address of the forge has a path of its own.
    InAddresses,
}

/// A repository that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) struct RepositoryName {
    /// As the configuration has it.
    written: String,
    meant: Meant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    /// A bucket, a space, a site: exactly this.
    Exactly,
    /// `owner/name`, in lower case.
    Path(String),
    /// `first.part/owner/name`: the first part is a host, or a group with a dot in its name.
    Either(String),
}

/// Why something is not the name of a forge's repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RepositoryProblem {
    /// `acme/*`.
    #[error("is a pattern, and each repository has to be named")]
    Pattern,
    /// `site`.
    #[error("names no owner")]
    NoOwner,
    /// `acme/site/tree/main`.
    #[error("is more than the name of a repository")]
    TooLong,
    /// Anything else.
    #[error("is not the name of a repository")]
    Impossible,
}

/// Whether a text is the name of a repository of this forge; without a forge, it always is one.
///
/// # Errors
/// Why it is not.
pub(crate) fn check_repository(forge: Option<Forge>, text: &str) -> Result<(), RepositoryProblem> {
    RepositoryName::parse(forge, text).map(|_| ())
}

impl RepositoryName {
    /// Reads what a configuration has for this forge.
    pub(in crate::webhook) fn parse(
        forge: Option<Forge>,
        text: &str,
    ) -> Result<Self, RepositoryProblem> {
        let named = |meant| Self {
            written: text.to_owned(),
            meant,
        };
        let Some(forge) = forge else {
            return Ok(named(Meant::Exactly));
        };
        let (host, path) = split(text);
        let path = if forge.data_center {
            of_data_center(&path)
        } else {
            path
        };
        if path.contains(['*', '?', '[']) {
            return Err(RepositoryProblem::Pattern);
        }
        let good = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_.~+".contains(c))
        };
        if !path.split('/').all(good) {
            return Err(RepositoryProblem::Impossible);
        }
        let parts = path.split('/').count();
        let maybe_host = host.is_none()
            && parts > 2
            && path
                .split('/')
                .next()
                .is_some_and(|first| first.contains('.'));
        let owners = parts - usize::from(maybe_host);
        let deep = match forge.groups {
            Groups::Never => false,
            Groups::Always => true,
            Groups::InAddresses => host.is_some(),
        };
        match owners {
            0 | 1 => Err(RepositoryProblem::NoOwner),
            2 if maybe_host => Ok(named(Meant::Either(path))),
            2 => Ok(named(Meant::Path(path))),
            _ if !deep => Err(RepositoryProblem::TooLong),
            _ if maybe_host => Ok(named(Meant::Either(path))),
            _ => Ok(named(Meant::Path(path))),
        }
    }

    /// Exactly this.
    pub(in crate::webhook) fn exactly(text: &str) -> Self {
        Self {
            written: text.to_owned(),
            meant: Meant::Exactly,
        }
    }

    /// Whether one of the names, or addresses, of a repository is this one's.
    pub(in crate::webhook) fn is_one_of(&self, names: &[String]) -> bool {
        if self.meant == Meant::Exactly {
            return names.contains(&self.written);
        }
        let known = consistent(names);
        let any = |path: &str| known.iter().any(|(_, other)| other == path);
        match &self.meant {
            Meant::Exactly => false,
            Meant::Path(path) => any(path),
            Meant::Either(whole) => {
                let (first, rest) = whole.split_once('/').unwrap_or_default();
                let mut hosts = known
                    .iter()
                    .filter_map(|(host, _)| host.as_ref())
                    .peekable();
                let here = hosts.peek().is_none() || hosts.any(|host| host == first);
                any(whole) || (here && any(rest))
            }
        }
    }

    pub(in crate::webhook) fn as_str(&self) -> &str {
        &self.written
    }
}

/// The names and addresses of a repository, split. An address only counts as the address of what
/// is named, or where nothing is.
fn consistent(names: &[String]) -> Vec<(Option<String>, String)> {
    let (mut addresses, mut known): (Vec<_>, Vec<_>) = names
        .iter()
        .map(|name| split(name))
        .partition(|(host, _)| host.is_some());
    let of = |path: &str, name: &str| {
        let before = path.strip_suffix(name);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    if !known.is_empty() {
        addresses.retain(|(_, path)| known.iter().any(|(_, name)| of(path, name)));
    }
    known.append(&mut addresses);
    known
}

/// The host, where it is sure that there is one, and the path, both in lower case: of
/// `https://host/acme/site.git`, `ssh://git@host:22/acme/site`, `git@host:acme/site.git` and
/// `acme/site`.
fn split(text: &str) -> (Option<String>, String) {
    let (host, path) = if let Some((_, rest)) = text.split_once("://") {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or(authority);
        (Some(host.split(':').next().unwrap_or(host)), path)
    } else if let Some((host, path)) = text.split_once(':').filter(|(host, _)| !host.contains('/'))
    {
        (Some(host.rsplit('@').next().unwrap_or(host)), path)
    } else {
        (None, text)
    };
    let path = path.split(['#', '?']).next().unwrap_or(path);
    // What GitLab's pages of a project have in their addresses.
    let path = path.split("/-/").next().unwrap_or(path);
    let path = path.trim_matches('/').to_lowercase();
    let path = path.strip_suffix(".git").unwrap_or(&path).to_owned();
    (host.map(str::to_lowercase), path)
}

/// `KEY/slug` of the addresses that Bitbucket Data Center has: `projects/KEY/repos/slug`,
/// `users/NAME/repos/slug` and `scm/KEY/slug`, below a path of its own or not.
fn of_data_center(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    for at in 0..parts.len() {
        match parts.get(at..).unwrap_or_default() {
            ["users", name, "repos", slug, ..] => return format!("~{name}/{slug}"),
            ["projects", key, "repos", slug, ..] | ["scm", key, slug] => {
                return format!("{key}/{slug}");
            }
            _ => {}
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::kind;

    fn gitlab() -> Option<Forge> {
        kind::gitlab::SENDER.forge
    }

    fn gitea() -> Option<Forge> {
        kind::gitea::GITEA.forge
    }

    #[track_caller]
    fn is(forge: Option<Forge>, text: &str, names: &[&str]) -> bool {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        RepositoryName::parse(forge, text)
            .unwrap()
            .is_one_of(&names)
    }

    #[test]
    fn every_form_in_which_a_repository_is_written_is_that_repository() {
        let sent = ["acme/Site", "https://forge.example.com/acme/Site"];
        for text in [
            "acme/Site",
            "Acme/site",
            "/acme/site/",
            "acme/site.git",
            "https://forge.example.com/acme/site",
            "https://forge.example.com/Acme/Site.git",
            "https://user@forge.example.com:8443/acme/site/",
            "HTTP://FORGE.EXAMPLE.COM/ACME/SITE#readme",
            "git@forge.example.com:acme/site.git",
            "forge.example.com:acme/site",
            "ssh://git@forge.example.com:2222/acme/site.git",
            "git+ssh://git@forge.example.com/acme/site",
            "forge.example.com/acme/site",
        ] {
            for kind in [
                kind::github::SENDER.forge,
                gitlab(),
                gitea(),
                kind::bitbucket::SENDER.forge,
            ] {
                assert!(is(kind, text, &sent), "{text} {kind:?}");
                assert!(is(kind, text, &sent[..1]), "{text} {kind:?}");
                for other in ["acme/site2", "acme/sit", "acm/site", "x/acme/site", "site"] {
                    assert!(!is(kind, text, &[other]), "{text} {other} {kind:?}");
                }
            }
        }
    }

    #[test]
    fn the_address_of_another_repository_is_not_this_ones() {
        let sent = ["other/site", "https://forge.example.com/acme/site"];
        for text in [
            "acme/site",
            "https://forge.example.com/acme/site",
            "forge.example.com/acme/site",
        ] {
            assert!(!is(kind::github::SENDER.forge, text, &sent), "{text}");
        }
        // Where nothing else names it, it is all there is.
        assert!(is(gitlab(), "acme/site", &sent[1..]));
    }

    #[test]
    fn groups_in_groups_and_forges_below_a_path_are_understood() {
        let nested = [
            "Web/Front.End/site",
            "https://git.example.com/gitlab/Web/Front.End/site",
        ];
        assert!(is(gitlab(), "web/front.end/site", &nested));
        assert!(is(
            gitlab(),
            "https://git.example.com/gitlab/web/front.end/site/-/tree/main",
            &nested
        ));
        assert!(!is(gitlab(), "front.end/site", &nested));
        // A group with a dot in its name is not the host of another project.
        assert!(is(
            gitlab(),
            "my.group/a/b",
            &["my.group/a/b", "https://git.example.com/my.group/a/b"]
        ));
        assert!(!is(
            gitlab(),
            "my.group/a/b",
            &["a/b", "https://git.example.com/a/b"]
        ));
        assert!(is(
            gitea(),
            "https://example.com/git/acme/site",
            &["acme/site", "https://example.com/git/acme/site"]
        ));
        for text in [
            "https://bitbucket.example.com/projects/WEB/repos/site/browse",
            "https://bitbucket.example.com/ctx/scm/web/site.git",
            "ssh://git@bitbucket.example.com:7999/web/site.git",
        ] {
            assert!(
                is(kind::bitbucket::SENDER.forge, text, &["WEB/site"]),
                "{text}"
            );
        }
        let own = "https://bitbucket.example.com/users/ann/repos/site";
        assert!(is(kind::bitbucket::SENDER.forge, own, &["~ANN/site"]));
    }

    #[test]
    fn what_can_never_be_a_repository_is_refused() {
        let (github, bitbucket) = (kind::github::SENDER.forge, kind::bitbucket::SENDER.forge);
        for (kind, text, problem) in [
            (github, "site", RepositoryProblem::NoOwner),
            (
                github,
                "https://github.com/acme",
                RepositoryProblem::NoOwner,
            ),
            (github, "acme/*", RepositoryProblem::Pattern),
            (github, "acme/site/tree/main", RepositoryProblem::TooLong),
            (
                github,
                "https://github.com/acme/site/tree/main",
                RepositoryProblem::TooLong,
            ),
            (bitbucket, "a/b/c", RepositoryProblem::TooLong),
            (gitea(), "a/b/c", RepositoryProblem::TooLong),
            (github, "acme /site", RepositoryProblem::Impossible),
            (github, "acme//site", RepositoryProblem::Impossible),
            (github, "../site", RepositoryProblem::Impossible),
            (gitlab(), "", RepositoryProblem::Impossible),
        ] {
            assert_eq!(
                RepositoryName::parse(kind, text).unwrap_err(),
                problem,
                "{text}"
            );
        }
    }

    #[test]
    fn a_bucket_or_a_site_is_exactly_what_is_written() {
        assert!(is(kind::s3::SENDER.forge, "my-bucket", &["my-bucket"]));
        assert!(!is(kind::s3::SENDER.forge, "my-bucket", &["My-Bucket"]));
        assert!(is(kind::netlify::SENDER.forge, "https://x", &["https://x"]));
    }
}
