//! What an origin knew of its surroundings when it was last looked at as a whole, for the next start:
//! numbers of devices may be others after a reboot, and what was mounted may not be any more.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::mounts::Mounts;

/// What is kept in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::origin) struct Surroundings {
    /// The kernel's id of the boot.
    boot: String,
    /// The device that the root was on.
    device: u64,
    /// What was mounted in the origin, as paths below its root; the root itself is empty.
    pub(in crate::origin) mounted: Vec<Vec<u8>>,
}

impl Surroundings {
    /// As they are now. `root`: with no link on the way.
    pub(in crate::origin) fn now(root: &Path, device: u64, mounts: &Mounts) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let mut mounted: Vec<_> = mounts.names_below(root).collect();
        mounted.sort();
        mounted.dedup();
        Self {
            boot: boot.unwrap_or_default().trim().to_owned(),
            device,
            mounted,
        }
    }

    /// The number that the root's device had, and the one that it has since this boot.
    pub(in crate::origin) fn renumbered(&self, now: &Self) -> Option<(u64, u64)> {
        let other_boot = self.boot != now.boot && !self.boot.is_empty();
        (other_boot && self.device != now.device).then_some((self.device, now.device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_renumbered_by_a_reboot_only() {
        let at = |boot: &str, device| Surroundings {
            boot: boot.to_owned(),
            device,
            mounted: Vec::new(),
        };
        assert_eq!(at("a", 1).renumbered(&at("b", 2)), Some((1, 2)));
        for (before, now) in [
            (at("a", 1), at("a", 2)),
            (at("a", 1), at("b", 1)),
            (at("", 1), at("b", 2)),
        ] {
            assert_eq!(before.renumbered(&now), None);
        }
    }
}
