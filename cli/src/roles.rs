//! What a process of this program can be, one file a role.

pub(crate) mod bookinfo;
mod descriptors;
pub(crate) mod logging;
pub(crate) mod proxy;
pub(crate) mod serve;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use outrigger_proxy::control::BindError;
use tokio::net::TcpListener;

use crate::failure::Failure;

/// Environment variable that names the process without which this one should not go on.
pub(crate) const PARENT: &str = "OUTRIGGER_PARENT_PID";

/// Where [`PARENT`] is set: asks the kernel for TERM when the parent dies, so that a demo that is killed leaves
/// nothing behind.
pub(crate) fn follow_parent() -> Result<()> {
    let Some(parent) = std::env::var(PARENT)
        .ok()
        .and_then(|text| text.parse::<i32>().ok())
    else {
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("cannot ask to follow the parent process")?;
    // The parent may have died before the request was made.
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        anyhow::bail!("process {parent}, which started this one, is gone");
    }
    Ok(())
}

/// Listens on `address` for `what`; `flag` chooses another.
pub(crate) async fn listen(address: SocketAddr, what: &str, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|reason| taken(address, what, flag, reason))
}

/// Why `address` cannot be had: who holds it, where that can be seen, and the flag that chooses another.
pub(crate) fn taken(address: SocketAddr, what: &str, flag: &str, reason: io::Error) -> Failure {
    Failure::one(format!(
        "{what}: {} ({flag} sets it)",
        BindError::new(address, reason)
    ))
}

/// Ready on the first INT or TERM; a second one ends the process at once.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    let (stop, force) = stop_signals()?;
    Ok(async move {
        stop.await;
        tokio::spawn(async move {
            force.await;
            std::process::exit(130);
        });
    })
}

/// Two futures: ready on the first INT or TERM, and on the second.
pub(crate) fn stop_signals() -> Result<(
    impl Future<Output = ()> + Send + 'static,
    impl Future<Output = ()> + Send + 'static,
)> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for INT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for TERM")?;
    let (first, mut seen) = tokio::sync::watch::channel(0u8);
    tokio::spawn(async move {
        for count in 1..=2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!(
                "{}",
                if count == 1 {
                    "stopping; a second signal stops at once"
                } else {
                    "stopping at once"
                }
            );
            first.send_replace(count);
        }
        // The sender stays: a watch that is closed would look like a signal.
        std::future::pending::<()>().await;
    });
    let mut second = seen.clone();
    let stop = async move {
        let _ = seen.wait_for(|count| *count >= 1).await;
    };
    let force = async move {
        let _ = second.wait_for(|count| *count >= 2).await;
    };
    Ok((stop, force))
}
