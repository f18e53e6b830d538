//! One bug, planted in a correct history where it can be observed.
//!
//! Owns: what each bug does to a history: as a glitch of the simulated server, whose later answers
//! then follow from it, or as an edit of what was told. Never does: look for them. Called by
//! `jepsen-lite bugs`, and by the tests of every layer.
//!
//! A lie that nobody could notice is no bug: a history that offers no place for one, such as a
//! retry of an accepted buy, is passed over ([`plant`] gives `None`), not counted as caught.

use super::synthetic::server::{self, Armed, Glitch};
use super::synthetic::{Plan, Synthetic, simulate};
use super::{Answer, Ended, Input, LedgerOrder, Outcome, Record};
use crate::random::Random;

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A read tells of a state older than a change that was acknowledged before it began.
    StaleRead,
    /// A buy's change of the counts is overwritten.
    LostUpdate,
    /// A retry of an accepted buy makes a second order.
    RetryAppliedTwice,
    /// A buy is refused as sold out while units are available.
    FalseSoldOut,
    /// A buy is accepted for more units than are available.
    Oversell,
    /// Two changes have one `seq`.
    DuplicateSeq,
    /// A client is told of an older `seq` than before.
    BackwardSeq,
    /// A read tells of a buy that was never done.
    DirtyRead,
    /// Two clients get each other's order.
    SwappedAcks,
    /// A buy whose outcome no client knows makes two orders.
    UnknownAppliedTwice,
    /// An order that a client was told of is missing at the end, on every replica.
    LostAcknowledgedOrder,
    /// An order that nobody asked for is there at the end, on every replica.
    PhantomOrder,
    /// The order that a confirm made is another user's at the end, on every replica.
    StolenOrder,
    /// One replica ends with another ledger.
    ReplicasDiffer,
    /// A hold runs out before the deadline that its client was told.
    EarlyExpiry,
    /// A hold is confirmed although its deadline has passed.
    LateConfirm,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 16] = [
        Self::StaleRead,
        Self::LostUpdate,
        Self::RetryAppliedTwice,
        Self::FalseSoldOut,
        Self::Oversell,
        Self::DuplicateSeq,
        Self::BackwardSeq,
        Self::DirtyRead,
        Self::SwappedAcks,
        Self::UnknownAppliedTwice,
        Self::LostAcknowledgedOrder,
        Self::PhantomOrder,
        Self::StolenOrder,
        Self::ReplicasDiffer,
        Self::EarlyExpiry,
        Self::LateConfirm,
    ];

    /// Its name in tables, such as `stale-read`.
    pub fn name(self) -> &'static str {
        match self {
            Self::StaleRead => "stale-read",
            Self::LostUpdate => "lost-update",
            Self::RetryAppliedTwice => "retry-applied-twice",
            Self::FalseSoldOut => "false-sold-out",
            Self::Oversell => "oversell",
            Self::DuplicateSeq => "duplicate-seq",
            Self::BackwardSeq => "backward-seq",
            Self::DirtyRead => "dirty-read",
            Self::SwappedAcks => "swapped-acks",
            Self::UnknownAppliedTwice => "unknown-applied-twice",
            Self::LostAcknowledgedOrder => "lost-acknowledged-order",
            Self::PhantomOrder => "phantom-order",
            Self::StolenOrder => "stolen-order",
            Self::ReplicasDiffer => "replicas-differ",
            Self::EarlyExpiry => "early-expiry",
            Self::LateConfirm => "late-confirm",
        }
    }

    fn glitch(self) -> Option<Glitch> {
        match self {
            Self::LostUpdate => Some(Glitch::LostUpdate),
            Self::RetryAppliedTwice => Some(Glitch::RetryAppliedTwice),
            Self::FalseSoldOut => Some(Glitch::FalseSoldOut),
            Self::Oversell => Some(Glitch::Oversell),
            Self::DuplicateSeq => Some(Glitch::DuplicateSeq),
            Self::UnknownAppliedTwice => Some(Glitch::UnknownAppliedTwice),
            _ => None,
        }
    }
}

/// The planned history with one bug in it, `None` where it offers the bug no place. Needs at
/// least two replicas to make them differ.
pub fn plant(bug: Bug, plan: Plan) -> Option<Synthetic> {
    // Another stream than the simulation's, or the place would go with what happens there.
    let mut random = Random::new(!plan.seed);
    if let Some(glitch) = bug.glitch() {
        let creations = plan.products as u64;
        let after_requests = creations + random.below(1 + plan.operations as u64 / 2);
        let (bugged, struck) = simulate(plan, Some(Armed { glitch, after_requests }));
        return struck.then_some(bugged);
    }
    let (mut synthetic, _) = simulate(plan, None);
    let planted = match bug {
        Bug::StaleRead => stale_read(&mut synthetic.records, &mut random),
        Bug::BackwardSeq => backward_seq(&mut synthetic.records, &mut random),
        Bug::DirtyRead => dirty_read(&mut synthetic.records, &mut random),
        Bug::SwappedAcks => swapped_acks(&mut synthetic.records, &mut random),
        Bug::LostAcknowledgedOrder => lost_order(&mut synthetic, &mut random),
        Bug::PhantomOrder => phantom_order(&mut synthetic, &mut random),
        Bug::StolenOrder => stolen_order(&mut synthetic, &mut random),
        Bug::EarlyExpiry => early_expiry(&mut synthetic.records, &mut random),
        Bug::LateConfirm => late_confirm(&mut synthetic.records, &mut random),
        _ => replicas_differ(&mut synthetic, &mut random),
    };
    planted.map(|()| synthetic)
}

/// The indices that fit, from a random one on: each is tried once.
fn anywhere<'r>(
    records: &'r [Record],
    random: &mut Random,
    fits: impl Fn(&Record) -> bool + 'r,
) -> impl Iterator<Item = usize> + 'r {
    let first = random.index(records.len());
    let turned = (first..records.len()).chain(0..first);
    turned.filter(move |&index| fits(&records[index]))
}

fn is_read(record: &Record) -> bool {
    matches!(record.input, Input::Read { .. }) && record.accepted().is_some()
}

fn is_told_order(record: &Record) -> bool {
    record.accepted().is_some_and(|answer| matches!(answer.outcome, Outcome::Ordered { .. }))
}

fn tell(record: &mut Record, answer: Answer) {
    record.ended = Ended::Decided { answer, replayed: false };
}

/// A read tells what an earlier one was rightly told, though a change of the counts after that
/// was acknowledged before the read began.
fn stale_read(records: &mut [Record], random: &mut Random) -> Option<()> {
    let stale = |index: usize| {
        let read = &records[index];
        let of_product = |earlier: &&Record| {
            earlier.input.product() == read.input.product() && ended_before(earlier, read)
        };
        let newest = records.iter().filter(of_product).filter(|r| is_change(r));
        let newest = newest.filter_map(|r| r.accepted()).map(|answer| answer.seq).max()?;
        let told = records.iter().filter(of_product).filter(|r| is_read(r));
        let mut told = told.filter_map(Record::accepted);
        let now = read.accepted().map(|answer| &answer.outcome);
        let old = told.rfind(|old| old.seq < newest && Some(&old.outcome) != now)?;
        Some((index, old.clone()))
    };
    let (index, old) = anywhere(records, random, is_read).find_map(stale)?;
    tell(&mut records[index], old);
    Some(())
}

fn ended_before(earlier: &Record, later: &Record) -> bool {
    earlier.completed.is_some_and(|completed| completed < later.invoked)
}

/// Whether it made a change, whatever it met.
fn is_change(record: &Record) -> bool {
    let may_not = matches!(record.input, Input::Read { .. } | Input::Create { .. });
    !may_not && record.accepted().is_some()
}

/// A read's counts are right, its `seq` is one less than that of its client's last change.
fn backward_seq(records: &mut [Record], random: &mut Random) -> Option<()> {
    let backward = |index: usize| {
        let read = &records[index];
        let own = records[..index].iter().rev().filter(|r| r.process == read.process);
        let change = own.filter(|r| is_change(r)).find_map(Record::answer)?;
        let outcome = read.answer()?.outcome.clone();
        Some((index, Answer { seq: change.seq - 1, outcome }))
    };
    let (index, answer) = anywhere(records, random, is_read).find_map(backward)?;
    tell(&mut records[index], answer);
    Some(())
}

/// A read sees a buy that was asked for before it, and never done.
fn dirty_read(records: &mut [Record], random: &mut Random) -> Option<()> {
    let dirty = |index: usize| {
        let read = &records[index];
        let Answer { seq, outcome: Outcome::Counts { stocked, available, held, sold } } =
            *read.answer()?
        else {
            return None;
        };
        let not_done = records[..index].iter().filter(|r| r.ended == Ended::NotDone);
        let mut units = not_done.filter_map(|r| match &r.input {
            Input::Buy { product, quantity, .. } if product == read.input.product() => {
                Some(u64::from(*quantity))
            }
            _ => None,
        });
        let units = units.rfind(|units| *units <= available)?;
        let (available, sold) = (available - units, sold + units);
        Some((index, Answer { seq, outcome: Outcome::Counts { stocked, available, held, sold } }))
    };
    let (index, answer) = anywhere(records, random, is_read).find_map(dirty)?;
    tell(&mut records[index], answer);
    Some(())
}

/// Two orders that were under way at once: each client is told of the other's.
fn swapped_acks(records: &mut [Record], random: &mut Random) -> Option<()> {
    let overlapping = |index: usize| {
        let one = &records[index];
        let beside = |other: &Record| {
            is_told_order(other)
                && other.request != one.request
                && other.input.product() == one.input.product()
                && !ended_before(other, one)
                && !ended_before(one, other)
        };
        let other = records.iter().position(beside)?;
        Some((index, other))
    };
    let (one, other) = anywhere(records, random, is_told_order).find_map(overlapping)?;
    let ended = records[one].ended.clone();
    records[one].ended = std::mem::replace(&mut records[other].ended, ended);
    Some(())
}

/// Every replica forgets it, and counts its units as available again.
fn lost_order(synthetic: &mut Synthetic, random: &mut Random) -> Option<()> {
    let records = &synthetic.records;
    let index = anywhere(records, random, is_told_order).next()?;
    let lost = records[index].answer()?.seq;
    for replica in &mut synthetic.ledgers.replicas {
        let at = replica.orders.iter().position(|order| order.order == lost)?;
        let LedgerOrder { product, quantity, .. } = replica.orders.remove(at);
        let counts = replica.products.iter_mut().find(|counts| counts.product == product)?;
        counts.sold -= u64::from(quantity);
        counts.available += u64::from(quantity);
    }
    Some(())
}

/// One unit of something that is left, to somebody, under a request that was never made.
fn phantom_order(synthetic: &mut Synthetic, random: &mut Random) -> Option<()> {
    let products = &synthetic.ledgers.replicas.first()?.products;
    let left: Vec<usize> =
        (0..products.len()).filter(|&index| products[index].available > 0).collect();
    if left.is_empty() {
        return None;
    }
    let at = left[random.index(left.len())];
    for replica in &mut synthetic.ledgers.replicas {
        let counts = replica.products.get_mut(at)?;
        counts.sold += 1;
        counts.available -= 1;
        replica.seq += 1;
        replica.orders.push(LedgerOrder {
            order: replica.seq,
            product: counts.product.clone(),
            user: "nobody".to_owned(),
            request: "phantom".to_owned(),
            quantity: 1,
            remaining: counts.available,
            at_ms: None,
        });
    }
    Some(())
}

/// Whoever confirmed a hold, every replica has its order under another user.
fn stolen_order(synthetic: &mut Synthetic, random: &mut Random) -> Option<()> {
    let is_confirmed = |of: &Record| is_told_order(of) && matches!(of.input, Input::Confirm { .. });
    let index = anywhere(&synthetic.records, random, is_confirmed).next()?;
    let stolen = synthetic.records[index].answer()?.seq;
    for replica in &mut synthetic.ledgers.replicas {
        let order = replica.orders.iter_mut().find(|order| order.order == stolen)?;
        order.user.push_str("-other");
    }
    Some(())
}

/// Whose hold ran out was told of a later deadline.
fn early_expiry(records: &mut [Record], random: &mut Random) -> Option<()> {
    let ran_out = |index: usize| match records[index].input {
        Input::Expire { hold, .. } => {
            let at_ms = server::log_ms(records[index].answer()?.seq);
            Some((taker(records, hold)?, at_ms + 1))
        }
        _ => None,
    };
    let is_told = |record: &Record| record.accepted().is_some();
    let (taker, deadline_ms) = anywhere(records, random, is_told).find_map(ran_out)?;
    tell_deadline(&mut records[taker], deadline_ms)
}

/// Whose hold became an order was told that its deadline was right then.
fn late_confirm(records: &mut [Record], random: &mut Random) -> Option<()> {
    let confirmed = |index: usize| match records[index].input {
        Input::Confirm { hold, .. } => {
            let at_ms = server::log_ms(records[index].answer()?.seq);
            Some((taker(records, hold)?, at_ms))
        }
        _ => None,
    };
    let (taker, deadline_ms) = anywhere(records, random, is_told_order).find_map(confirmed)?;
    tell_deadline(&mut records[taker], deadline_ms)
}

/// Who was told of this hold when it was made.
fn taker(records: &[Record], hold: u64) -> Option<usize> {
    let is_its = |of: &Record| {
        matches!(of.input, Input::Hold { .. })
            && matches!(of.accepted(), Some(answer) if answer.seq == hold)
    };
    records.iter().position(is_its)
}

fn tell_deadline(record: &mut Record, deadline_ms: u64) -> Option<()> {
    let Ended::Decided { answer: Answer { outcome: Outcome::Hold { log_ms, .. }, .. }, .. } =
        &mut record.ended
    else {
        return None;
    };
    *log_ms = Some(deadline_ms);
    Some(())
}

/// One replica but the first is behind by a change, or has other units, or another buyer.
fn replicas_differ(synthetic: &mut Synthetic, random: &mut Random) -> Option<()> {
    let others = synthetic.ledgers.replicas.get_mut(1..).filter(|others| !others.is_empty())?;
    let at = random.index(others.len());
    let replica = &mut others[at];
    match random.below(3) {
        0 => {
            replica.seq -= 1;
            replica.orders.pop()?;
        }
        1 => {
            let counts = replica.products.first_mut()?;
            counts.held += 1;
            counts.stocked += 1;
        }
        _ => replica.orders.first_mut()?.user.push_str("-other"),
    }
    Some(())
}
