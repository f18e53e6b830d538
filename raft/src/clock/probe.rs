//! Asks the peers what their clocks show, and says so when one is off.
//!
//! Each answer is good to half of its round trip, which is bounded. Every node asks, for any may
//! lead next and must know the others' clocks from its first moment on.

use super::walls::{Moment, OFF_MS_MAX};
use crate::peer::{Call, ClockAnswer};
use crate::shared::Shared;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;

/// Between rounds of questions.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// Between rounds while fewer than a majority's clocks are known.
const FIRST_ROUNDS_INTERVAL: Duration = Duration::from_millis(50);
/// A longer round trip tells too little: the answer would be good to 125 ms at best.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(250);

/// Runs for the life of the node.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut reported = BTreeSet::new();
    loop {
        join_all(shared.links.others().map(|to| ask(&shared, to))).await;
        let off_ms = shared.clocks.off_ms();
        for (id, off_ms) in &off_ms {
            report(*id, *off_ms, &mut reported);
        }
        let known = !off_ms.is_empty();
        tokio::time::sleep(if known { ROUND_INTERVAL } else { FIRST_ROUNDS_INTERVAL }).await;
    }
}

async fn ask(shared: &Shared, to: NodeId) {
    let path = "/peer/clock";
    let call = Call { to, incarnation: None, path, timeout: ROUND_TRIP_MAX };
    let asked_us = shared.clocks.mono_us();
    let answer = shared.links.call(call, &()).await;
    shared.note_asked(to, answer.as_ref().err());
    // A node that is down, or of a build without this question, has no say.
    let Ok(ClockAnswer { wall_ms }) = answer else {
        return;
    };
    let answered_us = shared.clocks.mono_us();
    if answered_us - asked_us <= ROUND_TRIP_MAX.as_micros() as u64 {
        let mono_us = asked_us.midpoint(answered_us);
        shared.clocks.state().walls.learn(to, Moment { mono_us, wall_ms });
    }
}

/// Says once that a clock is off, and once that it is right again.
fn report(id: NodeId, off_ms: i64, reported: &mut BTreeSet<NodeId>) {
    let way = if off_ms > 0 { "ahead of" } else { "behind" };
    let by_ms = off_ms.unsigned_abs();
    if by_ms > OFF_MS_MAX && reported.insert(id) {
        tracing::warn!(
            "the clock of node {id} is {by_ms} ms {way} the median of the nodes' clocks: it has \
             no say in log time; set it right"
        );
    } else if by_ms <= OFF_MS_MAX / 2 && reported.remove(&id) {
        tracing::info!("the clock of node {id} is right again");
    }
}
