//! `POST /v1/buys/batch`: many buys in one call, each with a request id and an outcome of its own.
//!
//! Owns: how many buys go into a call, and which go into the next one: those that no call has
//! decided, each under the request id it always had, and under its next attempt number once an
//! attempt may be in the log. Never does: take one buy's result for another's. A call whose
//! results are not those of its buys, one by one and in their order, leaves all of them unknown.
//! Called by `storm` and by shops that sell in bulk.

use crate::answer::{self, Answer, BuyAnswer};
use crate::call::{self, Call, Content, Exchange};
use crate::pace::Pace;
use crate::settle::{Numbering, Route};
use crate::{BuyOutcome, Client};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::{Duration, Instant};
use stock::api::{BuyAccepted, PostBuy, Problem};
use stock::{Quantity, RequestId, Sku, UserId};

/// The most buys of one call.
pub const CALL_BUYS_MAX: usize = 10_000;
/// The most bytes of one call.
const CALL_BYTES_MAX: usize = 6 << 20;
/// What a buy takes besides its ids: the names of its fields, two numbers, and the escapes of ids
/// made of quotes alone.
const BUY_BYTES: usize = 128;

/// One buy of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchBuy {
    /// The id of its request; the same id never buys twice.
    pub request: RequestId,
    /// What is bought, and for whom.
    pub buy: PostBuy,
}

/// How the buys of a call are written, and its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON array.
    Array,
    /// NDJSON: a JSON object a line.
    Lines,
}

/// A buy as it stands in a call.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    request_id: &'a RequestId,
    product_id: &'a Sku,
    user_id: &'a UserId,
    quantity: Quantity,
    attempt: u32,
}

/// What a call says of one buy.
#[derive(Debug, Deserialize)]
struct Told {
    status: u16,
    request_id: Option<String>,
    #[serde(default)]
    replayed: bool,
    order: Option<BuyAccepted>,
    problem: Option<Problem>,
}

impl Client {
    /// Buys all of these, in as many calls, attempts and nodes as it takes within the deadline of
    /// a buy for each call. Returns one outcome a buy, in the same order; each is settled for
    /// itself, and what is accepted is durable on a majority.
    pub async fn buy_batch(&self, buys: &[BatchBuy], form: Form) -> Vec<BuyOutcome> {
        let mut outcomes = Vec::with_capacity(buys.len());
        for part in parts(buys) {
            let route = Route::Hinted(self.nodes.next());
            outcomes.extend(self.settle_call(&buys[part], form, route).await);
        }
        outcomes
    }

    /// Sends a call, and then again what it left undecided, until all of it is decided or no more
    /// attempts may begin. Returns one outcome a buy.
    pub(crate) async fn settle_call(
        &self,
        buys: &[BatchBuy],
        form: Form,
        route: Route,
    ) -> Vec<BuyOutcome> {
        let (began, settler) = (Instant::now(), self.settler());
        let (mut pace, mut node) = (Pace::new(settler.round(route)), settler.start(route));
        let mut open: Vec<Open> = (0..buys.len()).map(Open::at).collect();
        let mut outcomes: Vec<Option<BuyOutcome>> = vec![None; buys.len()];
        while !open.is_empty() {
            let sent_at = Instant::now();
            let exchange = self.call_at(node, &form.write(buys, &open), form).await;
            let leader = settler.notice(node, &exchange);
            let answers = read(form, exchange, buys, &open);
            let (answered_at, attempts) = (Instant::now(), pace.attempts() + 1);
            let (mut left, mut asked_to_wait, mut in_doubt) = (Vec::new(), None, false);
            for (mut one, answer) in open.into_iter().zip(answers) {
                let attempt_number = one.numbering.number;
                asked_to_wait = asked_to_wait.max(one.take(&answer));
                let decided =
                    matches!(answer, BuyAnswer::Accepted { .. } | BuyAnswer::Refused { .. });
                let answer = one.last_word(answer);
                outcomes[one.at] = Some(BuyOutcome {
                    answer,
                    attempts,
                    attempt_number,
                    node,
                    sent_at,
                    answered_at,
                });
                if !decided {
                    in_doubt |= one.numbering.in_doubt;
                    left.push(one);
                }
            }
            open = left;
            let wait = pace.after(asked_to_wait);
            if began.elapsed() + wait >= settler.patience(in_doubt) {
                break;
            }
            if !open.is_empty() && !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            node = settler.follow(route, node, leader);
        }
        let outcome = |outcome: Option<BuyOutcome>| {
            outcome.unwrap_or_else(|| unreachable!("the first call was about every buy"))
        };
        outcomes.into_iter().map(outcome).collect()
    }

    async fn call_at(&self, node: usize, body: &str, form: Form) -> Exchange {
        let url = match self.nodes.at(node).url("v1/buys/batch") {
            Ok(url) => url,
            Err(error) => return Exchange::NotSent { why: error.to_string() },
        };
        let content = match form {
            Form::Array => Content::Json,
            Form::Lines => Content::Lines,
        };
        let (method, timeout) = (Method::POST, self.timeouts.attempt);
        // Each buy has its own key and its own attempt number, so the call has none.
        let (attempt, if_match, body) = (None, None, Some(body));
        call::make(&self.http, Call { method, url, body, content, attempt, if_match, timeout })
            .await
    }
}

/// The buys cut into calls, each within a call's bounds.
fn parts(buys: &[BatchBuy]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let (begin, mut bytes) = (from, 0);
        while from < buys.len() && from - begin < CALL_BUYS_MAX {
            let BatchBuy { request, buy } = &buys[from];
            let ids = [request.as_str(), buy.user_id.as_str(), buy.product_id.as_str()];
            // Twice: each character of an id may need a backslash.
            let size = BUY_BYTES + 2 * ids.iter().map(|id| id.len()).sum::<usize>();
            if bytes + size > CALL_BYTES_MAX {
                break;
            }
            bytes += size;
            from += 1;
        }
        (from > begin).then_some(begin..from)
    })
}

/// A buy that no call has decided yet.
#[derive(Debug)]
struct Open {
    /// Its place among the buys.
    at: usize,
    numbering: Numbering,
}

impl Open {
    fn at(at: usize) -> Self {
        Self { at, numbering: Numbering::from(1) }
    }

    /// Counts an attempt; returns for how long the node asked to wait.
    fn take(&mut self, answer: &BuyAnswer) -> Option<Duration> {
        match answer {
            BuyAnswer::Unknown { .. } => {
                self.numbering.after_unknown();
                None
            }
            BuyAnswer::NotProposed { retry_after, .. } => *retry_after,
            BuyAnswer::Accepted { .. } | BuyAnswer::Refused { .. } => None,
        }
    }

    /// The answer, should no other follow: with an attempt in doubt, "not proposed" tells nothing.
    fn last_word(&self, answer: BuyAnswer) -> BuyAnswer {
        match answer {
            BuyAnswer::NotProposed { why, .. } if self.numbering.in_doubt => {
                BuyAnswer::Unknown { why }
            }
            answer => answer,
        }
    }
}

impl Form {
    fn write(self, buys: &[BatchBuy], open: &[Open]) -> String {
        let asked = |one: &Open| {
            let BatchBuy { request, buy } = &buys[one.at];
            let PostBuy { product_id, user_id, quantity } = buy;
            let (quantity, attempt) = (*quantity, one.numbering.number);
            crate::api::json(&Asked { request_id: request, product_id, user_id, quantity, attempt })
        };
        let asked: Vec<String> = open.iter().map(asked).collect();
        match self {
            Self::Array => format!("[{}]", asked.join(",")),
            Self::Lines => asked.join("\n"),
        }
    }

    fn results(self, body: &[u8]) -> serde_json::Result<Vec<Told>> {
        match self {
            Self::Array => serde_json::from_slice(body),
            Self::Lines => serde_json::Deserializer::from_slice(body).into_iter().collect(),
        }
    }
}

/// Reads a call's answer: one for each buy that is open.
fn read(form: Form, exchange: Exchange, buys: &[BatchBuy], open: &[Open]) -> Vec<BuyAnswer> {
    let unknown = |why: &str| vec![BuyAnswer::Unknown { why: why.to_owned() }; open.len()];
    let answered = match exchange {
        Exchange::Answered(answered) if answered.status == 200 => answered,
        // What became of the call became of each of its buys.
        exchange => return vec![answer::read::<BuyAccepted>(exchange).into(); open.len()],
    };
    let results = match form.results(&answered.body) {
        Ok(results) => results,
        Err(error) => return unknown(&format!("its results are none: {error}")),
    };
    if results.len() != open.len() {
        let (told, asked) = (results.len(), open.len());
        return unknown(&format!("it gave {told} results for {asked} buys"));
    }
    let differs = |(told, one): (&Told, &Open)| {
        let asked = buys[one.at].request.as_str();
        told.request_id.as_deref().is_some_and(|told| told != asked)
    };
    if results.iter().zip(open).any(differs) {
        return unknown("its results are not in the order of the buys");
    }
    results.into_iter().map(|told| told.answer().into()).collect()
}

impl Told {
    fn answer(self) -> Answer<BuyAccepted> {
        let Self { status, replayed, order, problem, request_id: _ } = self;
        match (order, problem) {
            (Some(body), None) if (200..300).contains(&status) => Answer::Done { body, replayed },
            (None, Some(problem)) => answer::of_problem(status, problem, None),
            _ => Answer::Unknown { why: format!("a result of {status} without what it says") },
        }
    }
}

#[cfg(test)]
mod tests;
