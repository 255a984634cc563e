//! The kinds of senders. Each has one way to authenticate, its own words for events, and its own
//! payloads; a file of its own says which.

pub mod bitbucket;
pub mod cloudevents;
pub mod contentful;
pub mod generic;
pub mod gitea;
pub mod github;
pub mod gitlab;
pub mod netlify;
pub mod s3;
pub mod sanity;
pub mod standard;
pub mod vercel;

use super::delivery::Unreadable;
use super::reading::{Input, Reading, matches};
use super::route::Purge;
use super::signature::{Mac, Scheme};

/// Who sends, and what only that kind has settings for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GitHub, and GitHub Enterprise Server.
    Github,
    /// GitLab.
    Gitlab {
        /// How its deliveries are authenticated.
        auth: gitlab::Auth,
        /// Whether pushes never drop commits, which GitLab doesn't say.
        assume_no_force_push: bool,
    },
    /// Gitea.
    Gitea {
        /// Whether pushes never drop commits, which Gitea doesn't say.
        assume_no_force_push: bool,
    },
    /// Forgejo.
    Forgejo {
        /// Whether pushes never drop commits, which Forgejo doesn't say.
        assume_no_force_push: bool,
    },
    /// Bitbucket Cloud and Data Center.
    Bitbucket,
    /// Whoever follows the Standard Webhooks specification, or uses Svix.
    Standard {
        /// How its deliveries are signed.
        auth: standard::Auth,
        /// Where its bodies say what they are about.
        fields: generic::Fields,
    },
    /// `MinIO`, Ceph, and whoever sends S3 event records with a token, or name and password.
    S3 {
        /// How its deliveries are authenticated.
        auth: generic::Auth,
        /// How keys are written in them.
        keys: s3::Keys,
    },
    /// `CloudEvents` over HTTP, with a token, or name and password.
    Cloudevents {
        /// How its deliveries are authenticated.
        auth: generic::Auth,
        /// The origins that may be sent from, where senders ask by `OPTIONS`.
        allowed_origins: Vec<String>,
        /// Where its data says what it is about.
        fields: generic::Fields,
    },
    /// Contentful.
    Contentful {
        /// The path that Contentful sends to, where a proxy changes it.
        external_path: Option<String>,
    },
    /// Sanity.
    Sanity,
    /// Netlify.
    Netlify,
    /// Vercel.
    Vercel,
    /// Anybody: a token, name and password, or a MAC in a header.
    Generic {
        /// How its deliveries are authenticated.
        auth: generic::Auth,
        /// Where its bodies say what they are about.
        fields: generic::Fields,
    },
}

impl Kind {
    /// The kind's name in the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab { .. } => "gitlab",
            Self::Gitea { .. } => "gitea",
            Self::Forgejo { .. } => "forgejo",
            Self::Bitbucket => "bitbucket",
            Self::Standard { .. } => "standard",
            Self::S3 { .. } => "s3",
            Self::Cloudevents { .. } => "cloudevents",
            Self::Contentful { .. } => "contentful",
            Self::Sanity => "sanity",
            Self::Netlify => "netlify",
            Self::Vercel => "vercel",
            Self::Generic { .. } => "generic",
        }
    }

    /// How deliveries to `path` are authenticated.
    pub(super) fn scheme(&self, path: &str) -> Scheme {
        match self {
            Self::Github => Scheme::Mac(github::mac()),
            Self::Gitlab { auth, .. } => gitlab::scheme(*auth),
            Self::Gitea { .. } => Scheme::Mac(Mac::of_body("x-gitea-signature", "")),
            Self::Forgejo { .. } => Scheme::Mac(Mac::of_body("x-forgejo-signature", "")),
            Self::Bitbucket => Scheme::Mac(bitbucket::mac()),
            Self::Standard { auth, .. } => standard::scheme(*auth),
            Self::Contentful { external_path } => {
                Scheme::Contentful(external_path.as_deref().unwrap_or(path).to_owned())
            }
            Self::Sanity => Scheme::Mac(sanity::mac()),
            Self::Netlify => Scheme::Netlify,
            Self::Vercel => Scheme::Mac(vercel::mac()),
            Self::S3 { auth, .. } | Self::Cloudevents { auth, .. } | Self::Generic { auth, .. } => {
                generic::scheme(auth)
            }
        }
    }

    /// The events that count where the configuration names none: those after the deploy, where the
    /// kind has such. Empty for all.
    #[must_use]
    pub const fn default_events(&self) -> &'static [&'static str] {
        match self {
            Self::Github => &github::DEFAULT_EVENTS,
            Self::Gitlab { .. } => &gitlab::DEFAULT_EVENTS,
            Self::Gitea { .. } => &gitea::GITEA_DEFAULT_EVENTS,
            Self::Forgejo { .. } => &gitea::FORGEJO_DEFAULT_EVENTS,
            Self::Bitbucket => &bitbucket::DEFAULT_EVENTS,
            Self::S3 { .. } => &s3::DEFAULT_EVENTS,
            Self::Contentful { .. } => &contentful::DEFAULT_EVENTS,
            Self::Netlify => &netlify::DEFAULT_EVENTS,
            Self::Vercel => &vercel::DEFAULT_EVENTS,
            Self::Standard { .. }
            | Self::Cloudevents { .. }
            | Self::Sanity
            | Self::Generic { .. } => &[],
        }
    }

    /// The events that can be configured; `None` where the kind has no list of them.
    #[must_use]
    pub const fn known_events(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Github => Some(&github::EVENTS),
            Self::Gitlab { .. } => Some(&gitlab::EVENTS),
            Self::Gitea { .. } => Some(&gitea::GITEA_EVENTS),
            Self::Forgejo { .. } => Some(&gitea::FORGEJO_EVENTS),
            Self::Bitbucket => Some(&bitbucket::EVENTS),
            _ => None,
        }
    }

    /// What an event's name is like, where this is none that the kind could send.
    #[must_use]
    pub fn never_sends(&self, event: &str) -> Option<String> {
        let begins = |start: &str| match event.strip_suffix('*') {
            Some(pattern) => pattern.starts_with(start) || start.starts_with(pattern),
            None => event.starts_with(start),
        };
        match self {
            Self::Netlify if !netlify::STATES.iter().any(|state| matches(event, state)) => {
                Some(format!(
                    "a deploy's state, such as {}",
                    netlify::DEFAULT_EVENTS.join(", ")
                ))
            }
            Self::Contentful { .. } if !begins(contentful::TOPICS) => Some(format!(
                "a topic such as {}Entry.publish",
                contentful::TOPICS
            )),
            // Configurations of buckets have the prefix, and most records do not.
            Self::S3 { .. }
                if !s3::FAMILIES
                    .iter()
                    .any(|family| begins(family) || begins(&format!("{}{family}", s3::PREFIX))) =>
            {
                Some(format!(
                    "an event of S3, such as {}",
                    s3::DEFAULT_EVENTS.join(", ")
                ))
            }
            Self::Vercel if !vercel::FAMILIES.iter().any(|family| begins(family)) => Some(format!(
                "an event of Vercel, such as {}",
                vercel::DEFAULT_EVENTS.join(", ")
            )),
            _ => None,
        }
    }

    /// Those of its events that tell of the end of a run, so that `workflows` may say which runs count.
    #[must_use]
    pub const fn run_events(&self) -> &'static [&'static str] {
        match self {
            Self::Github => &github::RUNS,
            Self::Gitlab { .. } => &gitlab::RUNS,
            Self::Gitea { .. } => &gitea::GITEA_RUNS,
            Self::Forgejo { .. } => &gitea::FORGEJO_RUNS,
            Self::Bitbucket => &bitbucket::RUNS,
            _ => &[],
        }
    }

    /// Those of its events that name an environment, so that `environments` may say which count.
    #[must_use]
    pub const fn deployment_events(&self) -> &'static [&'static str] {
        match self {
            Self::Github => &github::DEPLOYMENTS,
            Self::Gitlab { .. } => &gitlab::DEPLOYMENTS,
            Self::Netlify => &netlify::STATES,
            _ => &[],
        }
    }

    /// Whether it is a forge, whose repositories have an owner and a name.
    #[must_use]
    pub const fn is_forge(&self) -> bool {
        self.known_events().is_some()
    }

    /// Whether an event is sent when something is pushed, which is before it is deployed.
    #[must_use]
    pub fn is_push(&self, event: &str) -> bool {
        self.known_events().is_some()
            && matches!(
                event,
                "push" | "tag_push" | "repo:push" | "repo:refs_changed"
            )
    }

    /// Whether some of its events list the files that changed.
    #[must_use]
    pub const fn lists_files(&self) -> bool {
        !matches!(
            self,
            Self::Bitbucket | Self::Contentful { .. } | Self::Netlify | Self::Vercel
        )
    }

    /// Whether none of its lists of files is ever trusted, since nobody says that pushes are not
    /// forced.
    #[must_use]
    pub const fn distrusts_lists(&self) -> bool {
        matches!(
            self,
            Self::Gitlab {
                assume_no_force_push: false,
                ..
            } | Self::Gitea {
                assume_no_force_push: false
            } | Self::Forgejo {
                assume_no_force_push: false
            }
        )
    }

    /// Whether its deliveries name a repository (bucket, space, site, source).
    #[must_use]
    pub const fn names_repository(&self) -> bool {
        match self {
            Self::Standard { fields, .. } | Self::Generic { fields, .. } => {
                fields.repository.is_some()
            }
            Self::Sanity => false,
            _ => true,
        }
    }

    /// Whether its deliveries name a branch.
    #[must_use]
    pub const fn names_branch(&self) -> bool {
        match self {
            Self::Standard { fields, .. }
            | Self::Cloudevents { fields, .. }
            | Self::Generic { fields, .. } => fields.branch.is_some(),
            Self::S3 { .. } | Self::Contentful { .. } | Self::Sanity => false,
            _ => true,
        }
    }

    /// Whether its deliveries name an event.
    #[must_use]
    pub const fn names_event(&self) -> bool {
        match self {
            Self::Standard { fields, .. } | Self::Generic { fields, .. } => fields.event.is_some(),
            Self::Sanity => false,
            _ => true,
        }
    }

    /// What is purged where the configuration doesn't say.
    #[must_use]
    pub const fn default_purge(&self, has_origins: bool) -> Purge {
        match self {
            // Their bodies say it.
            Self::Generic { .. } | Self::Standard { .. } | Self::Cloudevents { .. } => Purge::Files,
            _ if has_origins => Purge::Scan,
            // What a bucket's events list is complete.
            Self::S3 { .. } => Purge::Files,
            _ => Purge::All,
        }
    }

    pub(super) fn read(&self, input: &Input<'_>) -> Result<Reading, Unreadable> {
        match self {
            Self::Github => github::read(input),
            Self::Gitlab {
                assume_no_force_push,
                auth,
            } => gitlab::read(input, *auth, *assume_no_force_push),
            Self::Gitea {
                assume_no_force_push,
            } => gitea::read(input, gitea::Flavour::Gitea, *assume_no_force_push),
            Self::Forgejo {
                assume_no_force_push,
            } => gitea::read(input, gitea::Flavour::Forgejo, *assume_no_force_push),
            Self::Bitbucket => bitbucket::read(input),
            Self::Standard { fields, .. } => standard::read(input, fields),
            Self::S3 { keys, .. } => s3::read(input, *keys),
            Self::Cloudevents { fields, .. } => cloudevents::read(input, fields),
            Self::Contentful { .. } => contentful::read(input),
            Self::Sanity => sanity::read(input),
            Self::Netlify => netlify::read(input),
            Self::Vercel => vercel::read(input),
            Self::Generic { fields, .. } => generic::read(input, fields),
        }
    }
}
