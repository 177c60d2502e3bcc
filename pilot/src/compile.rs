//! Compilation: from rules, services and endpoints to the resources that proxies take. Pure and deterministic.
//!
//! [`shared::compile_shared`] gives what all proxies of a class share, [`endpoints::compile_endpoints`] the
//! endpoints, [`own::compile_node`] what is one proxy's own. Reading order: `inputs` (what a host depends on),
//! `unit` (what comes of it), then the parts it is made of: `route_rule` and `virtual_service` make `route`s,
//! `route_config`, `listener`, `cluster` and [`endpoint`] write them as xDS.

pub mod endpoints;
pub mod own;
pub mod shared;

mod inputs;
pub(crate) use inputs::destination_hosts;
mod unit;
mod version;

mod governing;
pub(crate) mod overruled;
mod place;
pub(crate) use place::gateway_key;
mod route;
mod route_rule;
mod tcp_route;
mod virtual_service;

mod balancer;
mod domains;
pub(crate) mod gateway;
mod matching;

mod cluster;
mod encode;
pub mod endpoint;
mod listener;
mod route_config;
