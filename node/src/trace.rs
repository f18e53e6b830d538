//! One request's way through the nodes, told stage by stage under its request id.
//!
//! Owns the spans and the words of target `buy`, level debug: `request` is the answering node's
//! front, `wait` an actor's mailbox and batch, `forward`, `propose` and `read` what an actor does
//! with it; `apply` is told by `raft`, on every node. Frames between nodes carry nothing of it: the
//! request id is what the stages have in common, so nodes of any build take part.
//!
//! Nothing is told unless the log's filter asks for it, or a collector is to get it (feature
//! `otlp`). Else each stage costs the load of an atomic; nothing is allocated or formatted.

#[cfg(feature = "otlp")]
pub(crate) mod otlp;

use axum::http::StatusCode;
use raft::Proposed;
use stock::{Attempt, Envelope, NodeId, Reply, Requester};
use tracing::{Span, debug, debug_span};

/// Whether anybody listens.
pub(crate) fn on() -> bool {
    tracing::enabled!(target: "buy", tracing::Level::DEBUG)
}

/// A span of a stage, with what every stage says. Its fields are not looked at when it is off.
macro_rules! stage {
    ($name:literal, $envelope:expr $(, $($field:tt)+)?) => {
        debug_span!(
            target: "buy",
            parent: None,
            $name,
            request_id = $envelope.request_id.as_str(),
            user_id = user($envelope),
            $($($field)+)?
        )
    };
}

fn user(envelope: &Envelope) -> Option<&str> {
    match &envelope.requester {
        Requester::User(user) => Some(user.as_str()),
        Requester::Operator => None,
    }
}

/// A stage of each command of a batch; none when nobody listens.
pub(crate) fn each<'e>(
    commands: impl IntoIterator<Item = &'e Envelope>,
    stage: impl Fn(&Envelope) -> Span,
) -> Vec<Span> {
    if on() { commands.into_iter().map(stage).collect() } else { Vec::new() }
}

/// The front has made a command of a request; see [`answered`].
pub(crate) fn decoded(envelope: &Envelope) -> Span {
    let attempt = match envelope.attempt {
        Attempt::First => "first",
        Attempt::Later => "later",
    };
    let span = stage!("request", envelope, command = envelope.command.name(), attempt);
    debug!(target: "buy", parent: &span, "decoded");
    span
}

/// The front has answered, and the request is over.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    debug!(target: "buy", parent: span, status = status.as_u16(), "answered");
}

/// An actor has an ask, for as long as it is in no batch.
pub(crate) fn waits(envelope: &Envelope) -> Span {
    stage!("wait", envelope)
}

/// Which way the actor sends an ask.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// To the leader, which counts it.
    Count,
    /// To a read: it would be refused, or is known.
    Read,
    /// Into the next batch.
    Batch,
}

/// The actor has sorted an ask.
pub(crate) fn sorted(waits: &Span, way: Way) {
    debug!(target: "buy", parent: waits, way = ?way, "sorted");
}

/// It is beyond a rate limit.
pub(crate) fn limited(waits: &Span) {
    debug!(target: "buy", parent: waits, "limited");
}

/// This node leads, and proposes a batch of so many.
pub(crate) fn propose(envelope: &Envelope, batch: usize) -> Span {
    let span = stage!("propose", envelope);
    debug!(target: "buy", parent: &span, batch, "proposed");
    span
}

/// Another node leads, and gets this in a frame of so many.
pub(crate) fn forward(envelope: &Envelope, leader: NodeId, frame: usize) -> Span {
    let span = stage!("forward", envelope, leader = leader.0);
    debug!(target: "buy", parent: &span, frame, "forwarded");
    span
}

/// A read is to confirm a refusal.
pub(crate) fn read(envelope: &Envelope) -> Span {
    stage!("read", envelope)
}

/// What the stages of [`propose`] or [`forward`] have led to.
pub(crate) fn came_to(spans: &[Span], proposed: &Proposed) {
    for (at, span) in spans.iter().enumerate() {
        match proposed {
            Proposed::Decided(replies) => {
                if let Some(reply) = replies.get(at) {
                    decided(span, reply);
                }
            }
            Proposed::NotProposed => debug!(target: "buy", parent: span, "not proposed"),
            Proposed::Unknown => debug!(target: "buy", parent: span, "unknown"),
        }
    }
}

/// The machine has decided it.
pub(crate) fn decided(span: &Span, reply: &Reply) {
    let Reply { seq, replayed, outcome } = reply;
    debug!(
        target: "buy",
        parent: span,
        seq = seq.0,
        outcome = outcome.name(),
        why = outcome.refusal().map(tracing::field::debug),
        replayed,
        "decided"
    );
}
