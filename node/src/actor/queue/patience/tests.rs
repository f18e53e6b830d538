//! Times are told, and none is waited for.

use super::*;

const WAIT_MAX: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Ten leave in a millisecond, and others wait.
fn standing(began: Instant) -> Patience {
    let mut patience = Patience::new(WAIT_MAX, began);
    for at in 0..=20 {
        patience.left(100, 1, began + at * ms(10));
    }
    patience
}

#[test]
fn while_a_queue_stands_it_takes_what_leaves_in_time() {
    let began = Instant::now();
    let mut patience = Patience::new(WAIT_MAX, began);
    assert!(!patience.is_full(1_000_000, began), "nobody knows yet");
    patience = standing(began);
    let now = began + ms(200);
    patience.landed(now);
    assert!(!patience.is_full(9_999, now));
    assert!(patience.is_full(10_000, now));
    assert!(!patience.is_full(1_000_000, now + STALL_MIN + ms(1)), "nothing moves");
    // Four times as fast from now on.
    for at in 21..=80 {
        patience.left(400, 1, began + at * ms(10));
    }
    assert!(!patience.is_full(35_000, now) && patience.is_full(40_000, now));
    patience.left(400, 0, began + ms(900));
    assert!(!patience.is_full(1_000_000, now), "it stands no more");
}

/// As where followers' buyers have their turn, who waited for longer.
#[test]
fn a_time_in_which_nobody_leaves_is_no_rate() {
    let began = Instant::now();
    let mut patience = standing(began);
    for at in 21..=60 {
        patience.landed(began + at * ms(10));
        patience.left(0, 1_000, began + at * ms(10));
    }
    let now = began + ms(600);
    assert!(!patience.is_full(9_999, now) && patience.is_full(10_000, now));
}

#[test]
fn an_outage_is_no_overload() {
    let began = Instant::now();
    let mut patience = standing(began);
    patience.started(began);
    assert!(!patience.is_over(began, began + WAIT_MAX));
    assert!(!patience.is_over(began, began + WAIT_MAX + ms(1)), "nothing moved since");
    for at in 1..=30 {
        patience.landed(began + at * ms(100));
    }
    assert!(patience.is_over(began, began + ms(3_001)), "it moves, and that one waits");
    let anew = began + ms(3_000) + STALL_MIN + ms(1);
    for at in 0..=10 {
        patience.landed(anew + at * ms(100));
    }
    assert!(!patience.is_over(began, began + ms(4_500)), "nothing moved meanwhile");
    assert!(patience.is_over(began, began + ms(4_502)), "now it does");
    assert!(!patience.is_full(1_000_000, began + ms(3_502)), "what left before says nothing");
    patience.begin_anew(began + ms(4_502));
    assert!(!patience.is_over(began, began + ms(5_502)), "there was no leader");
}
