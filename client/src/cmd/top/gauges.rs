//! Rates and latencies, from what each node tells Prometheus: every node counts for itself.
//!
//! The terminal's half of `node/assets/gauges.js`, with the same kinds and the same span.

use std::collections::{BTreeMap, VecDeque};

const BUYS: &str = "flashnode_buys_total{";
const DURATION: &str = "flashnode_http_request_duration_seconds_bucket{";
const ROUTE: &str = "/v1/buys";
/// For how long latencies are taken together.
const SPAN_MS: u64 = 5_000;
/// Looks that are kept of that span.
const LOOKS_MAX: usize = 32;

/// How buys ended, a second; or how many ended so.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) accepted: f64,
    pub(super) refused: f64,
    pub(super) failed: f64,
}

impl Rates {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            failed: self.failed + other.failed,
        }
    }
}

/// What is read of a node's metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scrape {
    buys: Rates,
    /// Buys that took up to so many microseconds; those that took longer than the last bound are
    /// at `u64::MAX`.
    upto_us: BTreeMap<u64, f64>,
}

impl Scrape {
    pub(super) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            let Some((labels, value)) = line
                .strip_prefix(BUYS)
                .or_else(|| line.strip_prefix(DURATION))
                .and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else { continue };
            if line.starts_with(BUYS) {
                match label(labels, "outcome") {
                    Some("accepted") => scrape.buys.accepted += value,
                    Some("not_proposed" | "unknown") => scrape.buys.failed += value,
                    Some(_) => scrape.buys.refused += value,
                    None => {}
                }
            } else if label(labels, "route") == Some(ROUTE) {
                let bound = match label(labels, "le") {
                    Some("+Inf") => Some(u64::MAX),
                    le => le.and_then(|le| le.parse::<f64>().ok()).map(micros),
                };
                scrape.upto_us.extend(bound.map(|bound| (bound, value)));
            }
        }
        scrape
    }
}

#[allow(clippy::cast_sign_loss, reason = "bounds of a histogram of times are positive")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let one = |pair: &'l str| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"');
    labels.split(',').find_map(one)
}

/// The gauges of one node.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    last: Option<(u64, Scrape)>,
    rates: Rates,
    grown: VecDeque<(u64, BTreeMap<u64, f64>)>,
}

impl Gauges {
    /// Takes the next scrape of the node.
    pub(super) fn take(&mut self, at_ms: u64, scrape: Scrape) {
        if let Some((before_ms, before)) = self.last.take() {
            self.grow((before_ms, &before), (at_ms, &scrape));
        }
        self.last = Some((at_ms, scrape));
    }

    fn grow(&mut self, (before_ms, before): (u64, &Scrape), (at_ms, scrape): (u64, &Scrape)) {
        let seconds = (at_ms.saturating_sub(before_ms) as f64 / 1000.0).max(0.05);
        let a_second = |now: f64, before: f64| grown(now, before) / seconds;
        self.rates = Rates {
            accepted: a_second(scrape.buys.accepted, before.buys.accepted),
            refused: a_second(scrape.buys.refused, before.buys.refused),
            failed: a_second(scrape.buys.failed, before.buys.failed),
        };
        let count = |of: &Scrape, bound: &u64| of.upto_us.get(bound).copied().unwrap_or_default();
        let anew = scrape.upto_us.iter().any(|(bound, upto)| *upto < count(before, bound));
        let more = |(bound, upto): (&u64, &f64)| {
            (*bound, if anew { *upto } else { upto - count(before, bound) })
        };
        self.grown.push_back((at_ms, scrape.upto_us.iter().map(more).collect()));
        while self.grown.len() > LOOKS_MAX {
            self.grown.pop_front();
        }
    }

    /// What the last two scrapes amount to.
    pub(super) fn rates(&self) -> Rates {
        self.rates
    }

    /// Adds the buys of the last seconds to those of other nodes, by their bounds.
    pub(super) fn add_to(&self, sums: &mut BTreeMap<u64, f64>, now_ms: u64) {
        let newest = self.grown.iter().filter(|(at_ms, _)| at_ms + SPAN_MS > now_ms);
        for (bound, count) in newest.flat_map(|(_, grown)| grown) {
            *sums.entry(*bound).or_default() += count;
        }
    }
}

/// A counter that fell began anew with its process.
fn grown(now: f64, before: f64) -> f64 {
    if now >= before { now - before } else { now }
}

/// In how many milliseconds this part of all was answered, as far as the bounds tell; none when
/// there is nothing, and infinite beyond the last bound.
pub(super) fn quantile_ms(upto_us: &BTreeMap<u64, f64>, part: f64) -> Option<f64> {
    let all = *upto_us.values().next_back()?;
    if all <= 0.0 {
        return None;
    }
    let (mut low_us, mut under) = (0.0, 0.0);
    for (bound, upto) in upto_us {
        if *upto >= part * all {
            if *bound == u64::MAX {
                return Some(f64::INFINITY);
            }
            let within = (part * all - under) / (upto - under).max(1.0);
            return Some((low_us + within * (*bound as f64 - low_us)) / 1000.0);
        }
        (low_us, under) = (*bound as f64, *upto);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP flashnode_buys_total Buys, by how they ended
flashnode_buys_total{outcome="accepted"} 100
flashnode_buys_total{outcome="sold_out"} 40
flashnode_buys_total{outcome="limit"} 2
flashnode_buys_total{outcome="unknown"} 1
flashnode_http_request_duration_seconds_bucket{route="/v1/buys",le="0.001"} 50
flashnode_http_request_duration_seconds_bucket{route="/v1/buys",le="0.005"} 90
flashnode_http_request_duration_seconds_bucket{route="/v1/buys",le="+Inf"} 100
flashnode_http_request_duration_seconds_bucket{route="/metrics",le="+Inf"} 7
"#;

    #[test]
    fn what_grew_between_two_scrapes_is_shown() {
        let first = Scrape::read(TEXT);
        assert_eq!(first.buys, Rates { accepted: 100.0, refused: 42.0, failed: 1.0 });
        let mut gauges = Gauges::default();
        gauges.take(1000, first);
        assert_eq!(gauges.rates(), Rates::default(), "one scrape is no rate");
        let later = TEXT.replace("} 100", "} 300").replace("} 40", "} 50").replace("} 90", "} 280");
        gauges.take(3000, Scrape::read(&later));
        assert_eq!(gauges.rates(), Rates { accepted: 100.0, refused: 5.0, failed: 0.0 });
        let mut sums = BTreeMap::new();
        gauges.add_to(&mut sums, 3000);
        assert_eq!(sums, BTreeMap::from([(1000, 0.0), (5000, 190.0), (u64::MAX, 200.0)]));
        let p50 = quantile_ms(&sums, 0.5).unwrap();
        assert!((p50 - (1.0 + 100.0 / 190.0 * 4.0)).abs() < 1e-9, "{p50}");
        assert_eq!(quantile_ms(&sums, 0.99), Some(f64::INFINITY));
        // They are old after a while.
        let mut sums = BTreeMap::new();
        gauges.add_to(&mut sums, 8000);
        assert_eq!(quantile_ms(&sums, 0.5), None);
    }

    #[test]
    fn a_node_that_began_anew_has_no_negative_rates() {
        let mut gauges = Gauges::default();
        gauges.take(1000, Scrape::read(TEXT));
        gauges.take(2000, Scrape::read(&TEXT.replace("} 100", "} 10").replace("} 90", "} 9")));
        let rates = gauges.rates();
        assert_eq!(rates, Rates { accepted: 10.0, refused: 0.0, failed: 0.0 });
        let mut sums = BTreeMap::new();
        gauges.add_to(&mut sums, 2000);
        assert_eq!(sums.get(&u64::MAX), Some(&10.0));
    }
}
