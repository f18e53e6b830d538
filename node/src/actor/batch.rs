//! What waits to be proposed, and how it is cut into batches that fit one log entry.

use super::Ask;
use raft::ForwardedFrame;
use std::collections::VecDeque;
use std::time::Duration;
use stock::{Batch, Command, Envelope, codec};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Commands in one batch.
const COMMANDS_MAX: usize = 1_024;
/// Estimated bytes of one batch: safely under what an entry may hold.
const BYTES_MAX: usize = codec::BATCH_BYTES_MAX as usize / 2;
/// Bytes of one command besides its texts: tags, lengths, numbers.
const COMMAND_BYTES: usize = 40;
/// How long a frame may take; its sender keeps the buyers' own deadlines.
const FRAME_DEADLINE: Duration = Duration::from_secs(5);

/// Asks and frames in order of arrival.
#[derive(Default)]
pub(crate) struct Queue {
    asks: VecDeque<Ask>,
    frames: VecDeque<ForwardedFrame>,
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

    pub(crate) fn push_frame(&mut self, frame: ForwardedFrame) {
        self.frames.push_back(frame);
    }
}

/// Where the answers to one follower's frame go.
pub(crate) struct FrameSlot {
    pub(crate) commands: usize,
    pub(crate) reply: oneshot::Sender<raft::ForwardAnswer>,
}

/// One batch on its way, with where its replies go: first own commands, then frames.
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) own: Vec<oneshot::Sender<super::Answer>>,
    pub(crate) frames: Vec<FrameSlot>,
    pub(crate) deadline: Instant,
}

impl Group {
    /// Cuts the next batch off the queue; none when nothing waits.
    ///
    /// Frames come first: they have waited on another node already, and a frame goes whole.
    pub(crate) fn take(queue: &mut Queue) -> Option<Self> {
        let now = Instant::now();
        let mut size = Size::default();
        let mut frames = Vec::new();
        while let Some(frame) = queue.frames.front() {
            if !size.add_all(&frame.commands) && !frames.is_empty() {
                break;
            }
            frames.extend(queue.frames.pop_front());
        }
        let mut group = Self {
            batch: Batch { stamp_ms: 0, commands: Vec::new() },
            own: Vec::new(),
            frames: Vec::new(),
            deadline: now + FRAME_DEADLINE,
        };
        while let Some(ask) = queue.asks.front() {
            if ask.deadline <= now {
                if let Some(late) = queue.asks.pop_front() {
                    late.answer(super::Answer::NotProposed(super::NotProposed::NoLeader));
                }
                continue;
            }
            let first = group.own.is_empty() && frames.is_empty();
            if !size.add(&ask.envelope) && !first {
                break;
            }
            if let Some(ask) = queue.asks.pop_front() {
                group.deadline = group.deadline.min(ask.deadline);
                group.own.push(ask.answer);
                group.batch.commands.push(ask.envelope);
            }
        }
        for frame in frames {
            let slot = FrameSlot { commands: frame.commands.len(), reply: frame.reply };
            group.batch.commands.extend(frame.commands);
            group.frames.push(slot);
        }
        (!group.batch.commands.is_empty()).then_some(group)
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

impl Size {
    /// Adds one command; false when the batch would be too large with it.
    fn add(&mut self, envelope: &Envelope) -> bool {
        self.add_all(std::slice::from_ref(envelope))
    }

    fn add_all(&mut self, envelopes: &[Envelope]) -> bool {
        let commands = self.commands + envelopes.len();
        let bytes = self.bytes + envelopes.iter().map(bytes).sum::<usize>();
        let fits = commands <= COMMANDS_MAX && bytes <= BYTES_MAX;
        if fits || self.commands == 0 {
            (self.commands, self.bytes) = (commands, bytes);
        }
        fits
    }
}

/// An upper bound, nearly, of the encoded size of a command.
fn bytes(envelope: &Envelope) -> usize {
    let requester = match &envelope.requester {
        stock::Requester::Operator => 0,
        stock::Requester::User(user) => user.as_str().len(),
    };
    let command = match &envelope.command {
        Command::CreateProduct(product) => product.sku.as_str().len() + product.name.len(),
        Command::Restock { sku, .. } | Command::Buy { sku, .. } => sku.as_str().len(),
    };
    COMMAND_BYTES + requester + envelope.request_id.as_str().len() + command
}
