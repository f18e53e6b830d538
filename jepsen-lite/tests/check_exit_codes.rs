//! `jepsen-lite check` through the binary: what it exits with, and where it points.

#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "a test ends at what it cannot do without"
)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

const OK: &str = "{:process 0 :type :invoke :f :write :value 1}\n\
                  {:process 0 :type :ok :f :write :value 1}\n\
                  {:process 1 :type :invoke :f :read :value nil}\n\
                  {:process 1 :type :ok :f :read :value 1}\n";
const STALE: &str = "{:process 0 :type :invoke :f :write :value 1}\n\
                     {:process 0 :type :ok :f :write :value 1}\n\
                     {:process 1 :type :invoke :f :read :value nil}\n\
                     {:process 1 :type :ok :f :read :value nil}\n";

fn check(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_jepsen-lite"))
        .arg("check")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn each_verdict_has_its_exit_code() {
    let register = ["--model", "cas-register", "-"];
    let broken = OK.replace(":type :ok :f :read", ":type :done :f :read");
    let unpaired = OK.replace(":process 0 :type :ok", ":process 7 :type :ok");
    let unclosed = OK.replace("{:process 1 :type :ok", "{:process 1 :type \"ok");
    for (input, code, words) in [
        (OK, 0, "ok "),
        (STALE, 4, "read → nil (lines 3-4) has no place"),
        (&broken, 2, "-:4:19: "),
        (&unpaired, 2, "-:2:1: process 7 completes write"),
        (&unclosed, 2, "never closed"),
        ("", 2, "-:1:1: the file is empty"),
    ] {
        let output = check(&register, input);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(code), "{input}\n{told}");
        assert!(told.contains(words), "{words} is not in:\n{told}");
    }
}

#[test]
fn a_budget_that_runs_out_is_unknown() {
    // Ten ways from 0 and back, all open at once, before a read of what none of them leads to, are
    // searched for long.
    let mut input = "{:process 99 :type :invoke :f :write :value 0}\n".to_owned();
    input += "{:process 99 :type :ok :f :write :value 0}\n";
    let there_and_back =
        (1..=10).flat_map(|value| [format!("[0 {value}]"), format!("[{value} 0]")]);
    let steps: Vec<(usize, String)> = there_and_back.enumerate().collect();
    for (process, step) in &steps {
        input += &format!("{{:process {process} :type :invoke :f :cas :value {step}}}\n");
    }
    input += "{:process 99 :type :invoke :f :read :value nil}\n";
    input += "{:process 99 :type :ok :f :read :value 77}\n";
    for (process, step) in &steps {
        input += &format!("{{:process {process} :type :ok :f :cas :value {step}}}\n");
    }
    let output = check(&["--model", "cas-register", "--memory-limit", "0", "-"], &input);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(told.contains("ran out of memory"), "{told}");
}

#[test]
fn an_unreadable_path_and_a_wrong_model_are_2() {
    let output = check(&["--model", "cas-register", "/nowhere/history.edn"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("/nowhere/history.edn"));
    let output = check(&["--model", "queue", "-"], OK);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("cas-register"));
}

#[test]
fn a_timeline_is_drawn_of_one_history() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("timeline.html");
    let timeline = ["--model", "cas-register", "--timeline", page.to_str().unwrap()];
    let output = check(&[&timeline[..], &["-"]].concat(), STALE);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("read → nil (lines 3-4) has no place"), "{html}");
    let output = check(&[&timeline[..], &["-", "-"]].concat(), STALE);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("--timeline is of one history"));
}

#[test]
fn a_failed_cas_tells_nothing_unless_asked() {
    let input = "{:process 0 :type :invoke :f :write :value 1}\n\
                 {:process 0 :type :ok :f :write :value 1}\n\
                 {:process 1 :type :invoke :f :cas :value [1 2]}\n\
                 {:process 1 :type :fail :f :cas :value [1 2]}\n";
    let register = ["--model", "cas-register"];
    let output = check(&[&register[..], &["-"]].concat(), input);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let mismatch = [&register[..], &["--failed-cas", "mismatch", "-"]].concat();
    let output = check(&mismatch, input);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(told(&output).contains("cas 1 → 2, refused (lines 3-4) has no place"));
    let of_another_model = ["--model", "mutex", "--failed-cas", "mismatch", "-"];
    assert_eq!(check(&of_another_model, input).status.code(), Some(2));
    // A cause of its own, and it tells nothing after all.
    let output = check(&mismatch, &input.replace(":fail :f :cas", ":fail :error :timeout :f :cas"));
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[test]
fn where_nothing_was_done_there_is_nothing_to_check() {
    let kill = "{:process :nemesis :type :info :f :kill :value nil}\n";
    let failed = "{:process 0 :type :invoke :f :write :value 1}\n\
                  {:process 0 :type :fail :f :write :value 1}\n";
    for (input, code, words) in [(kill, 5, "nothing to check"), (failed, 0, "shows nothing")] {
        let output = check(&["--model", "cas-register", "-"], input);
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        assert!(told(&output).contains(words), "{}", told(&output));
    }
    let output = check(&["--model", "flashnode", "-"], kill);
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    assert!(told(&output).contains("nothing to check"), "{}", told(&output));
}

/// A pipe that nobody reads any more, from before the program starts.
fn closed_pipe() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

/// As before `head`: it ends as if SIGPIPE had ended it, and says nothing.
#[test]
fn a_reader_that_has_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stale.edn");
    std::fs::write(&file, STALE).unwrap();
    // More than a pipe holds.
    let files = vec![file; 2_000];
    let output = Command::new(env!("CARGO_BIN_EXE_jepsen-lite"))
        .args(["check", "--model", "cas-register"])
        .args(files)
        .stdout(closed_pipe())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// As under `| head -1`: each command that prints more than one line.
#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let known = concat!(env!("CARGO_MANIFEST_DIR"), "/checker/tests/histories/known/kv/c01-ok.txt");
    let sizes = ["bench", "--sizes", "10,20"];
    let commands: [&[&str]; 4] =
        [&["check", "--model", "kv", known], &sizes, &["bugs", "--seeds", "1"], &["sweep"]];
    let runtime = tempfile::tempdir().unwrap();
    for command in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_jepsen-lite"))
            .args(command)
            // Where no other harness on this machine has claims, as `sweep` ends whose are left.
            .env("XDG_RUNTIME_DIR", runtime.path())
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(141), "{command:?}: {}", told(&output));
        assert_eq!(told(&output), "", "{command:?}");
    }
}
