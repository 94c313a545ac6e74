//! The table, and where its last column comes from.

use std::fs;
use std::time::Duration;

use crate::load::{Kind, Outcome};

/// Ticks in a second in `/proc/PID/stat`: `USER_HZ`, which Linux has fixed for programs.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has spent in user mode and in the kernel.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running server");
    // The name, in parentheses, may hold anything; what follows it does not.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<u64>().expect("ticks");
    Duration::from_millis((ticks(11) + ticks(12)) * 1000 / TICKS_PER_SECOND)
}

/// The first line.
pub(crate) fn heading() {
    println!(
        "{:<7}{:>9}{:>7}{:>9}{:>10}{:>9}{:>9}{:>9}{:>11}",
        "kind", "size", "conns", "requests", "ops/s", "MB/s", "p50 ms", "p99 ms", "CPU us/op"
    );
}

/// A line for one kind of request.
pub(crate) fn row(kind: Kind, size: usize, connections: usize, outcome: &Outcome, processor: Duration) {
    let count = outcome.latencies.len();
    let per_second = count as f64 / outcome.took.as_secs_f64();
    let moved = if matches!(kind, Kind::Put | Kind::Get) { per_second * size as f64 / 1e6 } else { 0.0 };
    println!(
        "{:<7}{:>9}{:>7}{:>9}{:>10.0}{:>9.1}{:>9.2}{:>9.2}{:>11.0}",
        format!("{kind:?}").to_uppercase(),
        readable(size),
        connections,
        count,
        per_second,
        moved,
        percentile(outcome, 50),
        percentile(outcome, 99),
        processor.as_secs_f64() * 1e6 / count.max(1) as f64,
    );
}

/// Milliseconds within which so many of a hundred requests were answered.
fn percentile(outcome: &Outcome, percent: usize) -> f64 {
    let place = outcome.latencies.len().saturating_sub(1) * percent / 100;
    outcome.latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}

fn readable(size: usize) -> String {
    match size {
        _ if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}
