//! Where the real peers are: programs that `cargo xtask peers` put into a cache outside the clone.

use std::path::PathBuf;

/// Where to look, and which version of each peer the project tests with.
const VERSIONS: [(&str, &str); 2] = [("consul", "1.19.2"), ("envoy", "1.40.0")];

/// A peer that is not there, with the command that fetches it.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    name: String,
    looked_for: Option<PathBuf>,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.looked_for {
            Some(path) => write!(
                f,
                "peer {} is not at {}; run `cargo xtask peers {}`",
                self.name,
                path.display(),
                self.name
            ),
            None => write!(
                f,
                "no place to look for peer {}: set OUTRIGGER_PEERS to a folder and run `cargo xtask peers {}`",
                self.name, self.name
            ),
        }
    }
}

impl std::error::Error for Missing {}

/// The program of a peer.
///
/// `OUTRIGGER_PEER_<NAME>` names a program to use instead, for a test against another version. Otherwise it is
/// `<cache>/<name>-<version>/<name>`, where the cache is `OUTRIGGER_PEERS`, else `$XDG_CACHE_HOME/outrigger/peers`,
/// else `~/.cache/outrigger/peers`.
///
/// # Errors
/// There is no file there.
pub fn find(name: &str) -> Result<PathBuf, Missing> {
    find_with(name, |variable| std::env::var_os(variable).map(PathBuf::from))
}

fn find_with(name: &str, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, Missing> {
    let chosen = variable(&format!("OUTRIGGER_PEER_{}", name.to_ascii_uppercase()));
    let path = match chosen {
        Some(program) => Some(program),
        None => cache(variable).map(|cache| {
            let version = VERSIONS.iter().find(|(known, _)| *known == name);
            match version {
                Some((_, version)) => cache.join(format!("{name}-{version}")).join(name),
                None => cache.join(name),
            }
        }),
    };
    match path {
        Some(path) if path.is_file() => Ok(path),
        looked_for => Err(Missing {
            name: name.to_owned(),
            looked_for,
        }),
    }
}

fn cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(peers) = variable("OUTRIGGER_PEERS") {
        return Some(peers);
    }
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("outrigger/peers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_peer_names_the_place_and_the_command() {
        let message = |variables: &'static [(&str, &str)]| {
            find_with("consul", |wanted| {
                variables
                    .iter()
                    .find(|(name, _)| *name == wanted)
                    .map(|(_, value)| PathBuf::from(value))
            })
            .unwrap_err()
            .to_string()
        };
        assert_eq!(
            message(&[("OUTRIGGER_PEERS", "/nowhere")]),
            "peer consul is not at /nowhere/consul-1.19.2/consul; run `cargo xtask peers consul`"
        );
        assert_eq!(
            message(&[("HOME", "/nowhere")]),
            "peer consul is not at /nowhere/.cache/outrigger/peers/consul-1.19.2/consul; run `cargo xtask peers consul`"
        );
        assert!(message(&[]).contains("set OUTRIGGER_PEERS"));
    }

    #[test]
    fn a_program_can_be_chosen() {
        let here = std::env::current_exe().unwrap();

        let found = find_with("consul", |wanted| {
            (wanted == "OUTRIGGER_PEER_CONSUL").then(|| here.clone())
        });

        assert_eq!(found, Ok(here));
    }
}
