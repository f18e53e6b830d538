//! Clean histories of one register, of any size.
//!
//! Owns: what clients ask and when it takes effect: at one moment between its ends, so that what
//! comes out is linearizable by construction. Never does: search. Called by `jepsen-lite bench` and
//! the tests of the search.

use super::Key;
use super::cas_register::{Kind, Op};
use crate::Value;
use crate::random::Random;
use crate::search::Operation;

/// Values that are written.
const VALUES: u64 = 5;

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The same seed and sizes give the same history.
    pub seed: u64,
    /// Operations that return.
    pub operations: usize,
    /// Clients, each of which does one thing at a time; at least 1.
    pub clients: usize,
}

/// Where a client's operation is.
enum Stage {
    Idle,
    Invoked { at: usize, asked: Kind },
    Effective { at: usize, kind: Kind },
}

/// Reads, writes and compare-and-sets of a register that holds nil at first.
///
/// # Panics
/// When the plan has no client.
pub fn register(plan: Plan) -> Vec<Operation<Op>> {
    assert!(plan.clients > 0, "{plan:?} has no client");
    let mut random = Random::new(plan.seed);
    let mut clients: Vec<Stage> = (0..plan.clients).map(|_| Stage::Idle).collect();
    let mut register = Value::Nil;
    // What is under way at the end comes on top.
    let mut operations = Vec::with_capacity(plan.operations + plan.clients);
    let mut clock = 0;
    while operations.len() < plan.operations {
        let client = &mut clients[random.index(plan.clients)];
        clock += 1;
        *client = match std::mem::replace(client, Stage::Idle) {
            Stage::Idle => Stage::Invoked { at: clock, asked: ask(&mut random) },
            Stage::Invoked { at, asked } => {
                let kind = take_effect(&mut register, asked);
                Stage::Effective { at, kind }
            }
            Stage::Effective { at, kind } => {
                let op = Op { key: Key(None), kind };
                operations.push(Operation { op, invoked: at, returned: Some(clock) });
                Stage::Idle
            }
        };
    }
    // What took effect and never returned may have been seen.
    for client in clients {
        if let Stage::Effective { at, kind: kind @ (Kind::Write(_) | Kind::Cas(..)) } = client {
            let op = Op { key: Key(None), kind };
            operations.push(Operation { op, invoked: at, returned: None });
        }
    }
    operations
}

fn ask(random: &mut Random) -> Kind {
    let mut value = || Value::Int(random.below(VALUES).cast_signed());
    let (a, b) = (value(), value());
    match random.below(3) {
        0 => Kind::Read(a),
        1 => Kind::Write(a),
        _ => Kind::Cas(a, b),
    }
}

fn take_effect(register: &mut Value, asked: Kind) -> Kind {
    match asked {
        Kind::Read(_) => Kind::Read(register.clone()),
        Kind::Write(value) => {
            *register = value.clone();
            Kind::Write(value)
        }
        Kind::Cas(old, new) | Kind::Mismatch(old, new) if *register != old => {
            Kind::Mismatch(old, new)
        }
        Kind::Cas(old, new) | Kind::Mismatch(old, new) => {
            *register = new.clone();
            Kind::Cas(old, new)
        }
    }
}
