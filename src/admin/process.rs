//! `process_*`, the metrics that every client library of Prometheus has, by the same names: processor time, memory,
//! threads, file descriptors. Linux only; other systems have the start time alone.

use prometheus::{Counter, Gauge, Registry};
use rustix::process::{Resource, getrlimit};

/// Clock ticks per second in `/proc/self/stat` (`USER_HZ`). The kernel reports this value on every architecture that
/// Rust supports, whatever its own timer is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Values of this process at one moment.
#[derive(Debug, PartialEq)]
struct ProcessUsage {
    cpu_seconds: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
    threads: f64,
}

/// Returns the metrics. `started` is the Unix time of the start, in seconds.
///
/// # Errors
///
/// Two metrics have the same name; a bug.
pub(super) fn registry(started: i64) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let set = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    set("process_start_time_seconds", "Unix time of the start of the process", started as f64)?;
    if let Some(open) = open_descriptors() {
        set("process_open_fds", "Open file descriptors", open as f64)?;
        // `None` means unlimited.
        let limit = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64);
        set("process_max_fds", "Maximum number of open file descriptors", limit)?;
    }
    if let Some(usage) = usage() {
        let cpu = Counter::new("process_cpu_seconds_total", "Seconds of processor time")?;
        cpu.inc_by(usage.cpu_seconds);
        registry.register(Box::new(cpu))?;
        set("process_virtual_memory_bytes", "Virtual memory in bytes", usage.virtual_bytes)?;
        set("process_resident_memory_bytes", "Resident memory in bytes", usage.resident_bytes)?;
        set("process_threads", "Threads of the process", usage.threads)?;
    }
    Ok(registry)
}

/// Returns the number of open descriptors, without the one that lists them.
fn open_descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

fn usage() -> Option<ProcessUsage> {
    let read = |name| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
    parse(&read("stat")?, &read("status")?)
}

/// Reads the texts of `/proc/self/stat` and `/proc/self/status` (`proc_pid_stat(5)`, `proc_pid_status(5)`).
fn parse(stat: &str, status: &str) -> Option<ProcessUsage> {
    // The second field is the name of the program in parentheses, which may contain spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some(ProcessUsage {
        cpu_seconds: (user + system) as f64 / TICKS_PER_SECOND,
        virtual_bytes: (value("VmSize")? * 1024) as f64,
        resident_bytes: (value("VmRSS")? * 1024) as f64,
        threads: value("Threads")? as f64,
    })
}

#[cfg(test)]
mod tests;
