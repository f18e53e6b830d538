//! `flashctl ready`: whether nodes say that they are ready to serve; for probes and scripts.

use super::{Exit, Failure, Global};
use crate::out;
use client::ClientError;
use client::health::Readiness;
use futures_util::future::join_all;
use serde_json::json;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl ready --nodes 127.0.0.1:8101

Exits with 3 unless each node answers that it is ready.")]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let asked = (0..client.nodes_count()).map(|node| client.readiness(node));
    let answers: Vec<Result<Readiness, ClientError>> = join_all(asked).await;
    let all_are = answers.iter().all(|answer| answer.as_ref().is_ok_and(|node| node.ready));
    if global.json {
        let answers = answers.iter().enumerate().map(|(node, answer)| match answer {
            Ok(readiness) => json!(readiness),
            Err(_) => json!({
                "address": client.address(node),
                "ready": false,
                "reason": in_words(answer),
            }),
        });
        out::json(&answers.collect::<Vec<_>>());
    } else {
        let lines: Vec<String> = answers.iter().map(in_words).collect();
        out::text(&format!("{}\n", lines.join("\n")));
    }
    Ok(if all_are { Exit::Ok } else { Exit::Unavailable })
}

fn in_words(answer: &Result<Readiness, ClientError>) -> String {
    match answer {
        Ok(Readiness { node, reason: None, .. }) => format!("node {node} is ready"),
        Ok(Readiness { node, reason: Some(why), .. }) => format!("node {node} is not ready: {why}"),
        Err(ClientError::Unavailable { why }) => format!("no answer from {why}"),
        Err(error) => error.to_string(),
    }
}
