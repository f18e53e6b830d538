//! Which node a client asks next.
//!
//! Owns: who was silent lately. Never does: ask. Called by the workers.
//!
//! A node that is cut off answers after its deadline only. If every client in turn waited for it,
//! most of a run would be waiting, and little would be seen of what the others do meanwhile. So a
//! node that did not decide in time is asked by a few clients at once, who would see it say
//! anything stale, until it answers promptly again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// An attempt that takes longer without a decision counts as silence.
const PROMPT: Duration = Duration::from_millis(250);
/// The most clients that wait for a silent node at once, while another one is not silent.
const WAITING_MAX: u32 = 2;

/// What clients know of the nodes.
#[derive(Debug)]
pub(super) struct Roster {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    silent: AtomicBool,
    asking: AtomicU32,
}

/// One attempt at a node; over when it is dropped.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    node: &'a Node,
    began: Instant,
    /// The node's position.
    pub(super) position: usize,
}

impl Roster {
    /// So many nodes, none of them silent.
    pub(super) fn new(count: usize) -> Self {
        Self { nodes: (0..count).map(|_| Node::default()).collect() }
    }

    /// Begins an attempt at this node, or at the next one that is not silent when enough clients
    /// wait for this one. When all are silent it is this one.
    pub(super) fn visit(&self, position: usize) -> Visit<'_> {
        let count = self.nodes.len();
        let in_turn = (0..count).map(|step| (position + step) % count);
        let has_room = |position: &usize| {
            let node = &self.nodes[*position];
            !node.silent.load(Ordering::Relaxed)
                || node.asking.load(Ordering::Relaxed) < WAITING_MAX
        };
        let position = in_turn.clone().find(has_room).unwrap_or(position);
        let node = &self.nodes[position];
        node.asking.fetch_add(1, Ordering::Relaxed);
        Visit { node, began: Instant::now(), position }
    }
}

impl Visit<'_> {
    /// Takes note of how the attempt ended.
    pub(super) fn heard(self, decided: bool) {
        if decided || self.began.elapsed() > PROMPT {
            self.node.silent.store(!decided, Ordering::Relaxed);
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.node.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A roster whose first node was silent.
    fn first_is_silent(count: usize) -> Roster {
        let roster = Roster::new(count);
        let mut visit = roster.visit(0);
        visit.began = Instant::now().checked_sub(2 * PROMPT).unwrap();
        visit.heard(false);
        roster
    }

    #[test]
    fn few_wait_for_a_silent_node_and_the_others_go_on() {
        let roster = first_is_silent(3);
        let waiting = [roster.visit(0), roster.visit(0)];
        assert_eq!(waiting.each_ref().map(|visit| visit.position), [0, 0]);
        assert_eq!(roster.visit(0).position, 1);
        drop(waiting);
        assert_eq!(roster.visit(0).position, 0, "somebody keeps asking it");
    }

    #[test]
    fn a_decision_brings_it_back() {
        let roster = first_is_silent(3);
        roster.visit(0).heard(true);
        let visits: Vec<_> = (0..10).map(|_| roster.visit(0).position).collect();
        let _held: Vec<_> = (0..10).map(|_| roster.visit(0)).collect();
        assert!(visits.iter().all(|position| *position == 0));
        assert_eq!(roster.visit(0).position, 0);
    }

    #[test]
    fn a_prompt_no_is_no_silence() {
        let roster = Roster::new(3);
        roster.visit(0).heard(false);
        let _held: Vec<_> = (0..10).map(|_| roster.visit(0)).collect();
        assert_eq!(roster.visit(0).position, 0);
    }

    #[test]
    fn when_all_are_silent_all_are_asked() {
        let roster = first_is_silent(1);
        let _held: Vec<_> = (0..10).map(|_| roster.visit(0)).collect();
        assert_eq!(roster.visit(0).position, 0);
    }
}
