//! How far a sink is, and how late.
//!
//! Owns: the counts, shared by the loop that writes them and whoever shows them. A change is late
//! by the time from its log time to when the target had it durably, by this machine's clock; it
//! cannot be less than 0.

use hdrhistogram::Histogram;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use stock::Seq;
use stock::api::EventView;

/// The most that a change is said to be late.
const LATE_MS_MAX: u64 = 7 * 24 * 3_600_000;

/// See the module.
#[derive(Debug)]
pub struct Progress {
    name: String,
    position: AtomicU64,
    newest: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
    retries: AtomicU64,
    standby: AtomicBool,
    late_last_ms: AtomicU64,
    late_ms: Mutex<Histogram<u64>>,
    trouble: Mutex<Option<String>>,
    /// And whether somebody has asked for it.
    warning: Mutex<(Option<String>, bool)>,
}

impl Progress {
    /// Of the sink with this name, which stands nowhere yet.
    ///
    /// # Panics
    /// Never: the histogram's bounds are constants.
    pub fn new(name: &str) -> Self {
        let late = Histogram::new_with_bounds(1, LATE_MS_MAX, 3);
        Self {
            name: name.to_owned(),
            position: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            standby: AtomicBool::new(false),
            late_last_ms: AtomicU64::new(0),
            late_ms: Mutex::new(late.unwrap_or_else(|why| unreachable!("valid bounds: {why}"))),
            trouble: Mutex::new(None),
            warning: Mutex::default(),
        }
    }

    /// The last change that the target has.
    pub fn position(&self) -> Seq {
        Seq(self.position.load(Ordering::Relaxed))
    }

    /// The newest change of the cluster that was heard of.
    pub fn newest(&self) -> Seq {
        Seq(self.newest.load(Ordering::Relaxed).max(self.position().0))
    }

    /// Rows, messages or lines written by this runner.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Changes that the target does not have yet.
    pub fn lag(&self) -> u64 {
        // Others move both meanwhile.
        self.newest().0.saturating_sub(self.position().0)
    }

    /// Whether another runner is at work.
    pub fn standby(&self) -> bool {
        self.standby.load(Ordering::Relaxed)
    }

    /// What it waits for, if something is wrong.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// What is not as it should be about the connection, though it works; to whoever asks first.
    pub fn new_warning(&self) -> Option<String> {
        let mut warning = lock(&self.warning);
        if std::mem::replace(&mut warning.1, true) { None } else { warning.0.clone() }
    }

    /// By how many milliseconds changes were late: of all changes, at this quantile.
    pub fn late_ms_at(&self, quantile: f64) -> u64 {
        lock(&self.late_ms).value_at_quantile(quantile)
    }

    pub(crate) fn stands(&self, position: Seq) {
        self.position.store(position.0, Ordering::Relaxed);
    }

    pub(crate) fn hears_of(&self, newest: Seq) {
        self.newest.fetch_max(newest.0, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, batch: &[EventView], rows: u64) {
        let Some(last) = batch.last() else { return };
        self.stands(last.seq);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = now.as_millis() as u64;
        let mut late = lock(&self.late_ms);
        for event in batch {
            late.saturating_record(now_ms.saturating_sub(event.at_ms));
        }
        self.late_last_ms.store(now_ms.saturating_sub(last.at_ms), Ordering::Relaxed);
        self.recovered();
    }

    pub(crate) fn rebased(&self, position: Seq, rows: u64) {
        self.stands(position);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn recovered(&self) {
        *lock(&self.trouble) = None;
    }

    pub(crate) fn failed(&self, why: &str) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        *lock(&self.trouble) = Some(why.to_owned());
    }

    pub(crate) fn warns(&self, warning: Option<String>) {
        let mut before = lock(&self.warning);
        if before.0 != warning {
            if let Some(why) = &warning {
                tracing::warn!("{why}");
            }
            *before = (warning, false);
        }
    }

    pub(crate) fn stands_by(&self, standby: bool) {
        self.standby.store(standby, Ordering::Relaxed);
    }

    /// The metrics, in Prometheus's text format.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        let late_s = |ms: u64| ms as f64 / 1000.0;
        let flag = |on: bool| f64::from(u8::from(on));
        let late_last = self.late_last_ms.load(Ordering::Relaxed);
        let rows: [(&str, &str, &str, f64); 8] = [
            ("position", "gauge", "Last change that the target has.", self.position().0 as f64),
            ("lag_events", "gauge", "Changes that the target does not have.", self.lag() as f64),
            ("late_seconds", "gauge", "How late the last change was.", late_s(late_last)),
            ("late_p99_seconds", "gauge", "How late changes were.", late_s(self.late_ms_at(0.99))),
            ("rows_total", "counter", "Rows or messages written.", self.rows() as f64),
            (
                "batches_total",
                "counter",
                "Batches written.",
                self.batches.load(Ordering::Relaxed) as f64,
            ),
            (
                "retries_total",
                "counter",
                "Failures that were tried again.",
                self.retries.load(Ordering::Relaxed) as f64,
            ),
            ("standby", "gauge", "Whether another runner is at work.", flag(self.standby())),
        ];
        for (name, kind, help, value) in rows {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "# HELP flashnode_sink_{name} {help}\n# TYPE flashnode_sink_{name} {kind}\n\
                 flashnode_sink_{name}{{sink=\"{}\"}} {value}\n",
                self.name
            );
        }
        text
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
