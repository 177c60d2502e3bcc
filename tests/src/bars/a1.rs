//! A1: a change of rules every 200 ms under load. Failed 0, misrouted 0, doubled 0 (promise P1).

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outrigger_client::{ConfigSource, ConfigStore, HttpClient};
use outrigger_testkit::load::Load;

use super::{BREATH, Figure, Length};
use crate::echo_mesh::{EchoMesh, route_to};

/// Time between two changes.
const BEAT: Duration = Duration::from_millis(200);
/// How long a rule may take to reach the data plane.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs the bar.
pub async fn run(length: Length) -> Result<Figure> {
    let mesh = EchoMesh::start([127, 0, 41]).await?;
    let config = mesh.config()?;
    config.create(&route_to("v1")?).await?;
    let mix = mesh.l1();
    println!("load: {}", mix.describe());
    only_named_versions_answer(&mesh).await?;

    let load = Load::start(&mix);
    let began = Instant::now();
    let mut changes = 0u32;
    while began.elapsed() < Duration::from_secs(length.pick(8, 30)) {
        let version = if changes.is_multiple_of(2) { "v2" } else { "v1" };
        replace(&config, version).await?;
        changes += 1;
        tokio::time::sleep(BEAT).await;
    }
    replace(&config, "v2").await?;
    let last_change = Instant::now();
    tokio::time::sleep(SETTLE + Duration::from_secs(1)).await;
    let mut tally = load.finish().await;
    tally.settle(&mesh.posts());
    mesh.stop().await?;

    // v3 is named by no rule of this run; v1 by none once the last change has settled. Streams of gRPC and WebSockets
    // count by who took them when they were opened; route rules do not say where TCP goes.
    let misrouted = tally
        .answers
        .iter()
        .filter(|answer| {
            answer.served_by == "v3" || (answer.served_by == "v1" && answer.sent > last_change + SETTLE)
        })
        .count();
    for reason in &tally.reasons {
        println!("  {reason}");
    }
    println!("answers by version: {:?}", tally.by_backend());
    let both = ["v1", "v2"]
        .into_iter()
        .all(|version| tally.by_backend().contains_key(version));
    Ok(Figure {
        line: format!(
            "A1: {changes} changes under load, {} sent ({} POSTs), failed {}, misrouted {misrouted}, doubled {}",
            tally.sent, tally.posts, tally.failed, tally.doubled
        ),
        holds: tally.failed == 0
            && misrouted == 0
            && tally.doubled == 0
            && both
            && changes > 20
            && tally.posts > 100,
    })
}

async fn replace(config: &HttpClient, version: &str) -> Result<()> {
    let mut rule = route_to(version)?;
    let stored = config.get(&rule.key()).await?.context("the rule is gone")?;
    rule.meta.resource_version = stored.meta.resource_version.clone();
    config.replace(&rule).await?;
    Ok(())
}

/// Waits until the first rule is in force: thirty answers in a row from v1.
async fn only_named_versions_answer(mesh: &EchoMesh) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{}/load/0", mesh.l1().http);
    let mut in_a_row = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    while in_a_row < 30 {
        anyhow::ensure!(
            Instant::now() < deadline,
            "the first rule does not come into force"
        );
        let answer = client
            .get(&url)
            .header("host", crate::echo_mesh::HOST)
            .send()
            .await?;
        let v1 = answer
            .headers()
            .get(outrigger_testkit::backend::SERVED_BY)
            .is_some_and(|name| name == "v1");
        in_a_row = if v1 { in_a_row + 1 } else { 0 };
        if !v1 {
            tokio::time::sleep(BREATH).await;
        }
    }
    Ok(())
}
