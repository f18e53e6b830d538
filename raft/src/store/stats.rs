//! What the store counts, for the node's metrics. Written by the IO thread, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets of [`StoreMetrics::flush_us_buckets`], in microseconds.
pub const FLUSH_US_BOUNDS: [u64; 12] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 1_000_000];

/// Counters of one store since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreMetrics {
    /// Group commits: each is one write to sled, one flush and one sync of the device.
    pub flushes_total: u64,
    /// The time that they took together, from the write to the end of the sync, in microseconds.
    pub flush_us_total: u64,
    /// The longest one since the metrics were last read, in microseconds.
    pub flush_us_max: u64,
    /// How many took at most [`FLUSH_US_BOUNDS`] (not cumulative); the last one counts the rest.
    pub flush_us_buckets: [u64; FLUSH_US_BOUNDS.len() + 1],
    /// Bytes of log entries written, headers included.
    pub appended_bytes_total: u64,
    /// Log entries written.
    pub entries_total: u64,
}

#[derive(Default)]
pub(super) struct Stats {
    flushes_total: AtomicU64,
    flush_us_total: AtomicU64,
    flush_us_max: AtomicU64,
    flush_us_buckets: [AtomicU64; FLUSH_US_BOUNDS.len() + 1],
    appended_bytes_total: AtomicU64,
    entries_total: AtomicU64,
}

impl Stats {
    pub(super) fn flushed(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.flushes_total.fetch_add(1, Relaxed);
        self.flush_us_total.fetch_add(us, Relaxed);
        self.flush_us_max.fetch_max(us, Relaxed);
        let bucket = FLUSH_US_BOUNDS.partition_point(|&bound| bound < us);
        self.flush_us_buckets[bucket].fetch_add(1, Relaxed);
    }

    pub(super) fn appended(&self, entries: u64, bytes: u64) {
        self.entries_total.fetch_add(entries, Relaxed);
        self.appended_bytes_total.fetch_add(bytes, Relaxed);
    }

    pub(super) fn read(&self) -> StoreMetrics {
        StoreMetrics {
            flushes_total: self.flushes_total.load(Relaxed),
            flush_us_total: self.flush_us_total.load(Relaxed),
            flush_us_max: self.flush_us_max.swap(0, Relaxed),
            flush_us_buckets: std::array::from_fn(|i| self.flush_us_buckets[i].load(Relaxed)),
            appended_bytes_total: self.appended_bytes_total.load(Relaxed),
            entries_total: self.entries_total.load(Relaxed),
        }
    }
}
