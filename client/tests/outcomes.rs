//! The three outcomes of a buy, told apart on a real socket: scripted servers answer, reset,
//! fall silent or talk nonsense, and count the attempts that reach them.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

use client::{BuyAnswer, Client, RefusedKind, Timeouts, new_request_id};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stock::api::{PostBuy, PostHold};
use stock::{Quantity, Seq, Sku, UserId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ORDER: &str = r#"{"order_id":7,"product_id":"p","user_id":"u","quantity":1,
    "remaining":3,"seq":7,"node":1,"leader":1}"#;

/// What a server does with one request.
#[derive(Debug, Clone)]
enum Act {
    /// A whole answer.
    Answer(u16, String),
    /// As [`Act::Answer`], naming the node itself and the leader.
    Hint(u16, String, [u64; 2]),
    /// Closes without a byte.
    Close,
    /// Closes with a TCP reset, without a byte.
    Reset,
    /// Part of an answer, then closes.
    Half,
    /// Reads, and never answers.
    Silence,
    /// Bytes that are not HTTP.
    Nonsense,
}

fn problem(kind: &str, status: u16) -> String {
    format!(r#"{{"type":"/problems/{kind}","title":"t","status":{status},"detail":"d"}}"#)
}

fn answer(status: u16, body: impl Into<String>) -> Act {
    Act::Answer(status, body.into())
}

/// One request as it arrived: its key and its attempt number.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A node that plays its script, one act a request, the last one for ever.
async fn server(script: Vec<Act>) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut acts = script.into_iter().peekable();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let act = acts.next().unwrap();
            if acts.peek().is_none() {
                acts = vec![act.clone()].into_iter().peekable();
            }
            tokio::spawn(play(socket, act, Arc::clone(&record)));
        }
    });
    (address, seen)
}

async fn play(mut socket: TcpStream, act: Act, seen: Seen) {
    let mut request = Vec::new();
    // The whole head and the body, which is the last thing and ends with a brace; a release and a
    // read have none.
    let whole = |request: &[u8]| {
        let head = request.windows(4).any(|end| end == b"\r\n\r\n");
        let without = [&b"DELETE "[..], b"GET "].iter().any(|method| request.starts_with(method));
        head && (without || request.ends_with(b"}"))
    };
    while !whole(&request) {
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the client closed in the middle of its request");
        request.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8(request).unwrap();
    let header = |name: &str| {
        let line = text.lines().find(|line| line.to_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": ")).map_or(String::new(), |(_, v)| v.to_owned())
    };
    seen.lock().unwrap().push((header("idempotency-key"), header("flashnode-attempt")));
    let write = |status: u16, body: &str, headers: &str| {
        format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{headers}\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    match act {
        Act::Answer(status, body) => {
            socket.write_all(write(status, &body, "").as_bytes()).await.unwrap();
        }
        Act::Hint(status, body, [node, leader]) => {
            let headers = format!("flashnode-node: {node}\r\nflashnode-leader: {leader}\r\n");
            socket.write_all(write(status, &body, &headers).as_bytes()).await.unwrap();
        }
        Act::Close => {}
        Act::Reset => socket.set_zero_linger().unwrap(),
        Act::Half => {
            let whole = write(201, ORDER, "");
            socket.write_all(&whole.as_bytes()[..whole.len() - 20]).await.unwrap();
        }
        Act::Silence => std::future::pending().await,
        Act::Nonsense => socket.write_all(b"SSH-2.0-nonsense\r\n").await.unwrap(),
    }
}

/// An address at which nothing listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// What an answer takes at most, on a busy machine.
const ATTEMPT: Duration = Duration::from_secs(2);

/// One that goes on for as long as there is something to wait for.
fn client(nodes: &[&str]) -> Client {
    giving_up_after(ATTEMPT * 10, nodes)
}

/// One that is left without a decision in the end.
fn undecided_client(nodes: &[&str]) -> Client {
    giving_up_after(ATTEMPT, nodes)
}

fn giving_up_after(time: Duration, nodes: &[&str]) -> Client {
    let timeouts = Timeouts { connect: ATTEMPT, attempt: ATTEMPT, give_up: time, settle: time };
    Client::with_timeouts(nodes.iter().map(ToString::to_string).collect(), timeouts).unwrap()
}

fn buy() -> PostBuy {
    PostBuy {
        product_id: Sku::new("p").unwrap(),
        user_id: UserId::new("u").unwrap(),
        quantity: Quantity::ONE,
    }
}

async fn once(act: Act) -> BuyAnswer {
    let (address, _) = server(vec![act]).await;
    client(&[&address]).buy_once(0, &buy(), &new_request_id(), 1).await
}

#[tokio::test]
async fn one_attempt_is_decided_when_the_node_says_so() {
    let yes = once(answer(201, ORDER)).await;
    assert!(matches!(yes, BuyAnswer::Accepted { replayed: false, .. }), "{yes:?}");
    let no = once(answer(410, problem("sold-out", 410))).await;
    assert!(matches!(no, BuyAnswer::Refused { kind: RefusedKind::SoldOut, .. }), "{no:?}");
}

#[tokio::test]
async fn one_attempt_is_not_proposed_when_nothing_was_sent_or_the_node_says_so() {
    let address = nobody().await;
    let refused = client(&[&address]).buy_once(0, &buy(), &new_request_id(), 1).await;
    assert!(matches!(refused, BuyAnswer::NotProposed { .. }), "{refused:?}");
    let busy = once(answer(503, problem("overloaded", 503))).await;
    assert!(matches!(busy, BuyAnswer::NotProposed { .. }), "{busy:?}");
}

#[tokio::test]
async fn one_attempt_is_unknown_whenever_the_node_may_have_proposed_it() {
    for act in [
        Act::Close,
        Act::Reset,
        Act::Half,
        Act::Silence,
        Act::Nonsense,
        answer(504, problem("outcome-unknown", 504)),
        answer(500, problem("internal", 500)),
        answer(503, "<html>a proxy's words</html>"),
        answer(201, "{\"order_id\":\"seven\"}"),
        answer(201, ""),
        answer(410, "Gone"),
    ] {
        let unknown = once(act.clone()).await;
        assert!(matches!(unknown, BuyAnswer::Unknown { .. }), "{act:?}: {unknown:?}");
    }
}

#[tokio::test]
async fn only_an_unknown_attempt_raises_the_number() {
    let (address, seen) = server(vec![
        answer(503, problem("no-leader", 503)),
        Act::Reset,
        answer(503, problem("no-leader", 503)),
        answer(504, problem("outcome-unknown", 504)),
        answer(201, ORDER),
    ])
    .await;
    let request = new_request_id();
    let outcome = client(&[&address]).buy(&buy(), &request).await;
    assert!(matches!(outcome.answer, BuyAnswer::Accepted { .. }), "{outcome:?}");
    assert_eq!((outcome.attempts, outcome.attempt_number), (5, 3));
    let seen = seen.lock().unwrap();
    let numbers: Vec<&str> = seen.iter().map(|(_, number)| number.as_str()).collect();
    assert_eq!(numbers, ["1", "1", "2", "2", "3"]);
    assert!(seen.iter().all(|(key, _)| key == request.as_str()), "one key for all: {seen:?}");
}

/// A limit that outlasts the client's patience: asking again, anywhere, would gain nothing.
#[tokio::test]
async fn a_rate_limit_is_not_hammered() {
    let limited = |seconds: u64| {
        let kind = r#""type":"/problems/rate-limited","title":"t","status":429,"detail":"d""#;
        answer(429, format!(r#"{{{kind},"retry_after_ms":{}}}"#, seconds * 1_000))
    };
    let (address, seen) = server(vec![limited(60), answer(201, ORDER)]).await;
    let outcome = client(&[&address]).buy(&buy(), &new_request_id()).await;
    let BuyAnswer::NotProposed { retry_after, .. } = outcome.answer else {
        panic!("{outcome:?}");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(60)));
    assert_eq!(seen.lock().unwrap().len(), 1);
    // A short one is waited for, and so is the end of a doubt; and what is one node's alone is not
    // taken for one.
    let full = r#"{"type":"/problems/storage-full","title":"t","status":503,"detail":"d",
        "retry_after_ms":60000}"#;
    for script in [
        vec![limited(1), answer(201, ORDER)],
        vec![Act::Close, limited(60), answer(201, ORDER)],
        vec![answer(503, full), answer(201, ORDER)],
    ] {
        let (address, _) = server(script).await;
        let outcome = client(&[&address]).buy(&buy(), &new_request_id()).await;
        assert!(matches!(outcome.answer, BuyAnswer::Accepted { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_settles_an_unknown_attempt() {
    let sold_out = answer(410, problem("sold-out", 410));
    let (address, seen) = server(vec![Act::Close, sold_out]).await;
    let outcome = client(&[&address]).buy(&buy(), &new_request_id()).await;
    assert!(matches!(outcome.answer, BuyAnswer::Refused { .. }), "{outcome:?}");
    assert_eq!(seen.lock().unwrap()[1].1, "2");
}

#[tokio::test]
async fn once_in_doubt_it_stays_unknown_until_a_decision() {
    // The second node surely never proposes, but the first may have.
    let (lost, _) = server(vec![Act::Close, answer(503, problem("no-leader", 503))]).await;
    let (busy, _) = server(vec![answer(503, problem("overloaded", 503))]).await;
    let outcome = undecided_client(&[&lost, &busy]).buy(&buy(), &new_request_id()).await;
    assert!(matches!(outcome.answer, BuyAnswer::Unknown { .. }), "{outcome:?}");
    assert!(outcome.attempts > 2, "{outcome:?}");
}

#[tokio::test]
async fn without_any_doubt_it_ends_as_not_proposed() {
    let (dead, (busy, _)) =
        (nobody().await, server(vec![answer(503, problem("overloaded", 503))]).await);
    let outcome = undecided_client(&[&dead, &busy]).buy(&buy(), &new_request_id()).await;
    assert!(matches!(outcome.answer, BuyAnswer::NotProposed { .. }), "{outcome:?}");
    assert_eq!(outcome.attempt_number, 1);
}

#[tokio::test]
async fn a_buy_goes_on_from_the_attempt_it_is_told() {
    let (busy, seen) = server(vec![answer(503, problem("overloaded", 503))]).await;
    let outcome = undecided_client(&[&busy]).buy_from_attempt(&buy(), &new_request_id(), 4).await;
    assert!(matches!(outcome.answer, BuyAnswer::Unknown { .. }), "attempt 3 may have won");
    assert!(seen.lock().unwrap().iter().all(|(_, number)| number == "4"));
}

#[tokio::test]
async fn a_buy_in_doubt_outlasts_two_silent_nodes() {
    let ((one, _), (other, _)) =
        (server(vec![Act::Silence]).await, server(vec![Act::Silence]).await);
    let (alive, seen) = server(vec![answer(201, ORDER)]).await;
    let outcome = client(&[&one, &other, &alive]).buy(&buy(), &new_request_id()).await;
    assert!(matches!(outcome.answer, BuyAnswer::Accepted { .. }), "{outcome:?}");
    assert_eq!(seen.lock().unwrap()[0].1, "3", "both lost attempts count");
}

#[tokio::test]
async fn a_silent_node_is_passed_over_for_a_while() {
    let (silent, seen) = server(vec![Act::Silence]).await;
    let (alive, _) = server(vec![answer(201, ORDER)]).await;
    let client = client(&[&silent, &alive]);
    for _ in 0..6 {
        let outcome = client.buy(&buy(), &new_request_id()).await;
        assert!(matches!(outcome.answer, BuyAnswer::Accepted { .. }), "{outcome:?}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn another_node_takes_over_from_a_dead_one_at_once() {
    let (dead, (alive, _)) = (nobody().await, server(vec![answer(201, ORDER)]).await);
    let client = client(&[&dead, &alive]);
    let mut fastest = Duration::MAX;
    for _ in 0..4 {
        let started = std::time::Instant::now();
        let outcome = client.buy(&buy(), &new_request_id()).await;
        assert!(matches!(outcome.answer, BuyAnswer::Accepted { .. }), "{outcome:?}");
        assert_eq!((outcome.attempt_number, outcome.node), (1, 1));
        fastest = fastest.min(started.elapsed());
    }
    // A pause would be in each of them; a busy machine only in some.
    assert!(fastest < Duration::from_millis(250), "no pause before the other node: {fastest:?}");
}

#[tokio::test]
async fn a_hint_is_followed_once_its_node_is_known() {
    let busy = |node| Act::Hint(503, problem("no-leader", 503), [node, 3]);
    let (first, _) = server(vec![busy(1)]).await;
    let (second, skipped) = server(vec![busy(2)]).await;
    let (leader, _) = server(vec![Act::Hint(201, ORDER.into(), [3, 3])]).await;
    let client = client(&[&first, &second, &leader]);
    // Buys begin at the nodes in turn. The first one finds out where node 3 is.
    for attempts in [3, 2, 1] {
        assert_eq!(client.buy(&buy(), &new_request_id()).await.attempts, attempts);
    }
    let skipped_before = skipped.lock().unwrap().len();
    let outcome = client.buy(&buy(), &new_request_id()).await;
    assert_eq!((outcome.attempts, outcome.node), (2, 2), "from the first straight to the leader");
    assert_eq!(skipped.lock().unwrap().len(), skipped_before);
}

#[tokio::test]
async fn holds_confirms_and_releases_keep_their_key_over_retries() {
    const HELD: &str = r#"{"hold_id":3,"user_id":"u","items":[],"expires_at":
        "2026-11-21T18:00:00Z","seq":3,"node":1}"#;
    const SOLD: &str = r#"{"order_id":4,"user_id":"u","items":[],"hold_id":3,"seq":4,"node":1}"#;
    const FREED: &str = r#"{"hold_id":3,"items":[],"seq":5}"#;
    let script = |last: &str, status| {
        vec![Act::Close, answer(503, problem("no-leader", 503)), answer(status, last)]
    };
    let user = UserId::new("u").unwrap();
    for call in ["hold", "confirm", "release"] {
        let (body, status) = match call {
            "hold" => (HELD, 201),
            "confirm" => (SOLD, 201),
            _ => (FREED, 200),
        };
        let (address, seen) = server(script(body, status)).await;
        let (client, request) = (client(&[&address]), new_request_id());
        let (done, attempts, number) = match call {
            "hold" => {
                let hold = PostHold::one(Sku::new("p").unwrap(), Quantity::ONE, user.clone());
                let settled = client.hold(&hold, &request).await;
                (settled.answer.is_done(), settled.attempts, settled.attempt_number)
            }
            "confirm" => {
                let settled = client.confirm(Seq(3), &user, &request).await;
                (settled.answer.is_done(), settled.attempts, settled.attempt_number)
            }
            _ => {
                let settled = client.release(Seq(3), Some(&user), &request).await;
                (settled.answer.is_done(), settled.attempts, settled.attempt_number)
            }
        };
        assert!(done, "{call}");
        assert_eq!((attempts, number), (3, 2), "{call}");
        let seen = seen.lock().unwrap();
        let numbers: Vec<&str> = seen.iter().map(|(_, number)| number.as_str()).collect();
        assert_eq!(numbers, ["1", "2", "2"], "{call}");
        assert!(seen.iter().all(|(key, _)| key == request.as_str()), "{call}: {seen:?}");
    }
}

#[tokio::test]
async fn a_read_is_asked_of_every_node_before_it_is_given_up() {
    const PRODUCT: &str = r#"{"id":"p","name":"p","stocked":1,"available":1,"held":0,"sold":0,
        "seq":1}"#;
    // Nodes without a quorum may take all the time there is to say so.
    let patience = Timeouts { give_up: Duration::ZERO, ..Timeouts::default() };
    let (one, _) = server(vec![answer(503, problem("no-leader", 503))]).await;
    let (other, _) = server(vec![answer(503, problem("no-leader", 503))]).await;
    let (alive, _) = server(vec![answer(200, PRODUCT)]).await;
    for nodes in [[&one, &other, &alive], [&alive, &one, &other], [&other, &alive, &one]] {
        let client = Client::with_timeouts(nodes.map(Clone::clone).into(), patience).unwrap();
        assert_eq!(client.product(&Sku::new("p").unwrap()).await.unwrap().available, 1);
    }
    let client = Client::with_timeouts(vec![one, other], patience).unwrap();
    assert!(client.product(&Sku::new("p").unwrap()).await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn nodes_that_do_not_answer_are_known() {
    let (dead, (alive, _)) = (nobody().await, server(vec![answer(201, ORDER)]).await);
    let client = client(&[&dead, &alive]);
    assert_eq!(client.silent_nodes(), [0_usize; 0]);
    for _ in 0..2 {
        client.buy(&buy(), &new_request_id()).await;
    }
    assert_eq!(client.silent_nodes(), [0]);
}
