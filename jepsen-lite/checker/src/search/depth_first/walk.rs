//! The way over a partition's schedule, from one completion to the next and back.
//!
//! Owns: which operations are pending. Never does: branch. Called by the search.

use super::{Frame, Search};
use crate::Model;
use crate::model::Bearing;
use crate::search::schedule::{Edge, Event};
use crate::search::slots::Slots;

impl<M: Model, S: Slots> Search<'_, M, S> {
    /// Walks to the next completion of what is not linearized, and takes every legal observation on
    /// the way.
    pub(super) fn settle(&mut self) {
        loop {
            self.walk();
            let mut awaited_is_done = false;
            let mut open = self.open();
            while let Some(slot) = open.first() {
                open.remove(slot);
                let operation = self.holder[slot];
                let op = &self.operations[operation as usize].op;
                if !self.model.observes(self.states.get(self.state), op) {
                    continue;
                }
                self.steps += 1;
                if self.model.step(self.states.get(self.state), op).is_some() {
                    self.placed.done.insert(slot);
                    self.placed.is_idle = false;
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
                Edge::Returned if self.placed.done.has(slot) => {
                    self.pending.remove(slot);
                    self.placed.remove(slot);
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
        self.ends_at[slot] = event.returned;
        self.pending.insert(slot);
        if event.binding {
            self.binding.insert(slot);
        } else {
            self.binding.remove(slot);
        }
        if event.bearing == Bearing::Tells {
            self.blind.remove(slot);
        } else {
            self.blind.insert(slot);
        }
    }

    /// Goes back to the configuration on top of the stack.
    pub(super) fn back_to_top(&mut self) {
        let Some(&Frame { at, .. }) = self.stack.last() else { return };
        self.seek(at as usize);
        let Some(frame) = self.stack.last() else { return };
        self.placed.clone_from(&frame.placed);
        self.state = frame.state;
        self.usage = frame.usage;
        self.order.truncate(frame.order_len as usize);
        self.deepest.shared = self.deepest.shared.min(self.order.len());
    }

    /// Stands at this event, whatever is done there.
    pub(super) fn seek(&mut self, at: usize) {
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
}
