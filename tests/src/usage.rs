//! What processes use, as `/proc` tells it: processor time, and memory.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Ticks in a second in `/proc/PID/stat`: `USER_HZ`, which Linux has fixed for programs.
const TICKS_PER_SECOND: u64 = 100;

/// Fields of `/proc/PID/stat` behind the name: the parent; then, in a row, time in user mode and in the kernel, own and of children that
/// were waited for.
const PARENT: usize = 1;
const TIMES: std::ops::Range<usize> = 11..15;

/// What processes and all their descendants have spent, in user mode and in the kernel.
pub fn processor_time(roots: &[u32]) -> Duration {
    let ticks = family(roots).into_iter().filter_map(|pid| stat(&format!("/proc/{pid}/stat"))).map(|stat| spent(&stat));
    duration(ticks.sum())
}

/// What the thread that asks has spent.
pub fn of_this_thread() -> Duration {
    duration(stat("/proc/thread-self/stat").map_or(0, |stat| spent(&stat)))
}

/// Resident memory of processes and all their descendants in bytes; what several share counts once (`Pss`).
pub fn resident(roots: &[u32]) -> u64 {
    let kilobytes = |pid: u32| -> Option<u64> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    family(roots).into_iter().filter_map(kilobytes).sum::<u64>() * 1024
}

/// The processes and all their descendants.
fn family(roots: &[u32]) -> BTreeSet<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<u32> = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parent = |pid: u32| Some((pid, stat(&format!("/proc/{pid}/stat"))?.get(PARENT)?.parse().ok()?));
    let parents: Vec<(u32, u32)> = pids.into_iter().filter_map(parent).collect();
    let mut family: BTreeSet<_> = roots.iter().copied().collect();
    loop {
        let before = family.len();
        let children: Vec<_> =
            parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid).collect();
        family.extend(children);
        if family.len() == before {
            return family;
        }
    }
}

/// The fields behind the name, which is in parentheses and may hold anything. A process that is gone has none.
fn stat(path: &str) -> Option<Vec<String>> {
    let stat = fs::read_to_string(path).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect())
}

fn spent(stat: &[String]) -> u64 {
    stat.get(TIMES).into_iter().flatten().filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn children_count_while_they_run_and_after() {
        let own = std::process::id();
        let mut child = Command::new("sleep").arg("100").spawn().expect("sleep");
        assert!(family(&[own]).contains(&child.id()));
        assert!(resident(&[own]) > resident(&[child.id()]), "the whole is more than a part");
        child.kill().expect("a child");
        child.wait().expect("a child");
        assert!(!family(&[own]).contains(&child.id()));
        let before = processor_time(&[own]);
        let counts = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", counts]).status().expect("sh").success());
        assert!(processor_time(&[own]) > before);
    }
}
