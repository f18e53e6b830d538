//! TLS with servers whose certificates a test has made: with the right root the target is written
//! to, and with a wrong one, or where the server has no TLS, nothing goes over.

use super::certificates::{Authority, Certificate};
use super::postgres::Copy;
use super::program::{beside, code, stderr};
use super::scene::{Scene, Sink, once, until};
use super::servers::{Nats, Postgres};
use super::webhook::{Receiver, SECRET};

/// Someone whom the server's certificate is of, and someone else.
struct Roots {
    right: String,
    wrong: String,
}

/// A certificate of this machine's, and one of another; and the roots for `--tls-roots`.
fn certificates(dir: &std::path::Path) -> (Certificate, Certificate, Roots) {
    let (authority, other) = (Authority::new("right"), Authority::new("wrong"));
    let right = authority.write(&dir.join("right.pem"));
    let wrong = other.write(&dir.join("wrong.pem"));
    let (here, elsewhere) = ("127.0.0.1", "elsewhere.example");
    let [here, elsewhere] = [here, elsewhere].map(|name| authority.certificate(name));
    (here, elsewhere, Roots { right, wrong })
}

/// Waits until a sink says why it cannot connect, which has to have each of these parts; it goes on
/// to try, and says nothing of anything written.
async fn refused(args: &[&str], scene: &Scene, parts: &[&str]) {
    let log = scene.cluster.dir().join("refused.log");
    let mut sink = Sink::start(args, log);
    until(&format!("the refusal of {args:?}"), async || {
        sink.told().contains("trying again").then_some(())
    })
    .await;
    let told = sink.told();
    assert!(parts.iter().all(|part| told.contains(part)), "{args:?}: {parts:?} of {told}");
    assert!(sink.runs() && !told.contains(" rows written"), "{args:?}: {told}");
    sink.kill();
    std::fs::remove_file(&sink.log).unwrap();
}

/// What is said of a certificate that the roots do not vouch for, and what to do.
const UNKNOWN: [&str; 2] = ["UnknownIssuer", "--tls-roots"];
/// And of one of another name.
const NAME: [&str; 1] = ["not valid for name"];

fn postgres<'a>((to, roots, nodes): (&'a str, &'a str, &'a str)) -> [&'a str; 7] {
    ["postgres", "--to", to, "--tls-roots", roots, "--nodes", nodes]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_written_to_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (here, elsewhere, roots) = certificates(dir.path());
    let Some(server) = Postgres::start_with(Some(&here)).await else { return };
    let Some(other) = Postgres::start_with(Some(&elsewhere)).await else { return };
    let copy = Copy { scene: Scene::open(&[]).await, server };
    copy.scene.sell("drop", 1).await;
    let nodes = copy.scene.nodes();
    let with = |url: &str, mode: &str| format!("{url}?sslmode={mode}");
    let (to, mistaken) = (copy.server.url(), with(&other.url(), "require"));
    let required = with(&to, "require");
    let nodes = nodes.as_str();
    refused(&postgres((&required, &roots.wrong, nodes)), &copy.scene, &UNKNOWN).await;
    refused(&postgres((&mistaken, &roots.right, nodes)), &copy.scene, &NAME).await;
    let made = "SELECT to_regnamespace('flashnode') IS NOT NULL";
    for server in [&copy.server, &other] {
        let row = server.client().await.query_one(made, &[]).await.unwrap();
        assert!(!row.get::<_, bool>(0), "nothing was written");
    }
    // In clear text only where that is not forbidden, and then said.
    for (mode, roots, in_clear) in [
        ("require", &roots.right, false),
        ("prefer", &roots.right, false),
        ("prefer", &roots.wrong, true),
    ] {
        let to = with(&to, mode);
        let log = copy.scene.cluster.dir().join("written.log");
        let sink = Sink::start(&postgres((&to, roots, nodes)), log);
        let spoken = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE application_name = 'flashnode sink'";
        let ssl = until("the sink's connection", async || {
            let rows = copy.server.client().await.query(spoken, &[]).await.unwrap();
            // Of one of the sinks before, or of an attempt, another may be left for a moment.
            let [row] = &rows[..] else { return None };
            (sink.position() == 1).then(|| row.get::<_, bool>(0))
        })
        .await;
        assert_eq!(ssl, !in_clear, "{mode}: {}", sink.told());
        assert_eq!(sink.told().contains("in clear text"), in_clear, "{mode}: {}", sink.told());
        drop(sink);
        std::fs::remove_file(copy.scene.cluster.dir().join("written.log")).unwrap();
    }
    // What checks as much under libpq's name for it is known by another name here.
    let full = with(&to, "verify-full");
    let unknown = beside(&["sink", "postgres", "--to", &full, "--nodes", nodes]).await;
    assert_eq!(code(&unknown), 2, "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("use sslmode=require"), "{}", stderr(&unknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_sent_to_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (here, elsewhere, roots) = certificates(dir.path());
    let scene = Scene::open(&[]).await;
    scene.sell("drop", 1).await;
    let nodes = scene.nodes();
    let (url, receiver) = Receiver::kind().start_with(Some(&here)).await;
    let (mistaken, other) = Receiver::kind().start_with(Some(&elsewhere)).await;
    let args = |url, roots| {
        ["webhook", "--url", url, "--secret", SECRET, "--tls-roots", roots, "--nodes", &nodes]
    };
    refused(&args(&url, &roots.wrong), &scene, &UNKNOWN).await;
    refused(&args(&mistaken, &roots.right), &scene, &NAME).await;
    let newest = |receiver: &std::sync::Mutex<Receiver>| receiver.lock().unwrap().seen.newest();
    assert_eq!((newest(&receiver), newest(&other)), (0, 0));
    once(&args(&url, &roots.right)).await;
    assert_eq!((newest(&receiver), newest(&other)), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_written_to_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (here, elsewhere, roots) = certificates(dir.path());
    let Some(server) = Nats::start_with(Some(&here)).await else { return };
    let Some(other) = Nats::start_with(Some(&elsewhere)).await else { return };
    let Some(clear) = Nats::start().await else { return };
    let scene = Scene::open(&[]).await;
    scene.sell("drop", 1).await;
    let nodes = scene.nodes();
    let args = |to, roots| ["nats", "--to", to, "--tls-roots", roots, "--nodes", &nodes];
    let (to, mistaken, clear) = (server.url(), other.url(), clear.url());
    refused(&args(&to, &roots.wrong), &scene, &UNKNOWN).await;
    refused(&args(&mistaken, &roots.right), &scene, &NAME).await;
    // A server that says that it has no TLS may be somebody else.
    refused(&args(&clear, &roots.right), &scene, &["does not speak TLS"]).await;
    let asked = clear.replace("nats://", "tls://");
    refused(&["nats", "--to", &asked, "--nodes", &nodes], &scene, &["does not speak TLS"]).await;
    for to in [&to, &to.replace("nats://", "tls://")] {
        once(&args(to, &roots.right)).await;
    }
}
