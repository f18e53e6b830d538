//! The node that the tests run: the one that the workspace's build puts beside them.

use std::path::PathBuf;
use std::process::Command;

/// The `flashnode` program; built first when it is not there, as after `cargo test -p jepsen-lite`
/// on a fresh clone.
pub(crate) fn flashnode() -> PathBuf {
    let tests = std::env::current_exe().expect("the system knows this program");
    let built = tests.ancestors().nth(2).expect("target/debug/deps/test").join("flashnode");
    if built.is_file() {
        return built;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["build", "--package", "node", "--bin", "flashnode"];
    let status = Command::new(cargo).args(args).status().expect("cargo runs");
    assert!(status.success() && built.is_file(), "{} is needed", built.display());
    built
}
