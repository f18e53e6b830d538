//! What processes cost: CPU time and peak memory, as the kernel counts them (proc(5)).

use anyhow::Context;
use std::ops::{Add, Sub};

/// Of `/proc/PID/stat` times, on every Linux that people run (sysconf `_SC_CLK_TCK`).
const TICKS_A_SECOND: f64 = 100.0;

/// CPU seconds, of user and kernel together.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub(crate) struct CpuSeconds(pub(crate) f64);

impl Sub for CpuSeconds {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self(self.0 - earlier.0)
    }
}

impl Add for CpuSeconds {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// Of these processes and of their children that have ended.
pub(crate) fn cpu_of(pids: &[u32]) -> anyhow::Result<CpuSeconds> {
    pids.iter().try_fold(CpuSeconds::default(), |sum, pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} is gone"))?;
        Ok(sum + parse_stat(&stat, Fields::Own).context("an odd /proc/PID/stat")?)
    })
}

/// Of this process's children that have ended and were waited for: the load generators.
pub(crate) fn cpu_of_ended_children() -> anyhow::Result<CpuSeconds> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    parse_stat(&stat, Fields::EndedChildren).context("an odd /proc/self/stat")
}

/// The most memory that these processes had, summed, in MiB. Each is counted at its own worst.
pub(crate) fn peak_mib_of(pids: &[u32]) -> anyhow::Result<f64> {
    mib_of(pids, "VmHWM:")
}

/// The memory that these processes have now, summed, in MiB.
pub(crate) fn resident_mib_of(pids: &[u32]) -> anyhow::Result<f64> {
    mib_of(pids, "VmRSS:")
}

fn mib_of(pids: &[u32], field: &str) -> anyhow::Result<f64> {
    pids.iter().try_fold(0.0, |sum, pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().next())
            .and_then(|kib| kib.parse().ok())
            .with_context(|| format!("no {field} in /proc/PID/status"))?;
        Ok(sum + kib / 1024.0)
    })
}

/// This process's children and theirs, such as the workers that a server forks.
pub(crate) fn with_children(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while next < all.len() {
        let path = format!("/proc/{0}/task/{0}/children", all[next]);
        // It may have ended just now; then it has no children.
        let children = std::fs::read_to_string(path).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        next += 1;
    }
    all
}

#[derive(Debug, Clone, Copy)]
enum Fields {
    Own,
    EndedChildren,
}

fn parse_stat(stat: &str, fields: Fields) -> Option<CpuSeconds> {
    // "pid (name) S …": the name may hold anything, so count from behind its last bracket, where
    // field 3 stands first.
    let rest: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| rest.get(field - 3)?.parse::<f64>().ok();
    let ended = ticks(16)? + ticks(17)?;
    let ticks = match fields {
        Fields::Own => ticks(14)? + ticks(15)? + ended,
        Fields::EndedChildren => ended,
    };
    Some(CpuSeconds(ticks / TICKS_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_an_odd_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 20 30 20 0 1 0 9 0 0";
        assert_eq!(parse_stat(stat, Fields::Own), Some(CpuSeconds(2.5)));
        assert_eq!(parse_stat(stat, Fields::EndedChildren), Some(CpuSeconds(0.5)));
        assert_eq!(parse_stat("7 (a", Fields::Own), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let own = [std::process::id()];
        assert!(cpu_of(&own).unwrap() >= CpuSeconds(0.0));
        assert!(peak_mib_of(&own).unwrap() > 0.0);
    }
}
