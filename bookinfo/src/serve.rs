//! The life of one service process: a bound listener, a router, and an orderly end.

use std::future::Future;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::neighbour::Neighbours;
use crate::role::Role;
use crate::{details, productpage, ratings, reviews};

/// Where a service finds its neighbours.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URL of details, such as `http://details:9080`.
    pub details: String,
    /// Base URL of reviews.
    pub reviews: String,
    /// Base URL of ratings.
    pub ratings: String,
}

/// Why a service could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The client for neighbours could not be built, for example from a malformed `HTTP_PROXY`.
    #[error("cannot set up the client for neighbours; is HTTP_PROXY a URL such as http://127.0.0.1:15002?")]
    Client(#[source] reqwest::Error),
    /// The listener failed.
    #[error("{role} stopped serving")]
    Listener {
        /// The service.
        role: Role,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Serves `role` on `listener` until `shutdown` is ready; requests in flight are finished first.
pub async fn serve(
    role: Role,
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let neighbours = Neighbours::new(settings).map_err(ServeError::Client)?;
    let service = match role {
        Role::Productpage => productpage::router(neighbours),
        Role::Details => details::router(),
        Role::Reviews(version) => reviews::router(version, neighbours),
        Role::Ratings => ratings::router(),
    };
    let health = Router::new().route(
        "/health",
        get(move || async move { format!("{role} is healthy\n") }),
    );
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%role, %address, "serving");
    }
    axum::serve(listener, service.merge(health))
        .with_graceful_shutdown(shutdown)
        .await
        .map_err(|source| ServeError::Listener { role, source })
}
