//! Holds: units set aside for a user until a deadline in log time.
//!
//! Owns who holds what and until when, and how the newest [`SETTLED_MAX`] that ended did: 40 bytes
//! each, so that an ended one is told from one that never was. Rebuilt from the events on restore.
//! Never decides anything and never moves a unit. Called by the machine.

use crate::hash::{self, Element, StateSum};
use crate::{HoldTally, Items, Rules, Seq, UserId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most holds that one user has open.
pub const USER_HOLDS_MAX: usize = 100;
/// The most holds that are open.
pub const OPEN_HOLDS_MAX: usize = 1_000_000;
/// The most ended holds that are known, under [`crate::Rules::Two`]: those that ended last. About
/// 300 MB of memory. An older one is as one that never was.
pub const SETTLED_MAX: usize = 4_000_000;

/// An open hold. Its id is the `seq` of the change that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// For whom.
    pub user: UserId,
    /// What is set aside.
    pub items: Items,
    /// Its deadline: it has expired once log time is this, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

/// How a hold ended, and with which change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    /// It became this order.
    Confirmed {
        /// The order's id.
        order: Seq,
    },
    /// It was given up.
    Released {
        /// The change.
        seq: Seq,
    },
    /// Its deadline passed.
    Expired {
        /// The change.
        seq: Seq,
    },
}

/// What there is to know about a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState<'a> {
    /// Its units are set aside.
    Open(&'a Hold),
    /// It has ended.
    Settled(Settlement),
}

impl Settlement {
    /// The change that ended the hold.
    pub fn seq(self) -> Seq {
        match self {
            Self::Confirmed { order: seq } | Self::Released { seq } | Self::Expired { seq } => seq,
        }
    }
}

/// An ended hold.
#[derive(Debug, Clone, Copy)]
struct Settled {
    settlement: Settlement,
    /// A fingerprint of its user: who has another's by chance is told of a hold that is not theirs.
    user: u64,
}

impl Settled {
    /// Its hash. Whose it was decides nothing under the first rules, and is not in theirs.
    fn element(&self, id: Seq, rules: Rules) -> Element {
        match rules {
            Rules::One => Element::settled(id, self.settlement),
            Rules::Two | Rules::Three | Rules::Four => {
                Element::settled_of(id, self.settlement, self.user)
            }
        }
    }
}

/// All holds. Invariants, asserted at each change: a hold is open or settled, never both; the
/// deadlines and the users' lists name exactly the open ones, the endings exactly the settled; of
/// all that were made, what has not ended is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct HoldTable {
    rules: Rules,
    open: BTreeMap<Seq, Hold>,
    deadlines: BTreeSet<(u64, Seq)>,
    /// The open holds of each user who has any, oldest first.
    by_user: BTreeMap<UserId, Vec<Seq>>,
    settled: BTreeMap<Seq, Settled>,
    /// The settled holds, as they ended.
    endings: VecDeque<Seq>,
    /// The last change that ended a hold which is forgotten; 0 when none is.
    forgotten: Seq,
    tally: HoldTally,
}

impl HoldTable {
    /// Goes by these rules from now on. Costs time with the number of ended holds, once.
    pub(crate) fn adopt(&mut self, rules: Rules, sum: &mut StateSum) {
        for (id, settled) in &self.settled {
            sum.remove(settled.element(*id, self.rules));
            sum.add(settled.element(*id, rules));
        }
        self.rules = rules;
    }

    /// A hold, open or settled.
    pub(crate) fn get(&self, id: Seq) -> Option<HoldState<'_>> {
        match self.open.get(&id) {
            Some(hold) => Some(HoldState::Open(hold)),
            None => self.settled.get(&id).map(|settled| HoldState::Settled(settled.settlement)),
        }
    }

    /// Whether a hold is open although its deadline has been reached.
    pub(crate) fn is_overdue(&self, id: Seq, now_ms: u64) -> bool {
        self.open.get(&id).is_some_and(|hold| hold.expires_at_ms <= now_ms)
    }

    /// Whether a hold, open or settled, is the user's.
    pub(crate) fn is_of(&self, id: Seq, user: &UserId) -> bool {
        if let Some(hold) = self.open.get(&id) {
            return hold.user == *user;
        }
        let settled = self.settled.get(&id);
        settled.is_some_and(|settled| settled.user == hash::user_fingerprint(user))
    }

    /// The last change that ended a hold which is forgotten; 0 when none is.
    pub(crate) fn forgotten(&self) -> Seq {
        self.forgotten
    }

    /// All that there ever were.
    pub(crate) fn tally(&self) -> HoldTally {
        self.tally
    }

    /// The open holds, by id.
    pub(crate) fn open(&self) -> impl ExactSizeIterator<Item = (Seq, &Hold)> {
        self.open.iter().map(|(id, hold)| (*id, hold))
    }

    /// A user's open holds, by id.
    pub(crate) fn open_of(&self, user: &UserId) -> &[Seq] {
        self.by_user.get(user).map_or(&[], Vec::as_slice)
    }

    /// The first deadline and its hold; of equal deadlines the older hold.
    pub(crate) fn first_deadline(&self) -> Option<(u64, Seq)> {
        self.deadlines.first().copied()
    }

    /// Adds a hold.
    ///
    /// # Panics
    /// When the id is not above all before it.
    pub(crate) fn add(&mut self, id: Seq, hold: Hold, sum: &mut StateSum) {
        sum.add(Element::hold(id, &hold));
        self.deadlines.insert((hold.expires_at_ms, id));
        let of_user = self.by_user.entry(hold.user.clone()).or_default();
        assert!(of_user.last().is_none_or(|last| *last < id), "hold {id} comes after {of_user:?}");
        of_user.push(id);
        let earlier = self.open.insert(id, hold);
        assert!(
            earlier.is_none() && !self.settled.contains_key(&id),
            "hold {id} was there already"
        );
        self.tally.made += 1;
    }

    /// Ends an open hold and gives back what it was.
    ///
    /// # Panics
    /// When it is not open.
    pub(crate) fn settle(&mut self, id: Seq, settlement: Settlement, sum: &mut StateSum) -> Hold {
        let Some(hold) = self.open.remove(&id) else {
            panic!("hold {id} cannot end as {settlement:?}: it is {:?}", self.settled.get(&id));
        };
        sum.remove(Element::hold(id, &hold));
        let deadline = self.deadlines.remove(&(hold.expires_at_ms, id));
        let of_user = self.by_user.get_mut(&hold.user);
        let position = of_user.as_ref().and_then(|ids| ids.binary_search(&id).ok());
        let (Some(of_user), Some(position), true) = (of_user, position, deadline) else {
            panic!("hold {id} is open, but its deadline or its user does not know it: {hold:?}");
        };
        of_user.remove(position);
        if of_user.is_empty() {
            self.by_user.remove(&hold.user);
        }
        let settled = Settled { settlement, user: hash::user_fingerprint(&hold.user) };
        sum.add(settled.element(id, self.rules));
        let earlier = self.settled.insert(id, settled);
        assert!(earlier.is_none(), "hold {id} ends as {settlement:?} after {earlier:?}");
        self.endings.push_back(id);
        self.tally.end(settlement);
        let (tally, open) = (self.tally, self.open.len());
        assert!(tally.leaves(open), "{open} holds are open, of {tally:?}");
        hold
    }

    /// Fills the empty table: with the open holds, those that ended as they did, each with the
    /// fingerprint of its user, the last change that ended one which is forgotten, and how many
    /// there were.
    ///
    /// # Errors
    /// What is wrong with them, when they cannot be so. The table is of no use then.
    pub(crate) fn fill(
        &mut self,
        open: BTreeMap<Seq, Hold>,
        ended: Vec<(Seq, Settlement, u64)>,
        (forgotten, tally): (Seq, HoldTally),
        sum: &mut StateSum,
    ) -> Result<(), &'static str> {
        if !tally.leaves(open.len()) {
            return Err("its holds are not as many as were made and have not ended");
        }
        for (id, settlement, user) in ended {
            let settled = Settled { settlement, user };
            sum.add(settled.element(id, self.rules));
            if open.contains_key(&id) || self.settled.insert(id, settled).is_some() {
                return Err("a hold ended twice, or before it was made");
            }
            self.endings.push_back(id);
        }
        for (id, hold) in open {
            self.add(id, hold, sum);
        }
        (self.forgotten, self.tally) = (forgotten, tally);
        Ok(())
    }

    /// Forgets those that ended first of the settled holds beyond so many, but no more than `max`.
    pub(crate) fn forget_beyond(&mut self, keep_max: usize, max: usize, sum: &mut StateSum) {
        for _ in 0..self.endings.len().saturating_sub(keep_max).min(max) {
            self.forget_first(sum);
        }
    }

    /// Forgets what ended up to a change.
    pub(crate) fn forget_up_to(&mut self, last: Seq, sum: &mut StateSum) {
        let ended = |holds: &Self| {
            let first = holds.endings.front().and_then(|id| holds.settled.get(id));
            first.is_some_and(|settled| settled.settlement.seq() <= last)
        };
        while ended(self) {
            self.forget_first(sum);
        }
    }

    fn forget_first(&mut self, sum: &mut StateSum) {
        let first = self.endings.pop_front();
        let Some((id, settled)) = first.and_then(|id| self.settled.remove_entry(&id)) else {
            panic!("hold {first:?} ended first, but is not settled");
        };
        sum.remove(settled.element(id, self.rules));
        self.forgotten = settled.settlement.seq();
    }

    /// Adds the hash of every hold.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (id, hold) in &self.open {
            sum.add(Element::hold(*id, hold));
        }
        for (id, settled) in &self.settled {
            sum.add(settled.element(*id, self.rules));
        }
    }
}
