//! Outcomes that are stored whole: of operators' and counters' commands, and refusals of later
//! attempts.
//!
//! Owns them for a day of log time, and in shares with a bound each: a buyer may be refused as
//! often as they like, and must not have an operator's command forgotten by it, for a restock that
//! comes again would then add its units twice. So operators have a share from [`Rules::Two`] on;
//! and counters from [`Rules::Four`] on, for a program that counts must not have a buyer's refusal
//! forgotten, whose late copy could then win. In snapshots, for the events do not carry them. Never
//! decides a command. Called by the request table.

use crate::hash::{Element, StateSum};
use crate::requests::{Identity, OUTCOME_RETENTION_MS};
use crate::{Command, Envelope, Outcome, Refusal, Reply, Requester, Rules, Seq};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

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

/// See the module. Invariant, asserted at each change: the queues together hold exactly the map's
/// requests, each oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredTable {
    rules: Rules,
    outcomes: BTreeMap<u128, Arc<StoredOutcome>>,
    operators: Queue,
    counters: Queue,
    users: Queue,
}

/// The outcomes of a share, oldest first. They are those of the map: a snapshot copies the queue
/// while applies wait, and would else look for each of them.
type Queue = VecDeque<(u128, Arc<StoredOutcome>)>;

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

    /// Takes out of the users' queue what is of a share that there was not.
    fn part_off(&mut self, share: Share, sum: &mut StateSum) -> Queue {
        // What an operator did to a counter is not a user's.
        let elsewhere: BTreeSet<u128> =
            self.operators.iter().map(|(request, _)| *request).collect();
        // In the map's order: there may be a day of holds, each far from the one before.
        let mut parting = BTreeSet::new();
        for (request, outcome) in &self.outcomes {
            if outcome.share() == share && !elsewhere.contains(request) {
                sum.remove(outcome.element(*request, Share::Users));
                sum.add(outcome.element(*request, share));
                parting.insert(*request);
            }
        }
        let queue = std::mem::take(&mut self.users);
        let parted;
        (parted, self.users) =
            queue.into_iter().partition(|(request, _)| parting.contains(request));
        parted
    }

    fn queue(&self, share: Share) -> &Queue {
        match share {
            Share::Operators => &self.operators,
            Share::Counters => &self.counters,
            Share::Users => &self.users,
        }
    }

    fn queue_mut(&mut self, share: Share) -> &mut Queue {
        match share {
            Share::Operators => &mut self.operators,
            Share::Counters => &mut self.counters,
            Share::Users => &mut self.users,
        }
    }

    /// The answer to a request that is known here; `seq` is that of the state that asks.
    pub(crate) fn find(&self, identity: Identity, seq: Seq) -> Option<Reply> {
        let stored = self.outcomes.get(&identity.request)?;
        Some(if stored.body == identity.body {
            stored.replay()
        } else {
            Reply { seq, replayed: false, outcome: Outcome::Refused(Refusal::KeyReused) }
        })
    }

    /// What a request was answered.
    pub(crate) fn reply(&self, request: u128) -> Option<Reply> {
        self.outcomes.get(&request).map(|outcome| outcome.replay())
    }

    pub(crate) fn contains(&self, request: u128) -> bool {
        !self.outcomes.is_empty() && self.outcomes.contains_key(&request)
    }

    pub(crate) fn len(&self) -> usize {
        self.outcomes.len()
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
        let newest = self.queue(share).back();
        if newest.is_some_and(|(_, newest)| newest.at_ms > outcome.at_ms) {
            return Err("it is older than the outcome stored before it");
        }
        if self.outcomes.contains_key(&request) {
            return Err("its request id is stored already");
        }
        sum.add(outcome.element(request, share));
        let outcome = Arc::new(outcome);
        self.outcomes.insert(request, Arc::clone(&outcome));
        self.queue_mut(share).push_back((request, outcome));
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
        let queue = self.queue(share);
        let Some((request, oldest)) = queue.front() else {
            return false;
        };
        let is_old = now_ms.saturating_sub(oldest.at_ms) >= OUTCOME_RETENTION_MS;
        if !is_old && queue.len() <= keep_max {
            return false;
        }
        let request = *request;
        sum.remove(oldest.element(request, share));
        let removed = self.outcomes.remove(&request);
        assert!(removed.is_some(), "{request:032x} waits to be forgotten but is not stored");
        self.queue_mut(share).pop_front();
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

    /// The outcomes of a share, oldest first: what the events do not carry.
    pub(crate) fn of(&self, share: Share) -> impl Iterator<Item = (u128, &Arc<StoredOutcome>)> {
        self.queue(share).iter().map(|(request, outcome)| (*request, outcome))
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
