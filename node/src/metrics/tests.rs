//! That everything counted is scraped, under its documented name.

use super::*;
use raft::{FLUSH_US_BOUNDS, Role, StoreMetrics};
use std::path::Path;
use stock::{HoldTally, Seq, Sku};

fn scrape() -> Scrape {
    let mut store = StoreMetrics {
        flushes_total: 4,
        flush_us_total: 1_500_000,
        appended_bytes_total: 4096,
        entries_total: 21,
        ..StoreMetrics::default()
    };
    store.flush_us_buckets[0] = 1;
    store.flush_us_buckets[2] = 2;
    store.flush_us_buckets[FLUSH_US_BOUNDS.len()] = 1;
    Scrape {
        term: 3,
        is_leader: true,
        is_ready: true,
        committed: 20,
        applied: 19,
        clock_off_ms: Some(-1250),
        found: Found { fenced: true, split: false },
        role: Role::Leader,
        knows_leader: true,
        last_log: 22,
        purged: 5,
        mailbox: 6,
        seq: Seq(17),
        orders: 9,
        holds_open: 1,
        holds: HoldTally { made: 15, confirmed: 7, released: 5, expired: 2 },
        broken: Broken { balance: 1, oversold: 0 },
        store,
        products: vec![ProductGauges {
            sku: Sku::new("shoe").unwrap(),
            stocked: 11,
            available: 2,
            held: 1,
            sold: 8,
        }],
    }
}

#[test]
fn positions_are_the_discriminants() {
    for (position, route) in Route::ALL.iter().enumerate() {
        assert_eq!(*route as usize, position);
    }
    for (position, (outcome, _)) in BuyOutcome::ALL.iter().enumerate() {
        assert_eq!(*outcome as usize, position);
    }
}

#[test]
fn everything_counted_is_scraped() {
    let metrics = Metrics::new(Path::new(".")).unwrap();
    metrics.observe_request(Route::Buys, StatusCode::CREATED, Duration::from_micros(700));
    metrics.observe_request(Route::Buys, StatusCode::CREATED, Duration::from_secs(9));
    metrics.clone().observe_request(Route::Livez, StatusCode::IM_A_TEAPOT, Duration::ZERO);
    metrics.observe_buy(BuyOutcome::Accepted);
    metrics.observe_buy(BuyOutcome::Replayed);
    metrics.observe_buy(BuyOutcome::SoldOut);
    metrics.rate_limited(Limit::User);
    metrics.rate_limited(Limit::Address);
    metrics.rate_limited(Limit::Address);
    metrics.observe_batch(3);
    metrics.in_flight_add(2);
    metrics.in_flight_add(-1);
    metrics.leader_changed();
    metrics.observe_waiting(Waiting { propose: 3, check: 2, pass: 1 });
    let text = metrics.render(&scrape()).unwrap();
    for line in [
        "flashnode_http_requests_total{code=\"201\",route=\"/v1/buys\"} 2",
        "flashnode_http_requests_total{code=\"other\",route=\"/livez\"} 1",
        "flashnode_http_request_duration_seconds_bucket{route=\"/v1/buys\",le=\"0.001\"} 1",
        "flashnode_http_request_duration_seconds_count{route=\"/v1/buys\"} 2",
        "flashnode_buys_total{outcome=\"accepted\"} 1",
        "flashnode_buys_total{outcome=\"unknown\"} 0",
        "flash_sale_requests_total{status=\"success\"} 2",
        "flash_sale_requests_total{status=\"fail\"} 1",
        "flashnode_rate_limited_total{limit=\"user\"} 1",
        "flashnode_rate_limited_total{limit=\"address\"} 2",
        "flashnode_batch_commands_bucket{le=\"2\"} 0",
        "flashnode_batch_commands_bucket{le=\"4\"} 1",
        "flashnode_proposals_in_flight 1",
        "flashnode_raft_leader_changes_total 1",
        "flashnode_raft_term 3",
        "flashnode_raft_is_leader 1",
        "flashnode_raft_commit_index 20",
        "flashnode_raft_applied_index 19",
        "flashnode_seq 17",
        "flashnode_clock_off_seconds -1.25",
        "flashnode_fenced 1",
        "flashnode_split 0",
        "flashnode_log_flush_seconds_bucket{le=\"0.00025\"} 1",
        "flashnode_log_flush_seconds_bucket{le=\"0.0005\"} 1",
        "flashnode_log_flush_seconds_bucket{le=\"1\"} 3",
        "flashnode_log_flush_seconds_bucket{le=\"+Inf\"} 4",
        "flashnode_log_flush_seconds_sum 1.5",
        "flashnode_log_flush_seconds_count 4",
        "flashnode_log_entries_total 21",
        "flashnode_stock_available{product=\"shoe\"} 2",
        "flashnode_stock_sold{product=\"shoe\"} 8",
        "flashnode_stock_held{product=\"shoe\"} 1",
        "flashnode_stock_stocked{product=\"shoe\"} 11",
        "flashnode_raft_role{role=\"leader\"} 1",
        "flashnode_raft_role{role=\"fenced\"} 0",
        "flashnode_raft_knows_leader 1",
        "flashnode_raft_last_log_index 22",
        "flashnode_raft_purged_index 5",
        "flashnode_orders_total 9",
        "flashnode_holds_open 1",
        "flashnode_holds_made_total 15",
        "flashnode_holds_ended_total{how=\"confirmed\"} 7",
        "flashnode_holds_ended_total{how=\"released\"} 5",
        "flashnode_holds_ended_total{how=\"expired\"} 2",
        "flashnode_invariant_violations{invariant=\"balance\"} 1",
        "flashnode_invariant_violations{invariant=\"oversold\"} 0",
        "flashnode_actor_waiting{queue=\"mailbox\"} 6",
        "flashnode_actor_waiting{queue=\"propose\"} 3",
        "flashnode_actor_waiting{queue=\"check\"} 2",
        "flashnode_actor_waiting{queue=\"pass\"} 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nis not in\n{text}");
    }
    assert!(text.contains("flashnode_build_info{"));
    assert!(!text.contains("code=\"503\""), "no series for what never happened");
}

#[test]
fn each_family_is_described_once() {
    let text = Metrics::new(Path::new(".")).unwrap().render(&scrape()).unwrap();
    let mut types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), count);
}
