//! One node's life: open the replica, start the actor and the front, serve, shut down in order.
//!
//! At SIGTERM (or Ctrl-C): not ready any more → leadership goes to another node → requests are
//! still answered, each with `Connection: close`, for at least [`DRAIN_MIN`] and until the node is
//! idle → the listener closes → Raft stops → exit 0. So a rolling restart fails no buy. What waits
//! for a leader that does not come is answered after [`WAIT_MAX`].

use crate::actor;
use crate::bridge;
use crate::config::Config;
use crate::front::{self, FrontState, Live, Pages};
use crate::listener;
use crate::metrics::Metrics;
use crate::resp::{self, Resp};
use anyhow::{Context, bail};
use raft::{Replica, ReplicaConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long requests are still taken after SIGTERM: load balancers and clients need to notice.
const DRAIN_MIN: Duration = Duration::from_secs(1);
/// How long a request may wait for a leader: the answer must still reach whoever asked.
const WAIT_MAX: Duration = Duration::from_secs(6);
/// How long the last requests and the leader's transfer may take.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// How long the transfer of leadership may take.
const STEP_DOWN_MAX: Duration = Duration::from_secs(2);

/// Runs the node until a signal ends it.
///
/// # Errors
/// When it cannot start, or when its storage or Raft fails.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let taken = || {
        format!(
            "cannot listen on {}: is this node running already? Else choose --http",
            config.http
        )
    };
    // The public port is taken first: whoever starts a node twice by mistake hears of it before
    // anything of the directory is touched.
    let port = listener::take_port(config.http).with_context(taken)?;
    let resp_port = match config.resp {
        Some(resp) => Some(listener::take_port(resp.address).with_context(|| resp_taken(&config))?),
        None => None,
    };
    let (forwarded, frames) = actor::frames();
    let replica = Replica::open(replica_config(&config), forwarded).await?;
    let metrics = Metrics::new(&config.data)?;
    abort_on_panic(metrics.clone());
    let (end, ending) = watch::channel(false);
    let bounds = actor::Bounds { limits: config.limits, wait_max: config.wait_max };
    let stock = actor::start(replica.clone(), frames, bounds, metrics.clone(), ending);
    let draining = Arc::new(AtomicBool::new(false));
    let (close, closing) = watch::channel(false);
    let (connections_max, counters_max) = listener::make_room(
        config.max_connections,
        config.resp.map_or(0, |resp| resp.connections_max),
    );
    let live = Live::new(&replica, config.feed, metrics.clone(), connections_max, closing.clone());
    let nodes = (config.advertise_http.as_str(), config.peers.keys().copied());
    let pages = Pages::new(&replica, nodes, config.demo, &closing);
    let settings = front::Settings {
        deadline: config.deadline,
        drop_in: config.drop_in.clone(),
        proxies: config.proxies.clone(),
    };
    let draining_here = Arc::clone(&draining);
    let counters = Resp::new(
        replica.clone(),
        stock.clone(),
        config.deadline,
        config.resp.map_or(stock::Debt::Refused, |resp| resp.debt),
    );
    bridge::start(&replica, &stock, &config.sinks, &metrics).context("a sink does not start")?;
    let state = FrontState::new(
        replica.clone(),
        stock,
        metrics.clone(),
        draining_here,
        live,
        pages,
        settings,
    );
    let app = front::router(Arc::new(state));
    tokio::spawn(count_leader_changes(replica.clone(), metrics.clone()));
    let listener = port.listen(listener::BACKLOG).with_context(taken)?;
    tracing::info!(
        "node {} answers on http://{} and keeps its data in {}",
        config.id,
        config.advertise_http,
        config.data.display()
    );
    let http = listener::serve(listener, app, connections_max, metrics, closing.clone());
    let mut server = match resp_port {
        None => tokio::spawn(http),
        Some(port) => {
            let listener = port.listen(listener::BACKLOG).with_context(|| resp_taken(&config))?;
            tracing::info!("the Redis protocol is spoken on {}", listener.local_addr()?);
            let resp = resp::serve(listener, counters, counters_max, closing);
            tokio::spawn(async {
                tokio::join!(http, resp);
            })
        }
    };
    tokio::select! {
        ended = &mut server => bail!("the public listener stopped: {ended:?}"),
        why = replica.failed() => bail!("{why}"),
        signal = asked_to_end() => tracing::info!("{} received: handing over", signal?),
    }
    draining.store(true, Ordering::Relaxed);
    let started = Instant::now();
    replica.step_down(started + STEP_DOWN_MAX).await;
    tokio::time::sleep_until(started + DRAIN_MIN).await;
    close.send_replace(true);
    drain(server, started, &end).await;
    replica.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn resp_taken(config: &Config) -> String {
    let address = config.resp.map_or(String::new(), |resp| resp.address.to_string());
    format!("cannot listen on {address} for the Redis protocol; choose another --resp")
}

/// Waits for the last answers, and for those that nobody can give any more, to be told so.
async fn drain(mut server: JoinHandle<()>, started: Instant, end: &watch::Sender<bool>) {
    if tokio::time::timeout_at(started + WAIT_MAX, &mut server).await.is_ok() {
        return;
    }
    end.send_replace(true);
    if tokio::time::timeout_at(started + DRAIN_MAX, server).await.is_err() {
        tracing::warn!("some connections were still open after {DRAIN_MAX:?}; closing them");
    }
}

/// A broken invariant stops the process, whichever task finds it: a node that limps on may diverge.
/// The sinks alone are begun again: they read what was committed, and change nothing but cursors.
///
/// Set only now, because opening a damaged store may panic inside sled, which is caught there and
/// becomes a message.
pub(crate) fn abort_on_panic(metrics: Metrics) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if bridge::covers_this_thread() {
            metrics.sink_panicked();
            return;
        }
        std::process::abort();
    }));
}

fn replica_config(config: &Config) -> ReplicaConfig {
    ReplicaConfig {
        id: config.id,
        peers: config.peers.clone(),
        http: config.advertise_http.clone(),
        data: config.data.clone(),
        heartbeat: config.heartbeat,
        election_min: config.election_min,
        election_max: config.election_max,
        snapshot_entries: config.snapshot_entries,
        keep_entries: config.keep_entries,
        counts_clicks: config.limits.any(),
    }
}

async fn count_leader_changes(replica: Replica, metrics: Metrics) {
    let mut leader = None;
    loop {
        replica.leader_differs_from(leader).await;
        leader = replica.leader();
        if leader.is_some() {
            metrics.leader_changed();
        }
    }
}

/// Waits for the signal that ends this node, and names it.
async fn asked_to_end() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "Ctrl-C",
    })
}
