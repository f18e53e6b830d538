//! Correct histories of any size, from a simulated server and simulated clients.
//!
//! Owns: when each operation is sent, takes effect and is answered. Each has one linearization
//! point between its invocation and its completion (of unknown outcome: any time later, or
//! never), so what comes out is linearizable by construction. Never does: judge, or read the
//! models. Called by `bugs`, by the benchmarks, and by the tests of every layer.
//!
//! | module | what it owns |
//! |---|---|
//! | `server` | the simulated sale, and its glitches |
//! | `clients` | what a client asks next, and what becomes of it |

mod clients;
pub(super) mod server;

use super::{Answer, Attempt, Ended, Input, Ledgers, Outcome, Record};
use crate::random::Random;
use clients::{Client, Course};
use server::{Armed, Delivery, Server, Told};
use std::collections::HashMap;

/// What may end in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing: every operation is answered, or surely not done.
    Nothing,
    /// Reads, and what the final ledger settles: buys and confirmations.
    Orders,
    /// Anything but the first creations; and anything may be asked again.
    Anything,
}

/// Who asks to confirm and to release holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlers {
    /// Whoever has them.
    Holders,
    /// Now and then somebody else, too.
    Anybody,
}

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The same seed and sizes give the same history.
    pub seed: u64,
    /// How many operations clients invoke, the creations not counted; expiries come on top.
    pub operations: usize,
    /// Clients, each of which does one thing at a time; at least 1.
    pub clients: u32,
    /// Products; at least 1. Every third is scarce, every second has a limit for each user.
    pub products: usize,
    /// Replicas whose ledgers are given.
    pub nodes: u64,
    /// What may end in doubt.
    pub doubt: Doubt,
    /// Who asks to settle holds.
    pub settlers: Settlers,
}

impl Plan {
    /// A history that a person could still read: 400 operations, 8 clients, 4 products.
    pub fn small(seed: u64) -> Self {
        let (doubt, settlers) = (Doubt::Orders, Settlers::Anybody);
        Self { seed, operations: 400, clients: 8, products: 4, nodes: 3, doubt, settlers }
    }
}

/// A run that never was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthetic {
    /// By invocation.
    pub records: Vec<Record>,
    /// What the replicas hold at the end.
    pub ledgers: Ledgers,
}

/// A correct history.
///
/// # Panics
/// When the plan has no client or no product.
pub fn generate(plan: Plan) -> Synthetic {
    let (synthetic, _) = simulate(plan, None);
    synthetic
}

/// The same, of a server with a glitch; and whether that struck.
pub(super) fn simulate(plan: Plan, armed: Option<Armed>) -> (Synthetic, bool) {
    assert!(plan.clients > 0 && plan.products > 0, "{plan:?} has no client or no product");
    let mut simulation = Simulation::new(plan, armed);
    simulation.create_all();
    while !simulation.is_over() {
        simulation.step();
    }
    let Simulation { mut records, server, .. } = simulation;
    records.sort_unstable_by_key(|record| record.invoked);
    tell_log_time(&mut records);
    (Synthetic { records, ledgers: server.ledgers(plan.nodes) }, server.struck())
}

/// Later than any change, in log time.
const LATE_LOG_MS: u64 = 1 << 42;

/// Each hold that ran out had its deadline then, and all others later than anything.
fn tell_log_time(records: &mut [Record]) {
    let mut ran_out: HashMap<u64, u64> = HashMap::new();
    for record in &*records {
        if let (Input::Expire { hold, .. }, Some(answer)) = (&record.input, record.accepted()) {
            ran_out.insert(*hold, answer.seq);
        }
    }
    for record in records {
        let Ended::Decided { answer: Answer { seq, outcome }, .. } = &mut record.ended else {
            continue;
        };
        if let Outcome::Hold { hold, log_ms, .. } = outcome {
            let ran_out_ms = || ran_out.get(hold).map_or(LATE_LOG_MS, |at| server::log_ms(*at));
            *log_ms = match record.input {
                Input::Hold { .. } => Some(ran_out_ms()),
                Input::Expire { .. } => Some(server::log_ms(*seq)),
                _ => None,
            };
        }
    }
}

/// In so many of a hundred steps, one message that was given up arrives after all.
const LATE_PERCENT: u64 = 5;
/// In so many of a hundred steps, the change feed goes on.
const FEED_PERCENT: u64 = 3;
/// The process under which the change feed's expiries are recorded.
const FEED: i64 = -1;
/// The longest that one step takes.
const STEP_NS_MAX: u64 = 40_000;

/// An operation under way.
struct Flight {
    record: Record,
    course: Course,
    stage: Stage,
}

enum Stage {
    Sent,
    /// The first attempt is lost, the next is sent.
    SentAgain,
    Answered(Told),
}

struct Simulation {
    plan: Plan,
    random: Random,
    server: Server,
    clients: Vec<Client>,
    flights: Vec<Option<Flight>>,
    /// Requests that were given up and may still arrive.
    late: Vec<(Input, Option<String>)>,
    /// Where the change feed's reader began to wait for the next expiry.
    feed_waits: Option<(u64, u64)>,
    open_holds: Vec<(String, u64)>,
    records: Vec<Record>,
    invoked: usize,
    position: u64,
    now_ns: u64,
}

impl Simulation {
    fn new(plan: Plan, armed: Option<Armed>) -> Self {
        Self {
            plan,
            random: Random::new(plan.seed),
            server: Server::new(armed),
            clients: (0..plan.clients).map(Client::new).collect(),
            flights: (0..plan.clients).map(|_| None).collect(),
            late: Vec::new(),
            feed_waits: None,
            open_holds: Vec::new(),
            records: Vec::with_capacity(plan.operations + plan.products),
            invoked: 0,
            position: 0,
            now_ns: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.invoked >= self.plan.operations
            && self.late.is_empty()
            && self.flights.iter().all(Option::is_none)
    }

    /// One by one, before all else, so that no operation's fate hangs on a creation in doubt.
    fn create_all(&mut self) {
        for product in 0..self.plan.products {
            let input = clients::creation(&self.plan, product);
            self.send(0, input, Course::Answered);
            while self.flights[0].is_some() {
                self.go_on(0);
            }
        }
    }

    fn step(&mut self) {
        self.now_ns += 1 + self.random.below(STEP_NS_MAX);
        if !self.late.is_empty() && self.random.percent(LATE_PERCENT) {
            self.arrive_late();
        }
        if self.random.percent(FEED_PERCENT) {
            self.feed();
        }
        let client = self.random.index(self.flights.len());
        if self.flights[client].is_some() {
            self.go_on(client);
        } else if self.invoked < self.plan.operations {
            self.invoked += 1;
            let input = self.clients[client].next(&self.plan, &mut self.random);
            let course = Course::of(&input, &self.plan, &mut self.random);
            self.send(client, input, course);
        }
    }

    fn next_position(&mut self) -> u64 {
        self.position += 1;
        self.position - 1
    }

    fn send(&mut self, client: usize, input: Input, course: Course) {
        let invoked = self.next_position();
        let request = !matches!(input, Input::Read { .. });
        let record = Record {
            process: self.clients[client].process,
            request: request.then(|| format!("r{invoked}")),
            input,
            invoked,
            completed: None,
            invoked_ns: self.now_ns,
            ended_ns: self.now_ns,
            ended: Ended::Unknown,
            attempts: Vec::new(),
        };
        self.flights[client] = Some(Flight { record, course, stage: Stage::Sent });
    }

    /// The client's operation takes effect, is answered, or is given up: one of them.
    fn go_on(&mut self, client: usize) {
        let Some(mut flight) = self.flights[client].take() else {
            return;
        };
        let retried = matches!(flight.stage, Stage::SentAgain);
        match (flight.stage, flight.course) {
            (Stage::Answered(told), _) => {
                self.note_attempt(&mut flight.record, if told.replayed { "201" } else { "200" });
                self.clients[client].hears(&flight.record.input, &told.answer);
                let Told { answer, replayed } = told;
                self.complete(flight.record, Ended::Decided { answer, replayed });
                return;
            }
            (Stage::SentAgain, _) | (Stage::Sent, Course::Answered) => {
                let delivery = if retried { Delivery::Retried } else { Delivery::Heard };
                let told = self.deliver(&flight.record, delivery);
                flight.stage = Stage::Answered(told);
            }
            (Stage::Sent, Course::Retried { first_arrives }) => {
                if first_arrives {
                    self.deliver(&flight.record, Delivery::Unheard);
                }
                self.note_attempt(&mut flight.record, "lost: connection reset");
                flight.stage = Stage::SentAgain;
            }
            (Stage::Sent, Course::NotDone) => {
                self.note_attempt(&mut flight.record, "503 no-leader");
                self.complete(flight.record, Ended::NotDone);
                return;
            }
            (Stage::Sent, Course::GivenUp { arrives }) => {
                self.note_attempt(&mut flight.record, "504 outcome-unknown");
                self.give_up(client, flight.record, arrives);
                return;
            }
        }
        self.flights[client] = Some(flight);
    }

    fn deliver(&mut self, record: &Record, delivery: Delivery) -> Told {
        self.serve(&record.input, record.request.as_deref(), delivery)
    }

    fn serve(&mut self, input: &Input, request: Option<&str>, delivery: Delivery) -> Told {
        let told = self.server.serve(input, request, delivery);
        if let (Input::Hold { product, .. }, Some(hold)) = (input, clients::hold_of(&told.answer)) {
            self.open_holds.push((product.clone(), hold));
        }
        told
    }

    fn note_attempt(&mut self, record: &mut Record, said: &str) {
        let sent_ns = record.attempts.last().map_or(record.invoked_ns, |last| last.ended_ns);
        record.attempts.push(Attempt {
            number: record.attempts.len() as u32 + 1,
            node: 1 + self.random.below(self.plan.nodes.max(1)),
            sent_ns,
            ended_ns: self.now_ns,
            said: said.to_owned(),
        });
    }

    fn complete(&mut self, record: Record, ended: Ended) {
        let completed = Some(self.next_position());
        self.records.push(Record { completed, ended, ended_ns: self.now_ns, ..record });
    }

    /// As Jepsen does, the client goes on as another process.
    fn give_up(&mut self, client: usize, record: Record, arrives: bool) {
        if arrives {
            self.late.push((record.input.clone(), record.request.clone()));
        }
        self.position += 1;
        self.records.push(Record { ended_ns: self.now_ns, ..record });
        self.clients[client].process += i64::from(self.plan.clients);
    }

    /// Twice: the network may copy what nobody waits for, which must make no difference.
    fn arrive_late(&mut self) {
        let at = self.random.index(self.late.len());
        let (input, request) = self.late.swap_remove(at);
        self.serve(&input, request.as_deref(), Delivery::Unheard);
        if matches!(input, Input::Buy { .. }) {
            self.serve(&input, request.as_deref(), Delivery::Copied);
        }
    }

    /// A reader of the change feed waits, and later hears of the next expiry.
    fn feed(&mut self) {
        let Some((invoked, invoked_ns)) = self.feed_waits else {
            self.feed_waits = Some((self.next_position(), self.now_ns));
            return;
        };
        let server = &self.server;
        self.open_holds.retain(|(_, hold)| server.is_open(*hold));
        if self.open_holds.is_empty() {
            return;
        }
        let at = self.random.index(self.open_holds.len());
        let (product, hold) = self.open_holds.swap_remove(at);
        let input = Input::Expire { product, hold };
        let Told { answer, .. } = self.server.serve(&input, None, Delivery::Heard);
        self.feed_waits = None;
        let record = Record {
            process: FEED,
            input,
            request: None,
            invoked,
            completed: None,
            invoked_ns,
            ended_ns: self.now_ns,
            ended: Ended::Unknown,
            attempts: Vec::new(),
        };
        self.complete(record, Ended::Decided { answer, replayed: false });
    }
}
