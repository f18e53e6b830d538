//! Every change at an HTTP receiver that says nothing now and then, or 503; and dead letters.

use super::certificates::Certificate;
use super::program::{beside, code, stderr};
use super::scene::{Scene, Seen, Sink, buyers, until};
use super::servers::NoServer;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) const SECRET: &str = "a secret";

#[derive(Default)]
pub(crate) struct Receiver {
    pub(crate) seen: Seen,
    posts: u64,
    /// The longest that was sent.
    body_bytes_most: usize,
    kind: bool,
    /// Refuses with 422 what has this id.
    refuses: Option<u64>,
}

impl Receiver {
    /// One that takes and answers everything.
    pub(crate) fn kind() -> Self {
        Self { kind: true, ..Self::default() }
    }

    /// Starts it, and tells its URL.
    pub(crate) async fn start(self) -> (String, Arc<Mutex<Self>>) {
        self.start_with(None).await
    }

    /// As [`Receiver::start`], with TLS where there is a certificate.
    pub(crate) async fn start_with(
        self,
        certificate: Option<&Certificate>,
    ) -> (String, Arc<Mutex<Self>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/hook", listener.local_addr().unwrap());
        let receiver = Arc::new(Mutex::new(self));
        let tls = certificate.map(Certificate::acceptor);
        tokio::spawn(receive(listener, tls, Arc::clone(&receiver)));
        (url, receiver)
    }
}

/// Takes every batch; unless it is kind, of each eleven, one gets no answer though it was taken,
/// and one a 503.
async fn receive(listener: TcpListener, tls: Option<TlsAcceptor>, receiver: Arc<Mutex<Receiver>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, receiver) = (tls.clone(), Arc::clone(&receiver));
        tokio::spawn(async move {
            let Some(tls) = tls else { return converse(stream, &receiver).await };
            // Who does not trust it is gone.
            if let Ok(stream) = tls.accept(stream).await {
                converse(stream, &receiver).await;
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, receiver: &Mutex<Receiver>) {
    let mut stream = BufReader::new(stream);
    while answer(&mut stream, receiver).await.unwrap_or(false) {}
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    receiver: &Mutex<Receiver>,
) -> io::Result<bool> {
    let (mut length, mut signature, mut is_known) = (0, String::new(), false);
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
            _ if line.starts_with("POST /hook ") => is_known = true,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    {
        let mut receiver = receiver.lock().unwrap();
        receiver.body_bytes_most = receiver.body_bytes_most.max(length);
    }
    if !is_known {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await?;
        stream.flush().await?;
        return Ok(false);
    }
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
        } else if receiver.posts % 11 == 7 && !receiver.kind {
            "503 Service Unavailable"
        } else {
            for id in ids {
                receiver.seen.take(id);
            }
            if receiver.posts % 11 == 3 && !receiver.kind {
                return Ok(false);
            }
            "204 No Content"
        }
    };
    stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    // A 4xx or 5xx of unknown length ends with the connection.
    Ok(status.starts_with('2'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_receiver_hears_every_change_in_order() {
    let mut scene = Scene::open(&[]).await;
    let (url, receiver) = Receiver::default().start().await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let nodes = scene.nodes();
    let args = ["webhook", "--url", &url, "--secret", SECRET, "--batch", "100", "--nodes", &nodes];
    let mut sinks = [Sink::start(&args, scene.cluster.dir().join("sink.log"))];
    let (storm, progress) = scene.storm(&sku, buyers);
    scene.kill_in_turn((&progress, buyers), &mut sinks, &mut NoServer).await;
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
    let refuses = Some(2);
    let (url, receiver) = Receiver { refuses, ..Receiver::default() }.start().await;
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
    let output = beside(&args).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0]["message"]["id"], "2");
    assert!(lines[0]["why"].as_str().unwrap().contains("422"), "{text}");
    assert_eq!(receiver.lock().unwrap().seen.newest(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_for_one_receiver() {
    let scene = Scene::open(&[]).await;
    scene.sell("drop", 1).await;
    let (one, first) = Receiver::kind().start().await;
    let (other, second) = Receiver::kind().start().await;
    let nodes = scene.nodes();
    let run = async |more: &[&str]| {
        let args = ["sink", "webhook", "--secret", SECRET, "--once", "--nodes", &nodes];
        beside(&[&args, more].concat()).await
    };
    assert_eq!(code(&run(&["--url", &one]).await), 0);
    let refused = run(&["--url", &other]).await;
    let (told, bare) = (stderr(&refused), other.trim_start_matches("http://"));
    assert_eq!(code(&refused), 1, "{told}");
    for part in ["the cursor webhook is for http://", bare, "flashctl cursor remove webhook"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(second.lock().unwrap().seen.newest(), 0);
    // Either of the two ways that it names.
    assert_eq!(code(&run(&["--url", &other, "--cursor", "another"]).await), 0);
    assert_eq!(second.lock().unwrap().seen.newest(), 1);
    let removed = beside(&["cursor", "remove", "webhook", "--nodes", &nodes]).await;
    assert_eq!(code(&removed), 0, "{}", stderr(&removed));
    assert_eq!(code(&run(&["--url", &other]).await), 0);
    assert_eq!(second.lock().unwrap().seen.again(), 1, "it was told all of it again");
    assert_eq!(first.lock().unwrap().seen.newest(), 1);
}
