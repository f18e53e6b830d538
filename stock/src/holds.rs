//! Holds: units set aside for a user until a deadline in log time.
//!
//! Owns who holds what and until when, and for ever how each hold ended: 24 bytes or so a hold, so
//! that an ended one is told from one that never was. Rebuilt from the events on restore. Never
//! decides anything and never moves a unit. Called by the machine.

use crate::hash::{Element, StateSum};
use crate::{Items, Seq, UserId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most holds that one user has open.
pub const USER_HOLDS_MAX: usize = 100;
/// The most holds that are open.
pub const OPEN_HOLDS_MAX: usize = 1_000_000;

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

/// All holds. Invariants, asserted at each change: a hold is open or settled, never both; the
/// deadlines and the users' lists name exactly the open ones.
#[derive(Debug, Default)]
pub(crate) struct HoldTable {
    open: BTreeMap<Seq, Hold>,
    deadlines: BTreeSet<(u64, Seq)>,
    /// The open holds of each user who has any, oldest first.
    by_user: BTreeMap<UserId, Vec<Seq>>,
    settled: BTreeMap<Seq, Settlement>,
}

impl HoldTable {
    /// A hold, open or settled.
    pub(crate) fn get(&self, id: Seq) -> Option<HoldState<'_>> {
        match self.open.get(&id) {
            Some(hold) => Some(HoldState::Open(hold)),
            None => self.settled.get(&id).copied().map(HoldState::Settled),
        }
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
        sum.add(Element::settled(id, settlement));
        let earlier = self.settled.insert(id, settlement);
        assert!(earlier.is_none(), "hold {id} ends as {settlement:?} after {earlier:?}");
        hold
    }

    /// Adds the hash of every hold.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (id, hold) in &self.open {
            sum.add(Element::hold(*id, hold));
        }
        for (id, settlement) in &self.settled {
            sum.add(Element::settled(*id, *settlement));
        }
    }
}
