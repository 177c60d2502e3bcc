//! Which of the services a process plays, and in which version.

use std::fmt;
use std::str::FromStr;

/// Version of the reviews service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Text only; never asks ratings.
    V1,
    /// Black stars; waits up to 10 s for ratings.
    V2,
    /// Red stars; waits at most 2.5 s for ratings, which cures the clash with productpage's own 3 s.
    V3,
}

/// A service of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The page that people open.
    Productpage,
    /// Facts about the book.
    Details,
    /// What readers say.
    Reviews(Version),
    /// How many stars they give.
    Ratings,
}

impl Role {
    /// The name that neighbours call.
    pub fn service(self) -> &'static str {
        match self {
            Role::Productpage => "productpage",
            Role::Details => "details",
            Role::Reviews(_) => "reviews",
            Role::Ratings => "ratings",
        }
    }

    /// The `version` label: `v1`, `v2` or `v3`.
    pub fn version(self) -> &'static str {
        match self {
            Role::Reviews(Version::V2) => "v2",
            Role::Reviews(Version::V3) => "v3",
            _ => "v1",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.service(), self.version())
    }
}

/// The text names no service of the sample.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no service of Bookinfo; expected one of productpage, details, ratings, reviews-v1, reviews-v2, reviews-v3"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Ok(match text {
            "productpage" | "productpage-v1" => Role::Productpage,
            "details" | "details-v1" => Role::Details,
            "ratings" | "ratings-v1" => Role::Ratings,
            "reviews-v1" => Role::Reviews(Version::V1),
            "reviews-v2" => Role::Reviews(Version::V2),
            "reviews-v3" => Role::Reviews(Version::V3),
            other => return Err(UnknownRole(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reads_back_what_it_prints() {
        let names = [
            "productpage-v1",
            "details-v1",
            "ratings-v1",
            "reviews-v1",
            "reviews-v2",
            "reviews-v3",
        ];

        for name in names {
            assert_eq!(name.parse::<Role>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn an_unknown_service_is_refused_with_the_names_that_exist() {
        let refused = "reviews-v4".parse::<Role>().unwrap_err().to_string();

        assert!(
            refused.contains("reviews-v4") && refused.contains("reviews-v3"),
            "{refused}"
        );
    }
}
