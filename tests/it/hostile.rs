//! Hostile surroundings: too few watches, filesystems without events, mounts, full disks, lost events,
//! roots that come and go. Whatever it is: no change is lost, and nothing is purged that did not change.

mod closed;
mod disk;
mod group;
mod hung;
pub(crate) mod limits;
mod links;
pub(crate) mod losses;
pub(crate) mod machine;
mod mounts;
mod roots;
mod silent;
pub(crate) mod unreadable;
mod webs;
