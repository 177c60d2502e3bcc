//! Real peers, load with a ledger, and fakes proven by third-party clients.

pub mod backend;
pub mod load;
