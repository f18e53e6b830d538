//! What a buyer asks of a sale and is told, as a recorder writes it down.
//!
//! Owns: the vocabulary, from the HTTP contract. Never does: judge. One record is one request id,
//! from the first send to the final answer. Called by the recorder, the model, the witness and the
//! ledger checks.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "kebab-case")]
pub enum Input {
    /// Put a product on sale.
    Create {
        /// The product.
        product: String,
        /// Units at first.
        stock: u64,
        /// The most units that one user may buy.
        limit: Option<u32>,
    },
    /// Add units, or take back available ones.
    Restock {
        /// The product.
        product: String,
        /// Units; negative takes back.
        quantity: i64,
    },
    /// Buy.
    Buy {
        /// The product.
        product: String,
        /// The buyer.
        user: String,
        /// Units.
        quantity: u32,
    },
    /// Reserve.
    Hold {
        /// The product.
        product: String,
        /// The buyer.
        user: String,
        /// Units.
        quantity: u32,
    },
    /// Turn a hold into an order.
    Confirm {
        /// The product.
        product: String,
        /// Who asks; `None` in a history that does not tell, as older ones do not.
        user: Option<String>,
        /// The hold.
        hold: u64,
    },
    /// Give a hold's units back.
    Release {
        /// The product.
        product: String,
        /// Who asks; `None` in a history that does not tell, or of an operator.
        user: Option<String>,
        /// The hold.
        hold: u64,
    },
    /// A hold ran out, as the cluster's change feed has it. No client asked for it.
    Expire {
        /// The product.
        product: String,
        /// The hold.
        hold: u64,
    },
    /// A linearizable read of the product's counts.
    Read {
        /// The product.
        product: String,
    },
}

impl Input {
    /// Jepsen's `:f`.
    pub fn f(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Restock { .. } => "restock",
            Self::Buy { .. } => "buy",
            Self::Hold { .. } => "hold",
            Self::Confirm { .. } => "confirm",
            Self::Release { .. } => "release",
            Self::Expire { .. } => "expire",
            Self::Read { .. } => "read",
        }
    }

    /// The product that it is about.
    pub fn product(&self) -> &str {
        match self {
            Self::Create { product, .. }
            | Self::Restock { product, .. }
            | Self::Buy { product, .. }
            | Self::Hold { product, .. }
            | Self::Confirm { product, .. }
            | Self::Release { product, .. }
            | Self::Expire { product, .. }
            | Self::Read { product } => product,
        }
    }

    /// Whether it leaves an order in the ledger when it is accepted.
    pub fn makes_order(&self) -> bool {
        matches!(self, Self::Buy { .. } | Self::Confirm { .. })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, product) = (self.f(), self.product());
        match self {
            Self::Create { stock, limit: None, .. } => {
                write!(f, "{what} {product} with {stock} units")
            }
            Self::Create { stock, limit: Some(limit), .. } => {
                write!(f, "{what} {product} with {stock} units, at most {limit} a user")
            }
            Self::Restock { quantity, .. } => write!(f, "{what} {product} by {quantity}"),
            Self::Buy { user, quantity, .. } | Self::Hold { user, quantity, .. } => {
                write!(f, "{what} {quantity} of {product} by {user}")
            }
            Self::Confirm { user: Some(user), hold, .. }
            | Self::Release { user: Some(user), hold, .. } => {
                write!(f, "{what} hold {hold} of {product} by {user}")
            }
            Self::Confirm { hold, .. } | Self::Release { hold, .. } | Self::Expire { hold, .. } => {
                write!(f, "{what} hold {hold} of {product}")
            }
            Self::Read { .. } => write!(f, "{what} {product}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Counts { stocked, available, held, sold } => {
                write!(f, "{available} available, {held} held, {sold} sold of {stocked}")?;
            }
            Outcome::Ordered { remaining } => write!(f, "order, {remaining} remaining")?,
            Outcome::Hold { hold, remaining, .. } => {
                write!(f, "hold {hold}, {remaining} remaining")?;
            }
            Outcome::Refused { reason, remaining: None } => f.write_str(reason.name())?,
            Outcome::Refused { reason, remaining: Some(remaining) } => {
                write!(f, "{}, {remaining} remaining", reason.name())?;
            }
        }
        write!(f, ", seq {}", self.seq)
    }
}

/// What is answered, once it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The change itself, or the state that was read.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Created, restocked or read: the counts in the state of `seq`.
    Counts {
        /// Units ever stocked, less those taken back.
        stocked: u64,
        /// Units that can be bought.
        available: u64,
        /// Units in holds.
        held: u64,
        /// Units sold.
        sold: u64,
    },
    /// Bought, or a hold confirmed: an order, whose id is `seq`.
    Ordered {
        /// Units still available right after it.
        remaining: u64,
    },
    /// Held, released or expired: `hold` is the `seq` of its creation.
    Hold {
        /// The hold.
        hold: u64,
        /// Units still available right after it.
        remaining: u64,
        /// Log time, in milliseconds since the Unix epoch: of one that was made its deadline, of
        /// one that ran out when it did; where it was told.
        log_ms: Option<u64>,
    },
    /// Refused: nothing was changed, in the state of `seq`.
    Refused {
        /// Why.
        reason: RefusedFor,
        /// Units available in that state, when it was told.
        remaining: Option<u64>,
    },
}

/// Why it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedFor {
    /// Nothing is available.
    SoldOut,
    /// Fewer are available than asked for.
    Insufficient,
    /// The user has as many as allowed, or would have more.
    LimitReached,
    /// No such product.
    UnknownProduct,
    /// No such hold.
    UnknownHold,
    /// The hold ran out.
    HoldExpired,
    /// The hold was confirmed or released before.
    HoldSettled,
    /// The product exists on other terms.
    Differs,
    /// A restock that would take back more than is available, or pass the largest stock.
    OutOfRange,
}

impl RefusedFor {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::SoldOut,
        Self::Insufficient,
        Self::LimitReached,
        Self::UnknownProduct,
        Self::UnknownHold,
        Self::HoldExpired,
        Self::HoldSettled,
        Self::Differs,
        Self::OutOfRange,
    ];

    /// Its name in files, such as `sold-out`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SoldOut => "sold-out",
            Self::Insufficient => "insufficient",
            Self::LimitReached => "limit-reached",
            Self::UnknownProduct => "unknown-product",
            Self::UnknownHold => "unknown-hold",
            Self::HoldExpired => "hold-expired",
            Self::HoldSettled => "hold-settled",
            Self::Differs => "differs",
            Self::OutOfRange => "out-of-range",
        }
    }

    /// The reason of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// How a record ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "kebab-case")]
pub enum Ended {
    /// Decided: accepted or refused.
    Decided {
        /// The answer.
        answer: Answer,
        /// Whether the node said that an earlier attempt had been accepted.
        replayed: bool,
    },
    /// Surely not proposed, and no attempt was left in doubt.
    NotDone,
    /// No attempt settled it.
    Unknown,
}

/// One send of a request, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The attempt's number, from 1.
    pub number: u32,
    /// The node asked.
    pub node: u64,
    /// Nanoseconds since the run began.
    pub sent_ns: u64,
    /// Nanoseconds since the run began, of the answer or the failure.
    pub ended_ns: u64,
    /// `201`, `410 sold-out`, `504 outcome-unknown`, `lost: connection reset`, …
    pub said: String,
}

/// One operation, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The logical process.
    pub process: i64,
    /// What was asked.
    pub input: Input,
    /// The request id; none for reads and expiries.
    pub request: Option<String>,
    /// Position of the invocation among all invocations and completions of the run.
    pub invoked: u64,
    /// Position of the completion; `None` while it is unknown.
    pub completed: Option<u64>,
    /// Nanoseconds since the run began.
    pub invoked_ns: u64,
    /// Nanoseconds since the run began, when the recorder gave up or had the answer.
    pub ended_ns: u64,
    /// How it ended.
    pub ended: Ended,
    /// Its sends.
    pub attempts: Vec<Attempt>,
}

impl Record {
    /// The answer, if it was decided.
    pub fn answer(&self) -> Option<&Answer> {
        if let Ended::Decided { answer, .. } = &self.ended { Some(answer) } else { None }
    }

    /// The answer, if it was accepted (a read: answered with counts).
    pub fn accepted(&self) -> Option<&Answer> {
        self.answer().filter(|answer| !matches!(answer.outcome, Outcome::Refused { .. }))
    }
}
