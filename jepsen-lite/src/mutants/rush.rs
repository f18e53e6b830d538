//! More buyers than units, all at once: a "sold out" that speaks of the state after change `s`
//! is true only if the orders up to `s` took every unit.

use super::stage::{Stage, broken, buy, put, sku};
use super::{Nodes, Stop};
use client::cluster::ClusterError;
use client::{BuyAnswer, RefusedKind, new_request_id};
use std::sync::Arc;
use stock::Seq;
use stock::api::Problem;

/// Products of one scene, sold out one after the other.
const PRODUCTS: u32 = 10;
const UNITS: u64 = 20;
const BUYERS: u32 = 60;

/// What one buyer was told.
enum Told {
    Yes(Seq),
    SoldOut(Seq),
}

pub(super) async fn play(nodes: &Nodes) -> Result<(), Stop> {
    let mut stage = Stage::open(nodes, &[]).await?;
    for number in 0..PRODUCTS {
        let sku = sku(&format!("rush-{number}"));
        put(&stage.client, &sku, UNITS).await?;
        let buyers = (0..BUYERS).map(|buyer| {
            let client = Arc::clone(&stage.client);
            let buy = buy(&sku, &format!("rush-{number}-{buyer}"));
            tokio::spawn(async move {
                let node = buyer as usize % client.nodes_count();
                told(client.buy_once(node, &buy, &new_request_id(), 1).await)
            })
        });
        // All are on their way before the first answer is waited for.
        let buyers: Vec<_> = buyers.collect();
        let mut answers = Vec::new();
        for buyer in buyers {
            answers.extend(buyer.await.ok().flatten());
        }
        let after = stage.client.product(&sku).await.map_err(ClusterError::from)?;
        judge(&answers, after.sold, after.available)?;
    }
    stage.agrees().await
}

fn told(answer: BuyAnswer) -> Option<Told> {
    match answer {
        BuyAnswer::Accepted { order, .. } => Some(Told::Yes(order.seq)),
        BuyAnswer::Refused {
            kind: RefusedKind::SoldOut,
            problem: Problem { seq: Some(seq), .. },
        } => Some(Told::SoldOut(seq)),
        _ => None,
    }
}

fn judge(answers: &[Told], sold: u64, available: u64) -> Result<(), Stop> {
    let yeses = |answer: &Told| if let Told::Yes(seq) = answer { Some(*seq) } else { None };
    let last_sold = answers.iter().filter_map(yeses).max();
    for answer in answers {
        let Told::SoldOut(seq) = answer else { continue };
        let rule = "sold out means sold out";
        if available > 0 {
            let found = format!("a buyer was told sold out, but {available} units were never sold");
            return Err(broken("ledger", rule, found));
        }
        if last_sold.is_some_and(|last| *seq < last) {
            let found = format!(
                "a buyer was told sold out as of change {seq}, but units were sold up to change {} \
                 ({sold} in all)",
                last_sold.unwrap_or_default()
            );
            return Err(broken("ledger", rule, found));
        }
    }
    Ok(())
}
