//! Who has how many units of a product, as far as answers tell.
//!
//! Owns: the units that count against a limit, the holds whose ids nobody was told, and what is
//! open about them. Never does: count a product's units. Called by `model`.
//!
//! A hold of unknown outcome may have been taken, and the first that is heard of it may be that it
//! ended, under an id that nobody was told. Then it was one of as many units, but whose is open:
//! each possibility is a [`Case`], and answers to its user tell later which of them remain. Where
//! no user is limited it is all one whose it was, and there is one case.

use super::persistent::Map;
use std::sync::Arc;

/// One way in which it may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Case {
    /// Units bought or held, by user; kept only where there is a limit.
    units: Map<Arc<str>, u64>,
    /// Holds without a name, sorted.
    unnamed: Arc<Vec<(Arc<str>, u32)>>,
}

/// Every way in which it may be, each once: at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Buyers {
    /// Nearly always the only one.
    case: Case,
    others: Vec<Case>,
}

/// What somebody asks for, of a product with this limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) limit: Option<u32>,
    pub(super) user: &'a str,
    pub(super) quantity: u32,
}

/// A hold without a name that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unnamed<'a> {
    pub(super) units: u64,
    /// Whose it was, where that is known and there is a limit.
    pub(super) by: Option<&'a str>,
    /// Whether it became an order; else its units are available again.
    pub(super) sells: bool,
}

impl Buyers {
    /// Whether it is known how it is.
    pub(super) fn are_certain(&self) -> bool {
        self.others.is_empty()
    }

    /// Leaves the cases in which this is within the limit; `None` when it is in none.
    pub(super) fn take(&self, wanted: Wanted<'_>) -> Option<Self> {
        let mut next = self.keep(|case| case.allows(wanted))?;
        if wanted.limit.is_some() {
            next.each(|case| case.add(wanted));
        }
        Some(next)
    }

    /// Leaves the cases in which this passes the limit; `None` when it does in none.
    pub(super) fn refuse(&self, wanted: Wanted<'_>) -> Option<Self> {
        self.keep(|case| !case.allows(wanted))
    }

    /// A hold was taken whose id nobody was told.
    pub(super) fn hold_unnamed(&mut self, Wanted { limit, user, quantity }: Wanted<'_>) {
        let user: Arc<str> = if limit.is_some() { user.into() } else { "".into() };
        self.each(|case| {
            let unnamed = Arc::make_mut(&mut case.unnamed);
            unnamed.push((user.clone(), quantity));
            unnamed.sort();
        });
    }

    /// This user's units are available again.
    pub(super) fn give_back(&mut self, user: &Arc<str>, quantity: u64) {
        self.each(|case| case.give_back(user, quantity));
    }

    /// A hold without a name has ended; `None` when there was none of so many units.
    pub(super) fn end(&self, Unnamed { units, by, sells }: Unnamed<'_>) -> Option<Self> {
        let mut cases: Vec<Case> = Vec::new();
        for case in self.cases() {
            let mut before = None;
            for (at, (user, held)) in case.unnamed.iter().enumerate() {
                // Sorted: equal ones stand together, and it is all one which of them it was.
                if u64::from(*held) != units
                    || by.is_some_and(|by| *by != **user)
                    || before.replace((user, held)) == Some((user, held))
                {
                    continue;
                }
                let mut next = case.clone();
                Arc::make_mut(&mut next.unnamed).remove(at);
                if !sells {
                    next.give_back(user, units);
                }
                if !cases.contains(&next) {
                    cases.push(next);
                }
            }
        }
        Self::of(cases)
    }

    /// Bytes that one change takes which no other version shares.
    pub(super) fn bytes(&self) -> usize {
        let of = |case: &Case| {
            case.units.path_bytes() + case.unnamed.len() * size_of::<(Arc<str>, u32)>()
        };
        self.cases().map(|case| size_of::<Case>() + of(case)).sum()
    }

    fn cases(&self) -> impl Iterator<Item = &Case> {
        std::iter::once(&self.case).chain(&self.others)
    }

    fn of(mut cases: Vec<Case>) -> Option<Self> {
        if cases.is_empty() {
            return None;
        }
        let case = cases.remove(0);
        Some(Self { case, others: cases })
    }

    fn keep(&self, fits: impl Fn(&Case) -> bool) -> Option<Self> {
        if self.cases().all(&fits) {
            return Some(self.clone());
        }
        Self::of(self.cases().filter(|case| fits(case)).cloned().collect())
    }

    fn each(&mut self, change: impl Fn(&mut Case)) {
        change(&mut self.case);
        self.others.iter_mut().for_each(change);
    }
}

impl Case {
    fn allows(&self, Wanted { limit, user, quantity }: Wanted<'_>) -> bool {
        limit.is_none_or(|limit| {
            let has = self.units.get(user).copied().unwrap_or(0);
            has.saturating_add(quantity.into()) <= limit.into()
        })
    }

    fn add(&mut self, Wanted { user, quantity, .. }: Wanted<'_>) {
        let has = self.units.get(user).copied().unwrap_or(0);
        self.units.insert(user.into(), has.saturating_add(quantity.into()));
    }

    fn give_back(&mut self, user: &Arc<str>, quantity: u64) {
        if let Some(has) = self.units.get(user).copied() {
            self.units.insert(user.clone(), has.saturating_sub(quantity));
        }
    }
}
