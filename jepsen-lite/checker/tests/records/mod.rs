//! Records and ledgers of one product `p`, short to write down. A test binary uses some of them.
#![allow(dead_code, reason = "each test binary takes what it needs")]

use checker::flashnode::{
    Answer, Ended, FinalCounts, Input, LedgerOrder, Ledgers, Outcome, Record, ReplicaLedger,
};

/// What a product has at first.
pub(crate) const STOCK: u64 = 10_000;

/// A decided operation, each of another process.
pub(crate) fn record(at: [u64; 2], input: Input, seq: u64, outcome: Outcome) -> Record {
    Record {
        process: i64::try_from(at[0]).unwrap_or(i64::MAX),
        input,
        request: None,
        invoked: at[0],
        completed: Some(at[1]),
        invoked_ns: 0,
        ended_ns: 0,
        ended: Ended::Decided { answer: Answer { seq, outcome }, replayed: false },
        attempts: Vec::new(),
    }
}

pub(crate) fn create(product: &str, at: [u64; 2], seq: u64) -> Record {
    let outcome = Outcome::Counts { stocked: STOCK, available: STOCK, held: 0, sold: 0 };
    record(at, Input::Create { product: product.into(), stock: STOCK, limit: None }, seq, outcome)
}

pub(crate) fn buy(at: [u64; 2], seq: u64, remaining: u64) -> Record {
    let input = Input::Buy { product: "p".into(), user: "u".into(), quantity: 1 };
    record(at, input, seq, Outcome::Ordered { remaining })
}

pub(crate) fn restock(at: [u64; 2], seq: u64, quantity: i64, sold: u64) -> Record {
    let stocked = STOCK.saturating_add_signed(quantity);
    let outcome = Outcome::Counts { stocked, available: stocked - sold, held: 0, sold };
    record(at, Input::Restock { product: "p".into(), quantity }, seq, outcome)
}

pub(crate) fn read(at: [u64; 2], seq: u64, sold: u64) -> Record {
    let outcome = Outcome::Counts { stocked: STOCK, available: STOCK - sold, held: 0, sold };
    record(at, Input::Read { product: "p".into() }, seq, outcome)
}

pub(crate) fn unknown(mut record: Record, request: &str) -> Record {
    record.ended = Ended::Unknown;
    record.completed = None;
    record.request = Some(request.to_owned());
    record
}

/// A creation, then buys in pairs that overlap and took effect the other way round.
pub(crate) fn pairs(pairs: u64) -> Vec<Record> {
    let mut records = vec![create("p", [0, 1], 1)];
    for pair in 0..pairs {
        let (at, seq, left) = (2 + 4 * pair, 2 + 2 * pair, STOCK - 2 * pair);
        records.push(buy([at, at + 2], seq + 1, left - 2));
        records.push(buy([at + 1, at + 3], seq, left - 1));
    }
    records
}

/// The ledger after these orders, each of one unit: its id, its request, and what remained.
pub(crate) fn ledgers(orders: &[(u64, &str, u64)]) -> Ledgers {
    let order = |&(order, request, remaining): &(u64, &str, u64)| LedgerOrder {
        order,
        product: "p".into(),
        user: "u".into(),
        request: request.into(),
        quantity: 1,
        remaining,
        at_ms: None,
    };
    let sold = orders.len() as u64;
    let counts =
        FinalCounts { product: "p".into(), stocked: STOCK, available: STOCK - sold, held: 0, sold };
    let orders = orders.iter().map(order).collect();
    let replica = ReplicaLedger {
        node: 1,
        seq: 1 + sold,
        state_hash: None,
        products: vec![counts],
        holds: None,
        orders,
    };
    Ledgers { replicas: vec![replica], ..Ledgers::default() }
}
