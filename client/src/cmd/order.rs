//! `flashctl order`: show, list, explain and cancel orders; `verify` has a file of its own.

use super::hold::{Request, seq, show};
use super::{Exit, Failure, Global, verify};
use crate::out;
use client::Client;
use client::storm::grouped;
use std::fmt::Write as _;
use stock::api::{LineView, OrderCancelled, OrderList, OrderView, Timestamp};
use stock::{RequestId, Seq, Sku, UserId};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show one order
    #[command(after_help = "Example: flashctl order get 731")]
    Get {
        /// The order's id
        #[arg(value_parser = seq)]
        id: Seq,
    },
    /// List orders, oldest first: all, or a user's
    #[command(after_help = "\
Examples:
  flashctl order list --user alice
  flashctl order list --all --json > copy.json     a copy that `order verify` can check")]
    List {
        /// Only this user's
        #[arg(long)]
        user: Option<UserId>,
        /// Begin after this order
        #[arg(long, value_name = "ID", default_value = "0", value_parser = seq)]
        after: Seq,
        /// Every page, not only the next
        #[arg(long)]
        all: bool,
    },
    /// Say what became of a request, and why
    #[command(after_help = "Example: flashctl order explain --user alice --request-id order-4711")]
    Explain {
        /// Whose request
        #[arg(long)]
        user: UserId,
        /// The id of the request
        #[arg(long, value_name = "ID")]
        request_id: RequestId,
        /// The product, to hear since when it is sold out
        #[arg(long)]
        product: Option<Sku>,
    },
    /// Give an order's units back; the order stays, marked
    #[command(after_help = "Example: flashctl order cancel 731 --user alice")]
    Cancel {
        /// The order's id
        #[arg(value_parser = seq)]
        id: Seq,
        /// Whose order it is; without it the operator cancels it
        #[arg(long)]
        user: Option<UserId>,
        #[command(flatten)]
        request: Request,
    },
    /// Recompute all receipts, compare the copies, and name the first order that does not fit
    Verify(verify::Args),
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.command {
        Command::Get { id } => {
            let order = global.client()?.order(*id).await?;
            print(global, &order, || in_words(&order));
            Ok(Exit::Ok)
        }
        Command::List { user, after, all } => {
            let list = list(&global.client()?, user.as_ref(), *after, *all).await?;
            print(global, &list, || list_in_words(&list));
            Ok(Exit::Ok)
        }
        Command::Explain { user, request_id, product } => {
            let client = global.client()?;
            let explanation = client.explain(user, request_id, product.as_ref()).await?;
            print(global, &explanation, || format!("{}\n", explanation.text));
            Ok(Exit::Ok)
        }
        Command::Cancel { id, user, request } => {
            let request = request.id();
            let settled = global.client()?.cancel(*id, user.as_ref(), &request).await;
            show(global, &request, settled, |back: &OrderCancelled| {
                format!("cancelled: {} from order {}", lines(&back.items), back.order_id)
            })
        }
        Command::Verify(args) => verify::run(args, global).await,
    }
}

pub(super) fn print<T: serde::Serialize>(
    global: &Global,
    value: &T,
    in_words: impl FnOnce() -> String,
) {
    if global.json {
        out::json(value);
    } else {
        out::text(&in_words());
    }
}

async fn list(
    client: &Client,
    user: Option<&UserId>,
    after: Seq,
    all: bool,
) -> Result<OrderList, Failure> {
    let mut list = page(client, user, after).await?;
    while let Some(after) = list.next_after.filter(|_| all) {
        let next = page(client, user, after).await?;
        list.orders.extend(next.orders);
        (list.next_after, list.seq) = (next.next_after, next.seq);
    }
    Ok(list)
}

async fn page(client: &Client, user: Option<&UserId>, after: Seq) -> Result<OrderList, Failure> {
    Ok(match user {
        Some(user) => client.orders_of(user, after).await?,
        None => client.orders_after(after).await?,
    })
}

/// `2 x tee, 1 x cap`.
pub(super) fn lines(lines: &[LineView]) -> String {
    let each = lines.iter().map(|line| format!("{} x {}", line.quantity, line.product_id));
    each.collect::<Vec<_>>().join(", ")
}

fn in_words(order: &OrderView) -> String {
    let OrderView { order_id, user_id, request_id, items, hold_id, place, receipt, .. } = order;
    let from = hold_id.map_or(String::new(), |hold| format!(", from hold {hold}"));
    let cancelled = if order.cancelled { " (cancelled)" } else { "" };
    let at = Timestamp::from_ms(order.at_ms).map_or_else(|_| "?".into(), |at| at.to_string());
    format!(
        "order {order_id}{cancelled}: {} for {user_id}{from}\n  the {} of all, at {at}, request \
         {request_id}\n  receipt {receipt}\n",
        lines(items),
        ordinal(*place),
    )
}

fn ordinal(place: u64) -> String {
    let ending = match (place % 10, place % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{}{ending}", grouped(place))
}

fn list_in_words(list: &OrderList) -> String {
    let mut text = String::new();
    for order in &list.orders {
        let cancelled = if order.cancelled { "  cancelled" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>10}  {}  {}  {}{cancelled}",
            order.order_id,
            order.receipt,
            order.user_id,
            lines(&order.items),
        );
    }
    let _ = match (&list.orders[..], list.next_after) {
        ([], None) => writeln!(text, "no orders (seq {})", list.seq),
        (_, Some(after)) => writeln!(text, "more with --after {after}, or all with --all"),
        _ => Ok(()),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_aloud() {
        for (place, text) in [
            (1, "1st"),
            (2, "2nd"),
            (3, "3rd"),
            (4, "4th"),
            (11, "11th"),
            (112, "112th"),
            (1_021, "1,021st"),
        ] {
            assert_eq!(ordinal(place), text);
        }
    }
}
