//! How far a search goes before it forgets.
//!
//! Owns: the stretches of a history, the configurations between two of them, and the order that
//! led there. Never does: take a step. Called by `search`.

use super::{Clock, Deepest, Goal, Outcome, Search};
use crate::Model;
use crate::search::memo::Key;
use crate::search::schedule::Schedule;
use crate::search::slots::Slots;
use crate::search::states::{StateId, States};
use crate::search::usage::{UsageId, Usages};
use crate::search::{Budget, Finding, Operation, RanOut, Statistics};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// Searches one partition.
///
/// As long as that costs little, it goes by stretches: all configurations that the end of one can
/// be reached in are found, and with them everything before is decided and forgotten. So memory
/// follows what is open at once. A stretch that has too many of them, and all after it, is searched
/// for one order only, and nothing is forgotten, since to find that there is none all that was
/// visited must be known.
pub(in crate::search) fn run<M: Model, S: Slots>(
    model: &M,
    operations: &[Operation<M::Op>],
    schedule: &Schedule,
    start: M::State,
    budget: Budget,
) -> (Finding<M::State>, Statistics) {
    let search: Search<'_, M, S> = Search::new(model, operations, schedule, start);
    by_stretches(search, STRETCH_EVENTS, budget)
}

fn by_stretches<M: Model, S: Slots>(
    mut search: Search<'_, M, S>,
    stretch: usize,
    budget: Budget,
) -> (Finding<M::State>, Statistics) {
    search.stretch = Some(stretch);
    let clock = Clock { began: Instant::now(), budget };
    let finding = loop {
        let goal = search.next_goal();
        match search.run(&clock, goal) {
            Outcome::Goal => break Finding::Linearizable { order: search.whole_order() },
            Outcome::Exhausted if search.goals.is_empty() => break search.stuck(),
            Outcome::Exhausted => search.forget(),
            Outcome::TooMany => search.stretch = None,
            Outcome::RanOut(what) => break Finding::RanOut(what),
        }
    };
    let statistics = search.statistics();
    (finding, statistics)
}

/// The states in which the known operations of one partition may leave it.
pub(in crate::search) fn reach<M: Model, S: Slots>(
    model: &M,
    operations: &[Operation<M::Op>],
    schedule: &Schedule,
    start: M::State,
    budget: Budget,
) -> Result<Vec<M::State>, RanOut> {
    let mut search: Search<'_, M, S> = Search::new(model, operations, schedule, start);
    let clock = Clock { began: Instant::now(), budget };
    let at = schedule.events.len();
    let everything = Goal { at, visits_max: u64::MAX, ends_max: usize::MAX, all: true };
    if let Outcome::RanOut(what) = search.run(&clock, everything) {
        return Err(what);
    }
    let mut states: Vec<StateId> = search.goals.iter().map(|goal| goal.state).collect();
    let mut seen = HashSet::new();
    states.retain(|id| seen.insert(*id));
    Ok(states.into_iter().map(|id| search.states.get(id).clone()).collect())
}

/// How far a stretch goes, in events.
const STRETCH_EVENTS: usize = 8192;
/// The most visits that finding all its ends may take, for each of its events.
const VISITS_PER_EVENT_MAX: u64 = 2;
/// The most configurations that it may end in; each keeps its way through the stretch.
const ENDS_MAX: usize = 64;

/// A configuration from which a stretch begins, and how it came about.
#[derive(Debug, Clone)]
pub(super) struct Root<S> {
    pub(super) at: u32,
    pub(super) state: StateId,
    pub(super) usage: UsageId,
    pub(super) done: S,
    pub(super) way: Option<Arc<Way>>,
}

/// The order that led to a stretch's end; ways that part late share what came before.
#[derive(Debug)]
pub(super) struct Way {
    before: Option<Arc<Way>>,
    order: Box<[u32]>,
}

impl<M: Model, S: Slots> Search<'_, M, S> {
    /// The end of the next stretch, or that of the history.
    fn next_goal(&self) -> Goal {
        let end = self.schedule.events.len();
        let from = self.roots.iter().map(|root| root.at as usize).max().unwrap_or(end);
        match self.stretch {
            Some(events) if from + events < end => Goal {
                at: from + events,
                visits_max: events as u64 * VISITS_PER_EVENT_MAX,
                ends_max: ENDS_MAX,
                all: true,
            },
            _ => Goal { at: end, visits_max: u64::MAX, ends_max: usize::MAX, all: false },
        }
    }

    /// Stands at the next configuration that the stretch begins from. False when all were tried.
    pub(super) fn next_root(&mut self) -> bool {
        let Some(root) = self.roots.get(self.tried).cloned() else { return false };
        self.tried += 1;
        self.seek(root.at as usize);
        (self.state, self.usage, self.done) = (root.state, root.usage, root.done);
        self.way = root.way;
        self.order.clear();
        self.deepest.shared = 0;
        true
    }

    pub(super) fn note_goal(&mut self) {
        let key = Key { at: self.at as u32, state: self.state, done: self.done.clone() };
        if self.memo.visit(key, self.usage, &self.usages) {
            let way = Way { before: self.way.clone(), order: self.order.as_slice().into() };
            self.goals.push(Root {
                at: self.at as u32,
                state: self.state,
                usage: self.usage,
                done: self.done.clone(),
                way: Some(Arc::new(way)),
            });
        }
    }

    /// Goes on from all ends of a stretch: what led there is decided.
    fn forget(&mut self) {
        let taken = self.statistics();
        self.forgotten = Statistics { known: 0, unknown: 0, concurrency: 0, steps: 0, ..taken };
        let states = std::mem::replace(&mut self.states, States::new());
        let usages = std::mem::replace(&mut self.usages, Usages::new());
        self.roots = std::mem::take(&mut self.goals);
        for root in &mut self.roots {
            let state = states.get(root.state).clone();
            root.state = self.states.id(state, |state| self.model.state_bytes(state));
            root.usage = self.usages.same(root.usage, &usages);
        }
        self.deepest = Deepest::default();
    }

    /// The order from the history's beginning to the present configuration.
    fn whole_order(&self) -> Vec<usize> {
        with_way(self.way.as_deref(), &self.order)
    }
}

pub(super) fn with_way(way: Option<&Way>, order: &[u32]) -> Vec<usize> {
    let ways = std::iter::successors(way, |way| way.before.as_deref());
    let mut parts: Vec<&[u32]> = ways.map(|way| &*way.order).collect();
    parts.reverse();
    let all = parts.into_iter().chain([order]).flatten();
    all.map(|operation| *operation as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::models::cas_register::{Kind, Op};
    use crate::models::{CasRegister, Key as RegisterKey};
    use crate::search::schedule::Due;
    use proptest::prelude::*;

    fn ops() -> impl Strategy<Value = Op> {
        let value = || (0_i64..3).prop_map(Value::Int);
        let kind = prop_oneof![
            value().prop_map(Kind::Read),
            value().prop_map(Kind::Write),
            (value(), value()).prop_map(|(old, new)| Kind::Cas(old, new)),
        ];
        kind.prop_map(|kind| Op { key: RegisterKey(None), kind })
    }

    /// Up to a dozen operations, each over at most ten positions; one in six of unknown outcome.
    fn histories() -> impl Strategy<Value = Vec<Operation<Op>>> {
        let one = (ops(), 0_usize..40, 1_usize..10, 0_u8..6).prop_map(|(op, at, length, luck)| {
            let returned = (luck > 0).then_some(at + length);
            Operation { op, invoked: at, returned }
        });
        prop::collection::vec(one, 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        /// What is forgotten was decided: the verdict, and where it fails, are those of a search
        /// that forgets nothing; and the order that is put together has every known operation.
        #[test]
        fn stretches_of_any_length_decide_alike(operations in histories(), stretch in 1_usize..8) {
            let model = CasRegister { initial: Value::Int(0), ..CasRegister::default() };
            let members: Vec<usize> = (0..operations.len()).collect();
            let schedule = Schedule::new(&model, &operations, &members, |_| Due::Binding);
            let search = || {
                Search::<_, u64>::new(&model, &operations, &schedule, Value::Int(0))
            };
            let (whole, _) = by_stretches(search(), usize::MAX / 2, Budget::default());
            let (parts, _) = by_stretches(search(), stretch, Budget::default());
            match (whole, parts) {
                (Finding::Linearizable { .. }, Finding::Linearizable { order }) => {
                    let mut state = Value::Int(0);
                    for &index in &order {
                        let next = model.step(&state, &operations[index].op);
                        prop_assert!(next.is_some(), "step {} of {:?}", index, order);
                        state = next.unwrap_or(state);
                    }
                    let mut known: Vec<usize> = order;
                    known.retain(|index| operations[*index].returned.is_some());
                    known.sort_unstable();
                    let due = |index: &usize| operations[*index].returned.is_some();
                    prop_assert_eq!(known, members.into_iter().filter(due).collect::<Vec<_>>());
                }
                (Finding::Stuck(one), Finding::Stuck(other)) => {
                    prop_assert_eq!(one.operation, other.operation);
                    let mut states = other.states.clone();
                    states.retain(|state| !one.states.contains(state));
                    prop_assert!(states.is_empty(), "{:?} and {:?}", one, other);
                }
                (one, other) => prop_assert!(false, "{:?} and {:?}", one, other),
            }
        }
    }
}
