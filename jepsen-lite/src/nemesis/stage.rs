//! What every nemesis has before it: the cluster, and its own draws.
//!
//! Owns: the choice of variants and victims. Called by each kind of fault.

use super::schedule::Turn;
use super::{Cluster, Effect};
use client::cluster::ClusterError;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::pin::Pin;
use stock::NodeId;

/// One fault's view of the run.
pub(super) struct Stage<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) turn: Turn,
}

/// Puts one fault in place. What it does is taken back by [`Cluster::heal`].
pub(super) type Inject = for<'a> fn(Stage<'a>) -> Injecting<'a>;

/// A fault that is being put in place.
pub(super) type Injecting<'a> =
    Pin<Box<dyn Future<Output = Result<Injection, ClusterError>> + Send + 'a>>;

/// What a nemesis has done.
#[derive(Debug)]
pub(super) struct Injection {
    pub(super) what: String,
    pub(super) effect: Effect,
    pub(super) stay: Stay,
}

/// Whether the fault is in place still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// It is, and is healed after the time that the schedule gives it.
    ForAWhile,
    /// It has passed; what it left behind can be healed at once.
    Over,
}

/// Which links are concerned, both ways of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    All,
    Leaders,
    OneFollowers,
}

impl Whose {
    /// The variants of a fault of links.
    pub(super) const EACH: [Self; 3] = [Self::All, Self::Leaders, Self::OneFollowers];

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::All => "all links",
            Self::Leaders => "the links of the leader",
            Self::OneFollowers => "the links of one follower",
        }
    }
}

impl Injection {
    /// A fault that is in place: installed if it was seen to be.
    pub(super) fn seen(what: String, seen: bool) -> Self {
        let effect = if seen { Effect::Installed } else { Effect::Indeterminate };
        Self { what, effect, stay: Stay::ForAWhile }
    }

    /// A fault that cannot be had here, and why.
    pub(super) fn skipped(why: String) -> Self {
        Self { what: why, effect: Effect::Skipped, stay: Stay::Over }
    }

    /// A fault that has passed by now.
    pub(super) fn over(self) -> Self {
        Self { stay: Stay::Over, ..self }
    }
}

impl Stage<'_> {
    /// One of these, each in its turn, in an order that the seed decides.
    pub(super) fn variant<T: Copy>(&self, variants: &[T]) -> T {
        let mut order = variants.to_vec();
        order.shuffle(&mut StdRng::seed_from_u64(self.turn.kind_seed));
        order[self.turn.earlier % order.len()]
    }

    /// All nodes, in an order that the seed decides.
    pub(super) fn shuffled(&mut self) -> Vec<NodeId> {
        let mut ids = self.cluster.ids();
        ids.shuffle(&mut self.turn.random);
        ids
    }

    /// All nodes but the leader of this moment, in an order that the seed decides; and the leader.
    ///
    /// # Errors
    /// [`ClusterError::Deadline`] when nobody leads.
    pub(super) async fn followers(&mut self) -> Result<(Vec<NodeId>, NodeId), ClusterError> {
        let leader = self.cluster.processes.leader().await?;
        let mut ids = self.shuffled();
        ids.retain(|id| *id != leader);
        Ok((ids, leader))
    }

    /// Whose memory a fault may take: a follower, one at a time. Of three nodes two that forget are
    /// a majority, and what they acknowledged is lost by right.
    ///
    /// # Errors
    /// As [`Stage::followers`].
    ///
    /// # Panics
    /// When a node is there whose memory was damaged before: to heal that fault was to wipe it,
    /// and to wait until the others have sent it everything.
    pub(super) async fn forgetful(&mut self) -> Result<NodeId, ClusterError> {
        let damaged = self.cluster.damaged();
        assert_eq!(damaged, None, "a damaged node is left from an earlier fault");
        let (followers, _) = self.followers().await?;
        Ok(followers[0])
    }

    /// Cuts a node off from all others, both ways.
    pub(super) fn isolate(&self, node: NodeId) {
        for other in self.cluster.ids().into_iter().filter(|other| *other != node) {
            self.cluster.network.cut(node, other);
            self.cluster.network.cut(other, node);
        }
    }

    /// Each way between the leader and the others, or between any two nodes.
    ///
    /// # Errors
    /// As [`Stage::followers`].
    pub(super) async fn links(
        &mut self,
        whose: Whose,
    ) -> Result<Vec<(NodeId, NodeId)>, ClusterError> {
        let (followers, leader) = self.followers().await?;
        let ids = self.cluster.ids();
        let all = ids.iter().flat_map(|from| ids.iter().map(move |to| (*from, *to)));
        let wanted = |from, to| match whose {
            Whose::All => true,
            Whose::Leaders => from == leader || to == leader,
            Whose::OneFollowers => from == followers[0] || to == followers[0],
        };
        Ok(all.filter(|(from, to)| from != to && wanted(*from, *to)).collect())
    }

    /// The least number of nodes that is a majority.
    pub(super) fn majority(&self) -> usize {
        self.cluster.ids().len() / 2 + 1
    }

    /// The most nodes that can be missing while the others go on.
    pub(super) fn minority(&self) -> usize {
        self.cluster.ids().len() - self.majority()
    }
}

/// Such as `nodes 1 and 3`, in order.
pub(super) fn named(ids: &[NodeId]) -> String {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [] => "no node".to_owned(),
        [one] => format!("node {one}"),
        [others @ .., last] => format!("nodes {} and {last}", others.join(", ")),
    }
}
