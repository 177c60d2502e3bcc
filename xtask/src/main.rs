//! One command for developers: `cargo xtask check`, `test`, `peers`, `bar`, `bench`.

mod dist;
mod leftover;
mod peers;
mod run;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

use run::{cargo, step};

/// Everything that is not `cargo build`
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format, clippy with warnings denied, cargo-deny, docs, and the tidy checks
    Check,
    /// Fetch the peers, then run every test, with real peers
    Test {
        /// Also every bar at full length
        #[arg(long)]
        all: bool,
    },
    /// Fetch or build real peers into the cache outside the clone
    Peers {
        /// Which ones [default: all that tests need]
        #[arg(value_enum)]
        names: Vec<peers::Peer>,
    },
    /// Run one bar: a promise with its figure
    Bar {
        /// C1, A1, B1, D1 or X3
        name: String,
        /// Fewer rounds, same assertions
        #[arg(long)]
        short: bool,
    },
    /// Measure the proxy beside Envoy, HAProxy and nginx, and pilot's convergence
    Bench {
        /// Passed on to the bench; `--help` shows what it takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// The bars, in the order in which they were promised.
const BARS: [&str; 5] = ["C1", "A1", "B1", "D1", "X3"];

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Check => check(),
        Task::Test { all } => test(all),
        Task::Peers { names } => peers::fetch(&names),
        Task::Bar { name, short } => bar(&name, short),
        Task::Bench { args } => {
            peers::fetch(&[peers::Peer::Envoy, peers::Peer::Haproxy, peers::Peer::Nginx])?;
            let dist = dist::words();
            let dist: Vec<&str> = dist.iter().map(String::as_str).collect();
            let packages = ["--package", "outrigger", "--package", "outrigger-bench"];
            cargo(&[&["build"], &dist[..], &packages].concat())?;
            let mut words = [&["run", "--quiet"], &dist[..], &packages[2..], &["--"]].concat();
            words.extend(args.iter().map(String::as_str));
            cargo(&words)
        }
    }
}

fn check() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "--deny",
        "warnings",
    ])?;
    // A workspace of its own, which would rot unseen: whoever changes the codec is told that its fuzzing no longer builds.
    cargo(&[
        "check",
        "--quiet",
        "--locked",
        "--manifest-path",
        "proxy/fuzz/Cargo.toml",
        "--target-dir",
        "target/fuzz",
    ])?;
    peers::cargo_deny()?;
    cargo(&["deny", "check", "bans", "licenses", "sources"])?;
    run::command(
        "cargo",
        &["doc", "--workspace", "--no-deps", "--quiet"],
        &[("RUSTDOCFLAGS", "--deny warnings")],
    )?;
    step("tidy checks");
    tidy::check()
}

fn test(all: bool) -> Result<()> {
    peers::fetch(&[])?;
    cargo(&["build", "--release", "--package", "outrigger"])?;
    cargo(&["test", "--workspace", "--all-features", "--quiet"])?;
    for kind in [&[][..], &["--registry", "consul"], &["--dataplane", "envoy"]] {
        tour(kind)?;
    }
    for name in BARS {
        bar(name, !all)?;
    }
    Ok(())
}

/// The demo's tour, on addresses of its own so that a demo may run beside it. It must leave no process.
fn tour(kind: &[&str]) -> Result<()> {
    let mut words = vec![
        "run",
        "--quiet",
        "--release",
        "--package",
        "outrigger",
        "--",
        "demo",
        "--tour",
    ];
    words.extend([
        "--control",
        "127.0.20.254",
        "--gateway",
        "127.0.20.253:9081",
        "--workloads",
        "127.0.20",
    ]);
    words.extend(["--consul", "http://127.0.20.254:8500"]);
    words.extend(kind);
    cargo(&words)?;
    leftover::must_be_none([127, 0, 20])
}

fn bar(name: &str, short: bool) -> Result<()> {
    if name.eq_ignore_ascii_case("D1") {
        peers::fetch(&[peers::Peer::Nginx])?;
    }
    cargo(&["build", "--release", "--quiet", "--package", "outrigger"])?;
    let mut words = vec![
        "run",
        "--quiet",
        "--package",
        "outrigger-tests",
        "--bin",
        "bar",
        "--",
        name,
    ];
    if short {
        words.push("--short");
    }
    cargo(&words)
}
