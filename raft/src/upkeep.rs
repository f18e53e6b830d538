//! Watches the replica's vital signs, and takes snapshots early when the log grows fast in bytes.

use crate::shared::Shared;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Log bytes since the last snapshot that call for the next one. Bounds the events in memory,
/// the replay of a restart, and what the log takes on disk.
const SNAPSHOT_LOG_BYTES: u64 = 64 * 1024 * 1024;
/// Free bytes under which nothing new is proposed.
const DISK_RESERVE_BYTES: u64 = 32 * 1024 * 1024;
/// How an error of the system says that the disk is full.
const NO_SPACE: &str = "(os error 28)";

/// Runs for the life of the node; reports why when the replica cannot go on.
pub(crate) async fn run(shared: Arc<Shared>, report: watch::Sender<Option<String>>) {
    let mut snapshot_at_bytes = SNAPSHOT_LOG_BYTES;
    let mut leader = None;
    loop {
        tokio::select! {
            why = shared.store.failed() => {
                report.send_replace(Some(in_words(&shared.data, &why.to_string())));
                return;
            }
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        if let Some(Err(fatal)) = shared.look(|metrics| metrics.running_state.clone()) {
            report.send_replace(Some(in_words(&shared.data, &fatal.to_string())));
            return;
        }
        announce_leader(&shared, &mut leader);
        look_at_disk(&shared);
        let appended = shared.store.metrics().appended_bytes_total;
        if appended >= snapshot_at_bytes
            && let Some(raft) = shared.raft()
        {
            snapshot_at_bytes = appended + SNAPSHOT_LOG_BYTES;
            if let Err(fatal) = raft.trigger().snapshot().await {
                report.send_replace(Some(in_words(&shared.data, &fatal.to_string())));
                return;
            }
        }
    }
}

/// Why the replica stopped, and what to do. Raft passes on what a store said as a text.
pub(crate) fn in_words(data: &Path, why: &str) -> String {
    if why.contains(NO_SPACE) {
        return format!(
            "the disk of {} is full: free some space and start this node again. Nothing that was \
             acknowledged is lost ({why})",
            data.display()
        );
    }
    format!("this node cannot go on: {why}")
}

/// Stops proposals while there is still room for what followers and snapshots must write.
fn look_at_disk(shared: &Shared) {
    let free = match rustix::fs::statvfs(&shared.data) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            tracing::debug!("cannot tell how full the disk is: {error}");
            return;
        }
    };
    let room = free > DISK_RESERVE_BYTES;
    if shared.set_room(room) {
        if room {
            tracing::info!("the disk has room again: selling goes on");
        } else {
            tracing::error!(
                "the disk of {} is nearly full ({free} bytes left): no more buys are taken until \
                 there is room; reads go on",
                shared.data.display()
            );
        }
    }
}

/// A failover reads as two lines: the leader is lost, and who leads now.
fn announce_leader(shared: &Shared, known: &mut Option<(stock::NodeId, u64)>) {
    let now = shared.look(|metrics| (metrics.current_leader, metrics.current_term));
    let Some((Some(leader), term)) = now else {
        return;
    };
    if *known != Some((leader, term)) {
        *known = Some((leader, term));
        if leader == shared.links.id() {
            tracing::info!(term, "this node leads");
        } else {
            tracing::info!(term, "node {leader} leads");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_ends() {
        let full = std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let said = in_words(Path::new("/data"), &format!("when Write Logs: {full}"));
        assert!(said.starts_with("the disk of /data is full: free some space"), "{said}");
        let said = in_words(Path::new("/data"), "when Write Logs: a hole");
        assert_eq!(said, "this node cannot go on: when Write Logs: a hole");
    }
}
