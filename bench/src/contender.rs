//! The proxies that are measured: how each is configured and started for a case.
//!
//! Every one works with one thread, no access log, and no limit on requests of a connection. Envoy has the same
//! table as ours and its statistics on; HAProxy and nginx have the one backend only and write no statistics, which
//! is in their favour.

mod envoy;
mod haproxy;
mod nginx;
mod outrigger;
mod program;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::args::Plan;
use crate::case::Case;
use crate::cores::Cores;
use crate::load::Generator;
use crate::ports;
use crate::process::{Launch, Running};

/// How long a proxy may take to its first good answer.
const FIRST_ANSWER: Duration = Duration::from_secs(20);

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proxy {
    /// Ours.
    Outrigger,
    /// Envoy 1.40.
    Envoy,
    /// HAProxy, from the distribution.
    Haproxy,
    /// nginx, from the distribution.
    Nginx,
}

impl Proxy {
    /// For tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Proxy::Outrigger => "outrigger",
            Proxy::Envoy => "envoy",
            Proxy::Haproxy => "haproxy",
            Proxy::Nginx => "nginx",
        }
    }

    /// What is different about this proxy in a case, for the reader of the table.
    pub(crate) fn note(self, case: Case) -> Option<&'static str> {
        (self == Proxy::Nginx && case == Case::H2c)
            .then_some("speaks HTTP/1.1 to its backend: it has no h2c there")
    }
}

/// Where one instance listens and what it leads to.
#[derive(Debug)]
struct Site<'a> {
    case: Case,
    listen: SocketAddr,
    backend: SocketAddr,
    /// Its own folder.
    folder: &'a Path,
}

/// What is needed to start proxies: their programs, the cores, a folder for configurations.
#[derive(Debug)]
pub(crate) struct Rig<'a> {
    cores: Cores,
    folder: &'a Path,
    programs: Vec<(Proxy, Result<PathBuf, String>)>,
}

/// A proxy that runs.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Where clients reach it.
    pub(crate) target: SocketAddr,
    /// The process.
    pub(crate) process: Running,
}

impl Instance {
    /// Waits for the first good answer; gives the time from the start of the process to it.
    pub(crate) fn first_answer(&mut self, generator: &mut dyn Generator) -> Result<Duration> {
        let process = &mut self.process;
        let deadline = Instant::now() + FIRST_ANSWER;
        match generator.first_answer(self.target, deadline, &mut || process.must_be_running()) {
            Ok(moment) => Ok(moment.saturating_duration_since(process.started())),
            Err(error) => {
                process.must_be_running()?;
                bail!("{error:#}{}", process.last_words())
            }
        }
    }
}

impl<'a> Rig<'a> {
    /// Finds the programs of the proxies in the plan. One that is missing shows where it is started.
    pub(crate) fn new(plan: &Plan, cores: Cores, folder: &'a Path) -> Result<Rig<'a>> {
        let find = |proxy: &Proxy| {
            (
                *proxy,
                program::find(*proxy).map_err(|error| format!("{error:#}")),
            )
        };
        Ok(Rig {
            cores,
            folder,
            programs: plan.proxies.iter().map(find).collect(),
        })
    }

    /// The cores.
    pub(crate) fn cores(&self) -> Cores {
        self.cores
    }

    /// The folder for configurations and logs; removed after the run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder
    }

    /// Why a proxy does not take part in a case at all; `None` when it does.
    pub(crate) fn unable(&self, proxy: Proxy, case: Case) -> Option<String> {
        (proxy == Proxy::Nginx && case == Case::Tcp && nginx::stream_module().is_none())
            .then(|| "this nginx has no stream module".to_owned())
    }

    /// Starts a proxy for a case; `number` tells instances apart.
    pub(crate) fn start(
        &self,
        proxy: Proxy,
        case: Case,
        backend: SocketAddr,
        number: usize,
    ) -> Result<Instance> {
        let name = format!("{}-{number}", proxy.title());
        let folder = self.folder.join(&name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let listen = ports::free()?;
        let site = Site {
            case,
            listen,
            backend,
            folder: &folder,
        };
        let args = match proxy {
            Proxy::Outrigger => outrigger::configure(&site),
            Proxy::Envoy => envoy::configure(&site),
            Proxy::Haproxy => haproxy::configure(&site),
            Proxy::Nginx => nginx::configure(&site),
        }?;
        let launch = Launch {
            name,
            program: self.program(proxy)?,
            args,
        };
        let process = Running::start(&launch, self.cores, &folder)?;
        Ok(Instance {
            target: listen,
            process,
        })
    }

    fn program(&self, proxy: Proxy) -> Result<PathBuf> {
        let found = self.programs.iter().find(|(known, _)| *known == proxy);
        match found {
            Some((_, Ok(path))) => Ok(path.clone()),
            Some((_, Err(why))) => Err(anyhow::Error::msg(why.clone())),
            None => program::find(proxy),
        }
    }

    /// Our own program, for roles other than the proxy.
    pub(crate) fn outrigger(&self) -> Result<PathBuf> {
        self.program(Proxy::Outrigger)
    }
}

/// Writes a configuration file into the folder of an instance.
fn write(site: &Site<'_>, name: &str, text: &str) -> Result<PathBuf> {
    let path = site.folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
