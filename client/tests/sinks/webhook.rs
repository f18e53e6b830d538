//! Every change at an HTTP receiver that says nothing now and then, or 503; and dead letters.

use super::scene::{Scene, Seen, Sink, buyers, until};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::io;
use std::sync::{Arc, Mutex};
use stock::NodeId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "a secret";

#[derive(Default)]
struct Receiver {
    seen: Seen,
    posts: u64,
    /// Refuses with 422 what has this id.
    refuses: Option<u64>,
}

/// Takes every batch; of each eleven, one gets no answer though it was taken, and one a 503.
async fn receive(listener: TcpListener, receiver: Arc<Mutex<Receiver>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let receiver = Arc::clone(&receiver);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            while answer(&mut stream, &receiver).await.unwrap_or(false) {}
        });
    }
}

async fn answer(stream: &mut BufReader<TcpStream>, receiver: &Mutex<Receiver>) -> io::Result<bool> {
    let (mut length, mut signature) = (0, String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let line = line.trim_end();
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("flashnode-signature", value)) => value.clone_into(&mut signature),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let (time, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(&body);
    let expected = mac.finalize().into_bytes();
    let at = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    assert!((0..hex.len() / 2).map(at).eq(expected), "{signature}");
    let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
    let status = {
        let mut receiver = receiver.lock().unwrap();
        receiver.posts += 1;
        let ids = events.iter().map(|event| event["id"].as_str().unwrap());
        let refused = receiver.refuses.map(|id| id.to_string());
        if let Some(refused) = ids.clone().find(|id| Some(*id) == refused.as_deref()) {
            // What comes next would be taken for one too many.
            receiver.seen.take(refused);
            "422 Unprocessable Content"
        } else if receiver.posts % 11 == 7 {
            "503 Service Unavailable"
        } else {
            for id in ids {
                receiver.seen.take(id);
            }
            if receiver.posts % 11 == 3 {
                return Ok(false);
            }
            "204 No Content"
        }
    };
    stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await?;
    // A 4xx or 5xx of unknown length ends with the connection.
    Ok(status.starts_with('2'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_receiver_hears_every_change_in_order() {
    let mut scene = Scene::open(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiver = Arc::new(Mutex::new(Receiver::default()));
    tokio::spawn(receive(listener, Arc::clone(&receiver)));
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let nodes = scene.nodes();
    let args = ["webhook", "--url", &url, "--secret", SECRET, "--batch", "100", "--nodes", &nodes];
    let mut sink = Sink::start(&args, scene.cluster.dir().join("sink.log"));
    let (storm, progress) = scene.storm(&sku, buyers);
    for step in 1..=6 {
        let due = buyers * step / 10;
        until("more orders", async || (progress.accepted_count() > due).then_some(())).await;
        if step == 3 {
            scene.replace(NodeId(1)).await;
        }
        sink.kill();
        sink.start_again();
    }
    storm.await.unwrap();
    let newest = scene.newest().await;
    until("the last change", async || {
        (receiver.lock().unwrap().seen.newest() >= newest.0).then_some(())
    })
    .await;
    let again = receiver.lock().unwrap().seen.again();
    assert!(again > 0, "what was taken and not answered comes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_often_enough_becomes_a_dead_letter() {
    let scene = Scene::open(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let refuses = Some(2);
    let receiver = Arc::new(Mutex::new(Receiver { refuses, ..Receiver::default() }));
    tokio::spawn(receive(listener, Arc::clone(&receiver)));
    for id in ["a", "b", "c"] {
        scene.sell(id, 1).await;
    }
    let file = scene.cluster.dir().join("dead.ndjson");
    let (nodes, dead) = (scene.nodes(), file.display().to_string());
    let args = [
        "sink",
        "webhook",
        "--url",
        &url,
        "--secret",
        SECRET,
        "--batch",
        "1",
        "--once",
        "--dead-letters",
        &dead,
        "--tries",
        "3",
        "--nodes",
        &nodes,
    ];
    let output = super::program::beside(&args).await;
    assert_eq!(super::program::code(&output), 0, "{}", super::program::stderr(&output));
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0]["message"]["id"], "2");
    assert!(lines[0]["why"].as_str().unwrap().contains("422"), "{text}");
    assert_eq!(receiver.lock().unwrap().seen.newest(), 3);
}
