//! The storm: buyers that ask node after node under one key each, until they are settled.

use super::StormView;
use super::now_ms;
use reqwest::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use stock::{Sku, api};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

/// How long one attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(6);
/// How long one buyer tries.
const BUYER_MAX: Duration = Duration::from_secs(20);
/// Nobody comes later than this; a storm that is forgotten ends.
const STORM_MAX: Duration = Duration::from_secs(60);
/// Before the next node is asked.
const PAUSE: Duration = Duration::from_millis(20);

/// One storm and its counts.
pub(super) struct Storm {
    product_id: Sku,
    buyers: u64,
    targets: Vec<String>,
    /// Tells its buyers from those of any other.
    name: String,
    began_ms: u64,
    came: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    stopped: AtomicBool,
    /// When the last buyer was settled; 0 before.
    ended_ms: AtomicU64,
}

/// How a buyer ended.
enum Settled {
    Accepted,
    Refused,
    Failed,
}

impl Storm {
    pub(super) fn new(product_id: Sku, buyers: u64, targets: Vec<String>, began_ms: u64) -> Self {
        Self {
            product_id,
            buyers,
            targets,
            name: format!("storm-{:08x}", Uuid::new_v4().as_fields().0),
            began_ms,
            came: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            ended_ms: AtomicU64::new(0),
        }
    }

    /// No further buyer comes.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_running(&self) -> bool {
        self.ended_ms.load(Ordering::Relaxed) == 0
    }

    pub(super) fn view(&self) -> StormView {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ended_ms = count(&self.ended_ms);
        let until_ms = if ended_ms == 0 { now_ms() } else { ended_ms };
        StormView {
            product_id: self.product_id.clone(),
            buyers: self.buyers,
            running: ended_ms == 0,
            accepted: count(&self.accepted),
            refused: count(&self.refused),
            failed: count(&self.failed),
            retried: count(&self.retried),
            took_ms: until_ms.saturating_sub(self.began_ms),
        }
    }

    /// The number of the next buyer, if one still comes.
    fn next(&self, until: Instant) -> Option<u64> {
        if self.stopped.load(Ordering::Relaxed) || Instant::now() >= until {
            return None;
        }
        let number = self.came.fetch_add(1, Ordering::Relaxed);
        (number < self.buyers).then_some(number)
    }

    fn count(&self, settled: &Settled) {
        let counter = match settled {
            Settled::Accepted => &self.accepted,
            Settled::Refused => &self.refused,
            Settled::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets the buyers come, so many at a time, in a task that ends with the last of them.
pub(super) fn start(storm: &Arc<Storm>, at_a_time: u64) {
    let storm = Arc::clone(storm);
    tokio::spawn(async move {
        let until = Instant::now() + STORM_MAX;
        match reqwest::Client::builder().no_proxy().tcp_nodelay(true).build() {
            Ok(http) => {
                let queues = (0..at_a_time.min(storm.buyers)).map(|_| {
                    let (storm, http) = (Arc::clone(&storm), http.clone());
                    tokio::spawn(async move {
                        while let Some(number) = storm.next(until) {
                            let settled = buy(&storm, &http, number).await;
                            storm.count(&settled);
                        }
                    })
                });
                for queue in queues.collect::<Vec<_>>() {
                    // A queue ends by itself; a panic ends the process.
                    let _ = queue.await;
                }
            }
            Err(error) => tracing::error!("the storm has no HTTP client: {error}"),
        }
        storm.ended_ms.store(now_ms().max(1), Ordering::Relaxed);
    });
}

/// One buyer, from the first click to an answer or the end of patience.
async fn buy(storm: &Storm, http: &reqwest::Client, number: u64) -> Settled {
    let key = Uuid::now_v7().to_string();
    let body = serde_json::json!({
        "product_id": storm.product_id,
        "user_id": format!("{}-{number}", storm.name),
    })
    .to_string();
    let until = Instant::now() + BUYER_MAX;
    let mut attempt = 1_u32;
    for target in storm.targets.iter().cycle().skip(number as usize % storm.targets.len()) {
        let asked = http
            .post(format!("http://{target}/v1/buys"))
            .header("content-type", "application/json")
            .header(api::HEADER_IDEMPOTENCY_KEY, &key)
            .header(api::HEADER_ATTEMPT, attempt)
            .timeout(ATTEMPT_MAX)
            .body(body.clone())
            .send();
        match timeout_at(until, asked).await {
            Err(_patience) => return Settled::Failed,
            Ok(Ok(answer)) => match answer.status() {
                status if status.is_success() => return Settled::Accepted,
                // A later attempt that is only held off has settled nothing.
                StatusCode::TOO_MANY_REQUESTS if attempt > 1 => {}
                // Surely not proposed: the same attempt may be made again.
                StatusCode::SERVICE_UNAVAILABLE => {}
                status if status.is_server_error() => attempt += 1,
                _ => return Settled::Refused,
            },
            Ok(Err(error)) if error.is_connect() => {}
            Ok(Err(_broken)) => attempt += 1,
        }
        storm.retried.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
        if Instant::now() >= until {
            break;
        }
    }
    Settled::Failed
}
