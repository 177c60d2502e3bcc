//! What a shell needs so that the printed commands mean this program and the demo's mesh.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::plan::{Choices, quoted};
use super::tour::Ground;
use crate::kubeconfig::Kubeconfig;

/// A kubeconfig that is never written: with it no context of the user's own decides where a verb goes.
pub(super) fn no_kubeconfig(choices: &Choices) -> PathBuf {
    choices.folder.join("no-kubeconfig")
}

/// The lines to type before any printed command; none where the shell needs nothing.
pub(super) fn preamble(choices: &Choices, ground: &Ground<'_>) -> Vec<String> {
    let own = env::current_exe().ok();
    let mut lines: Vec<String> = own
        .and_then(|own| alias(&own, env::var_os("PATH").as_deref()))
        .into_iter()
        .collect();
    let elsewhere = choices.addresses.control != Ipv4Addr::LOCALHOST
        || ["OUTRIGGER_SERVER", "OUTRIGGER_PILOT"]
            .iter()
            .any(|name| env::var_os(name).is_some())
        || Kubeconfig::default_path(None).exists();
    if elsewhere {
        let kubeconfig = no_kubeconfig(choices).display().to_string();
        lines.push(format!(
            "export OUTRIGGER_SERVER={} OUTRIGGER_PILOT={} KUBECONFIG={}",
            ground.server,
            ground.pilot,
            quoted(&kubeconfig)
        ));
    }
    lines
}

/// How `outrigger` comes to mean the program `own`; `None` where it already does.
fn alias(own: &Path, path: Option<&OsStr>) -> Option<String> {
    let same = |found: &Path| match (fs::canonicalize(found), fs::canonicalize(own)) {
        (Ok(found), Ok(own)) => found == own,
        _ => false,
    };
    let first = path
        .into_iter()
        .flat_map(env::split_paths)
        .map(|folder| folder.join("outrigger"))
        .find(|file| file.is_file());
    match first {
        Some(found) if same(&found) => None,
        _ => Some(format!("alias outrigger={}", quoted(&own.display().to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_finds_no_program_or_another_one_needs_an_alias() {
        let [ours, others] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for folder in [&ours, &others] {
            fs::write(folder.path().join("outrigger"), "").unwrap();
        }
        let own = ours.path().join("outrigger");
        let told = |folders: &[&Path]| alias(&own, Some(&env::join_paths(folders).unwrap()));

        assert_eq!(told(&[ours.path(), others.path()]), None);
        let expected = Some(format!("alias outrigger={}", own.display()));
        assert_eq!(told(&[others.path(), ours.path()]), expected);
        assert_eq!(told(&[]), expected);
        assert_eq!(alias(&own, None), expected);
    }
}
