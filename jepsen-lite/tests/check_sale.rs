//! `jepsen-lite check --model flashnode` on the files that a run leaves: they give its verdict, and
//! each lie in them is told.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot do without")]

use checker::flashnode::bugs::{Bug, plant};
use checker::flashnode::synthetic::{Doubt, Plan, Synthetic, generate};
use checker::flashnode::{Expiries, Ledgers, ReplicaLedger, codec, judge};
use checker::format;
use checker::search::{Budget, Verdict};
use std::path::PathBuf;
use std::process::Command;

/// A run's files in a directory of their own.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn of(run: &Synthetic) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        let events = codec::events(&run.records);
        std::fs::write(files.path("history.jsonl"), format::write_jsonl(&events)).unwrap();
        std::fs::write(files.path("history.edn"), format::write_edn(&events)).unwrap();
        files.ledgers(&run.ledgers);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ledgers(&self, ledgers: &Ledgers) {
        let mut file = Vec::new();
        ledgers.write(&mut file).unwrap();
        std::fs::write(self.path("ledgers.json"), file).unwrap();
    }

    /// The exit code, and what it printed.
    fn check(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_jepsen-lite"))
            .current_dir(self.dir.path())
            .args(["check", "--model", "flashnode"])
            .args(args)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        let told = format!("{}{err}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), told)
    }
}

const WITH_LEDGERS: [&str; 3] = ["--ledgers", "ledgers.json", "history.jsonl"];

fn run(seed: u64) -> Synthetic {
    generate(Plan::small(seed))
}

#[test]
fn the_files_of_a_run_give_its_verdict() {
    for seed in 0..4 {
        for doubt in [Doubt::Nothing, Doubt::Orders, Doubt::Anything] {
            let run = generate(Plan { doubt, ..Plan::small(seed) });
            let judged = judge(&run.records, &run.ledgers, Budget::default());
            let files = Files::of(&run);
            for history in ["history.jsonl", "history.edn"] {
                let (code, told) = files.check(&["--json", "--ledgers", "ledgers.json", history]);
                let json: serde_json::Value = serde_json::from_str(&told).unwrap();
                assert_eq!(json["verdict"], judged.verdict.name(), "seed {seed}, {told}");
                assert_eq!(json["operations"], run.records.len(), "{told}");
                let layers = &json["judgement"]["layers"];
                for (layer, found) in judged.layers.iter().enumerate() {
                    assert_eq!(layers[layer]["verdict"], found.verdict.name(), "{told}");
                }
                assert_eq!(code, if judged.verdict == Verdict::Ok { 0 } else { 5 }, "{told}");
            }
        }
    }
}

#[test]
fn each_bug_in_a_history_is_illegal_in_its_files() {
    for bug in Bug::ALL {
        let mut planted = (0..).filter_map(|seed| plant(bug, Plan::small(seed)));
        let (code, told) = Files::of(&planted.next().unwrap()).check(&WITH_LEDGERS);
        assert_eq!(code, 4, "{bug:?}: {told}");
        assert!(told.lines().count() > 4, "{bug:?} without a word: {told}");
    }
}

#[test]
fn each_lie_in_a_ledger_is_told() {
    type Lie = fn(&mut Vec<ReplicaLedger>);
    let lies: [(&str, Lie); 5] = [
        ("acknowledged-order-kept: order", |replicas| {
            for replica in replicas {
                replica.orders.remove(0);
            }
        }),
        ("one-order-a-request: 2 orders under request", |replicas| {
            for replica in replicas {
                let twice = replica.orders[0].clone();
                replica.orders.push(twice);
            }
        }),
        ("replicas-equal: nodes 1 and 2: first order", |replicas| {
            replicas[1].orders.pop();
        }),
        ("replicas-equal: nodes 1 and 3: state hashes", |replicas| {
            for (replica, hash) in replicas.iter_mut().zip(["a", "a", "b"]) {
                replica.state_hash = Some(hash.to_owned());
            }
        }),
        ("counts-add-up: node 1", |replicas| {
            for replica in replicas {
                replica.products[0].held += 1;
            }
        }),
    ];
    let right = run(3);
    let files = Files::of(&right);
    assert_eq!(files.check(&WITH_LEDGERS).0, 0);
    for (words, lie) in lies {
        let mut ledgers = right.ledgers.clone();
        lie(&mut ledgers.replicas);
        files.ledgers(&ledgers);
        let (code, told) = files.check(&WITH_LEDGERS);
        assert_eq!(code, 4, "{words}: {told}");
        assert!(told.contains("ledger   illegal") && told.contains(words), "{words}: {told}");
    }
    let (code, told) = files.check(&["history.jsonl"]);
    assert_eq!(code, 0, "without them the lie is not seen: {told}");
    assert!(told.contains("ledger   ok; no replica's ledger was given"), "{told}");
}

/// Units come back when a hold runs out, and nobody is answered then.
#[test]
fn where_nobody_knows_which_holds_ran_out_no_answer_is_held_against_another() {
    let mut run = run(3);
    run.records.retain(|record| record.input.f() != "expire");
    let files = Files::of(&run);
    let (code, told) = files.check(&WITH_LEDGERS);
    assert_eq!(code, 4, "it has no expiry where it is to have them all: {told}");
    let mut ledgers = run.ledgers;
    ledgers.expiries = Expiries::Unread;
    files.ledgers(&ledgers);
    let (code, told) = files.check(&WITH_LEDGERS);
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("which holds ran out could not be read"), "{told}");
    let (code, told) = files.check(&["history.jsonl"]);
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("there are holds, and nothing says which ran out"), "{told}");
    for replica in &mut ledgers.replicas {
        replica.orders.remove(0);
    }
    files.ledgers(&ledgers);
    let (code, told) = files.check(&WITH_LEDGERS);
    assert_eq!(code, 4, "what the ledgers forbid stays forbidden: {told}");
    assert!(told.contains("acknowledged-order-kept"), "{told}");
}

/// A read of another's past, on its own lines.
#[test]
fn an_illegal_answer_is_told_with_its_lines() {
    let bugged = (0..).find_map(|seed| plant(Bug::StaleRead, Plan::small(seed))).unwrap();
    let files = Files::of(&bugged);
    let (code, told) = files.check(&["--timeline", "page.html", "history.edn"]);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("exact    illegal"), "{told}");
    assert!(told.contains("has no place in any order"), "{told}");
    assert!(told.contains("(lines "), "{told}");
    let page = std::fs::read_to_string(files.path("page.html")).unwrap();
    assert!(page.contains("has no place in any order"), "{page}");
}

#[test]
fn what_is_no_run_and_no_ledger_is_told_with_its_place() {
    let files = Files::of(&run(1));
    let told_of = |args: &[&str]| {
        let (code, told) = files.check(args);
        assert_eq!(code, 2, "{told}");
        told
    };
    let told = told_of(&["--ledgers", "history.jsonl", "history.jsonl"]);
    assert!(told.contains("history.jsonl:1:"), "{told}");
    let told = told_of(&["--ledgers", "nowhere.json", "history.jsonl"]);
    assert!(told.contains("cannot read nowhere.json"), "{told}");
    let told = told_of(&["--ledgers", "ledgers.json", "history.jsonl", "history.edn"]);
    assert!(told.contains("--ledgers is of one history"), "{told}");
    let register = "{:process 0 :type :invoke :f :write :value 1}\n";
    std::fs::write(files.path("register.edn"), register).unwrap();
    let told = told_of(&["register.edn"]);
    assert!(
        told.contains("register.edn:1:1: :f write: :f write is none of a flash sale's: create,"),
        "{told}"
    );
    let lines = std::fs::read_to_string(files.path("history.jsonl")).unwrap();
    let line = lines.lines().position(|line| line.contains("\"f\":\"buy\"")).unwrap();
    let broken: Vec<String> = lines
        .lines()
        .enumerate()
        .map(|(at, text)| if at == line { text.replace("user", "usr") } else { text.to_owned() })
        .collect();
    std::fs::write(files.path("broken.jsonl"), broken.join("\n")).unwrap();
    let told = told_of(&["broken.jsonl"]);
    assert!(told.contains(&format!("broken.jsonl:{}:1: :f buy: :user", line + 1)), "{told}");
}
