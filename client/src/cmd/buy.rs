//! `flashctl buy`: one buy, from its first attempt to its settling.

use super::{Exit, Failure, Global};
use crate::out;
use client::{BuyAnswer, BuyOutcome, Client, new_request_id};
use serde_json::json;
use stock::api::PostBuy;
use stock::{Quantity, RequestId, Sku, UserId};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl buy sneaker --user alice
  flashctl buy sneaker --user alice --quantity 2 --request-id order-4711
  flashctl buy sneaker --user alice --request-id order-4711 --attempt 2   settle an unknown one")]
pub(crate) struct Args {
    /// The product's id
    product: Sku,
    /// The buyer
    #[arg(long)]
    user: UserId,
    /// Units; all or none
    #[arg(long, default_value = "1", value_parser = super::product::quantity)]
    quantity: Quantity,
    /// The id of this request; the same id never buys twice [default: a fresh UUIDv7]
    #[arg(long, value_name = "ID")]
    request_id: Option<RequestId>,
    /// The first attempt's number; 2 or more settles a request that was unknown before
    #[arg(long, default_value_t = 1, requires = "request_id")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    attempt: u32,
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let Args { product, user, quantity, request_id, attempt } = args;
    let request = request_id.clone().unwrap_or_else(new_request_id);
    let buy = PostBuy { product_id: product.clone(), user_id: user.clone(), quantity: *quantity };
    let outcome = client.buy_from_attempt(&buy, &request, *attempt).await;
    if global.json {
        out::json(&as_json(&client, &request, &outcome));
    } else {
        out::text(&in_words(&client, &request, &outcome));
    }
    Ok(match outcome.answer {
        BuyAnswer::Accepted { .. } => Exit::Ok,
        BuyAnswer::Refused { .. } => Exit::Failed,
        BuyAnswer::NotProposed { .. } | BuyAnswer::Unknown { .. } => Exit::Unavailable,
    })
}

fn as_json(client: &Client, request: &RequestId, outcome: &BuyOutcome) -> serde_json::Value {
    let (name, details) = match &outcome.answer {
        BuyAnswer::Accepted { order, replayed } => {
            ("accepted", json!({"order": order, "replayed": replayed}))
        }
        BuyAnswer::Refused { problem, kind } => {
            ("refused", json!({"kind": kind.name(), "problem": problem}))
        }
        BuyAnswer::NotProposed { why, .. } => ("not_proposed", json!({"why": why})),
        BuyAnswer::Unknown { why } => ("unknown", json!({"why": why})),
    };
    let mut answer = json!({
        "outcome": name,
        "request_id": request,
        "attempts": outcome.attempts,
        "attempt_number": outcome.attempt_number,
        "node": client.address(outcome.node),
    });
    if let (Some(answer), Some(details)) = (answer.as_object_mut(), details.as_object()) {
        answer.extend(details.clone());
    }
    answer
}

fn in_words(client: &Client, request: &RequestId, outcome: &BuyOutcome) -> String {
    let node = client.address(outcome.node);
    let attempts = match outcome.attempts {
        1 => String::new(),
        attempts => format!(" after {attempts} attempts"),
    };
    match &outcome.answer {
        BuyAnswer::Accepted { order, replayed } => {
            let before = if *replayed { " (it was won by an earlier attempt)" } else { "" };
            format!(
                "accepted{attempts}: order {} for {} x {}, {} left{before}\n  request {request}, \
                 answered by node {} ({node})\n",
                order.order_id, order.quantity, order.product_id, order.remaining, order.node
            )
        }
        BuyAnswer::Refused { problem, .. } => {
            format!("refused{attempts}: {}: {}\n", problem.title, problem.detail)
        }
        BuyAnswer::NotProposed { why, .. } => format!(
            "nobody could decide in time{attempts}, and nothing was bought ({node}: {why})\n  \
             look at `flashctl status`, then try again\n"
        ),
        BuyAnswer::Unknown { why } => format!(
            "the outcome is unknown{attempts} ({node}: {why})\n  settle it with the same buy and \
             --request-id {request} --attempt {}\n",
            outcome.attempt_number.saturating_add(1)
        ),
    }
}
