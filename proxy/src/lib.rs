//! The data plane: listeners, routes, clusters, telemetry.
