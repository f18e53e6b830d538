//! What the machine and the codec cost: batches of buys, what would be refused, and their bytes.
//!
//! `cargo bench -p stock`. Figures are of one batch; `items` is the number of its buys.

#![allow(clippy::unwrap_used, reason = "a benchmark ends at what it cannot do without")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use stock::codec::{self, BATCH_BYTES_MAX};
use stock::{Attempt, Batch, Command, Envelope, Machine, Quantity, Requester, Sku, Terms};

/// Orders that a machine has before it is measured.
const ORDERS: [u64; 2] = [10_000, 1_000_000];
/// Buys of a batch: what 64 and what 1,024 connections come to.
const BUYS: [u64; 2] = [16, 256];
/// Batches in a sample: a machine is copied once for all of them.
const BATCHES: u64 = 64;

fn main() {
    divan::main();
}

fn sku() -> Sku {
    "sneaker".parse().unwrap()
}

fn envelope(requester: Requester, request: &str, command: Command) -> Envelope {
    let request_id = request.parse().unwrap();
    Envelope { requester, request_id, attempt: Attempt::First, command }
}

fn buys(numbers: std::ops::Range<u64>) -> Batch {
    let buy = |number: u64| {
        let user = Requester::User(format!("user-{number}").parse().unwrap());
        let command = Command::Buy { sku: sku(), quantity: Quantity::ONE };
        envelope(user, &format!("request-{number}"), command)
    };
    Batch { stamp_ms: 1_000, commands: numbers.map(buy).collect() }
}

/// A machine that has sold so many units, and has so many left.
fn machine(orders: u64, left: u64) -> Machine {
    let mut machine = Machine::new();
    let terms = Terms::plain(sku(), "Sneaker", orders + left);
    let create = Command::CreateProduct(Box::new(terms));
    let commands = vec![envelope(Requester::Operator, "create", create)];
    machine.apply(&Batch { stamp_ms: 1_000, commands });
    for first in (0..orders).step_by(1_000) {
        machine.apply(&buys(first..orders.min(first + 1_000)));
    }
    machine
}

/// Batches that are accepted, by a machine that was copied as a snapshot copies it.
#[divan::bench(args = ORDERS, consts = BUYS, sample_count = 20, sample_size = 1)]
fn apply_accepted<const BATCH: u64>(bencher: Bencher, orders: u64) {
    let machine = machine(orders, 1_000_000);
    let batches: Vec<Batch> = (0..BATCHES)
        .map(|nth| orders + 1_000_000 + nth * BATCH)
        .map(|first| buys(first..first + BATCH))
        .collect();
    bencher.counter(ItemsCount::new(BATCHES * BATCH)).with_inputs(|| machine.clone()).bench_refs(
        |machine| {
            for batch in &batches {
                black_box(machine.apply(batch));
            }
        },
    );
}

/// Buys that come too late, looked at as the actor does before it proposes.
#[divan::bench(args = ORDERS)]
fn peek_sold_out(bencher: Bencher, orders: u64) {
    let machine = machine(orders, 0);
    let late = buys(orders..orders + 64);
    bencher.counter(ItemsCount::new(64_u64)).bench_local(|| {
        for envelope in &late.commands {
            black_box(machine.peek(envelope));
        }
    });
}

#[divan::bench(args = BUYS)]
fn encode(bencher: Bencher, size: u64) {
    let batch = buys(0..size);
    bencher
        .counter(ItemsCount::new(size))
        .bench_local(|| codec::encode(black_box(&batch), BATCH_BYTES_MAX).unwrap());
}

#[divan::bench(args = BUYS)]
fn decode(bencher: Bencher, size: u64) {
    let bytes = codec::encode(&buys(0..size), BATCH_BYTES_MAX).unwrap();
    bencher
        .counter(ItemsCount::new(size))
        .bench_local(|| codec::decode::<Batch>(black_box(&bytes), BATCH_BYTES_MAX).unwrap());
}
