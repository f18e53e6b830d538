//! Outcomes that are stored whole: of operators' and counters' commands, and refusals of later
//! attempts.
//!
//! Owns them for a day of log time, and in shares with a bound each: a buyer may be refused as
//! often as they like, and must not have an operator's command forgotten by it, for a restock that
//! comes again would then add its units twice. So operators have a share from [`Rules::Two`] on;
//! and counters from [`Rules::Four`] on, for a program that counts must not have a buyer's refusal
//! forgotten, whose late copy could then win. In snapshots, for the events do not carry them. Never
//! decides a command. Called by the request table.

mod queue;

use crate::hash::{Element, StateSum};
use crate::requests::{Identity, OUTCOME_RETENTION_MS};
use crate::{Command, Envelope, Outcome, Refusal, Reply, Requester, Rules, Seq};
use queue::SharedQueue;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most outcomes of users that are stored whole, under [`Rules::Two`]; the oldest is forgotten
/// first. They are refusals of later attempts, of about 40 bytes of a snapshot each; for a day
/// after [`Rules::One`] also its holds, releases and cancels, the largest of 500. Twenty-five
/// seconds of twenty thousand refused later attempts a second: longer than a copy of an attempt is
/// on its way.
pub const STORED_MAX: usize = 500_000;

/// The most outcomes of operators that are stored whole, under [`Rules::Two`]; the oldest is
/// forgotten first. The largest takes 500 bytes of a snapshot: with as many products as there can
/// be and [`STORED_MAX`], a manifest stays under its limit. A day of two a second, and nothing that
/// a user sends counts.
pub const OPERATOR_STORED_MAX: usize = 200_000;

/// The most outcomes of counters ([`crate::Command::Count`] and what follows) that are stored
/// whole, under [`Rules::Four`]; the oldest is forgotten first. Of about 45 bytes of a snapshot
/// each: what is an order is kept as one, and a first attempt's refusal not at all. Ten seconds of
/// fifty thousand increments a second, each a command of its own: twice as long as the node that
/// asks for one tries to settle it.
pub const COUNTER_STORED_MAX: usize = 500_000;

/// Whose outcomes share a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Those of operators, under [`Rules::Two`].
    Operators,
    /// Those of users' commands to counters, under [`Rules::Four`].
    Counters,
    /// Those of users, of all that has no share of its own under the rules.
    Users,
}

impl Share {
    pub(crate) const ALL: [Self; 3] = [Self::Operators, Self::Counters, Self::Users];

    /// Under the newest rules.
    pub(crate) fn of(envelope: &Envelope) -> Self {
        match (&envelope.requester, &envelope.command) {
            (Requester::Operator, _) => Self::Operators,
            (
                Requester::User(_),
                Command::Count { .. } | Command::SetAvailable { .. } | Command::Withdraw { .. },
            ) => Self::Counters,
            (Requester::User(_), _) => Self::Users,
        }
    }

    fn under(self, rules: Rules) -> Self {
        match (rules, self) {
            (Rules::One, _) | (Rules::Two | Rules::Three, Self::Counters) => Self::Users,
            (Rules::Two | Rules::Three | Rules::Four, share) => share,
        }
    }
}

/// A decided command that is no order. Its encoding is part of snapshots: frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredOutcome {
    /// Log time of the decision.
    at_ms: u64,
    body: u32,
    /// The `seq` of the reply.
    seq: Seq,
    decided: Decided,
}

/// An [`Outcome`] with the rare large variants boxed: nearly all that is stored are refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Decided {
    Refused(Refusal),
    Other(Box<Outcome>),
}

impl StoredOutcome {
    pub(crate) fn of(identity: Identity, at_ms: u64, reply: &Reply) -> Self {
        let decided = match &reply.outcome {
            Outcome::Refused(refusal) => Decided::Refused(refusal.clone()),
            other => Decided::Other(Box::new(other.clone())),
        };
        Self { at_ms, body: identity.body, seq: reply.seq, decided }
    }

    fn replay(&self) -> Reply {
        let outcome = match &self.decided {
            Decided::Refused(refusal) => Outcome::Refused(refusal.clone()),
            Decided::Other(outcome) => Outcome::clone(outcome),
        };
        Reply { seq: self.seq, replayed: true, outcome }
    }

    /// The share of what was stored before there was one for it: no user creates, updates or
    /// restocks. Whose a refusal was it does not tell; it stays among those of users.
    fn share(&self) -> Share {
        match &self.decided {
            Decided::Refused(_) => Share::Users,
            Decided::Other(outcome) => match **outcome {
                Outcome::ProductCreated(_)
                | Outcome::ProductUpdated(_)
                | Outcome::ProductUnchanged(_)
                | Outcome::Restocked(_)
                | Outcome::CursorMoved { .. }
                | Outcome::CursorRemoved { .. } => Share::Operators,
                Outcome::Refused(_)
                | Outcome::Bought { .. }
                | Outcome::BoughtBefore { .. }
                | Outcome::BasketBought { .. }
                | Outcome::Held { .. }
                | Outcome::Confirmed { .. }
                | Outcome::Released { .. }
                | Outcome::Cancelled { .. }
                | Outcome::DoneBefore { .. } => Share::Users,
                Outcome::Counted { .. } | Outcome::Withdrawn => Share::Counters,
            },
        }
    }

    fn element(&self, request: u128, share: Share) -> Element {
        match share {
            Share::Operators => Element::stored_of_operator(request, self),
            Share::Counters => Element::stored_of_counter(request, self),
            Share::Users => Element::stored(request, self),
        }
    }
}

/// Outcomes with their requests' fingerprints, oldest first.
pub(crate) type Outcomes = SharedQueue<(u128, StoredOutcome)>;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredTable {
    rules: Rules,
    operators: Shelf,
    counters: Shelf,
    users: Shelf,
}

/// What is stored of one share. Invariant, asserted at each change: the numbers are those of the
/// outcomes.
#[derive(Debug, Clone, Default)]
struct Shelf {
    outcomes: Outcomes,
    /// Each request's outcome. No page by the first bits of a fingerprint, as orders have: whoever
    /// looks for ids of one page needs no stock to fill it, only refusals.
    numbers: BTreeMap<u128, u64>,
}

impl Shelf {
    fn get(&self, request: u128) -> Option<&StoredOutcome> {
        let found = self.outcomes.get(*self.numbers.get(&request)?);
        found.filter(|(of, _)| *of == request).map(|(_, outcome)| outcome)
    }

    /// Adds the newest.
    fn push(&mut self, request: u128, outcome: StoredOutcome) {
        let number = self.outcomes.push_back((request, outcome));
        let earlier = self.numbers.insert(request, number);
        assert!(earlier.is_none(), "{request:032x} is stored already, as number {earlier:?}");
    }

    /// Forgets the oldest.
    fn pop(&mut self) {
        let (first, front) = (self.outcomes.first_number(), self.outcomes.front());
        let number = front.and_then(|(request, _)| self.numbers.remove(request));
        assert_eq!(number, Some(first), "the oldest outcome is not where its request says");
        self.outcomes.pop_front();
    }
}

impl FromIterator<(u128, StoredOutcome)> for Shelf {
    fn from_iter<I: IntoIterator<Item = (u128, StoredOutcome)>>(outcomes: I) -> Self {
        let mut queue = Outcomes::default();
        let number = |(request, outcome)| (request, queue.push_back((request, outcome)));
        let numbers = outcomes.into_iter().map(number).collect();
        Self { outcomes: queue, numbers }
    }
}

impl StoredTable {
    /// Goes by these rules from now on. What is stored already is parted by what it is, not by
    /// whose: a snapshot of the first rules does not say that.
    pub(crate) fn adopt(&mut self, rules: Rules, sum: &mut StateSum) {
        if self.rules == Rules::One && rules > Rules::One {
            self.operators = self.part_off(Share::Operators, sum);
        }
        if self.rules < Rules::Four && rules >= Rules::Four {
            self.counters = self.part_off(Share::Counters, sum);
        }
        self.rules = rules;
    }

    /// Takes out of the users' what is of a share that there was not.
    fn part_off(&mut self, share: Share, sum: &mut StateSum) -> Shelf {
        let is_of_it = |outcome: &StoredOutcome| outcome.share() == share;
        let mut parting = 0;
        for (request, outcome) in self.of(Share::Users).filter(|(_, outcome)| is_of_it(outcome)) {
            sum.remove(outcome.element(request, Share::Users));
            sum.add(outcome.element(request, share));
            parting += 1;
        }
        // There may be a day of holds, which need not move for nothing.
        if parting == 0 {
            return Shelf::default();
        }
        let all = std::mem::take(&mut self.users).outcomes;
        let half = |parts: bool| {
            all.iter().filter(|(_, outcome)| is_of_it(outcome) == parts).cloned().collect()
        };
        self.users = half(false);
        half(true)
    }

    /// What is stored of a share, oldest first: what the events do not carry.
    pub(crate) fn outcomes(&self, share: Share) -> &Outcomes {
        &self.shelf(share).outcomes
    }

    fn shelf(&self, share: Share) -> &Shelf {
        match share {
            Share::Operators => &self.operators,
            Share::Counters => &self.counters,
            Share::Users => &self.users,
        }
    }

    fn shelf_mut(&mut self, share: Share) -> &mut Shelf {
        match share {
            Share::Operators => &mut self.operators,
            Share::Counters => &mut self.counters,
            Share::Users => &mut self.users,
        }
    }

    /// The answer to a request that is known here; `seq` is that of the state that asks.
    pub(crate) fn find(&self, identity: Identity, seq: Seq) -> Option<Reply> {
        let stored = self.get(identity.request)?;
        Some(if stored.body == identity.body {
            stored.replay()
        } else {
            Reply { seq, replayed: false, outcome: Outcome::Refused(Refusal::KeyReused) }
        })
    }

    fn get(&self, request: u128) -> Option<&StoredOutcome> {
        Share::ALL.into_iter().find_map(|share| self.shelf(share).get(request))
    }

    /// What a request was answered.
    pub(crate) fn reply(&self, request: u128) -> Option<Reply> {
        self.get(request).map(StoredOutcome::replay)
    }

    pub(crate) fn contains(&self, request: u128) -> bool {
        self.get(request).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        Share::ALL.into_iter().map(|share| self.outcomes(share).len()).sum()
    }

    /// Adds the newest of its share.
    ///
    /// # Errors
    /// What is wrong with it, when it does not follow the one before or is stored already.
    pub(crate) fn add(
        &mut self,
        (request, share): (u128, Share),
        outcome: StoredOutcome,
        sum: &mut StateSum,
    ) -> Result<(), &'static str> {
        let share = share.under(self.rules);
        let newest = self.outcomes(share).back();
        if newest.is_some_and(|(_, newest)| newest.at_ms > outcome.at_ms) {
            return Err("it is older than the outcome stored before it");
        }
        if self.contains(request) {
            return Err("its request id is stored already");
        }
        sum.add(outcome.element(request, share));
        self.shelf_mut(share).push(request, outcome);
        Ok(())
    }

    /// Forgets the oldest of a share if it is a day old, or one too many. False when there was
    /// nothing to.
    pub(crate) fn forget_one(
        &mut self,
        share: Share,
        now_ms: u64,
        keep_max: usize,
        sum: &mut StateSum,
    ) -> bool {
        let outcomes = self.outcomes(share);
        let Some((request, oldest)) = outcomes.front() else {
            return false;
        };
        let is_old = now_ms.saturating_sub(oldest.at_ms) >= OUTCOME_RETENTION_MS;
        if !is_old && outcomes.len() <= keep_max {
            return false;
        }
        sum.remove(oldest.element(*request, share));
        self.shelf_mut(share).pop();
        true
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self, sum: &mut StateSum) {
        for share in Share::ALL {
            for (request, outcome) in self.of(share) {
                sum.remove(outcome.element(request, share));
            }
        }
        *self = Self { rules: self.rules, ..Self::default() };
    }

    /// The outcomes of a share, oldest first.
    fn of(&self, share: Share) -> impl Iterator<Item = (u128, &StoredOutcome)> {
        self.outcomes(share).iter().map(|(request, outcome)| (*request, outcome))
    }

    /// Adds the hash of every outcome.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for share in Share::ALL {
            for (request, outcome) in self.of(share) {
                sum.add(outcome.element(request, share));
            }
        }
    }
}
