//! The search itself.
//!
//! Owns: the stack, and the walk over one partition's schedule; `stretches` owns how far a walk
//! goes before what it decided is forgotten. Never does: recurse on the machine's stack; look at a
//! clock but for the deadline. Called by `search`.

mod stretches;

pub(super) use stretches::{reach, run};

use super::memo::{Key, Memo};
use super::schedule::{Edge, Event, Schedule};
use super::slots::Slots;
use super::states::{StateId, States};
use super::usage::{UsageId, Usages};
use super::{Budget, Finding, Operation, RanOut, STUCK_STATES_MAX, Statistics, Stuck};
use crate::Model;
use std::sync::Arc;
use std::time::Instant;
use stretches::{Root, Way, with_way};

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
    done: S,
    /// Known operations to try.
    untried: S,
    /// Whether the completion waited for is of one that may be left out, and that is to be tried.
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
    /// Those of them whose operation is linearized.
    done: S,
    /// Which operation holds, or last held, a slot.
    holder: Vec<u32>,
    /// The slots whose holder is binding.
    binding: S,
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
        let (usage, done) = (UsageId::NONE, S::empty(schedule.slots));
        Self {
            model,
            operations,
            schedule,
            at: 0,
            pending: S::empty(schedule.slots),
            done: S::empty(schedule.slots),
            holder: vec![0; schedule.slots],
            binding: S::empty(schedule.slots),
            state,
            usage: UsageId::NONE,
            order: Vec::new(),
            stack: Vec::new(),
            memo: Memo::new(),
            states,
            usages: Usages::new(),
            deepest: Deepest::default(),
            roots: vec![Root { at: 0, state, usage, done, way: None }],
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

    /// Takes the next untried step from the configuration on top of the stack. False when there
    /// is none.
    fn advance(&mut self) -> bool {
        let Some(frame) = self.stack.last_mut() else { return false };
        // First the operation whose completion is waited for: what ends first took effect early.
        let awaited = self.schedule.events[self.at].slot as usize;
        while let Some(first) = frame.untried.first() {
            let slot = if frame.untried.has(awaited) { awaited } else { first };
            frame.untried.remove(slot);
            let operation = self.holder[slot];
            self.steps += 1;
            let op = &self.operations[operation as usize].op;
            if let Some(state) = self.model.step(self.states.get(self.state), op) {
                self.state = self.states.id(state, |state| self.model.state_bytes(state));
                self.done.insert(slot);
                self.order.push(operation);
                return true;
            }
        }
        while let Some(queue) = self.schedule.queues.get(frame.queue as usize) {
            let shape = frame.queue as usize;
            if queue.unknowns[0].from as usize > self.at {
                // Shapes are in the order of their first invocation: the rest come later still.
                break;
            }
            frame.queue += 1;
            let used = self.usages.used(self.usage, shape);
            let Some(unknown) = queue.unknowns.get(used) else { continue };
            if unknown.from as usize > self.at {
                continue;
            }
            self.steps += 1;
            let op = &self.operations[unknown.operation as usize].op;
            if let Some(state) = self.model.step(self.states.get(self.state), op) {
                let state = self.states.id(state, |state| self.model.state_bytes(state));
                if state != self.state {
                    self.state = state;
                    self.usage = self.usages.plus(self.usage, shape);
                    self.order.push(unknown.operation);
                    return true;
                }
            }
        }
        let may_pass = std::mem::take(&mut frame.may_pass);
        if may_pass {
            self.pending.remove(awaited);
            self.at += 1;
        }
        may_pass
    }

    /// Settles in the present configuration, and puts it on the stack if it is new.
    fn enter(&mut self, goal: Goal) -> Entered {
        self.settle();
        if self.at >= goal.at {
            return Entered::Goal;
        }
        self.note_depth();
        let Some(untried) = self.candidates() else { return Entered::Before };
        let key = Key { at: self.at as u32, state: self.state, done: self.done.clone() };
        if !self.memo.visit(key, self.usage, &self.usages) {
            return Entered::Before;
        }
        self.stack.push(Frame {
            at: self.at as u32,
            state: self.state,
            usage: self.usage,
            order_len: self.order.len() as u32,
            queue: 0,
            done: self.done.clone(),
            untried,
            may_pass: !self.schedule.events[self.at].required,
        });
        Entered::New
    }

    /// The known operations that may come next, `None` when what must still come no longer can.
    fn candidates(&self) -> Option<S> {
        let open = self.pending.without(&self.done);
        if !M::RANKED {
            return Some(open);
        }
        let rank = |slot: usize| self.model.rank(&self.operations[self.holder[slot] as usize].op);
        let mut least = self.schedule.least_later(self.at);
        let mut left = open.clone();
        while let Some(slot) = left.first() {
            left.remove(slot);
            if self.binding.has(slot) {
                least = least.min(rank(slot));
            }
        }
        if self.model.floor(self.states.get(self.state)) > least {
            return None;
        }
        let mut candidates = open.clone();
        let mut left = open;
        while let Some(slot) = left.first() {
            left.remove(slot);
            if rank(slot) > least {
                candidates.remove(slot);
            }
        }
        Some(candidates)
    }

    /// Walks to the next completion of what is not linearized, and takes every legal observation on
    /// the way.
    fn settle(&mut self) {
        loop {
            self.walk();
            let mut awaited_is_done = false;
            let mut open = self.pending.without(&self.done);
            while let Some(slot) = open.first() {
                open.remove(slot);
                let operation = self.holder[slot];
                let op = &self.operations[operation as usize].op;
                if !self.model.observes(self.states.get(self.state), op) {
                    continue;
                }
                self.steps += 1;
                if self.model.step(self.states.get(self.state), op).is_some() {
                    self.done.insert(slot);
                    self.order.push(operation);
                    awaited_is_done |= self.schedule.events[self.at].slot as usize == slot;
                }
            }
            if !awaited_is_done {
                return;
            }
        }
    }

    /// Walks to the next completion of what is not linearized.
    fn walk(&mut self) {
        while let Some(event) = self.schedule.events.get(self.at) {
            let slot = event.slot as usize;
            match event.edge {
                Edge::Invoked => self.hold(*event),
                Edge::Returned if self.done.has(slot) => {
                    self.pending.remove(slot);
                    self.done.remove(slot);
                }
                Edge::Returned => return,
            }
            self.at += 1;
        }
    }

    /// The operation of this event is pending from here on, or, walking back, again.
    fn hold(&mut self, event: Event) {
        let slot = event.slot as usize;
        self.holder[slot] = event.operation;
        self.pending.insert(slot);
        if event.binding {
            self.binding.insert(slot);
        } else {
            self.binding.remove(slot);
        }
    }

    /// Goes back to the configuration on top of the stack.
    fn back_to_top(&mut self) {
        let Some(&Frame { at, .. }) = self.stack.last() else { return };
        self.seek(at as usize);
        let Some(frame) = self.stack.last() else { return };
        self.done.clone_from(&frame.done);
        self.state = frame.state;
        self.usage = frame.usage;
        self.order.truncate(frame.order_len as usize);
        self.deepest.shared = self.deepest.shared.min(self.order.len());
    }

    /// Stands at this event, whatever is done there.
    fn seek(&mut self, at: usize) {
        while self.at < at {
            let event = self.schedule.events[self.at];
            match event.edge {
                Edge::Invoked => self.hold(event),
                Edge::Returned => self.pending.remove(event.slot as usize),
            }
            self.at += 1;
        }
        while self.at > at {
            self.at -= 1;
            let event = self.schedule.events[self.at];
            let slot = event.slot as usize;
            match event.edge {
                Edge::Invoked => self.pending.remove(slot),
                Edge::Returned => self.hold(event),
            }
        }
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
        let order = with_way(self.deepest.way.as_deref(), &self.deepest.order);
        Finding::Stuck(Stuck { operation, is_first: true, order, states })
    }

    fn memory_bytes(&self) -> usize {
        self.memo.bytes(self.done.heap_bytes())
            + self.states.bytes
            + self.usages.bytes
            + self.goals_bytes
            + self.stack.capacity() * (size_of::<Frame<S>>() + 2 * self.done.heap_bytes())
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
