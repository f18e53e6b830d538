//! The benchmarks work, a second of each: real servers, real clients, and files that a reader can
//! use. What they measure is not judged here.
//!
//! They need `wrk`, and one of them `redis-server`. Where one is missing they say so aloud and
//! pass, unless `FLASHNODE_NO_SKIPS` is set.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot do without")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The `flashnode` program.
fn flashnode() -> PathBuf {
    program("node", "flashnode")
}

/// A program of the workspace; built first when it is not there, as after `cargo test -p bench` on
/// a fresh clone.
fn program(package: &str, name: &str) -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_bench")).with_file_name(name);
    if !built.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let args = ["build", "--package", package, "--bin", name];
        let status = Command::new(cargo).args(args).status().unwrap();
        assert!(status.success() && built.is_file(), "{} is needed", built.display());
    }
    built
}

fn are_there(programs: &[&str]) -> bool {
    let is_missing = |program: &&&str| Command::new(program).arg("-v").output().is_err();
    let Some(missing) = programs.iter().find(is_missing) else {
        return true;
    };
    let why = format!("SKIPPED: {missing} is not installed");
    assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
    eprintln!("{why}");
    false
}

/// Clusters that start beside one another on a small machine may take too long for either.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `bench` to its end; returns what it printed.
fn bench(words: &str, out: Option<&Path>) -> String {
    // One that failed has said so, and is no reason for the next to fail.
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(words.split(' ')).arg("--binary").arg(flashnode());
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {printed}{complaints}");
    printed
}

fn written(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn buys_are_measured_beside_the_no_op_and_redis() {
    if !are_there(&["wrk", "redis-server"]) {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let words = "buys --rounds 1 --seconds 1 --warm-up 1 --connections 16 \
                 --contenders noop,redis-always,flashnode";
    let printed = bench(words, Some(out.path()));
    for contender in ["noop", "redis-always", "flashnode"] {
        assert!(printed.contains(contender), "{printed}");
    }
    assert!(written(out.path().join("buys.json")).to_string().contains("redis-always"));
    let plot = std::fs::read_to_string(out.path().join("buys.svg")).unwrap();
    assert!(plot.starts_with("<svg"), "{plot}");
}

#[test]
fn refusals_reads_and_batches_are_measured() {
    if are_there(&["wrk"]) {
        let out = tempfile::tempdir().unwrap();
        let words = "answers --rounds 1 --seconds 1 --connections 16 --batch 1000";
        bench(words, Some(out.path()));
        let written = written(out.path().join("answers.json"));
        let samples = written["rounds"][0].as_array().unwrap();
        assert_eq!(samples.len(), 3, "{written}");
        for sample in samples {
            assert!(sample["a_second"].as_f64().unwrap() > 0.0, "{written}");
        }
    }
}

#[test]
fn overload_and_fairness_are_measured() {
    if are_there(&["wrk"]) {
        let out = tempfile::tempdir().unwrap();
        let words = "overload --seconds 3 --closed 16 --connections 300 --open 100 --units 2000 \
                     --buyers 30 --sales 1";
        bench(words, Some(out.path()));
        let written = written(out.path().join("overload.json"));
        let shares = &written["sell_outs"][0];
        let all: f64 =
            shares["followers"].as_array().unwrap().iter().filter_map(Value::as_f64).sum();
        assert!((all + shares["leader"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{written}");
    }
}

#[test]
fn growth_is_measured() {
    if are_there(&["wrk"]) {
        let out = tempfile::tempdir().unwrap();
        bench("growth --orders 2000 --seconds 1", Some(out.path()));
        assert!(written(out.path().join("growth.json")).to_string().contains("2000"));
    }
}

#[test]
fn sinks_are_measured() {
    if !are_there(&["wrk"]) {
        return;
    }
    program("client", "flashctl");
    let out = tempfile::tempdir().unwrap();
    for more in ["", " --of-state"] {
        let words = format!("sinks --orders 2000 --seconds 1 --buys 200{more}");
        let printed = bench(&words, Some(out.path()));
        let written = written(out.path().join("sinks.json"));
        let carried = written["carried"].as_array().unwrap();
        // Files and the webhook need no server; of the others it says why they are left out.
        let skipped = printed.lines().filter(|line| line.starts_with("skipped: ")).count();
        assert_eq!(carried.len() + skipped, 5, "{printed}");
        assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none() || skipped == 0, "{printed}");
        for one in carried {
            assert!(one["orders"].as_u64().unwrap() >= 2_000, "{one}");
            assert!(one["rows"].as_u64() >= one["orders"].as_u64(), "{one}");
            assert!(one["peak_mib"].as_f64().unwrap() > 0.0, "{one}");
        }
    }
}
