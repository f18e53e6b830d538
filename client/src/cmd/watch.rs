//! `flashctl watch`: the committed changes as they happen, a line each.

use super::{Exit, Failure, Global, interrupted};
use crate::out::{self, Paint};
use client::storm::grouped;
use stock::Seq;
use stock::api::{ChangeView, EventView, LineView, Timestamp};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl watch                          every change from now on
  flashctl watch --product sneaker        those of one product
  flashctl watch --after 0 --json         all there ever were, a JSON object a line
  flashctl watch --levels                 what is left of each product, whenever that changes

Goes on with another node when one dies, without a gap and without a repeat. Ends with Ctrl-C.")]
pub(crate) struct Args {
    /// Begin after this change; 0 is before the first [default: the newest]
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Only the changes of this product
    #[arg(long, value_name = "ID")]
    product: Option<stock::Sku>,
    /// Only what is left of each product, at most ten times a second
    #[arg(long, conflicts_with = "after")]
    levels: bool,
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if args.levels {
        return levels(args, global).await;
    }
    let client = global.client()?;
    let mut events = client.events(args.after.map(Seq));
    // One for all changes: a signal that comes between two of them must not be missed.
    let mut ended = std::pin::pin!(ended());
    let paint = Paint::stdout();
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            () = &mut ended => return Ok(Exit::Ok),
        };
        if args.product.as_ref().is_some_and(|product| !concerns(&event.change, product)) {
            continue;
        }
        let line = if global.json { json(&event) } else { in_words(&event, paint) };
        if !out::line(&line) {
            return Ok(Exit::Ok);
        }
    }
}

async fn levels(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let mut levels = client.levels();
    let mut ended = std::pin::pin!(ended());
    loop {
        let level = tokio::select! {
            level = levels.next() => level?,
            () = &mut ended => return Ok(Exit::Ok),
        };
        if args.product.as_ref().is_some_and(|product| *product != level.product_id) {
            continue;
        }
        let line = if global.json {
            json(&level)
        } else {
            format!("{:>10}  {}", grouped(level.stock), level.product_id)
        };
        if !out::line(&line) {
            return Ok(Exit::Ok);
        }
    }
}

/// Returns when the user has seen enough: asks it to end, or reads no further (`| head -1`), which
/// the next line would find out only when there is one.
async fn ended() {
    tokio::select! {
        () = interrupted() => {}
        () = out::unread() => {}
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|error| unreachable!("our own types are always JSON: {error}"))
}

fn concerns(change: &ChangeView, product: &stock::Sku) -> bool {
    match change {
        ChangeView::ProductCreated { product_id, .. }
        | ChangeView::ProductUpdated { product_id, .. }
        | ChangeView::Restocked { product_id, .. } => product_id == product,
        ChangeView::Ordered { items, .. }
        | ChangeView::Held { items, .. }
        | ChangeView::Released { items, .. }
        | ChangeView::Expired { items, .. }
        | ChangeView::Cancelled { items, .. } => {
            items.iter().any(|line| line.product_id == *product)
        }
    }
}

fn in_words(event: &EventView, paint: Paint) -> String {
    let what = match &event.change {
        ChangeView::ProductCreated { product_id, terms } => {
            format!("{product_id} is on sale: {} units", terms.stock)
        }
        ChangeView::ProductUpdated { product_id, .. } => format!("{product_id} has other terms"),
        ChangeView::Restocked { product_id, quantity, remaining } => {
            format!("{product_id} restocked by {quantity}: {remaining} left")
        }
        ChangeView::Ordered { user_id, items, hold_id: None, .. } => {
            format!("{user_id} bought {}", listed(items))
        }
        ChangeView::Ordered { user_id, items, hold_id: Some(hold), .. } => {
            format!("{user_id} bought {}, held as {hold}", listed(items))
        }
        ChangeView::Held { user_id, expires_at, items, .. } => {
            format!("{user_id} holds {} until {}", listed(items), instant(*expires_at))
        }
        ChangeView::Released { hold_id, items, .. } => {
            format!("hold {hold_id} was given up: {}", listed(items))
        }
        ChangeView::Expired { hold_id, items, .. } => {
            format!("hold {hold_id} expired: {}", listed(items))
        }
        ChangeView::Cancelled { order_id, items, .. } => {
            format!("order {order_id} was cancelled: {}", listed(items))
        }
    };
    let time = instant(Timestamp::at_most(event.at_ms));
    format!("{:>8}  {}  {what}", event.seq, paint.dim(&time))
}

fn listed(items: &[LineView]) -> String {
    let item = |line: &LineView| {
        format!("{} x {} ({} left)", line.quantity, line.product_id, line.remaining)
    };
    items.iter().map(item).collect::<Vec<_>>().join(", ")
}

fn instant(at: Timestamp) -> String {
    at.to_string()
}
