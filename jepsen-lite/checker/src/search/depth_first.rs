//! The search itself.
//!
//! Owns: the stack, and what is remembered. Never does: recurse on the machine's stack; look at a
//! clock but for the deadline. Called by `search`.
//!
//! - `steps`, which operations may come next, and taking one
//! - `walk`, the way over one partition's schedule from one completion to the next
//! - `stretches`, how far a search goes before what it decided is forgotten

mod steps;
mod stretches;
mod walk;

pub(super) use stretches::{reach, run};

use super::memo::{Key, Memo, Spent};
use super::placed::Placed;
use super::schedule::Schedule;
use super::slots::Slots;
use super::states::{StateId, States};
use super::usage::{UsageId, Usages};
use super::{Budget, Finding, Operation, RanOut, STUCK_STATES_MAX, Statistics, Stuck};
use crate::Model;
use std::sync::Arc;
use std::time::Instant;
use steps::FirstEnds;
use stretches::{Root, Way};

/// Visits between two looks at the clock and the memory.
const VISITS_PER_LOOK: u64 = 256;

/// When to give up.
struct Clock {
    began: Instant,
    budget: Budget,
}

/// What a walk looks for: configurations that stand at this event or past it.
#[derive(Clone, Copy)]
struct Goal {
    at: usize,
    visits_max: u64,
    ends_max: usize,
    /// All of them, or one.
    all: bool,
    /// How many events behind the search are kept; all if `None`.
    kept: Option<usize>,
}

enum Outcome {
    Goal,
    Exhausted,
    /// More than are worth finding.
    TooMany,
    /// None was found, and not all was tried: some was let go.
    Lost,
    RanOut(RanOut),
}

/// A configuration on the way, and what is still to be tried from it.
#[derive(Debug)]
struct Frame<S> {
    at: u32,
    state: StateId,
    usage: UsageId,
    order_len: u32,
    /// The next shape of unknowns to try.
    queue: u32,
    placed: Placed<S>,
    /// Known operations to try.
    untried: S,
    /// Whether the completion waited for is of one that may be left out or is hidden, and that is
    /// to be tried.
    may_pass: bool,
}

/// What came of going to a configuration.
enum Entered {
    /// Every known operation is linearized.
    Goal,
    /// It is on the stack.
    New,
    /// One that can do as much was here before.
    Before,
}

struct Search<'a, M: Model, S> {
    model: &'a M,
    operations: &'a [Operation<M::Op>],
    schedule: &'a Schedule,
    // Where the search stands.
    /// The event it waits at, which is a completion of what is not linearized, or the end.
    at: usize,
    /// The slots that are held at `at`.
    pending: S,
    /// What is decided of them.
    placed: Placed<S>,
    /// Which operation holds, or last held, a slot.
    holder: Vec<u32>,
    /// The completion of that operation.
    ends_at: Vec<u32>,
    /// By kind, what comes first of those that are open; of use within one step only.
    first_ends: Vec<FirstEnds>,
    /// The slots whose holder is binding.
    binding: S,
    /// The slots whose holder tells nothing of what it meets.
    blind: S,
    state: StateId,
    usage: UsageId,
    order: Vec<u32>,
    // What it remembers.
    stack: Vec<Frame<S>>,
    memo: Memo<S>,
    states: States<M::State>,
    usages: Usages,
    deepest: Deepest,
    /// Where this stretch begins, the first to be tried last.
    roots: Vec<Root<S>>,
    /// How many of them are tried.
    tried: usize,
    /// How the one that is tried came about.
    way: Option<Arc<Way>>,
    /// The configurations at the goal, each once, where all are looked for.
    goals: Vec<Root<S>>,
    /// Bytes of those, and of the ways to them.
    goals_bytes: usize,
    /// Whether some configuration was let go that had more to try.
    is_lost: bool,
    steps: u64,
    /// Of what is forgotten.
    forgotten: Statistics,
}

/// The farthest that any order came.
#[derive(Default)]
struct Deepest {
    at: usize,
    states: Vec<StateId>,
    order: Vec<u32>,
    /// The order up to where the stretch began.
    way: Option<Arc<Way>>,
    /// How much of `order` is also the beginning of the search's present order. So each copy
    /// costs what is new, not the length of the run.
    shared: usize,
}

impl<'a, M: Model, S: Slots> Search<'a, M, S> {
    fn new(
        model: &'a M,
        operations: &'a [Operation<M::Op>],
        schedule: &'a Schedule,
        start: M::State,
    ) -> Self {
        let mut states = States::new();
        let state = states.id(start, |state| model.state_bytes(state));
        let (usage, placed) = (UsageId::NONE, Placed::nothing(schedule.slots));
        Self {
            model,
            operations,
            schedule,
            at: 0,
            pending: S::empty(schedule.slots),
            placed: placed.clone(),
            holder: vec![0; schedule.slots],
            ends_at: vec![0; schedule.slots],
            // There are no more kinds at once than slots.
            first_ends: vec![FirstEnds::NONE; schedule.slots],
            binding: S::empty(schedule.slots),
            blind: S::empty(schedule.slots),
            state,
            usage: UsageId::NONE,
            order: Vec::new(),
            stack: Vec::new(),
            memo: Memo::new(),
            states,
            usages: Usages::new(),
            deepest: Deepest::default(),
            roots: vec![Root { at: 0, state, usage, placed, way: None }],
            tried: 0,
            way: None,
            goals: Vec::new(),
            goals_bytes: 0,
            is_lost: false,
            steps: 0,
            forgotten: Statistics::default(),
        }
    }

    fn run(&mut self, clock: &Clock, goal: Goal) -> Outcome {
        self.stack.clear();
        self.memo = Memo::new();
        self.goals.clear();
        self.goals_bytes = 0;
        self.tried = 0;
        self.is_lost = false;
        let mut let_go_at =
            goal.kept.map_or(usize::MAX, |kept| self.roots[0].at as usize + 2 * kept);
        let mut visits: u64 = 0;
        loop {
            let entered = loop {
                if self.stack.is_empty() {
                    if self.is_lost {
                        return Outcome::Lost;
                    }
                    if !self.next_root() {
                        return Outcome::Exhausted;
                    }
                    break self.enter(goal);
                }
                if self.advance() {
                    break self.enter(goal);
                }
                self.stack.pop();
                self.back_to_top();
            };
            match entered {
                Entered::Goal if !goal.all => return Outcome::Goal,
                Entered::Goal => {
                    self.note_goal();
                    self.back_to_top();
                }
                Entered::New if self.at >= let_go_at && self.at == self.deepest.at => {
                    let kept = goal.kept.unwrap_or(usize::MAX);
                    self.let_go(kept);
                    let_go_at = self.at.saturating_add(kept);
                }
                Entered::New => {}
                Entered::Before => self.back_to_top(),
            }
            visits += 1;
            if visits > goal.visits_max || self.goals.len() > goal.ends_max {
                return Outcome::TooMany;
            }
            if visits.is_multiple_of(VISITS_PER_LOOK) {
                if clock.began.elapsed() >= clock.budget.time {
                    return Outcome::RanOut(RanOut::Time);
                }
                if self.memory_bytes() >= clock.budget.memory_bytes {
                    return Outcome::RanOut(RanOut::Memory);
                }
            }
        }
    }

    /// Settles in the present configuration, and puts it on the stack if it is new.
    fn enter(&mut self, goal: Goal) -> Entered {
        self.settle();
        if self.at >= goal.at {
            return Entered::Goal;
        }
        self.note_depth();
        let Some(untried) = self.candidates() else { return Entered::Before };
        if !self.visit() {
            return Entered::Before;
        }
        let awaited = self.schedule.events[self.at];
        let is_hidden = self.placed.hidden.has(awaited.slot as usize);
        self.stack.push(Frame {
            at: self.at as u32,
            state: self.state,
            usage: self.usage,
            order_len: self.order.len() as u32,
            queue: 0,
            placed: self.placed.clone(),
            untried,
            may_pass: is_hidden || !awaited.required,
        });
        Entered::New
    }

    /// Notes the present configuration. False when one that could do as much was here before.
    fn visit(&mut self) -> bool {
        let hidden = self.placed.hidden.clone();
        let due = self.open().without(&hidden);
        let key = Key { at: self.at as u32, state: self.state, due };
        let spent = Spent { usage: self.usage, hidden, is_idle: self.placed.is_idle };
        self.memo.visit(key, spent, &self.usages)
    }

    fn note_depth(&mut self) {
        let deepest = &mut self.deepest;
        if self.at > deepest.at || deepest.states.is_empty() {
            deepest.at = self.at;
            deepest.states.clear();
            deepest.way.clone_from(&self.way);
            deepest.order.truncate(deepest.shared);
            deepest.order.extend_from_slice(&self.order[deepest.shared..]);
            deepest.shared = self.order.len();
        }
        let is_listed = self.at < deepest.at
            || deepest.states.len() == STUCK_STATES_MAX
            || deepest.states.contains(&self.state);
        if !is_listed {
            deepest.states.push(self.state);
        }
    }

    fn stuck(&self) -> Finding<M::State> {
        let operation = self.schedule.events[self.deepest.at].operation as usize;
        let states = self.deepest.states.iter().map(|id| self.states.get(*id).clone()).collect();
        let order = self.with_way(self.deepest.way.as_deref(), &self.deepest.order);
        Finding::Stuck(Stuck { operation, is_first: true, order, states })
    }

    fn memory_bytes(&self) -> usize {
        self.memo.bytes(self.placed.heap_bytes())
            + self.states.bytes
            + self.usages.bytes
            + self.goals_bytes
            + self.stack.capacity() * (size_of::<Frame<S>>() + 2 * self.placed.heap_bytes())
            + (self.order.capacity() + self.deepest.order.capacity()) * size_of::<u32>()
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            known: self.schedule.events.len() / 2,
            unknown: self.schedule.queues.iter().map(|queue| queue.unknowns.len()).sum(),
            concurrency: self.schedule.slots,
            steps: self.steps,
            configurations: self.forgotten.configurations + self.memo.len(),
            states: self.forgotten.states + self.states.len(),
            memory_bytes: self.forgotten.memory_bytes.max(self.memory_bytes()),
        }
    }
}
