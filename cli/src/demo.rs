//! `outrigger demo`: a whole mesh on this machine, put together from the commands that a user's own services take.

mod consul;
mod envoy;
mod plan;
mod process;
mod screen;
mod shell;
mod tour;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use outrigger_bookinfo::{Role, rules};

use crate::failure::Failure;
use plan::{Addresses, Choices, DataPlane, Process, ROLES, Registry};
use process::{Running, stop_all};
use screen::Screen;
use tour::{Ground, Line};

/// Starts Bookinfo in a mesh of its own: control plane, six services with a sidecar each, and a gateway
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger demo                              start it, open the page, try rules
  outrigger demo --tour                       walk through the documented tasks and count answers
  outrigger demo --registry consul --tour     the same with services found in Consul
  outrigger demo --registry consul --tour --rules DIR
  outrigger demo --dataplane envoy --tour     a stock Envoy beside productpage")]
pub(crate) struct DemoArgs {
    /// Walk through the documented tasks, print what was expected and seen, stop; exit code 0 or 1
    #[arg(long)]
    tour: bool,
    /// Where services are found
    #[arg(long, value_enum, default_value = "static")]
    registry: Registry,
    /// Who proxies for productpage
    #[arg(long, value_enum, default_value = "outrigger")]
    dataplane: DataPlane,
    /// Folder whose rule files the tour applies in place of its own
    #[arg(long, value_name = "DIR", requires = "tour")]
    rules: Option<PathBuf>,
    /// Consul agent to use; when nothing answers there and the address is the default, one is started
    #[arg(long, value_name = "URL", default_value = consul::DEFAULT_AGENT)]
    consul: String,
    /// Folder for files, the store and logs [default: a temporary one that goes with the demo]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Loopback address of the control plane
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    control: Ipv4Addr,
    /// Address of the page
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9081")]
    gateway: SocketAddrV4,
    /// First three bytes of the workloads' loopback addresses
    #[arg(long, value_name = "A.B.C", default_value = "127.0.10", value_parser = three_bytes)]
    workloads: [u8; 3],
    /// How the tour's report is printed
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table.
    Table,
    /// A JSON array of lines.
    Json,
}

fn three_bytes(text: &str) -> Result<[u8; 3], String> {
    let address: Ipv4Addr = format!("{text}.1").parse().map_err(|_| {
        format!("{text:?} is not the first three bytes of an address; expected something like 127.0.10")
    })?;
    let [a, b, c, _] = address.octets();
    if a == 127 {
        Ok([a, b, c])
    } else {
        Err(format!("{text} is not loopback; expected 127.B.C"))
    }
}

/// Runs the demo until Ctrl-C, or the tour until its end.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let screen = Screen::new(args.output == Output::Json);
    let temporary = tempfile::Builder::new()
        .prefix("outrigger-demo-")
        .tempdir()
        .context("cannot make a folder")?;
    let folder = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let choices = choices(&args, folder)?;
    let mut mesh = Mesh {
        running: Vec::new(),
        registered: None,
    };

    let outcome = tokio::select! {
        outcome = mesh.live(&args, &choices, &screen) => outcome,
        signal = stop_signal() => signal.map(|()| None),
    };
    screen.begin("stopping everything");
    let stopped = mesh.end().await;
    screen.end();

    let report = outcome?;
    stopped?;
    match report {
        None => Ok(()),
        Some(report) => {
            screen.report(&report)?;
            let wrong: Vec<String> = report.iter().filter(|line| !line.holds).map(describe).collect();
            if wrong.is_empty() {
                Ok(())
            } else {
                Err(Failure::Failed(wrong))
            }
        }
    }
}

fn describe(line: &Line) -> String {
    format!(
        "{}, {}: expected {}, seen {}",
        line.generation, line.step, line.expected, line.seen
    )
}

fn choices(args: &DemoArgs, folder: PathBuf) -> Result<Choices> {
    let envoy = match args.dataplane {
        DataPlane::Envoy => envoy::find()?,
        DataPlane::Outrigger => PathBuf::from("envoy"),
    };
    Ok(Choices {
        registry: args.registry,
        consul: args.consul.trim_end_matches('/').to_owned(),
        data_plane: args.dataplane,
        addresses: Addresses {
            control: args.control,
            gateway: args.gateway,
            workloads: args.workloads,
        },
        folder,
        envoy,
    })
}

/// What has been started and must be stopped.
struct Mesh {
    running: Vec<Running>,
    registered: Option<consul::Registrations>,
}

impl Mesh {
    /// Starts everything; then the tour, or a wait that ends only when a process dies.
    async fn live(
        &mut self,
        args: &DemoArgs,
        choices: &Choices,
        screen: &Screen,
    ) -> Result<Option<Vec<Line>>> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        let ground = Ground {
            page: format!("http://{}/productpage", choices.addresses.gateway),
            server: format!("http://{}:8080", choices.addresses.control),
            pilot: format!("http://{}:15007", choices.addresses.control),
            client: &client,
            kubeconfig: shell::no_kubeconfig(choices),
        };
        must_be_free(&plan::addresses(choices))?;
        let preamble = shell::preamble(choices, &ground);
        if !preamble.is_empty() {
            screen.print("The commands below can be typed after");
            for line in &preamble {
                screen.print(&format!("    {line}"));
            }
        }
        self.start(choices, screen, &client).await?;
        let rules = choices.folder.join("rules").join(folder_of(choices.registry));
        ground
            .operate(screen, tour::steps::Verb::Create, &rules.join("gateway.yaml"))
            .await?;
        ground.settle(screen).await?;
        page_opens(&ground, screen).await?;

        if args.tour {
            return self.tour(args, choices, screen, &ground, rules).await.map(Some);
        }
        self.invite(choices, screen, &ground, &rules);
        loop {
            for process in &mut self.running {
                process.must_be_running()?;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn start(&mut self, choices: &Choices, screen: &Screen, client: &reqwest::Client) -> Result<()> {
        let why = || format!("cannot write into {}", choices.folder.display());
        let logs = choices.folder.join("logs");
        std::fs::create_dir_all(&logs).with_context(why)?;
        rules::write_to(&choices.folder.join("rules")).with_context(why)?;
        std::fs::write(plan::services_file(&choices.folder), plan::services_text(choices))
            .with_context(why)?;
        if choices.data_plane == DataPlane::Envoy {
            let text = envoy::bootstrap(Role::Productpage, choices);
            std::fs::write(plan::envoy_file(&choices.folder), text).with_context(why)?;
        }
        screen.print(&format!("Files and logs: {}", choices.folder.display()));
        if choices.registry == Registry::Consul {
            if let Some(agent) = consul::agent(choices, client).await? {
                self.launch(&agent, &logs, screen, client).await?;
            }
            self.registered = Some(consul::Registrations::new(&choices.consul)?);
        }
        self.launch(&plan::control_plane(choices), &logs, screen, client)
            .await?;
        for role in ROLES {
            self.launch(&plan::app(role, choices), &logs, screen, client)
                .await?;
            self.launch(&plan::sidecar(role, choices), &logs, screen, client)
                .await?;
            if let Some(registered) = &mut self.registered {
                registered.add(role, choices.addresses.of(role), screen).await?;
            }
        }
        self.launch(&plan::gateway(choices), &logs, screen, client).await
    }

    async fn launch(
        &mut self,
        process: &Process,
        logs: &std::path::Path,
        screen: &Screen,
        client: &reqwest::Client,
    ) -> Result<()> {
        screen.begin(&format!("starting {}", process.name));
        screen.command(&process.command_line());
        let mut running = Running::start(process, logs)?;
        let ready = running.wait_until_ready(client).await;
        self.running.push(running);
        ready
    }

    async fn tour(
        &mut self,
        args: &DemoArgs,
        choices: &Choices,
        screen: &Screen,
        ground: &Ground<'_>,
        ours: PathBuf,
    ) -> Result<Vec<Line>> {
        let mut report = Vec::new();
        let generations = match &args.rules {
            None => vec![
                ("v1alpha2", ours.join("v1alpha2")),
                ("v1alpha3", ours.join("v1alpha3")),
            ],
            Some(folder) if folder.join("destination-rule-all.yaml").exists() => {
                vec![("v1alpha3", folder.clone())]
            }
            Some(folder) => vec![("v1alpha2", folder.clone())],
        };
        for (generation, folder) in generations {
            let steps = match generation {
                "v1alpha2" => tour::steps::first_generation(&folder)?,
                _ => tour::steps::second_generation(&folder)?,
            };
            report.extend(tour::walk(ground, screen, generation, &steps).await?);
            tour::clear(ground, screen, &tour::left_behind(&steps)).await?;
        }
        if let Some(registered) = &mut self.registered {
            screen.begin("an instance leaves Consul under load");
            let running = &mut self.running;
            let line = consul::leave_under_load(registered, running, choices, ground, screen).await?;
            screen.line(&line);
            report.push(line);
        }
        for process in &mut self.running {
            process.must_be_running()?;
        }
        Ok(report)
    }

    fn invite(&self, choices: &Choices, screen: &Screen, ground: &Ground<'_>, rules: &std::path::Path) {
        screen.end();
        let bold = anstyle::Style::new().bold();
        let rules = rules.join("v1alpha2");
        screen.print(&format!(
            "\n{bold}The page is at {}{bold:#}   (Ctrl-C stops everything)\n",
            ground.page
        ));
        screen.print("Try:");
        for line in shell::preamble(choices, ground) {
            screen.print(&format!("  {line}"));
        }
        for command in [
            format!(
                "outrigger create -f {}",
                rules.join("route-rule-all-v1.yaml").display()
            ),
            format!(
                "outrigger create -f {}",
                rules.join("route-rule-reviews-test-v2.yaml").display()
            ),
            "outrigger get routerules -o wide".to_owned(),
        ] {
            screen.print(&format!("  {command}"));
        }
        screen.print("and reload the page; sign in as jason to see black stars.");
    }

    async fn end(self) -> Result<()> {
        let deregistered = match self.registered {
            Some(registered) => registered.remove_all().await,
            None => Ok(()),
        };
        stop_all(self.running).await.and(deregistered)
    }
}

/// An error when somebody listens already where a process of the demo is to: its answers would pass for ours.
fn must_be_free(addresses: &[SocketAddrV4]) -> Result<()> {
    for address in addresses {
        outrigger_proxy::listen::bind((*address).into()).with_context(|| {
            "the demo cannot have one of its addresses; if another mesh runs here, stop it, or choose others with \
             --control, --gateway and --workloads"
        })?;
    }
    Ok(())
}

fn folder_of(registry: Registry) -> &'static str {
    match registry {
        Registry::Static => "static",
        Registry::Consul => "consul",
    }
}

/// Waits until the page comes whole, which proves every hop.
async fn page_opens(ground: &Ground<'_>, screen: &Screen) -> Result<()> {
    screen.begin("opening the page");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let answers = tour::answers::count(ground.client, &ground.page, None, 6).await;
        let whole: f64 = ["v1", "v2", "v3"]
            .into_iter()
            .map(|version| answers.share(version))
            .sum();
        if whole > 99.9 {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            bail!("{} does not open: {answers}", ground.page);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for signals"),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn workloads_must_be_loopback() {
        assert_eq!(three_bytes("127.0.30"), Ok([127, 0, 30]));
        assert!(three_bytes("10.0.0").unwrap_err().contains("loopback"));
        assert!(three_bytes("127.0").unwrap_err().contains("127.0.10"));
    }
}
