//! What orders cost the machine: time each, memory and disk each, and how long a restart takes.
//!
//! ```text
//! cargo run --release -p stock --example growth -- ORDERS PRODUCTS DIR sell
//! cargo run --release -p stock --example growth -- ORDERS PRODUCTS DIR assemble
//! cargo run --release -p stock --example growth -- ORDERS PRODUCTS DIR fold
//! ```
//! `sell` applies batches of 512 buys and leaves in DIR what a node leaves: the events, their
//! digests and the hot state. `assemble` restarts from the digests, `fold` from the events. Times
//! are those on a processor, of one thread, so that a busy machine does not lengthen them; memory
//! is what the process holds at the end beyond its beginning.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a tool")]

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;
use stock::{
    Assembly, Attempt, Batch, Command, Digest, Digester, Envelope, Event, HotState, Machine,
    Quantity, Requester, Restore, Rules, Seq, Sku, Terms, codec,
};

const BATCH: u64 = 512;
const SEGMENT: usize = 16_384;
/// What a segment file has besides each event: where it is, and its checksum.
const RECORD_BYTES: u64 = 8;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("ORDERS PRODUCTS DIR sell|assemble|fold");
    let (orders, products) = (next().parse().unwrap(), next().parse().unwrap());
    let (dir, what) = (next(), next());
    let dir = Path::new(&dir);
    std::fs::create_dir_all(dir).unwrap();
    let before = memory_bytes();
    let started = busy();
    let machine = match what.as_str() {
        "sell" => sell(orders, products, dir),
        "assemble" => assemble(dir),
        "fold" => fold(dir),
        other => panic!("{other}: sell, assemble or fold"),
    };
    let took = busy().saturating_sub(started);
    let orders = machine.chain().orders;
    let each = (memory_bytes() - before) as f64 / orders as f64;
    println!("{what}: {orders} orders in {took:.2?}, {each:.1} bytes of memory an order");
    println!("state hash {:032x}", machine.state_hash());
    let started = busy();
    let copy = machine.clone();
    println!("a copy takes {:.2?}", busy().saturating_sub(started));
    drop(copy);
}

fn sell(orders: u64, products: u64, dir: &Path) -> Machine {
    let mut machine = Machine::new();
    machine.adopt(Rules::NEWEST);
    let mut kept = Kept::new(dir);
    for first in (0..products).step_by(BATCH as usize) {
        let commands = (first..products.min(first + BATCH)).map(|nth| {
            let terms = Terms::plain(sku(nth), "A shoe", 1_000_000_000);
            envelope(Requester::Operator, nth, Command::CreateProduct(Box::new(terms)))
        });
        let events = machine.apply(&Batch { stamp_ms: 1, commands: commands.collect() }).events;
        kept.keep(events);
    }
    let mut spent = Duration::ZERO;
    for first in (0..orders).step_by(BATCH as usize) {
        let commands = (first..orders.min(first + BATCH)).map(|nth| {
            let user = Requester::User(format!("user-{nth}").parse().unwrap());
            let product = nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) % products;
            let command = Command::Buy { sku: sku(product), quantity: Quantity::ONE };
            envelope(user, nth, command)
        });
        let batch = Batch { stamp_ms: 1_000 + first / 100, commands: commands.collect() };
        let started = busy();
        let events = machine.apply(&batch).events;
        spent += busy().saturating_sub(started);
        kept.keep(events);
        let sold = first + BATCH;
        for at in [10_240, 1_000_448, 10_000_384] {
            // Over the last 10,240 orders before this many.
            if sold == at - 10_240 {
                spent = Duration::ZERO;
            }
            if sold == at {
                println!(
                    "at {at} orders: {:.0} ns to apply one",
                    spent.as_nanos() as f64 / 10_240.0
                );
            }
        }
    }
    kept.end(&machine, orders);
    machine
}

fn sku(nth: u64) -> Sku {
    format!("product-{nth}").parse().unwrap()
}

/// With a request id of 36 characters, as a node makes them.
fn envelope(requester: Requester, nth: u64, command: Command) -> Envelope {
    let request_id = format!("01234567-89ab-7def-8123-{nth:012x}").parse().unwrap();
    Envelope { requester, request_id, attempt: Attempt::First, command }
}

/// What is left on disk.
struct Kept<'a> {
    dir: &'a Path,
    events: BufWriter<File>,
    digests: BufWriter<File>,
    digester: Digester,
    newest: Vec<Event>,
    event_bytes: u64,
    digest_bytes: u64,
}

impl<'a> Kept<'a> {
    fn new(dir: &'a Path) -> Self {
        let create = |name| BufWriter::new(File::create(dir.join(name)).unwrap());
        Self {
            dir,
            events: create("events"),
            digests: create("digests"),
            digester: Digester::default(),
            newest: Vec::new(),
            event_bytes: 0,
            digest_bytes: 0,
        }
    }

    fn keep(&mut self, events: Vec<Event>) {
        self.newest.extend(events);
        while self.newest.len() >= SEGMENT {
            let rest = self.newest.split_off(SEGMENT);
            self.digest();
            self.newest = rest;
        }
    }

    fn digest(&mut self) {
        for event in &self.newest {
            self.event_bytes += RECORD_BYTES + write(&mut self.events, event);
        }
        let digest = self.digester.digest(&self.newest).unwrap();
        self.digest_bytes += write(&mut self.digests, &digest);
    }

    fn end(mut self, machine: &Machine, orders: u64) {
        self.digest();
        write(
            &mut BufWriter::new(File::create(self.dir.join("hot")).unwrap()),
            &machine.hot_state(),
        );
        let each = |bytes: u64| bytes as f64 / orders as f64;
        let (events, digests) = (each(self.event_bytes), each(self.digest_bytes));
        println!("{events:.1} bytes of events and {digests:.1} of digests an order");
    }
}

fn write<T: serde::Serialize>(file: &mut BufWriter<File>, value: &T) -> u64 {
    let bytes = codec::encode(value, u64::MAX).unwrap();
    file.write_all(&(bytes.len() as u32).to_le_bytes()).unwrap();
    file.write_all(&bytes).unwrap();
    bytes.len() as u64
}

fn read<T: serde::de::DeserializeOwned>(file: &mut BufReader<File>) -> Option<T> {
    let mut len = [0; 4];
    file.read_exact(&mut len).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    file.read_exact(&mut bytes).unwrap();
    Some(codec::decode(&bytes, u64::MAX).unwrap())
}

fn open(dir: &Path, name: &str) -> BufReader<File> {
    BufReader::new(File::open(dir.join(name)).unwrap())
}

fn assemble(dir: &Path) -> Machine {
    let hot: HotState = read(&mut open(dir, "hot")).unwrap();
    let orders = hot.seq.0;
    let mut assembly = Assembly::towards(hot, orders);
    let mut digests = open(dir, "digests");
    while let Some(digest) = read::<Digest>(&mut digests) {
        assembly.add(digest).unwrap();
    }
    let added = busy();
    let machine = assembly.finish().unwrap();
    println!("of which the last step takes {:.2?}", busy().saturating_sub(added));
    machine
}

fn fold(dir: &Path) -> Machine {
    let mut restore = Restore::towards(read(&mut open(dir, "hot")).unwrap());
    let mut events = open(dir, "events");
    while let Some(event) = read::<Event>(&mut events) {
        restore.event(&event).unwrap();
    }
    assert!(restore.seq() > Seq(0));
    restore.finish().unwrap()
}

/// How long this thread was on a processor.
fn busy() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(spent.split(' ').next().unwrap().parse().unwrap())
}

/// What the process holds in memory.
fn memory_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
