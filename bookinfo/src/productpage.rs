//! The page that people open: it asks details and reviews, and knows who is signed in.

mod page;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::details::Details;
use crate::neighbour::Neighbours;
use crate::reviews::Reviews;

/// The one book on the shelf.
#[derive(Clone, Debug, Serialize)]
pub struct Product {
    /// Number used in every path.
    pub id: u64,
    /// Title as printed.
    pub title: &'static str,
    /// What it is about.
    pub summary: &'static str,
}

const BOOK: Product = Product {
    id: 0,
    title: "The Comedy of Errors",
    summary: "Two pairs of twins, parted at sea as children, spend one day in the same harbour town without knowing \
              it. Every door opens to the wrong brother.",
};

pub(crate) fn router(neighbours: Neighbours) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to("/productpage") }))
        .route("/productpage", get(show))
        .route("/login", post(sign_in))
        .route("/logout", get(sign_out))
        .route("/api/v1/products", get(|| async { Json([BOOK]) }))
        .route("/api/v1/products/{id}", get(details))
        .route("/api/v1/products/{id}/reviews", get(reviews))
        .with_state(neighbours)
}

async fn show(State(neighbours): State<Neighbours>, headers: HeaderMap) -> Html<String> {
    let (user, headers) = identified(headers);
    let (details, reviews) = tokio::join!(
        neighbours.details::<Details>(BOOK.id, &headers),
        neighbours.reviews::<Reviews>(BOOK.id, &headers)
    );
    Html(
        page::render(
            &BOOK,
            user.as_deref(),
            details.as_ref().ok(),
            reviews.as_ref().ok(),
        )
        .into_string(),
    )
}

async fn details(State(neighbours): State<Neighbours>, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    let (_, headers) = identified(headers);
    match neighbours.details::<Details>(id, &headers).await {
        Ok(details) => Json(details).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn reviews(State(neighbours): State<Neighbours>, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    let (_, headers) = identified(headers);
    match neighbours.reviews::<Reviews>(id, &headers).await {
        Ok(reviews) => Json(reviews).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

#[derive(Deserialize)]
struct SignIn {
    username: String,
}

async fn sign_in(Form(form): Form<SignIn>) -> Response {
    let name: String = form
        .username
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(32)
        .collect();
    with_cookie(&format!("user={name}; Path=/; HttpOnly; SameSite=Lax"))
}

async fn sign_out() -> Response {
    with_cookie("user=; Path=/; Max-Age=0")
}

fn with_cookie(cookie: &str) -> Response {
    let mut answer = Redirect::to("/productpage").into_response();
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, value);
    }
    answer
}

/// Who is signed in, by the cookie; the headers come back with `end-user` telling the other services.
/// An `end-user` from outside is not believed.
fn identified(mut headers: HeaderMap) -> (Option<String>, HeaderMap) {
    headers.remove("end-user");
    let user = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("user="))
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    if let Some(value) = user.as_deref().and_then(|name| HeaderValue::from_str(name).ok()) {
        headers.insert("end-user", value);
    }
    (user, headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_names_the_user_and_becomes_the_end_user_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "theme=dark; user=jason".parse().unwrap());
        headers.insert("end-user", "mallory".parse().unwrap());

        let (user, headers) = identified(headers);

        assert_eq!(user.as_deref(), Some("jason"));
        assert_eq!(headers.get("end-user").unwrap(), "jason");
    }

    #[test]
    fn a_stranger_cannot_name_himself_by_header() {
        let mut headers = HeaderMap::new();
        headers.insert("end-user", "mallory".parse().unwrap());

        let (user, headers) = identified(headers);

        assert!(user.is_none() && !headers.contains_key("end-user"));
    }
}
