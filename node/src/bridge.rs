//! The sinks inside a node: `[sink]` of `cluster.toml`, at work on the node that leads.
//!
//! Owns: when they run. Each is started on every node with the same settings, works where its node
//! leads and a majority says so every second, and stops when that node is deposed or cut off, so
//! it moves by itself when a node dies. Two leaders for a moment are harmless: the target, or the
//! cluster's cursor, refuses a write that does not begin where it stands (see the crate `sink`).
//! Never does: wait in the way of a buy, or end the node, be it that the target fails or the sink
//! itself panics (`supervise`).
//!
//! | file | what it owns |
//! |---|---|
//! | `settings` | what `[sink]` says, checked |
//! | `own` | this node as a sink's source, and as the keeper of its cursor |
//! | `supervise` | a thread and a runtime for each sink, begun anew after a panic |

mod own;
mod settings;
mod supervise;

pub(crate) use settings::{Secret, SinkConfig, SinkTo, WebhookTo};
pub(crate) use supervise::covers_this_thread;

use crate::actor::StockHandle;
use crate::metrics::{Metrics, SinkGauges};
use own::Own;
use raft::Replica;
use sink::cursor::{Cursored, Delivery, target};
use sink::files::Files;
use sink::nats::Nats;
use sink::postgres::Postgres;
use sink::rabbitmq::RabbitMq;
use sink::report::Report;
use sink::webhook::Webhook;
use sink::{Options, Progress, Target};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use stock::{CursorName, CursorTarget, Seq};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

/// Between two looks for the metrics.
const LOOK: Duration = Duration::from_millis(500);
/// Before it is tried again after a failure that trying did not help.
const PAUSE: Duration = Duration::from_secs(30);
/// Between two times that a majority is asked whether this node still leads.
const LEASE_EVERY: Duration = Duration::from_secs(1);
/// How long a majority may say nothing; a node that is cut off gives the sink up then.
const LEASE_MAX: Duration = Duration::from_secs(3);

/// Runs them for as long as the node does, each on a thread of its own.
///
/// # Errors
/// When the system gives no thread, or a file that one needs is gone.
pub(crate) fn start(
    replica: &Replica,
    stock: &StockHandle,
    sinks: &[SinkConfig],
    metrics: &Metrics,
) -> io::Result<()> {
    for config in sinks {
        let target = target(&config.to.identity().map_err(io::Error::other)?);
        let gauges = metrics.add_sink(config.name.as_str(), target.as_str());
        let own = Arc::new(Own::new(replica.clone(), stock.clone()));
        let config = config.clone();
        supervise::spawn(config.name.to_string(), move || {
            let (own, config, target) = (Arc::clone(&own), config.clone(), target.clone());
            let (replica, gauges) = (own.replica().clone(), Arc::clone(&gauges));
            let runner = Runner { replica, own, config, target, gauges };
            let span = tracing::info_span!("sink", name = %runner.config.name);
            async move { runner.run().instrument(span).await }
        })?;
    }
    Ok(())
}

/// One sink.
struct Runner {
    replica: Replica,
    own: Arc<Own>,
    config: SinkConfig,
    /// What it is for.
    target: CursorTarget,
    gauges: Arc<SinkGauges>,
}

/// What makes a target.
type Made<T> = Result<T, String>;

impl Runner {
    async fn run(&self) {
        match &self.config.to {
            SinkTo::Postgres(database) => {
                let report = Report::new(&database.identity());
                self.keep(Some(&report), || Ok(Postgres::new(database.as_ref().clone()))).await;
            }
            SinkTo::RabbitMq { to, queue } => {
                let rabbitmq = || RabbitMq::new(to.reveal(), queue);
                self.keep(None, || Ok(self.under_cursor(rabbitmq()?))).await;
            }
            SinkTo::Nats { to, stream, subject, tls_roots } => {
                let nats = || Nats::new(to.reveal(), (stream, subject), tls_roots.clone());
                self.keep(None, || Ok(self.under_cursor(nats()?))).await;
            }
            SinkTo::Webhook(to) => {
                let webhook = || Webhook::new(to.settings());
                self.keep(None, || Ok(self.under_cursor(webhook()?))).await;
            }
            SinkTo::Files { dir, rotate_bytes } => {
                let files = || Files::new(dir.clone(), *rotate_bytes);
                let report = Report::new(&files().identity());
                self.keep(Some(&report), || Ok(files())).await;
            }
        }
    }

    /// A target whose position is a cursor, under the sink's own name.
    fn under_cursor<D: Delivery>(&self, delivery: D) -> Cursored<Own, D> {
        Cursored::new(Arc::clone(&self.own), self.config.name.clone(), delivery)
    }

    /// Works whenever this node leads.
    async fn keep<T: Target>(&self, report: Option<&Report>, make: impl Fn() -> Made<T>) {
        let name = &self.config.name;
        // Where the cluster knows it to stand while this node does not.
        let known = report.map_or(name, Report::name);
        loop {
            leads(&self.replica).await;
            tracing::info!("this node leads: the sink {name} is at work here");
            self.gauges.is_here(self.known(known));
            while let Err(why) = Box::pin(self.carry(report, known, &make)).await {
                tracing::error!("the sink {name} is refused, and begins anew in {PAUSE:?}: {why}");
                self.gauges.is_refused();
                tokio::select! {
                    () = deposed(&self.replica) => break,
                    () = sleep(PAUSE) => {}
                }
            }
            tracing::info!("the sink {name} ends here");
            self.gauges.is_elsewhere();
        }
    }

    /// Where the cluster knows the target to stand; a cursor of this name may be for another.
    fn known(&self, cursor: &CursorName) -> Seq {
        let position = self.replica.read(|machine| {
            let is_for = machine.cursor_target(cursor).is_none_or(|target| *target == self.target);
            machine.cursor(cursor).filter(|_| is_for)
        });
        Seq(position.unwrap_or(0))
    }

    /// Carries changes until this node is deposed.
    ///
    /// # Errors
    /// In words, when the target or the cluster refuses.
    async fn carry<T: Target>(
        &self,
        report: Option<&Report>,
        known: &CursorName,
        make: impl Fn() -> Made<T>,
    ) -> Result<(), String> {
        let config = &self.config;
        let mut target = make()?;
        let progress = Arc::new(Progress::new(config.name.as_str()));
        let defaults = Options::default();
        let options = Options {
            batch_max: config.batch_max(&defaults),
            rows_per_second: config.max_rows_per_second,
            ..defaults
        };
        let at_work = self.gauges.at_work();
        let (stop, stopping) = watch::channel(false);
        let carrying = sink::run(&self.own, &mut target, &options, &progress, stopping);
        tokio::pin!(carrying);
        tokio::select! {
            ended = &mut carrying => ended.map_err(|why| why.to_string()),
            () = deposed(&self.replica) => {
                // Whoever leads now need not wait for the write under way.
                drop(at_work);
                self.gauges.is_elsewhere();
                stop.send_replace(true);
                if let Err(why) = carrying.await {
                    tracing::warn!("the last write of the sink {}: {why}", config.name);
                }
                Ok(())
            }
            never = self.show(known, &progress) => match never {},
            () = self.report(report, &progress) => Ok(()),
        }
    }

    /// Shows how far it is, and never returns.
    async fn show(&self, known: &CursorName, progress: &Progress) -> Infallible {
        loop {
            // It stands nowhere until the target was asked.
            let position = Some(progress.position()).filter(|position| *position > Seq(0));
            let position = position.unwrap_or_else(|| self.known(known));
            self.gauges.shows(position, progress, self.replica.status().seq);
            sleep(LOOK).await;
        }
    }

    /// Reports where a target stands that says so itself, and never returns.
    async fn report(&self, report: Option<&Report>, progress: &Progress) {
        match report {
            Some(report) => report.keep(self.own.as_ref(), progress).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns when this node leads, and a majority says so.
async fn leads(replica: &Replica) {
    loop {
        let leader = replica.leader();
        if leader != Some(replica.id()) {
            replica.leader_differs_from(leader).await;
        } else if replica.read_barrier(Instant::now() + LEASE_MAX).await.is_ok() {
            return;
        } else {
            sleep(LEASE_EVERY).await;
        }
    }
}

/// Returns when this node no longer leads, or no majority has said so for too long: a leader that
/// is cut off is not told that there is another.
async fn deposed(replica: &Replica) {
    let cut_off = async {
        while replica.read_barrier(Instant::now() + LEASE_MAX).await.is_ok() {
            sleep(LEASE_EVERY).await;
        }
    };
    tokio::select! {
        () = replica.leader_differs_from(Some(replica.id())) => {
            tracing::info!("another node leads");
        }
        () = cut_off => {
            tracing::warn!("no majority in {LEASE_MAX:?}: this node's sinks are given up");
        }
    }
}
