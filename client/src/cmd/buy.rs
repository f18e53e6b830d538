//! `flashctl buy`: one buy, or a basket of several products, from its first attempt to its
//! settling.

use super::hold::item;
use super::order::lines;
use super::{Exit, Failure, Global};
use crate::out;
use client::{Answer, BuyAnswer, BuyOutcome, Client, RefusedKind, Settled, new_request_id};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use stock::api::{BuyAccepted, ItemView, OrderAccepted, PostBasket, PostBuy};
use stock::{Quantity, RequestId, UserId};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl buy sneaker --user alice
  flashctl buy sneaker=2 tee --user alice                 a basket: all of it or nothing
  flashctl buy sneaker --user alice --quantity 2 --request-id order-4711
  flashctl buy sneaker --user alice --request-id order-4711 --attempt 2   settle an unknown one")]
pub(crate) struct Args {
    /// Products, each with how many units if not 1: sneaker, or sneaker=2
    #[arg(required = true, value_name = "PRODUCT[=UNITS]", value_parser = item)]
    items: Vec<ItemView>,
    /// The buyer
    #[arg(long)]
    user: UserId,
    /// Units of the one product; all or none [default: 1]
    #[arg(long, value_parser = super::product::quantity, allow_negative_numbers = true)]
    quantity: Option<Quantity>,
    /// The id of this request; the same id never buys twice [default: a fresh UUIDv7]
    #[arg(long, value_name = "ID")]
    request_id: Option<RequestId>,
    /// The first attempt's number; 2 or more settles a request that was unknown before
    #[arg(long, default_value_t = 1, requires = "request_id")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    attempt: u32,
}

/// Whoever is asked to wait for this long has met a rate limit or a full disk: the answer says so.
const LONG_WAIT: Duration = Duration::from_secs(2);

/// What was won.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Order {
    One(BuyAccepted),
    Basket(OrderAccepted),
}

impl Args {
    /// What to buy: `--quantity` is of the one product.
    fn items(&self) -> Result<Vec<ItemView>, Failure> {
        match (&self.items[..], self.quantity) {
            (items, None) => Ok(items.to_vec()),
            ([ItemView { product_id, quantity: Quantity::ONE }], Some(quantity)) => {
                Ok(vec![ItemView { product_id: product_id.clone(), quantity }])
            }
            _ => {
                let why = "--quantity is of one product; write PRODUCT=UNITS for each";
                Err(Failure::Usage(why.into()))
            }
        }
    }
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let items = args.items()?;
    let Args { user, request_id, attempt, .. } = args;
    let request = request_id.clone().unwrap_or_else(new_request_id);
    let user_id = user.clone();
    let settled = if let [ItemView { product_id, quantity }] = &items[..] {
        let (product_id, quantity) = (product_id.clone(), *quantity);
        let buy = PostBuy { product_id, user_id, quantity };
        of_one(client.buy_from_attempt(&buy, &request, *attempt).await)
    } else {
        let basket = PostBasket { items, user_id };
        let settled = client.buy_basket_from_attempt(&basket, &request, *attempt).await;
        settled.map(Order::Basket)
    };
    if global.json {
        out::json(&as_json(&client, &request, &settled));
    } else {
        out::text(&in_words(&client, &request, &settled));
    }
    Ok(match settled.answer {
        Answer::Done { .. } => Exit::Ok,
        Answer::Refused { .. } => Exit::Failed,
        Answer::NotProposed { .. } | Answer::Unknown { .. } => Exit::Unavailable,
    })
}

fn of_one(outcome: BuyOutcome) -> Settled<Order> {
    let BuyOutcome { answer, attempts, attempt_number, node, sent_at, answered_at } = outcome;
    let answer = match answer {
        BuyAnswer::Accepted { order, replayed } => {
            Answer::Done { body: Order::One(order), replayed }
        }
        BuyAnswer::Refused { problem, .. } => Answer::Refused { problem },
        BuyAnswer::NotProposed { retry_after, why } => Answer::NotProposed { retry_after, why },
        BuyAnswer::Unknown { why } => Answer::Unknown { why },
    };
    Settled { answer, attempts, attempt_number, node, sent_at, answered_at }
}

fn as_json(client: &Client, request: &RequestId, settled: &Settled<Order>) -> serde_json::Value {
    let (name, details) = match &settled.answer {
        Answer::Done { body, replayed } => {
            ("accepted", json!({"order": body, "replayed": replayed}))
        }
        Answer::Refused { problem } => {
            let kind = RefusedKind::of(problem).name();
            ("refused", json!({"kind": kind, "problem": problem}))
        }
        Answer::NotProposed { why, .. } => ("not_proposed", json!({"why": why})),
        Answer::Unknown { why } => ("unknown", json!({"why": why})),
    };
    let mut answer = json!({
        "outcome": name,
        "request_id": request,
        "attempts": settled.attempts,
        "attempt_number": settled.attempt_number,
        "node": client.address(settled.node),
    });
    if let (Some(answer), Some(details)) = (answer.as_object_mut(), details.as_object()) {
        answer.extend(details.clone());
    }
    answer
}

fn in_words(client: &Client, request: &RequestId, settled: &Settled<Order>) -> String {
    let node = client.address(settled.node);
    let attempts = match settled.attempts {
        1 => String::new(),
        attempts => format!(" after {attempts} attempts"),
    };
    match &settled.answer {
        Answer::Done { body, replayed } => {
            let before = if *replayed { " (it was won by an earlier attempt)" } else { "" };
            let (order, id) = match body {
                Order::One(order) => {
                    let BuyAccepted { order_id, quantity, product_id, remaining, .. } = order;
                    let what =
                        format!("order {order_id} for {quantity} x {product_id}, {remaining} left");
                    (what, order.node)
                }
                Order::Basket(order) => {
                    (format!("order {} for {}", order.order_id, lines(&order.items)), order.node)
                }
            };
            format!(
                "accepted{attempts}: {order}{before}\n  request {request}, answered by node {id} \
                 ({node})\n",
            )
        }
        Answer::Refused { problem } => {
            format!("refused{attempts}: {}: {}\n", problem.title, problem.detail)
        }
        Answer::NotProposed { why, retry_after: Some(wait) } if *wait >= LONG_WAIT => format!(
            "nothing was bought{attempts} ({node}: {why})\n  try again in {} s\n",
            wait.as_secs_f64().ceil()
        ),
        Answer::NotProposed { why, .. } => format!(
            "nobody could decide in time{attempts}, and nothing was bought ({node}: {why})\n  \
             look at `flashctl status`, then try again\n"
        ),
        Answer::Unknown { why } => format!(
            "the outcome is unknown{attempts} ({node}: {why})\n  settle it with the same buy and \
             --request-id {request} --attempt {}\n",
            settled.attempt_number.saturating_add(1)
        ),
    }
}
