//! Checks that no compiler makes: paths that documents name exist, every source file says its job, no file is a heap.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::workspace;

/// Lines beyond which a source file needs a reason.
const TOO_LONG: usize = 800;
/// Module names that say nothing.
const SAY_NOTHING: [&str; 5] = ["util", "utils", "common", "manager", "helpers"];

/// Runs every check and reports all findings together.
pub(crate) fn check() -> Result<()> {
    let root = workspace();
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    collect(&root, &mut sources)?;
    for source in &sources {
        let text =
            std::fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?;
        let shown = source.strip_prefix(&root).unwrap_or(source).display();
        if !text.trim_start().starts_with("//!") {
            findings.push(format!("{shown}: the first line is not a module doc (`//!`)"));
        }
        if text.lines().count() > TOO_LONG {
            findings.push(format!(
                "{shown}: {} lines; what second idea moved in?",
                text.lines().count()
            ));
        }
        if source
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| SAY_NOTHING.contains(&stem))
        {
            findings.push(format!("{shown}: a name that says nothing"));
        }
    }
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text =
            std::fs::read_to_string(root.join(document)).with_context(|| format!("{document} is missing"))?;
        for path in paths_in(&text) {
            if !root.join(path).exists() {
                findings.push(format!("{document}: {path} does not exist"));
            }
        }
    }
    if findings.is_empty() {
        println!("{} source files are tidy", sources.len());
        return Ok(());
    }
    bail!("{}", findings.join("\n"))
}

/// Words in backquotes that look like a path of the workspace: `crate/file.rs`, `docs/x.md`, `folder/`.
fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let relative = !word.starts_with('/') && !word.starts_with('.') && word.chars().all(plain);
        relative
            && word.contains('/')
            && (word.ends_with('/') || word.ends_with(".rs") || word.ends_with(".md"))
    })
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "fuzz" {
                collect(&path, into)?;
            }
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_look_like_paths_are_checked() {
        let text = "See `api/src/kind.rs`, `docs/`, `/ready`, `cargo xtask test` and `a/b`.";

        assert_eq!(paths_in(text).collect::<Vec<_>>(), ["api/src/kind.rs", "docs/"]);
    }
}
