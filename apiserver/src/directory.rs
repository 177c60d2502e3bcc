//! The data directory: made, proven writable, and held by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A data directory that this process holds until the value is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// The kernel releases the lock with the file, also when the process is killed.
    _lock: File,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process works in it.
    #[error("another apiserver (pid {pid}) has {path} open; stop it, or choose another data directory")]
    Held {
        /// The data directory.
        path: PathBuf,
        /// Process id from its lock file, `unknown` when it has not written it yet.
        pid: String,
    },
    /// It cannot be made, locked or written to.
    #[error(
        "cannot use {path} as data directory: {what}: {reason}; make it writable for this user, \
         or choose another data directory"
    )]
    Unusable {
        /// The data directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        reason: io::Error,
    },
}

impl Directory {
    /// Makes the directory when it is missing, and takes hold of it.
    pub(crate) fn hold(path: &Path) -> Result<Self, DirectoryError> {
        let step = |what| {
            move |reason| DirectoryError::Unusable {
                path: path.to_owned(),
                what,
                reason,
            }
        };
        create(path).map_err(step("cannot create it"))?;
        let lock_path = path.join("LOCK");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(step("cannot open its lock file"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = lock.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let pid = if read {
                    pid.trim().to_owned()
                } else {
                    "unknown".to_owned()
                };
                return Err(DirectoryError::Held {
                    path: path.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(reason)) => return Err(step("cannot lock it")(reason)),
        }
        let written = lock
            .set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .and_then(|()| lock.sync_all());
        written.map_err(step("cannot write to it"))?;
        Ok(Directory {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where sled keeps its files.
    pub(crate) fn tree(&self) -> PathBuf {
        self.path.join("sled")
    }

    /// Moves the files of sled out of the way and says where they are now; older ones moved aside are removed.
    pub(crate) fn set_tree_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path.join("sled.damaged");
        let removed = if aside.is_dir() {
            fs::remove_dir_all(&aside)
        } else {
            fs::remove_file(&aside)
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::rename(self.tree(), &aside)?;
        Ok(aside)
    }
}

/// Makes a directory and those above it that are missing, and has the entry of each on disk before it returns: what is
/// acknowledged later must not vanish with the name of a folder.
fn create(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|above| !is_there(above)).collect();
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !directory.is_dir() => {
                return Err(error);
            }
            Ok(()) | Err(_) => {}
        }
        let above = directory.parent().filter(|above| *above != Path::new(""));
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// The empty path stands for the working directory.
fn is_there(path: &Path) -> bool {
    path == Path::new("") || path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_the_directory_and_gets_it_after_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = Directory::hold(directory.path()).unwrap();

        let refused = Directory::hold(directory.path()).unwrap_err().to_string();
        drop(first);

        let expected = format!(
            "another apiserver (pid {}) has {} open; stop it, or choose another data directory",
            std::process::id(),
            directory.path().display()
        );
        assert_eq!(refused, expected);
        assert!(Directory::hold(directory.path()).is_ok());
    }

    #[test]
    fn missing_folders_above_are_made_too() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b/data");

        drop(Directory::hold(&deep).unwrap());

        assert!(deep.join("LOCK").is_file());
        assert!(Directory::hold(&deep).is_ok(), "and are used when they are there");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named_with_the_next_step() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();

        let refused = Directory::hold(&file.join("data")).unwrap_err().to_string();

        assert!(
            refused.starts_with("cannot use ") && refused.contains("file/data"),
            "{refused}"
        );
        assert!(refused.ends_with("or choose another data directory"), "{refused}");
    }
}
