//! Partitions: some nodes do not hear some others. Buyers still reach every node.
//!
//! Seen to take hold when no question gets an answer over any link that was cut. Expected: the
//! side with a majority goes on, the other says 503 or 504, and nobody says anything stale.

use super::stage::{Injection, Stage, named};
use client::cluster::ClusterError;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use stock::NodeId;

/// Who is cut off from whom.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// The leader hears nobody, nobody hears it.
    LeaderAlone,
    /// A majority and a minority.
    Halves,
    /// Each node hears a majority, and no two hear the same one. (With three nodes a majority is
    /// oneself and one neighbour: a ring with one link of three cut.)
    MajoritiesRing,
    /// Two halves that only one node hears both of.
    Bridge,
    /// The leader is heard and does not hear: the classic trap for leases.
    LeaderDeaf,
    /// The leader hears and is not heard: others campaign against it.
    LeaderMute,
    /// Of two nodes one does not hear the other.
    OneWay,
}

const SHAPES: [Shape; 7] = [
    Shape::LeaderAlone,
    Shape::Halves,
    Shape::MajoritiesRing,
    Shape::Bridge,
    Shape::LeaderDeaf,
    Shape::LeaderMute,
    Shape::OneWay,
];

/// From whom nothing reaches whom.
type Cuts = BTreeSet<(NodeId, NodeId)>;

/// Cuts the links; healed when they pass again.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let shape = stage.variant(&SHAPES);
    let (_, leader) = stage.followers().await?;
    let (cuts, what) = shape.cuts(leader, &stage.shuffled());
    let network = &stage.cluster.network;
    for (from, to) in &cuts {
        network.cut(*from, *to);
    }
    let probes = cuts.iter().map(|(from, to)| network.probe(*from, *to));
    let silent = join_all(probes).await.iter().all(Option::is_none);
    Ok(Injection::seen(what, silent))
}

impl Shape {
    /// From whom nothing reaches whom among these nodes, in an order that decides who is equal to
    /// whom; and in words.
    fn cuts(self, leader: NodeId, ids: &[NodeId]) -> (Cuts, String) {
        let followers: Vec<NodeId> = ids.iter().copied().filter(|id| *id != leader).collect();
        let alone = named(&[leader]);
        match self {
            Self::LeaderAlone => {
                (between(&[leader], &followers), format!("{alone}, the leader, is alone"))
            }
            Self::Halves => {
                let (one, other) = ids.split_at(ids.len() / 2 + 1);
                (between(one, other), format!("{} without {}", named(one), named(other)))
            }
            Self::MajoritiesRing => {
                (majorities_ring(ids), format!("a ring of majorities: {}", in_order(ids)))
            }
            Self::Bridge => {
                let (bridge, others) = ids.split_at(1);
                let (one, other) = others.split_at(others.len() / 2);
                let sides = format!("{} and {}", named(one), named(other));
                (between(one, other), format!("{sides} only over {}", named(bridge)))
            }
            Self::LeaderDeaf => (
                one_way(&followers, &[leader]),
                format!("{alone}, the leader, hears nobody and is heard"),
            ),
            Self::LeaderMute => (
                one_way(&[leader], &followers),
                format!("{alone}, the leader, hears all and is not heard"),
            ),
            Self::OneWay => (
                one_way(&ids[..1], &ids[1..2]),
                format!("{} does not hear {}", named(&ids[1..2]), named(&ids[..1])),
            ),
        }
    }
}

fn one_way(from: &[NodeId], to: &[NodeId]) -> Cuts {
    from.iter().flat_map(|one| to.iter().map(|other| (*one, *other))).collect()
}

fn between(one: &[NodeId], other: &[NodeId]) -> Cuts {
    one_way(one, other).union(&one_way(other, one)).copied().collect()
}

/// Nodes on a ring, each hearing as many neighbours on both sides as make a majority with it.
fn majorities_ring(ids: &[NodeId]) -> Cuts {
    let count = ids.len();
    let mut cuts = Cuts::new();
    if count == 3 {
        // Neighbours on both sides would be everyone.
        return between(&ids[..1], &ids[1..2]);
    }
    let reach = (count / 2).div_ceil(2);
    for (at, from) in ids.iter().enumerate() {
        for (position, to) in ids.iter().enumerate() {
            let apart = at.abs_diff(position);
            if apart.min(count - apart) > reach {
                cuts.insert((*from, *to));
            }
        }
    }
    cuts
}

fn in_order(ids: &[NodeId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u64) -> Vec<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    #[test]
    fn a_cut_between_two_sides_goes_both_ways() {
        let cuts = between(&ids(2), &[NodeId(3)]);
        let expected = [(1, 3), (2, 3), (3, 1), (3, 2)].map(|(a, b)| (NodeId(a), NodeId(b)));
        assert_eq!(cuts, Cuts::from(expected));
    }

    /// How many others each node hears, the leader, who is node 1, first.
    fn heard(shape: Shape, count: u64) -> Vec<usize> {
        let ids = ids(count);
        let (cuts, _) = shape.cuts(ids[0], &ids);
        let hears = |to: &NodeId| {
            ids.iter().filter(|from| *from != to && !cuts.contains(&(**from, *to))).count()
        };
        ids.iter().map(hears).collect()
    }

    #[test]
    fn each_shape_cuts_what_it_says_and_nothing_else() {
        let of_three_and_five: [(Shape, [usize; 3], [usize; 5]); 7] = [
            (Shape::LeaderAlone, [0, 1, 1], [0, 3, 3, 3, 3]),
            (Shape::Halves, [1, 1, 0], [2, 2, 2, 1, 1]),
            (Shape::MajoritiesRing, [1, 1, 2], [2, 2, 2, 2, 2]),
            (Shape::Bridge, [2, 1, 1], [4, 2, 2, 2, 2]),
            (Shape::LeaderDeaf, [0, 2, 2], [0, 4, 4, 4, 4]),
            (Shape::LeaderMute, [2, 1, 1], [4, 3, 3, 3, 3]),
            (Shape::OneWay, [2, 1, 2], [4, 3, 4, 4, 4]),
        ];
        assert_eq!(of_three_and_five.len(), SHAPES.len());
        for (shape, three, five) in of_three_and_five {
            assert_eq!(heard(shape, 3), three, "{shape:?}");
            assert_eq!(heard(shape, 5), five, "{shape:?}");
        }
    }

    #[test]
    fn on_a_ring_everyone_hears_a_majority_and_no_two_the_same() {
        let nodes = ids(5);
        let cuts = majorities_ring(&nodes);
        let mut majorities = BTreeSet::new();
        for node in &nodes {
            let hears: Vec<NodeId> =
                nodes.iter().filter(|other| !cuts.contains(&(**other, *node))).copied().collect();
            assert_eq!(hears.len(), 3, "node {node} hears {hears:?}");
            majorities.insert(hears);
        }
        assert_eq!(majorities.len(), nodes.len());
    }
}
