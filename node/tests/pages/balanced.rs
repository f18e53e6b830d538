//! The control room behind a balancer, where nobody can choose whom to ask.

use super::Play;
use super::scene::until;
use client::new_request_id;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use stock::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Sends each request to the next node in turn, over a connection of its own.
pub(crate) async fn balance(nodes: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (nodes, turn) = (Arc::new(nodes), AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            let first = turn.fetch_add(1, Ordering::Relaxed);
            // Whoever goes away before the end needs no answer.
            tokio::spawn(pass(from, Arc::clone(&nodes), first));
        }
    });
    address
}

async fn pass(mut from: TcpStream, nodes: Arc<Vec<String>>, first: usize) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if from.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head);
    let (line, rest) = text.split_once("\r\n").unwrap_or_default();
    let rest = rest.replace("Connection: keep-alive\r\n", "");
    let head = format!("{line}\r\nConnection: close\r\n{rest}");
    // One that is dead takes no connection.
    for step in 0..nodes.len() {
        if let Ok(mut to) = TcpStream::connect(&nodes[(first + step) % nodes.len()]).await {
            to.write_all(head.as_bytes()).await?;
            copy_bidirectional(&mut from, &mut to).await?;
            break;
        }
    }
    Ok(())
}

/// Notes what the rates' chart says, and how often the nodes were asked.
const NOTE: &str = "window.said = [];
    window.asked = 0;
    const real = window.fetch;
    window.fetch = (...asked) => {
        if (String(asked[0]).endsWith('/metrics')) window.asked += 1;
        return real(...asked);
    };
    const canvas = document.querySelector('#rates canvas');
    const note = () => window.said.push(canvas.ariaLabel);
    new MutationObserver(note).observe(canvas, { attributeFilter: ['aria-label'] });
    note()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_counts_for_itself_behind_a_balancer() {
    let Some(mut play) = Play::open(1_000_000, &[]).await else { return };
    // Their counters are far apart, and stand still.
    for (node, buys) in [(1, 120), (2, 40), (3, 4)] {
        for buyer in 0..buys {
            play.scene.buy_at(NodeId(node), &format!("before-{node}-{buyer}")).await;
        }
    }
    let address = balance(play.scene.cluster.addresses()).await;
    let browser = &play.browser;
    browser.visit(&format!("http://{address}/control")).await;
    browser.says("#nodes table", "leader").await;
    browser.says("#rates .what", "Answers of all nodes").await;
    browser.run(NOTE).await;
    until("some looks", || async {
        let asked: usize = browser.run("return window.asked").await.parse().ok()?;
        (asked > 80).then_some(())
    })
    .await;
    let said = browser.run("return window.said.join('; ')").await;
    // The first look may still be under way, and says nothing.
    let mut looks = said.split("; ").filter(|one| !one.is_empty());
    let wrong = looks.find(|one| !one.contains("Now: accepted 0, refused 0, failed 0"));
    assert_eq!(wrong, None, "nobody buys: {said}");

    // Each node's rate is its own.
    let client = Arc::clone(&play.scene.client);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let buying = tokio::spawn(async move {
        for buyer in 0.. {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            let user = super::scene::buy(&format!("during-{buyer}"));
            // Ten at the first for one at the second; what comes of each is not the question.
            let node = usize::from(buyer % 11 == 0);
            client.buy_once(node, &user, &new_request_id(), 1).await;
        }
    });
    let rates = "return [...document.querySelectorAll('#nodes tbody tr')]
        .map((row) => row.lastChild.innerText.replace(',', '')).join(' ')";
    until("each node's own rate", || async {
        let rates = browser.run(rates).await;
        let rates: Vec<u64> = rates.split(' ').filter_map(|rate| rate.parse().ok()).collect();
        let [first, second, third] = rates[..] else { return None };
        (first > second && second > 0 && third == 0).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    buying.await.expect("the buyer goes home");

    // What is shown says of whom it is.
    let gone = play.scene.follower().await;
    let mut left: Vec<u64> = vec![1, 2, 3];
    left.retain(|id| NodeId(*id) != gone);
    play.scene.cluster.kill(gone).expect("a node dies");
    let of = format!("Answers of nodes {} and {}", left[0], left[1]);
    play.browser.says("#rates .what", &of).await;
    play.browser.says("#latency .what", &format!("nodes {} and {}", left[0], left[1])).await;
    play.browser.says("#nodes tr.unreachable", "down").await;
}

/// Opened at a node, every node is asked, and whoever dies is left out at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_is_asked_where_all_can_be() {
    let Some(mut play) = Play::open(10, &[]).await else { return };
    play.visit(NodeId(1), "/control").await;
    play.browser.says("#rates .what", "Answers of all nodes").await;
    play.scene.cluster.kill(NodeId(3)).expect("a node dies");
    play.browser.says("#rates .what", "Answers of nodes 1 and 2").await;
    play.scene.cluster.start_node(NodeId(3)).expect("it is back");
    play.browser.says("#rates .what", "Answers of all nodes").await;
}
