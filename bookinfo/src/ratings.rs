//! How many stars each reader gives.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

/// Stars by reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratings {
    /// Which book.
    pub id: u64,
    /// Stars, 1 to 5, by the reader's name.
    pub ratings: BTreeMap<String, u8>,
}

pub(crate) fn router() -> Router {
    Router::new().route(
        "/ratings/{id}",
        get(|Path(id): Path<u64>| async move { Json(of(id)) }),
    )
}

fn of(id: u64) -> Ratings {
    Ratings {
        id,
        ratings: [("Reviewer1".to_owned(), 5), ("Reviewer2".to_owned(), 4)].into(),
    }
}
