//! The programs that the tests run: `flashctl` as it was built, and the `flashnode` that the
//! workspace's build puts beside it.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod script;

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// For nodes whose leader shall lead until it dies, also where they get little of the processor.
pub(crate) const CALM: [&str; 6] =
    ["--heartbeat-ms", "100", "--election-min-ms", "1500", "--election-max-ms", "3000"];

/// Runs `flashctl` to its end.
pub(crate) fn flashctl(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashctl"));
    command.args(args).env_remove("FLASHCTL_NODES").output().unwrap()
}

/// As [`flashctl`], while the tasks of this test go on.
pub(crate) async fn beside(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let run = move || flashctl(&args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {:?} {}", stdout(output), stderr(output)))
}

/// The `flashnode` program; built first when it is not there, as after `cargo test -p client` on a
/// fresh clone.
pub(crate) fn flashnode() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_flashctl")).with_file_name("flashnode");
    if !built.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let args = ["build", "--package", "node", "--bin", "flashnode"];
        let status = Command::new(cargo).args(args).status().unwrap();
        assert!(status.success() && built.is_file(), "{} is needed", built.display());
    }
    built
}
