//! What the parts of a worker share, and none of them changes.

use std::sync::Arc;

use super::End;
use super::batch::Committer;
use crate::clock::Clock;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::origin::index::{IndexError, OriginIndex};
use crate::origin::settings::OriginSettings;
use crate::origin::status::OriginStatus;
use crate::origin::tree::ignore::Ignore;
use crate::origin::watch::inbox::Inbox;

/// The settings, and the ways out of the worker.
pub(super) struct Context {
    pub(super) settings: OriginSettings,
    pub(super) ignore: Arc<Ignore>,
    pub(super) committer: Committer,
    pub(super) inbox: Arc<Inbox>,
    pub(super) clock: Clock,
    pub(super) published: tokio::sync::watch::Sender<OriginStatus>,
}

impl Context {
    pub(super) const fn index(&self) -> &OriginIndex {
        &self.committer.index
    }

    /// A scan, or a flood of hints, begins or ends: the pipeline's batch is held open meanwhile.
    pub(super) fn scanning(&self, begins: bool) {
        self.committer
            .sink
            .scanning(&self.settings.pipeline, begins);
    }

    /// Writes to the index, for as long as it takes.
    pub(super) fn write<T>(
        &self,
        write: impl Fn(&OriginIndex) -> Result<T, IndexError>,
    ) -> Result<T, End> {
        let mut trouble = self.trouble_reporter();
        Ok(self.committer.write(&mut trouble, write)?)
    }

    pub(super) fn trouble_reporter(&self) -> impl FnMut(Option<String>) + use<> {
        commit_trouble_reporter(&self.published, &self.settings.name)
    }
}

/// Raises the alarm of an origin while its changes can't be committed; `None` ends it.
pub(in crate::origin) fn commit_trouble_reporter(
    published: &tokio::sync::watch::Sender<OriginStatus>,
    origin: &Arc<str>,
) -> impl FnMut(Option<String>) + use<> {
    let published = published.clone();
    let origin = Arc::clone(origin);
    move |why| {
        let Some(why) = why else {
            published.send_if_modified(|status| {
                let before = status.alarms.len();
                status
                    .alarms
                    .retain(|alarm| alarm.reason != AlarmKind::Commit);
                before != status.alarms.len()
            });
            return;
        };
        let text = format!(
            "changes of origin `{origin}` are not committed yet, and nothing is lost: {why}; tried again until it works"
        );
        published.send_if_modified(|status| {
            let mut alarms = status.alarms.iter();
            if alarms.any(|alarm| alarm.reason == AlarmKind::Commit) {
                return false;
            }
            status.alarms.push(Alarm::new(AlarmKind::Commit, &text));
            true
        });
    }
}
