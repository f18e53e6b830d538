//! `flashctl ready`: whether nodes say that they are ready to serve; for probes and scripts.

use super::{Exit, Failure, Global};
use crate::out;
use client::health::Readiness;
use futures_util::future::join_all;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl ready --nodes 127.0.0.1:8101

Exits with 3 unless each node answers that it is ready.")]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let asked = (0..client.nodes_count()).map(|node| client.readiness(node));
    let readiness: Vec<Readiness> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let all_are = readiness.iter().all(|node| node.ready);
    if global.json {
        out::json(&readiness);
    } else {
        let lines: Vec<String> = readiness.iter().map(in_words).collect();
        out::text(&format!("{}\n", lines.join("\n")));
    }
    Ok(if all_are { Exit::Ok } else { Exit::Unavailable })
}

fn in_words(node: &Readiness) -> String {
    let id = node.node;
    match &node.reason {
        None => format!("node {id} is ready"),
        Some(why) => format!("node {id} is not ready: {why}"),
    }
}
