//! What readers say, with stars from v2 on.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::neighbour::Neighbours;
use crate::ratings::Ratings;
use crate::role::{Role, Version};

/// Reviews of one book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviews {
    /// Which book.
    pub id: u64,
    /// Which version of the service answered, such as `reviews-v2`.
    pub served_by: String,
    /// One entry a reader.
    pub reviews: Vec<Review>,
}

/// One reader's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The reader.
    pub reviewer: String,
    /// The words.
    pub text: String,
    /// Stars; absent from v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
}

/// Stars, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rating {
    /// Ratings answered.
    Stars {
        /// 1 to 5; 0 when this reader gave none.
        stars: u8,
        /// `black` from v2, `red` from v3.
        color: String,
    },
    /// Ratings did not answer in time.
    Error(String),
}

#[derive(Clone)]
struct Reviewing {
    version: Version,
    neighbours: Neighbours,
}

pub(crate) fn router(version: Version, neighbours: Neighbours) -> Router {
    Router::new()
        .route("/reviews/{id}", get(answer))
        .with_state(Reviewing { version, neighbours })
}

async fn answer(
    State(reviewing): State<Reviewing>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Json<Reviews> {
    let ratings = match stars(reviewing.version) {
        None => None,
        Some((color, patience)) => {
            let asked = reviewing
                .neighbours
                .ratings::<Ratings>(id, patience, &headers)
                .await;
            if let Err(error) = &asked {
                tracing::warn!(%error, "no stars");
            }
            Some((color, asked.ok()))
        }
    };
    Json(written(id, reviewing.version, ratings))
}

/// Colour of the stars and patience with the ratings service; `None` for the version that shows none.
fn stars(version: Version) -> Option<(&'static str, Duration)> {
    match version {
        Version::V1 => None,
        Version::V2 => Some(("black", Duration::from_secs(10))),
        Version::V3 => Some(("red", Duration::from_millis(2500))),
    }
}

fn written(id: u64, version: Version, ratings: Option<(&'static str, Option<Ratings>)>) -> Reviews {
    let words = [
        (
            "Reviewer1",
            "Twins, a shipwreck and a bill nobody ordered: I laughed through all five acts.",
        ),
        (
            "Reviewer2",
            "Short, quick and kind. The slapstick carries further than you would think.",
        ),
    ];
    let reviews = words
        .into_iter()
        .map(|(reviewer, text)| Review {
            reviewer: reviewer.into(),
            text: text.into(),
            rating: ratings.as_ref().map(|(color, given)| match given {
                Some(given) => Rating::Stars {
                    stars: given.ratings.get(reviewer).copied().unwrap_or_default(),
                    color: (*color).into(),
                },
                None => Rating::Error("Ratings service is currently unavailable".into()),
            }),
        })
        .collect();
    Reviews {
        id,
        served_by: Role::Reviews(version).to_string(),
        reviews,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Ratings {
        Ratings {
            id: 0,
            ratings: [("Reviewer1".to_owned(), 5), ("Reviewer2".to_owned(), 4)].into(),
        }
    }

    #[test]
    fn the_first_version_has_no_stars() {
        let reviews = written(0, Version::V1, None);

        assert!(reviews.reviews.iter().all(|review| review.rating.is_none()));
    }

    #[test]
    fn the_third_version_has_red_stars() {
        let reviews = written(0, Version::V3, Some(("red", Some(given()))));

        assert_eq!(
            reviews.reviews[0].rating,
            Some(Rating::Stars {
                stars: 5,
                color: "red".into()
            })
        );
    }

    #[test]
    fn silence_from_ratings_is_said_and_the_words_stay() {
        let reviews = written(0, Version::V2, Some(("black", None)));

        assert!(matches!(reviews.reviews[1].rating, Some(Rating::Error(_))));
        assert!(!reviews.reviews[1].text.is_empty());
    }
}
