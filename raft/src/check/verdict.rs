//! Which replicas to believe. Pure.

use std::collections::BTreeMap;
use stock::NodeId;

/// What the replicas' reports on one applied index add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All who reported have the same state, and they are a majority of all nodes.
    Agreed,
    /// A majority of all nodes has the same state, and these have another.
    Minority {
        /// The majority's hash.
        right: u128,
        /// Who has another.
        wrong: Vec<NodeId>,
    },
    /// States differ, and none of them is a majority's: nobody can say which is right.
    Split,
    /// Too few reported to tell, and they do not contradict one another.
    Unheard,
}

/// Judges the reports of some of `nodes` nodes.
pub(crate) fn judge(reports: &BTreeMap<NodeId, u128>, nodes: usize) -> Verdict {
    let mut having: BTreeMap<u128, usize> = BTreeMap::new();
    for hash in reports.values() {
        *having.entry(*hash).or_default() += 1;
    }
    let differ = having.len() > 1;
    match having.into_iter().find(|(_, count)| *count > nodes / 2) {
        None if differ => Verdict::Split,
        None => Verdict::Unheard,
        Some(_) if !differ => Verdict::Agreed,
        Some((right, _)) => {
            let wrong = reports.iter().filter(|(_, hash)| **hash != right);
            Verdict::Minority { right, wrong: wrong.map(|(id, _)| *id).collect() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(hashes: &[u128], nodes: usize) -> Verdict {
        let reports = (1..).map(NodeId).zip(hashes.iter().copied()).collect();
        judge(&reports, nodes)
    }

    #[test]
    fn the_majority_of_all_nodes_decides_not_of_those_who_reported() {
        // A leader that hears nobody must not take its own word for a majority's.
        assert_eq!(judged(&[7], 3), Verdict::Unheard);
        assert_eq!(judged(&[7, 7], 5), Verdict::Unheard);
        assert_eq!(judged(&[7, 7], 3), Verdict::Agreed);
        assert_eq!(judged(&[7], 1), Verdict::Agreed);
        assert_eq!(judged(&[7, 7, 7], 3), Verdict::Agreed);
        let wrong = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        assert_eq!(judged(&[7, 8, 7], 3), Verdict::Minority { right: 7, wrong: wrong(&[2]) });
        assert_eq!(judged(&[9, 7, 7], 3), Verdict::Minority { right: 7, wrong: wrong(&[1]) });
        assert_eq!(judged(&[7, 8], 3), Verdict::Split);
        assert_eq!(judged(&[7, 8, 9], 3), Verdict::Split);
        assert_eq!(judged(&[7, 7, 8], 5), Verdict::Split);
        let two = Verdict::Minority { right: 7, wrong: wrong(&[2, 4]) };
        assert_eq!(judged(&[7, 8, 7, 9, 7], 5), two);
    }
}
