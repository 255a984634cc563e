//! The other names of files: of a file that got another name, the older ones are looked for; of a
//! changed file with several, all others. Bounded.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::core::time::Time;
use crate::origin::tree::fingerprint::Stat;

/// New names of known files are collected for so long: a deploy links many.
const WAIT: Duration = Duration::from_millis(500);
/// More of them than this are left to a scan.
const TWINS: usize = 65_536;
/// Changes of files with many names whose other names were asked for, that are remembered.
const ASKED: usize = 1_024;

/// Files whose other names are to be looked at.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// Inodes that have got another name.
    new: BTreeSet<u64>,
    /// When their older names are looked for.
    due: Option<Time>,
    /// Changes, by inode and ctime, whose other names were asked for.
    asked: BTreeSet<(u64, i64)>,
}

impl Twins {
    /// A file has got another name. `false`: there are too many, and a scan has to find them.
    pub(super) fn add(&mut self, inode: u64, now: Time) -> bool {
        self.new.insert(inode);
        self.due.get_or_insert(now.after(WAIT));
        if self.new.len() <= TWINS {
            return true;
        }
        self.new.clear();
        self.due = None;
        false
    }

    /// Whether the other names of a changed file are still to be asked for: each of them is changed
    /// too, and would ask for all others.
    pub(super) fn ask(&mut self, stat: &Stat) -> bool {
        if self.asked.len() >= ASKED {
            self.asked.clear();
        }
        self.asked.insert((stat.inode, stat.ctime_ns))
    }

    /// The files whose older names are looked for now.
    pub(super) fn take_due(&mut self, now: Time) -> Option<BTreeSet<u64>> {
        self.due.take_if(|due| *due <= now)?;
        Some(std::mem::take(&mut self.new))
    }

    pub(super) const fn wakes_at(&self) -> Option<Time> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000_000);

    #[test]
    fn new_names_are_collected_from_the_first_on() {
        let mut twins = Twins::default();
        assert!(twins.add(1, NOW) && twins.add(2, NOW.after(WAIT / 2)));
        assert_eq!(twins.wakes_at(), Some(NOW.after(WAIT)));
        assert_eq!(twins.take_due(NOW), None);
        assert_eq!(twins.take_due(NOW.after(WAIT)), Some([1, 2].into()));
        assert_eq!(twins.wakes_at(), None);
    }

    #[test]
    fn too_many_new_names_are_left_to_a_scan() {
        let mut twins = Twins::default();
        assert!((0..TWINS as u64).all(|inode| twins.add(inode, NOW)));
        assert!(!twins.add(u64::MAX, NOW));
        assert_eq!(twins.wakes_at(), None);
    }

    #[test]
    fn one_change_asks_for_its_other_names_once() {
        let mut twins = Twins::default();
        let stat = Stat::default();
        assert!(twins.ask(&stat) && !twins.ask(&stat));
        let ctime_ns = 1;
        assert!(twins.ask(&Stat { ctime_ns, ..stat }));
    }
}
