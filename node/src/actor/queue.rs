//! What waits to be proposed, and whose turn it is: deficit round robin over this node's own buyers
//! and those of each follower.
//!
//! Owns what waits, and who may take how much of the next batch. Never looks at what a batch is
//! for.
//!
//! The scheme is Shreedhar's and Varghese's ("Efficient Fair Queuing using Deficit Round Robin",
//! 1995), with the room of a batch as what is shared in each round.

use super::Ask;
use super::batch::Group;
use raft::ForwardedFrame;
use std::collections::{BTreeMap, VecDeque};
use stock::{Command, Envelope, Items, NodeId, codec};
use tokio::time::Instant;

/// Commands in one batch.
pub(super) const COMMANDS_MAX: usize = 1_024;
/// Estimated bytes of one batch: safely under what an entry may hold.
pub(super) const BYTES_MAX: usize = codec::BATCH_BYTES_MAX as usize / 2;
/// What a command takes of a batch at least, so that the bytes bound the commands, too.
const COST_MIN: usize = BYTES_MAX / COMMANDS_MAX;
/// Bytes of one command besides its texts: tags, lengths, numbers.
const COMMAND_BYTES: usize = 40;
/// Bytes of an item besides its product's id.
const ITEM_BYTES: usize = 8;
/// Bytes of a product's terms or of their update besides the texts.
const TERMS_BYTES: usize = 64;

/// How much a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// What a log entry holds.
    Entry,
    /// What goes to the leader in one frame: a part of an entry, for frames go whole into one, and
    /// large ones would leave much of it empty, or push others out.
    Frame,
}

impl Room {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Entry => BYTES_MAX,
            Self::Frame => BYTES_MAX / 4,
        }
    }
}

/// What waits, in order of arrival: this node's own asks, and the frames of each follower.
///
/// Each of them is a *lane*, and lanes that wait get equal parts of the batches: neither the
/// buyers of this node nor those of one follower may win more often than the others.
#[derive(Default)]
pub(crate) struct Queue {
    asks: VecDeque<Ask>,
    frames: BTreeMap<NodeId, VecDeque<ForwardedFrame>>,
    /// Bytes that each lane which waits may take of the batches. What it could not take, for its
    /// next frame did not fit, it may take of the next one.
    credits: BTreeMap<Lane, usize>,
}

/// Whose buyers wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Own,
    Follower(NodeId),
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        let frames = self.frames.values().flatten();
        self.asks.len() + frames.map(|frame| frame.commands.len()).sum::<usize>()
    }

    pub(crate) fn push(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }

    pub(crate) fn extend(&mut self, asks: Vec<Ask>) {
        self.asks.extend(asks);
    }

    pub(crate) fn push_frame(&mut self, frame: ForwardedFrame) {
        self.frames.entry(frame.from).or_default().push_back(frame);
    }

    /// Empties it.
    pub(crate) fn take_all(&mut self) -> (VecDeque<Ask>, impl Iterator<Item = ForwardedFrame>) {
        let frames = std::mem::take(&mut self.frames).into_values().flatten();
        (std::mem::take(&mut self.asks), frames)
    }

    /// Cuts off asks for one frame, as they came; none when nothing waits.
    pub(crate) fn take_asks(&mut self) -> Vec<Ask> {
        self.drop_expired(Instant::now());
        let (mut left, mut asks) = (Room::Frame.bytes(), Vec::new());
        while let Some(ask) = self.asks.front() {
            let cost = cost(std::slice::from_ref(&ask.envelope));
            if cost > left && !asks.is_empty() {
                break;
            }
            left = left.saturating_sub(cost);
            asks.extend(self.asks.pop_front());
        }
        asks
    }

    /// Cuts the next batch off.
    ///
    /// Its room is shared equally among the lanes that wait; what one leaves is shared among the
    /// others, and what one could not take is its credit for the next batch. Who has most of that
    /// comes first. Frames go whole, and the first one of all whatever its size.
    pub(super) fn fill(&mut self, group: &mut Group, room: Room) {
        self.drop_expired(Instant::now());
        let mut left = room.bytes();
        while group.is_empty() {
            let mut lanes = self.waiting();
            self.credits.retain(|lane, _| lanes.contains(lane));
            if lanes.is_empty() {
                return;
            }
            let mut spare = room.bytes();
            while spare >= COST_MIN && !lanes.is_empty() {
                let part = spare.div_ceil(lanes.len());
                spare = 0;
                lanes.retain(|lane| {
                    let mut credit = self.credits.remove(lane).unwrap_or_default() + part;
                    self.move_lane(*lane, &mut credit, &mut left, group);
                    let waits = self.waits(*lane);
                    if waits {
                        self.credits.insert(*lane, credit);
                    } else {
                        spare += credit;
                    }
                    waits
                });
            }
        }
        // Only differences decide, so the credits stay small.
        let least = self.credits.values().min().copied().unwrap_or_default();
        self.credits.values_mut().for_each(|credit| *credit -= least);
    }

    /// Answers asks that waited past their deadline: they were surely not proposed.
    fn drop_expired(&mut self, now: Instant) {
        while let Some(late) = pop_if(&mut self.asks, |ask| ask.deadline <= now) {
            late.decline(super::NotProposed::NoLeader);
        }
    }

    /// The lanes that wait, who has most credit first.
    fn waiting(&self) -> Vec<Lane> {
        let own = (!self.asks.is_empty()).then_some(Lane::Own);
        let followers = self.frames.keys().copied().map(Lane::Follower);
        let mut lanes: Vec<Lane> = own.into_iter().chain(followers).collect();
        lanes.sort_by_key(|lane| std::cmp::Reverse(self.credits.get(lane).copied()));
        lanes
    }

    fn waits(&self, lane: Lane) -> bool {
        match lane {
            Lane::Own => !self.asks.is_empty(),
            Lane::Follower(id) => self.frames.contains_key(&id),
        }
    }

    /// Moves what a lane has into a batch, as far as its credit and the room go.
    fn move_lane(&mut self, lane: Lane, credit: &mut usize, left: &mut usize, group: &mut Group) {
        let mut takes = |commands: &[Envelope], is_first: bool| {
            let cost = cost(commands);
            let takes = cost <= *credit && (is_first || cost <= *left);
            if takes {
                *credit -= cost;
                *left = left.saturating_sub(cost);
            }
            takes
        };
        match lane {
            Lane::Own => {
                while let Some(ask) = pop_if(&mut self.asks, |ask| {
                    takes(std::slice::from_ref(&ask.envelope), group.is_empty())
                }) {
                    group.add(ask);
                }
            }
            Lane::Follower(id) => {
                let Some(frames) = self.frames.get_mut(&id) else {
                    return;
                };
                while let Some(frame) =
                    pop_if(frames, |frame| takes(&frame.commands, group.is_empty()))
                {
                    group.add_frame(frame);
                }
                if frames.is_empty() {
                    self.frames.remove(&id);
                }
            }
        }
    }
}

fn pop_if<T>(waiting: &mut VecDeque<T>, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
    if waiting.front().is_some_and(wanted) { waiting.pop_front() } else { None }
}

/// What commands take of a batch.
fn cost(commands: &[Envelope]) -> usize {
    commands.iter().map(|envelope| bytes(envelope).max(COST_MIN)).sum()
}

fn bytes_of(items: &Items) -> usize {
    items.as_slice().iter().map(|item| item.sku.as_str().len() + ITEM_BYTES).sum()
}

/// An upper bound, nearly, of the encoded size of a command.
fn bytes(envelope: &Envelope) -> usize {
    let requester = match &envelope.requester {
        stock::Requester::Operator => 0,
        stock::Requester::User(user) => user.as_str().len(),
    };
    let command = match &envelope.command {
        Command::CreateProduct(terms) => terms.sku.as_str().len() + terms.name.len() + TERMS_BYTES,
        Command::UpdateProduct(update) => {
            update.sku.as_str().len() + update.name.as_ref().map_or(0, String::len) + TERMS_BYTES
        }
        // What creates a product names it by its id, in the event.
        Command::Restock { sku, .. }
        | Command::Buy { sku, .. }
        | Command::Count { sku, .. }
        | Command::SetAvailable { sku, .. }
        | Command::Withdraw { sku } => sku.as_str().len(),
        Command::MoveCursor(cursor) => cursor.name.as_str().len(),
        Command::MoveCursorFor(wanted) => {
            wanted.moved.name.as_str().len() + wanted.target.as_str().len()
        }
        Command::RemoveCursor(removal) => removal.name.as_str().len(),
        Command::Hold { items, .. } | Command::BuyBasket { items } => bytes_of(items),
        Command::Confirm { .. } | Command::Release { .. } => 0,
        Command::Cancel(cancel) => {
            let texts = cancel.user.as_str().len() + cancel.request_id.as_str().len();
            texts + bytes_of(&cancel.items)
        }
    };
    COMMAND_BYTES + requester + envelope.request_id.as_str().len() + command
}

#[cfg(test)]
mod tests;
