//! Real peers, load with a ledger, and fakes proven by third-party clients.

pub mod backend;
pub mod consul;
pub mod load;
pub mod peers;
pub mod process;
pub mod scripted_http;
