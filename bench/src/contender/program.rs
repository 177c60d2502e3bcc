//! Where the programs are.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Proxy;

/// The program of a proxy.
pub(super) fn find(proxy: Proxy) -> Result<PathBuf> {
    match proxy {
        Proxy::Outrigger => ours(),
        Proxy::Envoy => Ok(outrigger_testkit::peers::find("envoy")?),
        Proxy::Haproxy => installed("haproxy"),
        Proxy::Nginx => installed("nginx"),
    }
}

/// The one that was built beside the bench.
fn ours() -> Result<PathBuf> {
    let bench = std::env::current_exe().context("cannot find the bench's own file")?;
    let path = bench.with_file_name("outrigger");
    if !path.is_file() {
        bail!("there is no {}; `cargo xtask bench` builds it", path.display());
    }
    Ok(path)
}

fn installed(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("{name} is not installed; `cargo xtask peers {name}` installs it"))
}
