//! Numbers of rounds and asks. What a failover has forgotten of them may still be in the memory of a node, so a
//! number that comes again must not look like the one that it was.

/// The lowest bits of a number, which are random.
const RANDOM: u32 = 20;

/// A number after this one.
pub(super) fn after(last: u64) -> u64 {
    (((last >> RANDOM) + 1) << RANDOM) | fastrand::u64(..1 << RANDOM)
}
