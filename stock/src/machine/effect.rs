//! What a decision comes to: the answer, or the change that it allows.
//!
//! Made by `judge` for apply and peek, and by restore from events; carried out by `perform`.

use crate::cursors::Cursor;
use crate::keys::Note;
use crate::quota::Quota;
use crate::{
    By, CursorName, CursorTarget, Envelope, HoldTtl, Items, Outcome, Quantity, Reply, RequestId,
    Requester, Seq, Sku, Terms, UserId,
};

/// What the state says to a command.
pub(super) enum Decision<'a> {
    /// An earlier attempt decided the request id.
    Known(Reply),
    /// The hold that the command would end has to expire first.
    Overdue(Seq),
    /// The state answers without a change.
    Unchanged(Outcome),
    /// The command changes the state.
    Change(Effect<'a>),
    /// The command changes a product as a counter.
    Key(KeyEffect<'a>),
    /// The command changes a cursor.
    Cursor(CursorEffect<'a>),
}

/// A change of a cursor that the state allows.
pub(super) enum CursorEffect<'a> {
    Make { name: &'a CursorName, cursor: Cursor, target: Option<&'a CursorTarget> },
    Move { name: &'a CursorName, cursor: Cursor, target: Option<&'a CursorTarget> },
    Remove { name: &'a CursorName, position: u64 },
}

/// A change of a counter that the state allows: perhaps a change of its product, and what is noted
/// of its key from then on.
pub(super) struct KeyEffect<'a> {
    pub(super) sku: &'a Sku,
    pub(super) units: Option<Units>,
    pub(super) note: Option<Note>,
    pub(super) outcome: Outcome,
}

/// What a counter's change is to its product.
pub(super) enum Units {
    Create(Terms),
    Restock(i64),
}

/// A change that the state allows.
pub(super) enum Effect<'a> {
    Create(&'a Terms),
    Update(Terms),
    Restock { sku: &'a Sku, quantity: i64 },
    Buy(Purchase<'a>),
    Basket(Claim<'a>),
    Hold { claim: Claim<'a>, expires_at_ms: u64, asked: Option<AskedTtl> },
    Confirm { hold: Seq, request_id: &'a RequestId },
    Release { hold: Seq, asked: Option<Asked<'a>> },
    Cancel { order: Seq, user: UserId, items: Items, hold: Option<Seq>, asked: Option<Again<'a>> },
}

/// For how long a hold was asked for, if that was said. Recorded under [`crate::Rules::Two`].
#[derive(Debug, Clone, Copy)]
pub(super) struct AskedTtl(pub(super) Option<HoldTtl>);

/// Who asked, under which id. Recorded under [`crate::Rules::Two`].
pub(super) struct Asked<'a> {
    pub(super) by: By,
    pub(super) request_id: &'a RequestId,
}

/// The same of a cancel, and the request that had become its order.
pub(super) struct Again<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) ordered_as: &'a RequestId,
}

/// Units of one or several products that the state lets a user have.
pub(super) struct Claim<'a> {
    pub(super) user: &'a UserId,
    pub(super) request_id: &'a RequestId,
    pub(super) items: Items,
    /// The account to charge for each item, when its product has a limit.
    pub(super) quotas: Vec<Option<Quota>>,
}

/// A buy that the state allows.
pub(super) struct Purchase<'a> {
    pub(super) sku: &'a Sku,
    pub(super) user: &'a UserId,
    pub(super) request_id: &'a RequestId,
    pub(super) quantity: Quantity,
    /// The account to charge, when the product has a limit.
    pub(super) quota: Option<Quota>,
    pub(super) owed: Owed,
}

/// What a product owes as a counter, by which a buy's answer is its count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owed {
    /// Nothing, or the buyer is none who counts.
    Nothing,
    /// So many units, told in the answer alone: before [`crate::Rules::Four`].
    Told(u64),
    /// So many, and the event says so: whoever asks again is answered alike.
    Recorded(u64),
}

impl<'a> Asked<'a> {
    pub(super) fn with(envelope: &'a Envelope) -> Self {
        let by = match &envelope.requester {
            Requester::Operator => By::Operator,
            Requester::User(_) => By::Owner,
        };
        Self { by, request_id: &envelope.request_id }
    }
}
