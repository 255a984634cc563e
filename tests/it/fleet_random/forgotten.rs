//! What a failover may cost: everything is purged once for each node that ended with commits in its memory which the
//! new server has not.

use std::time::Duration;

use super::history::{NODES, Sort};
use super::judge::{Cause, EVERYTHING, Trouble};

/// A node that nothing hinders has reached the new server after this time, and committed again what it has forgotten.
const REACHED: Duration = Duration::from_secs(8);

/// The purges of everything that these troubles allow.
pub(super) fn losses(troubles: &[Trouble]) -> Vec<Cause> {
    let failovers = troubles.iter().filter(|one| one.sort == Sort::Failover);
    let of = |failover: &Trouble| {
        let nodes = 0..NODES;
        let lose = nodes.filter(|node| loses(troubles, failover, *node));
        lose.count()
    };
    let losses = failovers.map(|failover| Cause {
        asset: EVERYTHING.to_owned(),
        at: failover.to,
        purges: of(failover),
        promised: false,
        delivered: true,
    });
    losses.collect()
}

/// Whether a node ended after the standby was behind, and before it had reached it.
fn loses(troubles: &[Trouble], failover: &Trouble, node: usize) -> bool {
    let hinder = |one: &&Trouble| one.node.is_none_or(|of| of == node);
    let mut troubles: Vec<&Trouble> = troubles.iter().filter(hinder).collect();
    troubles.sort_by_key(|one| one.from);
    let mut reached = failover.to.after(REACHED);
    for one in troubles {
        let ended_by = match one.sort {
            Sort::Killed => Some(one.from),
            Sort::Stopped => Some(one.to),
            _ => None,
        };
        if one.from > reached {
            return false;
        }
        if ended_by.is_some_and(|by| by >= failover.from) {
            return true;
        }
        reached = reached.max(one.to.after(REACHED));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgepurge::core::time::Time;

    /// Purges of everything where the standby is behind from second 20 to 25, and a node has another trouble.
    fn purges(sort: Sort, from: u64, to: u64) -> usize {
        let trouble = |sort, node, from: u64, to: u64| Trouble {
            sort,
            node,
            from: Time::from_millis(from * 1_000),
            to: Time::from_millis(to * 1_000),
        };
        let troubles = [
            trouble(Sort::Failover, None, 20, 25),
            trouble(Sort::Halted, Some(1), 22, 40),
            trouble(sort, Some(1), from, to),
        ];
        losses(&troubles).iter().map(|loss| loss.purges).sum()
    }

    #[test]
    fn everything_may_be_purged_for_a_node_that_ended_before_it_had_reached_the_new_server() {
        assert_eq!(purges(Sort::Killed, 21, 24), 1);
        assert_eq!(purges(Sort::Killed, 45, 50), 1, "it was halted");
        assert_eq!(
            purges(Sort::Killed, 15, 50),
            0,
            "the standby had everything"
        );
        assert_eq!(
            purges(Sort::Killed, 50, 51),
            0,
            "it had reached the new server"
        );
        assert_eq!(purges(Sort::Cut, 21, 24), 0);
    }
}
