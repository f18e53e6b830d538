//! What is asked, in numbers instead of names, so that millions of records stay small.
//!
//! Owns: the names that the numbers stand for. Called by the workloads, which choose, and by the
//! log, which writes names again.

use checker::flashnode::Input;
use stock::{RequestId, Seq, Sku, UserId};

/// The n-th product of a run, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductNo(pub u32);

/// The n-th buyer of a run, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserNo(pub u32);

/// The n-th request of a run, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestNo(pub u64);

impl ProductNo {
    /// Its id on the wire.
    pub fn sku(self) -> Sku {
        id(Sku::new(format!("p-{}", self.0)))
    }

    /// The product of this id, where it is one of a run's.
    pub fn of(sku: &Sku) -> Option<Self> {
        sku.as_str().strip_prefix("p-")?.parse().ok().map(Self)
    }
}

impl UserNo {
    /// Its id on the wire.
    pub fn user(self) -> UserId {
        id(UserId::new(format!("u-{}", self.0)))
    }
}

impl RequestNo {
    /// Its id on the wire. Each run has a cluster of its own, so a number is unique enough.
    pub fn request(self) -> RequestId {
        id(RequestId::new(format!("r-{}", self.0)))
    }
}

fn id<T>(made: Result<T, stock::InvalidId>) -> T {
    made.unwrap_or_else(|why| unreachable!("a letter and a number are an id: {why}"))
}

/// What an operation does, Jepsen's `:f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// Put a product on sale.
    Create,
    /// Add units, or take some back.
    Restock,
    /// Buy.
    Buy,
    /// Reserve.
    Hold,
    /// Turn a hold into an order.
    Confirm,
    /// Give a hold's units back.
    Release,
    /// A hold ran out. No client asks for it: the change feed tells of it.
    Expire,
    /// Read a product's counts.
    Read,
}

impl Function {
    /// Every function, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Restock,
        Self::Buy,
        Self::Hold,
        Self::Confirm,
        Self::Release,
        Self::Expire,
        Self::Read,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Restock => "restock",
            Self::Buy => "buy",
            Self::Hold => "hold",
            Self::Confirm => "confirm",
            Self::Release => "release",
            Self::Expire => "expire",
            Self::Read => "read",
        }
    }

    /// Whether it is a command, with a request id and numbered attempts.
    pub fn has_request(self) -> bool {
        !matches!(self, Self::Read | Self::Expire)
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Put a product on sale.
    Create {
        /// The product.
        product: ProductNo,
        /// Units at first.
        stock: u32,
        /// The most units that one user may buy.
        limit: Option<u32>,
    },
    /// Add units, or take back available ones.
    Restock {
        /// The product.
        product: ProductNo,
        /// Units; negative takes back.
        quantity: i32,
    },
    /// Buy.
    Buy {
        /// The product.
        product: ProductNo,
        /// The buyer.
        user: UserNo,
        /// Units.
        quantity: u32,
    },
    /// Reserve.
    Hold {
        /// The product.
        product: ProductNo,
        /// The buyer.
        user: UserNo,
        /// Units.
        quantity: u32,
        /// For how long, in milliseconds.
        ttl_ms: u32,
    },
    /// Turn a hold into an order.
    Confirm {
        /// The product.
        product: ProductNo,
        /// The buyer.
        user: UserNo,
        /// The hold.
        hold: Seq,
    },
    /// Give a hold's units back.
    Release {
        /// The product.
        product: ProductNo,
        /// The buyer.
        user: UserNo,
        /// The hold.
        hold: Seq,
    },
    /// Nothing: a hold ran out, as the change feed tells.
    Expire {
        /// The product.
        product: ProductNo,
        /// The hold.
        hold: Seq,
    },
    /// A linearizable read of the product's counts.
    Read {
        /// The product.
        product: ProductNo,
    },
}

impl Asked {
    /// What it does.
    pub fn function(self) -> Function {
        match self {
            Self::Create { .. } => Function::Create,
            Self::Restock { .. } => Function::Restock,
            Self::Buy { .. } => Function::Buy,
            Self::Hold { .. } => Function::Hold,
            Self::Confirm { .. } => Function::Confirm,
            Self::Release { .. } => Function::Release,
            Self::Expire { .. } => Function::Expire,
            Self::Read { .. } => Function::Read,
        }
    }

    /// Which product it is about.
    pub fn product(self) -> ProductNo {
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

    /// The same with names.
    pub fn input(self) -> Input {
        let product = self.product().sku().into();
        match self {
            Self::Create { stock, limit, .. } => {
                Input::Create { product, stock: stock.into(), limit }
            }
            Self::Restock { quantity, .. } => Input::Restock { product, quantity: quantity.into() },
            Self::Buy { user, quantity, .. } => {
                Input::Buy { product, user: user.user().into(), quantity }
            }
            Self::Hold { user, quantity, .. } => {
                Input::Hold { product, user: user.user().into(), quantity }
            }
            Self::Confirm { user, hold, .. } => {
                Input::Confirm { product, user: Some(user.user().into()), hold: hold.0 }
            }
            Self::Release { user, hold, .. } => {
                Input::Release { product, user: Some(user.user().into()), hold: hold.0 }
            }
            Self::Expire { hold, .. } => Input::Expire { product, hold: hold.0 },
            Self::Read { .. } => Input::Read { product },
        }
    }
}
