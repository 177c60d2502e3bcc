//! The kubeconfig file: where `istioctl` and `kubectl` users already keep the address of their API server.
//!
//! Only what names a server is understood; everything else in the file is kept as it was.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// A kubeconfig as read, or an empty one where there was no file.
#[derive(Debug)]
pub(crate) struct Kubeconfig {
    path: PathBuf,
    root: Map<String, Value>,
}

/// What `context-create` changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Created {
    /// True when another context was current before.
    pub(crate) switched: bool,
}

impl Kubeconfig {
    /// `--kubeconfig`, else `$KUBECONFIG`, else `~/.kube/config`. Of several files in `$KUBECONFIG` it is the first that
    /// is there, or the first one; they are not merged.
    pub(crate) fn default_path(flag: Option<&Path>) -> PathBuf {
        if let Some(path) = flag {
            return path.to_owned();
        }
        let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
        match first_there(std::env::split_paths(&listed)) {
            Some(path) => path,
            None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default())
                .join(".kube")
                .join("config"),
        }
    }

    /// Reads the file; a missing one is an empty configuration.
    pub(crate) fn read(path: &Path) -> Result<Kubeconfig> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).context(format!("cannot read kubeconfig {}", path.display())),
        };
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Kubeconfig> {
        if text.trim().is_empty() {
            return Ok(Kubeconfig {
                path: path.to_owned(),
                root: Map::new(),
            });
        }
        let value: Value = serde_saphyr::from_str(text)
            .with_context(|| format!("kubeconfig {} is not YAML", path.display()))?;
        match value {
            Value::Object(root) => Ok(Kubeconfig {
                path: path.to_owned(),
                root,
            }),
            _ => bail!("kubeconfig {} is not a mapping", path.display()),
        }
    }

    /// The server of the current context, if the file names one.
    pub(crate) fn server(&self) -> Result<Option<String>> {
        let Some(context) = self
            .root
            .get("current-context")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
        else {
            return Ok(None);
        };
        let file = self.path.display();
        let entry = self.named("contexts", context).with_context(|| {
            format!("kubeconfig {file}: current-context {context:?} is not among its contexts")
        })?;
        let cluster = entry
            .pointer("/context/cluster")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let server = self
            .named("clusters", cluster)
            .and_then(|entry| entry.pointer("/cluster/server"))
            .and_then(Value::as_str)
            .with_context(|| {
                format!("kubeconfig {file}: cluster {cluster:?} of context {context:?} has no server")
            })?;
        Ok(Some(server.trim_end_matches('/').to_owned()))
    }

    /// The namespace of the current context, if it names one.
    pub(crate) fn namespace(&self) -> Option<String> {
        let context = self.root.get("current-context").and_then(Value::as_str)?;
        let namespace = self
            .named("contexts", context)?
            .pointer("/context/namespace")?
            .as_str()?;
        Some(namespace.to_owned()).filter(|name| !name.is_empty())
    }

    /// Adds or replaces a cluster and a context of one name, and makes it current.
    pub(crate) fn create_context(&mut self, name: &str, server: &str) -> Created {
        let before = self
            .root
            .get("current-context")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        self.root.entry("apiVersion").or_insert_with(|| json!("v1"));
        self.root.entry("kind").or_insert_with(|| json!("Config"));
        self.put(
            "clusters",
            name,
            json!({"name": name, "cluster": {"server": server}}),
        );
        self.put(
            "contexts",
            name,
            json!({"name": name, "context": {"cluster": name, "user": ""}}),
        );
        self.root.insert("current-context".into(), json!(name));
        Created {
            switched: !before.is_empty() && before != name,
        }
    }

    /// Writes the file whole, readable by its owner alone.
    pub(crate) fn write(&self) -> Result<()> {
        use std::io::Write;
        use std::os::unix::fs::PermissionsExt;

        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let why = || format!("cannot write kubeconfig {}", self.path.display());
        std::fs::create_dir_all(folder).with_context(why)?;
        let text = serde_saphyr::to_string(&self.root).with_context(why)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(why)?;
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o600))
            .with_context(why)?;
        file.write_all(text.as_bytes()).with_context(why)?;
        file.persist(&self.path).with_context(why)?;
        Ok(())
    }

    fn named(&self, list: &str, name: &str) -> Option<&Value> {
        self.root
            .get(list)?
            .as_array()?
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
    }

    fn put(&mut self, list: &str, name: &str, entry: Value) {
        let entries = self.root.entry(list).or_insert_with(|| json!([]));
        if !entries.is_array() {
            *entries = json!([]);
        }
        let Some(entries) = entries.as_array_mut() else {
            return;
        };
        entries.retain(|existing| existing.get("name").and_then(Value::as_str) != Some(name));
        entries.push(entry);
    }
}

/// The first path that leads to something, else the first one.
fn first_there(paths: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let mut paths: Vec<PathBuf> = paths.filter(|path| !path.as_os_str().is_empty()).collect();
    let there = paths.iter().position(|path| path.exists()).unwrap_or_default();
    (there < paths.len()).then(|| paths.swap_remove(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: &str = "
current-context: work
clusters:
- name: work
  cluster: {server: 'https://10.0.0.1:6443/', certificate-authority: /ca.pem}
contexts:
- name: work
  context: {cluster: work, user: me, namespace: shop}
users:
- name: me
  user: {token: secret}
";

    fn read(text: &str) -> Kubeconfig {
        Kubeconfig::parse(Path::new("config"), text).unwrap()
    }

    #[test]
    fn of_several_files_the_first_that_is_there_is_read_and_made_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let both = || [PathBuf::new(), a.clone(), b.clone()].into_iter();

        assert_eq!(first_there(both()), Some(a.clone()));
        std::fs::write(&b, "").unwrap();
        assert_eq!(first_there(both()), Some(b.clone()));
        assert_eq!(first_there([PathBuf::new()].into_iter()), None);
    }

    #[test]
    fn the_server_and_namespace_of_the_current_context_are_found() {
        let config = read(OTHERS);

        assert_eq!(config.server().unwrap().as_deref(), Some("https://10.0.0.1:6443"));
        assert_eq!(config.namespace().as_deref(), Some("shop"));
    }

    #[test]
    fn an_empty_file_names_no_server() {
        assert_eq!(read("").server().unwrap(), None);
    }

    #[test]
    fn a_context_without_its_cluster_is_an_error_that_names_both() {
        let config = read("current-context: a\ncontexts: [{name: a, context: {cluster: gone}}]\n");

        let error = config.server().unwrap_err().to_string();

        assert!(error.contains("\"gone\"") && error.contains("\"a\""), "{error}");
    }

    #[test]
    fn creating_a_context_switches_to_it_and_keeps_what_others_wrote() {
        let mut config = read(OTHERS);

        let created = config.create_context("istio", "http://127.0.0.1:8080");

        assert_eq!(created, Created { switched: true });
        assert_eq!(config.server().unwrap().as_deref(), Some("http://127.0.0.1:8080"));
        let text = serde_saphyr::to_string(&config.root).unwrap();
        assert!(
            text.contains("secret") && text.contains("certificate-authority"),
            "{text}"
        );
        assert_eq!(read(&text).server().unwrap(), config.server().unwrap());
    }
}
