//! `outrigger bookinfo`: one service of the sample application.

use std::net::SocketAddr;

use clap::Args;
use outrigger_bookinfo::{Role, Settings};

use crate::failure::Failure;
use crate::roles::{follow_parent, listen, logging::Logging, stop_signal};

/// Run one service of the Bookinfo sample
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger bookinfo reviews-v2 --listen 127.0.0.1:19080 --ratings http://127.0.0.1:19081
  HTTP_PROXY=http://127.0.10.1:15002 outrigger bookinfo productpage --listen 127.0.10.1:19080")]
pub(crate) struct BookinfoArgs {
    /// productpage, details, ratings, reviews-v1, reviews-v2 or reviews-v3
    #[arg(value_name = "SERVICE")]
    role: Role,
    /// Address to listen on
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where details is
    #[arg(long, value_name = "URL", default_value = "http://details:9080")]
    details: String,
    /// Where reviews is
    #[arg(long, value_name = "URL", default_value = "http://reviews:9080")]
    reviews: String,
    /// Where ratings is
    #[arg(long, value_name = "URL", default_value = "http://ratings:9080")]
    ratings: String,
    #[command(flatten)]
    logging: Logging,
}

/// Serves until it is told to stop.
pub(crate) async fn run(args: BookinfoArgs) -> Result<(), Failure> {
    args.logging.start()?;
    follow_parent()?;
    let shutdown = stop_signal()?;
    let listener = listen(args.listen, &args.role.to_string(), "--listen").await?;
    let settings = Settings {
        details: args.details,
        reviews: args.reviews,
        ratings: args.ratings,
    };
    outrigger_bookinfo::serve(args.role, listener, settings, shutdown)
        .await
        .map_err(|error| Failure::one(crate::failure::chain(&error)))
}
