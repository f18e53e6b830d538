//! An open loop: buys fall due by the clock, whatever became of those before.
//!
//! A closed loop sends less when it is answered late, and so hides what an overload and a failover
//! are like (Schroeder, Wierman, Harchol-Balter: "Open Versus Closed", NSDI 2006). Each connection
//! has its share of the schedule; a buy that finds its connection busy is sent late, and its
//! latency counts from when it was due (as wrk2 counts it). A connection that breaks is opened
//! again at the next node, as a buyer's would be; its buy is not tried again.

use bytes::Bytes;
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
    /// 503: surely not done.
    Shed,
    /// 504, or a broken connection: nobody knows.
    Unknown,
    /// Anything else, which no run should see.
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

/// Runs a plan to its end.
///
/// # Errors
/// When a task of it ends badly.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Seen> {
    let start = Instant::now();
    let mut connections = JoinSet::new();
    for number in 0..plan.connections {
        connections.spawn(connection(plan.clone(), number, start));
    }
    let mut seen = Seen::default();
    while let Some(buys) = connections.join_next().await {
        seen.buys.extend(buys?);
    }
    seen.buys.sort_unstable_by_key(|buy| buy.due);
    Ok(seen)
}

async fn connection(plan: Plan, number: usize, start: Instant) -> Vec<Bought> {
    let mut buys = Vec::new();
    let mut target = number % plan.targets.len();
    let mut open: Option<SendRequest<Full<Bytes>>> = None;
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

async fn connect(address: &str) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with its sender, or breaks, which the next buy on it finds out.
    tokio::spawn(connection);
    Some(sender)
}

async fn buy(sender: &mut SendRequest<Full<Bytes>>, key: &str) -> Outcome {
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
        answer.into_body().collect().await?;
        hyper::Result::Ok(status)
    };
    match tokio::time::timeout(ANSWER_MAX, answered).await {
        Ok(Ok(StatusCode::CREATED)) => Outcome::Accepted,
        Ok(Ok(StatusCode::GONE)) => Outcome::SoldOut,
        Ok(Ok(StatusCode::SERVICE_UNAVAILABLE)) => Outcome::Shed,
        // The node had closed the connection before any of it was written.
        Ok(Err(error)) if error.is_canceled() => Outcome::NotSent,
        Ok(Ok(StatusCode::GATEWAY_TIMEOUT) | Err(_)) | Err(_) => Outcome::Unknown,
        Ok(Ok(other)) => Outcome::Odd(other.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(due_ms: u64, latency_ms: u64, outcome: Outcome) -> Bought {
        let [due, latency] = [due_ms, latency_ms].map(Duration::from_millis);
        Bought { due, latency, service: latency, target: 0, outcome }
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
