//! `flashctl storm` and `flashctl export` against nodes that lie: what they must catch from
//! outside, and what they must not mistake for a lie.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

mod fake;
mod program;

use fake::Plant;
use program::{beside, code, json, stderr};
use serde_json::Value;

const BUYS: &[&str] = &[];
const HOLDS: &[&str] = &["--holds", "100%", "--abandon", "50%", "--hold-ttl", "1s"];
const BATCH: &[&str] = &["--batch", "7"];

/// Thirty buyers of ten units.
async fn storm(plant: Plant, of: &[&str]) -> (i32, Value) {
    let node = fake::start(10, plant).await;
    let args = ["storm", "--product", "p", "--buyers", "30", "--concurrency", "4", "--json"];
    let output = beside(&[&args[..], of, &["--nodes", &node]].concat()).await;
    (code(&output), json(&output))
}

#[tokio::test]
async fn an_honest_storm_ends_with_0() {
    let (code, report) = storm(Plant::Nothing, BUYS).await;
    assert_eq!((code, &report["verdict"]), (0, &"ok".into()), "{report:#}");
    assert_eq!((&report["accepted"], &report["sold_out"]), (&10.into(), &20.into()));
    assert_eq!((&report["audit"]["ledger_orders"], &report["unknown"]), (&10.into(), &0.into()));
    assert!(report["latency_ms"]["p99.9"].is_number(), "{report:#}");
    assert!(report["holds"].is_null() && report["batch"].is_null(), "{report:#}");
}

#[tokio::test]
async fn an_honest_storm_by_batches_ends_with_0() {
    let (code, report) = storm(Plant::Nothing, BATCH).await;
    assert_eq!((code, &report["verdict"]), (0, &"ok".into()), "{report:#}");
    assert_eq!((&report["accepted"], &report["sold_out"]), (&10.into(), &20.into()));
    assert_eq!((&report["batch"], &report["buyers"]), (&7.into(), &30.into()));
}

#[tokio::test]
async fn an_honest_storm_with_holds_ends_with_0() {
    let of = ["--holds", "50%", "--abandon", "40%", "--release", "20%", "--hold-ttl", "5s"];
    let (code, report) = storm(Plant::Nothing, &of).await;
    assert_eq!((code, &report["verdict"]), (0, &"ok".into()), "{report:#}");
    let count = |value: &Value| value.as_u64().unwrap();
    let holds = &report["holds"];
    let sum = ["confirmed", "released", "abandoned", "too_late", "unserved", "in_doubt"]
        .iter()
        .map(|name| count(&holds[name]))
        .sum::<u64>();
    assert_eq!(count(&holds["held"]), sum, "{report:#}");
    assert!(count(&holds["confirmed"]) > 0 && count(&holds["abandoned"]) > 0, "{report:#}");
    assert_eq!(holds["expired"], holds["abandoned"], "{report:#}");
    assert_eq!(report["buyers"], 30);
    let done = ["accepted", "sold_out", "refused", "gave_up", "unknown"];
    assert_eq!(done.iter().map(|name| count(&report[name])).sum::<u64>(), 30, "{report:#}");
}

#[tokio::test]
async fn lost_answers_are_settled_under_the_same_request_id() {
    for of in [BUYS, BATCH] {
        let (code, report) = storm(Plant::LoseFirstAnswers, of).await;
        assert_eq!((code, &report["verdict"]), (0, &"ok".into()), "{report:#}");
        assert_eq!(report["accepted"], 10, "{report:#}");
        assert!(report["retried"].as_u64().unwrap() > 1, "{report:#}");
    }
}

#[tokio::test]
async fn results_that_do_not_fit_their_buys_are_asked_for_again() {
    for plant in [Plant::DropAResult, Plant::SwapResults] {
        let (code, report) = storm(plant, BATCH).await;
        assert_eq!((code, &report["verdict"]), (0, &"ok".into()), "{plant:?}: {report:#}");
        assert_eq!((&report["accepted"], &report["retried"]), (&10.into(), &1.into()), "{plant:?}");
    }
}

#[tokio::test]
async fn every_planted_lie_ends_with_4() {
    for (plant, of, rule) in [
        (Plant::LoseAnOrder, BUYS, "nothing-lost"),
        (Plant::TellTwice, BUYS, "order-ids-unique"),
        (Plant::Oversell, BUYS, "never-oversold"),
        (Plant::SellTwice, BUYS, "one-order-a-request"),
        (Plant::LoseAnOrder, BATCH, "nothing-lost"),
        (Plant::TellTwice, BATCH, "order-ids-unique"),
        (Plant::SellTwice, BATCH, "one-order-a-request"),
        (Plant::LoseAConfirmedHold, HOLDS, "nothing-lost"),
        (Plant::SellAnAbandonedHold, HOLDS, "unpaid-holds-are-no-orders"),
    ] {
        is_caught(plant, of, rule).await;
    }
}

#[tokio::test]
async fn units_that_never_come_back_end_with_4() {
    // The audit waits long before it calls a hold one that never ends.
    tokio::join!(
        is_caught(Plant::KeepAbandonedHolds, HOLDS, "abandoned-units-come-back"),
        is_caught(Plant::LeakUnits, HOLDS, "holds-are-held"),
    );
}

async fn is_caught(plant: Plant, of: &[&str], rule: &str) {
    let (code, report) = storm(plant, of).await;
    assert_eq!(code, 4, "{plant:?}: {report:#}");
    let broken = report["audit"]["violations"].as_array().unwrap();
    assert!(broken.iter().any(|one| one["rule"] == rule), "{plant:?}: {report:#}");
}

#[tokio::test]
async fn a_storm_that_nobody_answers_comes_to_an_end() {
    let node = fake::start(10, Plant::NeverDecide).await;
    // Each buyer waits for seconds: all of them would wait for hours.
    let args = ["storm", "--product", "p", "--buyers", "100000", "--concurrency", "8"];
    let output = beside(&[&args[..], &["--nodes", &node]].concat()).await;
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("no more buyers come"), "{}", stderr(&output));
}

#[tokio::test]
async fn an_export_is_whole_or_no_export() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("state.jsonl");
    let out = path.to_str().unwrap();
    for plant in [Plant::CutTheExport, Plant::MiscountTheExport] {
        let node = fake::start(10, plant).await;
        let output = beside(&["export", "--out", out, "--nodes", &node]).await;
        assert_eq!(code(&output), 3, "{plant:?}: {}", stderr(&output));
        assert!(!path.exists(), "{plant:?}: half a state has the name of a whole one");
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 0, "{plant:?}: it leaves nothing behind");
    }
    let node = fake::start(10, Plant::Nothing).await;
    let output = beside(&["export", "--out", out, "--nodes", &node]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("{\"line\":\"head\"") && text.ends_with("\"lines\":2}\n"), "{text}");
}
