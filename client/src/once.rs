//! One attempt at one node, for callers that number attempts themselves.
//!
//! Owns: the calls that a recorder of histories makes, each sent exactly once, to exactly the node
//! that was named. Never does: retry, choose a node, or wait. Called by testers; a shop uses the
//! methods of `api`, which retry.

use crate::answer::{self, Answer};
use crate::api::{json, key_of};
use crate::call::{self, Attempt, Call, Content, Exchange};
use crate::holds::{confirm_path, release_path};
use crate::orders::ORDERS_PAGE_MAX;
pub use crate::reads::Consistency;
use crate::{Client, ClientError};
use reqwest::Method;
use serde::de::DeserializeOwned;
use stock::api::{
    HoldAccepted, HoldReleased, HoldView, OrderAccepted, OrderList, PostConfirm, PostHold,
    PostRestock, Problem, ProductView, PutProduct,
};
use stock::{RequestId, Seq, Sku, UserId};

/// The identity of one attempt at a command.
#[derive(Debug, Clone, Copy)]
pub struct Numbered<'a> {
    /// The request id, the same for all attempts.
    pub request: &'a RequestId,
    /// From 1; each attempt after an unknown one has a higher number.
    pub attempt: u32,
}

/// What one attempt at a read came to.
#[derive(Debug)]
pub enum Reading<T> {
    /// What was read.
    Done(T),
    /// The node's own words that there is no such thing, or that the question is wrong.
    Refused(Problem),
    /// No answer, or the node's own words that it cannot read now.
    NotDone {
        /// What happened, for people.
        why: String,
    },
    /// A whole answer that no flashnode gives.
    Foreign {
        /// Its status, and what is wrong with it.
        why: String,
    },
}

impl<T: DeserializeOwned> Reading<T> {
    fn of(exchange: Exchange) -> Self {
        // A read that no majority confirmed in time has a 504, as a command has.
        let whole = if let Exchange::Answered(answered) = &exchange {
            answered.status != 504 || serde_json::from_slice::<Problem>(&answered.body).is_err()
        } else {
            false
        };
        match answer::read(exchange) {
            Answer::Done { body, .. } => Self::Done(body),
            Answer::Refused { problem } => Self::Refused(problem),
            Answer::Unknown { why } if whole => Self::Foreign { why },
            Answer::NotProposed { why, .. } | Answer::Unknown { why } => Self::NotDone { why },
        }
    }
}

impl Client {
    /// Puts a product on sale, by one attempt at one node.
    pub async fn create_product_once(
        &self,
        node: usize,
        (sku, terms): (&Sku, &PutProduct),
        numbered: Numbered<'_>,
    ) -> Answer<ProductView> {
        let path = format!("v1/products/{sku}");
        let exchange = self.once(node, (Method::PUT, &path), Some(&json(terms)), numbered).await;
        answer::read(exchange)
    }

    /// Adds units, or takes back available ones, by one attempt at one node.
    pub async fn restock_once(
        &self,
        node: usize,
        (sku, quantity): (&Sku, i64),
        numbered: Numbered<'_>,
    ) -> Answer<ProductView> {
        let path = format!("v1/products/{sku}/restock");
        let body = json(&PostRestock { quantity });
        let exchange = self.once(node, (Method::POST, &path), Some(&body), numbered).await;
        answer::read(exchange)
    }

    /// Sets units aside, by one attempt at one node.
    pub async fn hold_once(
        &self,
        node: usize,
        hold: &PostHold,
        numbered: Numbered<'_>,
    ) -> Answer<HoldAccepted> {
        let body = json(hold);
        let exchange = self.once(node, (Method::POST, "v1/holds"), Some(&body), numbered).await;
        answer::read(exchange)
    }

    /// Makes a hold an order of its user, by one attempt at one node.
    pub async fn confirm_once(
        &self,
        node: usize,
        (hold, user): (Seq, &UserId),
        numbered: Numbered<'_>,
    ) -> Answer<OrderAccepted> {
        let body = json(&PostConfirm { user_id: user.clone() });
        let place = (Method::POST, &*confirm_path(hold));
        answer::read(self.once(node, place, Some(&body), numbered).await)
    }

    /// Gives a hold up in its user's name, by one attempt at one node.
    pub async fn release_once(
        &self,
        node: usize,
        (hold, user): (Seq, &UserId),
        numbered: Numbered<'_>,
    ) -> Answer<HoldReleased> {
        let place = (Method::DELETE, &*release_path(hold, Some(user)));
        answer::read(self.once(node, place, None, numbered).await)
    }

    /// A hold, linearizable, as this node answers.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is none, [`ClientError::Unavailable`].
    pub async fn hold_view_once(&self, node: usize, hold: Seq) -> Result<HoldView, ClientError> {
        self.ask_one(node, Method::GET, &format!("v1/holds/{hold}"), None).await
    }

    /// The product, linearizable, as this node answers. A read is never proposed: unknown is what
    /// got no answer that the contract has.
    pub async fn product_once(&self, node: usize, sku: &Sku) -> Reading<ProductView> {
        let path = format!("v1/products/{sku}");
        let timeout = self.timeouts.attempt;
        let exchange = self.exchange(node, Method::GET, &path, None, timeout).await;
        self.settler().notice(node, &exchange);
        Reading::of(exchange)
    }

    /// A page of all orders after this one, by id, as this node holds them.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn orders_once(
        &self,
        node: usize,
        after: Seq,
        consistency: Consistency,
    ) -> Result<OrderList, ClientError> {
        let consistency = match consistency {
            Consistency::Linearizable => "linearizable",
            Consistency::Stale => "stale",
        };
        let path =
            format!("v1/orders?after={after}&limit={ORDERS_PAGE_MAX}&consistency={consistency}");
        self.ask_one(node, Method::GET, &path, None).await
    }

    /// Whether this node serves holds: it is asked for one that cannot be.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer.
    pub async fn serves_holds(&self, node: usize) -> Result<bool, ClientError> {
        let timeout = self.timeouts.attempt;
        match self.exchange(node, Method::POST, "v1/holds", Some("{}"), timeout).await {
            Exchange::Answered(answered) => Ok(!matches!(answered.status, 404 | 405)),
            Exchange::NotSent { why } | Exchange::Lost { why } | Exchange::Silent { why } => {
                let why = format!("{}: {why}", self.address(node));
                Err(ClientError::Unavailable { why })
            }
        }
    }

    async fn once(
        &self,
        node: usize,
        (method, path): (Method, &str),
        body: Option<&str>,
        numbered: Numbered<'_>,
    ) -> Exchange {
        let url = match self.nodes.at(node).url(path) {
            Ok(url) => url,
            Err(error) => return Exchange::NotSent { why: error.to_string() },
        };
        let key = key_of(numbered.request);
        let attempt = Some(Attempt { key: &key, number: numbered.attempt });
        let timeout = self.timeouts.attempt;
        let (content, if_match) = (Content::Json, None);
        let call = Call { method, url, body, content, attempt, if_match, timeout };
        let exchange = call::make(&self.http, call).await;
        self.settler().notice(node, &exchange);
        exchange
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Answered;

    fn reading(status: u16, body: &str) -> Reading<u64> {
        let body = body.as_bytes().to_vec();
        Reading::of(Exchange::Answered(Answered { status, body, ..Answered::default() }))
    }

    #[test]
    fn an_answer_that_no_node_gives_is_told_from_none() {
        let problem = |status: u16| {
            format!(r#"{{"type":"/problems/p","title":"t","status":{status},"detail":"d"}}"#)
        };
        assert!(matches!(reading(200, "7"), Reading::Done(7)));
        assert!(matches!(reading(404, &problem(404)), Reading::Refused(_)));
        for status in [503, 504] {
            assert!(matches!(reading(status, &problem(status)), Reading::NotDone { .. }));
        }
        for (status, body) in [(200, "seven"), (302, ""), (504, "late"), (500, &problem(500))] {
            assert!(matches!(reading(status, body), Reading::Foreign { .. }), "{status} {body}");
        }
        let lost = Exchange::Lost { why: "reset".into() };
        assert!(matches!(Reading::<u64>::of(lost), Reading::NotDone { .. }));
    }
}
