//! Which operations may come next, and taking one of them.
//!
//! Owns: what is left out because another order can do as much. Never does: move from one
//! completion to the next (`walk`). Called by the search.

use super::Search;
use crate::Model;
use crate::model::Bearing;
use crate::search::placed::completed_hidden;
use crate::search::schedule::{NO_EVENT, Unknown};
use crate::search::slots::Slots;
use crate::search::states::StateId;

/// The first completions of one kind of operation that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstEnds {
    /// Of all of them.
    any: u32,
    /// Of those that must be linearized by then.
    must: u32,
}

impl FirstEnds {
    pub(super) const NONE: Self = Self { any: NO_EVENT, must: NO_EVENT };
}

impl<M: Model, S: Slots> Search<'_, M, S> {
    /// Takes the next untried step from the configuration on top of the stack. False when there
    /// is none.
    pub(super) fn advance(&mut self) -> bool {
        self.take_known() || self.take_unknown() || self.pass()
    }

    fn take_known(&mut self) -> bool {
        // First the operation whose completion is waited for: what ends first took effect early.
        let awaited = self.schedule.events[self.at].slot as usize;
        loop {
            let Some(frame) = self.stack.last_mut() else { return false };
            let Some(first) = frame.untried.first() else { return false };
            let slot = if frame.untried.has(awaited) { awaited } else { first };
            frame.untried.remove(slot);
            let must = slot == awaited && self.must(slot);
            let operation = self.holder[slot];
            if let Some(state) = self.step(operation) {
                self.state = state;
                self.placed.done.insert(slot);
                self.placed.hidden.remove(slot);
                self.order.push(operation);
                self.overwrite(self.bearing(slot), must);
                return true;
            }
        }
    }

    fn take_unknown(&mut self) -> bool {
        loop {
            let Some(frame) = self.stack.last_mut() else { return false };
            let shape = frame.queue as usize;
            let Some(queue) = self.schedule.queues.get(shape) else { return false };
            if queue.unknowns[0].from as usize > self.at {
                // Shapes are in the order of their first invocation: the rest come later still.
                return false;
            }
            frame.queue += 1;
            let used = self.usages.used(self.usage, shape);
            let Some(&unknown) = queue.unknowns.get(used) else { continue };
            if unknown.from as usize > self.at || !self.may_follow(unknown.bearing) {
                continue;
            }
            let Some(state) = self.step(unknown.operation) else { continue };
            if state == self.state && !self.would_hide_more(unknown) {
                continue;
            }
            self.state = state;
            self.usage = self.usages.plus(self.usage, shape);
            self.order.push(unknown.operation);
            self.overwrite(unknown.bearing, false);
            return true;
        }
    }

    /// Leaves out what may be, or leaves it hidden.
    fn pass(&mut self) -> bool {
        let Some(frame) = self.stack.last_mut() else { return false };
        if !std::mem::take(&mut frame.may_pass) {
            return false;
        }
        let awaited = self.schedule.events[self.at];
        let slot = awaited.slot as usize;
        if self.placed.hidden.has(slot) {
            self.order.push(completed_hidden(awaited.operation));
        }
        self.pending.remove(slot);
        self.placed.remove(slot);
        self.at += 1;
        true
    }

    /// The state after this operation, where it is legal.
    fn step(&mut self, operation: u32) -> Option<StateId> {
        self.steps += 1;
        let op = &self.operations[operation as usize].op;
        let state = self.model.step(self.states.get(self.state), op)?;
        Some(self.states.id(state, |state| self.model.state_bytes(state)))
    }

    /// Takes note of what a step hides, if it does. It is idle then, unless it `must` be taken.
    fn overwrite(&mut self, bearing: Bearing, must: bool) {
        self.placed.is_idle = bearing == Bearing::Overwrites && !must;
        if bearing == Bearing::Overwrites {
            self.placed.hidden = self.can_hide();
        }
    }

    /// Those that are hidden by a step that overwrites.
    fn can_hide(&self) -> S {
        let open = self.open();
        let tells = open.without(&self.blind);
        open.without(&tells)
    }

    fn would_hide_more(&self, unknown: Unknown) -> bool {
        let more = || self.can_hide().without(&self.placed.hidden);
        unknown.bearing == Bearing::Overwrites && more().first().is_some()
    }

    /// Whether a step may come next that bears so on what it meets.
    fn may_follow(&self, bearing: Bearing) -> bool {
        !self.placed.is_idle || bearing != Bearing::Overwrites
    }

    fn bearing(&self, slot: usize) -> Bearing {
        self.schedule.events[self.ends_at[slot] as usize].bearing
    }

    /// Whether the operation of this slot must be linearized by its completion.
    fn must(&self, slot: usize) -> bool {
        let is_required = self.schedule.events[self.ends_at[slot] as usize].required;
        is_required && !self.placed.hidden.has(slot)
    }

    /// The known operations that are pending and not linearized.
    pub(super) fn open(&self) -> S {
        self.pending.without(&self.placed.done)
    }

    /// The known operations that may come next, `None` when what must still come no longer can.
    pub(super) fn candidates(&mut self) -> Option<S> {
        if M::RANKED { self.least_ranks() } else { Some(self.first_of_their_kind()) }
    }

    fn least_ranks(&self) -> Option<S> {
        let open = self.open();
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

    /// Those that may come next and of which none does the same to every state that completes
    /// before them: in an order in which that comes later, the two can change places. So can they
    /// where the other completes hidden; but not where it may be left out, and this one not.
    fn first_of_their_kind(&mut self) -> S {
        let open = self.open();
        self.note_first_ends(&open);
        let (mut candidates, mut left) = (open.clone(), open);
        while let Some(slot) = left.first() {
            left.remove(slot);
            let first = self.first_ends[self.kind(slot)];
            let first = if self.must(slot) { first.must } else { first.any };
            let has_earlier = first < self.ends_at[slot];
            if has_earlier || !self.may_follow(self.bearing(slot)) {
                candidates.remove(slot);
            }
        }
        candidates
    }

    /// Notes which of each kind of these comes first; what it notes of other kinds is of no
    /// account.
    fn note_first_ends(&mut self, open: &S) {
        let mut left = open.clone();
        while let Some(slot) = left.first() {
            left.remove(slot);
            let kind = self.kind(slot);
            self.first_ends[kind] = FirstEnds::NONE;
        }
        let mut left = open.clone();
        while let Some(slot) = left.first() {
            left.remove(slot);
            let (kind, must, ends_at) = (self.kind(slot), self.must(slot), self.ends_at[slot]);
            let first = &mut self.first_ends[kind];
            first.any = first.any.min(ends_at);
            if must {
                first.must = first.must.min(ends_at);
            }
        }
    }

    fn kind(&self, slot: usize) -> usize {
        self.schedule.events[self.ends_at[slot] as usize].kind as usize
    }
}
