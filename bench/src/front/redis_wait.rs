//! Redis with `WAIT 1`: a "yes" is said once a replica has it too. `WAIT` holds up the connection
//! that it is sent on, so either each buy in flight has a connection of its own, or what waits
//! goes out together and one `WAIT` stands for all.

use super::redis::{Redis, told};
use super::{Asked, Backend, Told};
use anyhow::{Context, ensure};
use redis::aio::MultiplexedConnection;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Connections of the pool: as many buys as are in flight at the most.
const CONNECTIONS_MAX: usize = 256;
/// Buys of one pipeline.
const PIPELINE_MAX: usize = 512;
/// How long a replica may take, in milliseconds, before the measurement is void.
const WAIT_MS_MAX: u64 = 10_000;

/// One connection a buy in flight.
#[derive(Debug)]
pub(super) struct PerBuy {
    redis: Redis,
    address: String,
    idle: Mutex<Vec<MultiplexedConnection>>,
    permits: Semaphore,
}

impl PerBuy {
    pub(super) async fn open(address: &str, units: u64) -> anyhow::Result<Self> {
        Ok(Self {
            redis: Redis::open(address, units).await?,
            address: address.to_owned(),
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(CONNECTIONS_MAX),
        })
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for PerBuy {
    async fn buy(&self, asked: Asked) -> anyhow::Result<Told> {
        let _permit = self.permits.acquire().await?;
        let pooled = self.pool().pop();
        let mut connection = match pooled {
            Some(connection) => connection,
            None => Redis::connect(&self.address).await?,
        };
        let mut pipeline = redis::pipe();
        pipeline.add_command(self.redis.call(&asked)).cmd("WAIT").arg(1).arg(WAIT_MS_MAX);
        let (answer, replicas): ([u64; 2], u64) = pipeline.query_async(&mut connection).await?;
        ensure!(replicas >= 1, "no replica had the buy within {WAIT_MS_MAX} ms");
        self.pool().push(connection);
        Ok(told(answer))
    }
}

type Waiting = (Asked, oneshot::Sender<Told>);

/// One writer for all.
#[derive(Debug)]
pub(super) struct Batched {
    writer: mpsc::Sender<Waiting>,
}

impl Batched {
    pub(super) async fn open(address: &str, units: u64) -> anyhow::Result<Self> {
        let redis = Redis::open(address, units).await?;
        let connection = Redis::connect(address).await?;
        let (writer, waiting) = mpsc::channel(PIPELINE_MAX);
        // Ends with the process; a store that fails drops what waits, which then fails aloud.
        tokio::spawn(async move {
            if let Err(error) = write(redis, connection, waiting).await {
                eprintln!("the writer ended: {error:#}");
            }
        });
        Ok(Self { writer })
    }
}

async fn write(
    redis: Redis,
    mut connection: MultiplexedConnection,
    mut waiting: mpsc::Receiver<Waiting>,
) -> anyhow::Result<()> {
    let mut batch = Vec::with_capacity(PIPELINE_MAX);
    while waiting.recv_many(&mut batch, PIPELINE_MAX).await > 0 {
        let mut pipeline = redis::pipe();
        for (asked, _) in &batch {
            pipeline.add_command(redis.call(asked));
        }
        pipeline.cmd("WAIT").arg(1).arg(WAIT_MS_MAX);
        let mut answers: Vec<redis::Value> = pipeline.query_async(&mut connection).await?;
        let replicas: u64 = redis::from_redis_value(answers.pop().context("no answer")?)?;
        ensure!(replicas >= 1, "no replica had the buys within {WAIT_MS_MAX} ms");
        for ((_, reply), answer) in batch.drain(..).zip(answers) {
            // Whoever asked may be gone.
            let _gone = reply.send(told(redis::from_redis_value(answer)?));
        }
    }
    Ok(())
}

impl Backend for Batched {
    async fn buy(&self, asked: Asked) -> anyhow::Result<Told> {
        let (reply, told) = oneshot::channel();
        self.writer.send((asked, reply)).await.context("the writer has ended")?;
        told.await.context("the writer has ended")
    }
}
