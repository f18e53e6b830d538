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

/// The node's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// The next batches that are all accepted; `first` says where their numbers begin.
fn next_batches<const BATCH: u64>(first: &mut u64) -> Vec<Batch> {
    let batches = (0..BATCHES).map(|nth| *first + nth * BATCH);
    let batches = batches.map(|first| buys(first..first + BATCH)).collect();
    *first += BATCHES * BATCH;
    batches
}

/// Batches that are accepted.
#[divan::bench(args = ORDERS, consts = BUYS, sample_count = 20, sample_size = 1)]
fn apply_accepted<const BATCH: u64>(bencher: Bencher, orders: u64) {
    let mut machine = machine(orders, 10_000_000);
    let mut next = orders;
    bencher
        .counter(ItemsCount::new(BATCHES * BATCH))
        .with_inputs(|| next_batches::<BATCH>(&mut next))
        .bench_local_refs(|batches| {
            for batch in batches {
                black_box(machine.apply(batch));
            }
        });
}

/// The same by a machine that a snapshot has just copied: what it changes first is shared, and is
/// copied then.
#[divan::bench(args = ORDERS, consts = BUYS, sample_count = 20, sample_size = 1)]
fn apply_accepted_while_shared<const BATCH: u64>(bencher: Bencher, orders: u64) {
    let machine = machine(orders, 10_000_000);
    let mut next = orders;
    bencher
        .counter(ItemsCount::new(BATCHES * BATCH))
        .with_inputs(|| (machine.clone(), next_batches::<BATCH>(&mut next)))
        .bench_local_refs(|(machine, batches)| {
            for batch in batches {
                black_box(machine.apply(batch));
            }
        });
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
