//! When the nodes took snapshots, by their logs, and the latency of buys meanwhile and otherwise.

use crate::paced::{Bought, Seen};
use client::cluster::ProcessCluster;
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A time of day in UTC, of now or some hours ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeOfDay(Duration);

impl TimeOfDay {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Duration::from_nanos((since.as_nanos() % DAY.as_nanos()) as u64))
    }

    /// Of a log's `2026-11-22T23:05:09.123456Z`.
    fn parse(text: &str) -> Option<Self> {
        let (_, time) = text.strip_suffix('Z')?.split_once('T')?;
        let mut parts = time.split(':');
        let (hours, minutes) =
            (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
        let seconds = Duration::try_from_secs_f64(parts.next()?.parse().ok()?).ok()?;
        let time = Duration::from_secs(hours * 3_600 + minutes * 60) + seconds;
        (time < DAY).then_some(Self(time))
    }

    /// How much later it is than the other; more than half a day when it is not later.
    fn after(self, earlier: Self) -> Duration {
        let to_midnight = DAY.saturating_sub(earlier.0);
        self.0.checked_sub(earlier.0).unwrap_or(self.0 + to_midnight)
    }
}

/// One that a node saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot {
    saved: TimeOfDay,
    pub(super) took: Duration,
}

impl Snapshot {
    /// Those that the nodes' logs tell of and that were saved since then.
    pub(super) fn all_since(cluster: &ProcessCluster, since: TimeOfDay) -> Vec<Self> {
        let logs =
            cluster.nodes().iter().filter_map(|node| std::fs::read_to_string(&node.log).ok());
        let all = logs.flat_map(|log| log.lines().filter_map(Self::parse).collect::<Vec<_>>());
        all.filter(|snapshot| snapshot.saved.after(since) < DAY / 2).collect()
    }

    /// The one that a line of a log tells of.
    fn parse(line: &str) -> Option<Self> {
        let (when, what) = line.split_once(' ')?;
        let took = what.split_once("snapshot saved")?.1.split_once("took_ms=")?.1;
        let took = Duration::from_millis(took.split_whitespace().next()?.parse().ok()?);
        Some(Self { saved: TimeOfDay::parse(when)?, took })
    }

    /// Whether it was taken at some time between a buy's falling due and its answer, in a load that
    /// began then.
    fn overlaps(&self, buy: &Bought, begun: TimeOfDay) -> bool {
        let end = self.saved.after(begun);
        buy.due <= end && end.saturating_sub(self.took) <= buy.due + buy.latency
    }
}

/// The p99 of accepted buys in ms, from when they were due; 0 of none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct During {
    pub(super) buys_in_snapshots: usize,
    pub(super) p99_ms_in_snapshots: f64,
    pub(super) p99_ms_otherwise: f64,
}

impl During {
    /// Of the buys of a load that began then.
    pub(super) fn tell_apart(seen: &Seen, begun: TimeOfDay, snapshots: &[Snapshot]) -> Self {
        let in_one = |buy: &Bought| snapshots.iter().any(|snapshot| snapshot.overlaps(buy, begun));
        let (inside, outside): (Vec<Bought>, Vec<Bought>) =
            seen.accepted().copied().partition(in_one);
        let buys_in_snapshots = inside.len();
        let p99_ms = |buys| Seen { buys }.percentile(99, |buy| buy.latency).as_secs_f64() * 1e3;
        Self {
            buys_in_snapshots,
            p99_ms_in_snapshots: p99_ms(inside),
            p99_ms_otherwise: p99_ms(outside),
        }
    }

    /// How many times as long as otherwise; none where no snapshot was taken.
    pub(super) fn ratio(&self) -> Option<f64> {
        let has_both = self.p99_ms_in_snapshots > 0.0 && self.p99_ms_otherwise > 0.0;
        has_both.then(|| self.p99_ms_in_snapshots / self.p99_ms_otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paced::Outcome;

    fn at(text: &str) -> TimeOfDay {
        TimeOfDay::parse(&format!("2026-11-22T{text}Z")).unwrap()
    }

    #[test]
    fn a_line_tells_when_a_snapshot_was_saved_and_how_long_it_took() {
        let line = "2026-11-22T23:59:59.750000Z DEBUG snapshot saved seq=7 segments=0 took_ms=250";
        let snapshot = Snapshot::parse(line).unwrap();
        assert_eq!(
            snapshot,
            Snapshot { saved: at("23:59:59.75"), took: Duration::from_millis(250) }
        );
        assert_eq!(snapshot.saved.after(at("23:59:59")), Duration::from_millis(750));
        assert_eq!(at("00:00:01").after(snapshot.saved), Duration::from_millis(1_250));
        assert_eq!(Snapshot::parse("2026-11-22T23:59:59.75Z  INFO this node leads"), None);
    }

    #[test]
    fn a_buy_is_of_a_snapshot_when_they_overlap() {
        let buy = |due_ms, latency_ms| {
            let [due, latency] = [due_ms, latency_ms].map(Duration::from_millis);
            Bought { due, latency, service: latency, target: 0, outcome: Outcome::Accepted }
        };
        // From 200 to 500 ms of the load; one before, one into it, one in it, one after.
        let snapshot = Snapshot { saved: at("12:00:00.5"), took: Duration::from_millis(300) };
        let seen = Seen { buys: vec![buy(100, 90), buy(150, 60), buy(300, 50), buy(501, 7)] };
        let told = During::tell_apart(&seen, at("12:00:00"), &[snapshot]);
        assert_eq!(told.buys_in_snapshots, 2);
        assert!((told.p99_ms_in_snapshots - 60.0).abs() < 1e-9, "{told:?}");
        assert!((told.p99_ms_otherwise - 90.0).abs() < 1e-9, "{told:?}");
        assert_eq!(During::tell_apart(&seen, at("12:00:00"), &[]).ratio(), None);
    }
}
