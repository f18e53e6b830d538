//! `flashctl product`: put on sale, show, restock.

use super::{Exit, Failure, Global};
use crate::out;
use client::storm::grouped;
use stock::api::{ProductView, PutProduct};
use stock::{Quantity, Sku};

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
        id: Sku,
        /// Units on sale
        #[arg(long)]
        stock: u64,
        /// Its name, for people; otherwise its id
        #[arg(long)]
        name: Option<String>,
        /// The most units that one user may buy
        #[arg(long, value_parser = quantity)]
        limit: Option<Quantity>,
    },
    /// Show a product's counts
    #[command(after_help = "Example: flashctl product show sneaker")]
    Show {
        /// The product's id
        id: Sku,
        /// Ask only the K-th of --nodes for what it has applied; answers even without a quorum
        #[arg(long, value_name = "K")]
        stale: Option<usize>,
    },
    /// Add units, or (negative) take back units that are still available
    #[command(after_help = "Example: flashctl product restock sneaker -100")]
    Restock {
        /// The product's id
        id: Sku,
        /// Units to add; negative takes back
        #[arg(allow_negative_numbers = true)]
        quantity: i64,
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
    let product = match &args.command {
        Command::Create { id, stock, name, limit } => {
            let name = name.clone().unwrap_or_else(|| id.to_string());
            let terms =
                PutProduct { name, stock: *stock, per_user_limit: *limit, ..PutProduct::default() };
            client.create_product(id, &terms).await?
        }
        Command::Show { id, stale: None } => client.product(id).await?,
        Command::Show { id, stale: Some(k) } => {
            client.product_stale(position(*k, client.nodes_count())?, id).await?
        }
        Command::Restock { quantity: 0, .. } => {
            return Err(Failure::Usage("a restock of 0 units is none".into()));
        }
        Command::Restock { id, quantity } => client.restock(id, *quantity).await?,
    };
    if global.json {
        out::json(&product);
    } else {
        out::text(&in_words(&product));
    }
    Ok(Exit::Ok)
}

fn in_words(product: &ProductView) -> String {
    let ProductView { id, name, stocked, available, held, sold, per_user_limit, seq, .. } = product;
    let limit = per_user_limit.map_or(String::new(), |limit| format!(", at most {limit} a user"));
    format!(
        "{id} \"{name}\": {} available, {} held, {} sold of {} stocked{limit} (seq {seq})\n",
        grouped(*available),
        grouped(*held),
        grouped(*sold),
        grouped(*stocked),
    )
}
