//! What the worker tells of itself: its status, and its alarms.

use std::sync::Arc;

use super::{End, Worker};
use crate::core::alarm::{Alarm, AlarmKind};
use crate::origin::scan::Running;
use crate::origin::status::{Held, shown};

impl Worker {
    pub(in crate::origin) fn trouble_reporter(&self) -> impl FnMut(Option<String>) + use<> {
        let published = self.published.clone();
        let origin = Arc::clone(&self.settings.name);
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

    fn loss_text(&self, held: &Held) -> String {
        let (origin, pipeline) = (&self.settings.name, &self.settings.pipeline);
        let first = held.first.escape_debug();
        let why = match &held.unmounted {
            Some(place) => format!(
                "the filesystem at {} is not mounted any more, and {} files of origin `{origin}` are gone with it ({first} is the first)",
                self.resolver().real(place.as_bytes()).display(),
                held.files
            ),
            None => format!(
                "{} files of origin `{origin}` are gone at once ({first} is the first), more than {} % of what was there, and too few new ones came in their place",
                held.files, self.settings.max_loss_percent
            ),
        };
        format!(
            "{why}: nothing of that is purged and the index is kept, until the files are back, or `edgepurge scan {pipeline} --apply --accept-loss` says that it is meant so"
        )
    }

    pub(in crate::origin) fn count_files(&mut self) -> Result<(), End> {
        self.status.indexed_files = self.committer.index.files()?;
        Ok(())
    }

    pub(in crate::origin) fn publish(&mut self) {
        let unwatched = self.inbox.unwatched.summary();
        self.status.polling = self.polls_all() || unwatched.some;
        self.status.unwatched_directories = unwatched.directories;
        self.status.watched_directories =
            self.watch.as_ref().map_or(0, |watch| watch.directories());
        let first_scan_done = self.status.last_scan.is_some();
        // Without a watch it is polled, or not to be watched.
        self.status.armed = self.root.is_some() && first_scan_done;
        self.status.unread_files = self.reading.unread;
        self.status.first_unread = self.reading.first.as_deref().map(shown);
        self.status.reading = self.reading.is_busy();
        self.status.scanning = self.running.as_ref().is_some_and(Running::walking);
        let walks = self.running.as_ref().filter(|running| running.walking());
        self.status.scanned_files = walks.map_or(0, Running::files);
        let limit = unwatched.limit.then(|| {
            format!(
                "not every directory of origin `{}` can be watched: the limit of inotify watches is reached; the others are looked at every few seconds; raise the sysctl fs.inotify.max_user_watches, it is taken up by itself",
                self.settings.name
            )
        });
        let held = self.status.held.as_ref().map(|held| self.loss_text(held));
        let links = self.link_alarm();
        self.status.unreadable_directories = self.unreadable.count();
        self.status.unreadable_files = self.unread.count();
        let first = self.unread.first();
        self.status.unreadable_file = first.map(shown);
        let alarms = [
            (AlarmKind::RootMissing, self.root_trouble.clone()),
            (AlarmKind::Loss, held),
            (AlarmKind::WatchLimit, limit),
            (AlarmKind::Watch, self.watch_trouble.clone()),
            (AlarmKind::Links, links),
            (AlarmKind::Unreadable, self.closed_alarm()),
        ];
        let alarms =
            { alarms.into_iter() }.filter_map(|(kind, text)| Some(Alarm::new(kind, text?)));
        self.status.alarms = alarms.collect();
        let status = &self.status;
        self.published.send_if_modified(|old| {
            let differs = old != status;
            if differs {
                old.clone_from(status);
            }
            differs
        });
        // After that: whoever waits until all is noticed, and then asks for alarms, finds them.
        self.inbox
            .rest(self.pending.is_some() || self.twins_due.is_some() || !self.covered);
    }
}
