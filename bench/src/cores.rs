//! Which core does what: one for the proxy that is measured, another for load and backends.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two cores of those that this process may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    measured: usize,
    bench: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub(crate) fn choose() -> Result<Cores> {
        let allowed = sched_getaffinity(None).context("cannot read which cores this process may use")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (usable.next(), usable.next()) {
            (Some(measured), Some(bench)) => Ok(Cores { measured, bench }),
            _ => bail!(
                "the bench needs two cores, one for the proxy and one for load and backends; this process may use {}",
                allowed.count()
            ),
        }
    }

    /// Keeps the calling thread, and what it starts, on the bench's own core.
    pub(crate) fn bench(self) -> Result<()> {
        pin(self.bench)
    }

    /// Does something on a thread that is kept on the measured core; a process that it starts stays there.
    pub(crate) fn on_measured<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| pin(self.measured).map(|()| work()));
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread of the bench panicked"))?
        })
    }
}

fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot stay on core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_for_the_measured_core_runs_there_and_nowhere_else() {
        let Ok(cores) = Cores::choose() else {
            return; // one core only: the bench itself says so
        };

        let allowed = cores.on_measured(|| sched_getaffinity(None).unwrap()).unwrap();

        assert_eq!(allowed.count(), 1);
        assert!(allowed.is_set(cores.measured) && cores.measured != cores.bench);
    }
}
