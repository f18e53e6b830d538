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

/// How long the last attempts go on, at all operations together, of a cluster that is whole.
const SETTLE: Duration = Duration::from_secs(30);
/// How long the final reads go on, all together, of a cluster that is whole.
const READ: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// How long the cluster is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// Attempts at what is open begin within this time; without any, none is made.
    settle: Duration,
    /// A read that fails is made again within this time.
    read: Duration,
}

impl Patience {
    /// With a cluster that is whole.
    pub(super) const WHOLE: Self = Self { settle: SETTLE, read: READ };
    /// With one that did not recover: each read that comes to nothing is the last.
    pub(super) const NONE: Self = Self { settle: Duration::ZERO, read: Duration::ZERO };
}

/// Settles what the workers left open and reads every product at every node; says what could not
/// be read in this time, if anything. What is not settled in its time stays unknown.
pub(super) async fn ask(
    shared: &Shared,
    left: &mut [Left],
    patience: Patience,
) -> (Lane, Option<String>) {
    let mut lane = Lane::default();
    let open = left.iter_mut().flat_map(|worker| worker.open.drain(..)).collect();
    settle(shared, &mut lane, open, patience.settle).await;
    let process = last_process(left) + 1;
    let until = Instant::now() + patience.read;
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

/// An operation in doubt, and the attempt that comes next.
struct InDoubt {
    open: Open,
    number: u32,
    node: usize,
}

/// Makes attempts in turn, so that one that is never decided takes no time from the others.
async fn settle(shared: &Shared, lane: &mut Lane, open: Vec<Open>, time: Duration) {
    let until = Instant::now() + time;
    let first = |open: Open| InDoubt { number: open.last_attempt() + 1, node: 0, open };
    let mut in_doubt: Vec<InDoubt> = open.into_iter().map(first).collect();
    while !in_doubt.is_empty() && Instant::now() < until {
        for next in std::mem::take(&mut in_doubt) {
            if Instant::now() < until {
                in_doubt.extend(once_more(shared, lane, next).await);
            } else {
                in_doubt.push(next);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    for left in in_doubt {
        lane.leave_unknown(&shared.recorder, left.open);
    }
}

/// One attempt; gives the operation back where another one may decide it.
async fn once_more(shared: &Shared, lane: &mut Lane, mut next: InDoubt) -> Option<InDoubt> {
    match attempt(shared, &mut next.open, (next.node, next.number), None).await {
        Heard::Decided { answer, replayed, .. } => {
            lane.complete(&shared.recorder, next.open, Ended::Decided { answer, replayed });
            return None;
        }
        Heard::Unexpected { said } => {
            shared.board.unexpected(&said);
            lane.leave_unknown(&shared.recorder, next.open);
            return None;
        }
        Heard::Unknown { .. } => next.number += 1,
        Heard::NotProposed { .. } => {}
    }
    next.node = (next.node + 1) % shared.client.nodes_count();
    Some(next)
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
    let OrderView { order_id, user_id, request_id, items, at_ms, .. } = view;
    let (user, request) = (String::from(user_id), String::from(request_id));
    items.into_iter().map(move |line| LedgerOrder {
        order: order_id.0,
        product: line.product_id.into(),
        user: user.clone(),
        request: request.clone(),
        quantity: line.quantity.get(),
        remaining: line.remaining,
        at_ms: Some(at_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::super::board::Board;
    use super::super::roster::Roster;
    use super::super::worker::Pace;
    use super::*;
    use crate::recorder::{Log, Recorder, UserNo};
    use crate::workload::{self, Shelf};
    use checker::flashnode::Record;
    use client::Timeouts;

    const OPEN: usize = 40;

    /// A run whose one node is gone, and that has nothing to read.
    fn shared() -> Shared {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = gone.local_addr().unwrap().to_string();
        drop(gone);
        let client = Client::with_timeouts(vec![address], Timeouts::default()).unwrap();
        Shared {
            roster: Roster::new(client.nodes_count()),
            client,
            recorder: Recorder::new(Instant::now()),
            workload: workload::Kind::Buy.build(),
            shelf: Shelf::new(0, 0),
            board: Board::default(),
            pace: Pace::new(None),
            concurrency: 1,
            over: tokio::sync::watch::Sender::new(false),
        }
    }

    async fn ended(shared: &Shared, patience: Patience) -> Vec<Record> {
        let asked = Asked::Buy { product: ProductNo(0), user: UserNo(0), quantity: 1 };
        let open = (0..OPEN).map(|_| shared.recorder.invoke(0, asked)).collect();
        let mut left = [Left { open, ..Left::default() }];
        let (lane, unread) = ask(shared, &mut left, patience).await;
        assert_eq!(unread, None);
        Log::merge(vec![lane]).records().collect()
    }

    #[tokio::test]
    async fn of_a_cluster_that_did_not_recover_nothing_more_is_asked() {
        let ended = ended(&shared(), Patience::NONE).await;
        assert_eq!(ended.len(), OPEN);
        for record in ended {
            assert_eq!((record.ended, record.attempts), (Ended::Unknown, Vec::new()));
        }
    }

    /// One time for all of them; within it each has its turn.
    #[tokio::test]
    async fn what_is_never_decided_ends_in_one_time() {
        let (settle, began) = (Duration::from_secs(3), Instant::now());
        let ended = ended(&shared(), Patience { settle, ..Patience::NONE }).await;
        let took = began.elapsed();
        assert!(took < settle * OPEN as u32 / 2, "{took:?}");
        for record in ended {
            assert_eq!(record.ended, Ended::Unknown);
            assert!(!record.attempts.is_empty(), "{record:?}");
        }
    }
}
