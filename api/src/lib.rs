//! Resource kinds and the service model of the Outrigger mesh; pure, without I/O.
//!
//! Start at [`document::parse`], which turns the text of a file or request into [`resource::Resource`]s. Each
//! kind has one file with its type, how it is read, its rules with their messages, and how it is written.

pub mod document;
pub mod kind;
pub mod meta;
pub mod problem;
pub mod resource;

pub mod destination_policy;
pub mod egress_rule;
pub mod route_rule;

pub mod destination_rule;
pub mod gateway;
pub mod service_entry;
pub mod virtual_service;

pub mod service_address;

pub mod effect;
pub mod references;

pub mod cors_policy;
pub mod custom;
pub mod duration;
pub mod export_to;
pub mod host;
pub mod http_header;
pub mod near;
pub mod percent;
pub mod rewrite;
pub mod service_ref;
pub mod string_match;
pub mod subnet;

pub mod model;

mod choice;
mod fields;
mod output;
#[cfg(test)]
mod trial;
