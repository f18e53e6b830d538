//! Records survive the way through a history's events.

use checker::flashnode::{
    Answer, Attempt, Ended, Input, Outcome, Record, RefusedFor, codec, recorded,
};
use checker::{History, Phase};
use proptest::prelude::*;

fn inputs() -> impl Strategy<Value = Input> {
    let product = || "[a-c]".prop_map(String::from);
    let user = || "u[0-9]{1,3}";
    let limit = prop::option::of(1..9u32);
    prop_oneof![
        (product(), any::<u64>(), limit).prop_map(|(product, stock, limit)| Input::Create {
            product,
            stock,
            limit
        }),
        (product(), any::<i64>())
            .prop_map(|(product, quantity)| Input::Restock { product, quantity }),
        (product(), user(), any::<u32>()).prop_map(|(product, user, quantity)| Input::Buy {
            product,
            user,
            quantity
        }),
        (product(), user(), 1..9u32).prop_map(|(product, user, quantity)| Input::Hold {
            product,
            user,
            quantity
        }),
        (product(), prop::option::of(user()), any::<u64>())
            .prop_map(|(product, user, hold)| Input::Confirm { product, user, hold }),
        (product(), prop::option::of(user()), any::<u64>())
            .prop_map(|(product, user, hold)| Input::Release { product, user, hold }),
        (product(), any::<u64>()).prop_map(|(product, hold)| Input::Expire { product, hold }),
        product().prop_map(|product| Input::Read { product }),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let refused = (0..RefusedFor::ALL.len(), prop::option::of(any::<u64>()));
    prop_oneof![
        any::<[u64; 4]>().prop_map(|[stocked, available, held, sold]| Outcome::Counts {
            stocked,
            available,
            held,
            sold
        }),
        any::<u64>().prop_map(|remaining| Outcome::Ordered { remaining }),
        (any::<[u64; 2]>(), prop::option::of(any::<u64>()))
            .prop_map(|([hold, remaining], log_ms)| Outcome::Hold { hold, remaining, log_ms }),
        refused.prop_map(|(reason, remaining)| Outcome::Refused {
            reason: RefusedFor::ALL[reason],
            remaining
        }),
    ]
}

fn endings() -> impl Strategy<Value = Ended> {
    prop_oneof![
        (any::<u64>(), outcomes(), any::<bool>()).prop_map(|(seq, outcome, replayed)| {
            Ended::Decided { answer: Answer { seq, outcome }, replayed }
        }),
        Just(Ended::NotDone),
        Just(Ended::Unknown),
    ]
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let attempt = (1..9u32, 1..6u64, any::<u32>(), any::<u64>(), "[ -~]{0,20}");
    let attempt = attempt.prop_map(|(number, node, sent_ns, ended_ns, said)| Attempt {
        number,
        node,
        sent_ns: sent_ns.into(),
        ended_ns,
        said,
    });
    prop::collection::vec(attempt, 0..3)
}

/// Records whose events take every position once, as a recorder's do.
fn runs() -> impl Strategy<Value = Vec<Record>> {
    let one = (inputs(), prop::option::of("[a-z0-9\"\\\\]{1,12}"), endings(), attempts());
    (prop::collection::vec(one, 1..20), any::<u64>()).prop_map(|(all, mut seed)| {
        let mut pending: Vec<Record> = Vec::new();
        let mut records = Vec::new();
        let mut queue = (0_i64..).zip(all);
        for position in 0.. {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let begin = pending.is_empty() || (seed >> 60) < 8;
            if begin && let Some((process, (input, request, ended, attempts))) = queue.next() {
                pending.push(Record {
                    process,
                    input,
                    request,
                    invoked: position,
                    completed: None,
                    invoked_ns: position * 10,
                    ended_ns: 0,
                    ended,
                    attempts,
                });
            } else if pending.is_empty() {
                break;
            } else {
                let mut record = pending.swap_remove(seed as usize % pending.len());
                record.completed = (record.ended != Ended::Unknown).then_some(position);
                record.ended_ns = position * 10;
                records.push(record);
            }
        }
        records.sort_by_key(|record| record.invoked);
        records
    })
}

proptest! {
    #[test]
    fn round_trip(records in runs()) {
        let history = History { events: codec::events(&records) };
        prop_assert_eq!(codec::records(&history).unwrap(), records);
    }
}

#[test]
fn a_refusal_is_a_fail_with_its_reason() {
    let record = Record {
        process: 3,
        input: Input::Buy { product: "p".into(), user: "u".into(), quantity: 1 },
        request: Some("r".into()),
        invoked: 0,
        completed: Some(1),
        invoked_ns: 5,
        ended_ns: 9,
        ended: Ended::Decided {
            answer: Answer {
                seq: 7,
                outcome: Outcome::Refused { reason: RefusedFor::SoldOut, remaining: Some(0) },
            },
            replayed: false,
        },
        attempts: Vec::new(),
    };
    let event = codec::completion(&record);
    assert_eq!(event.phase, Phase::Fail);
    assert_eq!(event.value.get("reason").and_then(|reason| reason.as_text()), Some("sold-out"));
    assert_eq!(event.value.get("seq").and_then(checker::Value::as_int), Some(7));
}

/// As histories were written before confirms and releases said who asked.
#[test]
fn a_settlement_that_does_not_say_who_asked_is_read() {
    for f in ["confirm", "release"] {
        let line = |user: &str| {
            format!(
                "{{:process 1, :type :invoke, :f :{f}, \
                 :value {{:product \"p\"{user}, :hold 7, :request \"r\"}}, :time 5}}\n"
            )
        };
        let read = |text: &str| recorded::read(text).map(|read| read.records[0].input.clone());
        let expected = |user: Option<&str>| {
            let (product, user) = ("p".to_owned(), user.map(str::to_owned));
            match f {
                "confirm" => Input::Confirm { product, user, hold: 7 },
                _ => Input::Release { product, user, hold: 7 },
            }
        };
        assert_eq!(read(&line("")), Ok(expected(None)));
        assert_eq!(read(&line(", :user nil")), Ok(expected(None)));
        assert_eq!(read(&line(", :user \"u\"")), Ok(expected(Some("u"))));
        assert!(read(&line(", :user 3")).is_err());
    }
}

#[test]
fn what_is_none_of_a_sales_is_told_with_its_line() {
    let mut event = codec::invocation(1, &Input::Read { product: "p".into() }, None, 0);
    event.line = 12;
    event.f = "cas".into();
    let error = codec::records(&History { events: vec![event] }).unwrap_err();
    assert!(error.to_string().starts_with("line 12: :f cas: :f cas is none"), "{error}");
}
