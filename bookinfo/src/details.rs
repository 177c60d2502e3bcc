//! Facts about the book.

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

/// What the page shows about a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Which book.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Year of the first edition.
    pub year: u16,
    /// `paperback` or `hardcover`.
    pub r#type: String,
    /// Number of pages.
    pub pages: u16,
    /// Publishing house.
    pub publisher: String,
    /// Language of the text.
    pub language: String,
    /// Thirteen digits with a hyphen.
    #[serde(rename = "ISBN-13")]
    pub isbn13: String,
}

pub(crate) fn router() -> Router {
    Router::new().route(
        "/details/{id}",
        get(|Path(id): Path<u64>| async move { Json(of(id)) }),
    )
}

fn of(id: u64) -> Details {
    Details {
        id,
        author: "William Shakespeare".into(),
        year: 1595,
        r#type: "paperback".into(),
        pages: 200,
        publisher: "Quayside Press".into(),
        language: "English".into(),
        isbn13: "123-1234567890".into(),
    }
}
