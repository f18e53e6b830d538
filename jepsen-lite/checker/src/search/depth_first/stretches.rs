//! How far a search goes before it forgets.
//!
//! Owns: the stretches of a history, the configurations between two of them, and the order that
//! led there. Never does: take a step. Called by `search`.

use super::{Clock, Deepest, Goal, Outcome, Search};
use crate::Model;
use crate::model::Bearing;
use crate::search::placed::{Placed, in_order};
use crate::search::schedule::Schedule;
use crate::search::slots::Slots;
use crate::search::states::{StateId, States};
use crate::search::usage::{UsageId, Usages};
use crate::search::{Budget, Finding, Operation, RanOut, Statistics};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// Searches one partition, so that memory follows what is open at once and not the length.
///
/// As long as that costs little, it goes by stretches: all configurations that the end of one can
/// be reached in are found, and with them everything before is decided and forgotten. Where a
/// stretch has too many of them, one order is looked for from there to the end, and of what lies
/// more than a stretch behind it nothing is kept. If that comes back for what it let go, all
/// configurations are found after all, stretch by stretch up to where it failed.
pub(in crate::search) fn run<M: Model, S: Slots>(
    model: &M,
    operations: &[Operation<M::Op>],
    schedule: &Schedule,
    start: M::State,
    budget: Budget,
) -> (Finding<M::State>, Statistics) {
    let search: Search<'_, M, S> = Search::new(model, operations, schedule, start);
    by_stretches(search, PACE, budget)
}

fn by_stretches<M: Model, S: Slots>(
    mut search: Search<'_, M, S>,
    pace: Pace,
    budget: Budget,
) -> (Finding<M::State>, Statistics) {
    let clock = Clock { began: Instant::now(), budget };
    let mut going = Going::Quickly;
    let finding = loop {
        let goal = search.next_goal(pace, &mut going);
        match search.run(&clock, goal) {
            Outcome::Goal => break Finding::Linearizable { order: search.whole_order() },
            Outcome::Exhausted if search.goals.is_empty() => break search.stuck(),
            Outcome::Exhausted => search.forget(),
            Outcome::TooMany => going = Going::OneWay,
            Outcome::Lost => {
                let until = std::mem::take(&mut search.deepest).at.max(search.from() + 1);
                going = Going::Thoroughly { until };
            }
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
    let everything = Goal { all: true, ..Goal::one_way(at) };
    if let Outcome::RanOut(what) = search.run(&clock, everything) {
        return Err(what);
    }
    let mut states: Vec<StateId> = search.goals.iter().map(|goal| goal.state).collect();
    let mut seen = HashSet::new();
    states.retain(|id| seen.insert(*id));
    Ok(states.into_iter().map(|id| search.states.get(id).clone()).collect())
}

/// How a search goes from stretch to stretch.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How far a stretch goes, in events.
    events: usize,
    /// The most visits that finding all its ends may take, for each of its events.
    visits_per_event_max: u64,
    /// The most configurations that it may end in; each keeps its way through the stretch.
    ends_max: usize,
    /// How far a stretch goes whose ends are found whatever it takes.
    thorough_events: usize,
}

const PACE: Pace =
    Pace { events: 8192, visits_per_event_max: 2, ends_max: 64, thorough_events: 512 };

#[derive(Debug, Clone, Copy)]
enum Going {
    /// To all ends of a stretch, unless they are many.
    Quickly,
    /// To the end of the history, by one order.
    OneWay,
    /// To all ends of each stretch, up to this event.
    Thoroughly { until: usize },
}

impl Goal {
    fn one_way(at: usize) -> Self {
        Self { at, visits_max: u64::MAX, ends_max: usize::MAX, all: false, kept: None }
    }
}

/// A configuration from which a stretch begins, and how it came about.
#[derive(Debug, Clone)]
pub(super) struct Root<S> {
    pub(super) at: u32,
    pub(super) state: StateId,
    pub(super) usage: UsageId,
    pub(super) placed: Placed<S>,
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
    fn next_goal(&self, pace: Pace, going: &mut Going) -> Goal {
        let end = self.schedule.events.len();
        let from = self.from();
        if matches!(*going, Going::Thoroughly { until } if from >= until) {
            *going = Going::Quickly;
        }
        match going {
            Going::Quickly if from + pace.events < end => Goal {
                visits_max: pace.events as u64 * pace.visits_per_event_max,
                ends_max: pace.ends_max,
                all: true,
                ..Goal::one_way(from + pace.events)
            },
            Going::Thoroughly { .. } if from + pace.thorough_events < end => {
                Goal { all: true, ..Goal::one_way(from + pace.thorough_events) }
            }
            Going::OneWay => Goal { kept: Some(pace.events), ..Goal::one_way(end) },
            Going::Quickly | Going::Thoroughly { .. } => Goal::one_way(end),
        }
    }

    /// Where all roots are behind, or at.
    fn from(&self) -> usize {
        self.roots.iter().map(|root| root.at as usize).max().unwrap_or(self.schedule.events.len())
    }

    /// Stands at the next configuration that the stretch begins from. False when all were tried.
    pub(super) fn next_root(&mut self) -> bool {
        let Some(root) = self.roots.get(self.tried).cloned() else { return false };
        self.tried += 1;
        self.seek(root.at as usize);
        (self.state, self.usage, self.placed) = (root.state, root.usage, root.placed);
        self.way = root.way;
        self.order.clear();
        self.deepest.shared = 0;
        true
    }

    pub(super) fn note_goal(&mut self) {
        if self.visit() {
            let way = Way { before: self.way.clone(), order: self.order.as_slice().into() };
            self.goals_bytes +=
                size_of::<Root<S>>() + self.placed.heap_bytes() + size_of_val(&*way.order);
            self.goals.push(Root {
                at: self.at as u32,
                state: self.state,
                usage: self.usage,
                placed: self.placed.clone(),
                way: Some(Arc::new(way)),
            });
        }
    }

    /// Lets go of what lies more than so many events behind the present configuration, and no
    /// order came farther than it: where else one could have gone on from there, and what was
    /// visited.
    pub(super) fn let_go(&mut self, kept: usize) {
        let from = self.at.saturating_sub(kept);
        let gone = self.stack.partition_point(|frame| (frame.at as usize) < from);
        if gone == 0 {
            return;
        }
        self.is_lost = true;
        self.stack.drain(..gone);
        let placed = self.stack.first().map_or(0, |frame| frame.order_len);
        for frame in &mut self.stack {
            frame.order_len -= placed;
        }
        let before = self.way.take();
        let order = self.order.drain(..placed as usize).collect();
        self.way = Some(Arc::new(Way { before, order }));
        self.deepest.way.clone_from(&self.way);
        self.deepest.order.clone_from(&self.order);
        self.deepest.shared = self.order.len();
        self.forgotten.memory_bytes = self.forgotten.memory_bytes.max(self.memory_bytes());
        self.forgotten.configurations += self.memo.let_go(self.at as u32);
        self.let_states_go();
    }

    fn let_states_go(&mut self) {
        let mut live: HashSet<StateId> = self.memo.states().collect();
        live.insert(self.state);
        live.extend(self.stack.iter().map(|frame| frame.state));
        live.extend(self.roots.iter().map(|root| root.state));
        live.extend(&self.deepest.states);
        let freed = self.states.keep(&live, |state| self.model.state_bytes(state));
        self.forgotten.states += freed;
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
        self.with_way(self.way.as_deref(), &self.order)
    }

    /// This order, after the ways that led there.
    pub(super) fn with_way(&self, way: Option<&Way>, order: &[u32]) -> Vec<usize> {
        let ways = std::iter::successors(way, |way| way.before.as_deref());
        let mut parts: Vec<&[u32]> = ways.map(|way| &*way.order).collect();
        parts.reverse();
        let all = parts.into_iter().chain([order]).flatten();
        let bearing = |operation: usize| self.model.bearing(&self.operations[operation].op);
        in_order(all, |operation| bearing(operation) == Bearing::Overwrites)
    }
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

    /// Short stretches, of which any number of ends is too many: so each way of going is gone.
    fn paces() -> impl Strategy<Value = Pace> {
        (1_usize..8, 0_u64..4, 0_usize..4, 1_usize..6).prop_map(
            |(events, visits_per_event_max, ends_max, thorough_events)| Pace {
                events,
                visits_per_event_max,
                ends_max,
                thorough_events,
            },
        )
    }

    fn config() -> ProptestConfig {
        ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(config())]

        /// What is forgotten was decided: the verdict, and where it fails, are those of a search
        /// that forgets nothing; and the order that is put together has every known operation.
        #[test]
        fn stretches_of_any_length_decide_alike(operations in histories(), pace in paces()) {
            let model = CasRegister { initial: Value::Int(0), ..CasRegister::default() };
            let members: Vec<usize> = (0..operations.len()).collect();
            let schedule = Schedule::new(&model, &operations, &members, |_| Due::Binding);
            let search = || {
                Search::<_, u64>::new(&model, &operations, &schedule, Value::Int(0))
            };
            let unhurried = Pace { events: usize::MAX / 2, ..PACE };
            let (whole, _) = by_stretches(search(), unhurried, Budget::default());
            let (parts, _) = by_stretches(search(), pace, Budget::default());
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
