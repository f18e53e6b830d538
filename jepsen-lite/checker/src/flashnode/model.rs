//! One product of a flash sale as a sequential specification, from the HTTP contract.
//!
//! Owns: what an operation may do to a product and be told. Never does: relate products to each
//! other (`seq` is the whole machine's; here it only rises). Called by the exact search.
//!
//! A change has a `seq` above all that were seen; a read or a refusal has at least the last.

use super::buyers::{Buyers, Unnamed, Wanted};
use super::persistent::Map;
use super::{Answer, Input, Outcome, RefusedFor, codec};
use crate::model::Reading;
use crate::{Call, Ending, History, Model};
use std::sync::Arc;

/// The most units that a product can have.
const STOCK_MAX: u64 = 1_000_000_000_000;

/// An operation and, once it is decided, its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// What was asked.
    pub input: Input,
    /// What was told; `None` of an unknown outcome.
    pub answer: Option<Answer>,
    /// Of a confirm or release of a hold that nobody was told of: its units, where a ledger tells
    /// or it is one possibility.
    pub units: Option<u32>,
}

impl Op {
    /// An operation with its answer.
    pub fn told(input: Input, answer: Answer) -> Self {
        Self { input, answer: Some(answer), units: None }
    }

    /// An operation of unknown outcome.
    pub fn unknown(input: Input) -> Self {
        Self { input, answer: None, units: None }
    }
}

/// What became of a hold. It is its user's alone, before and after it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Hold {
    Open {
        user: Arc<str>,
        quantity: u32,
    },
    /// Its user is refused for this reason from then on. Of one that its end was the first to
    /// name, nobody may know the user.
    Ended {
        user: Option<Arc<str>>,
        told: RefusedFor,
    },
}

/// How a hold ends.
#[derive(Debug, Clone, Copy)]
struct End<'a> {
    /// Who asked for it; `None` when nobody did, or nobody knows.
    by: Option<&'a str>,
    /// What its user is told from then on.
    told: RefusedFor,
}

/// What a product was put on sale with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Terms {
    stock: u64,
    limit: Option<u32>,
}

/// A product. `available + held + sold == stocked` always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Product {
    terms: Option<Terms>,
    seq: u64,
    stocked: u64,
    available: u64,
    held: u64,
    sold: u64,
    holds: Map<u64, Hold>,
    buyers: Buyers,
}

/// The model `flashnode`: partitions are products.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sale;

impl Model for Sale {
    type Op = Op;
    type State = Product;
    type Key = String;
    type Shape = String;

    fn name(&self) -> &'static str {
        "flashnode"
    }

    fn init(&self, _key: &String) -> Product {
        Product::default()
    }

    fn step(&self, state: &Product, op: &Op) -> Option<Product> {
        state.after(op)
    }

    fn partition(&self, op: &Op) -> String {
        op.input.product().to_owned()
    }

    fn shape(&self, op: &Op) -> String {
        // One whose answer is known without its time has no equals.
        format!("{op:?}")
    }

    fn observes(&self, state: &Product, op: &Op) -> bool {
        // A higher `seq` would show in the state; with this one, all that could follow is later.
        op.answer.as_ref().is_some_and(|answer| {
            let leaves_no_trace = match answer.outcome {
                // It tells which of several cases it is.
                Outcome::Refused { reason: RefusedFor::LimitReached, .. } => {
                    state.buyers.are_certain()
                }
                Outcome::Refused { .. } => true,
                _ => state.only_reads(&op.input),
            };
            answer.seq == state.seq && leaves_no_trace
        })
    }

    const RANKED: bool = true;

    /// The change at a `seq`, then what saw it.
    fn rank(&self, op: &Op) -> u64 {
        let Some(answer) = &op.answer else { return 0 };
        let refused = matches!(answer.outcome, Outcome::Refused { .. });
        // An accepted creation may be the change, or have met the product as it was.
        let may_see = refused || matches!(op.input, Input::Read { .. } | Input::Create { .. });
        answer.seq.saturating_mul(2).saturating_add(u64::from(may_see))
    }

    fn floor(&self, state: &Product) -> u64 {
        state.seq.saturating_mul(2).saturating_add(1)
    }

    fn state_bytes(&self, state: &Product) -> usize {
        // The search counts each state twice, as its two copies; those share their maps.
        size_of_val(state) + usize::midpoint(state.buyers.bytes(), state.holds.path_bytes())
    }

    fn describe(&self, op: &Op) -> String {
        match &op.answer {
            Some(answer) => format!("{} → {answer}", op.input),
            None => format!("{} → unknown", op.input),
        }
    }

    fn describe_state(&self, state: &Product) -> String {
        let Product { seq, stocked, available, held, sold, .. } = state;
        format!("seq {seq}: {available} available, {held} held, {sold} sold of {stocked}")
    }

    fn read(&self, history: &History, call: &Call) -> Result<Reading<Op>, String> {
        let input =
            codec::input(&history.events[call.invoked]).map_err(|error| error.to_string())?;
        let ended = match call.ending {
            Ending::Open(_) if matches!(input, Input::Read { .. }) => return Ok(Reading::Nothing),
            Ending::Open(_) => return Ok(Reading::Unknown(Op::unknown(input))),
            Ending::Ok(at) | Ending::Fail(at) => &history.events[at],
        };
        let answer = codec::answer(ended).map_err(|error| error.to_string())?;
        Ok(match answer {
            Some(answer) => Reading::Known(Op::told(input, answer)),
            None => Reading::Nothing,
        })
    }
}

impl Product {
    /// The state after this operation with this answer; `None` when it gives no such answer, or,
    /// without an answer, when nothing would change.
    pub(super) fn after(&self, op: &Op) -> Option<Self> {
        let input = &op.input;
        let Some(answer) = &op.answer else {
            return self.change(op);
        };
        let at_seq = || Self { seq: answer.seq, ..self.clone() };
        if let Outcome::Refused { reason, remaining } = &answer.outcome {
            let told = remaining.is_none_or(|told| self.terms.is_none() || told == self.available);
            if answer.seq < self.seq || !told {
                return None;
            }
            let buyers = self.refuse(input, *reason)?;
            return Some(Self { buyers, ..at_seq() });
        }
        if self.only_reads(input) {
            let fits = answer.seq >= self.seq && self.told(&answer.outcome, input);
            return fits.then(at_seq);
        }
        if answer.seq <= self.seq || !self.may_leave(input, &answer.outcome) {
            return None;
        }
        let next = self.change(op)?;
        next.told(&answer.outcome, input).then_some(next)
    }

    /// Whether this, accepted now, changes nothing: a read, or the same creation again.
    fn only_reads(&self, input: &Input) -> bool {
        match input {
            Input::Read { .. } => true,
            Input::Create { stock, limit, .. } => {
                self.terms.is_some_and(|terms| terms == Terms { stock: *stock, limit: *limit })
            }
            _ => false,
        }
    }

    /// False when a purchase cannot leave as many units as it says. A search asks mostly in vain:
    /// this answers before a copy is made.
    fn may_leave(&self, input: &Input, outcome: &Outcome) -> bool {
        match (input, outcome) {
            (
                Input::Buy { quantity, .. } | Input::Hold { quantity, .. },
                Outcome::Ordered { remaining } | Outcome::Hold { remaining, .. },
            ) => self.available.checked_sub(u64::from(*quantity)) == Some(*remaining),
            (Input::Confirm { .. }, Outcome::Ordered { remaining }) => self.available == *remaining,
            _ => true,
        }
    }

    /// Whether an answer tells of this state.
    fn told(&self, outcome: &Outcome, input: &Input) -> bool {
        self.terms.is_some()
            && match (outcome, input) {
                (
                    Outcome::Counts { stocked, available, held, sold },
                    Input::Create { .. } | Input::Restock { .. } | Input::Read { .. },
                ) => {
                    [*stocked, *available, *held, *sold]
                        == [self.stocked, self.available, self.held, self.sold]
                }
                (Outcome::Ordered { remaining }, Input::Buy { .. } | Input::Confirm { .. }) => {
                    *remaining == self.available
                }
                (Outcome::Hold { hold, remaining, .. }, Input::Hold { .. }) => {
                    *hold == self.seq && *remaining == self.available
                }
                (
                    Outcome::Hold { hold, remaining, .. },
                    Input::Release { hold: asked, .. } | Input::Expire { hold: asked, .. },
                ) => hold == asked && *remaining == self.available,
                _ => false,
            }
    }

    /// The buyers as this refusal leaves them, `None` when its reason is not true of this state.
    fn refuse(&self, input: &Input, reason: RefusedFor) -> Option<Buyers> {
        if reason == RefusedFor::LimitReached {
            return self.buyers.refuse(self.wanted(input)?);
        }
        self.refuses(input, reason).then(|| self.buyers.clone())
    }

    /// Whether this reason is true of this state. Which of several is told is not promised.
    fn refuses(&self, input: &Input, reason: RefusedFor) -> bool {
        if self.terms.is_none() {
            // A hold is asked for by its id alone: of no product, there is none either.
            return match input {
                Input::Create { .. } => false,
                Input::Confirm { .. } | Input::Release { .. } => {
                    matches!(reason, RefusedFor::UnknownProduct | RefusedFor::UnknownHold)
                }
                _ => reason == RefusedFor::UnknownProduct,
            };
        }
        match (input, reason) {
            (Input::Create { .. }, RefusedFor::Differs) => !self.only_reads(input),
            (Input::Restock { quantity, .. }, RefusedFor::OutOfRange) => {
                let units = quantity.unsigned_abs();
                if *quantity < 0 {
                    units > self.available
                } else {
                    self.stocked.saturating_add(units) > STOCK_MAX
                }
            }
            (Input::Buy { .. } | Input::Hold { .. }, RefusedFor::SoldOut) => self.available == 0,
            (
                Input::Buy { quantity, .. } | Input::Hold { quantity, .. },
                RefusedFor::Insufficient,
            ) => self.available > 0 && self.available < u64::from(*quantity),
            (Input::Confirm { user, hold, .. } | Input::Release { user, hold, .. }, reason) => {
                self.refuses_to_settle(*hold, user.as_deref(), reason)
            }
            _ => false,
        }
    }

    /// Whether who asks to confirm or release this hold is refused for this reason.
    fn refuses_to_settle(&self, hold: u64, by: Option<&str>, reason: RefusedFor) -> bool {
        let (user, told) = match self.holds.get(&hold) {
            None => return reason == RefusedFor::UnknownHold,
            Some(Hold::Open { user, .. }) => (Some(user), None),
            Some(Hold::Ended { user, told }) => (user.as_ref(), Some(*told)),
        };
        match (by, user) {
            // That others have a hold, or had one, is not told.
            (Some(by), Some(user)) if *by != **user => reason == RefusedFor::UnknownHold,
            (Some(_), Some(_)) => told == Some(reason),
            // It may be theirs or not.
            _ => reason == RefusedFor::UnknownHold || told == Some(reason),
        }
    }

    /// What this asks for of what is on sale.
    fn wanted<'a>(&self, input: &'a Input) -> Option<Wanted<'a>> {
        let limit = self.terms?.limit;
        match input {
            Input::Buy { user, quantity, .. } | Input::Hold { user, quantity, .. } => {
                Some(Wanted { limit, user, quantity: *quantity })
            }
            _ => None,
        }
    }

    /// The state after this change, `None` when it would be refused. Without an answer, `seq`
    /// rises by the least that a change takes.
    fn change(&self, op: &Op) -> Option<Self> {
        let Op { input, answer, .. } = op;
        let mut next = self.clone();
        next.seq = answer.as_ref().map_or(self.seq.saturating_add(1), |answer| answer.seq);
        match input {
            Input::Create { stock, limit, .. } => {
                if self.terms.is_some() {
                    return None;
                }
                next.terms = Some(Terms { stock: *stock, limit: *limit });
                (next.stocked, next.available) = (*stock, *stock);
            }
            Input::Restock { quantity, .. } => {
                self.terms?;
                next.available = self.available.checked_add_signed(*quantity)?;
                next.stocked = self.stocked.checked_add_signed(*quantity)?;
                if next.stocked > STOCK_MAX {
                    return None;
                }
            }
            Input::Buy { quantity, .. } => {
                next.take(self.wanted(input)?)?;
                next.sold += u64::from(*quantity);
            }
            Input::Hold { user, quantity, .. } => {
                let wanted = self.wanted(input)?;
                next.take(wanted)?;
                next.held += u64::from(*quantity);
                if answer.is_some() {
                    let hold = Hold::Open { user: user.as_str().into(), quantity: *quantity };
                    next.holds.insert(next.seq, hold);
                } else {
                    next.buyers.hold_unnamed(wanted);
                }
            }
            Input::Confirm { hold, .. }
            | Input::Release { hold, .. }
            | Input::Expire { hold, .. }
                if self.holds.get(hold).is_none() =>
            {
                next.end_unnamed(*hold, op)?;
            }
            Input::Confirm { user, hold, .. } => {
                let end = End { by: user.as_deref(), told: RefusedFor::HoldSettled };
                let (_, quantity) = next.settle(*hold, end)?;
                next.held -= quantity;
                next.sold += quantity;
            }
            Input::Release { user, hold, .. } => {
                let end = End { by: user.as_deref(), told: RefusedFor::HoldSettled };
                next.give_back(*hold, end)?;
            }
            Input::Expire { hold, .. } => {
                next.give_back(*hold, End { by: None, told: RefusedFor::HoldExpired })?;
            }
            Input::Read { .. } => return None,
        }
        assert_eq!(
            next.available + next.held + next.sold,
            next.stocked,
            "units after {input:?} on {self:?}"
        );
        Some(next)
    }

    fn take(&mut self, wanted: Wanted<'_>) -> Option<()> {
        if wanted.quantity == 0 {
            return None;
        }
        self.buyers = self.buyers.take(wanted)?;
        self.available = self.available.checked_sub(wanted.quantity.into())?;
        Some(())
    }

    /// Whose the hold was, and how many units; `None` when it is not open, or another's than who
    /// asks.
    fn settle(&mut self, hold: u64, End { by, told }: End<'_>) -> Option<(Arc<str>, u64)> {
        let Some(Hold::Open { user, quantity }) = self.holds.get(&hold).cloned() else {
            return None;
        };
        if by.is_some_and(|by| *by != *user) {
            return None;
        }
        self.holds.insert(hold, Hold::Ended { user: Some(user.clone()), told });
        Some((user, quantity.into()))
    }

    fn give_back(&mut self, hold: u64, end: End<'_>) -> Option<()> {
        let (user, quantity) = self.settle(hold, end)?;
        self.held -= quantity;
        self.available += quantity;
        self.buyers.give_back(&user, quantity);
        Some(())
    }

    /// The end of a hold can be the first to name it, where its taker never had an answer. It is
    /// one of as many units as came back, or else as it is told or supposed to be of.
    fn end_unnamed(&mut self, hold: u64, Op { input, answer, units }: &Op) -> Option<()> {
        let (by, told) = match input {
            Input::Expire { .. } => (None, RefusedFor::HoldExpired),
            Input::Confirm { user, .. } | Input::Release { user, .. } => {
                (user.as_deref(), RefusedFor::HoldSettled)
            }
            _ => return None,
        };
        let (sells, answer) = (matches!(input, Input::Confirm { .. }), answer.as_ref());
        let units = match answer.map(|answer| &answer.outcome) {
            Some(Outcome::Hold { remaining, .. }) => remaining.checked_sub(self.available)?,
            _ => u64::from((*units)?),
        };
        let limit = self.terms?.limit;
        let unnamed = Unnamed { units, by: by.filter(|_| limit.is_some()), sells };
        self.buyers = self.buyers.end(unnamed)?;
        self.holds.insert(hold, Hold::Ended { user: by.map(Into::into), told });
        self.held -= units;
        if sells {
            self.sold += units;
        } else {
            self.available += units;
        }
        Some(())
    }
}
