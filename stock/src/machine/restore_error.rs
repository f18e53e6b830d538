//! Why a machine does not come back. Made by restore.

use crate::{Change, Outcome, Product, Rules, Seq, Sku};

/// Why a machine cannot be restored: the snapshot or a segment is damaged, or they do not belong
/// together. Nothing can be done but to get both anew from another node.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The machine that was to go on is further than the hot state, or goes by other rules.
    #[error("a machine at {earlier:?} cannot become the one of the hot state at {hot:?}")]
    NotOnTheWay {
        /// Where the machine is, and its rules.
        earlier: (Seq, Rules),
        /// Those of the hot state.
        hot: (Seq, Rules),
    },
    /// An event is missing or comes twice.
    #[error("the event after {last} is {found}")]
    NotDense {
        /// The event before.
        last: Seq,
        /// The number that came instead of the next.
        found: Seq,
    },
    /// Log time goes back from one event to the next, or from the last to the hot state.
    #[error("log time goes back to {found_ms} after {last_ms} at event {seq}")]
    TimeGoesBack {
        /// The later of the two, or the `seq` of the hot state.
        seq: Seq,
        /// Log time before.
        last_ms: u64,
        /// Log time after.
        found_ms: u64,
    },
    /// A hold was due to expire before an event, or before the hot state.
    #[error("hold {hold} is due before event {seq}, but has not expired")]
    Overdue {
        /// The event, or the `seq` of the hot state.
        seq: Seq,
        /// The hold.
        hold: Seq,
    },
    /// An event lets a hold expire that is not the next to.
    #[error("event {seq} lets hold {hold} expire, which is not the first that is due")]
    NotDue {
        /// The event.
        seq: Seq,
        /// The hold.
        hold: Seq,
    },
    /// An event is an order for a request id that has one.
    #[error("event {seq} has the request id of the order {order}")]
    SecondOrder {
        /// The event.
        seq: Seq,
        /// The first order.
        order: Seq,
    },
    /// An event is a change for a request id that became another within a day.
    #[error("event {seq} has the request id of another change")]
    SecondChange {
        /// The event.
        seq: Seq,
    },
    /// What the hot state says is forgotten, no change did.
    #[error("the hot state has forgotten up to change {hot}, but the last that it can is {events}")]
    Forgotten {
        /// As the hot state has it.
        hot: Seq,
        /// As the events have it.
        events: Seq,
    },
    /// An event records a change that the state before it refuses.
    #[error("event {seq} is refused by the state before it: {outcome:?}")]
    Refused {
        /// The event.
        seq: Seq,
        /// What the state answers.
        outcome: Outcome,
    },
    /// An event records other numbers than the change leads to.
    #[error("event {seq} says {recorded:?}, but the events before it lead to {derived:?}")]
    ChangeDiffers {
        /// The event.
        seq: Seq,
        /// What it says.
        recorded: Box<Change>,
        /// What it should say.
        derived: Box<Change>,
    },
    /// There are more or fewer events than the hot state has changes.
    #[error("the hot state is that after {hot} changes, but there are {events} events")]
    EventCount {
        /// The `seq` of the hot state.
        hot: Seq,
        /// The last event.
        events: Seq,
    },
    /// The hot state has a product otherwise than the events lead to, or lacks one.
    #[error("the hot state has the product {sku} as {hot:?}, but the events lead to {derived:?}")]
    ProductDiffers {
        /// The product.
        sku: Sku,
        /// As the hot state has it.
        hot: Option<Box<Product>>,
        /// As the events lead to it.
        derived: Option<Box<Product>>,
    },
    /// A digest cannot be one.
    #[error("a digest is wrong: {0}")]
    Digest(&'static str),
    /// A stored outcome cannot be one.
    #[error("the stored outcome of the request {request:032x} is damaged: {problem}")]
    StoredOutcome {
        /// The fingerprint of its request id.
        request: u128,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// All parts look right, yet the whole has another hash.
    #[error("the state hash is {recomputed:032x}, but the hot state says {hot:032x}")]
    HashDiffers {
        /// Of the restored machine.
        recomputed: u128,
        /// As the hot state has it.
        hot: u128,
    },
}
