//! One file: a head line with version and checksum, then JSON. Its time of modification is when the registry was
//! last read.
//!
//! A file is replaced whole: written beside, flushed, renamed, and the rename flushed. So there is always the old
//! one or the new one, and a damaged one is told by its checksum.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use outrigger_api::model::{Catalog, ServiceState};
use serde::{Deserialize, Serialize};

use super::Saved;

/// What the head line begins with, and the version of the layout.
const NAME: &str = "outrigger-catalogue";
const VERSION: u32 = 1;

/// A larger file is not ours: 256 MiB, some million instances.
const LARGEST: u64 = 256 << 20;

/// Whose catalogue it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    /// Name of the registry.
    pub(super) registry: String,
    /// Where it reads from.
    pub(super) origin: String,
}

/// The JSON, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    source: &'a Source,
    services: Vec<&'a ServiceState>,
}

/// The JSON, as it is read.
#[derive(Deserialize)]
struct Contents {
    source: Source,
    services: Vec<ServiceState>,
}

/// Replaces the file.
pub(super) fn write(path: &Path, source: &Source, saved: &Saved) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(&encode(source, &saved.catalog)?)?;
    file.set_modified(saved.read_at)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()
}

/// Notes that the registry was read at `read_at` and says the same as before.
pub(super) fn stamp(path: &Path, read_at: SystemTime) -> io::Result<()> {
    File::options().write(true).open(path)?.set_modified(read_at)
}

/// What was saved of `source`: `None` when there is no file, or one of another origin.
pub(super) fn read(path: &Path, source: &Source) -> Result<Option<Saved>, String> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| format!("the saved catalogue cannot be opened: {error}"))?,
    };
    let unreadable = |error: io::Error| format!("the saved catalogue cannot be read: {error}");
    let meta = file.metadata().map_err(unreadable)?;
    if meta.len() > LARGEST {
        return Err(format!(
            "the saved catalogue has {} bytes, expected at most {LARGEST}",
            meta.len()
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let (found, catalog) = decode(&bytes)?;
    if found != *source {
        tracing::info!(
            registry = source.registry,
            file = %path.display(),
            found = found.origin,
            expected = source.origin,
            "what was saved is of another place and is not used"
        );
        return Ok(None);
    }
    let read_at = meta.modified().map_err(unreadable)?;
    Ok(Some(Saved { catalog, read_at }))
}

fn encode(source: &Source, catalog: &Catalog) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(&Written {
        source,
        services: catalog.services.values().collect(),
    })?;
    let mut bytes = format!("{NAME} {VERSION} {:08x}\n", crc32c::crc32c(&body)).into_bytes();
    bytes.extend(body);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<(Source, Catalog), String> {
    let damaged = |what: String| format!("the saved catalogue is damaged: {what}");
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let body = body.get(1..).unwrap_or_default();
    let head = String::from_utf8_lossy(head.get(..80).unwrap_or(head));
    let words: Vec<&str> = head.split(' ').collect();
    let [NAME, version, sum] = words.as_slice() else {
        return Err(damaged(format!(
            "its first line is {head:?}, expected {NAME} VERSION CHECKSUM"
        )));
    };
    if *version != VERSION.to_string() {
        return Err(format!(
            "the saved catalogue is of layout {version}, expected {VERSION}: another version of outrigger wrote it"
        ));
    }
    let found = format!("{:08x}", crc32c::crc32c(body));
    if *sum != found {
        return Err(damaged(format!("its checksum is {found}, expected {sum}")));
    }
    let read: Contents = serde_json::from_slice(body).map_err(|error| damaged(error.to_string()))?;
    let services = read.services.into_iter();
    let catalog = Catalog {
        services: services
            .map(|state| (state.service.host.clone(), state))
            .collect(),
    };
    Ok((read.source, catalog))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::tests::service;
    use std::time::Duration;

    fn saved() -> Saved {
        let state = service("a", 80, &[("10.0.0.1", "dc1")]);
        Saved {
            catalog: Catalog {
                services: [("a".to_owned(), state)].into(),
            },
            read_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        }
    }

    fn source() -> Source {
        Source {
            registry: "consul".into(),
            origin: "http://consul:8500".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_with_the_time_of_its_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries/consul.catalogue");
        assert_eq!(read(&path, &source()), Ok(None));

        write(&path, &source(), &saved()).unwrap();
        assert_eq!(read(&path, &source()), Ok(Some(saved())));

        let later = saved().read_at + Duration::from_secs(90);
        stamp(&path, later).unwrap();
        assert_eq!(read(&path, &source()).unwrap().unwrap().read_at, later);
        let elsewhere = Source {
            origin: "http://other:8500".into(),
            ..source()
        };
        assert_eq!(read(&path, &elsewhere), Ok(None), "another Consul's services");
    }

    #[test]
    fn every_damage_is_an_error_and_never_a_catalogue() {
        let whole = encode(&source(), &saved().catalog).unwrap();
        decode(&whole).unwrap();
        for length in 0..whole.len() {
            decode(&whole[..length]).unwrap_err();
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            decode(&flipped).unwrap_err();
        }
    }

    #[test]
    fn a_layout_of_another_version_is_named() {
        let text = String::from_utf8(encode(&source(), &saved().catalog).unwrap()).unwrap();

        let error = decode(text.replacen(" 1 ", " 2 ", 1).as_bytes()).unwrap_err();

        assert!(error.contains("layout 2, expected 1"), "{error}");
    }
}
