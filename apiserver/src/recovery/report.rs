//! Says in the log what is damaged among the files, and tells recovery what that means.

use std::path::PathBuf;

use crate::journal::segment::{Segment, Tail};
use crate::snapshot::Snapshot;

/// Logs every damaged place of the journal; true when it may have lost records that no missing version gives away:
/// those at its end.
pub(super) fn journal(segments: &[Segment]) -> bool {
    let end = segments.iter().rposition(|segment| segment.length > 0);
    let mut lost = false;
    for (index, segment) in segments.iter().enumerate() {
        let path = segment.file.path.display();
        for hole in &segment.holes {
            tracing::error!(%path, from = hole.start, to = hole.end, "damaged record in the journal");
        }
        let (at, bytes) = (segment.whole_length, segment.length - segment.whole_length);
        match segment.tail {
            Tail::None => {}
            Tail::Unfinished => {
                tracing::warn!(%path, at, bytes, "journal ends in an unfinished record, which nobody was told is stored; it is cut off");
            }
            Tail::Damaged => {
                lost |= end == Some(index);
                tracing::error!(%path, at, bytes, "journal ends in damaged bytes; they are cut off");
            }
        }
    }
    lost
}

/// Logs every damaged snapshot and says where they are.
pub(super) fn snapshots(snapshots: &[Snapshot]) -> Vec<(u64, PathBuf)> {
    let mut damaged = Vec::new();
    for snapshot in snapshots {
        if let Some(damage) = &snapshot.damage {
            tracing::error!(path = %snapshot.path.display(), %damage, "damaged snapshot");
            damaged.push((snapshot.version, snapshot.path.clone()));
        }
    }
    damaged
}
