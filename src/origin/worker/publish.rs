//! What the worker reports of itself: its status, and its alarms.

use super::{End, Worker, losses};
use crate::core::alarm::{Alarm, AlarmKind};

impl Worker {
    pub(super) fn count_files(&mut self) -> Result<(), End> {
        self.report.set_files(self.context.index().files()?);
        Ok(())
    }

    /// Files can be read that could not be: there is more to read in the background.
    pub(super) fn count_regained(&mut self) -> Result<(), End> {
        let walking = self.scans.is_walking();
        if !walking && self.denied.take_regained() {
            self.reading.recount(&self.context)?;
        }
        Ok(())
    }

    pub(super) fn publish(&mut self) {
        let alarms = self.alarms();
        let unwatched = self.context.inbox.unwatched.summary();
        let polling = self.polls_all() || unwatched.some;
        let scanning = self.scans.is_walking();
        let scanned = self.scans.walked_files();
        self.report.publish(|status| {
            status.polling = polling;
            status.unwatched_directories = unwatched.directories;
            status.watched_directories =
                self.watching.watch().map_or(0, |watch| watch.directories());
            // Without a watch it is polled, or not to be watched.
            status.armed = self.presence.is_there() && status.last_scan.is_some();
            status.unfollowed_directories = self.names.unfollowed();
            status.scanning = scanning;
            status.scanned_files = scanned;
            status.alarms = alarms;
            self.reading.count(status);
            self.denied.count(status);
        });
        // After that: what waits until all is noticed, and then asks for alarms, finds them.
        let waits = self.scans.is_waiting()
            || self.twins.wakes_at().is_some()
            || !self.watching.is_covered();
        self.context.inbox.rest(waits);
    }

    fn alarms(&mut self) -> Vec<Alarm> {
        let limit = self.context.inbox.unwatched.summary().limit.then(|| {
            format!(
                "not every directory of origin `{}` can be watched: the limit of inotify watches is reached; the others are looked at every few seconds; raise the sysctl fs.inotify.max_user_watches, it is taken up by itself",
                self.context.settings.name
            )
        });
        let scanning = self.scans.is_walking() || self.scans.is_waiting();
        let links = self.names.alarm(&self.context, scanning);
        let alarms = [
            (AlarmKind::RootMissing, self.presence.trouble().cloned()),
            (
                AlarmKind::Loss,
                self.report
                    .held()
                    .map(|held| losses::alarm(&self.context, self.names.resolver(), held)),
            ),
            (AlarmKind::WatchLimit, limit),
            (AlarmKind::Watch, self.watching.trouble().cloned()),
            (AlarmKind::Links, links),
            (
                AlarmKind::Unreadable,
                self.denied.alarm(&self.context, self.names.resolver()),
            ),
        ];
        let alarms = alarms.into_iter();
        let alarms = alarms.filter_map(|(kind, text)| Some(Alarm::new(kind, text?)));
        alarms.collect()
    }
}
