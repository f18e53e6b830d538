//! Lines between two ends in this process, over real sockets.

use super::desk::{self, Outcome};
use super::frames::{MAGIC, Route, Status};
use super::line::{Greeted, Line, LineError};
use super::lines::{Lines, Way};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(1);
const PEER: NodeId = NodeId(2);

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// The line and its running task.
async fn open(address: &str) -> (Arc<Line>, JoinHandle<()>) {
    let Greeted::Line(line, answers) = Line::open(address).await.unwrap() else {
        panic!("HTTP only")
    };
    let line = Arc::new(line);
    let running = Arc::clone(&line);
    (line, tokio::spawn(async move { running.run(answers).await }))
}

fn answered(body: impl Into<Vec<u8>>) -> Outcome {
    Outcome { status: Status::Answered, body: body.into() }
}

/// A peer that answers each request with its body, but what begins with `w` only when told to.
async fn echo(told: Arc<Notify>) -> (String, JoinHandle<()>) {
    let (listener, address) = listener().await;
    let served = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let told = Arc::clone(&told);
            tokio::spawn(desk::serve(stream, move |_, body: Bytes| {
                let told = Arc::clone(&told);
                async move {
                    if body.first() == Some(&b'w') {
                        told.notified().await;
                    }
                    answered(body)
                }
            }));
        }
    });
    (address, served)
}

#[tokio::test]
async fn answers_come_in_any_order_and_find_their_callers() {
    let told = Arc::new(Notify::new());
    let (address, _peer) = echo(Arc::clone(&told)).await;
    let (line, _task) = open(&address).await;
    let slow = {
        let line = Arc::clone(&line);
        tokio::spawn(async move { line.call(Route::Append, b"wait", LONG).await })
    };
    // Larger than any socket's buffer, both ways, and many at once.
    let large = vec![7; 3 * 1024 * 1024];
    let calls = (0..20).map(|_| line.call(Route::Forward, &large, LONG));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), large);
    }
    assert!(!slow.is_finished(), "answered before its turn");
    told.notify_one();
    assert_eq!(slow.await.unwrap().unwrap(), "wait");
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_line_as_it_was() {
    let told = Arc::new(Notify::new());
    let (address, _peer) = echo(Arc::clone(&told)).await;
    let (line, _task) = open(&address).await;
    for _ in 0..50 {
        let call = line.call(Route::Append, b"wait", LONG);
        drop(tokio::time::timeout(Duration::ZERO, call).await);
    }
    // Its own time ran out, but the peer is not silent: it answers others meanwhile.
    let (late, ()) = tokio::join!(line.call(Route::Append, b"wait", SHORT), async {
        line.call(Route::Append, b"now", LONG).await.unwrap();
    });
    assert!(matches!(late, Err(LineError::TimedOut(_))), "{late:?}");
    assert!(!line.is_closed());
    // The answers to those that nobody waits for are thrown away.
    for _ in 0..51 {
        told.notify_one();
        assert_eq!(line.call(Route::Append, b"now", LONG).await.unwrap(), "now");
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_any_more_is_connected_to_anew() {
    let (listener, address) = listener().await;
    let peer = tokio::spawn(async move {
        // The first connection is greeted, and then as good as cut off.
        let (mut silent, _) = listener.accept().await.unwrap();
        silent.read_exact(&mut [0; MAGIC.len()]).await.unwrap();
        silent.write_all(&MAGIC).await.unwrap();
        let (second, _) = listener.accept().await.unwrap();
        desk::serve(second, |_, body: Bytes| async { answered(body) }).await.unwrap();
        drop(silent);
    });
    let lines = Lines::new([PEER].into_iter());
    let Way::Line(first) = lines.to(PEER, &address).await.unwrap() else { panic!("HTTP only") };
    let waiting = {
        let first = Arc::clone(&first);
        tokio::spawn(async move { first.call(Route::Forward, b"long", LONG).await })
    };
    let late = first.call(Route::Append, b"short", SHORT).await;
    assert!(matches!(late, Err(LineError::TimedOut(_))), "{late:?}");
    let closed = waiting.await.unwrap();
    assert!(matches!(closed, Err(LineError::Closed)), "nobody answers that one: {closed:?}");
    let Way::Line(second) = lines.to(PEER, &address).await.unwrap() else { panic!("HTTP only") };
    assert_eq!(second.call(Route::Append, b"again", LONG).await.unwrap(), "again");
    drop((first, second, lines));
    peer.await.unwrap();
}

#[tokio::test]
async fn a_host_that_is_gone_is_noticed_by_the_system() {
    let (listener, address) = listener().await;
    let (stream, taken) = tokio::join!(TcpStream::connect(&address), listener.accept());
    for stream in [stream.unwrap(), taken.unwrap().0] {
        super::line::prepare(&stream);
        assert!(rustix::net::sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(rustix::net::sockopt::tcp_keepidle(&stream).unwrap().as_secs(), 10);
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(&stream).unwrap(), 2_000);
    }
}

#[tokio::test]
async fn calls_end_when_the_peer_does() {
    let (listener, address) = listener().await;
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; MAGIC.len()]).await.unwrap();
        stream.write_all(&MAGIC).await.unwrap();
        // A request has come: the peer dies with it in hand.
        stream.read_exact(&mut [0; 13]).await.unwrap();
    });
    let lines = Lines::new([PEER].into_iter());
    let Way::Line(line) = lines.to(PEER, &address).await.unwrap() else { panic!("HTTP only") };
    let answer = line.call(Route::Append, b"four", LONG).await;
    assert!(matches!(answer, Err(LineError::Closed)), "{answer:?}");
    peer.await.unwrap();
    // Nobody listens: surely not taken, and said at once.
    assert!(lines.to(PEER, &address).await.is_err());
    assert!(lines.to(NodeId(9), &address).await.is_err(), "not configured");
}

#[tokio::test]
async fn what_a_peer_cannot_serve_is_said() {
    let (listener, address) = listener().await;
    let peer = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let act = |route, _: Bytes| async move {
            match Route::from_byte(route) {
                Some(Route::Clicks) => Outcome { status: Status::NoRoute, body: Vec::new() },
                _ => Outcome { status: Status::Failed, body: b"no frame".to_vec() },
            }
        };
        desk::serve(stream, act).await
    });
    let (line, _task) = open(&address).await;
    let answer = line.call(Route::Clicks, b"", LONG).await;
    assert!(matches!(answer, Err(LineError::NoRoute)), "{answer:?}");
    let answer = line.call(Route::Append, b"", LONG).await;
    assert!(matches!(&answer, Err(LineError::Failed(why)) if why == "no frame"), "{answer:?}");
    // What is no frame ends the connection, and nothing else.
    let mut raw = TcpStream::connect(&address).await.unwrap();
    drop(line);
    raw.write_all(b"\xf1garbage").await.unwrap();
    peer.abort();
}

/// As a node of an older build answers: its HTTP parser does not like the greeting.
#[tokio::test]
async fn a_build_without_lines_is_called_over_http() {
    let (listener, address) = listener().await;
    let _peer = tokio::spawn(async move {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.half_close(false);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let routes = hyper_util::service::TowerToHyperService::new(axum::Router::new());
            let io = hyper_util::rt::TokioIo::new(stream);
            drop(http.serve_connection(io, routes).await);
        }
    });
    let lines = Lines::new([PEER].into_iter());
    for _ in 0..2 {
        assert!(matches!(lines.to(PEER, &address).await, Ok(Way::HttpOnly)));
    }
}
