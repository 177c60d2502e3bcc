//! Whole-mesh stories, and the bars that hold each promise of `spec/reliability.md` to its figure.
//!
//! A bar runs the product as its users do: processes of the release binary, on loopback addresses of their own.

pub mod bars;
pub mod control_plane;
pub mod echo_mesh;
pub mod network;
pub mod process;
