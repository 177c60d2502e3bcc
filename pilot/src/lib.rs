//! Compiles rules and endpoints into xDS and serves it.
