//! Where the `flashnode` program is, when nobody says.
//!
//! Called by `cluster` only.

use super::ClusterError;
use std::path::PathBuf;

/// The program beside this one, or where cargo builds it.
pub(super) fn find_binary() -> Result<PathBuf, ClusterError> {
    let exe = std::env::current_exe().map_err(ClusterError::io("find", "this program"))?;
    // target/release/flashctl, or target/debug/deps/some_test-0123.
    let beside = exe.ancestors().skip(1).take(2).map(|dir| dir.join("flashnode"));
    let built = ["target/release/flashnode", "target/debug/flashnode"].map(PathBuf::from);
    let looked_at: Vec<PathBuf> = beside.chain(built).collect();
    match looked_at.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(ClusterError::NoBinary { looked_at }),
    }
}
