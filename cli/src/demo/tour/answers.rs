//! Counting real answers: which version of reviews made each page, as a reader would see it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

/// Requests that are under way at once.
const AT_ONCE: usize = 4;

/// How many pages came from which version; anything that is not a whole page counts under its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Number of pages by version (`v1`, `v2`, `v3`), or by what went wrong.
    pub(crate) by: BTreeMap<String, u32>,
}

impl Answers {
    /// All answers together.
    pub(crate) fn total(&self) -> u32 {
        self.by.values().sum()
    }

    /// Answers from `version`, in percent of all.
    pub(crate) fn share(&self, version: &str) -> f64 {
        let count = self.by.get(version).copied().unwrap_or_default();
        f64::from(count) * 100.0 / f64::from(self.total().max(1))
    }

    fn add(&mut self, kind: String) {
        *self.by.entry(kind).or_default() += 1;
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .by
            .iter()
            .map(|(kind, count)| format!("{kind} ×{count}"))
            .collect();
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Opens the page `times` times, as `user` when one is named, and counts what comes.
pub(crate) async fn count(client: &reqwest::Client, page: &str, user: Option<&str>, times: u32) -> Answers {
    let answers = stream::iter(0..times)
        .map(|_| open(client, page, user))
        .buffer_unordered(AT_ONCE);
    answers
        .fold(Answers::default(), |mut answers, kind| async move {
            answers.add(kind);
            answers
        })
        .await
}

async fn open(client: &reqwest::Client, page: &str, user: Option<&str>) -> String {
    let mut request = client.get(page).timeout(Duration::from_secs(20));
    if let Some(user) = user {
        request = request.header("cookie", format!("user={user}"));
    }
    match request.send().await {
        Err(error) => format!("no answer ({})", crate::failure::chain(&error)),
        Ok(answer) if !answer.status().is_success() => format!("status {}", answer.status().as_u16()),
        Ok(answer) => match answer.text().await {
            Ok(text) => version_of(&text),
            Err(error) => format!("half an answer ({})", crate::failure::chain(&error)),
        },
    }
}

/// Tells the version by the stars (none, black or red) and by what the page says of itself at its foot: both must say the
/// same. A page without reviews, or with stars that failed, is none.
fn version_of(page: &str) -> String {
    let (black, red) = (
        page.contains("data-color=\"black\""),
        page.contains("data-color=\"red\""),
    );
    let whole = page.contains("Reviewer1") && page.contains("William Shakespeare");
    let by_stars = match (whole, black, red) {
        _ if page.contains("Ratings service is currently unavailable") => return "stars missing".to_owned(),
        (true, false, false) => "v1",
        (true, true, false) => "v2",
        (true, false, true) => "v3",
        _ => return "page incomplete".to_owned(),
    };
    match served_by(page) {
        Some(named) if named == by_stars => named.to_owned(),
        Some(named) => format!("stars of {by_stars} on a page by {named}"),
        None => format!("stars of {by_stars} on a page by nobody"),
    }
}

/// The version that the foot of the page names.
fn served_by(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("Reviews served by reviews-")?;
    let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric());
    rest.get(..end.unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stars_and_the_foot_tell_the_version_and_a_broken_page_tells_none() {
        let page = |version: &str, stars: &str| {
            format!(
                "William Shakespeare … Reviewer1{stars}<footer>Reviews served by reviews-{version}</footer>"
            )
        };
        let (black, red) = (" data-color=\"black\"", " data-color=\"red\"");

        assert_eq!(version_of(&page("v1", "")), "v1");
        assert_eq!(version_of(&page("v2", black)), "v2");
        assert_eq!(version_of(&page("v3", red)), "v3");
        assert_eq!(version_of("Error fetching product reviews"), "page incomplete");
        assert_eq!(
            version_of(&page("v2", " Ratings service is currently unavailable")),
            "stars missing"
        );
    }

    #[test]
    fn stars_that_do_not_fit_the_foot_are_no_version() {
        let page = "William Shakespeare … Reviewer1";

        assert_eq!(
            version_of(&format!("{page}<footer>Reviews served by reviews-v2</footer>")),
            "stars of v1 on a page by v2"
        );
        assert_eq!(version_of(page), "stars of v1 on a page by nobody");
    }

    #[test]
    fn shares_are_of_all_answers_and_failures_count() {
        let answers = Answers {
            by: [("v1".to_owned(), 1), ("status 503".to_owned(), 3)].into(),
        };

        assert_eq!(answers.share("v1"), 25.0);
        assert_eq!(answers.to_string(), "status 503 ×3, v1 ×1");
    }
}
