//! What waits to be proposed, and whose turn it is: deficit round robin over this node's own buyers
//! and those of each follower.
//!
//! Owns what waits, and who may take how much of the next batch. Never looks at what a batch is
//! for.
//!
//! The scheme is Shreedhar's and Varghese's ("Efficient Fair Queuing using Deficit Round Robin",
//! 1995), with the room of a batch as what is shared in each round.

mod balance;
mod patience;

pub(crate) use balance::Load;

use super::batch::Group;
use super::{Ask, NotProposed, clicks};
use balance::Balance;
use patience::Patience;
use raft::ForwardedFrame;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stock::{Command, Envelope, Items, NodeId, codec};
use tokio::time::Instant;

/// Commands in one batch.
pub(super) const COMMANDS_MAX: usize = 1_024;
/// Estimated bytes of one batch: safely under what an entry may hold.
pub(super) const BYTES_MAX: usize = codec::BATCH_BYTES_MAX as usize / 2;
/// What a command takes of a batch at least, so that the bytes bound the commands, too.
const COST_MIN: usize = BYTES_MAX / COMMANDS_MAX;
/// A frame goes once all that is under way is at most so many of its size.
const FRAME_PARTS: usize = 4;
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
/// Each of them is a *lane*, and lanes that wait share the batches as their nodes' buyers are many:
/// neither the buyers of this node nor those of one follower may win more often than the others.
pub(crate) struct Queue {
    asks: VecDeque<Ask>,
    frames: BTreeMap<NodeId, VecDeque<ForwardedFrame>>,
    /// Bytes that each lane which waits may take of the batches. What it could not take, for its
    /// next frame did not fit, it may take of the next one.
    credits: BTreeMap<Lane, usize>,
    balance: Balance,
    patience: Patience,
}

/// Whose buyers wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Own,
    Follower(NodeId),
}

impl Queue {
    /// An empty one, in which nobody waits for longer than `wait_max`.
    pub(crate) fn new(wait_max: Duration) -> Self {
        Self {
            asks: VecDeque::new(),
            frames: BTreeMap::new(),
            credits: BTreeMap::new(),
            balance: Balance::default(),
            patience: Patience::new(wait_max, Instant::now()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.asks.len() + self.framed()
    }

    /// How many of this node's own wait.
    pub(super) fn own_len(&self) -> usize {
        self.asks.len()
    }

    /// How many commands wait that followers sent.
    pub(super) fn framed(&self) -> usize {
        self.frames.values().flatten().map(|frame| frame.commands.len()).sum()
    }

    /// Whether the next batch should go: it is as large as all of them that are under way together.
    ///
    /// An entry costs as much as twenty buys or more, whatever is in it, and small ones beget small
    /// ones: who is answered together asks again together. So batches grow until about half of all
    /// buyers are in flight, and the other half in the next batch; a lone buyer never waits.
    ///
    /// A frame costs much less, and what is in it waits for an entry once more at the leader. So it
    /// goes when it is a part of what is under way.
    pub(super) fn is_worth_a_batch(&self, room: Room) -> bool {
        match room {
            Room::Entry => self.framed() + self.own_most(room) >= self.balance.under_way(),
            Room::Frame => self.len() * FRAME_PARTS >= self.balance.under_way(),
        }
    }

    /// How many own asks may go. A frame holds no others.
    fn own_most(&self, room: Room) -> usize {
        match room {
            Room::Entry => self.balance.may_go(self.asks.len(), self.framed()),
            Room::Frame => self.asks.len(),
        }
    }

    /// How many buyers of this node wait for an answer.
    pub(super) fn own_waiting(&self) -> usize {
        self.balance.own(self.asks.len())
    }

    /// Whether this ask would wait for too long.
    pub(super) fn is_full_for(&self, ask: &Ask) -> bool {
        may_be_shed(ask) && self.patience.is_full(self.asks.len(), Instant::now())
    }

    /// There was no leader, or there is another: nobody has waited for too long because of it.
    pub(super) fn begin_anew(&mut self) {
        self.patience.begin_anew(Instant::now());
    }

    /// Notes that a batch is answered.
    pub(super) fn landed(&mut self, load: &Load) {
        self.balance.landed(load);
        self.patience.landed(Instant::now());
    }

    pub(crate) fn push(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }

    pub(crate) fn extend(&mut self, asks: Vec<Ask>) {
        self.asks.extend(asks);
    }

    pub(crate) fn push_frame(&mut self, frame: ForwardedFrame) {
        self.balance.came(&frame, self.asks.len());
        self.frames.entry(frame.from).or_default().push_back(frame);
    }

    /// Empties it.
    pub(crate) fn take_all(&mut self) -> (VecDeque<Ask>, impl Iterator<Item = ForwardedFrame>) {
        let frames = std::mem::take(&mut self.frames).into_values().flatten();
        (std::mem::take(&mut self.asks), frames)
    }

    /// Cuts off asks for one frame, as they came; none when nothing waits.
    pub(crate) fn take_asks(&mut self) -> Vec<Ask> {
        let now = Instant::now();
        // It goes because the one before was answered, or nothing was on its way.
        self.patience.landed(now);
        self.drop_expired(now);
        self.drop_late(now);
        let (mut left, mut asks) = (Room::Frame.bytes(), Vec::new());
        while let Some(ask) = self.asks.front() {
            let cost = cost(std::slice::from_ref(&ask.envelope));
            if cost > left && !asks.is_empty() {
                break;
            }
            left = left.saturating_sub(cost);
            asks.extend(self.asks.pop_front());
        }
        self.patience.left(asks.len(), self.asks.len(), now);
        asks
    }

    /// Cuts the next batch off.
    ///
    /// Its room is shared among the lanes that wait, by how many buyers wait at each of their nodes;
    /// what one leaves is shared among the others, and what one could not take is its credit for the
    /// next batch. Who has most of that comes first. Frames go whole, and the first one of all
    /// whatever its size.
    pub(super) fn fill(&mut self, group: &mut Group, room: Room) {
        let now = Instant::now();
        self.drop_expired(now);
        self.drop_late(now);
        if self.balance.under_way() == 0 {
            self.patience.started(now);
        }
        let mut left = room.bytes();
        let mut own = self.own_most(room);
        while group.is_empty() {
            let mut lanes = self.waiting(own);
            self.credits.retain(|lane, _| lanes.contains(lane));
            if lanes.is_empty() {
                self.patience.left(0, self.asks.len(), now);
                return;
            }
            let mut spare = room.bytes();
            while spare >= COST_MIN && !lanes.is_empty() {
                let shared = spare;
                let weights: usize = lanes.iter().map(|lane| self.weight(*lane)).sum();
                spare = 0;
                lanes.retain(|lane| {
                    let part = (shared * self.weight(*lane)).div_ceil(weights);
                    let mut credit = self.credits.remove(lane).unwrap_or_default() + part;
                    self.move_lane(
                        *lane,
                        Left { credit: &mut credit, room: &mut left, own: &mut own },
                        group,
                    );
                    let waits = self.waits(*lane, own);
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
        self.patience.left(group.own_len(), self.asks.len(), now);
    }

    /// Notes a batch that goes.
    pub(super) fn goes(&mut self, load: &Load) {
        self.balance.goes(load);
    }

    /// Answers asks that waited past their deadline: they were surely not proposed.
    fn drop_expired(&mut self, now: Instant) {
        while let Some(late) = pop_if(&mut self.asks, |ask| ask.deadline <= now) {
            late.decline(NotProposed::NoLeader);
        }
    }

    /// Answers asks that have waited for too long, which have come to nobody else yet.
    fn drop_late(&mut self, now: Instant) {
        let is_late = |ask: &&Ask| self.patience.is_over(ask.came, now);
        let late = self.asks.iter().take_while(is_late).count();
        if late == 0 {
            return;
        }
        let in_time = self.asks.split_off(late);
        let (shed, kept): (Vec<Ask>, Vec<Ask>) =
            std::mem::replace(&mut self.asks, in_time).into_iter().partition(may_be_shed);
        for ask in shed {
            ask.decline(NotProposed::MailboxFull);
        }
        for ask in kept.into_iter().rev() {
            self.asks.push_front(ask);
        }
    }

    /// The lanes that wait, who has most credit first.
    fn waiting(&self, own: usize) -> Vec<Lane> {
        let own = self.waits(Lane::Own, own).then_some(Lane::Own);
        let followers = self.frames.keys().copied().map(Lane::Follower);
        let mut lanes: Vec<Lane> = own.into_iter().chain(followers).collect();
        lanes.sort_by_key(|lane| std::cmp::Reverse(self.credits.get(lane).copied()));
        lanes
    }

    fn weight(&self, lane: Lane) -> usize {
        match lane {
            Lane::Own => self.balance.own_crowd(self.asks.len()).max(1),
            Lane::Follower(id) => self.balance.of(id).max(1),
        }
    }

    /// Whether a lane has something that may go, so many own asks among that.
    fn waits(&self, lane: Lane, own: usize) -> bool {
        match lane {
            Lane::Own => own > 0 && !self.asks.is_empty(),
            Lane::Follower(id) => self.frames.contains_key(&id),
        }
    }

    /// Moves what a lane has into a batch, as far as what is left goes.
    fn move_lane(&mut self, lane: Lane, left: Left<'_>, group: &mut Group) {
        let Left { credit, room, own } = left;
        let mut takes = |commands: &[Envelope], is_first: bool| {
            let cost = cost(commands);
            let takes = cost <= *credit && (is_first || cost <= *room);
            if takes {
                *credit -= cost;
                *room = room.saturating_sub(cost);
            }
            takes
        };
        match lane {
            Lane::Own => {
                while let Some(ask) = pop_if(&mut self.asks, |ask| {
                    *own > 0 && takes(std::slice::from_ref(&ask.envelope), group.is_empty())
                }) {
                    *own -= 1;
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

/// What a lane may still take: by its turn, of the batch, and of own asks.
struct Left<'a> {
    credit: &'a mut usize,
    room: &'a mut usize,
    own: &'a mut usize,
}

/// Whether this is one buyer's click. Who asks for many at once is bounded by how many, and knows
/// better than the node what to do with the rest; and what is no click is for those who sell, or
/// finishes what a click began.
fn may_be_shed(ask: &Ask) -> bool {
    ask.reply_to.is_alone() && !ask.reply_to.is_tried() && clicks::clicker(ask).is_some()
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
