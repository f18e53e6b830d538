//! `redis-cli` and `redis-benchmark`.

use super::scene::{PATIENCE, Scene, until};
use super::{DEBT, PATIENT, RESP, key, port, skipped};
use std::process::{Command, Output};
use stock::NodeId;

/// Runs a program of redis-tools; none, said aloud, where there is none.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(args).output().ok();
    if output.is_none() {
        skipped(&format!("there is no {program} here (Debian package redis-tools)"));
    }
    output
}

/// What redis-cli prints to one command.
fn cli(scene: &Scene, node: u64, command: &str) -> Option<String> {
    let port = port(scene, NodeId(node));
    let args: Vec<&str> = ["-p", &port].into_iter().chain(command.split(' ')).collect();
    let output = run("redis-cli", &args)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.trim_end().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cli_sells_the_last_unit_and_no_more() {
    let mut scene = Scene::open_for_failover(7, &RESP).await;
    for (node, command, says) in [
        (1, "PING", "PONG"),
        (1, "ECHO hello", "hello"),
        (2, "GET stok", ""),
        (2, "EXISTS stok", "0"),
        (2, "TYPE stok", "none"),
        (2, "DECR stok", "SOLDOUT stok has none left"),
        (1, "SET stok 3", "OK"),
        (2, "SET stok 5 NX", ""),
        (2, "SET nothing 5 XX", ""),
        (3, "GET stok", "3"),
        (3, "TYPE stok", "string"),
        (2, "MGET stok nothing sneaker", "3\n\n7"),
        (3, "EXISTS stok nothing sneaker", "2"),
        (1, "DECR stok", "2"),
        (2, "DECRBY stok 5", "SOLDOUT stok has 2 left, fewer than asked for"),
        (2, "DECRBY stok 2", "0"),
        (3, "DECR stok", "SOLDOUT stok has none left"),
        (1, "INCR stok", "1"),
        (2, "INCRBY new 41", "41"),
        (3, "INCRBY new -1", "40"),
        (3, "DEL stok new nothing", "2"),
        (1, "GET stok", ""),
        (1, "SET stok 9 NX", "OK"),
        (1, "SELECT 0", "OK"),
        (
            1,
            "SET stok 9 EX 10",
            "ERR SET option 'EX' is not supported: stock does not expire; this listener takes NX or XX",
        ),
        (1, "FLUSHALL", "ERR unknown command 'FLUSHALL', with args beginning with: "),
        (1, "-3 HELLO 3", "server flashnode"),
    ] {
        let Some(said) = cli(&scene, node, command) else { return };
        let said = if says.starts_with("server") { said.replace('\n', " ") } else { said };
        assert!(
            if says.starts_with("server") {
                said.starts_with(says)
            } else {
                said == says.trim_end()
            },
            "{command} at node {node}: {said:?}, not {says:?}"
        );
    }
    // Each decrement that was a yes is an order, and what a set or a deletion moved is stock.
    let product = scene.client.product(&key("stok")).await.expect("it is a product");
    assert_eq!((product.sold, product.available, product.stocked), (3, 9, 12));
    let product = scene.client.product(&key("new")).await.expect("it is a product");
    assert_eq!((product.sold, product.available), (1, 0));
    let sold = scene.client.product(&key("sneaker")).await.expect("it is there").sold;
    assert_eq!(sold, 0, "what was only looked at is as it was");
    // All of it is durable: every node dies, and says the same.
    for node in 1..=3 {
        scene.cluster.kill(NodeId(node)).expect("it runs");
    }
    for node in 1..=3 {
        scene.cluster.start_node(NodeId(node)).expect("it starts again");
    }
    scene.cluster.wait_ready(PATIENCE).await.expect("they are back");
    assert_eq!(cli(&scene, 3, "MGET stok new").as_deref(), Some("9"));
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_debt_the_usual_code_works_and_nothing_is_oversold() {
    const UNITS: usize = 40;
    const BUYERS: usize = 120;
    let scene = Scene::open(1, &[&DEBT[..], &PATIENT].concat()).await;
    if cli(&scene, 1, &format!("SET stok {UNITS}")).is_none() {
        return;
    }
    // The usual code, against all nodes at once: DECR, and INCR when that was below zero.
    let ports: Vec<String> = (1..=3).map(|node| port(&scene, NodeId(node))).collect();
    let buyers = (0..BUYERS).map(|buyer| {
        let port = ports[buyer % ports.len()].clone();
        tokio::task::spawn_blocking(move || {
            let say = |command: &str| {
                let output =
                    run("redis-cli", &["-p", &port, command, "stok"]).expect("it was here");
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.trim().parse::<i64>().unwrap_or_else(|_| panic!("{command}: {text}"))
            };
            let won = say("DECR") >= 0;
            if !won {
                say("INCR");
            }
            won
        })
    });
    let mut won = 0;
    for buyer in buyers.collect::<Vec<_>>() {
        won += usize::from(buyer.await.expect("a buyer"));
    }
    assert_eq!(won, UNITS, "as many yeses as units");
    assert_eq!(cli(&scene, 2, "GET stok").as_deref(), Some("0"), "all debts are paid");
    let product = scene.client.product(&key("stok")).await.expect("it is a product");
    assert_eq!((product.sold, product.available, product.stocked), (40, 0, 40));
    // Debt is below zero, is paid first, and is not for sale to anybody.
    for (command, says) in
        [("DECRBY stok 5", "-5"), ("GET stok", "-5"), ("INCRBY stok 7", "2"), ("DECR stok", "1")]
    {
        assert_eq!(cli(&scene, 3, command).as_deref(), Some(says), "{command}");
    }
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_benchmark_counts_each_increment_once() {
    const INCREMENTS: u64 = 20_000;
    let scene = Scene::open(1, &[RESP, PATIENT].concat()).await;
    let (port, count) = (port(&scene, NodeId(2)), INCREMENTS.to_string());
    let args = ["-p", &port, "-c", "50", "-P", "16", "-n", &count, "-t", "incr", "-q"];
    let Some(output) = run("redis-benchmark", &args) else { return };
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
    assert!(output.status.success() && text.contains("INCR:"), "{text}");
    eprintln!("{}", text.lines().rfind(|line| line.contains("per second")).unwrap_or_default());
    let counted = key("counter:__rand_int__");
    let product = scene.client.product(&counted).await.expect("it is a product");
    assert_eq!((product.available, product.sold), (INCREMENTS, 0));
    until("all nodes to have it", || async {
        (cli(&scene, 3, "GET counter:__rand_int__")? == count).then_some(())
    })
    .await;
}
