//! One partition's operations as the search walks them.
//!
//! Owns: the order of events, the slots, and the queues of unknowns. Never does: search. Called
//! by `depth_first`.
//!
//! A known operation holds a *slot* from its invocation to its completion, as a client's thread
//! would; the lowest free one. So at every completion, the slots name what is pending, and a bit
//! set over them is as wide as the most that ever were pending at once.

use super::Operation;
use super::memo::Hashing;
use crate::Model;
use crate::model::Bearing;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::Hash;

/// An event of a known operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// Index into the operations.
    pub(super) operation: u32,
    /// Its slot.
    pub(super) slot: u32,
    /// Whether it begins or ends.
    pub(super) edge: Edge,
    /// Whether it must have taken place once it ends; else it may have, until then.
    pub(super) required: bool,
    /// Whether nothing of a higher rank may come before it; only of required ones.
    pub(super) binding: bool,
    /// The event at which it begins.
    pub(super) invoked: u32,
    /// The event at which it ends.
    pub(super) returned: u32,
    /// Operations that are pending at once are of one kind if they do the same to every state.
    /// Like a slot, a kind is another's once none of it is pending. Where the model has ranks,
    /// all are of kind 0.
    pub(super) kind: u32,
    /// How it bears on what comes before it.
    pub(super) bearing: Bearing,
}

/// No event; later than each.
pub(super) const NO_EVENT: u32 = u32::MAX;

/// What an operation is to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It must have taken place once it ends, and what ranks above it comes after it.
    Binding,
    /// It must have taken place once it ends.
    Required,
    /// It may be left out.
    Optional,
}

/// Which end of an operation. At one position, invocations come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    /// The invocation.
    Invoked,
    /// The completion.
    Returned,
}

/// The unknowns of one shape, the earliest invoked first.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) unknowns: Vec<Unknown>,
}

/// An operation of unknown outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unknown {
    /// Index into the operations.
    pub(super) operation: u32,
    /// It may take effect once the search stands at this event, or a later one.
    pub(super) from: u32,
    /// How it bears on what comes before it.
    pub(super) bearing: Bearing,
}

/// One partition's operations.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Invocations and completions of known operations, in the order observed.
    pub(super) events: Vec<Event>,
    /// The most known operations pending at once.
    pub(super) slots: usize,
    /// The unknowns, by shape; a shape seen earlier comes first.
    pub(super) queues: Vec<Queue>,
    /// At each event, the least rank of a binding operation that begins there or later; empty
    /// where the model has no ranks.
    least_later: Vec<u64>,
}

impl Schedule {
    /// The schedule of these members of the operations.
    ///
    /// # Panics
    /// As of [`super::check`].
    pub(super) fn new<M: Model>(
        model: &M,
        operations: &[Operation<M::Op>],
        members: &[usize],
        due: impl Fn(usize) -> Due,
    ) -> Self {
        assert!(operations.len() < 1 << 31, "{} operations are too many", operations.len());
        let edges = Edges::new(operations, members);
        let queues = queues(model, operations, members, &edges);
        let mut free: BinaryHeap<Reverse<u32>> = BinaryHeap::new();
        let mut slots: u32 = 0;
        let mut held: HashMap<u32, u32> = HashMap::new();
        let mut kinds = Kinds::default();
        let mut events = Vec::with_capacity(2 * edges.invoked.len());
        for (at, edge, operation) in edges.iter(operations) {
            let slot = match edge {
                Edge::Invoked => {
                    let slot = free.pop().map_or(slots, |Reverse(slot)| slot);
                    slots = slots.max(slot + 1);
                    held.insert(operation, slot);
                    slot
                }
                Edge::Returned => {
                    // An invocation sorts before its completion, so it holds a slot.
                    let Some(slot) = held.remove(&operation) else {
                        panic!("operation {operation} returns at {at} and holds none of {slots}")
                    };
                    free.push(Reverse(slot));
                    slot
                }
            };
            let kind = if M::RANKED {
                0
            } else {
                kinds.of(model.shape(&operations[operation as usize].op), edge)
            };
            let due = due(operation as usize);
            let (required, binding) = (due != Due::Optional, due == Due::Binding);
            let (invoked, returned) = (NO_EVENT, NO_EVENT);
            let bearing = model.bearing(&operations[operation as usize].op);
            events.push(Event {
                operation,
                slot,
                edge,
                required,
                binding,
                invoked,
                returned,
                kind,
                bearing,
            });
        }
        join_ends(&mut events, slots as usize);
        let least_later = if M::RANKED {
            let rank = |event: &Event| model.rank(&operations[event.operation as usize].op);
            least_later(&events, rank)
        } else {
            Vec::new()
        };
        Self { events, slots: slots as usize, queues, least_later }
    }

    /// The least rank of a binding operation that begins at this event or later.
    pub(super) fn least_later(&self, at: usize) -> u64 {
        self.least_later.get(at).copied().unwrap_or(u64::MAX)
    }
}

/// The ends of the known operations, each kind in order of position. A run has millions: they are
/// indices, and no list holds both kinds.
struct Edges {
    invoked: Vec<u32>,
    returned: Vec<u32>,
}

impl Edges {
    fn new<Op>(operations: &[Operation<Op>], members: &[usize]) -> Self {
        let mut invoked = Vec::with_capacity(members.len());
        for &member in members {
            let Operation { invoked: from, returned, .. } = operations[member];
            let Some(returned) = returned else { continue };
            assert!(from <= returned, "operation {member}: {from}, returned {returned}");
            invoked.push(member as u32);
        }
        let mut returned = invoked.clone();
        invoked.sort_by_key(|it| (operations[*it as usize].invoked, *it));
        returned.sort_by_key(|it| (operations[*it as usize].returned, *it));
        Self { invoked, returned }
    }

    /// All in order. At one position, invocations come first.
    fn iter<'a, Op>(
        &'a self,
        operations: &'a [Operation<Op>],
    ) -> impl Iterator<Item = (usize, Edge, u32)> {
        let mut invoked = self.invoked.iter().copied().peekable();
        let mut returned = self.returned.iter().copied().peekable();
        std::iter::from_fn(move || {
            let of = |it: &u32| &operations[*it as usize];
            let begin = invoked.peek().map(|it| (of(it).invoked, Edge::Invoked, *it));
            let end = returned.peek().and_then(|it| Some((of(it).returned?, Edge::Returned, *it)));
            match (begin, end) {
                (Some(begin), Some(end)) if begin < end => invoked.next().map(|_| begin),
                (Some(begin), None) => invoked.next().map(|_| begin),
                (_, end) => returned.next().and(end),
            }
        })
    }

    /// How many come before a completion at this position would.
    fn before_return_at<Op>(&self, operations: &[Operation<Op>], at: usize) -> usize {
        let of = |it: &u32| &operations[*it as usize];
        self.invoked.partition_point(|it| of(it).invoked <= at)
            + self.returned.partition_point(|it| of(it).returned.is_some_and(|end| end < at))
    }
}

/// Tells each event where its operation begins and ends.
fn join_ends(events: &mut [Event], slots: usize) {
    let mut held_since = vec![NO_EVENT; slots];
    for at in 0..events.len() {
        let slot = events[at].slot as usize;
        if events[at].edge == Edge::Invoked {
            held_since[slot] = at as u32;
        }
        let invoked = held_since[slot];
        events[at].invoked = invoked;
        if events[at].edge == Edge::Returned {
            events[at].returned = at as u32;
            events[invoked as usize].returned = at as u32;
        }
    }
}

/// The kinds of what is pending.
struct Kinds<Shape> {
    /// The kind of each shape that is pending, and how many are.
    pending: HashMap<Shape, (u32, usize), Hashing>,
    free: Vec<u32>,
}

impl<Shape> Default for Kinds<Shape> {
    fn default() -> Self {
        Self { pending: HashMap::default(), free: Vec::new() }
    }
}

impl<Shape: Eq + Hash> Kinds<Shape> {
    /// The kind of an operation of this shape that begins or ends here.
    fn of(&mut self, shape: Shape, edge: Edge) -> u32 {
        let next = self.pending.len() as u32;
        match (self.pending.entry(shape), edge) {
            (Entry::Occupied(mut entry), Edge::Invoked) => {
                entry.get_mut().1 += 1;
                entry.get().0
            }
            (Entry::Vacant(entry), _) => {
                // All below `next` are taken where none is free.
                let kind = self.free.pop().unwrap_or(next);
                entry.insert((kind, 1)).0
            }
            (Entry::Occupied(mut entry), Edge::Returned) => {
                entry.get_mut().1 -= 1;
                let (kind, pending) = *entry.get();
                if pending == 0 {
                    entry.remove();
                    self.free.push(kind);
                }
                kind
            }
        }
    }
}

fn least_later(events: &[Event], rank: impl Fn(&Event) -> u64) -> Vec<u64> {
    let mut least = u64::MAX;
    let mut backwards: Vec<u64> = events
        .iter()
        .rev()
        .map(|event| {
            if event.binding && event.edge == Edge::Invoked {
                least = least.min(rank(event));
            }
            least
        })
        .collect();
    backwards.reverse();
    backwards
}

fn queues<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    members: &[usize],
    edges: &Edges,
) -> Vec<Queue> {
    let mut by_shape: BTreeMap<M::Shape, Vec<Unknown>> = BTreeMap::new();
    for &member in members {
        let Operation { op, invoked, returned: None } = &operations[member] else { continue };
        let from = edges.before_return_at(operations, *invoked) as u32;
        let unknown = Unknown { operation: member as u32, from, bearing: model.bearing(op) };
        by_shape.entry(model.shape(op)).or_default().push(unknown);
    }
    let mut queues: Vec<Queue> = by_shape
        .into_values()
        .map(|mut unknowns| {
            unknowns.sort_by_key(|it| (it.from, it.operation));
            Queue { unknowns }
        })
        .collect();
    queues.sort_by_key(|queue| (queue.unknowns[0].from, queue.unknowns[0].operation));
    queues
}
