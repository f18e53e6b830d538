//! What waits to be proposed, and how it is cut into batches that fit one log entry.

use super::{Ask, ReplyTo, Tries};
use raft::ForwardedFrame;
use std::collections::VecDeque;
use std::time::Duration;
use stock::{Batch, Command, Envelope, Items, codec};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Commands in one batch.
const COMMANDS_MAX: usize = 1_024;
/// Estimated bytes of one batch: safely under what an entry may hold.
const BYTES_MAX: usize = codec::BATCH_BYTES_MAX as usize / 2;
/// Bytes of one command besides its texts: tags, lengths, numbers.
const COMMAND_BYTES: usize = 40;
/// Bytes of an item besides its product's id.
const ITEM_BYTES: usize = 8;
/// Bytes of a product's terms or of their update besides the texts.
const TERMS_BYTES: usize = 64;
/// How long a frame may take; its sender keeps the buyers' own deadlines.
const FRAME_DEADLINE: Duration = Duration::from_secs(5);

/// Asks and frames in order of arrival.
#[derive(Default)]
pub(crate) struct Queue {
    asks: VecDeque<Ask>,
    frames: VecDeque<ForwardedFrame>,
    /// What each got since both wait.
    got: Got,
}

/// Bytes that asks and frames got of the batches while both waited.
#[derive(Default)]
struct Got {
    asks: usize,
    frames: usize,
}

impl Got {
    /// Only the difference decides, so the sums stay small.
    fn add(&mut self, asks: usize, frames: usize) {
        let (asks, frames) = (self.asks + asks, self.frames + frames);
        let both = asks.min(frames);
        *self = Self { asks: asks - both, frames: frames - both };
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.asks.len() + self.frames.iter().map(|frame| frame.commands.len()).sum::<usize>()
    }

    pub(crate) fn push(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }

    pub(crate) fn extend(&mut self, asks: Vec<Ask>) {
        self.asks.extend(asks);
    }

    /// Cuts off asks for one frame, as they came; none when nothing waits.
    pub(crate) fn take_asks(&mut self) -> Vec<Ask> {
        self.drop_expired(Instant::now());
        let (mut size, mut asks) = (Size::default(), Vec::new());
        while let Some(ask) = self.asks.front() {
            let envelope = std::slice::from_ref(&ask.envelope);
            if size.commands > 0 && !size.fits(envelope) {
                break;
            }
            size.add(envelope);
            asks.extend(self.asks.pop_front());
        }
        asks
    }

    /// Answers asks that waited past their deadline: they were surely not proposed.
    fn drop_expired(&mut self, now: Instant) {
        while self.asks.front().is_some_and(|ask| ask.deadline <= now) {
            if let Some(late) = self.asks.pop_front() {
                late.decline(super::NotProposed::NoLeader);
            }
        }
    }

    pub(crate) fn push_frame(&mut self, frame: ForwardedFrame) {
        self.frames.push_back(frame);
    }

    /// Moves asks into a batch, until they would not fit or the share is used up.
    fn move_asks(&mut self, size: &mut Size, share: Share, group: &mut Group) {
        while let Some(ask) = self.asks.front() {
            let envelope = std::slice::from_ref(&ask.envelope);
            if size.commands > 0 && (share.is_used_up(size) || !size.fits(envelope)) {
                break;
            }
            size.add(envelope);
            if let Some(ask) = self.asks.pop_front() {
                let Ask { envelope, deadline, reply_to, tries, .. } = ask;
                group.own.push(Slot { deadline, reply_to, tries });
                group.batch.commands.push(envelope);
            }
        }
    }

    /// Takes whole frames for a batch, until one would not fit or the share is used up.
    fn take_frames(&mut self, size: &mut Size, share: Share) -> Vec<ForwardedFrame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frames.front() {
            if size.commands > 0 && (share.is_used_up(size) || !size.fits(&frame.commands)) {
                break;
            }
            size.add(&frame.commands);
            frames.extend(self.frames.pop_front());
        }
        frames
    }

    /// Empties it.
    pub(crate) fn take_all(&mut self) -> (VecDeque<Ask>, VecDeque<ForwardedFrame>) {
        (std::mem::take(&mut self.asks), std::mem::take(&mut self.frames))
    }
}

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
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) own: Vec<Slot>,
    pub(crate) frames: Vec<FrameSlot>,
}

impl Group {
    /// Cuts the next batch off the queue; none when nothing waits.
    ///
    /// Where both wait, who got less comes first and takes half of the batch: neither the node's own
    /// buyers nor those of its followers may starve the others. Frames go whole, and one can fill a
    /// batch alone, or find no room in half of one; so what each got is added up.
    pub(crate) fn take(queue: &mut Queue) -> Option<Self> {
        queue.drop_expired(Instant::now());
        let mut size = Size::default();
        let mut group = Self { batch: Batch::default(), own: Vec::new(), frames: Vec::new() };
        let both = !queue.asks.is_empty() && !queue.frames.is_empty();
        if !both {
            queue.got = Got::default();
        }
        let asks_first = queue.got.asks < queue.got.frames;
        if asks_first {
            queue.move_asks(&mut size, Share::Half, &mut group);
        }
        let share = if both && !asks_first { Share::Half } else { Share::Whole };
        let before = size.bytes;
        let frames = queue.take_frames(&mut size, share);
        let of_frames = size.bytes - before;
        queue.move_asks(&mut size, Share::Whole, &mut group);
        if both {
            queue.got.add(size.bytes - of_frames, of_frames);
        }
        for frame in frames {
            let slot = FrameSlot { commands: frame.commands.len(), reply: frame.reply };
            group.batch.commands.extend(frame.commands);
            group.frames.push(slot);
        }
        (!group.batch.commands.is_empty()).then_some(group)
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

/// How much a batch holds so far.
#[derive(Default)]
struct Size {
    commands: usize,
    bytes: usize,
}

/// How much of a batch somebody may fill.
#[derive(Clone, Copy)]
enum Share {
    Half,
    Whole,
}

impl Share {
    fn is_used_up(self, size: &Size) -> bool {
        match self {
            Self::Half => size.commands >= COMMANDS_MAX / 2 || size.bytes >= BYTES_MAX / 2,
            Self::Whole => false,
        }
    }
}

impl Size {
    fn fits(&self, envelopes: &[Envelope]) -> bool {
        self.commands + envelopes.len() <= COMMANDS_MAX
            && self.bytes + envelopes.iter().map(bytes).sum::<usize>() <= BYTES_MAX
    }

    fn add(&mut self, envelopes: &[Envelope]) {
        self.commands += envelopes.len();
        self.bytes += envelopes.iter().map(bytes).sum::<usize>();
    }
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
