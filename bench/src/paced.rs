//! An open loop: buys fall due by the clock, whatever became of those before.
//!
//! A closed loop sends less when it is answered late, and so hides what an overload and a failover
//! are like (Schroeder, Wierman, Harchol-Balter: "Open Versus Closed", NSDI 2006). Each connection
//! has its share of the schedule; a buy that finds its connection busy is sent late, and its
//! latency counts from when it was due (as wrk2 counts it). A connection that breaks is opened
//! again at the next node, as a buyer's would be; its buy is not tried again.

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Before a connection is tried again.
const RECONNECT_AFTER: Duration = Duration::from_millis(10);
/// A buy that is due later than this behind the schedule is not sent any more.
const BEHIND_MAX: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Connections that are opened at once, which a listener's backlog takes.
const OPENED_AT_ONCE: usize = 256;

/// One connection to a node.
type Sender = SendRequest<Full<Bytes>>;

/// What falls due.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// `host:port` of each node; connections are spread over them.
    pub(crate) targets: Vec<String>,
    pub(crate) buys_a_second: f64,
    pub(crate) connections: usize,
    pub(crate) lasting: Duration,
    /// Tells this load's users from every other's.
    pub(crate) salt: String,
}

/// What became of a buy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    SoldOut,
    /// 503: surely not done, and when to ask again.
    Shed,
    /// 504, or a broken connection: nobody knows.
    Unknown,
    /// Anything else, which no run should see; a 503 that does not say when to ask again, too.
    Odd(u16),
    /// No node took the connection, or the client was too far behind its own schedule.
    NotSent,
}

/// One buy of the schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bought {
    /// Since the start.
    pub(crate) due: Duration,
    /// From when it was due.
    pub(crate) latency: Duration,
    /// From when it was sent.
    pub(crate) service: Duration,
    /// The node that was asked.
    pub(crate) target: usize,
    pub(crate) outcome: Outcome,
}

/// Everything that became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) buys: Vec<Bought>,
}

impl Seen {
    pub(crate) fn count(&self, which: impl Fn(Outcome) -> bool) -> usize {
        self.buys.iter().filter(|buy| which(buy.outcome)).count()
    }

    pub(crate) fn accepted(&self) -> impl Iterator<Item = &Bought> {
        self.buys.iter().filter(|buy| buy.outcome == Outcome::Accepted)
    }

    /// What this part of the accepted buys did not exceed.
    pub(crate) fn percentile(&self, percent: usize, of: fn(&Bought) -> Duration) -> Duration {
        let mut values: Vec<Duration> = self.accepted().map(of).collect();
        values.sort_unstable();
        let rank = (values.len() * percent).div_ceil(100).max(1);
        values.get(rank - 1).copied().unwrap_or_default()
    }

    /// Accepted buys by when they were answered, in spans of this length.
    pub(crate) fn accepted_by(&self, span: Duration) -> Vec<usize> {
        let mut counts = Vec::new();
        for buy in self.accepted() {
            let at = ((buy.due + buy.latency).as_millis() / span.as_millis().max(1)) as usize;
            if counts.len() <= at {
                counts.resize(at + 1, 0);
            }
            counts[at] += 1;
        }
        counts
    }
}

/// Runs a plan to its end, from now on; connections are opened as their first buys fall due.
///
/// # Errors
/// When a task of it ends badly.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Seen> {
    let senders = (0..plan.connections).map(|_| None).collect();
    Opened { plan: plan.clone(), senders }.run(Instant::now()).await
}

/// A plan whose connections are all open before its first buy falls due.
pub(crate) struct Opened {
    plan: Plan,
    senders: Vec<Option<Sender>>,
}

impl Opened {
    /// Opens them.
    ///
    /// # Errors
    /// When one cannot be opened: a load on fewer would be another.
    pub(crate) async fn open(plan: Plan) -> anyhow::Result<Self> {
        let mut senders = Vec::with_capacity(plan.connections);
        for first in (0..plan.connections).step_by(OPENED_AT_ONCE) {
            let some = first..plan.connections.min(first + OPENED_AT_ONCE);
            let some = some.map(|number| connect(&plan.targets[number % plan.targets.len()]));
            senders.extend(join_all(some).await);
        }
        let missing = senders.iter().filter(|sender| sender.is_none()).count();
        anyhow::ensure!(missing == 0, "{missing} connections could not be opened");
        Ok(Self { plan, senders })
    }

    /// Runs the plan to its end.
    ///
    /// # Errors
    /// When a task of it ends badly.
    pub(crate) async fn run(self, start: Instant) -> anyhow::Result<Seen> {
        let Self { plan, senders } = self;
        let mut connections = JoinSet::new();
        for (number, sender) in senders.into_iter().enumerate() {
            connections.spawn(connection(plan.clone(), number, sender, start));
        }
        let mut seen = Seen::default();
        while let Some(buys) = connections.join_next().await {
            seen.buys.extend(buys?);
        }
        seen.buys.sort_unstable_by_key(|buy| buy.due);
        Ok(seen)
    }
}

async fn connection(
    plan: Plan,
    number: usize,
    mut open: Option<Sender>,
    start: Instant,
) -> Vec<Bought> {
    let mut buys = Vec::new();
    let mut target = number % plan.targets.len();
    for nth in (number..).step_by(plan.connections) {
        let due = Duration::from_secs_f64(nth as f64 / plan.buys_a_second);
        if due >= plan.lasting {
            break;
        }
        tokio::time::sleep_until(start + due).await;
        let (mut outcome, mut sent) = (Outcome::NotSent, start + due);
        while outcome == Outcome::NotSent && start.elapsed() < due + BEHIND_MAX {
            let Some(sender) = &mut open else {
                open = connect(&plan.targets[target]).await;
                if open.is_none() {
                    target = (target + 1) % plan.targets.len();
                    tokio::time::sleep(RECONNECT_AFTER).await;
                }
                continue;
            };
            sent = Instant::now();
            outcome = buy(sender, &format!("{}-{nth}", plan.salt)).await;
            if outcome == Outcome::NotSent {
                open = None;
                target = (target + 1) % plan.targets.len();
            }
        }
        let latency = start.elapsed().saturating_sub(due);
        buys.push(Bought { due, latency, service: sent.elapsed(), target, outcome });
        if outcome == Outcome::Unknown {
            open = None;
            target = (target + 1) % plan.targets.len();
        }
    }
    buys
}

async fn connect(address: &str) -> Option<Sender> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with its sender, or breaks, which the next buy on it finds out.
    tokio::spawn(connection);
    Some(sender)
}

async fn buy(sender: &mut Sender, key: &str) -> Outcome {
    let body = format!(r#"{{"product_id":"sneaker","user_id":"u-{key}","quantity":1}}"#);
    let request = Request::post("/v1/buys")
        .header(header::HOST, "flashnode")
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
        .body(Full::new(Bytes::from(body)));
    let Ok(request) = request else {
        return Outcome::Odd(0);
    };
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let says_when = answer.headers().contains_key(header::RETRY_AFTER);
        answer.into_body().collect().await?;
        hyper::Result::Ok((status, says_when))
    };
    match tokio::time::timeout(ANSWER_MAX, answered).await {
        Ok(Ok((StatusCode::CREATED, _))) => Outcome::Accepted,
        Ok(Ok((StatusCode::GONE, _))) => Outcome::SoldOut,
        Ok(Ok((StatusCode::SERVICE_UNAVAILABLE, true))) => Outcome::Shed,
        // The node had closed the connection before any of it was written.
        Ok(Err(error)) if error.is_canceled() => Outcome::NotSent,
        Ok(Ok((StatusCode::GATEWAY_TIMEOUT, _)) | Err(_)) | Err(_) => Outcome::Unknown,
        Ok(Ok((other, _))) => Outcome::Odd(other.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn bought(due_ms: u64, latency_ms: u64, outcome: Outcome) -> Bought {
        let [due, latency] = [due_ms, latency_ms].map(Duration::from_millis);
        Bought { due, latency, service: latency, target: 0, outcome }
    }

    /// Answers one request so, and returns what the buyer makes of it.
    async fn answered_with(head: &'static str) -> Outcome {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 1024];
            assert!(stream.read(&mut read).await.unwrap() > 0);
            let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let buyer = async {
            let mut sender = connect(&address).await.unwrap();
            buy(&mut sender, "key").await
        };
        tokio::join!(server, buyer).1
    }

    #[tokio::test]
    async fn a_refusal_of_an_overload_says_when_to_ask_again() {
        let full = "503 Service Unavailable";
        assert_eq!(answered_with(full).await, Outcome::Odd(503));
        let says_when = "503 Service Unavailable\r\nretry-after: 1";
        assert_eq!(answered_with(says_when).await, Outcome::Shed);
        assert_eq!(answered_with("201 Created").await, Outcome::Accepted);
    }

    #[test]
    fn a_buy_counts_where_it_was_answered_and_its_latency_from_when_it_was_due() {
        let seen = Seen {
            buys: vec![
                bought(0, 20, Outcome::Accepted),
                bought(10, 120, Outcome::Accepted),
                bought(20, 1, Outcome::Shed),
                bought(30, 30, Outcome::Accepted),
            ],
        };
        assert_eq!(seen.accepted_by(Duration::from_millis(50)), [1, 1, 1]);
        assert_eq!(seen.percentile(50, |buy| buy.latency), Duration::from_millis(30));
        assert_eq!(seen.percentile(99, |buy| buy.latency), Duration::from_millis(120));
        assert_eq!(seen.count(|outcome| outcome == Outcome::Shed), 1);
    }
}
