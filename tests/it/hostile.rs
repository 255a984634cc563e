//! Hostile surroundings: too few watches, filesystems without events, mounts, full disks, lost events,
//! roots that come and go. Whatever it is: no change is lost, and nothing is purged that did not change.

mod closed;
mod disk;
mod group;
mod hung;
mod limits;
mod links;
mod losses;
pub(crate) mod machine;
mod mounts;
mod roots;
mod silent;
mod unreadable;
mod webs;
