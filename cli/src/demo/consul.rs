//! The demo's dealings with Consul: an agent, and one registration a workload.
