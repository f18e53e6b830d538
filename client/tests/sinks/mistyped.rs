//! A target that was mistyped leaves nothing behind: neither a cursor that has to be removed, nor,
//! where it is no target at all, an attempt.

use super::program::{beside, code, stderr, stdout};
use super::scene::{PATIENCE, Scene, Sink, once, until};
use super::servers::{Nats, RabbitMq, free_port};
use super::webhook::{Receiver, SECRET};

/// What `flashctl cursor list` prints.
async fn cursors(nodes: &str) -> String {
    let listed = beside(&["cursor", "list", "--nodes", nodes]).await;
    assert_eq!(code(&listed), 0, "{}", stderr(&listed));
    stdout(&listed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_target_is_said_at_once() {
    let nodes = "127.0.0.1:1";
    for (args, told) in [
        (["nats", "--to", "nats//a"], "use nats://HOST"),
        (["nats", "--to", "http://a:4222"], "use nats://HOST"),
        (["rabbitmq", "--to", "a:5672"], "use amqp://USER"),
        (["rabbitmq", "--to", "amqps://u:hush@a/"], "amqps:// is not built in"),
        (["webhook", "--url", "htp://u:hush@a/b"], "it is neither http:// nor https://"),
        (["postgres", "--to", "postgres//a/b"], "the connection string"),
        (["postgres", "--to", "postgress://u:hush@a/b?sslmode=require"], "a URL of another kind"),
    ] {
        let all = [&["sink"], &args[..], &["--nodes", nodes]].concat();
        let refused = tokio::time::timeout(PATIENCE, beside(&all)).await;
        let refused = refused.unwrap_or_else(|_| panic!("{args:?} is taken for a target"));
        let said = stderr(&refused);
        assert_eq!(code(&refused), 2, "{args:?}: {said}");
        assert!(said.contains(told) && !said.contains("hush"), "{args:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_bound_by_the_first_move() {
    let scene = Scene::open(&[]).await;
    scene.sell("drop", 1).await;
    let (nodes, nobody) = (scene.nodes(), format!("127.0.0.1:{}", free_port()));
    let (queue, stream) = (RabbitMq::start().await, Nats::start().await);
    let (url, receiver) = Receiver::kind().start().await;
    // Nobody listens there, or somebody who has no such path.
    let elsewhere = url.replace("/hook", "/hok");
    let mut wrong: Vec<(&str, &str, String)> = vec![
        ("webhook", "--url", format!("http://{nobody}/hook")),
        ("webhook", "--url", elsewhere),
    ];
    let mut right: Vec<(&str, &str, String)> = vec![("webhook", "--url", url)];
    if let Some(queue) = &queue {
        wrong.push(("rabbitmq", "--to", format!("amqp://{nobody}/%2f")));
        right.push(("rabbitmq", "--to", queue.url()));
    }
    if let Some(stream) = &stream {
        wrong.push(("nats", "--to", format!("nats://{nobody}")));
        right.push(("nats", "--to", stream.url()));
    }
    let secret = |target: &str| if target == "webhook" { &["--secret", SECRET][..] } else { &[] };
    for (target, option, to) in &wrong {
        let args = [&[*target, option, to, "--nodes", &nodes], secret(target)].concat();
        let mut sink = Sink::start(&args, scene.cluster.dir().join("wrong.log"));
        until("a failure", async || sink.told().contains("trying again").then_some(())).await;
        assert!(sink.runs(), "{to}: {}", sink.told());
        sink.kill();
        std::fs::remove_file(&sink.log).unwrap();
        assert_eq!(cursors(&nodes).await, "no cursors\n", "{to}");
    }
    for (target, option, to) in &right {
        once(&[&[*target, option, to, "--nodes", &nodes], secret(target)].concat()).await;
    }
    let all = cursors(&nodes).await;
    assert_eq!(all.lines().count(), right.len(), "{all}");
    assert!(all.lines().all(|line| line.contains("at 1  ") && !line.contains("hok/")), "{all}");
    assert_eq!(receiver.lock().unwrap().seen.newest(), 1);
}
