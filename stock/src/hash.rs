//! Every hash of the machine: request fingerprints, body digests, and the state hash.
//!
//! Owns their preimages, which are frozen: fingerprints live in memory but are rebuilt by every
//! build from the same events, and state hashes are compared between nodes of mixed versions.
//! Never decides anything. Called by the request table, the quotas and the machine.
//!
//! The state hash is a multiset hash: the wrapping sum of the hashes of all elements of the state
//! (after Clarke et al., "Incremental Multiset Hash Functions", 2003, their additive form), so
//! that one change costs one subtraction and one addition however large the state is. It finds
//! divergence by accident; it is no defence against somebody who chooses the state.

use crate::cursors::Cursor;
use crate::keys::Note;
use crate::{
    Command, CursorName, CursorTarget, Hold, Items, Product, Quantity, RequestId, Requester, Rules,
    Seq, Settlement, Sku, UserId, codec,
};
use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// What a preimage speaks of; its first byte. Numbers are frozen.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Domain {
    OperatorRequest = 1,
    UserRequest = 2,
    Quota = 3,
    ProductElement = 4,
    OrderElement = 5,
    StoredElement = 6,
    QuotaElement = 7,
    State = 8,
    LaterQuota = 9,
    LimitedLaterElement = 10,
    HoldElement = 11,
    SettledElement = 12,
    CancelledElement = 13,
    SoldOutEarlierElement = 14,
    User = 15,
    DoneElement = 16,
    RulesElement = 17,
    SettledOfElement = 18,
    OperatorStoredElement = 19,
    KeyElement = 20,
    CursorElement = 21,
    CounterStoredElement = 22,
    CursorTargetElement = 23,
}

/// Fixed-width fields of one element or id, in a buffer on the stack.
///
/// The longest preimage is a request's: domain, two lengths, and two texts of 128 bytes.
struct Preimage {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Preimage {
    const BYTES_MAX: usize = 1 + 2 * (4 + 128);

    fn new(domain: Domain) -> Self {
        let mut preimage = Self { bytes: [0; Self::BYTES_MAX], len: 0 };
        preimage.push(&[domain as u8]);
        preimage
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        assert!(end <= Self::BYTES_MAX, "preimage of {end} bytes, more than any id allows");
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// The length first, so that no two pairs of texts have one preimage.
    fn push_text(&mut self, text: &str) {
        self.push(&(text.len() as u32).to_le_bytes());
        self.push(text.as_bytes());
    }

    fn push_settled(&mut self, hold: Seq, settlement: Settlement) {
        let how = match settlement {
            Settlement::Confirmed { .. } => 0,
            Settlement::Released { .. } => 1,
            Settlement::Expired { .. } => 2,
        };
        self.push(&hold.0.to_le_bytes());
        self.push(&[how]);
        self.push(&settlement.seq().0.to_le_bytes());
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The first 128 bits of BLAKE3: buyers choose these texts, so they must not be able to find
    /// two with one fingerprint.
    fn fingerprint(&self) -> u128 {
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(self.bytes()).as_bytes()[..16]);
        u128::from_le_bytes(first)
    }
}

/// The request id of a requester, in 128 bits.
pub(crate) fn request_fingerprint(requester: &Requester, request_id: &RequestId) -> u128 {
    match requester {
        Requester::Operator => {
            let mut preimage = Preimage::new(Domain::OperatorRequest);
            preimage.push_text(request_id.as_str());
            preimage.fingerprint()
        }
        Requester::User(user) => user_request_fingerprint(user, request_id),
    }
}

/// The request id of a user, in 128 bits.
pub(crate) fn user_request_fingerprint(user: &UserId, request_id: &RequestId) -> u128 {
    let mut preimage = Preimage::new(Domain::UserRequest);
    preimage.push_text(user.as_str());
    preimage.push_text(request_id.as_str());
    preimage.fingerprint()
}

/// A user in 64 bits: of two users with one, a reader of their orders tells them apart.
pub(crate) fn user_fingerprint(user: &UserId) -> u64 {
    let mut preimage = Preimage::new(Domain::User);
    preimage.push_text(user.as_str());
    preimage.fingerprint() as u64
}

/// A user's account with one product under the limit that was set at `since`, in 128 bits.
pub(crate) fn quota_fingerprint(sku: &Sku, since: Seq, user: &UserId) -> u128 {
    let mut preimage = if since == Seq(0) {
        Preimage::new(Domain::Quota)
    } else {
        let mut preimage = Preimage::new(Domain::LaterQuota);
        preimage.push(&since.0.to_le_bytes());
        preimage
    };
    preimage.push_text(sku.as_str());
    preimage.push_text(user.as_str());
    preimage.fingerprint()
}

/// What tells whether a request id came back with another body. 32 bits: it catches a client's
/// mistake, not an attack, for only the owner of a request id can reuse it.
pub(crate) fn body_digest(command: &Command) -> u32 {
    // What a count takes is an order like a buy's, and comes back from its event as a buy.
    if let Command::Count { sku, by: by @ ..0, .. } = command
        && let Ok(quantity) = Quantity::new(by.unsigned_abs())
    {
        return body_digest(&Command::Buy { sku: sku.clone(), quantity });
    }
    (xxh3_64(&encoded(command)) >> 32) as u32
}

/// What tells whether a command that names an order's items names the right ones, where the body
/// of the order's request does not say them. 32 bits, as for [`body_digest`].
pub(crate) fn items_digest(items: &Items) -> u32 {
    (xxh3_64(&encoded(items)) >> 32) as u32
}

/// The wrapping sum of the hashes of everything in the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StateSum(u128);

impl StateSum {
    pub(crate) fn add(&mut self, element: Element) {
        self.0 = self.0.wrapping_add(element.0);
    }

    pub(crate) fn remove(&mut self, element: Element) {
        self.0 = self.0.wrapping_sub(element.0);
    }

    /// The state hash: the sum, with the two numbers that are in every state.
    pub(crate) fn finish(self, seq: Seq, log_time_ms: u64) -> u128 {
        let mut preimage = Preimage::new(Domain::State);
        preimage.push(&self.0.to_le_bytes());
        preimage.push(&seq.0.to_le_bytes());
        preimage.push(&log_time_ms.to_le_bytes());
        xxh3_128(preimage.bytes())
    }
}

/// The hash of one element of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element(u128);

impl Element {
    pub(crate) fn product(product: &Product) -> Self {
        Self(xxh3_128(&encoded(&(Domain::ProductElement as u8, product))))
    }

    pub(crate) fn product_limited_later(product: &Product, since: Seq) -> Self {
        Self(xxh3_128(&encoded(&(Domain::LimitedLaterElement as u8, product, since))))
    }

    pub(crate) fn product_sold_out_earlier(product: &Product, limit: Seq, sold_out: Seq) -> Self {
        Self(xxh3_128(&encoded(&(Domain::SoldOutEarlierElement as u8, product, limit, sold_out))))
    }

    pub(crate) fn hold(id: Seq, hold: &Hold) -> Self {
        Self(xxh3_128(&encoded(&(Domain::HoldElement as u8, id, hold))))
    }

    pub(crate) fn settled(hold: Seq, settlement: Settlement) -> Self {
        let mut preimage = Preimage::new(Domain::SettledElement);
        preimage.push_settled(hold, settlement);
        Self(xxh3_128(preimage.bytes()))
    }

    /// The same with the fingerprint of its user, where that decides what is answered.
    pub(crate) fn settled_of(hold: Seq, settlement: Settlement, user: u64) -> Self {
        let mut preimage = Preimage::new(Domain::SettledOfElement);
        preimage.push_settled(hold, settlement);
        preimage.push(&user.to_le_bytes());
        Self(xxh3_128(preimage.bytes()))
    }

    pub(crate) fn cancelled(order: Seq) -> Self {
        let mut preimage = Preimage::new(Domain::CancelledElement);
        preimage.push(&order.0.to_le_bytes());
        Self(xxh3_128(preimage.bytes()))
    }

    pub(crate) fn order(request: u128, order: Seq, body: u32) -> Self {
        let mut preimage = Preimage::new(Domain::OrderElement);
        preimage.push(&request.to_le_bytes());
        preimage.push(&order.0.to_le_bytes());
        preimage.push(&body.to_le_bytes());
        Self(xxh3_128(preimage.bytes()))
    }

    /// A request that became a hold, a release or a cancel.
    pub(crate) fn done(request: u128, change: Seq, body: u32) -> Self {
        let mut preimage = Preimage::new(Domain::DoneElement);
        preimage.push(&request.to_le_bytes());
        preimage.push(&change.0.to_le_bytes());
        preimage.push(&body.to_le_bytes());
        Self(xxh3_128(preimage.bytes()))
    }

    /// The rules of the machine; the first ones leave nothing in the sum.
    pub(crate) fn rules(rules: Rules) -> Self {
        Self(xxh3_128(&encoded(&(Domain::RulesElement as u8, rules))))
    }

    pub(crate) fn stored<T: Serialize>(request: u128, outcome: &T) -> Self {
        Self(xxh3_128(&encoded(&(Domain::StoredElement as u8, request, outcome))))
    }

    /// The same of an operator, which is forgotten by a bound of its own.
    pub(crate) fn stored_of_operator<T: Serialize>(request: u128, outcome: &T) -> Self {
        Self(xxh3_128(&encoded(&(Domain::OperatorStoredElement as u8, request, outcome))))
    }

    /// The same of a counter, as an operator's.
    pub(crate) fn stored_of_counter<T: Serialize>(request: u128, outcome: &T) -> Self {
        Self(xxh3_128(&encoded(&(Domain::CounterStoredElement as u8, request, outcome))))
    }

    pub(crate) fn key(sku: &Sku, note: Note) -> Self {
        Self(xxh3_128(&encoded(&(Domain::KeyElement as u8, sku, note))))
    }

    pub(crate) fn cursor(name: &CursorName, cursor: &Cursor) -> Self {
        Self(xxh3_128(&encoded(&(Domain::CursorElement as u8, name, cursor))))
    }

    pub(crate) fn cursor_target(name: &CursorName, target: &CursorTarget) -> Self {
        Self(xxh3_128(&encoded(&(Domain::CursorTargetElement as u8, name, target))))
    }

    pub(crate) fn quota(key: u128, bought: u64) -> Self {
        let mut preimage = Preimage::new(Domain::QuotaElement);
        preimage.push(&key.to_le_bytes());
        preimage.push(&bought.to_le_bytes());
        Self(xxh3_128(preimage.bytes()))
    }
}

/// The canonical encoding, of whatever length: nothing here came from outside unchecked.
fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    codec::encode(value, u64::MAX).unwrap_or_else(|error| panic!("state must encode: {error}"))
}
