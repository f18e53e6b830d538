//! Where the answer to one command goes: to whoever asked for it alone, or to its place among the
//! answers to many.
//!
//! Ten thousand buys of one request share one wake-up: whoever asked sleeps until the last place is
//! filled, or given up.

use super::{Answer, Told};
use raft::Allowance;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

/// See the module. Dropped unused, it leaves the outcome unknown.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    to: To,
    allowance: Option<Box<Allowance>>,
    tried: bool,
}

#[derive(Debug)]
enum To {
    /// The one who asked.
    Alone(oneshot::Sender<Told>),
    /// A place of a [`Gathering`].
    Among(Place),
}

impl ReplyTo {
    /// To the one who asked for this alone.
    pub(super) fn alone(asker: oneshot::Sender<Told>) -> Self {
        Self::new(To::Alone(asker))
    }

    /// Whether one asker waits for this alone.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.to, To::Alone(_))
    }

    /// Whether it may have come to somebody else before.
    pub(super) fn is_tried(&self) -> bool {
        self.tried
    }

    fn new(to: To) -> Self {
        Self { to, allowance: None, tried: false }
    }

    /// What is left of the limits goes with the answer, whatever that will be.
    pub(super) fn counted(&mut self, allowance: Box<Allowance>) {
        self.allowance = Some(allowance);
    }

    /// A try's outcome is unknown: from now on, only a decision is better.
    pub(super) fn tried(&mut self) {
        self.tried = true;
    }

    /// Answers; whoever asked may be gone, which is its own choice.
    pub(super) fn send(self, answer: Answer) {
        let Self { to, allowance, tried } = self;
        let answer = match answer {
            Answer::NotProposed(_) | Answer::Limited(_) if tried => Answer::Unknown,
            answer => answer,
        };
        let told = Told { answer, allowance };
        match to {
            To::Alone(asker) => {
                let _gone = asker.send(told);
            }
            To::Among(place) => place.gathering.put(place.position, told),
        }
    }
}

/// The answers to many commands, in their order.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Unknown until they are there.
    answers: Mutex<Vec<Told>>,
    missing: AtomicUsize,
    complete: Notify,
}

/// One command's place in a [`Gathering`]. Filled or not, it counts as settled when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gathering: Arc<Gathering>,
    position: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.gathering.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gathering.complete.notify_one();
        }
    }
}

impl Gathering {
    /// Makes room for the answers to `commands`, and a place for each.
    pub(super) fn new(commands: usize) -> (Arc<Self>, impl Iterator<Item = ReplyTo>) {
        let gathering = Arc::new(Self {
            answers: Mutex::new((0..commands).map(|_| Told::unknown()).collect()),
            missing: AtomicUsize::new(commands),
            complete: Notify::new(),
        });
        let places = Arc::clone(&gathering);
        let place = move |position| Place { gathering: Arc::clone(&places), position };
        (gathering, (0..commands).map(place).map(To::Among).map(ReplyTo::new))
    }

    fn put(&self, position: usize, told: Told) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)[position] = told;
    }

    /// Waits until every place is settled, or the deadline; returns the answers in order.
    pub(super) async fn wait(&self, deadline: Instant) -> Vec<Told> {
        if self.missing.load(Ordering::Acquire) > 0 {
            let _late_ones_stay_unknown = timeout_at(deadline, self.complete.notified()).await;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // Late answers still find their places.
        let unknown = (0..answers.len()).map(|_| Told::unknown()).collect();
        std::mem::replace(&mut *answers, unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::NotProposed;
    use raft::{Limit, Limited};
    use std::time::Duration;
    use stock::{Outcome, Reply, Seq};

    fn answers(told: Vec<Told>) -> Vec<Answer> {
        told.into_iter().map(|told| told.answer).collect()
    }

    /// Whoever was asked once and may have sold must not say that nothing happened.
    #[tokio::test]
    async fn after_an_unknown_try_only_a_decision_is_told() {
        let (limited, reply) = (
            Limited { by: Limit::User, wait_ms: 1 },
            Reply {
                seq: Seq(1),
                replayed: false,
                outcome: Outcome::BoughtBefore { order: Seq(1) },
            },
        );
        for (answer, tried, unknown) in [
            (Answer::Limited(limited), false, false),
            (Answer::Limited(limited), true, true),
            (Answer::NotProposed(NotProposed::NoLeader), true, true),
            (Answer::Decided(reply), true, false),
        ] {
            let (asker, answered) = oneshot::channel();
            let mut reply_to = ReplyTo::alone(asker);
            if tried {
                reply_to.tried();
            }
            let shown = format!("{answer:?}");
            reply_to.send(answer);
            let told = answered.await.unwrap().answer;
            assert_eq!(matches!(told, Answer::Unknown), unknown, "{shown}: {told:?}");
        }
    }

    #[tokio::test]
    async fn answers_keep_their_places_and_dropped_ones_are_unknown() {
        let (gathering, places) = Gathering::new(3);
        let mut places: Vec<ReplyTo> = places.collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        places.pop().unwrap().send(Answer::NotProposed(NotProposed::NoLeader));
        drop(places.pop());
        let last = places.pop().unwrap();
        let waiting = tokio::spawn({
            let gathering = Arc::clone(&gathering);
            async move { gathering.wait(deadline).await }
        });
        last.send(Answer::NotProposed(NotProposed::DiskFull));
        let answers = answers(waiting.await.unwrap());
        assert!(matches!(
            answers[..],
            [
                Answer::NotProposed(NotProposed::DiskFull),
                Answer::Unknown,
                Answer::NotProposed(NotProposed::NoLeader),
            ]
        ));
    }

    #[tokio::test]
    async fn what_is_late_is_unknown() {
        let (gathering, places) = Gathering::new(2);
        let mut places: Vec<ReplyTo> = places.collect();
        places.pop().unwrap().send(Answer::NotProposed(NotProposed::NoLeader));
        let answers = answers(gathering.wait(Instant::now()).await);
        assert!(matches!(answers[..], [Answer::Unknown, Answer::NotProposed(_)]));
        // Nobody listens any more, and nothing breaks.
        places.pop().unwrap().send(Answer::Unknown);
    }
}
