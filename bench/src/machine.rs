//! What a figure was measured on, for whoever reads it later.

use serde::Serialize;

/// The machine and its load at the start.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    /// Processes that ran or wanted to, over the last minute, before anything was started here.
    load_1m_before: f64,
}

impl Machine {
    /// Reads it; what the system does not tell is `unknown`, or zero.
    pub(crate) fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus.lines().find(|line| line.starts_with("model name"));
        let cpu = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
        let memory = read("/proc/meminfo");
        let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        let load = read("/proc/loadavg");
        let load = load.split_whitespace().next().and_then(|load| load.parse().ok());
        Self {
            cpu: cpu.to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib.unwrap_or(0).div_ceil(1024 * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_1m_before: load.unwrap_or(0.0),
        }
    }

    /// One line for people.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "{} ({} cores), {} GiB, Linux {}; load before: {}",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.load_1m_before
        )
    }
}
