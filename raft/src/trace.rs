//! What apply tells of each command under its request id: target `buy`, level debug.
//!
//! Every node tells it, also when it applies its log again after a restart. The other stages are
//! told by `node`. Nothing is looked at unless the log's filter asks for it.

use stock::{Batch, Envelope, Reply, Requester};
use tracing::{Level, debug, debug_span, enabled};

/// An entry has been applied; `replies` are those to the commands of its batch.
pub(crate) fn applied(index: u64, batch: &Batch, replies: &[Reply]) {
    if !enabled!(target: "buy", Level::DEBUG) {
        return;
    }
    for (envelope, reply) in batch.commands.iter().zip(replies) {
        let Envelope { requester, request_id, .. } = envelope;
        let user_id = match requester {
            Requester::User(user) => Some(user.as_str()),
            Requester::Operator => None,
        };
        let Reply { seq, outcome, .. } = reply;
        let request_id = request_id.as_str();
        let span = debug_span!(target: "buy", parent: None, "apply", request_id, user_id);
        debug!(
            target: "buy",
            parent: &span,
            index,
            seq = seq.0,
            outcome = outcome.name(),
            why = outcome.refusal().map(tracing::field::debug),
            "applied"
        );
    }
}
