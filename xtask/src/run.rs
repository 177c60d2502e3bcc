//! Running other programs: each is printed before it runs, and a failure ends the task.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Says what comes next.
pub(crate) fn step(what: &str) {
    println!("\n>> {what}");
}

/// Runs cargo in the workspace.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    command("cargo", args, &[])
}

/// Runs a program in the workspace with variables added to its environment.
pub(crate) fn command(program: &str, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    in_folder(&workspace(), program, args, env)
}

/// Runs a program in `folder`.
pub(crate) fn in_folder(folder: &Path, program: &str, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    step(&format!("{program} {}", args.join(" ")));
    let status = Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(folder)
        .status()
        .with_context(|| format!("cannot run {program}; is it installed?"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", args.join(" "));
    }
    Ok(())
}

/// True when the program can be started and says so with exit code 0.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}
