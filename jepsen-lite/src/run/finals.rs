//! The end of a run, in peace: open operations are settled, everything is read once more.
//!
//! Owns: the last attempts of operations in doubt, the final reads, and the ledgers of all
//! replicas. Never does: judge them. Called by `evidence`.

use super::send::Heard;
use super::worker::{Left, Shared, attempt};
use super::{feed, open_holds};
use crate::cluster::Cluster;
use crate::recorder::{Asked, Lane, Open, ProductNo, Said};
use checker::flashnode::{Ended, FinalCounts, LedgerOrder, ReplicaLedger};
use client::once::Consistency;
use client::{Client, ClientError};
use std::fmt::Display;
use std::time::{Duration, Instant};
use stock::Seq;
use stock::api::{NodeView, OrderView};

/// How long the last attempts at one operation go on.
const SETTLE: Duration = Duration::from_secs(10);
/// How long the final reads go on, all together, of a cluster that is whole.
pub(super) const READ: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Settles what the workers left open and reads every product at every node; says what could not
/// be read in this time, if anything.
pub(super) async fn ask(
    shared: &Shared,
    left: &mut [Left],
    time: Duration,
) -> (Lane, Option<String>) {
    let mut lane = Lane::default();
    for worker in left.iter_mut() {
        for open in worker.open.drain(..) {
            settle(shared, &mut lane, open).await;
        }
    }
    let process = last_process(left) + 1;
    let until = Instant::now() + time;
    for node in 0..shared.client.nodes_count() {
        for product in (0..shared.shelf.products()).map(ProductNo) {
            let asker = (process + node as u32, node);
            while let Err(why) = read(shared, &mut lane, asker, product).await {
                if Instant::now() >= until {
                    let what = format!("{} at node {}: {why}", product.sku(), node + 1);
                    return (lane, Some(what));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    (lane, None)
}

/// A number that no worker and no final read uses.
pub(super) fn first_free_process(left: &[Left], client: &Client) -> u32 {
    last_process(left) + 1 + client.nodes_count() as u32
}

fn last_process(left: &[Left]) -> u32 {
    left.iter().map(|worker| worker.process).max().unwrap_or(0)
}

async fn settle(shared: &Shared, lane: &mut Lane, mut open: Open) {
    let until = Instant::now() + SETTLE;
    let mut number = open.last_attempt() + 1;
    let mut node = 0;
    while Instant::now() < until {
        match attempt(shared, &mut open, (node, number), None).await {
            Heard::Decided { answer, replayed, .. } => {
                return lane.complete(&shared.recorder, open, Ended::Decided { answer, replayed });
            }
            Heard::Unexpected { said } => {
                shared.board.unexpected(&said);
                break;
            }
            Heard::Unknown { .. } => number += 1,
            Heard::NotProposed { .. } => {}
        }
        tokio::time::sleep(PAUSE).await;
        node = (node + 1) % shared.client.nodes_count();
    }
    lane.leave_unknown(&shared.recorder, open);
}

/// One read, which is an operation whatever comes of it; or else what was said instead.
async fn read(
    shared: &Shared,
    lane: &mut Lane,
    (process, node): (u32, usize),
    product: ProductNo,
) -> Result<(), Said> {
    let mut open = shared.recorder.invoke(process, Asked::Read { product });
    match attempt(shared, &mut open, (node, 1), None).await {
        Heard::Decided { answer, replayed, .. } => {
            lane.complete(&shared.recorder, open, Ended::Decided { answer, replayed });
            Ok(())
        }
        Heard::Unexpected { said } => {
            shared.board.unexpected(&said);
            lane.complete(&shared.recorder, open, Ended::NotDone);
            Err(said)
        }
        Heard::NotProposed { said, .. } | Heard::Unknown { said } => {
            lane.complete(&shared.recorder, open, Ended::NotDone);
            Err(said)
        }
    }
}

/// What every replica holds, once all have applied the same; its open holds where `holds` says so.
///
/// # Errors
/// In words, when they do not become level, do not stay so while they are read, or one cannot be
/// read.
pub(super) async fn ledgers(
    cluster: &Cluster,
    (shared, holds): (&Shared, bool),
    deadline: Duration,
) -> Result<Vec<ReplicaLedger>, String> {
    let until = Instant::now() + deadline;
    let http = holds.then(feed::http).transpose().map_err(|error| error.to_string())?;
    loop {
        let views = level(cluster, until).await?;
        let mut replicas = Vec::with_capacity(views.len());
        for view in &views {
            let of_node = |why: &dyn Display| format!("node {}'s ledger: {why}", view.id);
            let mut replica = replica(shared, view).await.map_err(|error| of_node(&error))?;
            if let Some(http) = &http {
                let address = shared.client.address(view.id.0 as usize - 1);
                let open = open_holds::read(http, address).await;
                replica.holds = Some(open.map_err(|why| of_node(&why))?);
            }
            replicas.push(replica);
        }
        // What was read page by page is of one state only if it is the same still.
        let after = level(cluster, until).await?;
        let state = |view: &NodeView| (view.id, view.seq, view.state_hash.clone());
        if views.iter().map(state).eq(after.iter().map(state)) {
            return Ok(replicas);
        }
        if Instant::now() >= until {
            return Err("the replicas went on while their ledgers were read".into());
        }
    }
}

async fn level(cluster: &Cluster, until: Instant) -> Result<Vec<NodeView>, String> {
    let left = until.saturating_duration_since(Instant::now());
    cluster.processes.wait_level(left).await.map_err(|error| error.to_string())
}

async fn replica(shared: &Shared, view: &NodeView) -> Result<ReplicaLedger, ClientError> {
    let place = view.id.0 as usize - 1;
    // One of them also proves that it answers for the cluster.
    let consistency = if place == 0 { Consistency::Linearizable } else { Consistency::Stale };
    let (mut orders, mut after) = (Vec::new(), Some(Seq(0)));
    while let Some(from) = after {
        let page = shared.client.orders_once(place, from, consistency).await?;
        orders.extend(page.orders.into_iter().flat_map(orders_of));
        after = page.next_after;
    }
    let mut products = Vec::new();
    for product in (0..shared.shelf.products()).map(ProductNo) {
        match shared.client.product_stale(place, &product.sku()).await {
            Ok(view) => products.push(FinalCounts {
                product: view.id.into(),
                stocked: view.stocked,
                available: view.available,
                held: view.held,
                sold: view.sold,
            }),
            // Its creation never came through.
            Err(ClientError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let state_hash = Some(view.state_hash.clone());
    let (node, seq) = (view.id.0, view.seq.0);
    Ok(ReplicaLedger { node, seq, state_hash, products, holds: None, orders })
}

/// What an order takes of each of its products.
fn orders_of(view: OrderView) -> impl Iterator<Item = LedgerOrder> {
    let OrderView { order_id, user_id, request_id, items, .. } = view;
    let (user, request) = (String::from(user_id), String::from(request_id));
    items.into_iter().map(move |line| LedgerOrder {
        order: order_id.0,
        product: line.product_id.into(),
        user: user.clone(),
        request: request.clone(),
        quantity: line.quantity.get(),
        remaining: line.remaining,
    })
}
