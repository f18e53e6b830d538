//! Listeners that are many, and listeners that never read.

use super::levels::Levels;
use super::scene::http::{Ask, Caller};
use super::scene::{PATIENCE, Scene, until};
use super::{Stream, buy, buy_batch, listeners};
use client::batch::{BatchBuy, Form};
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stock::api::{ChangeView, PostBuy, PutProduct};
use stock::{Quantity, RequestId, Sku, UserId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::connect_async;

/// Asks for a path, and reads nothing of the answer: there is hardly room for any on this side.
async fn ask_and_never_read(address: &str, path: &str, headers: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
    let mut tcp = socket.connect(address.parse().expect("an address")).await.expect("it listens");
    let ask = format!("GET {path} HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
    tcp.write_all(ask.as_bytes()).await.expect("it is read");
    tcp
}

/// All that a connection still gives before its end, which may be a reset.
async fn read_to_the_end(mut tcp: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut bytes)).await;
    // Either end is one.
    let _cut_or_reset = read.expect("the node has ended it");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_is_cut_off_and_holds_up_nobody() {
    const SILENT: usize = 6;
    const CALL: usize = 2_000;
    let scene = Scene::open(1_000_000_000, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let from_the_first = "last-event-id: 0\r\n";
        silent.push(ask_and_never_read(&caller.nodes[0], "/v1/events", from_the_first).await);
    }
    let mut reader = Stream::open(&caller, 0, Some(0)).await;
    let (everyone, farewell) = (SILENT as u64 + 1, UserId::new("the-last").expect("an id"));
    until("all to listen", || async {
        (listeners(&caller, 0, "events").await == everyone).then_some(())
    })
    .await;
    // One who reads, and goes on doing so.
    let reading = tokio::spawn(async move {
        let mut told = Vec::new();
        loop {
            let event = reader.next().await.expect("the stream goes on");
            told.push(event.seq.0);
            if matches!(&event.change, ChangeView::Ordered { user_id, .. } if *user_id == farewell)
            {
                return told;
            }
        }
    });
    // Others buy, at this node in turn with the others, until the first who never reads is cut off.
    let (mut began, mut beside, mut last, mut calls) = (0, 0, 0, 0);
    while listeners(&caller, 0, "events").await == everyone {
        // The last call that was settled while all were there: from where on, and up to where.
        (began, beside) = (beside, last);
        last = buy_batch(&scene, &format!("call-{calls}"), CALL).await;
        calls += 1;
    }
    until("all who never read to be cut off", || async {
        (listeners(&caller, 0, "events").await == 1).then_some(())
    })
    .await;
    // Who reads was told everything, once.
    let end = buy(&caller, 1, "the-last").await;
    assert_eq!(reading.await.expect("it reads to the end"), (1..=end).collect::<Vec<u64>>());
    for tcp in silent {
        // What this one takes after all is what the buffers in between have held. Had a buy to wait
        // for its listeners, no call that began beyond that was settled until they were cut off.
        let told = String::from_utf8_lossy(&read_to_the_end(tcp).await).into_owned();
        let ids = told.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok());
        let held = ids.max().unwrap_or(0);
        println!("it held {held} of {beside} events that were made while it sat there");
        assert!(began >= held && beside > began, "{held} held, {began} to {beside} made beside");
    }
}

/// What a listener to levels has not read is not kept for it, but its connection is, for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_levels_is_cut_off_and_who_reads_is_right_in_the_end() {
    const PRODUCTS: usize = 1_500;
    const AT_A_TIME: usize = 32;
    let scene = Scene::open(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    // Long ids: a look is then hundreds of KiB.
    let skus: Vec<Sku> = (0..PRODUCTS)
        .map(|at| Sku::new(format!("{}{at}", "p".repeat(60))).expect("a valid id"))
        .collect();
    let put = PutProduct { name: "P".into(), stock: 1_000_000, ..PutProduct::default() };
    for some in skus.chunks(AT_A_TIME) {
        let creates = some.iter().map(|sku| scene.client.create_product(sku, &put));
        for created in futures_util::future::join_all(creates).await {
            created.expect("it is put on sale");
        }
    }
    let mut reader = Levels::events(&caller.nodes[0]).await;
    let silent = ask_and_never_read(&caller.nodes[0], "/v1/levels", "").await;
    until("both to listen", || async {
        (listeners(&caller, 0, "levels").await == 2).then_some(())
    })
    .await;
    let (done, is_done) = tokio::sync::watch::channel(None::<u64>);
    let last = skus[0].to_string();
    let reading = tokio::spawn(async move {
        loop {
            let (product, stock) = reader.next().await;
            if product == last && *is_done.borrow() == Some(stock) {
                return stock;
            }
        }
    });
    let mut rounds = 0;
    while listeners(&caller, 0, "levels").await == 2 {
        let buy = |(at, sku): (usize, &Sku)| {
            let name = format!("round-{rounds}-{at}");
            let user = UserId::new(&*name).expect("an id");
            let buy = PostBuy { product_id: sku.clone(), user_id: user, quantity: Quantity::ONE };
            BatchBuy { request: RequestId::new(name).expect("an id"), buy }
        };
        let buys: Vec<BatchBuy> = skus.iter().enumerate().map(buy).collect();
        scene.client.buy_batch(&buys, Form::Array).await;
        rounds += 1;
    }
    println!("it was cut off after {rounds} rounds");
    // It ends, be it with a reset, and not with the node's goodbye.
    let told = read_to_the_end(silent).await;
    assert!(!told.ends_with(b"0\r\n\r\n"), "it was cut off");
    // One who reads is told the last level, whatever it has missed.
    done.send_replace(Some(1_000_000 - rounds - 1));
    scene.client.restock((&skus[0], -1), &client::new_request_id()).await;
    assert_eq!(reading.await.expect("it reads to the end"), 1_000_000 - rounds - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_that_nobody_reads_are_few_and_come_to_an_end() {
    const EXPORTS_MAX: usize = 2;
    let scene = Scene::open(100_000, &[]).await;
    let caller = Caller::new(&scene.cluster);
    for call in 0..6 {
        buy_batch(&scene, &format!("call-{call}"), 10_000).await;
    }
    let mut silent = Vec::new();
    for _ in 0..EXPORTS_MAX {
        let mut tcp = ask_and_never_read(&caller.nodes[1], "/v1/export", "").await;
        // It has begun.
        tcp.read_exact(&mut [0; 12]).await.expect("its status");
        silent.push(tcp);
    }
    let refused = caller.get(1, "/v1/export").await;
    assert_eq!((refused.status, refused.kind()), (503, "/problems/overloaded"));
    assert_eq!(caller.get(0, "/v1/export").await.status, 200, "another node has room");
    let whole = until("room for an export again", || async {
        let (answer, text) = caller.text(1, Method::GET, "/v1/export", Ask::default()).await;
        (answer.status == 200).then_some(text)
    })
    .await;
    assert!(whole.contains("{\"line\":\"end\""), "it is whole");
    for tcp in silent {
        let told = read_to_the_end(tcp).await;
        assert!(!String::from_utf8_lossy(&told).contains("{\"line\":\"end\""), "it was cut off");
    }
}

/// Raises what this process may open as far as it may; returns that.
fn open_files_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
    limit.maximum.unwrap_or(u64::MAX)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_listeners_cost_little_and_hear_the_next_change() {
    /// What this process needs besides.
    const OTHER_FILES: u64 = 500;
    const KIB_MAX: u64 = 64;
    let count = open_files_max().saturating_sub(OTHER_FILES).min(2_000);
    assert!(count >= 100, "this machine lets a process open too few files to test anything");
    let scene = Scene::open(10, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let pid = scene.cluster.nodes()[2].pid().expect("it runs");
    let before = resident_kib(pid);
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut tcp = TcpStream::connect(&caller.nodes[2]).await.expect("it listens");
        tcp.write_all(b"GET /v1/events HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("it is read");
        idle.push(tcp);
    }
    until("all to listen", || async {
        (listeners(&caller, 2, "events").await == count).then_some(())
    })
    .await;
    let each = resident_kib(pid).saturating_sub(before) / count;
    println!("{count} idle listeners, {each} KiB each");
    assert!(each < KIB_MAX, "{each} KiB for an idle listener");
    let changed = buy(&caller, 0, "ann").await;
    for (place, tcp) in idle.iter_mut().enumerate() {
        let end = format!("id: {changed}\n");
        let (mut told, mut buffer) = (Vec::new(), [0; 4096]);
        while !told.windows(end.len()).any(|bytes| bytes == end.as_bytes()) {
            let read = tokio::time::timeout(PATIENCE, tcp.read(&mut buffer)).await;
            let length = read.expect("it is told").expect("it is open");
            assert!(length > 0, "listener {place} of {count} was cut off");
            told.extend_from_slice(&buffer[..length]);
        }
        let ids = told.windows(4).filter(|bytes| *bytes == b"id: ").count();
        assert_eq!(ids, 1, "listener {place} was told of {ids} changes, and there was one");
    }
    assert_eq!(listeners(&caller, 2, "events").await, count);
}

/// All kinds of listeners share the places, and leave the rest of the connections to buyers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_listener_too_many_is_told_so_and_buyers_find_room() {
    const PLACES: usize = 45;
    let scene = Scene::open(5, &["--max-connections", "60"]).await;
    let caller = Caller::new(&scene.cluster);
    let node = &caller.nodes[0];
    let socket = connect_async(format!("ws://{node}/ws")).await.expect("a place");
    let feed = Stream::open(&caller, 0, None).await;
    let mut levels = Vec::new();
    for _ in 2..PLACES {
        levels.push(Levels::events(node).await);
    }
    for path in ["/v1/levels", "/v1/events"] {
        let answer = caller.get(0, path).await;
        assert_eq!((answer.status, answer.kind()), (503, "/problems/too-many-listeners"), "{path}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let refused = connect_async(format!("ws://{node}/ws")).await.expect_err("no place");
    assert!(refused.to_string().contains("503"), "{refused}");
    let (_, metrics) = caller.text(0, Method::GET, "/metrics", Ask::default()).await;
    for line in ["flashnode_listeners_max 45", "flashnode_listeners_refused_total 3"] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
    buy(&caller, 0, "ann").await;
    let mut elsewhere = Levels::events(&caller.nodes[1]).await;
    while elsewhere.next().await != ("sneaker".to_owned(), 4) {}
    // A place is free as soon as its listener is gone, of whichever kind that was.
    drop((socket, feed));
    for _ in 0..2 {
        let place = until("a place", || async {
            let answer = caller.http.get(format!("http://{node}/v1/levels")).send().await.ok()?;
            (answer.status() == 200).then_some(answer)
        })
        .await;
        levels.push(Levels::Events { answer: place, unread: String::new() });
    }
    assert_eq!(caller.get(0, "/v1/levels").await.status, 503);
}
