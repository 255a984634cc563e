//! Alarms: what an operator should act on. Every kind is one line of the table below.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// One thing an operator should act on, until it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The name of the pipeline that it is about, set where alarms of several are listed; `None`: all
    /// pipelines.
    pub pipeline: Option<String>,
    /// The node that reports it; `None`: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The name of the node that it is about, where that is another one than reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The name of the origin that it is about, set as the pipeline's is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Its kind: a short word, the label of the metric.
    pub reason: AlarmKind,
    /// What, where and why.
    pub text: String,
    /// Since when, where the part that raises it knows; set for all where alarms of several are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What it means for the site.
    #[serde(default)]
    pub meaning: String,
    /// What to do.
    #[serde(default)]
    pub remedy: String,
    /// The place in the configuration that it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A line of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What stands for the pipeline's name in the remedies,
const NAME: &str = "{pipeline}";
/// and for that of the node that an alarm is about.
const NODE: &str = "{node}";

impl Alarm {
    /// An alarm that does not name its pipeline and origin yet.
    #[must_use]
    pub fn new(reason: AlarmKind, text: impl Into<String>) -> Self {
        Self {
            pipeline: None,
            node: None,
            about: None,
            origin: None,
            reason,
            text: text.into(),
            since: None,
            meaning: reason.meaning().to_owned(),
            remedy: reason.remedy().to_owned(),
            place: None,
        }
    }

    /// What is wrong, and what is to be done, in a line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}; to do: {}", self.text, self.remedy)
    }

    /// The names of the node that reports it, and of the node and the pipeline that it is about: `web-2: www: `.
    #[must_use]
    pub fn whose(&self) -> String {
        let named = |name: &Option<String>| name.as_ref().map(|name| format!("{name}: "));
        [&self.node, &self.about, &self.pipeline]
            .map(named)
            .map(Option::unwrap_or_default)
            .concat()
    }

    /// The same, since then.
    #[must_use]
    pub fn since(self, since: Time) -> Self {
        Self {
            since: Some(since),
            ..self
        }
    }

    /// The same, about another node.
    #[must_use]
    pub fn about_node(self, name: &str) -> Self {
        Self {
            about: Some(name.to_owned()),
            remedy: self.remedy.replace(NODE, name),
            ..self
        }
    }

    /// The same, with the pipeline's name.
    #[must_use]
    pub fn of_pipeline(self, name: &str) -> Self {
        Self {
            pipeline: Some(name.to_owned()),
            remedy: self.remedy.replace(NAME, name),
            ..self
        }
    }
}

/// Makes [`AlarmKind`] of a table: the kind, its word, whether it stalls purges, what it means for the
/// site, and what to do.
macro_rules! alarm_kinds {
    ($($(#[$text:meta])+ $kind:ident $word:literal $stalls:literal: $meaning:literal; $remedy:literal,)+) => {
        /// The kinds of alarms.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AlarmKind {
            $($(#[$text])+ #[serde(rename = $word)] $kind,)+
        }

        impl AlarmKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The word for it in logs, metrics and output.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }

            /// What it means for the site, as a sentence without its full stop.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$kind => $meaning,)+
                }
            }

            /// What to do about it. `{pipeline}` stands for the pipeline's name, `{node}` for that of the node that
            /// it is about.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$kind => $remedy,)+
                }
            }

            /// Whether it says why what is queued or in flight stays so.
            #[must_use]
            pub const fn stalls(self) -> bool {
                match self {
                    $(Self::$kind => $stalls,)+
                }
            }
        }
    };
}

alarm_kinds! {
    /// The file of the configuration is refused, and the configuration of before is at work.
    Config "config" false:
        "the configuration from before is at work; changes are purged as it says";
        "correct what it names (`edgepurge check`, `check --online`), then `systemctl reload edgepurge`; what only a restart changes takes that",
    /// A secret was replaced while a copy of the old one is in use.
    Credential "credential" false:
        "a copy of the old secret is in use until a restart";
        "`systemctl restart edgepurge`",
    /// The certificate of the webhook listener ends soon or has ended, or its files can't be read.
    Certificate "certificate" false:
        "webhooks are taken with the certificate from before; once it has expired, senders refuse it and no delivery comes";
        "renew the certificate, and correct what `edgepurge check` says of its files; it goes on by itself",
    /// The database's server can't be reached, or does not work now.
    Store "store" true:
        "webhooks are refused with 503 and come again, changes of files are kept in memory; nothing is purged";
        "mend what the reason says: the server, its network, the URL in database_url_file; it goes on by itself",
    /// A node of the fleet died, or is cut off.
    Silent "silent" false:
        "changes of files there are not noticed, and other nodes do not wait for it; visitors may get old files from it";
        "start it, or mend what cuts it off from the database; if it will not come back: `edgepurge node forget {node}`",
    /// The nodes of a fleet have different configurations.
    ConfigDiffers "config_differs" false:
        "what is noticed on one node is purged by other rules or limits than on another";
        "compare `edgepurge check --print` of nodes on two sides of a bar, give all the same configuration, then `systemctl reload edgepurge` on those that had another",
    /// The clock of this machine, or of this process, is not that of the database.
    Clock "clock" false:
        "times in the log, or all that are shown, are wrong; who leads and what is purged depends on no clock";
        "set the clocks right by NTP; after a failover to a server with another clock, `systemctl restart edgepurge`",
    /// The announcements of the database's server do not arrive.
    Listen "listen" false:
        "what other nodes do is noticed up to two seconds later; nothing is lost";
        "let database_url_file lead to PostgreSQL itself, or to a pooler in session mode; it goes on by itself",
    /// The database's server has forgotten commits, which were committed again.
    Replication "replication" false:
        "nothing is lost, since this node had them in memory; had it died with the server, its changes would be";
        "replicate synchronously: name the standbys in synchronous_standby_names; it is over after an hour",
    /// The API does not answer, or answers with an error of its own.
    Api "api" true:
        "nothing is purged until the API answers; changes wait on disk, none is lost";
        "if it lasts: look at the vendor's status page, and at the network and DNS of this machine; it goes on by itself",
    /// The API limits the rate again and again.
    RateLimited "rate_limited" true:
        "purges take longer; changes wait on disk, none is lost";
        "lower requests_per_second if this repeats, or find out what else calls the API for this organization; it goes on by itself",
    /// The API does not accept the secret key.
    Unauthorized "unauthorized" true:
        "nothing is purged; changes wait on disk, none is lost";
        "replace the secret key by a valid one; it goes on by itself once that is read",
    /// The secret key may not purge this pipeline.
    Forbidden "forbidden" true:
        "nothing of this pipeline is purged, its changes wait on disk; other pipelines go on";
        "give the key's IAM application EdgeServicesFullAccess in the project of the pipeline, or correct `id`; it goes on by itself",
    /// The API takes no purge of this pipeline yet.
    Unready "unready" true:
        "nothing of this pipeline is purged, its changes wait on disk; other pipelines go on";
        "look at the pipeline in the console: it may be locked, over its quota or being changed; it goes on by itself",
    /// Several purge requests in a row came to nothing.
    Fruitless "fruitless" true:
        "what changed may be stale at the edge; it is tried again without end";
        "look at the last purge requests: `edgepurge requests list`; if the API is at fault, ask the vendor with the request's id",
    /// A purge request is pending for too long.
    Overdue "overdue" true:
        "what the request purges may be stale at the edge; it is waited for and not sent again";
        "ask the vendor about the request, then `edgepurge retry {pipeline}`, or purge its assets",
    /// The status of a purge request can't be asked for.
    Untracked "untracked" true:
        "whether the request is done is not known; it goes on asking";
        "if it lasts: look at the vendor's status page, and whether the key may read purge requests",
    /// Assets are given up.
    Failed "failed" false:
        "the edge may keep old bytes of these assets";
        "mend what the reason says, then `edgepurge retry {pipeline}`",
    /// The whole cache is purged again and again.
    AllRepeats "all_repeats" false:
        "the whole cache is emptied again and again, and the origin has to serve more";
        "find out what rewrites the origin (`edgepurge explain /ASSET`), or raise all_above",
    /// The queue takes nothing more.
    QueueFull "queue_full" false:
        "what changes now waits, files where they are and webhooks at their senders; nothing is lost";
        "let the queue drain, or purge everything: `edgepurge purge {pipeline} --all`, or give it up: `edgepurge drop {pipeline}`",
    /// Files are not the same on this node and on others, and stay so.
    Diverged "diverged" false:
        "visitors get what the edge happened to fetch, from one node or another; a change of these files is purged, and not waited for";
        "build such files once and copy them, deploy again to a node that is behind, or put what differs on purpose into `ignore`; it goes on by itself when they are the same",
    /// A bucket can't be listed, or its objects not be read.
    Bucket "bucket" false:
        "changes of the bucket are not noticed, and its index is kept; other origins go on";
        "mend what the reason says: the key, its rights, the bucket's name or region; it goes on by itself",
    /// A bucket is served in a way that the configuration does not purge.
    Website "website" false:
        "what a document of the website answers for is not purged with it, and may be stale at the edge";
        "write what the reason says into the configuration, `systemctl reload edgepurge`, then `edgepurge purge {pipeline} --all`",
    /// Changes of an origin can't be committed.
    Commit "commit" false:
        "changes of the origin are kept in memory and tried again; they are not purged yet";
        "mend what the reason says: the disk of the state directory, or the PostgreSQL; it goes on by itself",
    /// The filesystem of an origin does not answer.
    Hung "hung" false:
        "changes of the origin are not noticed; other origins go on";
        "mend the filesystem or its server, or unmount it; it goes on by itself",
    /// Links lead to a directory in too many ways.
    Links "links" false:
        "changes behind some of the links are purged under some of their names only";
        "lead fewer links to the directory, or set follow_symlinks = \"no\"",
    /// So many files of an origin are gone at once that they are held back.
    Loss "loss" false:
        "nothing of what is gone is purged; what is there is watched as before";
        "put the files back, or accept the loss: `edgepurge scan {pipeline} --apply --accept-loss`",
    /// The root of an origin is not there.
    RootMissing "root_missing" false:
        "nothing of the origin is purged, and its index is kept; webhooks that ask for a scan wait for it, other origins go on";
        "put it back, or correct `root`; it goes on by itself",
    /// Directories or files of an origin can't be read.
    Unreadable "unreadable" false:
        "changes in what can't be read are not purged, or are noticed by size and times only";
        "let the user of the service read it, in one of the ways that are named",
    /// An origin can't be watched.
    Watch "watch" false:
        "changes are found by scans every few seconds, and not at once";
        "mend what the reason says; it goes on by itself",
    /// Some directories of an origin can't be watched, since a limit of the system is reached.
    WatchLimit "watch_limit" false:
        "changes in these directories are found by scans, and not at once";
        "raise the limit: `sysctl fs.inotify.max_user_watches=524288`, and in /etc/sysctl.d/ for good",
}

impl AlarmKind {
    /// Whether each node of a fleet raises it, since each finds it in what they share.
    #[must_use]
    pub const fn is_everyones(self) -> bool {
        matches!(self, Self::Failed | Self::ConfigDiffers | Self::Silent)
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
