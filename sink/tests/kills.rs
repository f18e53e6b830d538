//! The loop against a cluster and a target that fail in every way there is, at random from a seed:
//! what ends up in the target is every change, once, in order.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sink::{
    Applied, Options, Pages, Progress, Source, SourceError, Standing, State, Target, TargetError,
    run,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stock::api::{ChangeView, EventView, ExportLine};
use stock::{Seq, Sku};
use tokio::sync::{mpsc, watch};

const NEWEST: u64 = 3_000;
/// What does not end by then hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn event(seq: u64) -> EventView {
    let product_id = Sku::new("tee").unwrap();
    let change = ChangeView::Restocked { product_id, quantity: 1, remaining: seq };
    EventView { seq: Seq(seq), at_ms: seq, change }
}

/// Tells changes up to [`NEWEST`]; now and then ends, or leaves one out, or has forgotten.
struct Cluster {
    random: Mutex<StdRng>,
    /// Changes before this one are only in the state.
    oldest: u64,
}

impl Cluster {
    fn new(seed: u64, oldest: u64) -> Arc<Self> {
        Arc::new(Self { random: Mutex::new(StdRng::seed_from_u64(seed)), oldest })
    }

    fn one_in(&self, count: u32) -> bool {
        self.random.lock().unwrap().random_ratio(1, count)
    }
}

impl Source for Cluster {
    type State = Whole;

    async fn standing(&self) -> Result<Standing, SourceError> {
        if self.one_in(10) {
            return Err(SourceError::Unavailable("no leader".into()));
        }
        Ok(Standing { cluster_id: "c".into(), newest: Seq(NEWEST) })
    }

    async fn follow(&self, after: Seq, queue: mpsc::Sender<EventView>) -> SourceError {
        if after.0 + 1 < self.oldest {
            return SourceError::Gone("long ago".into());
        }
        for seq in after.0 + 1..=NEWEST {
            if self.one_in(2_000) {
                continue;
            }
            if queue.send(event(seq)).await.is_err() || self.one_in(1_000) {
                return SourceError::Unavailable("the node was killed".into());
            }
        }
        std::future::pending().await
    }

    async fn state(&self) -> Result<Whole, SourceError> {
        Ok(Whole { seq: Seq(self.oldest + 10), cut_off: self.one_in(2), told: false })
    }
}

struct Whole {
    seq: Seq,
    cut_off: bool,
    told: bool,
}

impl State for Whole {
    fn seq(&self) -> Seq {
        self.seq
    }

    async fn next(&mut self) -> Result<Option<ExportLine>, SourceError> {
        if std::mem::replace(&mut self.told, true) {
            let cut_off = || SourceError::Unavailable("cut off".into());
            return if self.cut_off { Err(cut_off()) } else { Ok(None) };
        }
        let (log_time_ms, state_hash) = (0, String::new());
        Ok(Some(ExportLine::Head { seq: self.seq, log_time_ms, state_hash }))
    }
}

/// What is durable, shared by all runners.
#[derive(Default)]
struct Table {
    rows: Vec<u64>,
    position: u64,
    rebased: u64,
}

/// A connection to the table: dies before, in or after a write.
struct Connection {
    table: Arc<Mutex<Table>>,
    random: StdRng,
}

impl Connection {
    fn new(table: &Arc<Mutex<Table>>, seed: u64) -> Self {
        Self { table: Arc::clone(table), random: StdRng::seed_from_u64(seed) }
    }

    fn dies(&mut self) -> Result<(), TargetError> {
        let lost = || TargetError::Lost("it was killed".into());
        if self.random.random_ratio(1, 12) { Err(lost()) } else { Ok(()) }
    }
}

impl Target for Connection {
    async fn open(&mut self, cluster_id: &str) -> Result<Seq, TargetError> {
        assert_eq!(cluster_id, "c");
        self.dies()?;
        Ok(Seq(self.table.lock().unwrap().position))
    }

    async fn apply(&mut self, from: Seq, batch: &[EventView]) -> Result<Applied, TargetError> {
        self.dies()?;
        tokio::task::yield_now().await;
        {
            let mut table = self.table.lock().unwrap();
            if table.position != from.0 {
                return Err(TargetError::Moved);
            }
            table.rows.extend(batch.iter().map(|event| event.seq.0));
            table.position = batch.last().unwrap().seq.0;
        }
        // Committed, and nobody is told.
        self.dies()?;
        Ok(Applied { rows: batch.len() as u64 })
    }

    async fn rebase<S: State>(
        &mut self,
        from: Seq,
        state: &mut S,
        _: &mut Pages<'_>,
    ) -> Result<Applied, TargetError> {
        while state.next().await?.is_some() {}
        let mut table = self.table.lock().unwrap();
        assert_eq!(table.position, from.0);
        table.position = state.seq().0;
        table.rebased += 1;
        Ok(Applied { rows: 1 })
    }
}

async fn carry(cluster: &Arc<Cluster>, mut connection: impl Target) {
    let options = Options { batch_max: 97, until_caught_up: true, ..Options::default() };
    let progress = Arc::new(Progress::new("test"));
    let (_stop, stopping) = watch::channel(false);
    run(cluster, &mut connection, &options, &progress, stopping).await.unwrap();
}

#[tokio::test]
async fn every_change_arrives_once_and_in_order_whatever_fails() {
    for seed in 0..4 {
        let (cluster, table) = (Cluster::new(seed, 0), Arc::default());
        carry(&cluster, Connection::new(&table, seed)).await;
        let rows = &table.lock().unwrap().rows;
        assert!(rows.iter().copied().eq(1..=NEWEST), "seed {seed}: {} rows", rows.len());
    }
}

#[tokio::test]
async fn two_runners_write_each_change_once() {
    let (cluster, table) = (Cluster::new(7, 0), Arc::default());
    let [one, two] = [1, 2].map(|seed| Connection::new(&table, seed));
    // The one that finds the position moved stands by, and ends too once nothing is left to do.
    let both = async { tokio::join!(carry(&cluster, one), carry(&cluster, two)) };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    let rows = &table.lock().unwrap().rows;
    assert!(rows.iter().copied().eq(1..=NEWEST), "{} rows", rows.len());
}

/// A target that another runner keeps for as long as `keeper` is there.
struct Kept {
    connection: Connection,
    keeper: Arc<()>,
}

impl Target for Kept {
    async fn open(&mut self, cluster_id: &str) -> Result<Seq, TargetError> {
        let position = self.connection.open(cluster_id).await?;
        if Arc::strong_count(&self.keeper) > 1 {
            Err(TargetError::Taken(position))
        } else {
            Ok(position)
        }
    }

    async fn apply(&mut self, from: Seq, batch: &[EventView]) -> Result<Applied, TargetError> {
        assert_eq!(Arc::strong_count(&self.keeper), 1, "it is another's");
        self.connection.apply(from, batch).await
    }

    async fn rebase<S: State>(
        &mut self,
        _: Seq,
        _: &mut S,
        _: &mut Pages<'_>,
    ) -> Result<Applied, TargetError> {
        unreachable!("nothing is forgotten")
    }
}

#[tokio::test]
async fn who_is_kept_out_ends_when_the_other_has_done_it_and_takes_over_when_it_dies() {
    for dies in [false, true] {
        let (cluster, table) = (Cluster::new(3, 0), Arc::default());
        let (keeper, connection) = (Arc::new(()), Connection::new(&table, 3));
        let kept = Kept { connection, keeper: Arc::clone(&keeper) };
        let other = Connection::new(&table, 4);
        let work = async move {
            if !dies {
                carry(&cluster, other).await;
                // It goes on, and has nothing to do.
                std::future::pending::<()>().await;
            }
            drop(keeper);
        };
        let cluster = Cluster::new(5, 0);
        let both = async {
            tokio::select! {
                () = carry(&cluster, kept) => {}
                () = async { work.await; std::future::pending().await } => {}
            }
        };
        tokio::time::timeout(PATIENCE, both).await.unwrap();
        let rows = &table.lock().unwrap().rows;
        assert!(rows.iter().copied().eq(1..=NEWEST), "dies: {dies}, {} rows", rows.len());
    }
}

#[tokio::test]
async fn the_state_stands_in_for_what_the_feed_has_forgotten() {
    for seed in 0..2 {
        let (cluster, table) = (Cluster::new(seed, 1_000), Arc::default());
        carry(&cluster, Connection::new(&table, seed)).await;
        let table = table.lock().unwrap();
        assert!(table.rows.iter().copied().eq(1_011..=NEWEST), "seed {seed}");
        assert_eq!(table.rebased, 1, "seed {seed}");
    }
}

#[tokio::test]
async fn it_stops_when_it_is_told_to() {
    let (cluster, table) = (Cluster::new(0, 0), Arc::default());
    let mut connection = Connection::new(&table, 0);
    let progress = Arc::new(Progress::new("test"));
    let (stop, stopping) = watch::channel(false);
    let options = Options { rows_per_second: Some(1), ..Options::default() };
    let (ended, ()) =
        tokio::join!(run(&cluster, &mut connection, &options, &progress, stopping), async {
            while progress.rows() == 0 {
                tokio::task::yield_now().await;
            }
            stop.send_replace(true);
        });
    ended.unwrap();
    let rows = &table.lock().unwrap().rows;
    assert!(rows.iter().copied().eq(1..=progress.position().0), "{rows:?}");
    assert!(progress.position().0 < NEWEST && progress.metrics().contains("lag_events"));
}
