//! `flashctl hold`, `confirm` and `release`: the life of a hold.

use super::{Exit, Failure, Global};
use crate::cmd::terms;
use crate::out;
use client::{Settled, new_request_id};
use serde::Serialize;
use stock::api::{HoldAccepted, HoldReleased, ItemView, OrderAccepted, PostHold};
use stock::{HoldTtl, Quantity, RequestId, Seq, Sku, UserId};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl hold sneaker --user alice
  flashctl hold sneaker=2 tee --user alice --ttl 90s     several products, all or none")]
pub(crate) struct Args {
    /// Products, each with how many units if not 1: sneaker, or sneaker=2
    #[arg(required = true, value_name = "PRODUCT[=UNITS]", value_parser = item)]
    items: Vec<ItemView>,
    /// For whom
    #[arg(long)]
    user: UserId,
    /// For how long, such as 90s or 10m [default: as the products say]
    #[arg(long, value_name = "TIME", value_parser = terms::hold_ttl)]
    ttl: Option<HoldTtl>,
    #[command(flatten)]
    request: Request,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: flashctl confirm 731 --user alice")]
pub(crate) struct ConfirmArgs {
    /// The hold's id
    #[arg(value_parser = seq)]
    hold: Seq,
    /// Whose hold it is
    #[arg(long)]
    user: UserId,
    #[command(flatten)]
    request: Request,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: flashctl release 731 --user alice")]
pub(crate) struct ReleaseArgs {
    /// The hold's id
    #[arg(value_parser = seq)]
    hold: Seq,
    /// Whose hold it is; without it the operator releases it
    #[arg(long)]
    user: Option<UserId>,
    #[command(flatten)]
    request: Request,
}

/// The identity of a request.
#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// The id of this request; the same id never does it twice [default: a fresh UUIDv7]
    #[arg(long, value_name = "ID")]
    request_id: Option<RequestId>,
}

impl Request {
    pub(super) fn id(&self) -> RequestId {
        self.request_id.clone().unwrap_or_else(new_request_id)
    }
}

/// Reads the number of a change.
pub(super) fn seq(text: &str) -> Result<Seq, String> {
    text.parse().map(Seq).map_err(|_| "it is a whole number from 1".to_owned())
}

/// Reads a product and its units.
pub(super) fn item(text: &str) -> Result<ItemView, String> {
    let (product, units) = text.split_once('=').unwrap_or((text, "1"));
    let product_id = Sku::new(product).map_err(|why| why.to_string())?;
    let quantity: Quantity = super::product::quantity(units)?;
    Ok(ItemView { product_id, quantity })
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let Args { items, user, ttl, request } = args;
    let request = request.id();
    let hold = match &items[..] {
        [ItemView { product_id, quantity }] => {
            PostHold::one(product_id.clone(), *quantity, user.clone())
        }
        several => PostHold::several(several.to_vec(), user.clone()),
    };
    let hold = PostHold { ttl_ms: *ttl, ..hold };
    let settled = global.client()?.hold(&hold, &request).await;
    show(global, &request, settled, |held: &HoldAccepted| {
        let HoldAccepted { hold_id, items, expires_at, .. } = held;
        let things = super::order::lines(items);
        format!("held until {expires_at}: hold {hold_id} for {things}")
    })
}

pub(crate) async fn confirm(args: &ConfirmArgs, global: &Global) -> Result<Exit, Failure> {
    let request = args.request.id();
    let settled = global.client()?.confirm(args.hold, &args.user, &request).await;
    show(global, &request, settled, |order: &OrderAccepted| {
        format!("sold: order {} for {}", order.order_id, super::order::lines(&order.items))
    })
}

pub(crate) async fn release(args: &ReleaseArgs, global: &Global) -> Result<Exit, Failure> {
    let request = args.request.id();
    let settled = global.client()?.release(args.hold, args.user.as_ref(), &request).await;
    show(global, &request, settled, |freed: &HoldReleased| {
        let things = super::order::lines(&freed.items);
        format!("released: {things} from hold {}", freed.hold_id)
    })
}

/// Prints what a command came to; refused and unknown ones are failures.
pub(super) fn show<T: Serialize>(
    global: &Global,
    request: &RequestId,
    settled: Settled<T>,
    in_words: impl FnOnce(&T) -> String,
) -> Result<Exit, Failure> {
    let number = settled.attempt_number;
    let body = settled.done("send the same again with this --request-id").inspect_err(|error| {
        if error.is_unavailable() && !global.json {
            eprintln!("flashctl: request {request}, attempt {number}");
        }
    })?;
    if global.json {
        out::json(&body);
    } else {
        out::text(&format!("{}\n", in_words(&body)));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_name_their_units() {
        for (text, product, units) in [("tee", "tee", 1), ("tee=2", "tee", 2), ("a:b=9", "a:b", 9)]
        {
            let read = item(text).unwrap();
            assert_eq!((read.product_id.as_str(), read.quantity.get()), (product, units));
        }
        for text in ["", "=1", "tee=", "tee=0", "tee=x", "a b", "tee=1=2"] {
            assert!(item(text).is_err(), "{text}");
        }
    }
}
