//! What the kernel knows about a process: CPU time of all its threads, and memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// CPU time of a process at one moment, by thread.
///
/// It is the time that the scheduler charged to each thread (`/proc/PID/task/TID/schedstat`, nanoseconds), which is
/// exact where `/proc/PID/stat` counts ticks of 10 ms. The kernel's work on loopback is in it: the sender of a
/// segment also does the receiver's TCP work, on its own account.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuTime {
    threads: BTreeMap<u32, u64>,
}

impl CpuTime {
    /// Reads the accounts of a process.
    pub(crate) fn of(pid: u32) -> Result<CpuTime> {
        let folder = format!("/proc/{pid}/task");
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
            let entry = entry.with_context(|| format!("cannot read {folder}"))?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread that ended since is none of ours any more.
            if let Some(spent) = spent(&entry.path()) {
                threads.insert(thread, spent);
            }
        }
        Ok(CpuTime { threads })
    }

    /// What was spent since an earlier moment. What a thread spent that has ended in between is not in it.
    pub(crate) fn since(&self, earlier: &CpuTime) -> Duration {
        let spent = self.threads.iter().map(|(thread, now)| {
            let before = earlier.threads.get(thread).copied().unwrap_or(0);
            now.saturating_sub(before)
        });
        Duration::from_nanos(spent.sum())
    }
}

fn spent(thread: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Memory of a process at one moment, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Resident set: every page that is mapped and present, those of the program's file too.
    pub(crate) rss: u64,
    /// Proportional set: a page that several processes share counts in parts.
    pub(crate) pss: u64,
}

impl Memory {
    /// Reads the memory of a process.
    pub(crate) fn of(pid: u32) -> Result<Memory> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let rss = kibibytes(&read("status")?, "VmRSS:").context("the kernel gives no VmRSS")?;
        let pss = kibibytes(&read("smaps_rollup")?, "Pss:").context("the kernel gives no Pss")?;
        Ok(Memory {
            rss: rss * 1024,
            pss: pss * 1024,
        })
    }
}

fn kibibytes(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn work_shows_in_the_account_of_its_process() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).unwrap();
        let begin = Instant::now();
        while CpuTime::of(pid).unwrap().since(&before) < Duration::from_millis(5) {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "no CPU time is accounted"
            );
        }
    }

    #[test]
    fn threads_that_came_and_went_do_not_confuse_the_account() {
        let of = |threads: &[(u32, u64)]| CpuTime {
            threads: threads.iter().copied().collect(),
        };

        let spent = of(&[(1, 50), (3, 7)]).since(&of(&[(1, 20), (2, 900)]));

        assert_eq!(spent, Duration::from_nanos(37));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.rss > 100 * 1024 && memory.pss <= memory.rss, "{memory:?}");
        assert_eq!(
            kibibytes("VmPeak:\t 9 kB\nVmRSS:\t  5120 kB\n", "VmRSS:"),
            Some(5120)
        );
        assert_eq!(kibibytes("VmPeak:\t 9 kB\n", "VmRSS:"), None);
    }
}
