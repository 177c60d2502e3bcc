//! Everything out of a store as text and in again: one JSON object a line.
//!
//! The lines are ordered so that an empty store takes them one after the other: what others refer to comes first.

use std::io::{self, BufRead, Read, Write};

use outrigger_api::document::{self, Options};
use outrigger_api::kind::Kind;
use outrigger_api::resource::Resource;

use crate::error::ClientError;
use crate::source::{ConfigSource, ConfigStore};

/// Longest line read, in bytes, its line feed included.
const LONGEST_LINE: usize = 2 << 20;
/// How often a line is tried when somebody else writes the same object meanwhile.
const TRIES: u32 = 5;
/// Refused lines after which an import is given up.
const MOST_REFUSED: usize = 100;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Objects that were not there before.
    pub created: usize,
    /// Objects that were there in another state.
    pub replaced: usize,
    /// Objects that were there already like that.
    pub unchanged: usize,
    /// Lines that were not stored, as `FILE:LINE: reason`; 100 at most, then the import stops.
    pub refused: Vec<String>,
}

/// Export or import stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The text cannot be read or written.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] ClientError),
    /// A line is not one JSON object, so the rest of the text cannot be trusted either.
    #[error("{origin}:{line}: {reason}; the lines before it are stored, the rest was not read")]
    Line {
        /// Where the text comes from.
        origin: String,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where a kind stands in an order in which what others refer to comes first.
pub fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::ServiceEntry | Kind::Gateway | Kind::ServiceAddress => 0,
        Kind::DestinationRule | Kind::DestinationPolicy => 1,
        Kind::RouteRule | Kind::VirtualService | Kind::EgressRule => 2,
    }
}

/// Writes every object as one line of JSON, kind by kind, the oldest of a kind first. Returns how many there were.
///
/// # Errors
/// When the store cannot be read or the writer fails.
pub async fn export(source: &dyn ConfigSource, writer: &mut dyn Write) -> Result<usize, TransferError> {
    let failed = |reason| TransferError::Io {
        what: "cannot write the export".to_owned(),
        reason,
    };
    let mut kinds = Kind::ALL;
    kinds.sort_by_key(|kind| rank(*kind));
    let mut written = 0;
    for kind in kinds {
        let mut items = source.list(kind).await?.items;
        // RFC 3339 in UTC sorts as text.
        items.sort_by(|a, b| a.meta.creation_timestamp.cmp(&b.meta.creation_timestamp));
        for item in items {
            writeln!(writer, "{}", item.to_json()).map_err(failed)?;
            written += 1;
        }
    }
    writer.flush().map_err(failed)?;
    Ok(written)
}

/// Stores every line of an export, over what is there under its key. Uids, times and versions are given anew; blank
/// lines are passed over; a line that the store refuses is told in the answer, and the others go on. Reading is
/// blocking: call it where that does no harm. `origin` is what messages call the text.
///
/// # Errors
/// When the text cannot be read, when the store cannot be reached, and at the first line that is not JSON.
pub async fn import(
    store: &dyn ConfigStore,
    origin: &str,
    reader: &mut dyn BufRead,
) -> Result<Imported, TransferError> {
    let mut imported = Imported::default();
    for line in 1.. {
        let bad = |reason: String| TransferError::Line {
            origin: origin.to_owned(),
            line,
            reason,
        };
        let mut text = Vec::new();
        Read::take(&mut *reader, LONGEST_LINE as u64 + 1)
            .read_until(b'\n', &mut text)
            .map_err(|reason| TransferError::Io {
                what: format!("cannot read {origin}"),
                reason,
            })?;
        if text.is_empty() {
            break;
        }
        if text.len() > LONGEST_LINE {
            return Err(bad(format!("the line is longer than {LONGEST_LINE} bytes")));
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text) {
            return Err(bad(format!("not a JSON object: {error}")));
        }
        let refused = match document::parse_body(&text, &Options::default()) {
            Ok(parsed) => store_one(store, parsed.resource, &mut imported).await?,
            Err(problems) => problems.iter().map(|problem| problem.message.clone()).collect(),
        };
        imported.refused.extend(
            refused
                .into_iter()
                .map(|reason| format!("{origin}:{line}: {reason}")),
        );
        if imported.refused.len() >= MOST_REFUSED {
            return Ok(imported);
        }
    }
    Ok(imported)
}

/// Stores one object; the answer is what the store has against it.
async fn store_one(
    store: &dyn ConfigStore,
    mut resource: Resource,
    imported: &mut Imported,
) -> Result<Vec<String>, ClientError> {
    let key = resource.key();
    resource.meta.uid.clear();
    for attempt in 1.. {
        let current = store.get(&key).await?;
        let version = current
            .as_ref()
            .and_then(|stored| stored.meta.resource_version.clone());
        resource.meta.resource_version.clone_from(&version);
        let outcome = match current {
            Some(_) => store.replace(&resource).await,
            None => store.create(&resource).await,
        };
        match outcome {
            Ok(written) => {
                match version {
                    None => imported.created += 1,
                    version if version == written.resource.meta.resource_version => imported.unchanged += 1,
                    Some(_) => imported.replaced += 1,
                }
                break;
            }
            // Somebody else wrote or removed it meanwhile: look again.
            Err(ClientError::Status { code: 404 | 409, .. }) if attempt < TRIES => {}
            Err(error @ ClientError::Status { .. }) => return Ok(vec![format!("{key}: {error}")]),
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}
