//! `flashctl product`: put on sale, change, show, list, restock.

use super::hold::{Request, show};
use super::terms::{Terms, Without};
use super::{Exit, Failure, Global};
use crate::out;
use client::Client;
use client::storm::grouped;
use std::fmt::Write as _;
use stock::api::ProductView;
use stock::{Quantity, Seq, Sku};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Put a product on sale; the same again changes nothing
    #[command(after_help = "Example: flashctl product create sneaker --stock 10000 --limit 2")]
    Create {
        /// Its id: 1 to 64 of A-Z a-z 0-9 . _ - :
        #[arg(value_parser = super::in_url::<Sku>)]
        id: Sku,
        /// Units on sale
        #[arg(long, allow_negative_numbers = true)]
        stock: u64,
        #[command(flatten)]
        terms: Terms,
    },
    /// Change a product's terms; what is not named stays
    #[command(after_help = "\
Examples:
  flashctl product update sneaker --limit 1 --ends-at 2026-11-27T20:00:00Z
  flashctl product update sneaker --without start,limit    open it at once, for all
  flashctl product update sneaker --without hold-ttl       holds last ten minutes again")]
    Update {
        /// The product's id
        #[arg(value_parser = super::in_url::<Sku>)]
        id: Sku,
        #[command(flatten)]
        terms: Terms,
        /// What to take away
        #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT,…")]
        without: Vec<Without>,
        /// Only if this is still its version, as the ETag of its answers has it
        #[arg(long, value_name = "VERSION", value_parser = super::hold::seq)]
        if_match: Option<Seq>,
        #[command(flatten)]
        request: Request,
    },
    /// List all products
    #[command(after_help = "Example: flashctl product list")]
    List,
    /// Show a product's counts
    #[command(after_help = "Example: flashctl product show sneaker")]
    Show {
        /// The product's id
        #[arg(value_parser = super::in_url::<Sku>)]
        id: Sku,
        /// Ask only the K-th of --nodes for what it has applied; answers even without a quorum
        #[arg(long, value_name = "K")]
        stale: Option<usize>,
    },
    /// Add units, or (negative) take back units that are still available
    #[command(after_help = "Example: flashctl product restock sneaker -100")]
    Restock {
        /// The product's id
        #[arg(value_parser = super::in_url::<Sku>)]
        id: Sku,
        /// Units to add; negative takes back
        #[arg(allow_negative_numbers = true)]
        quantity: i64,
        #[command(flatten)]
        request: Request,
    },
}

/// Reads a number of units.
pub(super) fn quantity(text: &str) -> Result<Quantity, String> {
    let units: u64 = text.parse().map_err(|_| "use 1 to 1000000".to_owned())?;
    Quantity::new(units).map_err(|error| error.to_string())
}

/// The position of the K-th node.
pub(super) fn position(k: usize, nodes_count: usize) -> Result<usize, Failure> {
    if (1..=nodes_count).contains(&k) {
        Ok(k - 1)
    } else {
        Err(Failure::Usage(format!("there is no node {k}; --nodes lists {nodes_count}")))
    }
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let counts = |product: &ProductView| in_words(product).trim_end().to_owned();
    let product = match &args.command {
        Command::Create { id, stock, terms } => {
            let name = terms.name.clone().unwrap_or_else(|| id.to_string());
            client.create_product(id, &terms.put(name, *stock)).await?
        }
        Command::Update { id, terms, without, if_match, request } => {
            let (patch, request) = (terms.patch(without)?, request.id());
            let settled = client.update_product((id, &patch), *if_match, &request).await;
            return show(global, &request, settled, counts);
        }
        Command::List => return list(&client, global).await,
        Command::Show { id, stale: None } => client.product(id).await?,
        Command::Show { id, stale: Some(k) } => {
            client.product_stale(position(*k, client.nodes_count())?, id).await?
        }
        Command::Restock { quantity: 0, .. } => {
            return Err(Failure::Usage("a restock of 0 units is none".into()));
        }
        Command::Restock { id, quantity, request } => {
            let request = request.id();
            let settled = client.restock((id, *quantity), &request).await;
            return show(global, &request, settled, counts);
        }
    };
    if global.json {
        out::json(&product);
    } else {
        out::text(&in_words(&product));
    }
    Ok(Exit::Ok)
}

async fn list(client: &Client, global: &Global) -> Result<Exit, Failure> {
    let mut list = client.products_after(None).await?;
    while let Some(after) = list.next_after.take() {
        let next = client.products_after(Some(&after)).await?;
        list.products.extend(next.products);
        (list.next_after, list.seq) = (next.next_after, next.seq);
    }
    if global.json {
        out::json(&list);
    } else if list.products.is_empty() {
        out::text("no products\n");
    } else {
        out::text(&list.products.iter().map(in_words).collect::<String>());
    }
    Ok(Exit::Ok)
}

fn in_words(product: &ProductView) -> String {
    let ProductView { id, stocked, available, held, sold, per_user_limit, seq, .. } = product;
    let name = out::shown(&product.name);
    let mut text = format!(
        "{id} \"{name}\": {} available, {} held, {} sold of {} stocked",
        grouped(*available),
        grouped(*held),
        grouped(*sold),
        grouped(*stocked),
    );
    // Writing to a String cannot fail.
    if let (Some(price), Some(currency)) = (product.price, product.currency) {
        let _ = write!(text, ", price {price} in minor units of {currency}");
    }
    if let Some(limit) = per_user_limit {
        let _ = write!(text, ", at most {limit} a user");
    }
    if let Some(starts_at) = product.starts_at {
        let _ = write!(text, ", from {starts_at}");
    }
    if let Some(ends_at) = product.ends_at {
        let _ = write!(text, ", until {ends_at}");
    }
    let _ = writeln!(text, " (seq {seq})");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::{Product, Terms};

    #[test]
    fn a_name_turns_nothing_around() {
        let terms = Terms::plain(Sku::new("tee").unwrap(), "tee\u{202e}001\u{2066}", 5);
        let (stocked, available, held, sold, seq) = (5, 5, 0, 0, Seq(1));
        let product = Product { terms, stocked, available, held, sold, seq };
        let text = in_words(&ProductView::new(product, Seq(1)));
        assert!(text.starts_with(r#"tee "tee\u{202e}001\u{2066}": 5 available"#), "{text}");
    }
}
