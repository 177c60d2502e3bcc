//! Everything out as text and in again: one JSON object a line.

use std::io::{self, BufRead, Write};

use outrigger_api::document::Options as Reading;
use outrigger_api::kind::Kind;
use outrigger_client::status::Status;

use super::{ApiServer, Put, parse};

/// Longest line read, in bytes.
const LONGEST_LINE: u64 = 3 << 20;

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Objects that were not there before.
    pub created: usize,
    /// Objects that were there in another state.
    pub replaced: usize,
    /// Objects that were there already like that.
    pub unchanged: usize,
}

/// Export or import stopped.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The text cannot be read or written.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        reason: io::Error,
    },
    /// A line is no object that may be stored. The lines before it are stored.
    #[error("line {line}: {reason}; the lines before it are stored, so correct it and import the file again")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl ApiServer {
    /// Writes every object, as it is at one moment, as one line of JSON each. Returns how many there were. Quarantined
    /// values are not among them.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn export(&self, writer: &mut dyn Write) -> Result<usize, TransferError> {
        let failed = |reason| TransferError::Io {
            what: "cannot write the export",
            reason,
        };
        let (objects, _) = self.inner.view.everything();
        // Destination rules first: virtual services that name their subsets are refused before them.
        let (rules, rest): (Vec<_>, Vec<_>) = objects
            .iter()
            .partition(|object| object.key.kind == Kind::DestinationRule);
        for object in rules.into_iter().chain(rest) {
            writer
                .write_all(&object.json)
                .and_then(|()| writer.write_all(b"\n"))
                .map_err(failed)?;
        }
        writer.flush().map_err(failed)?;
        Ok(objects.len())
    }

    /// Stores every line of an export, over what is there under its key. Uids, times and versions are given anew; blank
    /// lines are passed over. Reading is blocking: call it where that does no harm.
    ///
    /// # Errors
    /// At the first line that cannot be stored.
    pub async fn import(&self, reader: &mut (dyn BufRead + Send)) -> Result<Imported, TransferError> {
        let mut imported = Imported::default();
        for line in 1.. {
            let mut text = Vec::new();
            let failed = |reason| TransferError::Io {
                what: "cannot read the import",
                reason,
            };
            io::Read::take(&mut *reader, LONGEST_LINE)
                .read_until(b'\n', &mut text)
                .map_err(failed)?;
            if text.is_empty() {
                break;
            }
            if !text.trim_ascii().is_empty() {
                let outcome = self.import_one(&text, &mut imported).await;
                outcome.map_err(|reason| TransferError::Line { line, reason })?;
            }
        }
        Ok(imported)
    }

    async fn import_one(&self, text: &[u8], imported: &mut Imported) -> Result<(), String> {
        let (parsed, _) = parse(text, &Reading::default()).map_err(|problems| {
            problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        })?;
        let mut resource = parsed.resource;
        resource.meta.uid.clear();
        loop {
            let current = self.inner.view.get(&resource.key());
            resource.meta.resource_version = current.as_ref().map(|current| current.version.to_string());
            let put = if current.is_some() {
                Put::Replace
            } else {
                Put::Create
            };
            match self.inner.put(put, resource.clone(), false).await {
                Ok(accepted) => {
                    match current {
                        None => imported.created += 1,
                        Some(current) if current.version == accepted.stored.version => {
                            imported.unchanged += 1
                        }
                        Some(_) => imported.replaced += 1,
                    }
                    return Ok(());
                }
                Err(status) if raced(&status) => {} // somebody else wrote it meanwhile: look again
                Err(status) => return Err(status.message),
            }
        }
    }
}

fn raced(status: &Status) -> bool {
    status.code == 409 || status.code == 404
}
