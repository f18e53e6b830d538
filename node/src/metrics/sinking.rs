//! How far the sinks inside this node are; and their panics.
//!
//! A sink is *here* while its node leads, whether or not it gets on. What it does not have then is
//! counted when Prometheus asks, from the newest change that this node has applied: it grows while
//! the target refuses, while the sink waits after a panic, and while it hangs. Elsewhere all of a
//! sink's gauges are 0.

use super::scrape::{Scrape, head};
use prometheus::{IntCounter, Registry};
use sink::Progress;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stock::Seq;

/// All of them.
pub(super) struct Sinks {
    sinks: Mutex<Vec<Arc<SinkGauges>>>,
    panics: IntCounter,
}

/// One of them.
pub(crate) struct SinkGauges {
    name: String,
    /// As a label's value.
    target: String,
    shown: Mutex<Shown>,
}

/// What is known of one.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    here: bool,
    running: bool,
    refused: bool,
    position: Seq,
    late_p99_ms: u64,
}

/// Ends its being at work, also when a panic takes it away.
pub(crate) struct AtWork<'a>(&'a SinkGauges);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.shown().running = false;
    }
}

impl SinkGauges {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node leads; the target is known to stand here.
    pub(crate) fn is_here(&self, position: Seq) {
        *self.shown() = Shown { here: true, position, ..Shown::default() };
    }

    /// Another node leads.
    pub(crate) fn is_elsewhere(&self) {
        *self.shown() = Shown::default();
    }

    /// It is refused, and waits.
    pub(crate) fn is_refused(&self) {
        self.shown().refused = true;
    }

    /// It is about to work, until the guard is dropped.
    pub(crate) fn at_work(&self) -> AtWork<'_> {
        AtWork(self)
    }

    /// How far it is. What was refused is refused until something was written, or there is nothing
    /// left to write.
    pub(crate) fn shows(&self, position: Seq, progress: &Progress, newest: Seq) {
        let mut shown = self.shown();
        let stands = progress.position();
        let goes_on = progress.rows() > 0 || (stands > Seq(0) && stands >= newest);
        shown.refused &= !goes_on;
        shown.running = !shown.refused && !progress.standby();
        shown.position = position;
        shown.late_p99_ms = progress.late_ms_at(0.99);
    }
}

/// Picks one of a sink's numbers.
type Number = fn(&Shown, Seq) -> f64;

impl Sinks {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help =
            "Panics of sinks on this node, which goes on without them until they are begun anew";
        let panics = IntCounter::new("flashnode_sink_panics_total", help)?;
        registry.register(Box::new(panics.clone()))?;
        Ok(Self { sinks: Mutex::default(), panics })
    }

    pub(super) fn add(&self, name: &str, target: &str) -> Arc<SinkGauges> {
        let target = target.replace('\\', "\\\\").replace('"', "\\\"");
        let (name, shown) = (name.to_owned(), Mutex::default());
        let gauges = Arc::new(SinkGauges { name, target, shown });
        self.all().push(Arc::clone(&gauges));
        gauges
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<SinkGauges>>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn panicked(&self) {
        self.panics.inc();
    }

    #[cfg(test)]
    pub(super) fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// Appends them in the text format.
    pub(super) fn write(&self, text: &mut String, scrape: &Scrape) -> fmt::Result {
        let look = |sink: &Arc<SinkGauges>| {
            // One that waits after a panic has not heard yet that another node leads.
            let shown = if scrape.is_leader { *sink.shown() } else { Shown::default() };
            (Arc::clone(sink), shown)
        };
        let sinks: Vec<(Arc<SinkGauges>, Shown)> = self.all().iter().map(look).collect();
        if sinks.is_empty() {
            return Ok(());
        }
        let families: [(&str, &str, Number); 5] = [
            ("running", "1 while the sink is at work on this node", |sink, _| {
                f64::from(u8::from(sink.running))
            }),
            ("refused", "1 while the target, or the cluster, refuses the sink here", |sink, _| {
                f64::from(u8::from(sink.refused))
            }),
            ("position", "Last change that the target of the sink here has", |sink, _| {
                sink.position.0 as f64
            }),
            (
                "lag_events",
                "Changes that the target of the sink here does not have",
                |sink, newest| {
                    let lag = newest.0.saturating_sub(sink.position.0);
                    if sink.here { lag as f64 } else { 0.0 }
                },
            ),
            (
                "late_p99_seconds",
                "How late the target of the sink here got changes, 99 of 100",
                |sink, _| sink.late_p99_ms as f64 / 1000.0,
            ),
        ];
        let name = "flashnode_sink_info";
        head(text, name, "gauge", "The sinks of this node, and what each is for; always 1")?;
        for (sink, _) in &sinks {
            writeln!(text, "{name}{{sink=\"{}\",target=\"{}\"}} 1", sink.name, sink.target)?;
        }
        for (name, help, number) in families {
            let name = format!("flashnode_sink_{name}");
            head(text, &name, "gauge", help)?;
            for (sink, shown) in &sinks {
                // A sink's name holds nothing that a label would have to escape.
                let (sink, value) = (&sink.name, number(shown, scrape.seq));
                writeln!(text, "{name}{{sink=\"{sink}\"}} {value}")?;
            }
        }
        Ok(())
    }
}
