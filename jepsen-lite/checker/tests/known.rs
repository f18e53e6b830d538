//! Recorded histories with known verdicts: all must come out right.

use checker::models::{CasRegister, Kv};
use checker::search::{self, Budget, Finding, Verdict};
use checker::{History, Model, format};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/histories/known")
}

fn verdict<M: Model>(model: &M, history: &History, name: &str) -> Verdict {
    let operations = history.operations(model).unwrap_or_else(|e| panic!("{name}: {e}"));
    let report = search::check(model, &operations, Budget::default());
    for partition in &report.partitions {
        if let Finding::Linearizable { order } = &partition.finding {
            replay(model, &operations, &partition.key, order, name);
        }
    }
    report.verdict
}

/// A linearization is one: every step is legal, every known operation is in it, and none is
/// placed before one that had returned before it was invoked.
fn replay<M: Model>(
    model: &M,
    operations: &[search::Operation<M::Op>],
    key: &M::Key,
    order: &[usize],
    name: &str,
) {
    let mut state = model.init(key);
    let mut latest_invocation = 0;
    for &index in order {
        let operation = &operations[index];
        state = model.step(&state, &operation.op).unwrap_or_else(|| {
            panic!("{name}: {} is not legal in {state:?}", model.describe(&operation.op))
        });
        let returned = operation.returned.unwrap_or(usize::MAX);
        assert!(returned > latest_invocation, "{name}: real time is violated at {index}");
        latest_invocation = latest_invocation.max(operation.invoked);
    }
    for (index, operation) in operations.iter().enumerate() {
        let is_due = operation.returned.is_some() && model.partition(&operation.op) == *key;
        assert!(!is_due || order.contains(&index), "{name}: operation {index} is left out");
    }
}

#[test]
fn every_known_history_gets_its_verdict() {
    let table = std::fs::read_to_string(folder().join("verdicts.csv")).unwrap();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for row in table.lines().skip(1) {
        let [file, model, linearizable] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("{row}: three columns are due")
        };
        let text = std::fs::read_to_string(folder().join(file)).unwrap();
        let history = format::read(&text).unwrap_or_else(|e| panic!("{file}:{e}"));
        let verdict = match model {
            "cas-register" => verdict(&CasRegister::default(), &history, file),
            "kv" => verdict(&Kv, &history, file),
            other => panic!("{file}: no model {other}"),
        };
        let expected = if linearizable == "true" { Verdict::Ok } else { Verdict::Illegal };
        if verdict != expected {
            wrong.push((file.to_owned(), verdict));
        }
        checked += 1;
    }
    assert_eq!(checked, 44);
    assert!(wrong.is_empty(), "wrong: {wrong:?}");
}

#[test]
fn both_written_forms_read_back_the_same() {
    for file in ["jepsen-etcd/etcd_005.log", "kv/c10-ok.txt"] {
        let text = std::fs::read_to_string(folder().join(file)).unwrap();
        let mut history = format::read(&text).unwrap();
        for (index, event) in history.events.iter_mut().enumerate() {
            event.line = index as u32 + 1;
        }
        let edn = format::write_edn(&history.events);
        assert_eq!(format::read(&edn).unwrap(), history, "{file} as EDN");
        let jsonl = format::write_jsonl(&history.events);
        assert_eq!(format::read(&jsonl).unwrap(), history, "{file} as JSONL");
    }
}
