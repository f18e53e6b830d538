//! What watches a cluster, against a real one: the table of metrics is what nodes expose, the rules
//! do what their unit tests say, and each panel of the dashboard shows something after a storm.
//!
//! The last two need Debian's package `prometheus`. Without it they say so and pass, unless
//! `FLASHNODE_NO_SKIPS` is set.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod dashboard;
mod exposed;
mod prometheus;
#[path = "../scene/mod.rs"]
mod scene;
mod table;

use dashboard::Query;
use exposed::Family;
use prometheus::{Prometheus, deploy, promtool};
use scene::http::{Ask, Caller};
use scene::{Scene, until};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A cluster of which every metric has something to tell, and what its nodes expose together.
async fn stormed() -> (Scene, BTreeMap<String, Family>) {
    // A sink, for what is told of each.
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("cluster.toml");
    let events = dir.path().join("events").display().to_string();
    let sink = format!("[sink]\nkind = \"files\"\ndir = {events:?}\n");
    std::fs::write(&config, sink).expect("the configuration is written");
    let scene = Scene::open(3_000, &["--config", &config.display().to_string()]).await;
    let caller = Caller::new(&scene.cluster);
    let body = json!({"product_id": "sneaker", "user_id": "holder", "quantity": 2}).to_string();
    let headers = [("content-type", "application/json")];
    let ask = Ask { body: Some(&body), headers: &headers };
    let held = caller.call(0, reqwest::Method::POST, "/v1/holds", ask).await;
    assert_eq!(held.status, 201, "{}", held.body);
    let storm = scene.storm(2_000, 32);
    storm.running.await.expect("the storm runs to its end");
    let mut families = BTreeMap::new();
    for node in 0..3 {
        // What a node knows of the clocks, it knows after asking a majority for theirs.
        let text = until("the clocks to be known", || async {
            let (_, text) =
                caller.text(node, reqwest::Method::GET, "/metrics", Ask::default()).await;
            text.contains("\nflashnode_clock_off_seconds ").then_some(text)
        })
        .await;
        exposed::read(&text, &mut families);
    }
    (scene, families)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_metrics_is_what_nodes_expose() {
    let (_scene, families) = stormed().await;
    assert_eq!(table::read(), families, "docs/metrics.md (left) and what nodes expose (right)");
}

/// A misspelt metric is an alert that never fires, and no unit test of it shows that.
#[test]
fn rules_and_panels_ask_for_metrics_that_there_are() {
    let recorded = prometheus::recorded();
    let mut known: BTreeSet<String> = recorded.iter().cloned().collect();
    for (name, family) in table::read() {
        known.extend(family.series(&name));
    }
    known.insert("up".to_owned());
    let rules = prometheus::expressions();
    assert!(rules.len() > recorded.len(), "alerts are rules too: {rules:?}");
    let panels = dashboard::queries().into_iter().map(|query| query.expr);
    for expr in rules.into_iter().chain(panels) {
        let names = prometheus::names(&expr);
        assert!(!names.is_empty(), "asks for nothing: {expr}");
        for name in names {
            assert!(known.contains(&name), "no node exposes {name}: {expr}");
        }
    }
}

#[test]
fn the_rules_do_what_their_unit_tests_say() {
    let alerts = std::fs::read_to_string(deploy("rules/alerts.yml")).expect("the alerts");
    let tests = std::fs::read_to_string(deploy("rules/tests/alerts.yml")).expect("their tests");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels");
        let rests = format!("alertname: {alert}, exp_alerts: []");
        assert!(tests.contains(&fires), "no test shows {alert} to fire");
        assert!(tests.contains(&rests), "no test shows {alert} not to fire");
    }
    for (what, file) in
        [(["check", "config"], "prometheus.yml"), (["test", "rules"], "rules/tests/alerts.yml")]
    {
        let Some(output) = promtool(&what, &deploy(file)) else {
            return;
        };
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what:?} {file}: {said}");
    }
}

/// What a slow or full disk and a starved processor truly set off, with nothing wrong in a cluster.
const OF_THE_MACHINE: [&str; 3] =
    ["FlashnodeFlushSlow", "FlashnodeDiskNearlyFull", "FlashnodeSlow"];

/// Between two small storms.
const BUYERS_EVERY: Duration = Duration::from_secs(2);

/// Waits for each panel and each recording rule.
async fn all_show_something(prometheus: &Prometheus) {
    let queries = dashboard::queries();
    assert!(queries.len() > 30, "{} queries", queries.len());
    for Query { panel, expr } in queries {
        until(&format!("the panel {panel:?} to show something: {expr}"), || async {
            prometheus.has_numbers(&expr).await.then_some(())
        })
        .await;
    }
    for recorded in prometheus::recorded() {
        until(&format!("{recorded} to be recorded"), || async {
            prometheus.has_numbers(&recorded).await.then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_shows_something_after_a_storm() {
    if !prometheus::is_here() {
        return;
    }
    let scene = Scene::open(100_000, &[]).await;
    let prometheus = Prometheus::start(&scene.cluster.addresses());
    prometheus.until_up(3).await;
    scene.storm(3_000, 32).running.await.expect("the storm runs to its end");
    // Rates are of the last minute, and a busy machine takes longer than that to look at them all.
    let buyers = async {
        let mut again = tokio::time::interval(BUYERS_EVERY);
        loop {
            again.tick().await;
            scene.storm(100, 4).running.await.expect("the storm runs to its end");
        }
    };
    tokio::select! {
        () = all_show_something(&prometheus) => {}
        () = buyers => {}
    }
    let mut firing = prometheus.firing().await;
    firing.retain(|alert| !OF_THE_MACHINE.contains(&alert.as_str()));
    assert_eq!(firing, [] as [String; 0], "a healthy cluster wakes nobody");
}
