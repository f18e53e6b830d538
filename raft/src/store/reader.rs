//! Reads: from memory where the entries are in the tail, else from sled.

use super::{LogStore, disk};
use crate::types::{Entry, TypeConfig, Vote};
use futures_util::{Stream, TryStreamExt, stream};
use openraft::OptionalSend;
use openraft::storage::RaftLogReader;
use openraft::type_config::alias::EntryOf;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

/// How many bytes of payload a limited read returns, one entry more or less.
const READ_BYTES_MAX: usize = 1024 * 1024;
/// How often a read is tried again because a truncation or purge overlapped it. Each try needs
/// another truncation or purge to fail, and openraft makes those one at a time.
const READ_TRIES_MAX: usize = 8;

impl LogStore {
    /// What the log contains of `start..end`, until the payloads reach `bytes_max`; at least one
    /// entry, if it contains any.
    ///
    /// # Errors
    /// `InvalidData` when an entry that the log must contain is missing or damaged. The store has
    /// then failed: what it cannot read back it must neither skip nor guess.
    pub(super) fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        for _ in 0..READ_TRIES_MAX {
            let (plan, log) = {
                let state = self.shared.state();
                (state.plan(start, end, bytes_max), state.log.clone())
            };
            let (cold_start, cold_end) = plan.cold;
            if cold_start == cold_end {
                return Ok(plan.hot);
            }
            let log = log.ok_or_else(|| self.shared.gone())?;
            let result = disk::read(&log, cold_start, cold_end, bytes_max);
            // The lock was not held: the IO thread may have removed what was read.
            if self.shared.state().epoch != plan.epoch {
                continue;
            }
            let mut entries = result.inspect_err(|error| drop(self.shared.fail(error)))?;
            if bytes_max == usize::MAX {
                entries.extend(plan.hot);
            }
            return Ok(entries);
        }
        Err(io::Error::other("the log changed under each of several reads"))
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        self.read(start, end, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.state().vote)
    }

    /// About 1 MiB. Empty when the log does not contain `start` (any more): what lies beyond
    /// would be a hole in the receiver's log.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let entries = self.read(start, end, READ_BYTES_MAX)?;
        let is_at_start = entries.first().is_some_and(|entry| entry.log_id.index == start);
        Ok(if is_at_start { entries } else { Vec::new() })
    }

    /// Read step by step, because apply may ask for everything since the last snapshot.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<EntryOf<TypeConfig>>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let end = end.min(self.shared.state().end());
        let store = self.clone();
        stream::try_unfold(start, move |next| {
            let step = store.read(next, end, READ_BYTES_MAX);
            std::future::ready(step.map(|entries| {
                let last = entries.last()?;
                let after = last.log_id.index + 1;
                Some((stream::iter(entries.into_iter().map(Ok)), after))
            }))
        })
        .try_flatten()
    }
}

/// The range as `start..end`.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}
