//! Files whose stat says nothing: another filesystem may have taken the place of theirs, with the same
//! numbers and times. Until a look has read them, only their hash is known.

use std::collections::BTreeSet;

use crate::origin::tree::paths::below;

/// Which files are doubted.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt {
    /// Everything at or below these paths of the origin.
    below: Vec<Vec<u8>>,
    /// Everything on these devices.
    devices: BTreeSet<u64>,
}

impl Doubt {
    pub(super) fn is_empty(&self) -> bool {
        self.below.is_empty() && self.devices.is_empty()
    }

    /// Whether a file's stat says nothing.
    pub(super) fn covers(&self, path: &[u8], device: u64) -> bool {
        self.devices.contains(&device) || self.below.iter().any(|place| below(path, place))
    }

    pub(super) fn add_below(&mut self, places: impl IntoIterator<Item = Vec<u8>>) {
        self.below.extend(places);
        self.below.sort();
        // What lies below another place is doubted with it.
        self.below.dedup_by(|place, above| below(place, above));
    }

    pub(super) fn add_devices(&mut self, devices: BTreeSet<u64>) {
        self.devices.extend(devices);
    }

    pub(super) fn add(&mut self, other: Self) {
        self.add_below(other.below);
        self.add_devices(other.devices);
    }
}
