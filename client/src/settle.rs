//! Numbered attempts under one request id, until a decision or the deadline.
//!
//! Owns: the attempt number and the choice of the next node. The number rises with each
//! *unknown* attempt and stays as it was after a *surely not proposed* one: from 2 on the cluster
//! stores the outcome, a refusal too, so that a late copy of the lost attempt cannot win behind
//! the buyer's back. Never does: invent a new request id, or call something unknown a failure.
//! Called by `api` for every command.

use crate::ClientError;
use crate::answer::{self, Answer, BuyAnswer};
use crate::api::Timeouts;
use crate::call::{self, Attempt, Call, Content, Exchange};
use crate::nodes::Nodes;
use crate::pace::Pace;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use stock::api::BuyAccepted;
use stock::{NodeId, Seq};

/// How long a node that refused a connection is passed over: it is down, and asking costs little.
const REST_AFTER_REFUSED: Duration = Duration::from_millis(100);

/// How a buy ended, over all its attempts.
#[derive(Debug, Clone)]
pub struct BuyOutcome {
    /// The last word. [`BuyAnswer::NotProposed`] only when no attempt was unknown; otherwise a
    /// buy that no node decided in time is [`BuyAnswer::Unknown`].
    pub answer: BuyAnswer,
    /// Attempts made.
    pub attempts: u32,
    /// The number of the last attempt; an unknown buy is settled by a later one.
    pub attempt_number: u32,
    /// The position of the node that was asked last.
    pub node: usize,
    /// When the last attempt was sent.
    pub sent_at: Instant,
    /// When its answer, or its failure, was here.
    pub answered_at: Instant,
}

/// Which nodes a command goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// From this position on, in order; retries follow the leader that an answer named.
    Hinted(usize),
    /// From this position on, in order, whoever leads: a storm wants its load on all nodes.
    Spread(usize),
    /// This position only.
    Only(usize),
}

/// A command, ready to be sent any number of times.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) target: Target<'a>,
    /// JSON; a release has none.
    pub(crate) body: Option<&'a str>,
    pub(crate) key: &'a HeaderValue,
    /// 1, or more when the caller itself has made attempts that came to nothing known.
    pub(crate) first_attempt: u32,
}

/// Where a command goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// `POST /v1/buys`, whose URLs are made once.
    Buys,
    Post(&'a str),
    Put(&'a str),
    Delete(&'a str),
    /// A merge patch, refused unless it meets the version that it is meant for.
    Patch {
        path: &'a str,
        if_match: Option<Seq>,
    },
}

/// How a command ended, over all its attempts; `T` is the body of its yes.
#[derive(Debug)]
pub struct Settled<T> {
    /// The last word. [`Answer::NotProposed`] only when no attempt was unknown; otherwise a command
    /// that no node decided in time is [`Answer::Unknown`].
    pub answer: Answer<T>,
    /// Attempts made.
    pub attempts: u32,
    /// The number of the last attempt; an unknown command is settled by a later one.
    pub attempt_number: u32,
    /// The position of the node that was asked last.
    pub node: usize,
    /// When the last attempt was sent.
    pub sent_at: Instant,
    /// When its answer, or its failure, was here.
    pub answered_at: Instant,
}

impl<T> Settled<T> {
    /// The same with another body of its yes.
    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Settled<U> {
        let Self { answer, attempts, attempt_number, node, sent_at, answered_at } = self;
        let answer = match answer {
            Answer::Done { body, replayed } => Answer::Done { body: of(body), replayed },
            Answer::Refused { problem } => Answer::Refused { problem },
            Answer::NotProposed { retry_after, why } => Answer::NotProposed { retry_after, why },
            Answer::Unknown { why } => Answer::Unknown { why },
        };
        Settled { answer, attempts, attempt_number, node, sent_at, answered_at }
    }

    /// The body of its yes.
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Unavailable`] (surely not done), or
    /// [`ClientError::Unknown`] with this advice.
    pub fn done(self, advice: &'static str) -> Result<T, ClientError> {
        match self.answer {
            Answer::Done { body, .. } => Ok(body),
            Answer::Refused { problem } => Err(ClientError::Refused(Box::new(problem))),
            Answer::NotProposed { why, .. } => Err(ClientError::Unavailable { why }),
            Answer::Unknown { why } => Err(ClientError::Unknown { why, advice }),
        }
    }
}

impl From<Settled<BuyAccepted>> for BuyOutcome {
    fn from(settled: Settled<BuyAccepted>) -> Self {
        Self {
            answer: settled.answer.into(),
            attempts: settled.attempts,
            attempt_number: settled.attempt_number,
            node: settled.node,
            sent_at: settled.sent_at,
            answered_at: settled.answered_at,
        }
    }
}

/// The count of attempts, apart from any IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbering {
    /// The number that the next attempt carries.
    pub(crate) number: u32,
    /// Whether some attempt may be in the log.
    pub(crate) in_doubt: bool,
}

impl Numbering {
    pub(crate) fn from(first: u32) -> Self {
        assert!(first >= 1, "attempts are numbered from 1, not {first}");
        Self { number: first, in_doubt: first > 1 }
    }

    pub(crate) fn after_unknown(&mut self) {
        self.number = self.number.saturating_add(1);
        self.in_doubt = true;
    }
}

/// What a settling needs of its client.
pub(crate) struct Settler<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) nodes: &'a Nodes,
    pub(crate) timeouts: Timeouts,
}

impl Settler<'_> {
    /// Sends attempts until one is decided, or until no more may begin.
    ///
    /// Returns at the latest `timeouts.settle + timeouts.attempt` after it was called, with a
    /// `settle` of `give_up` when nothing is in doubt.
    pub(crate) async fn settle<T: DeserializeOwned>(
        &self,
        command: &Command<'_>,
        route: Route,
    ) -> Settled<T> {
        let began = Instant::now();
        let mut numbering = Numbering::from(command.first_attempt);
        let mut node = self.start(route);
        let mut pace = Pace::new(self.round(route));
        loop {
            let (sent_at, number) = (Instant::now(), numbering.number);
            let exchange = self.attempt(command, node, number).await;
            let leader = self.notice(node, &exchange);
            let is_limited =
                matches!(&exchange, Exchange::Answered(answered) if answered.status == 429);
            let mut answer = answer::read(exchange);
            let answered_at = Instant::now();
            let asked_to_wait = match &answer {
                Answer::Unknown { .. } => {
                    numbering.after_unknown();
                    None
                }
                Answer::NotProposed { retry_after, .. } => *retry_after,
                Answer::Done { .. } | Answer::Refused { .. } => None,
            };
            let mut wait = pace.after(asked_to_wait);
            // A rate limit is the same at every node. Whoever is in doubt goes on: later attempts
            // are counted apart, and the command may be known by the next.
            if is_limited && !numbering.in_doubt {
                wait = asked_to_wait.unwrap_or(wait);
            }
            let decided = matches!(answer, Answer::Done { .. } | Answer::Refused { .. });
            let patience = self.patience(numbering.in_doubt);
            if decided || began.elapsed() + wait >= patience {
                if let Answer::NotProposed { why, .. } = &mut answer
                    && numbering.in_doubt
                {
                    answer = Answer::Unknown { why: std::mem::take(why) };
                }
                let (attempts, attempt_number) = (pace.attempts(), number);
                return Settled { answer, attempts, attempt_number, node, sent_at, answered_at };
            }
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            node = self.follow(route, node, leader);
        }
    }

    /// Makes one attempt at one node.
    pub(crate) async fn attempt(
        &self,
        command: &Command<'_>,
        node: usize,
        number: u32,
    ) -> Exchange {
        let (method, url) = match self.place(command, node) {
            Ok(place) => place,
            Err(why) => return Exchange::NotSent { why },
        };
        let call = Call {
            method,
            url,
            body: command.body,
            attempt: Some(Attempt { key: command.key, number }),
            if_match: match command.target {
                Target::Patch { if_match, .. } => if_match,
                Target::Buys | Target::Post(_) | Target::Put(_) | Target::Delete(_) => None,
            },
            content: Content::Json,
            timeout: self.timeouts.attempt,
        };
        call::make(self.http, call).await
    }

    fn place(&self, command: &Command<'_>, node: usize) -> Result<(Method, Url), String> {
        let node = self.nodes.at(node);
        let (method, path) = match command.target {
            Target::Buys => return Ok((Method::POST, node.buys.clone())),
            Target::Post(path) => (Method::POST, path),
            Target::Put(path) => (Method::PUT, path),
            Target::Delete(path) => (Method::DELETE, path),
            Target::Patch { path, .. } => (Method::PATCH, path),
        };
        let url = node.url(path).map_err(|error| error.to_string())?;
        Ok((method, url))
    }

    /// Keeps what an exchange tells of the nodes; returns the leader that it named.
    pub(crate) fn notice(&self, node: usize, exchange: &Exchange) -> Option<NodeId> {
        match exchange {
            Exchange::Answered(answered) => {
                self.nodes.at(node).learn_silent(false);
                if let Some(id) = answered.node {
                    self.nodes.at(node).learn_id(id);
                }
                answered.leader
            }
            Exchange::NotSent { .. } => {
                self.nodes.at(node).learn_silent(true);
                self.nodes.rest(node, REST_AFTER_REFUSED);
                None
            }
            // Paused, or cut off: whoever asks it next waits as long, so let it be for as long.
            Exchange::Silent { .. } => {
                self.nodes.at(node).learn_silent(true);
                self.nodes.rest(node, self.timeouts.attempt);
                None
            }
            Exchange::Lost { .. } => None,
        }
    }

    /// How long after the first attempt another one may begin.
    pub(crate) fn patience(&self, in_doubt: bool) -> Duration {
        if in_doubt { self.timeouts.settle } else { self.timeouts.give_up }
    }

    pub(crate) fn start(&self, route: Route) -> usize {
        match route {
            Route::Only(node) => node,
            Route::Hinted(from) | Route::Spread(from) => self.nodes.awake_from(from),
        }
    }

    pub(crate) fn round(&self, route: Route) -> usize {
        if matches!(route, Route::Only(_)) { 1 } else { self.nodes.len() }
    }

    pub(crate) fn follow(&self, route: Route, asked: usize, leader: Option<NodeId>) -> usize {
        let hint = leader.and_then(|id| self.nodes.position_of(id)).filter(|node| *node != asked);
        match (route, hint) {
            (Route::Only(node), _) => node,
            (Route::Hinted(_), Some(leader)) => leader,
            (Route::Hinted(_) | Route::Spread(_), _) => self.nodes.awake_from(asked + 1),
        }
    }
}
