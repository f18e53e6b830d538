//! Which way each ask goes: to the leader's count, to a check, or into the next batch.

use super::{Actor, Answer, Ask, NotProposed, clicks};
use crate::rate::Counted;
use crate::trace::{self, Way};
use stock::NodeId;
use tokio::time::Instant;

/// What the applied state says of an ask.
enum Peeked {
    /// Its key is decided already, or so it is known here.
    Known,
    /// It would be refused.
    Refused,
    /// It is for the log to decide.
    Open,
    #[cfg(feature = "mutants")]
    Answered(stock::Reply),
}

impl Actor {
    /// Sorts asks by what the applied state would say: refusals are checked, the rest proposed.
    ///
    /// Where clicks are counted, that comes first, and once for each click. A key that is decided
    /// already is not counted: the same answer again gains nothing, and a yes must not hide behind
    /// a limit. Nor is anything by a leader without room, which proposes nothing.
    pub(super) fn sort(&mut self, asks: &mut Vec<Ask>, leader: Option<NodeId>) {
        let here = leader == Some(self.replica.id());
        if !here && self.replica.counts(leader) {
            // Only who counts may refuse.
            for click in asks.extract_if(.., |ask| clicks::clicker(ask).is_some()) {
                if self.to_pass.is_full_for(&click) {
                    click.decline(NotProposed::MailboxFull);
                    continue;
                }
                trace::sorted(&click.waits, Way::Count);
                self.to_pass.push(click);
            }
        }
        let peeked: Vec<Peeked> =
            self.replica.read(|machine| asks.iter().map(|ask| peek(machine, ask)).collect());
        let now = Instant::now();
        let counts = here && self.replica.has_room();
        for (ask, peeked) in asks.drain(..).zip(peeked) {
            // Before it is counted: this costs no click.
            if matches!(peeked, Peeked::Open) && self.to_propose.is_full_for(&ask) {
                ask.decline(NotProposed::MailboxFull);
                continue;
            }
            let free = !counts || ask.counted || matches!(peeked, Peeked::Known);
            let Some(ask) = (if free { Some(ask) } else { self.count(ask, now) }) else {
                continue;
            };
            match peeked {
                Peeked::Known | Peeked::Refused => {
                    trace::sorted(&ask.waits, Way::Read);
                    self.to_check.push(ask);
                }
                Peeked::Open => {
                    trace::sorted(&ask.waits, Way::Batch);
                    self.to_propose.push(ask);
                }
                #[cfg(feature = "mutants")]
                Peeked::Answered(reply) => ask.answer(Answer::Decided(reply)),
            }
        }
    }

    /// Counts a click, and gives it back; or answers it, when it is beyond a limit.
    fn count(&mut self, mut ask: Ask, now: Instant) -> Option<Ask> {
        let Some((counter, clicker)) = self.counter.as_mut().zip(clicks::clicker(&ask)) else {
            return Some(ask);
        };
        match counter.count(clicker, now) {
            Counted::Within(allowance) => {
                ask.counted = true;
                ask.reply_to.counted(Box::new(allowance));
                Some(ask)
            }
            Counted::Beyond(limited, allowance) => {
                ask.reply_to.counted(Box::new(allowance));
                self.metrics.rate_limited(limited.by);
                trace::limited(&ask.waits);
                ask.answer(Answer::Limited(limited));
                None
            }
        }
    }
}

fn peek(machine: &stock::Machine, ask: &Ask) -> Peeked {
    #[cfg(feature = "mutants")]
    if let Some(reply) = crate::mutant::sold_in_flight(machine, &ask.envelope) {
        return Peeked::Answered(reply);
    }
    match machine.peek(&ask.envelope) {
        Some(reply) if reply.replayed => Peeked::Known,
        Some(_) => Peeked::Refused,
        None => Peeked::Open,
    }
}
