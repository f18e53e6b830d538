//! One attempt at one node, and what it says about the operation.
//!
//! Owns: the mapping from the client's answers to the checker's vocabulary. An answer that the
//! contract does not have is neither a yes nor a no: it is told as [`Heard::Unexpected`]. Never
//! does: retry, or take a place in the order. Called by `worker` and `finals`.

use crate::recorder::{Asked, RequestNo, Said};
use checker::flashnode::{Answer, Outcome, RefusedFor};
use client::once::{Numbered, Reading};
use client::{BuyAnswer, Client};
use std::time::Duration;
use stock::api::{
    BuyAccepted, HoldAccepted, HoldReleased, LineView, OrderAccepted, PostBuy, PostHold, Problem,
    ProductView, PutProduct,
};
use stock::{HoldTtl, Quantity, Sku};

/// What one attempt came to.
#[derive(Debug)]
pub(super) enum Heard {
    /// Accepted or refused.
    Decided { answer: Answer, replayed: bool, said: Said },
    /// Surely not proposed.
    NotProposed { retry_after: Option<Duration>, said: Said },
    /// It may take place, now or later.
    Unknown { said: Said },
    /// An answer that the contract does not have.
    Unexpected { said: Said },
}

/// Asks once. `attempt` counts for commands only.
pub(super) async fn once(
    client: &Client,
    node: usize,
    (asked, request): (Asked, Option<RequestNo>),
    attempt: u32,
) -> Heard {
    let Some(request) = request.map(RequestNo::request) else {
        return read(client.product_once(node, &asked.product().sku()).await);
    };
    let numbered = Numbered { request: &request, attempt };
    let sku = asked.product().sku();
    match asked {
        Asked::Create { stock, limit, .. } => {
            let Ok(limit) = limit.map(|limit| Quantity::new(limit.into())).transpose() else {
                return unexpected(format!("a limit of {limit:?} cannot be asked for"));
            };
            let terms = PutProduct {
                name: sku.to_string(),
                stock: stock.into(),
                per_user_limit: limit,
                ..PutProduct::default()
            };
            counts(client.create_product_once(node, (&sku, &terms), numbered).await, "201")
        }
        Asked::Restock { quantity, .. } => {
            counts(client.restock_once(node, (&sku, quantity.into()), numbered).await, "200")
        }
        Asked::Buy { user, quantity, .. } => {
            let Ok(quantity) = Quantity::new(quantity.into()) else {
                return unexpected(format!("{quantity} units cannot be asked for"));
            };
            let buy = PostBuy { product_id: sku, user_id: user.user(), quantity };
            bought(&buy, client.buy_once(node, &buy, &request, attempt).await)
        }
        Asked::Hold { user, quantity, ttl_ms, .. } => {
            let ttl = HoldTtl::from_ms(ttl_ms.into());
            let (Ok(units), Ok(ttl)) = (Quantity::new(quantity.into()), ttl) else {
                return unexpected(format!("{quantity} units for {ttl_ms} ms cannot be asked for"));
            };
            let mut hold = PostHold::one(sku.clone(), units, user.user());
            hold.ttl_ms = Some(ttl);
            let answer = client.hold_once(node, &hold, numbered).await;
            changed(answer, "201", |told| held(&hold, (&sku, units), told))
        }
        Asked::Confirm { user, hold, .. } => {
            let answer = client.confirm_once(node, (hold, &user.user()), numbered).await;
            changed(answer, "201", |told| {
                let is_of = told.hold_id == Some(hold) && told.user_id == user.user();
                confirmed(&sku, told).filter(|_| is_of)
            })
        }
        Asked::Release { user, hold, .. } => {
            let answer = client.release_once(node, (hold, &user.user()), numbered).await;
            changed(answer, "200", |told| released(&sku, told).filter(|_| told.hold_id == hold))
        }
        Asked::Expire { .. } | Asked::Read { .. } => {
            unexpected("nobody asks for this under a request id".into())
        }
    }
}

/// An answer to a hold, a confirm or a release. What it says of another hold, user or product than
/// was asked about is none.
fn changed<T: std::fmt::Debug>(
    answer: client::Answer<T>,
    status: &'static str,
    read: impl FnOnce(&T) -> Option<Answer>,
) -> Heard {
    match answer {
        client::Answer::Done { body, replayed } => match read(&body) {
            Some(answer) => Heard::Decided { answer, replayed, said: accepted(status, replayed) },
            None => unexpected(format!("{status} that is not of what was asked: {body:?}")),
        },
        client::Answer::Refused { problem } => refused(&problem),
        client::Answer::NotProposed { retry_after, why } => {
            Heard::NotProposed { retry_after, said: why.into() }
        }
        client::Answer::Unknown { why } => Heard::Unknown { said: why.into() },
    }
}

fn held(asked: &PostHold, (sku, units): (&Sku, Quantity), told: &HoldAccepted) -> Option<Answer> {
    let line = only(sku, &told.items)?;
    let is_of = told.user_id == asked.user_id
        && line.quantity == units
        && told.hold_id == told.seq
        && told.remaining == Some(line.remaining);
    let (hold, remaining) = (told.hold_id.0, line.remaining);
    let outcome = Outcome::Hold { hold, remaining, log_ms: Some(told.expires_at.ms()) };
    is_of.then_some(Answer { seq: told.seq.0, outcome })
}

fn confirmed(sku: &Sku, told: &OrderAccepted) -> Option<Answer> {
    let line = only(sku, &told.items).filter(|_| told.order_id == told.seq)?;
    Some(Answer { seq: told.seq.0, outcome: Outcome::Ordered { remaining: line.remaining } })
}

fn released(sku: &Sku, told: &HoldReleased) -> Option<Answer> {
    let line = only(sku, &told.items)?;
    let (hold, remaining) = (told.hold_id.0, line.remaining);
    let outcome = Outcome::Hold { hold, remaining, log_ms: None };
    Some(Answer { seq: told.seq.0, outcome })
}

/// The one item, when it is of this product.
fn only<'a>(sku: &Sku, items: &'a [LineView]) -> Option<&'a LineView> {
    match items {
        [line] if line.product_id == *sku => Some(line),
        _ => None,
    }
}

fn bought(asked: &PostBuy, answer: BuyAnswer) -> Heard {
    match answer {
        BuyAnswer::Accepted { order, replayed } => {
            if !is_of(&order, asked) {
                return unexpected(format!("asked for {asked:?}, got {order:?}"));
            }
            let outcome = Outcome::Ordered { remaining: order.remaining };
            let answer = Answer { seq: order.seq.0, outcome };
            Heard::Decided { answer, replayed, said: accepted("201", replayed) }
        }
        BuyAnswer::Refused { problem, .. } => refused(&problem),
        BuyAnswer::NotProposed { retry_after, why } => {
            Heard::NotProposed { retry_after, said: why.into() }
        }
        BuyAnswer::Unknown { why } => Heard::Unknown { said: why.into() },
    }
}

fn is_of(order: &BuyAccepted, asked: &PostBuy) -> bool {
    order.product_id == asked.product_id
        && order.user_id == asked.user_id
        && order.quantity == asked.quantity
        && order.order_id == order.seq
}

fn counts(answer: client::Answer<ProductView>, status: &'static str) -> Heard {
    match answer {
        client::Answer::Done { body, replayed } => {
            let said = accepted(status, replayed);
            Heard::Decided { answer: counts_of(&body), replayed, said }
        }
        client::Answer::Refused { problem } => refused(&problem),
        client::Answer::NotProposed { retry_after, why } => {
            Heard::NotProposed { retry_after, said: why.into() }
        }
        client::Answer::Unknown { why } => Heard::Unknown { said: why.into() },
    }
}

/// A read that got no answer has changed nothing, so it may count as not done.
fn read(reading: Reading<ProductView>) -> Heard {
    match reading {
        Reading::Done(view) => {
            Heard::Decided { answer: counts_of(&view), replayed: false, said: "200".into() }
        }
        Reading::Refused(problem) => refused(&problem),
        Reading::NotDone { why } => Heard::NotProposed { retry_after: None, said: why.into() },
        Reading::Foreign { why } => unexpected(why),
    }
}

fn counts_of(view: &ProductView) -> Answer {
    let ProductView { stocked, available, held, sold, .. } = *view;
    Answer { seq: view.seq.0, outcome: Outcome::Counts { stocked, available, held, sold } }
}

fn accepted(status: &'static str, replayed: bool) -> Said {
    match (status, replayed) {
        ("201", true) => "201 replayed".into(),
        ("200", true) => "200 replayed".into(),
        (status, _) => status.into(),
    }
}

fn refused(problem: &Problem) -> Heard {
    let name = problem.kind.rsplit('/').next().unwrap_or_default();
    let (reason, said) = match name {
        "sold-out" => (RefusedFor::SoldOut, "410 sold-out"),
        "insufficient" => (RefusedFor::Insufficient, "409 insufficient"),
        "limit-reached" => (RefusedFor::LimitReached, "409 limit-reached"),
        "unknown-product" => (RefusedFor::UnknownProduct, "404 unknown-product"),
        "unknown-hold" => (RefusedFor::UnknownHold, "404 unknown-hold"),
        "hold-expired" => (RefusedFor::HoldExpired, "410 hold-expired"),
        "hold-settled" => (RefusedFor::HoldSettled, "409 hold-settled"),
        "product-differs" => (RefusedFor::Differs, "409 product-differs"),
        "restock-out-of-range" => (RefusedFor::OutOfRange, "409 restock-out-of-range"),
        _ => return unexpected(format!("{} {name}: {}", problem.status, problem.detail)),
    };
    let Some(seq) = problem.seq else {
        return unexpected(format!("{said} without a seq"));
    };
    let outcome = Outcome::Refused { reason, remaining: problem.remaining };
    Heard::Decided { answer: Answer { seq: seq.0, outcome }, replayed: false, said: said.into() }
}

fn unexpected(said: String) -> Heard {
    Heard::Unexpected { said: said.into() }
}
