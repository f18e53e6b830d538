//! The samples of a run and what is said of several: the median, and the least and the most.

use crate::contender::Contender;
use serde::Serialize;

/// One contender, one number of connections, one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) contender: Contender,
    pub(crate) connections: usize,
    pub(crate) round: usize,
    pub(crate) buys_a_second: f64,
    /// To the no-op of the same round and number of connections.
    pub(crate) ratio: f64,
    /// Of the 99th percentiles, to the same.
    pub(crate) p99_ratio: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) errors: u64,
    /// CPU seconds a second.
    pub(crate) clients_cores: f64,
    /// Of the front and its store, or of all nodes.
    pub(crate) servers_cores: f64,
    pub(crate) servers_peak_mib: f64,
}

/// What several samples of one thing come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` when there is no sample. Of an even number, the lower middle is the median.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Self { median: values[(values.len() - 1) / 2], least, most })
    }
}

/// All samples of one contender at one number of connections.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) contender: Contender,
    pub(crate) connections: usize,
    pub(crate) buys_a_second: Spread,
    pub(crate) ratio: Spread,
    pub(crate) p99_ratio: Spread,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) clients_cores: Spread,
    pub(crate) servers_cores: Spread,
    pub(crate) servers_peak_mib: Spread,
    pub(crate) errors: u64,
}

impl Row {
    /// One row for each pair that has samples: by connections, then as the contenders stand.
    pub(crate) fn all(samples: &[Sample]) -> Vec<Self> {
        let mut pairs: Vec<(usize, Contender)> =
            samples.iter().map(|sample| (sample.connections, sample.contender)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.into_iter().filter_map(|pair| Self::of(pair, samples)).collect()
    }

    fn of((connections, contender): (usize, Contender), samples: &[Sample]) -> Option<Self> {
        let own: Vec<&Sample> = samples
            .iter()
            .filter(|sample| (sample.connections, sample.contender) == (connections, contender))
            .collect();
        let spread = |value: fn(&Sample) -> f64| Spread::of(own.iter().map(|sample| value(sample)));
        Some(Self {
            contender,
            connections,
            buys_a_second: spread(|sample| sample.buys_a_second)?,
            ratio: spread(|sample| sample.ratio)?,
            p99_ratio: spread(|sample| sample.p99_ratio)?,
            p50_us: spread(|sample| sample.p50_us as f64)?,
            p99_us: spread(|sample| sample.p99_us as f64)?,
            clients_cores: spread(|sample| sample.clients_cores)?,
            servers_cores: spread(|sample| sample.servers_cores)?,
            servers_peak_mib: spread(|sample| sample.servers_peak_mib)?,
            errors: own.iter().map(|sample| sample.errors).sum(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_sorted_values() {
        let spread = Spread { median: 2.0, least: 1.0, most: 9.0 };
        assert_eq!(Spread::of([9.0, 1.0, 2.0]), Some(spread));
        assert_eq!(Spread::of([]), None);
    }
}
