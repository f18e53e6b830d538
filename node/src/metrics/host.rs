//! What the node takes of its machine: CPU, memory, open files, and the disk of its data.
//!
//! Read when Prometheus asks, and under the names that Prometheus' own clients give them. What the
//! system does not tell (`/proc` is Linux') is left out.

use super::scrape::head;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fmt::{self, Display, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where to look.
#[derive(Debug)]
pub(super) struct Host {
    data: PathBuf,
    started_unix_s: f64,
}

impl Host {
    /// The process that starts now, and the disk that holds `data`.
    pub(super) fn new(data: &Path) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { data: data.to_owned(), started_unix_s: since.as_secs_f64() }
    }

    /// Appends it in the text format.
    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_s = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let name = "process_cpu_seconds_total";
        head(text, name, "counter", "CPU time, of the user and of the system")?;
        writeln!(text, "{name} {cpu_s}")?;
        let gauge = |text: &mut String, name: &str, help: &str, value: &dyn Display| {
            head(text, name, "gauge", help)?;
            writeln!(text, "{name} {value}")
        };
        let name = "process_start_time_seconds";
        gauge(text, name, "When the process started, in Unix time", &self.started_unix_s)?;
        if let Some(bytes) = resident_bytes() {
            gauge(text, "process_resident_memory_bytes", "Memory in use", &bytes)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            gauge(text, "process_open_fds", "Open files and connections", &files.count())?;
        }
        if let Some(max) = getrlimit(Resource::Nofile).current {
            gauge(text, "process_max_fds", "The most files that may be open", &max)?;
        }
        if let Ok(disk) = rustix::fs::statvfs(&self.data) {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let size = disk.f_blocks.saturating_mul(disk.f_frsize);
            let help = "Bytes left for this node on the disk of its data";
            gauge(text, "flashnode_disk_available_bytes", help, &free)?;
            gauge(text, "flashnode_disk_size_bytes", "Size of the disk of its data", &size)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
