//! The sealer: writes each segment when it is full, so that no snapshot finds many of them.
//!
//! Owns a thread of its own that gives way to those that answer buyers: a segment takes some tens
//! of milliseconds of processor time, and nobody waits for it. Whatever it has not sealed, a
//! snapshot seals, so it may fail, end or fall behind. Started by `replica`.

use super::SnapshotStore;
use crate::applied::Applied;
use std::sync::mpsc;

/// How much a thread gives way, as nice(1) counts: it gets a third of what each other does where
/// all want the processor, so that it does not starve while events gather in memory.
const NICENESS: i32 = 5;

/// Seals for the life of the node.
pub(crate) async fn run(snapshots: SnapshotStore, applied: Applied) {
    let mut filled = applied.filled();
    // The log that was applied anew at the start may have filled some.
    filled.mark_changed();
    // One waits while one is worked on: whichever comes meanwhile is found by the next look.
    let (asks, asked) = mpsc::sync_channel(1);
    let sealing = move || {
        give_way();
        while asked.recv().is_ok() {
            if let Err(error) = snapshots.seal_full(&applied) {
                tracing::warn!("a full segment is left for the next snapshot: {error}");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("sealer".to_owned()).spawn(sealing) {
        tracing::warn!("segments are sealed with snapshots only: {error}");
        return;
    }
    while filled.changed().await.is_ok() {
        // A full channel has an ask that no look has answered yet.
        let _asked = asks.try_send(());
    }
}

/// Makes the thread give way to those that answer buyers, for good.
pub(super) fn give_way() {
    // On Linux this is of the thread that asks.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("the sealer does not give way: {error}");
    }
}
