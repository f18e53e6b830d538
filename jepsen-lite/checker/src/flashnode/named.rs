//! Which holds confirms and releases name, as far as answers tell.
//!
//! Owns: what such a one may be of. A hold that nobody was told of can be named all the same:
//! whoever took it had no answer, and its number was learned elsewhere. Called by `exact`.

use super::settle::{Settled, Settler};
use super::{Input, Outcome, Record};
use std::collections::{HashMap, HashSet};

/// What a confirm or release names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A hold that somebody was told of, and that who asks may settle.
    Theirs,
    /// Nothing that who asks could settle: the model never lets it take effect.
    NotTheirs,
    /// A hold that nobody was told of, if any: of one of these numbers of units, each once.
    Untold(Vec<u32>),
}

/// A run's holds: who was told of which, and who may have one without being told.
#[derive(Debug)]
pub(super) struct Holds<'a> {
    /// Product and user, by hold. That two were told of one number is not to be seen here.
    told: HashMap<u64, Vec<(&'a str, &'a str)>>,
    /// User and units, by product.
    untold: HashMap<&'a str, HashSet<(&'a str, u32)>>,
}

impl<'a> Holds<'a> {
    pub(super) fn new(records: &'a [Record], settler: &Settler<'_>) -> Self {
        let mut holds = Self { told: HashMap::new(), untold: HashMap::new() };
        for of in records {
            let Input::Hold { product, user, quantity } = &of.input else { continue };
            match of.accepted().map(|answer| &answer.outcome) {
                Some(Outcome::Hold { hold, .. }) => {
                    holds.told.entry(*hold).or_default().push((product, user));
                }
                _ if settler.settle(of) == Settled::InDoubt => {
                    holds.untold.entry(product).or_default().insert((user, *quantity));
                }
                _ => {}
            }
        }
        holds
    }

    /// What this names; of anything but a confirm or release, [`Named::Theirs`].
    pub(super) fn named(&self, input: &Input) -> Named {
        let (Input::Confirm { product, user, hold } | Input::Release { product, user, hold }) =
            input
        else {
            return Named::Theirs;
        };
        let may_be_of = |holder: &str| user.as_deref().is_none_or(|user| user == holder);
        if let Some(told) = self.told.get(hold) {
            let theirs = told.iter().any(|(of, holder)| of == product && may_be_of(holder));
            return if theirs { Named::Theirs } else { Named::NotTheirs };
        }
        // No change has `seq` 0, so no hold has that number.
        let untold = self.untold.get(product.as_str()).filter(|_| *hold > 0);
        let theirs = untold.into_iter().flatten().filter(|(holder, _)| may_be_of(holder));
        let mut units: Vec<u32> = theirs.map(|(_, units)| *units).collect();
        units.sort_unstable();
        units.dedup();
        if units.is_empty() { Named::NotTheirs } else { Named::Untold(units) }
    }
}
