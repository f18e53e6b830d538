//! Digests: what a run of events comes to in the tables, so that a restart need not fold them.
//!
//! Owns what each kind of event adds to the tables, in a compact form that is made once, when a
//! segment is full, and read at every restart: fingerprints instead of ids. A digest is a function
//! of the events alone and may be lost at any time. Nothing of it is believed: the machine that is
//! assembled from digests has the state hash of the snapshot, or is thrown away
//! ([`crate::Assembly`]). Never decides anything and never reads a file. Called by `raft`.

use crate::hash::{self, quota_fingerprint};
use crate::past::Past;
use crate::receipt::Chain;
use crate::requests::Accepted;
use crate::rows::Rows;
use crate::traces::{Rest, Trace};
use crate::{
    Change, Event, Hold, Line, MARK_EVENTS, Order, Quantity, Seq, Settlement, Sku, Terms, Traces,
    UserId,
};
use crate::{done::PastDone, items::items_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the encoding of a [`Digest`], for whoever keeps it in a file.
pub const DIGEST_FORMAT: u16 = 1;

/// What consecutive events come to. Its encoding is a file's: another needs another
/// [`DIGEST_FORMAT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The chain of orders before the first event.
    pub(crate) before: Chain,
    /// The same after the last.
    pub(crate) after: Chain,
    /// The same after each event whose number is a multiple of [`MARK_EVENTS`].
    pub(crate) marks: Vec<Chain>,
    /// Request fingerprint, order, body, content; by fingerprint.
    pub(crate) orders: Rows<26>,
    /// User fingerprint, order; by both.
    pub(crate) users: Rows<10>,
    /// What became a hold, a release or a cancel, oldest first.
    pub(crate) done: Vec<PastDone>,
    /// Units that went to accounts, less those that came back.
    pub(crate) accounts: Vec<(u128, i64)>,
    /// Orders that were taken back.
    pub(crate) cancelled: Vec<Seq>,
    /// Holds that were made and have not ended.
    pub(crate) opened: Vec<(Seq, Hold)>,
    /// Holds that ended, as they did, each with a fingerprint of its user.
    pub(crate) ended: Vec<(Seq, Settlement, u64)>,
    /// Products whose limit came or went.
    pub(crate) limits: Vec<(Sku, Limited)>,
    /// Products that sold out, with the change, or did and have units again.
    pub(crate) sold_out: Vec<(Sku, Option<Seq>)>,
}

/// Whether a product limits its users, and since which update; 0 since its creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limited {
    is: bool,
    pub(crate) since: Seq,
}

/// Why events have no digest here: they do not follow the ones before, or no machine made them.
#[derive(Debug, thiserror::Error)]
#[error("the event {found} after {last} cannot be digested")]
pub struct Undigested {
    last: Seq,
    found: Seq,
}

/// Makes digests, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Digester {
    chain: Chain,
    /// Of the products that have, or once had, a limit.
    limits: BTreeMap<Sku, Limited>,
}

impl Digest {
    /// The last event that it is of.
    pub fn last(&self) -> Seq {
        self.after.seq
    }

    /// The last event before it.
    pub fn before(&self) -> Seq {
        self.before.seq
    }

    /// How many orders there are up to its last event.
    pub fn orders_up_to(&self) -> u64 {
        self.after.orders
    }

    /// The orders, by fingerprint.
    pub(crate) fn orders(&self) -> impl Iterator<Item = (u128, Accepted)> {
        self.orders.iter().map(|row| {
            let accepted = Accepted {
                order: self.seq_at(row.u16_at(16)),
                body: row.u32_at(18),
                content: row.u32_at(22),
            };
            (row.u128_at(0), accepted)
        })
    }

    /// The orders by users, sorted.
    pub(crate) fn users(&self) -> impl Iterator<Item = (u64, Seq)> {
        self.users.iter().map(|row| (row.u64_at(0), self.seq_at(row.u16_at(8))))
    }

    fn seq_at(&self, offset: u16) -> Seq {
        Seq(self.before.seq.0 + 1 + u64::from(offset))
    }
}

impl Digester {
    /// The last event that it has digested.
    pub fn seq(&self) -> Seq {
        self.chain.seq
    }

    /// Goes on behind a digest that was made before; false when that is not the next.
    pub fn follow(&mut self, digest: &Digest) -> bool {
        if digest.before != self.chain {
            return false;
        }
        self.chain = digest.after;
        self.limits.extend(digest.limits.iter().cloned());
        true
    }

    /// Digests the next events, at most 65,536.
    ///
    /// # Errors
    /// [`Undigested`]; the digester has not moved then.
    pub fn digest(&mut self, events: &[Event]) -> Result<Digest, Undigested> {
        self.go_on(events, None)
    }

    /// The same, by what the machine that made these events worked out of them: the same digest in
    /// a fraction of the time. The last event has a number that is a multiple of [`MARK_EVENTS`].
    ///
    /// # Errors
    /// [`Undigested`], also where the traces are not those of the events; the digester has not
    /// moved then.
    pub fn digest_traced(
        &mut self,
        events: &[Event],
        traces: &Traces,
    ) -> Result<Digest, Undigested> {
        self.go_on(events, Some(traces))
    }

    fn go_on(&mut self, events: &[Event], traces: Option<&Traces>) -> Result<Digest, Undigested> {
        let mut digesting = Digesting::after(self.clone(), events.len(), traces);
        for event in events {
            let last = digesting.digester.chain.seq;
            let is_next = last.0 + 1 == event.seq.0;
            if !is_next || digesting.note(event).is_none() {
                return Err(Undigested { last, found: event.seq });
            }
        }
        let (before, last) = (self.chain, digesting.digester.chain.seq);
        if traces.is_some() && !last.0.is_multiple_of(MARK_EVENTS) {
            // The receipt of its last order is not known.
            return Err(Undigested { last: before.seq, found: last });
        }
        *self = digesting.digester.clone();
        Ok(digesting.finish(before))
    }
}

/// A digest in the making.
struct Digesting<'a> {
    digester: Digester,
    /// What need not be worked out; then the receipts between two marks are not.
    traces: Option<Rest<'a>>,
    first: Seq,
    past: Past,
    users: Vec<(u64, Seq)>,
    marks: Vec<Chain>,
    accounts: BTreeMap<u128, i64>,
    cancelled: Vec<Seq>,
    opened: BTreeMap<Seq, Hold>,
    ended: Vec<(Seq, Settlement, u64)>,
    limits: BTreeMap<Sku, Limited>,
    sold_out: BTreeMap<Sku, Option<Seq>>,
}

impl<'a> Digesting<'a> {
    fn after(digester: Digester, events: usize, traces: Option<&'a Traces>) -> Self {
        Self {
            first: Seq(digester.chain.seq.0 + 1),
            digester,
            traces: traces.map(Traces::rest),
            past: Past::with_room_for(events),
            users: Vec::with_capacity(events),
            marks: Vec::new(),
            accounts: BTreeMap::new(),
            cancelled: Vec::new(),
            opened: BTreeMap::new(),
            ended: Vec::new(),
            limits: BTreeMap::new(),
            sold_out: BTreeMap::new(),
        }
    }

    /// Takes in the next event; none when no machine can have made it.
    fn note(&mut self, event: &Event) -> Option<()> {
        let seq = event.seq;
        u16::try_from(seq.0 - self.first.0).ok()?;
        self.note_order(event)?;
        if seq.0.is_multiple_of(MARK_EVENTS) {
            self.marks.push(self.digester.chain);
        }
        match &event.change {
            Change::ProductCreated(terms) => {
                self.limit(terms, Seq(0));
                if terms.stock == 0 {
                    self.sold_out.insert(terms.sku.clone(), Some(seq));
                }
            }
            Change::ProductUpdated(terms) => self.limit(terms, seq),
            Change::Restocked { sku, quantity, available } => {
                let before = i128::from(*available) - i128::from(*quantity);
                self.level(sku, (before, *available), seq);
            }
            Change::Ordered(order) | Change::Counted { order, .. } => {
                let Order { sku, user, quantity, remaining, .. } = order;
                self.take(user, sku, *quantity, (*remaining, seq));
            }
            Change::BasketOrdered { user, lines, .. } => self.take_all(user, lines, seq),
            Change::Held { user, expires_at_ms, lines, .. }
            | Change::HeldFor { user, expires_at_ms, lines, .. } => {
                self.take_all(user, lines, seq);
                let (user, items) = (user.clone(), items_of(lines).ok()?);
                self.opened.insert(seq, Hold { user, items, expires_at_ms: *expires_at_ms });
            }
            Change::Confirmed { hold, user, .. } => {
                self.end(*hold, Settlement::Confirmed { order: seq }, user);
            }
            Change::Released { hold, user, lines }
            | Change::ReleasedFor { hold, user, lines, .. } => {
                self.end(*hold, Settlement::Released { seq }, user);
                self.give_back(user, lines, (*hold, seq));
            }
            Change::Expired { hold, user, lines } => {
                self.end(*hold, Settlement::Expired { seq }, user);
                self.give_back(user, lines, (*hold, seq));
            }
            Change::Cancelled { order, user, hold, lines }
            | Change::CancelledFor { order, user, hold, lines, .. } => {
                self.cancelled.push(*order);
                self.give_back(user, lines, (hold.unwrap_or(*order), seq));
            }
        }
        Some(())
    }

    /// Follows the chain of orders, and says what is in the tables of this one, if it is one.
    fn note_order(&mut self, event: &Event) -> Option<()> {
        let (seq, chain) = (event.seq, &mut self.digester.chain);
        let Some(traces) = &mut self.traces else {
            self.past.note(event, Seq(0));
            if let Some(order) = chain.follow_order(event) {
                self.users.push((hash::user_fingerprint(order.user), seq));
            }
            return Some(());
        };
        chain.seq = seq;
        // One that has no trace, and should, is found at the next mark: it counts the orders.
        if let Some(Trace { request, accepted, user }) = traces.order(seq) {
            self.past.orders.push((request, accepted));
            self.users.push((user, seq));
            chain.orders += 1;
        } else {
            self.past.note(event, Seq(0));
        }
        if seq.0.is_multiple_of(MARK_EVENTS) {
            let mark = traces.mark(seq)?;
            *chain = (mark.orders == chain.orders).then_some(mark)?;
        }
        Some(())
    }

    /// Terms that count from a change on; 0 for a creation's.
    fn limit(&mut self, terms: &Terms, since: Seq) {
        let before = self.digester.limits.get(&terms.sku).copied();
        let is = terms.per_user_limit.is_some();
        let after = match before {
            None if !is => return,
            Some(before) if before.is || !is => Limited { is, ..before },
            None | Some(_) => Limited { is, since },
        };
        self.digester.limits.insert(terms.sku.clone(), after);
        self.limits.insert(terms.sku.clone(), after);
    }

    fn take_all(&mut self, user: &UserId, lines: &[Line], seq: Seq) {
        for Line { sku, quantity, available } in lines {
            self.take(user, sku, *quantity, (*available, seq));
        }
    }

    fn take(&mut self, user: &UserId, sku: &Sku, quantity: Quantity, (left, seq): (u64, Seq)) {
        if let Some(Limited { is: true, since }) = self.digester.limits.get(sku) {
            let account = quota_fingerprint(sku, *since, user);
            *self.accounts.entry(account).or_default() += i64::from(quantity.get());
        }
        self.level(sku, (i128::from(left) + i128::from(quantity.get()), left), seq);
    }

    fn give_back(&mut self, user: &UserId, lines: &[Line], (taken, seq): (Seq, Seq)) {
        for Line { sku, quantity, available } in lines {
            if let Some(Limited { is: true, since }) = self.digester.limits.get(sku)
                && taken > *since
            {
                let account = quota_fingerprint(sku, *since, user);
                *self.accounts.entry(account).or_default() -= i64::from(quantity.get());
            }
            let before = i128::from(*available) - i128::from(quantity.get());
            self.level(sku, (before, *available), seq);
        }
    }

    /// What a change made of a product's available units.
    fn level(&mut self, sku: &Sku, (before, after): (i128, u64), seq: Seq) {
        let since = match (before == 0, after == 0) {
            (false, true) => Some(seq),
            (true, false) => None,
            (true, true) | (false, false) => return,
        };
        self.sold_out.insert(sku.clone(), since);
    }

    fn end(&mut self, hold: Seq, settlement: Settlement, user: &UserId) {
        self.opened.remove(&hold);
        self.ended.push((hold, settlement, hash::user_fingerprint(user)));
    }

    fn finish(mut self, before: Chain) -> Digest {
        let first = self.first;
        let offset = |seq: Seq| ((seq.0 - first.0) as u16).to_le_bytes();
        let Past { mut orders, done, forgotten: _ } = self.past;
        orders.sort_unstable_by_key(|(request, accepted)| (*request, accepted.order));
        self.users.sort_unstable();
        let order_row = |(request, Accepted { order, body, content }): &(u128, Accepted)| {
            let mut row = [0; 26];
            row[..16].copy_from_slice(&request.to_le_bytes());
            row[16..18].copy_from_slice(&offset(*order));
            row[18..22].copy_from_slice(&body.to_le_bytes());
            row[22..].copy_from_slice(&content.to_le_bytes());
            row
        };
        let user_row = |(user, order): &(u64, Seq)| {
            let mut row = [0; 10];
            row[..8].copy_from_slice(&user.to_le_bytes());
            row[8..].copy_from_slice(&offset(*order));
            row
        };
        Digest {
            before,
            after: self.digester.chain,
            marks: self.marks,
            orders: orders.iter().map(order_row).collect(),
            users: self.users.iter().map(user_row).collect(),
            done,
            accounts: self.accounts.into_iter().filter(|(_, units)| *units != 0).collect(),
            cancelled: self.cancelled,
            opened: self.opened.into_iter().collect(),
            ended: self.ended,
            limits: self.limits.into_iter().collect(),
            sold_out: self.sold_out.into_iter().collect(),
        }
    }
}
