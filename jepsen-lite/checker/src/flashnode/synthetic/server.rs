//! The simulated server: a sale in a few maps, one change at a time.
//!
//! Owns: what each operation does and is told, written from the HTTP contract apart from `model`,
//! so that the two are checked against each other; and where a seeded bug is asked to, one
//! [`Glitch`]. Never does: time or concurrency (`super`). Called by the generator.

use super::super::{
    Answer, Began, Expiries, FinalCounts, Input, LedgerHold, LedgerOrder, Ledgers, Outcome,
    RefusedFor, ReplicaLedger,
};
use std::collections::{BTreeMap, HashMap};

/// Log time before the first change.
const LOG_BEGAN_MS: u64 = 1_700_000_000_000;

/// A bug in the server, that strikes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glitch {
    /// A buy's change of the counts is overwritten.
    LostUpdate,
    /// A retry of an accepted buy is taken for a new one.
    RetryAppliedTwice,
    /// The same, where no client hears of it.
    UnknownAppliedTwice,
    /// A buy is refused as sold out while units are available.
    FalseSoldOut,
    /// A buy is accepted for more units than are available.
    Oversell,
    /// A change takes the `seq` of the last.
    DuplicateSeq,
}

/// Which of a request's deliveries this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Its answer will be heard.
    Heard,
    /// Its answer is lost.
    Unheard,
    /// A retry, whose answer will be heard.
    Retried,
    /// A copy that the network made, of a request that nobody waits for any more.
    Copied,
}

/// A glitch, and the number of requests to serve rightly before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Armed {
    pub(crate) glitch: Glitch,
    pub(crate) after_requests: u64,
}

/// An answer, and whether it is the stored one of an earlier attempt.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) answer: Answer,
    pub(crate) replayed: bool,
}

#[derive(Debug)]
struct Lot {
    stock: u64,
    limit: Option<u32>,
    stocked: u64,
    available: u64,
    held: u64,
    sold: u64,
    /// Units bought or held, by user.
    units: HashMap<String, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Settled,
    Expired,
}

#[derive(Debug)]
struct Held {
    product: String,
    user: String,
    quantity: u32,
    fate: Fate,
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    seq: u64,
    served: u64,
    lots: BTreeMap<String, Lot>,
    holds: HashMap<u64, Held>,
    orders: Vec<LedgerOrder>,
    /// The answers of accepted requests.
    accepted: HashMap<String, Answer>,
    armed: Option<Armed>,
}

impl Server {
    pub(crate) fn new(armed: Option<Armed>) -> Self {
        Self { armed, ..Self::default() }
    }

    /// Whether no glitch is left to strike.
    pub(crate) fn struck(&self) -> bool {
        self.armed.is_none()
    }

    pub(crate) fn is_open(&self, hold: u64) -> bool {
        self.holds.get(&hold).is_some_and(|held| held.fate == Fate::Open)
    }

    /// Serves one delivery of a request. This is the operation's linearization point, unless it is
    /// replayed.
    pub(crate) fn serve(
        &mut self,
        input: &Input,
        request: Option<&str>,
        delivery: Delivery,
    ) -> Told {
        self.served += 1;
        if let Some(answer) = request.and_then(|id| self.accepted.get(id)).cloned()
            && !self.forgets(input, delivery)
        {
            return Told { answer, replayed: true };
        }
        let (seq, orders) = (self.seq, self.orders.len());
        let mut outcome = self.decide(input, request, delivery);
        let refused = matches!(outcome, Outcome::Refused { .. });
        if !refused && self.seq > seq && self.seq > 1 && self.strikes(Glitch::DuplicateSeq) {
            self.seq = seq;
            for order in &mut self.orders[orders..] {
                order.order = seq;
            }
            if let (Input::Hold { .. }, Outcome::Hold { hold, .. }) = (input, &mut outcome) {
                *hold = seq;
            }
        }
        let answer = Answer { seq: self.seq, outcome };
        // A release is no order: asked again, it finds the hold settled.
        let remembers = !matches!(input, Input::Create { .. } | Input::Release { .. });
        if let Some(request) = request.filter(|_| !refused && remembers) {
            self.accepted.insert(request.to_owned(), answer.clone());
        }
        Told { answer, replayed: false }
    }

    /// Every replica's ledger: the same.
    pub(crate) fn ledgers(&self, nodes: u64) -> Ledgers {
        let counts = |(product, lot): (&String, &Lot)| FinalCounts {
            product: product.clone(),
            stocked: lot.stocked,
            available: lot.available,
            held: lot.held,
            sold: lot.sold,
        };
        let open = self.holds.iter().filter(|(_, held)| held.fate == Fate::Open);
        let open = open.map(|(&hold, Held { product, user, quantity, .. })| LedgerHold {
            hold,
            product: product.clone(),
            user: user.clone(),
            quantity: *quantity,
        });
        let mut holds: Vec<LedgerHold> = open.collect();
        holds.sort_unstable();
        let replica = |node| ReplicaLedger {
            node,
            seq: self.seq,
            state_hash: None,
            products: self.lots.iter().map(counts).collect(),
            holds: Some(holds.clone()),
            orders: self.orders.clone(),
        };
        let (began, expiries) = (Began::Empty, Expiries::All);
        Ledgers { began, expiries, replicas: (1..=nodes).map(replica).collect() }
    }

    fn strikes(&mut self, glitch: Glitch) -> bool {
        let now = self
            .armed
            .is_some_and(|armed| armed.glitch == glitch && self.served > armed.after_requests);
        if now {
            self.armed = None;
        }
        now
    }

    /// Whether a stored answer is overlooked; only where the buy can be made again.
    fn forgets(&mut self, input: &Input, delivery: Delivery) -> bool {
        let Input::Buy { product, user, quantity } = input else {
            return false;
        };
        let again =
            self.lots.get(product).is_some_and(|lot| lot.refuses(user, *quantity).is_none());
        again
            && match delivery {
                Delivery::Heard | Delivery::Unheard => false,
                Delivery::Retried => self.strikes(Glitch::RetryAppliedTwice),
                Delivery::Copied => self.strikes(Glitch::UnknownAppliedTwice),
            }
    }

    fn decide(&mut self, input: &Input, request: Option<&str>, delivery: Delivery) -> Outcome {
        match input {
            Input::Create { product, stock, limit } => self.create(product, *stock, *limit),
            Input::Confirm { product, hold, .. }
            | Input::Release { product, hold, .. }
            | Input::Expire { product, hold } => self.settle(input, product, *hold, request),
            Input::Restock { product, .. }
            | Input::Buy { product, .. }
            | Input::Hold { product, .. }
            | Input::Read { product } => {
                if !self.lots.contains_key(product) {
                    return refused(RefusedFor::UnknownProduct, None);
                }
                match input {
                    Input::Restock { quantity, .. } => self.restock(product, *quantity),
                    Input::Buy { user, quantity, .. } => {
                        let heard = matches!(delivery, Delivery::Heard | Delivery::Retried);
                        let available = self.lots[product].available;
                        if heard && available > 0 && self.strikes(Glitch::FalseSoldOut) {
                            return refused(RefusedFor::SoldOut, Some(0));
                        }
                        self.buy(product, user, *quantity, request)
                    }
                    Input::Hold { user, quantity, .. } => self.hold(product, user, *quantity),
                    _ => self.lots[product].counts(),
                }
            }
        }
    }

    fn create(&mut self, product: &str, stock: u64, limit: Option<u32>) -> Outcome {
        if let Some(lot) = self.lots.get(product) {
            return if (lot.stock, lot.limit) == (stock, limit) {
                lot.counts()
            } else {
                refused(RefusedFor::Differs, None)
            };
        }
        let lot = Lot {
            stock,
            limit,
            stocked: stock,
            available: stock,
            held: 0,
            sold: 0,
            units: HashMap::new(),
        };
        self.seq += 1;
        let counts = lot.counts();
        self.lots.insert(product.to_owned(), lot);
        counts
    }

    fn restock(&mut self, product: &str, quantity: i64) -> Outcome {
        let Some(lot) = self.lots.get_mut(product) else {
            return refused(RefusedFor::UnknownProduct, None);
        };
        let Some(available) = lot.available.checked_add_signed(quantity) else {
            return refused(RefusedFor::OutOfRange, Some(lot.available));
        };
        lot.available = available;
        lot.stocked = lot.stocked.saturating_add_signed(quantity);
        self.seq += 1;
        lot.counts()
    }

    fn buy(&mut self, product: &str, user: &str, quantity: u32, request: Option<&str>) -> Outcome {
        let refusal = self.lots.get(product).and_then(|lot| lot.refuses(user, quantity));
        let short = matches!(refusal, Some((RefusedFor::SoldOut | RefusedFor::Insufficient, _)));
        if let Some((reason, remaining)) = refusal
            && !(short && self.strikes(Glitch::Oversell))
        {
            return refused(reason, Some(remaining));
        }
        let loses = self.strikes(Glitch::LostUpdate);
        let Some(lot) = self.lots.get_mut(product) else {
            return refused(RefusedFor::UnknownProduct, None);
        };
        let before = (lot.available, lot.sold);
        lot.available = lot.available.saturating_sub(quantity.into());
        lot.sold += u64::from(quantity);
        *lot.units.entry(user.to_owned()).or_default() += u64::from(quantity);
        let remaining = lot.available;
        if loses {
            (lot.available, lot.sold) = before;
        }
        self.seq += 1;
        self.order(LedgerOrder {
            order: self.seq,
            product: product.to_owned(),
            user: user.to_owned(),
            request: order_request(request),
            quantity,
            remaining,
            at_ms: Some(log_ms(self.seq)),
        })
    }

    fn order(&mut self, order: LedgerOrder) -> Outcome {
        let remaining = order.remaining;
        self.orders.push(order);
        Outcome::Ordered { remaining }
    }

    fn hold(&mut self, product: &str, user: &str, quantity: u32) -> Outcome {
        let Some(lot) = self.lots.get_mut(product) else {
            return refused(RefusedFor::UnknownProduct, None);
        };
        if let Some((reason, remaining)) = lot.refuses(user, quantity) {
            return refused(reason, Some(remaining));
        }
        lot.available -= u64::from(quantity);
        lot.held += u64::from(quantity);
        *lot.units.entry(user.to_owned()).or_default() += u64::from(quantity);
        let remaining = lot.available;
        self.seq += 1;
        let (product, user) = (product.to_owned(), user.to_owned());
        self.holds.insert(self.seq, Held { product, user, quantity, fate: Fate::Open });
        Outcome::Hold { hold: self.seq, remaining, log_ms: None }
    }

    /// Confirms, releases or expires.
    fn settle(
        &mut self,
        input: &Input,
        product: &str,
        hold: u64,
        request: Option<&str>,
    ) -> Outcome {
        let by = match input {
            Input::Confirm { user, .. } | Input::Release { user, .. } => user.as_deref(),
            _ => None,
        };
        let is_theirs =
            |taken: &Held| taken.product == product && by.is_none_or(|user| user == taken.user);
        let Some(taken) = self.holds.get_mut(&hold).filter(|taken| is_theirs(taken)) else {
            return refused(RefusedFor::UnknownHold, None);
        };
        match taken.fate {
            Fate::Open => {}
            Fate::Settled => return refused(RefusedFor::HoldSettled, None),
            Fate::Expired => return refused(RefusedFor::HoldExpired, None),
        }
        let Some(lot) = self.lots.get_mut(product) else {
            return refused(RefusedFor::UnknownProduct, None);
        };
        let units = u64::from(taken.quantity);
        self.seq += 1;
        lot.held -= units;
        taken.fate = Fate::Settled;
        if matches!(input, Input::Confirm { .. }) {
            lot.sold += units;
            let order = LedgerOrder {
                order: self.seq,
                product: product.to_owned(),
                user: taken.user.clone(),
                request: order_request(request),
                quantity: taken.quantity,
                remaining: lot.available,
                at_ms: Some(log_ms(self.seq)),
            };
            return self.order(order);
        }
        lot.available += units;
        if let Some(has) = lot.units.get_mut(&taken.user) {
            *has -= units;
        }
        if matches!(input, Input::Expire { .. }) {
            taken.fate = Fate::Expired;
        }
        Outcome::Hold { hold, remaining: lot.available, log_ms: None }
    }
}

impl Lot {
    fn counts(&self) -> Outcome {
        let Self { stocked, available, held, sold, .. } = *self;
        Outcome::Counts { stocked, available, held, sold }
    }

    /// Why these units cannot be taken, and how many are available.
    fn refuses(&self, user: &str, quantity: u32) -> Option<(RefusedFor, u64)> {
        let has = self.units.get(user).copied().unwrap_or(0);
        let wanted = u64::from(quantity);
        let reason = if self.limit.is_some_and(|limit| has + wanted > limit.into()) {
            RefusedFor::LimitReached
        } else if self.available == 0 {
            RefusedFor::SoldOut
        } else if self.available < wanted {
            RefusedFor::Insufficient
        } else {
            return None;
        };
        Some((reason, self.available))
    }
}

/// Log time of the change with this `seq`: a millisecond for each.
pub(crate) fn log_ms(seq: u64) -> u64 {
    LOG_BEGAN_MS.saturating_add(seq)
}

/// The request that an order is kept under.
fn order_request(request: Option<&str>) -> String {
    let Some(request) = request else { panic!("an order was asked for without a request id") };
    request.to_owned()
}

fn refused(reason: RefusedFor, remaining: Option<u64>) -> Outcome {
    Outcome::Refused { reason, remaining }
}
