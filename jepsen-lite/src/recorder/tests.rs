//! The recorder's order never overstates real time, and its records are bounded and whole.

use super::*;
use checker::flashnode::{Answer, Ended, Input, Outcome, Record};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use stock::Seq;

fn read(product: u32) -> Asked {
    Asked::Read { product: ProductNo(product) }
}

fn decided(seq: u64) -> Ended {
    let outcome = Outcome::Counts { stocked: seq, available: seq, held: 0, sold: 0 };
    Ended::Decided { answer: Answer { seq, outcome }, replayed: false }
}

fn sent(number: u32, said: &'static str) -> Sent {
    Sent { number, node: 2, sent_ns: 10, ended_ns: 20, said: said.into() }
}

/// A server whose every answer is one more than the last: whoever is told less was answered
/// earlier. If the recorder ever put a completion before an invocation that truly came first, or
/// took the place of an invocation after it was sent, some pair would be out of order.
#[test]
fn the_order_never_overstates_real_time() {
    const THREADS: u32 = 4;
    const EACH: usize = 20_000;
    let recorder = Arc::new(Recorder::new(Instant::now()));
    let server = Arc::new(AtomicU64::new(0));
    let worker = |process: u32| {
        let (recorder, server) = (recorder.clone(), server.clone());
        std::thread::spawn(move || {
            let mut lane = Lane::default();
            for _ in 0..EACH {
                let mut open = recorder.invoke(process, read(0));
                let seq = server.fetch_add(1, Ordering::SeqCst);
                open.attempted(sent(1, "200"));
                lane.complete(&recorder, open, decided(seq));
            }
            lane
        })
    };
    let threads: Vec<_> = (0..THREADS).map(worker).collect();
    let log = Log::merge(threads.into_iter().map(|thread| thread.join().unwrap()).collect());
    assert_eq!(log.len(), THREADS as usize * EACH);
    let records: Vec<Record> = log.records().collect();
    assert_eq!(overstated(&records), None);

    // And the check can fail: swap two answers far apart.
    let mut swapped = records;
    let last = swapped.len() - 1;
    let first = swapped[0].ended.clone();
    swapped[0].ended = std::mem::replace(&mut swapped[last].ended, first);
    assert!(overstated(&swapped).is_some());
}

/// A record that was invoked after a larger answer had been given, but has a smaller one.
fn overstated(records: &[Record]) -> Option<u64> {
    let mut events: Vec<(u64, Option<u64>, u64)> = Vec::new();
    for record in records {
        let Ended::Decided { answer, .. } = &record.ended else { panic!("{record:?}") };
        events.push((record.invoked, None, answer.seq));
        events.push((record.completed.unwrap(), Some(answer.seq), answer.seq));
    }
    events.sort_unstable();
    assert!(events.iter().zip(0..).all(|(event, position)| event.0 == position), "a gap");
    let mut largest = None;
    for (_, completed, seq) in events {
        match completed {
            Some(seq) => largest = largest.max(Some(seq)),
            None if largest > Some(seq) => return Some(seq),
            None => {}
        }
    }
    None
}

#[test]
fn attempts_are_kept_inside_their_operation() {
    let recorder = Recorder::new(Instant::now());
    let mut lane = Lane::default();
    let buy = Asked::Buy { product: ProductNo(3), user: UserNo(4), quantity: 2 };
    let mut open = recorder.invoke(7, buy);
    open.attempted(sent(1, "lost: connection reset"));
    open.attempted(sent(2, "201"));
    lane.complete(&recorder, open, decided(9));
    let other = recorder.invoke(8, buy);
    lane.leave_unknown(&recorder, other);
    let log = Log::merge(vec![lane]);
    let (whole, unknown) = (log.record(0), log.record(1));
    let said: Vec<&str> = whole.attempts.iter().map(|attempt| attempt.said.as_str()).collect();
    assert_eq!(said, ["lost: connection reset", "201"]);
    assert_eq!((whole.invoked, whole.completed), (0, Some(1)));
    assert_eq!((whole.request.as_deref(), unknown.request.as_deref()), (Some("r-1"), Some("r-2")));
    assert_eq!((unknown.invoked, unknown.completed), (2, None));
    assert_eq!(unknown.ended, Ended::Unknown);
}

#[test]
fn lanes_are_merged_by_invocation_with_their_texts() {
    let recorder = Recorder::new(Instant::now());
    let (mut one, mut two) = (Lane::default(), Lane::default());
    let mut first = recorder.invoke(0, read(0));
    let mut second = recorder.invoke(1, read(1));
    second.attempted(sent(1, "b"));
    two.complete(&recorder, second, decided(1));
    first.attempted(sent(1, "a"));
    one.complete(&recorder, first, decided(2));
    let log = Log::merge(vec![two, one]);
    let said: Vec<String> = log.records().map(|record| record.attempts[0].said.clone()).collect();
    assert_eq!(said, ["a", "b"]);
    assert!(log.record(0).request.is_none(), "a read has no request id");
}

#[test]
fn texts_are_bounded() {
    let recorder = Recorder::new(Instant::now());
    let mut lane = Lane::default();
    for number in 0..20_000 {
        let mut open = recorder.invoke(0, read(0));
        open.attempted(Sent { said: format!("text {number}").into(), ..sent(1, "") });
        lane.complete(&recorder, open, decided(1));
    }
    let log = Log::merge(vec![lane]);
    assert_eq!(log.record(17).attempts[0].said, "text 17");
    assert_eq!(log.record(19_999).attempts[0].said, "(another text)");
}

/// Else nothing could say whose the order of a confirm must be.
#[test]
fn who_settles_a_hold_is_kept() {
    let (product, user, hold) = (ProductNo(3), UserNo(4), Seq(9));
    let kept = |asked: Asked| match asked.input() {
        Input::Confirm { user, hold, .. } | Input::Release { user, hold, .. } => (user, hold),
        other => panic!("{other:?}"),
    };
    for asked in [Asked::Confirm { product, user, hold }, Asked::Release { product, user, hold }] {
        assert_eq!(kept(asked), (Some("u-4".to_owned()), 9));
    }
}
