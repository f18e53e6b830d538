//! The clients: `wrk`, one process for each listener, every buy with a user and a key of its own.
//!
//! Owns how a load is laid out, which is the same for every contender, and how what the processes
//! measured is put together: their histograms are added up, not their percentiles.

use crate::usage::{CpuSeconds, cpu_of_ended_children};
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;

/// What to ask, of whom, for how long.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// `host:port` of each listener; connections are spread over them.
    pub(crate) targets: Vec<String>,
    pub(crate) script: Script,
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    /// Tells this load's users from every other's.
    pub(crate) salt: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// One unit each.
    Buys,
    /// The sneaker's stock, linearizably.
    Reads,
    /// Calls of so many buys each, over so many products.
    Batch { size: usize, products: usize },
}

/// What the clients saw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) requests_a_second: f64,
    /// Answers other than 2xx, and broken connections.
    pub(crate) errors: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) cpu: CpuSeconds,
}

/// Runs the load to its end.
///
/// # Errors
/// When wrk is missing or fails.
pub(crate) async fn run(load: &Load) -> anyhow::Result<Seen> {
    let before = cpu_of_ended_children()?;
    // Fewer connections than listeners: the first ones get them.
    let listeners = load.targets.len().min(load.connections);
    let mut clients = Vec::new();
    for (number, target) in load.targets.iter().take(listeners).enumerate() {
        let share =
            load.connections / listeners + usize::from(number < load.connections % listeners);
        let client = Command::new("wrk")
            .args(["-t1", &format!("-c{share}"), &format!("-d{}s", load.seconds)])
            .args(["--timeout", "10s", "-s"])
            .arg(load.script.file())
            .arg(format!("http://{target}"))
            .env("SALT", format!("{}-{number}", load.salt))
            .envs(load.script.variables())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("wrk does not start (Debian's package wrk)")?;
        clients.push(client);
    }
    let mut sum = Sum::default();
    for client in clients {
        let output = client.wait_with_output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}");
        sum.add(&text).with_context(|| format!("wrk printed what is not understood: {text}"))?;
    }
    Ok(sum.seen(cpu_of_ended_children()? - before))
}

impl Script {
    fn file(self) -> PathBuf {
        let name = match self {
            Self::Buys => "buys.lua",
            Self::Reads => "reads.lua",
            Self::Batch { .. } => "batch.lua",
        };
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn variables(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Buys | Self::Reads => Vec::new(),
            Self::Batch { size, products } => {
                vec![("SIZE", size.to_string()), ("PRODUCTS", products.to_string())]
            }
        }
    }
}

/// Several processes' results, added up.
#[derive(Debug, Default)]
struct Sum {
    requests_a_second: f64,
    errors: u64,
    /// Requests by latency in microseconds.
    latencies: BTreeMap<u64, u64>,
}

impl Sum {
    /// Reads `RESULT requests duration_us errors` and a `LATENCY us count` for each that occurred.
    fn add(&mut self, text: &str) -> Option<()> {
        let mut complete = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["RESULT", requests, duration_us, errors] => {
                    let seconds = duration_us.parse::<f64>().ok()? / 1e6;
                    self.requests_a_second += requests.parse::<f64>().ok()? / seconds;
                    self.errors += errors.parse::<u64>().ok()?;
                    complete = Some(());
                }
                ["LATENCY", us, count] => {
                    *self.latencies.entry(us.parse().ok()?).or_default() +=
                        count.parse::<u64>().ok()?;
                }
                _ => {}
            }
        }
        complete
    }

    fn seen(&self, cpu: CpuSeconds) -> Seen {
        Seen {
            requests_a_second: self.requests_a_second,
            errors: self.errors,
            p50_us: self.percentile(50),
            p99_us: self.percentile(99),
            cpu,
        }
    }

    fn percentile(&self, percent: u64) -> u64 {
        let all: u64 = self.latencies.values().sum();
        let rank = (all * percent).div_ceil(100);
        let mut below = 0;
        for (us, count) in &self.latencies {
            below += count;
            if below >= rank {
                return *us;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_added_not_averaged() {
        let mut sum = Sum::default();
        sum.add("RESULT 100 1000000 0\nLATENCY 10 99\nLATENCY 900 1\n").unwrap();
        sum.add("RESULT 300 2000000 2\nLATENCY 20 300\n").unwrap();
        let seen = sum.seen(CpuSeconds(1.0));
        assert!((seen.requests_a_second - 250.0).abs() < 1e-9);
        assert_eq!((seen.errors, seen.p50_us, seen.p99_us), (2, 20, 20));
    }

    #[test]
    fn a_process_that_printed_no_result_is_not_taken_for_an_idle_one() {
        assert!(Sum::default().add("unable to connect\n").is_none());
    }
}
