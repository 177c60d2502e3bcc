//! Printed commands say `outrigger`; a shell that would not find this program by that name is told how to.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::plan::quoted;

/// The line to type before any printed command; `None` where `outrigger` already means this program.
pub(super) fn needed() -> Option<String> {
    let own = env::current_exe().ok()?;
    line(&own, env::var_os("PATH").as_deref())
}

fn line(own: &Path, path: Option<&OsStr>) -> Option<String> {
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
        let told = |folders: &[&Path]| line(&own, Some(&env::join_paths(folders).unwrap()));

        assert_eq!(told(&[ours.path(), others.path()]), None);
        let alias = Some(format!("alias outrigger={}", own.display()));
        assert_eq!(told(&[others.path(), ours.path()]), alias);
        assert_eq!(told(&[]), alias);
        assert_eq!(line(&own, None), alias);
    }
}
