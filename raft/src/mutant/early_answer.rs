//! [`super::Mutant::AnswerBeforeCommit`]: the leader decides buys on its own state and answers
//! them while the entry is still on its way.
//!
//! Proposals take turns, so that each is decided on the state that the one before left: as long as
//! nothing fails, every answer is right, numbers and all. Only a failover shows the bug.

use crate::replica::{Proposed, Replica};
use std::collections::{BTreeMap, BTreeSet};
use stock::{Attempt, Batch, Command, Envelope, Machine, Outcome, Reply, Seq};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Held from a proposal's decision until it is applied, or lost.
static TURN: Semaphore = Semaphore::const_new(1);

/// Answers the batch at once, when this node's state says how it will be decided, and proposes it
/// beside; else proposes it and waits.
pub(crate) async fn propose(replica: &Replica, batch: &mut Batch, deadline: Instant) -> Proposed {
    // Nobody closes it.
    let turn = TURN.acquire().await;
    let Some(replies) = replica.read(|machine| decide(machine, batch)) else {
        return replica.propose_and_wait(batch, deadline).await;
    };
    let (replica, mut batch) = (replica.clone(), batch.clone());
    tokio::spawn(async move {
        let _lost_or_not = replica.propose_and_wait(&mut batch, deadline).await;
        drop(turn);
    });
    Proposed::Decided(replies)
}

/// How this state would answer the batch; none unless all of it is first attempts to buy, under
/// request ids of their own, what is without a limit and left in plenty.
fn decide(machine: &Machine, batch: &Batch) -> Option<Vec<Reply>> {
    let mut taken = BTreeMap::new();
    let mut requests = BTreeSet::new();
    let mut seq = machine.seq();
    let answer = |envelope: &Envelope| {
        let Command::Buy { sku, quantity } = &envelope.command else { return None };
        let product = machine.product(sku)?;
        let plain = envelope.attempt == Attempt::First
            && product.terms.per_user_limit.is_none()
            && requests.insert((envelope.requester.clone(), envelope.request_id.clone()))
            && machine.peek(envelope).is_none();
        if !plain {
            return None;
        }
        let taken = taken.entry(sku.clone()).or_insert(0);
        *taken += u64::from(quantity.get());
        let remaining = product.available.checked_sub(*taken)?;
        seq = Seq(seq.0 + 1);
        Some(Reply { seq, replayed: false, outcome: Outcome::Bought { remaining } })
    };
    batch.commands.iter().map(answer).collect()
}
