//! Removing entries from sled: purges in small steps from the front, truncations from the end.
//!
//! One big purge would hold up the appends behind it for seconds, long enough to lose the
//! leader's lease. The IO thread makes the steps; this file says what one is.

use super::error::io_error;
use super::record::{KEY_BYTES, key, parse_key};
use std::io;
use std::ops::Bound;

/// The most keys that one step removes.
pub(super) const PURGE_KEYS_MAX: usize = 64;

/// A purge that is under way.
pub(super) struct Purge {
    from: [u8; KEY_BYTES],
    upto: u64,
}

/// How many purge steps follow a group: they remove up to twice the keys that it appended.
pub(super) fn purge_steps(keys_appended: usize) -> usize {
    1 + (2 * keys_appended).div_ceil(PURGE_KEYS_MAX)
}

impl Purge {
    /// A purge of all entries up to this index.
    pub(super) fn up_to(upto: u64) -> Self {
        Self { from: key(0, 0), upto }
    }

    /// The same purge with a further end.
    pub(super) fn extended_to(self, upto: u64) -> Self {
        Self { upto: upto.max(self.upto), ..self }
    }

    /// Removes the next keys, at most [`PURGE_KEYS_MAX`]; `None` when all are gone. A step may end
    /// within an entry: what is purged is never read again.
    ///
    /// # Errors
    /// sled's.
    pub(super) fn step(mut self, log: &sled::Tree) -> io::Result<Option<Self>> {
        let mut batch = sled::Batch::default();
        let mut removed = 0;
        let upto = key(self.upto, u16::MAX);
        for item in log.range(self.from..=upto).keys().take(PURGE_KEYS_MAX) {
            let key = item.map_err(io_error)?;
            self.from.copy_from_slice(&key);
            batch.remove(key);
            removed += 1;
        }
        if removed > 0 {
            log.apply_batch(batch).map_err(io_error)?;
        }
        Ok((removed == PURGE_KEYS_MAX).then_some(self))
    }
}

/// Removes all entries from `start` on, from the end backwards and never half an entry at once,
/// so that a crash leaves a shorter log and neither a hole nor a cut entry.
///
/// # Errors
/// sled's.
pub(super) fn remove_after(log: &sled::Tree, start: u64) -> io::Result<()> {
    let keys = (Bound::Included(key(start, 0)), Bound::Unbounded::<[u8; KEY_BYTES]>);
    loop {
        let mut batch = sled::Batch::default();
        let mut removed = 0;
        for item in log.range(keys).keys().rev() {
            let item_key = item.map_err(io_error)?;
            let is_entry_start = matches!(parse_key(&item_key), Some((_, 0)));
            batch.remove(item_key);
            removed += 1;
            if removed >= PURGE_KEYS_MAX && is_entry_start {
                break;
            }
        }
        if removed == 0 {
            return Ok(());
        }
        log.apply_batch(batch).map_err(io_error)?;
    }
}
