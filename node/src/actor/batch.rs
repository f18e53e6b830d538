//! One batch on its way, with where its answers go.

use super::queue::{Load, Queue, Room};
use super::{Ask, ReplyTo, Tries};
use raft::ForwardedFrame;
use std::time::Duration;
use stock::{Batch, NodeId};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a frame may take; its sender keeps the buyers' own deadlines.
const FRAME_DEADLINE: Duration = Duration::from_secs(5);

/// Where the answer to one own command goes.
pub(crate) struct Slot {
    pub(crate) deadline: Instant,
    pub(crate) reply_to: ReplyTo,
    tries: Tries,
}

/// Where the answers to one follower's frame go.
pub(crate) struct FrameSlot {
    pub(crate) commands: usize,
    pub(crate) reply: oneshot::Sender<raft::ForwardAnswer>,
}

/// One batch on its way, with where its replies go: first own commands, then frames.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) own: Vec<Slot>,
    pub(crate) frames: Vec<FrameSlot>,
    /// While it is cut: frames whose commands come behind the own ones.
    framed: Vec<ForwardedFrame>,
    /// As they were: whose they are, and how many commands each has.
    cut_frames: Vec<(NodeId, usize)>,
    /// How many buyers of this node waited for an answer as it was cut, these among them.
    pub(crate) waiting: usize,
}

impl Group {
    /// Cuts the next batch off the queue; none when nothing waits.
    pub(crate) fn take(queue: &mut Queue, room: Room) -> Option<Self> {
        let mut group = Self { waiting: queue.own_waiting(), ..Self::default() };
        queue.fill(&mut group, room);
        for ForwardedFrame { from, commands, reply, .. } in std::mem::take(&mut group.framed) {
            group.cut_frames.push((from, commands.len()));
            group.frames.push(FrameSlot { commands: commands.len(), reply });
            group.batch.commands.extend(commands);
        }
        queue.goes(&group.load());
        (!group.batch.commands.is_empty()).then_some(group)
    }

    /// What it holds, as it was cut.
    pub(crate) fn load(&self) -> Load {
        let (commands, own) = (self.len(), self.own.len());
        Load { commands, own, frames: self.cut_frames.clone() }
    }

    pub(super) fn own_len(&self) -> usize {
        self.own.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.framed.is_empty()
    }

    pub(super) fn add(&mut self, ask: Ask) {
        let Ask { envelope, deadline, reply_to, tries, .. } = ask;
        self.own.push(Slot { deadline, reply_to, tries });
        self.batch.commands.push(envelope);
    }

    pub(super) fn add_frame(&mut self, frame: ForwardedFrame) {
        self.framed.push(frame);
    }

    /// Until when this batch is worth trying: its most patient member decides.
    pub(crate) fn deadline(&self) -> Instant {
        let own = self.own.iter().map(|slot| slot.deadline).max();
        let frames = (!self.frames.is_empty()).then(|| Instant::now() + FRAME_DEADLINE);
        own.max(frames).unwrap_or_else(Instant::now)
    }

    /// Takes out own commands whose deadline has passed.
    pub(crate) fn take_expired(&mut self) -> Vec<Slot> {
        let now = Instant::now();
        self.take_own(|slot| slot.deadline <= now)
    }

    /// Takes out commands that another node tries again.
    pub(crate) fn take_once(&mut self) -> Vec<Slot> {
        self.take_own(|slot| slot.tries == Tries::Once)
    }

    fn take_own(&mut self, out: impl Fn(&Slot) -> bool) -> Vec<Slot> {
        assert!(self.frames.is_empty(), "frames are settled before a batch is tried again");
        let commands = std::mem::take(&mut self.batch.commands);
        let slots = std::mem::take(&mut self.own);
        let mut taken = Vec::new();
        for (slot, command) in slots.into_iter().zip(commands) {
            if out(&slot) {
                taken.push(slot);
            } else {
                self.own.push(slot);
                self.batch.commands.push(command);
            }
        }
        taken
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.commands.len()
    }
}
