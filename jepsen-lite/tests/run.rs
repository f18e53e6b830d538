//! Runs of real clusters: a clean one ends ok with all its files, one with a planted bug ends
//! illegal.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests panic by design")]

mod program;

use checker::flashnode::{Expiries, LedgerHold};
use checker::search::Verdict;
use jepsen_lite::nemesis::Kind;
use jepsen_lite::run::{self, Plan, RunError};
use jepsen_lite::workload;
use program::flashnode;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Mutex;

/// Three nodes fill two cores, and a starved node would look like a dead one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn plan(dir: &Path, seed: u64, nemeses: &str) -> Plan {
    println!("seed {seed}");
    let mut plan = Plan::new(seed, dir.join("run"));
    plan.time = Duration::from_secs(10);
    plan.rate = Some(400);
    plan.nemeses = Kind::parse_list(nemeses).unwrap();
    plan.binary = Some(flashnode());
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_faults_is_ok_and_writes_its_files() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path(), 11, "kill,pause,partition");
    plan.workload = workload::Kind::Mixed;
    let report = run::run(&plan, &|_| ()).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.why);
    assert!(report.tally.ok > 100, "{:?}", report.tally);
    for file in &report.files {
        assert!(file.metadata().unwrap().len() > 0, "{}", file.display());
    }
    let name = |name: &str| report.files.iter().any(|file| file.ends_with(name));
    for file in [
        "report.html",
        "timeline.html",
        "results.json",
        "history.jsonl",
        "history.edn",
        "ledgers.json",
        "node-3.log",
    ] {
        assert!(name(file), "{file}");
    }
    let results = std::fs::read_to_string(plan.dir.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    assert_eq!(results["verdict"], "ok");
    let page = std::fs::read_to_string(plan.dir.join("report.html")).unwrap();
    assert!(page.contains("class=\"verdict ok\"") && page.contains("partition"));
    let lines = std::fs::read_to_string(plan.dir.join("history.jsonl")).unwrap();
    let of_nemesis = lines.lines().filter(|line| line.contains("\"process\":\"nemesis\"")).count();
    assert_eq!(of_nemesis, 2 * report.faults.len());
    assert_eq!((lines.lines().count() - of_nemesis) as u64, 2 * report.tally.total());
    assert_eq!(report.tally.expired, report.judgement.operations["expire"].ok);
    let rates = std::fs::read_to_string(plan.dir.join("rate.svg")).unwrap();
    assert!(rates.contains("holds that ran out"), "they are in the plot");
    assert!(!plan.dir.join("node-1").exists(), "data directories are removed");
    let judged_again = std::process::Command::new(env!("CARGO_BIN_EXE_jepsen-lite"))
        .args(["check", "--model", "flashnode", "--json", "--ledgers", "ledgers.json"])
        .arg("history.jsonl")
        .current_dir(&plan.dir)
        .output()
        .unwrap();
    let again: serde_json::Value = serde_json::from_slice(&judged_again.stdout).unwrap();
    assert_eq!(judged_again.status.code(), Some(0), "{again}");
    assert_eq!(again["operations"], results["operations"]);
    for layer in 0..3 {
        let verdict = |of: &serde_json::Value| {
            of["judgement"]["layers"][layer]["verdict"].as_str().map(str::to_owned)
        };
        assert_eq!(verdict(&again), verdict(&results), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_order_is_illegal() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path(), 12, "none");
    plan.time = Duration::from_secs(2);
    let mut evidence = run::observe(&plan, &|_| ()).await.unwrap();
    assert_eq!(run::conclude(&plan, &evidence).verdict, Verdict::Ok);
    // Every replica forgets one acknowledged order.
    for replica in &mut evidence.ledgers.replicas {
        replica.orders.sort_unstable();
        let middle = replica.orders.len() / 2;
        replica.orders.remove(middle);
    }
    let report = run::conclude(&plan, &evidence);
    assert_eq!(report.verdict, Verdict::Illegal);
    assert!(report.why.iter().any(|why| why.contains("acknowledged-order-kept")), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_that_differs_is_illegal() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path(), 13, "none");
    plan.time = Duration::from_secs(2);
    plan.workload = workload::Kind::HotProduct;
    let mut evidence = run::observe(&plan, &|_| ()).await.unwrap();
    evidence.ledgers.replicas[2].orders.pop();
    let report = run::conclude(&plan, &evidence);
    assert_eq!(report.verdict, Verdict::Illegal);
    assert!(report.why.iter().any(|why| why.contains("replicas-equal")), "{:?}", report.why);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_did_not_see_is_unknown_and_a_broken_promise_illegal() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path(), 14, "none");
    plan.time = Duration::from_secs(2);
    let mut evidence = run::observe(&plan, &|_| ()).await.unwrap();
    let unknown_for = |evidence: &run::Evidence, why: &str| {
        let report = run::conclude(&plan, evidence);
        assert_eq!(report.verdict, Verdict::Unknown);
        assert!(report.why[0].contains(why), "{:?}", report.why);
    };
    evidence.lacking = Some("this server has no POST /v1/holds".into());
    unknown_for(&evidence, "this server has no POST /v1/holds");
    (evidence.lacking, evidence.unread) = (None, Some("p-3 at node 2: 503".into()));
    unknown_for(&evidence, "p-3 at node 2");
    // It outweighs what was not seen.
    evidence.breaches = vec!["node 2 serves with less than it had synced".into()];
    let report = run::conclude(&plan, &evidence);
    assert_eq!(report.verdict, Verdict::Illegal);
    assert_eq!(report.why, evidence.breaches);
}

/// Of holds that ran out nobody is answered, so a feed that was not read leaves it all open.
#[tokio::test(flavor = "multi_thread")]
async fn holds_are_judged_by_what_the_feed_tells() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path(), 16, "none");
    plan.time = Duration::from_secs(5);
    plan.workload = workload::Kind::Hold;
    let mut evidence = run::observe(&plan, &|_| ()).await.unwrap();
    let report = run::conclude(&plan, &evidence);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.why);
    for function in ["hold", "confirm", "release", "expire"] {
        assert!(report.judgement.operations[function].ok > 0, "{function}");
    }
    evidence.unread_feed = Some("the feed of node 1: it answers 410".into());
    evidence.ledgers.expiries = Expiries::Unread;
    let report = run::conclude(&plan, &evidence);
    assert_eq!(report.verdict, Verdict::Unknown);
    assert!(report.why[0].contains("nobody knows which holds ran out"), "{:?}", report.why);
    // A hold that one replica keeps open is there for all to see.
    evidence.unread_feed = None;
    evidence.ledgers.expiries = Expiries::All;
    let (product, user) = ("p-0".to_owned(), "u-0".to_owned());
    let kept = LedgerHold { hold: 3, product, user, quantity: 1 };
    evidence.ledgers.replicas[1].holds.as_mut().unwrap().push(kept);
    let report = run::conclude(&plan, &evidence);
    assert_eq!(report.verdict, Verdict::Illegal);
    assert!(report.why.iter().any(|why| why.contains("replicas-equal")), "{:?}", report.why);
}

#[tokio::test]
async fn what_cannot_be_run_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path(), 15, "none");
    plan.nodes = 4;
    let error = run::run(&plan, &|_| ()).await.unwrap_err();
    assert!(matches!(&error, RunError::Plan(why) if why.contains("use 3 or 5")), "{error}");
}
