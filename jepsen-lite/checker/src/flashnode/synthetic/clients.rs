//! What a simulated client asks next, and what becomes of it.
//!
//! Owns: the mix of operations. Never does: serve them. Called by the generator.

use super::{Doubt, Plan, Settlers};
use crate::flashnode::{Answer, Input, Outcome};
use crate::random::Random;

/// The holds that a client keeps in mind; older ones are forgotten.
const HOLDS_MAX: usize = 8;
/// A product that is never created.
const NOWHERE: &str = "nowhere";
/// Of a hundred confirmations and releases, those of a hold that never was.
const NO_HOLD_PERCENT: u64 = 5;
/// Of a hundred confirmations and releases, those of a hold that is another user's.
const NOT_THEIRS_PERCENT: u64 = 5;
/// Of a hundred operations on a product, those on one that is never created.
const NOWHERE_PERCENT: u64 = 1;
/// Of a hundred operations, those that end other than by the first attempt's answer.
const TROUBLE_PERCENT: u64 = 15;

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Answered,
    /// The first attempt's answer is lost, and it is asked again.
    Retried {
        first_arrives: bool,
    },
    NotDone,
    /// Nobody waits for it any more.
    GivenUp {
        arrives: bool,
    },
}

impl Course {
    pub(super) fn of(input: &Input, plan: &Plan, random: &mut Random) -> Self {
        if !random.percent(TROUBLE_PERCENT) || input.product() == NOWHERE {
            return Self::Answered;
        }
        let anything = plan.doubt == Doubt::Anything;
        let creates = matches!(input, Input::Create { .. });
        // Its answer tells all, whichever attempt took effect.
        let replays =
            matches!(input, Input::Buy { .. } | Input::Hold { .. } | Input::Restock { .. });
        let settled = input.makes_order() || matches!(input, Input::Read { .. });
        let may_retry = anything || replays;
        let may_give_up = match plan.doubt {
            Doubt::Nothing => false,
            Doubt::Orders => settled,
            Doubt::Anything => !creates,
        };
        let first_arrives = random.percent(60);
        random.weighted(&[
            (Self::NotDone, 1),
            (Self::Retried { first_arrives }, 2 * u64::from(may_retry)),
            (Self::GivenUp { arrives: first_arrives }, u64::from(may_give_up)),
        ])
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Create,
    Restock,
    Buy,
    Hold,
    Confirm,
    Release,
    Read,
}

/// How often each is asked for.
const MIX: [(Kind, u64); 7] = [
    (Kind::Create, 1),
    (Kind::Restock, 6),
    (Kind::Buy, 40),
    (Kind::Hold, 14),
    (Kind::Confirm, 9),
    (Kind::Release, 5),
    (Kind::Read, 25),
];

#[derive(Debug)]
pub(super) struct Client {
    pub(super) process: i64,
    holds: Vec<Known>,
}

/// A hold that the client was told of.
#[derive(Debug, Clone)]
struct Known {
    product: String,
    user: String,
    hold: u64,
}

impl Client {
    pub(super) fn new(process: u32) -> Self {
        Self { process: process.into(), holds: Vec::new() }
    }

    pub(super) fn next(&mut self, plan: &Plan, random: &mut Random) -> Input {
        let index = random.index(plan.products);
        let nowhere = random.percent(NOWHERE_PERCENT);
        let product = if nowhere { NOWHERE.to_owned() } else { name(index) };
        let user = format!("u{}", random.index(4 + plan.operations / 20));
        let quantity = 1 + random.below(3) as u32;
        match random.weighted(&MIX) {
            Kind::Create => match creation(plan, index) {
                Input::Create { product, stock, limit } if random.percent(50) => {
                    Input::Create { product, stock: stock + 1, limit }
                }
                same => same,
            },
            Kind::Restock => {
                let quantity = i64::from(random.below(14) as u32) - 5;
                Input::Restock { product, quantity: if quantity == 0 { 1 } else { quantity } }
            }
            Kind::Buy => Input::Buy { product, user, quantity },
            Kind::Hold => Input::Hold { product, user, quantity },
            Kind::Confirm => {
                let none = Known { product, user, hold: 0 };
                let Known { product, user, hold } = self.some_hold(none, plan, random);
                Input::Confirm { product, user: Some(user), hold }
            }
            Kind::Release => {
                let none = Known { product, user, hold: 0 };
                let Known { product, user, hold } = self.some_hold(none, plan, random);
                Input::Release { product, user: Some(user), hold }
            }
            Kind::Read => Input::Read { product },
        }
    }

    /// One that it was told of, settled or not, or none; no change has `seq` 0, so no hold has
    /// that id.
    fn some_hold(&mut self, none: Known, plan: &Plan, random: &mut Random) -> Known {
        if self.holds.is_empty() || random.percent(NO_HOLD_PERCENT) {
            return none;
        }
        let at = random.index(self.holds.len());
        if plan.settlers == Settlers::Anybody && random.percent(NOT_THEIRS_PERCENT) {
            return Known { user: none.user, ..self.holds[at].clone() };
        }
        if random.percent(30) { self.holds[at].clone() } else { self.holds.swap_remove(at) }
    }

    pub(super) fn hears(&mut self, input: &Input, answer: &Answer) {
        if let (Input::Hold { product, user, .. }, Some(hold)) = (input, hold_of(answer)) {
            if self.holds.len() == HOLDS_MAX {
                self.holds.remove(0);
            }
            self.holds.push(Known { product: product.clone(), user: user.clone(), hold });
        }
    }
}

/// The hold that an answer names.
pub(super) fn hold_of(answer: &Answer) -> Option<u64> {
    match answer.outcome {
        Outcome::Hold { hold, .. } => Some(hold),
        _ => None,
    }
}

/// How a product is put on sale: every third one scarce, every second one with a limit.
pub(super) fn creation(plan: &Plan, index: usize) -> Input {
    let share = (plan.operations / plan.products) as u64;
    Input::Create {
        product: name(index),
        stock: if index.is_multiple_of(3) { 1 + share / 8 } else { 1 + share },
        limit: (index % 2 == 1).then_some(4),
    }
}

fn name(index: usize) -> String {
    format!("p{index}")
}
