//! How far the sink on this node is; all 0 while it is not at work here.

use prometheus::{Gauge, IntGauge, Registry};
use sink::Progress;

/// See the module.
pub(super) struct SinkGauges {
    running: IntGauge,
    position: IntGauge,
    lag: IntGauge,
    late: Gauge,
}

impl SinkGauges {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let running = "1 while the sink is at work on this node";
        let position = "Last change that the target of the sink here has";
        let lag = "Changes that the target of the sink here does not have";
        let late = "How late the target of the sink here got changes, 99 of 100";
        let gauges = Self {
            running: IntGauge::new("flashnode_sink_running", running)?,
            position: IntGauge::new("flashnode_sink_position", position)?,
            lag: IntGauge::new("flashnode_sink_lag_events", lag)?,
            late: Gauge::new("flashnode_sink_late_p99_seconds", late)?,
        };
        registry.register(Box::new(gauges.running.clone()))?;
        registry.register(Box::new(gauges.position.clone()))?;
        registry.register(Box::new(gauges.lag.clone()))?;
        registry.register(Box::new(gauges.late.clone()))?;
        Ok(gauges)
    }

    pub(super) fn show(&self, progress: Option<&Progress>) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.running.set(i64::from(progress.is_some_and(|sink| !sink.standby())));
        self.position.set(progress.map_or(0, |sink| signed(sink.position().0)));
        self.lag.set(progress.map_or(0, |sink| signed(sink.lag())));
        self.late.set(progress.map_or(0.0, |sink| sink.late_ms_at(0.99) as f64 / 1000.0));
    }
}
