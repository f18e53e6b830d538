//! What a storm came to, in numbers and in words.
//!
//! Owns: the figures drawn from a tally, their JSON and their text. Never does: IO, or decide
//! what is a violation (see `audit`). Called by `flashctl storm`, `flashctl demo` and testers.

use super::holds_report::HoldReport;
use super::{Bars, Plan, Share, Tally};
use crate::Client;
use crate::audit::Audit;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Latency percentiles, in milliseconds, each at most 0.1 % off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the answers took at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// Percentiles of these microseconds; all 0 when there are none.
    pub fn of_us(latencies_us: &[u32]) -> Self {
        // 3 digits and an upper bound of u32::MAX are within what the histogram accepts.
        let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, u64::from(u32::MAX), 3) else {
            unreachable!("the histogram's bounds are constants")
        };
        for latency_us in latencies_us {
            histogram.saturating_record(u64::from((*latency_us).max(1)));
        }
        let ms = |quantile: f64| {
            if histogram.is_empty() { 0.0 } else { round(histogram.value_at_quantile(quantile)) }
        };
        let max = latencies_us.iter().max().map_or(0.0, |max| round(u64::from(*max)));
        Self { p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p999: ms(0.999), max }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50}   p90 {p90}   p99 {p99}   p99.9 {p999}   max {max}")
    }
}

/// Microseconds as milliseconds with two digits.
fn round(us: u64) -> f64 {
    (us as f64 / 10.0).round() / 100.0
}

/// What a storm came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The product.
    pub product: String,
    /// The storm's name in its buyers' user ids.
    pub run: String,
    /// Buyers who came.
    pub buyers: u64,
    /// Buyers under way at a time.
    pub concurrency: usize,
    /// Buyers a second, when it was an open loop.
    pub rate: Option<f64>,
    /// Units that each wanted.
    pub quantity: u32,
    /// Buyers who won.
    pub accepted: u64,
    /// Buyers who were told that nothing is left.
    pub sold_out: u64,
    /// Buyers who were refused otherwise.
    pub refused: u64,
    /// The same, by kind.
    pub refused_by_kind: BTreeMap<&'static str, u64>,
    /// Buyers who held, and then released or abandoned.
    pub gave_up: u64,
    /// Attempts beyond each buyer's first; of a storm by batches, beyond each call's.
    pub retried: u64,
    /// Buyers who do not know, after all attempts.
    pub unknown: u64,
    /// From the first buyer to the last answer, in seconds.
    pub elapsed_s: f64,
    /// Answers (yes or no) a second over the whole storm.
    pub answers_per_second: u64,
    /// Accepted buys a second, from the first buyer to the last accepted answer.
    pub accepted_per_second: u64,
    /// Time to an answer; in an open loop from when the buyer was due; of a storm by batches, to
    /// the answer of a whole call. Buyers who hold have theirs in `holds`.
    pub latency_ms: Latency,
    /// The same as bars, or of the holds where everybody held: for people alone.
    #[serde(skip)]
    pub bars: Bars,
    /// How many buyers a call had, when they came in batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// What became of those who held first; absent when nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<HoldReport>,
    /// Answers by the node that gave them.
    pub answers_by_node: BTreeMap<String, u64>,
    /// What the cluster holds against what the buyers were told; absent when it was not asked.
    pub audit: Option<Audit>,
    /// `ok`, or the first violation.
    pub verdict: String,
}

impl Report {
    /// Draws the figures from a tally.
    pub fn new(client: &Client, plan: &Plan, tally: &Tally, audit: Option<Audit>) -> Self {
        let accepted = tally.won.len() as u64;
        let by_node = tally.answers_by_node.iter().enumerate();
        let verdict = match &audit {
            None => "not audited".to_owned(),
            Some(audit) => audit.verdict(),
        };
        Self {
            product: plan.product.to_string(),
            run: plan.run.clone(),
            buyers: tally.decided() + tally.unsettled.len() as u64,
            concurrency: plan.concurrency,
            rate: plan.rate,
            quantity: plan.quantity.get(),
            accepted,
            sold_out: tally.sold_out,
            refused: tally.refused.values().sum(),
            refused_by_kind: tally.refused.clone(),
            gave_up: tally.gave_up,
            retried: tally.retried,
            unknown: tally.unsettled.len() as u64,
            elapsed_s: tally.elapsed.as_millis() as f64 / 1000.0,
            answers_per_second: per_second(tally.decided(), tally.elapsed),
            accepted_per_second: per_second(accepted, tally.selling),
            latency_ms: Latency::of_us(&tally.latencies_us),
            bars: Bars::of_us(if tally.latencies_us.is_empty() {
                &tally.holds.hold_us
            } else {
                &tally.latencies_us
            }),
            batch: plan.batch.map(NonZeroUsize::get),
            holds: (plan.mix.holds > Share::NONE).then(|| HoldReport::new(tally, audit.as_ref())),
            answers_by_node: by_node
                .map(|(node, count)| (client.address(node).to_owned(), *count))
                .collect(),
            audit,
            verdict,
        }
    }
}

pub(super) fn per_second(count: u64, took: Duration) -> u64 {
    let took_us = took.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / took_us).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<18} {value}");
        row("accepted", grouped(self.accepted))?;
        row("sold out", grouped(self.sold_out))?;
        let kinds: Vec<String> = self
            .refused_by_kind
            .iter()
            .map(|(kind, n)| format!("{kind} {}", grouped(*n)))
            .collect();
        let kinds =
            if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        row("refused", format!("{}{kinds}", grouped(self.refused)))?;
        row("unknown", grouped(self.unknown))?;
        if let Some(holds) = &self.holds {
            write!(f, "{holds}")?;
        }
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<18} {value}");
        row("retried attempts", grouped(self.retried))?;
        row(
            "throughput",
            format!(
                "{} answers/s over {:.2} s; {} accepted/s while selling",
                grouped(self.answers_per_second),
                self.elapsed_s,
                grouped(self.accepted_per_second)
            ),
        )?;
        let latency = if self.batch.is_some() { "a call, in ms" } else { "latency in ms" };
        // Where everybody holds, nobody buys at once.
        if self.latency_ms != Latency::default() {
            row(latency, self.latency_ms.to_string())?;
        }
        let nodes: Vec<String> = self
            .answers_by_node
            .iter()
            .map(|(node, n)| format!("{node} {}", grouped(*n)))
            .collect();
        row("answers by node", nodes.join("   "))?;
        if let Some(audit) = &self.audit {
            write!(f, "{audit}")?;
        }
        Ok(())
    }
}

/// A number with its thousands set apart: 10,000.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let latencies_us: Vec<u32> = (1..=1000).map(|n| n * 1000).collect();
        let latency = Latency::of_us(&latencies_us);
        assert!((latency.p50 - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p999 - 999.0).abs() < 2.0, "{latency:?}");
        assert!((latency.max - 1000.0).abs() < f64::EPSILON, "{latency:?}");
        assert_eq!(Latency::of_us(&[]), Latency::default());
    }
}
