//! What is mounted below a root, and what that says of stats: numbers of devices that a reboot has
//! changed, and files whose stat says nothing since another filesystem may have taken their place.

use std::path::Path;

use super::End;
use super::context::Context;
use super::doubt::Doubt;
use super::losses::Losses;
use crate::origin::index::Row;
use crate::origin::tree::guard::Root;
use crate::origin::tree::mounts::Mounts;
use crate::origin::tree::surroundings::Surroundings;
use crate::origin::watch::inbox::Inbox;

/// The filesystems of an origin.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    /// What is mounted below the root.
    mounts: Mounts,
    /// Files that the next scan has to read, whatever their stat says.
    doubt: Doubt,
    /// The root's device had the first number before the reboot, and has the second.
    renumbered: Option<(u64, u64)>,
    /// What was kept for the next start.
    kept: String,
}

impl Filesystems {
    /// The root is there for the first time.
    pub(super) fn begin(&mut self, root: &Root) {
        self.mounts = Mounts::now();
        self.doubt.add_devices(self.mounts.fixed_devices());
        if self.mounts.on_overlay(&root.resolved) {
            self.doubt_all();
        }
    }

    /// The stat of no file says anything.
    pub(super) fn doubt_all(&mut self) {
        self.doubt.add_below([Vec::new()]);
    }

    /// A mount hides files, or shows others, and no event reports it. Returns, if something below the
    /// root is mounted or not any more, where it is not.
    pub(super) fn changed(&mut self, inbox: &Inbox) -> Option<Vec<Vec<u8>>> {
        let now = self.mounts.changed()?;
        let gone: Vec<_> = { self.mounts.gone(&now) }
            .flat_map(|point| names(inbox, point))
            .collect();
        let others: Vec<_> = { now.new_since(&self.mounts) }
            .flat_map(|point| names(inbox, point))
            .collect();
        self.mounts = now;
        if gone.is_empty() && others.is_empty() {
            return None;
        }
        self.doubt.add_below(gone.iter().cloned().chain(others));
        Some(gone)
    }

    /// The places of an origin that something is mounted at, or that lie below such a place.
    pub(super) fn mounted_places(&self, inbox: &Inbox) -> Vec<Vec<u8>> {
        let points = self.mounts.points();
        points.flat_map(|point| names(inbox, point)).collect()
    }

    /// Compares with what the last run knew: a device that a reboot has given another number, and what
    /// was mounted and is not. Returns the latter.
    pub(super) fn compare(&mut self, context: &Context, root: &Root) -> Vec<Vec<u8>> {
        let before = context.index().surroundings().ok().flatten();
        let before: Option<Surroundings> = before.and_then(|text| serde_json::from_str(&text).ok());
        let Some(before) = before else {
            return Vec::new();
        };
        let now = Surroundings::now(&root.resolved, root.id.device(), &self.mounts);
        self.renumbered = before.renumbered(&now);
        let mut gone = before.mounted;
        gone.retain(|place| !now.mounted.contains(place));
        gone
    }

    /// A scan has come to everything: keeps what this run knows for the next.
    pub(super) fn scanned(
        &mut self,
        context: &Context,
        root: Option<&Root>,
        losses: &Losses,
    ) -> Result<(), End> {
        self.renumbered = None;
        let Some(root) = root else { return Ok(()) };
        let mut now = Surroundings::now(&root.resolved, root.id.device(), &self.mounts);
        // What vanished is still waited for.
        now.mounted.extend(losses.vanished().iter().cloned());
        let text = serde_json::to_string(&now).unwrap_or_default();
        if self.kept != text {
            context.write(|index| index.keep_surroundings(&text))?;
            self.kept = text;
        }
        Ok(())
    }

    /// A row, with the number that its device has now.
    pub(super) fn renumber(&self, mut row: Row) -> Row {
        if let Some((before, now)) = self.renumbered
            && row.entry.stat.dev == before
        {
            row.entry.stat.dev = now;
        }
        row
    }

    /// Whether a row is of a device that has another number since a reboot.
    pub(super) fn is_renumbered(&self, row: &Row) -> bool {
        let now = self.renumbered.map(|(_, now)| now);
        now == Some(row.entry.stat.dev)
    }

    pub(super) const fn doubt(&self) -> &Doubt {
        &self.doubt
    }

    /// A scan takes over what is doubted.
    pub(super) fn take_doubt(&mut self) -> Doubt {
        std::mem::take(&mut self.doubt)
    }

    /// A scan was given up with this.
    pub(super) fn give_back(&mut self, doubt: Doubt) {
        self.doubt.add(doubt);
    }
}

/// The names in the origin of a mount point. What is mounted over `/` is below no root.
fn names(inbox: &Inbox, point: &Path) -> Vec<Vec<u8>> {
    if point == Path::new("/") {
        return Vec::new();
    }
    inbox.names_of(point)
}
