//! `flashctl order verify`: the nodes' copies of all orders, or one that somebody kept.

use super::order::print;
use super::{Exit, Failure, Global};
use client::storm::grouped;
use client::verify::{Beside, Compared, CopyError, KeptCopy, Misfit, Verified, VerifyError, Why};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every node's copy is checked for itself and against the others. A kept copy (--file) is checked for
itself, and order by order against the cluster. It may end earlier, and orders may have been
cancelled since: both are told.

Receipts cover what was ordered, by whom, when, and which orders came before. They do not cover
whether an order was cancelled (the copies are compared in that too), nor products, holds or orders
that come after. They have no key: whoever alters a copy can make receipts that fit it, so that
--offline finds damage, and not fraud.

Examples:
  flashctl order verify
  flashctl order verify --node 2
  flashctl order verify --file state.jsonl             a copy by `export --out state.jsonl`
  flashctl order verify --file copy.json               or by `order list --all --json`
  flashctl order verify --file copy.json --offline     without asking the cluster

Exits with 4 when an order does not fit.")]
pub(crate) struct Args {
    /// Only the K-th of --nodes
    #[arg(long, value_name = "K", conflicts_with = "file")]
    node: Option<usize>,
    /// A copy of all orders, as `export` or `order list --all --json` prints it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Check the copy for itself alone: not whether it is this cluster's, nor what is missing at
    /// its end, nor what it has as cancelled
    #[arg(long, requires = "file")]
    offline: bool,
}

pub(super) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let Some(file) = &args.file else { return nodes(args.node, global).await };
    let unreadable = |why| unreadable(file, &why);
    let copy = KeptCopy::open(file).map_err(unreadable)?;
    let name = |_| file.display().to_string();
    if args.offline {
        return Ok(match copy.verify_alone().map_err(unreadable)? {
            Verified::Sound { orders, receipt } => {
                let document = json!({
                    "verdict": "ok", "orders": orders, "receipt": receipt, "compared": false,
                });
                let text = format!(
                    "{} orders fit one another; the last receipt is {receipt}\n\
                     not compared with the cluster: whether they are its orders, whether more \
                     followed, and which\nwere cancelled is not known\n",
                    grouped(orders)
                );
                print(global, &document, || text);
                Exit::Ok
            }
            Verified::Misfit(found) => misfit(global, &found, name),
        });
    }
    match global.client()?.verify_copy(copy).await {
        Ok(Compared::Same(beside)) => {
            let Beside { orders, receipt, of, cancelled_since } = beside;
            let document = json!({
                "verdict": "ok", "orders": orders, "receipt": receipt, "compared": true,
                "of": of, "cancelled_since": cancelled_since,
            });
            print(global, &document, || in_words(&beside));
            Ok(Exit::Ok)
        }
        Ok(Compared::Differs(found)) => Ok(misfit(global, &found, name)),
        Err(VerifyError::Copy(why)) => Err(unreadable(why)),
        Err(VerifyError::Client(error)) => Err(error.into()),
    }
}

async fn nodes(only: Option<usize>, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let nodes: Vec<usize> = match only {
        Some(k) => vec![super::product::position(k, client.nodes_count())?],
        None => (0..client.nodes_count()).collect(),
    };
    Ok(match client.verify(&nodes).await? {
        Verified::Sound { orders, receipt } => {
            let document = json!({"verdict": "ok", "orders": orders, "receipt": receipt});
            print(global, &document, || {
                format!("{} orders fit; the last receipt is {receipt}\n", grouped(orders))
            });
            Exit::Ok
        }
        Verified::Misfit(found) => misfit(global, &found, |node| client.address(node).to_owned()),
    })
}

fn unreadable(file: &Path, why: &CopyError) -> Failure {
    Failure::Usage(format!("{}: {why}", file.display()))
}

fn in_words(beside: &Beside) -> String {
    let Beside { orders, receipt, of, cancelled_since } = beside;
    let mut text = format!("{} orders fit; the last receipt is {receipt}\n", grouped(*orders));
    // Writing to a String cannot fail.
    if orders < of {
        let (orders, of) = (grouped(*orders), grouped(*of));
        let _ = writeln!(text, "a copy of the first {orders} of {of} orders");
    }
    if *cancelled_since > 0 {
        let count = grouped(*cancelled_since);
        let _ = writeln!(text, "cancelled in the cluster, and not in the copy: {count}");
    }
    text
}

/// Prints the first order that does not fit; `of` names whose copy it is in.
fn misfit(global: &Global, found: &Misfit, of: impl Fn(usize) -> String) -> Exit {
    let Misfit { node, order, place, why } = found;
    let copy = node.map(&of);
    let other = match why {
        Why::Copies { other } | Why::Missing { other } | Why::Cancels { other } => Some(of(*other)),
        Why::Receipt { .. }
        | Why::Place { .. }
        | Why::Order
        | Why::Another { .. }
        | Why::Beyond
        | Why::Left { .. }
        | Why::Mark => None,
    };
    let document = json!({
        "verdict": "misfit", "order_id": order, "place": place, "why": why.to_string(),
        "node": copy, "other": other,
    });
    let mut text = format!("order {order}, in place {place}, does not fit");
    let _ = match (&copy, &other) {
        (Some(copy), Some(other)) => write!(text, " ({copy}, {other})"),
        (Some(copy), None) => write!(text, " ({copy})"),
        _ => Ok(()),
    };
    print(global, &document, || format!("{text}: {why}\n"));
    Exit::Violated
}
