//! B1: the control plane is killed under load and stays away. Failed 0, and the data plane's configuration stays as it
//! was, then follows again (promise P5).

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outrigger_client::{ConfigSource, ConfigStore};
use outrigger_testkit::load::Load;

use super::{BREATH, Figure, Length};
use crate::echo_mesh::{EchoMesh, route_to};

/// Runs the bar.
pub async fn run(length: Length) -> Result<Figure> {
    let away = Duration::from_secs(length.pick(8, 30));
    let mut mesh = EchoMesh::start([127, 0, 42]).await?;
    let mix = mesh.l1();
    println!("load: {}", mix.describe());
    let load = Load::start(&mix);
    wait_for_answers(&load, 500).await?;
    let before = mesh.caller_config().await?;

    mesh.kill_control_plane()?;
    let killed = Instant::now();
    tokio::time::sleep(away).await;
    let unchanged = mesh.caller_config().await? == before;
    let answered_meanwhile = load
        .ledger()
        .tally()
        .answers
        .iter()
        .filter(|answer| answer.sent > killed)
        .count();

    mesh.start_control_plane().await?;
    let back = Instant::now();
    mesh.config()?.create(&route_to("v3")?).await?;
    let version = mesh
        .config()?
        .get(&route_to("v3")?.key())
        .await?
        .context("the rule was not stored")?;
    println!(
        "back after {} s; a new rule is stored at version {:?}",
        away.as_secs(),
        version.meta.resource_version
    );
    let followed = follows(&load, back).await;
    let mut tally = load.finish().await;
    tally.settle(&mesh.posts());
    mesh.stop().await?;

    for reason in &tally.reasons {
        println!("  {reason}");
    }
    Ok(Figure {
        line: format!(
            "B1: control plane killed for {} s, {} sent ({} POSTs; {answered_meanwhile} answered meanwhile), failed {}, \
             doubled {}, config {}, new rule {}",
            away.as_secs(),
            tally.sent,
            tally.posts,
            tally.failed,
            tally.doubled,
            if unchanged { "unchanged" } else { "CHANGED" },
            match followed {
                Some(after) => format!("in force {:.1} s after its return", after.as_secs_f64()),
                None => "NOT in force within 25 s".to_owned(),
            }
        ),
        holds: tally.failed == 0
            && tally.doubled == 0
            && unchanged
            && followed.is_some()
            && answered_meanwhile > 100
            && tally.posts > 100,
    })
}

async fn wait_for_answers(load: &Load, count: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while load.ledger().answered_so_far() < count {
        anyhow::ensure!(
            Instant::now() < deadline,
            "no answers: {:?}",
            load.ledger().tally().reasons
        );
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}

/// How long after `back` only the third version answers; `None` when it does not come to that. A proxy may wait up to
/// 15 s with jitter before it looks for pilot again.
async fn follows(load: &Load, back: Instant) -> Option<Duration> {
    while back.elapsed() < Duration::from_secs(25) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let recent = load.ledger().latest(50);
        if recent
            .iter()
            .all(|answer| answer.served_by == "v3" && answer.sent > back)
        {
            return Some(back.elapsed());
        }
    }
    None
}
