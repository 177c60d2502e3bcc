//! The operator's verbs as a shell sees them: what they print where, and their exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bad_input;
mod files;
mod harness;
mod names;
mod restart;
mod shown;

/// A rule that sends everything for reviews to v1.
const RULE: &str = "apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-default}
spec:
  destination: {name: reviews}
  route: [{labels: {version: v1}}]
";

/// The same rule by another name.
fn rule(name: &str) -> String {
    RULE.replace("reviews-default", name)
}
