//! Convergence: from the moment at which a rule is acknowledged to the moment at which the last client holds it.
//!
//! A whole control plane (`outrigger serve`) has 100 services in three subsets each. First one client, then 100 are
//! connected, as sidecars that want everything. Each change creates a VirtualService for a service that had none and
//! sends its requests to a subset that exists. The clock runs from the return of `create`, when the rule is on disk,
//! until the last client has the route in hand: registry, compilation, debounce and push are all in it.

mod board;
mod client;
mod control_plane;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use outrigger_api::document::{self, Options};
use outrigger_api::resource::Resource;
use outrigger_client::{ConfigStore, HttpClient};
use serde::Serialize;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::accounting::{CpuTime, Memory};
use crate::args::Plan;
use crate::contender::Rig;
use crate::mesh_table::{self, SERVICES, SUBSETS};
use crate::spread::Spread;
use crate::{interrupt, say};
use board::Board;
use client::Crowd;
use control_plane::ControlPlane;

/// Pilot waits this long after the last change before it compiles.
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(10);
/// Between one change and the next, so that no change waits for another's debounce.
const GAP: Duration = Duration::from_millis(50);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Convergence, or why it could not be measured.
#[derive(Debug, Serialize)]
pub(crate) struct Pilot {
    /// The figures.
    pub(crate) result: Result<Convergence, String>,
}

/// Convergence in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Convergence {
    /// With one client.
    pub(crate) one: Changes,
    /// With many.
    pub(crate) many: Changes,
}

/// What a series of changes took.
#[derive(Debug, Serialize)]
pub(crate) struct Changes {
    /// Clients that were connected.
    pub(crate) clients: usize,
    /// Milliseconds from the return of `create` to the last client, one figure a change.
    pub(crate) last: Spread,
    /// Milliseconds that `create` itself took, one figure a change.
    pub(crate) create: Spread,
    /// Bytes of resources that one client got for one change, on average.
    pub(crate) bytes: f64,
    /// CPU of the control plane for one change, milliseconds, on average.
    pub(crate) cpu: f64,
    /// Memory of the control plane after the changes.
    pub(crate) memory: Memory,
}

/// Measures convergence.
pub(crate) fn measure(plan: &Plan, rig: &Rig<'_>) -> Pilot {
    let measured = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, run(plan, rig))
    };
    Pilot {
        result: measured().map_err(|error| format!("{error:#}")),
    }
}

async fn run(plan: &Plan, rig: &Rig<'_>) -> Result<Convergence> {
    say(format_args!(
        "pilot: {} changes with 1 client, then with {}",
        plan.changes, plan.clients
    ));
    let mut control = ControlPlane::start(rig).await?;
    let api = control.api()?;
    for service in 0..SERVICES {
        create(&api, &destination_rule(service)).await?;
    }
    let one = series(&mut control, &api, 1, plan.changes, 0).await?;
    let many = series(&mut control, &api, plan.clients, plan.changes, plan.changes).await?;
    Ok(Convergence { one, many })
}

/// Connects clients, and makes `changes` changes, the first to service number `first`.
async fn series(
    control: &mut ControlPlane,
    api: &HttpClient,
    clients: usize,
    changes: usize,
    first: usize,
) -> Result<Changes> {
    let board = Board::new(clients);
    let crowd = Crowd::connect(clients, control.xds(), &board)?;
    board
        .wait("all routes", PATIENCE, Board::everybody_is_ready)
        .await
        .map_err(|why| control.explain(why))?;
    sleep(GAP * 10).await;

    let (mut last, mut create_took) = (Vec::new(), Vec::new());
    let cpu = CpuTime::of(control.pid())?;
    board.forget_bytes();
    for change in 0..changes {
        interrupt::check()?;
        crowd.must_be_well()?;
        let name = format!("change-{clients}-{change}-of-the-bench");
        let rule = virtual_service(&name, first + change);
        board.look_for(&name);
        let begin = Instant::now();
        create(api, &rule).await?;
        let acknowledged = Instant::now();
        let seen = board.wait(&name, PATIENCE, Board::everybody_holds_it).await;
        let seen = seen.map_err(|why| control.explain(why))?;
        // An answer may take longer to be read than the push does to arrive.
        last.push(seen.saturating_duration_since(acknowledged).as_secs_f64() * 1e3);
        create_took.push((acknowledged - begin).as_secs_f64() * 1e3);
        sleep(GAP).await;
    }
    let spent = CpuTime::of(control.pid())?.since(&cpu);
    let none = "there was no change";
    Ok(Changes {
        clients,
        last: Spread::of(last).context(none)?,
        create: Spread::of(create_took).context(none)?,
        bytes: board.bytes() as f64 / (changes * clients) as f64,
        cpu: spent.as_secs_f64() * 1e3 / changes as f64,
        memory: Memory::of(control.pid())?,
    })
}

async fn create(api: &HttpClient, text: &str) -> Result<()> {
    let resource = parse(text)?;
    let key = resource.key();
    api.create(&resource)
        .await
        .with_context(|| format!("cannot create {key}"))?;
    Ok(())
}

fn parse(text: &str) -> Result<Resource> {
    match document::parse_body(text.as_bytes(), &Options::default()) {
        Ok(parsed) => Ok(parsed.resource),
        Err(problems) => {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("a rule of the bench is refused: {}", told.join("; "))
        }
    }
}

fn destination_rule(service: usize) -> String {
    let subsets: Vec<String> = (1..=SUBSETS)
        .map(|subset| format!("{{name: v{subset}, labels: {{version: v{subset}}}}}"))
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: DestinationRule\nmetadata: {{name: service-{service:03}}}\n\
         spec: {{host: {}, subsets: [{}]}}\n",
        mesh_table::host(service),
        subsets.join(", ")
    )
}

fn virtual_service(name: &str, service: usize) -> String {
    let host = mesh_table::host(service);
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\nmetadata: {{name: {name}}}\n\
         spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: {host}, subset: v2}}}}]}}]}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_the_bench_are_good_ones() {
        for service in [0, SERVICES - 1] {
            assert!(parse(&destination_rule(service)).is_ok());
            let rule = parse(&virtual_service("a-change", service)).unwrap();
            assert_eq!(rule.key().name, "a-change");
        }
    }
}
